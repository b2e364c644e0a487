"""Compares our own gateway with KrakenD's engine, with the same files, backends and requests. A client must get the same
answers, except for the differences in docs/gateway.md. The files are generated from seeds, which a failure names."""

from __future__ import annotations

import http.client
import json
import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jwks_gateways import KRAKEND
from krakend_files import Backend, Documents, Endpoints, for_the_peer
from processes import Service
from program import LOOPBACK, Program, answers, free_port

FILES = int(os.environ.get("SIGNET_DIFFERENTIAL_FILES", "40"))
ENDPOINTS = 50
SIGNET_GATEWAY = Path(os.environ.get("SIGNET_BIN", "target/debug/signet")).parent / "signet-gateway"

pytestmark = pytest.mark.skipif(
    KRAKEND is None, reason="LEFT OUT: KrakenD: SIGNET_TEST_KRAKEND names no program; tests/run.sh builds it with Go"
)


class Gateway(Program):
    """A gateway with a file."""

    def __init__(self, name: str, start: Sequence[str | Path], file: dict[str, Any]) -> None:
        self.name, self._start, self._file = name, start, file
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        path = self.directory / "krakend.json"
        path.write_text(json.dumps(self._file | {"port": self.port, "listen_ip": LOOPBACK}))
        return [*self._start, path]

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.port}/__health")


def asked(port: int, path: str) -> dict[str, Any]:
    """The answer to a client, with numbers in their original spelling."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    kind = (answer.getheader("content-type") or "").split(";")[0]
    body: Any = text
    if kind == "application/json":
        body = json.loads(text, parse_int=lambda digits: f"number {digits}", parse_float=lambda digits: f"number {digits}")
    return {
        "status": answer.status,
        "completed": answer.getheader("x-krakend-completed"),
        "cache-control": answer.getheader("cache-control"),
        "type": kind if text else "",
        "body": body,
    }


@pytest.mark.parametrize("seed", range(FILES))
def test_a_file_is_served_as_krakend_serves_it(seed: int) -> None:
    documents = Documents(seed)
    backend = Backend(documents)
    endpoints = Endpoints(seed, documents).some(ENDPOINTS)
    file = {"version": 3, "host": [f"http://{LOOPBACK}:{backend.port}"], "endpoints": endpoints}
    ours = Gateway("signet-gateway", [SIGNET_GATEWAY, "run", "-c"], file)
    theirs = Gateway("krakend", [KRAKEND or "krakend"], for_the_peer(file))
    try:
        differences = []
        for endpoint in endpoints:
            path = endpoint["endpoint"]
            one, other = asked(ours.port, path), asked(theirs.port, path)
            if one != other:
                asks = {pattern: documents.by_path.get(pattern.split("?")[0]) for pattern in
                        (backend["url_pattern"] for backend in endpoint["backend"])}
                differences.append({"endpoint": endpoint, "backends": asks, "ours": one, "theirs": other})
        shown = json.dumps(differences[:3], indent=1, ensure_ascii=False)
        assert not differences, f"seed {seed}, {len(differences)} of {len(endpoints)} endpoints: {shown}"
    finally:
        ours.stop()
        theirs.stop()
        backend.stop()


REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("/of/7/x", {}),
    ("/of/a-b_c.d~e/x?a=1&b=2&c=3", {"X-A": "1", "X-B": "2", "Cookie": "a=b"}),
    ("/of/7/x?b=2&a=1&a=0&A=5", {"x-a": "lower", "Authorization": "Bearer x", "Content-Type": "text/plain"}),
    ("/of/7/x?a=%C3%BC%26c%3D1&b=", {"X-A": "1", "User-Agent": "me"}),
    ("/all?z=1&a=2&a=1", {"X-Anything": "1", "Cookie": "a=b", "User-Agent": "me", "Accept": "text/html"}),
    ("/all", {}),
    ("/none?a=1", {"X-A": "1", "Content-Type": "text/plain"}),
    ("/filtered?a=1&b=2", {"X-A": "1", "X-B": "2"}),
]
# Headers of the connection, and those that name the gateway.
OWN = {"host", "accept-encoding", "connection", "content-length", "transfer-encoding", "x-forwarded-via", "x-forwarded-host",
       "x-forwarded-proto"}


def reached(port: int, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """The parts of a request that reach the backend."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    got = {name.lower(): value for name, value in answer["headers"] if name.lower() not in OWN}
    if "user-agent" not in {name.lower() for name in headers}:
        assert got.pop("user-agent")
    url = urllib.parse.urlsplit(answer["path"])
    return {"path": url.path, "query": urllib.parse.parse_qsl(url.query, keep_blank_values=True), "headers": got}


def test_of_a_request_the_same_reaches_the_backend(service: Service) -> None:
    endpoints = [
        {
            "endpoint": "/of/{id}/x",
            "input_headers": ["X-A", "Content-Type", "user-agent"],
            "input_query_strings": ["a", "b"],
            "backend": [{"url_pattern": "/v1/{id}?fixed=1"}],
        },
        {"endpoint": "/all", "input_headers": ["*"], "input_query_strings": ["*"], "backend": [{"url_pattern": "/all"}]},
        {"endpoint": "/none", "backend": [{"url_pattern": "/none"}]},
        {
            "endpoint": "/filtered",
            "input_headers": ["X-A", "X-B"],
            "input_query_strings": ["a", "b"],
            # In KrakenD, the list of a backend also removes headers that the gateway itself adds.
            "backend": [{"url_pattern": "/filtered", "input_headers": ["X-B", "X-Forwarded-For"]}],
        },
    ]
    file = {"version": 3, "host": [f"http://{LOOPBACK}:{service.port}"], "endpoints": endpoints}
    ours = Gateway("signet-gateway", [SIGNET_GATEWAY, "run", "-c"], file)
    theirs = Gateway("krakend", [KRAKEND or "krakend"], file)
    try:
        for path, headers in REQUESTS:
            assert reached(ours.port, path, headers) == reached(theirs.port, path, headers), path
    finally:
        ours.stop()
        theirs.stop()
