"""What stands between Signet and a provider: it counts the requests, and misbehaves when it is told to."""

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
# Where a redirect leads: the provider's JWKS is there too, so that whoever follows gets good keys.
ELSEWHERE = "/elsewhere"
LONGEST_HEAD = 64 * 1024
SEND_BUFFER = 64 * 1024
# How TLS begins (RFC 8446 §5.1).
HANDSHAKE = b"\x16"


class Gone(Exception):
    """The other side closed the connection, or the test took the fault away."""


@dataclass
class Answer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """One request. Instants are of `time.monotonic`."""

    at: float
    path: str
    # How much of an answer the other side's system took.
    octets: int = 0
    until: float | None = None

    @property
    def took(self) -> float:
        """How long it was under way, in seconds."""
        return (self.until or time.monotonic()) - self.at


class Exchange:
    """One request of a connection, for a fault to answer or not."""

    def __init__(self, proxy: Proxy, client: socket.socket, head: str, seen: Seen) -> None:
        self.proxy, self.client, self.head, self.seen = proxy, client, head, seen

    def forwarded(self) -> Answer:
        """What the provider says."""
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
        """Sends an answer as it is."""
        self.send(head(answer, len(answer.body)) + answer.body)

    def send(self, octets: bytes) -> None:
        """Sends octets as they are, and counts those that the other side's system took."""
        view = memoryview(octets)
        while view:
            try:
                sent = self.client.send(view)
            except OSError as error:
                raise Gone from error
            self.seen.octets += sent
            view = view[sent:]

    def wait(self, seconds: float | None = None) -> None:
        """Does nothing for a time, or until the other side has enough."""
        readable, _, _ = select.select([self.client], [], [], seconds)
        if readable:
            raise Gone


Fault = Callable[[Exchange], None]


class Proxy:
    """One listener in front of one provider."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        # What it speaks TLS with, and whether those who ask expect any.
        self._tls, self._scheme = tls, "https" if tls else "http"
        # By path, what is done instead of forwarding.
        self.faults: dict[str, Fault] = {}
        self.provider = 0
        # As a provider, or what is before it, says it: `Cache-Control` of the JWKS.
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
        """The issuer that is found behind it."""
        return f"{self._scheme}://{LOOPBACK}:{self.port}"

    def speak(self, tls: ssl.SSLContext | None) -> None:
        """TLS with another certificate from now on, or none although it is expected. No connection is kept."""
        self._tls = tls
        self._hang_up(self._connections)

    def misbehave(self, fault: Fault, *paths: str) -> None:
        """From now on, and for what is under way too."""
        self.faults = dict.fromkeys(paths or (JWKS,), fault)
        self._hang_up(self._busy)

    def behave(self) -> None:
        """Forwards again."""
        self.faults = {}
        self._hang_up(self._busy)

    def down(self) -> None:
        """Connections are refused. The port stays ours."""
        if self.is_up:
            self.is_up = False
            # A blocked `accept` does not notice that its socket is closed, but that it is shut down.
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
        """For good."""
        self.down()
        self._listener.close()

    def seen(self, path: str | None = None, since: float = 0) -> list[Seen]:
        """The requests, of a path or of all, from an instant on."""
        with self._lock:
            return [seen for seen in self._seen if seen.at >= since and path in (None, seen.path)]

    def wait_for_fetches(self, times: int = 1, path: str = JWKS, limit: float = 30) -> None:
        """Until so many requests that come from now on have ended."""
        since = time.monotonic()

        def ended() -> bool:
            return sum(seen.until is not None for seen in self.seen(path, since)) >= times

        wait_until(ended, limit, f"{times} requests for {path}")

    def _hang_up(self, connections: set[socket.socket]) -> None:
        with self._lock:
            for connection in connections:
                with contextlib.suppress(OSError):
                    # That of TLS would leave the thread that reads from it with plain text.
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
                # The other side does not like the certificate.
                client.close()
                return
        self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        # So that what the system took of an answer is about what the other side read.
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
    """The head of the next request, or nothing when the connection ends. No request here has a body."""
    octets = b""
    while not octets.endswith(b"\r\n\r\n") and len(octets) < LONGEST_HEAD:
        piece = client.recv(4096)
        if not piece:
            return ""
        octets += piece
        if octets.startswith(HANDSHAKE):
            # As servers of plain HTTP do when TLS is spoken to them.
            client.sendall(head(Answer(400, "text/plain", b""), None))
            return ""
    return octets.decode("latin-1")


def head(answer: Answer, length: int | None) -> bytes:
    """The head of an answer, which ends with the connection if no length is given."""
    lines = [f"HTTP/1.1 {answer.status} {http.client.responses[answer.status]}", f"content-type: {answer.content_type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append("connection: close" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
