"""A proxy between Signet and a provider. It counts the requests, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from program import LOOPBACK, wait_until
from sidecar import REQUEST_LIMIT

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/jwks"
# The target of redirects. It serves the provider's JWKS, so a client that follows would get good keys.
ELSEWHERE = "/elsewhere"
LONGEST_HEAD = 64 * 1024
SEND_BUFFER = 64 * 1024
# The beginning of TLS (RFC 8446 §5.1).
HANDSHAKE = b"\x16"


class Gone(Exception):
    """The other side closed the connection, or the test removed the fault."""


@dataclass
class Answer:
    """A complete answer."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """A request. Times are of `time.monotonic`."""

    at: float
    path: str
    # How many bytes of the answer the other side's system accepted.
    octets: int = 0
    until: float | None = None

    @property
    def took(self) -> float:
        """How long the request took, in seconds."""
        return (self.until or time.monotonic()) - self.at


class Exchange:
    """A request, which a fault may answer or ignore."""

    def __init__(self, proxy: Proxy, client: socket.socket, head: str, seen: Seen) -> None:
        self.proxy, self.client, self.head, self.seen = proxy, client, head, seen

    def forwarded(self) -> Answer:
        """The provider's answer."""
        host = next(line[5:].strip() for line in self.head.split("\r\n") if line.lower().startswith("host:"))
        provider = http.client.HTTPConnection(LOOPBACK, self.proxy.provider, timeout=REQUEST_LIMIT)
        try:
            path = JWKS if self.seen.path == ELSEWHERE else self.seen.path
            scheme = self.proxy.issuer.partition(":")[0]
            provider.request("GET", path, headers={"host": host, "x-forwarded-proto": scheme})
            got = provider.getresponse()
            return Answer(got.status, got.getheader("content-type", ""), got.read())
        finally:
            provider.close()

    def answer(self, answer: Answer) -> None:
        """Sends an answer unchanged."""
        self.send(head(answer, len(answer.body)) + answer.body)

    def send(self, octets: bytes) -> None:
        """Sends bytes unchanged, and counts those that the other side's system accepted."""
        view = memoryview(octets)
        while view:
            try:
                sent = self.client.send(view)
            except OSError as error:
                raise Gone from error
            self.seen.octets += sent
            view = view[sent:]

    def wait(self, seconds: float | None = None) -> None:
        """Waits for this time, or until the other side closes."""
        readable, _, _ = select.select([self.client], [], [], seconds)
        if readable:
            raise Gone


Fault = Callable[[Exchange], None]


class Proxy:
    """A listener in front of one provider."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        # The TLS context, and whether clients expect TLS.
        self._tls, self._scheme = tls, "https" if tls else "http"
        # What to do instead of forwarding, by path.
        self.faults: dict[str, Fault] = {}
        self.provider = 0
        # `Cache-Control` of the JWKS, as the provider or a cache in front of it sets it.
        self.cache_control: str | None = None
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._busy: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._accept()

    @property
    def issuer(self) -> str:
        """The issuer behind the proxy."""
        return f"{self._scheme}://{LOOPBACK}:{self.port}"

    def speak(self, tls: ssl.SSLContext | None) -> None:
        """Uses TLS with another certificate from now on, or none although it is expected. Closes all connections."""
        self._tls = tls
        self._hang_up(self._connections)

    def misbehave(self, fault: Fault, *paths: str) -> None:
        """Misbehaves from now on, also for requests in progress."""
        self.faults = dict.fromkeys(paths or (JWKS,), fault)
        self._hang_up(self._busy)

    def behave(self) -> None:
        """Forwards again."""
        self.faults = {}
        self._hang_up(self._busy)

    def down(self) -> None:
        """Refuses connections. The port stays reserved."""
        if self.is_up:
            self.is_up = False
            # A blocked `accept` does not notice that its socket is closed, only that it is shut down.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join()
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((LOOPBACK, self.port))
            self._hang_up(self._connections)

    def up(self) -> None:
        """Listens again."""
        self._listener.listen(128)
        self._accept()

    def stop(self) -> None:
        """Stops the proxy for good."""
        self.down()
        self._listener.close()

    def seen(self, path: str | None = None, since: float = 0) -> list[Seen]:
        """The requests since this time, for one path or for all."""
        with self._lock:
            return [seen for seen in self._seen if seen.at >= since and path in (None, seen.path)]

    def wait_for_fetches(self, times: int = 1, path: str = JWKS, limit: float = 30) -> None:
        """Waits until this many requests that start from now on have ended."""
        since = time.monotonic()

        def ended() -> bool:
            return sum(seen.until is not None for seen in self.seen(path, since)) >= times

        wait_until(ended, limit, f"{times} requests for {path}")

    def _hang_up(self, connections: set[socket.socket]) -> None:
        with self._lock:
            for connection in connections:
                with contextlib.suppress(OSError):
                    # Closing the TLS connection would leave plain text for the thread that reads from it.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _accept(self) -> None:
        listener, self.is_up = self._listener, True

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self._welcome, args=[client], daemon=True).start()

        self._thread = threading.Thread(target=accept, daemon=True)
        self._thread.start()

    def _welcome(self, client: socket.socket) -> None:
        if self._tls:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:
                # The other side rejected the certificate.
                client.close()
                return
        self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        # With this, the bytes that the system accepted are about those that the other side read.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        with self._lock:
            self._connections.add(client)
        try:
            while request := read_head(client):
                self._exchange(client, request)
        except (Gone, OSError, http.client.HTTPException):
            pass
        finally:
            with self._lock:
                self._connections.discard(client)
            client.close()

    def _exchange(self, client: socket.socket, request: str) -> None:
        seen = Seen(time.monotonic(), request.split(" ")[1])
        with self._lock:
            self._seen.append(seen)
            self._busy.add(client)
        exchange = Exchange(self, client, request, seen)
        try:
            if fault := self.faults.get(seen.path):
                fault(exchange)
            else:
                self._forward(exchange)
        finally:
            seen.until = time.monotonic()
            with self._lock:
                self._busy.discard(client)

    def _forward(self, exchange: Exchange) -> None:
        answer = exchange.forwarded()
        if self.cache_control and exchange.seen.path == JWKS:
            answer.headers = {"cache-control": self.cache_control}
        exchange.answer(answer)


def read_head(client: socket.socket) -> str:
    """The head of the next request. Empty when the connection ends. No request here has a body."""
    octets = b""
    while not octets.endswith(b"\r\n\r\n") and len(octets) < LONGEST_HEAD:
        piece = client.recv(4096)
        if not piece:
            return ""
        octets += piece
        if octets.startswith(HANDSHAKE):
            # Plain HTTP servers do this when a client starts TLS.
            client.sendall(head(Answer(400, "text/plain", b""), None))
            return ""
    return octets.decode("latin-1")


def head(answer: Answer, length: int | None) -> bytes:
    """The head of an answer. Without a length, the answer ends with the connection."""
    lines = [f"HTTP/1.1 {answer.status} {http.client.responses[answer.status]}", f"content-type: {answer.content_type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append("connection: close" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
