#!/usr/bin/env python3
"""The cost of a decision: Signet's `authorize` and `Check`, compared with Envoy's own `jwt_authn` on the same
request.

    SIGNET_BIN=target/release/signet python benches/gateways.py

Needs the packages of tests/gateways/requirements.txt. Prints a table in Markdown. Each figure is the CPU time of a
whole server process for one request, including the kernel (`/proc/PID/task/*/schedstat`), as the median of rounds. 16
requests are in flight at a time, as in a gateway under load: with only one, the figure would mostly show how the
machine wakes up. The figure for Envoy is the difference to a listener without a filter in the same process.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tests/gateways")]

from check import Checker  # noqa: E402
from identity import AUDIENCE, CLAIMS, bearer  # noqa: E402
from processes import envoy_binary  # noqa: E402
from program import LOOPBACK, Program, answers, free_port  # noqa: E402
from sidecar import Sidecar  # noqa: E402

ROUNDS = 9
REQUESTS = 3200
IN_FLIGHT = 16
# How many tokens are signed at once.
BATCH = 100


class Raw:
    """Open connections with one request in flight on each."""

    def __init__(self, address: str | tuple[str, int], path: str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sockets = [socket.socket(family) for _ in range(IN_FLIGHT)]
        for each in self.sockets:
            each.connect(address)
        self.path = path

    def ask(self, tokens: Sequence[str]) -> None:
        for each, token in zip(self.sockets, tokens, strict=True):
            head = f"GET {self.path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
            each.sendall(head.encode())
        for each in self.sockets:
            answer = each.recv(65536)
            # No answer has a body here.
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n"), answer


class Envoy(Program):
    """Four listeners that answer themselves and differ in who decides."""

    name = "envoy"
    listeners = ("nobody", "jwt_authn", "jwt_authn with its cache", "ext_authz")

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        with urllib.request.urlopen(f"{sidecar.issuer}/.well-known/jwks.json") as answer:
            self._jwks = answer.read().decode()
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.admin = free_port()
        self.ports = {name: free_port() for name in self.listeners}
        configuration = self.directory / "envoy.json"
        configuration.write_text(json.dumps(self._configuration()))
        return [
            envoy_binary(), "-c", configuration, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.admin}/ready")

    def _configuration(self) -> dict[str, Any]:
        cluster = {
            "name": "signet",
            "load_assignment": {
                "cluster_name": "signet",
                "endpoints": [
                    {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(self._sidecar.socket)}}}}]}
                ],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
        }
        return {
            "admin": {"address": address(self.admin)},
            "static_resources": {
                "listeners": [self._listener(name, port) for name, port in self.ports.items()],
                "clusters": [cluster],
            },
        }

    def _listener(self, name: str, port: int) -> dict[str, Any]:
        filters = [self._filter(name)] if name != "nobody" else []
        router = extension("envoy.filters.http.router", "http.router.v3.Router")
        manager = extension(
            "envoy.filters.network.http_connection_manager",
            "network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=name,
            http_filters=[*filters, router],
            route_config={
                "virtual_hosts": [
                    {
                        "name": "all",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                    }
                ]
            },
        )
        return {"name": name, "address": address(port), "filter_chains": [{"filters": [manager]}]}

    def _filter(self, name: str) -> dict[str, Any]:
        if name == "ext_authz":
            return extension(
                "envoy.filters.http.ext_authz",
                "http.ext_authz.v3.ExtAuthz",
                transport_api_version="V3",
                grpc_service={"envoy_grpc": {"cluster_name": "signet"}, "timeout": "1s"},
                allowed_headers={"patterns": [{"exact": "authorization"}]},
            )
        provider: dict[str, Any] = {
            "issuer": self._sidecar.issuer,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": self._jwks},
            "forward_payload_header": "x-auth-claims",
            "claim_to_headers": [
                {"claim_name": "sub", "header_name": "x-auth-subject"},
                {"claim_name": "scope", "header_name": "x-auth-scope"},
            ],
        }
        if name.endswith("cache"):
            provider["jwt_cache_config"] = {"jwt_cache_size": 10_000}
        rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "signet"}}]
        return extension(
            "envoy.filters.http.jwt_authn",
            "http.jwt_authn.v3.JwtAuthentication",
            providers={"signet": provider},
            rules=rules,
        )


def extension(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    """An extension of Envoy in its JSON form."""
    url = f"type.googleapis.com/envoy.extensions.filters.{kind}"
    return {"name": name, "typed_config": {"@type": url, **settings}}


def address(port: int) -> dict[str, Any]:
    """A loopback address in Envoy's JSON form."""
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def cpu_nanos(program: Program) -> int:
    """The CPU time that a process has used."""
    tasks = Path(f"/proc/{program.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def micros(
    programs: Sequence[Program], ask: Callable[[Sequence[str]], object], tokens: Callable[[], Iterator[str]]
) -> float:
    """CPU time of these processes for one request, the median of rounds."""
    rounds = []
    for _ in range(ROUNDS):
        these = list(islice(tokens(), REQUESTS))
        before = sum(map(cpu_nanos, programs))
        for first in range(0, REQUESTS, IN_FLIGHT):
            ask(these[first : first + IN_FLIGHT])
        rounds.append((sum(map(cpu_nanos, programs)) - before) / REQUESTS / 1000)
    return statistics.median(rounds)


def main() -> None:
    sidecar = Sidecar(algorithm="ES256", audience=AUDIENCE)
    envoy = Envoy(sidecar)

    def unseen() -> Iterator[str]:
        while True:
            yield from (item["token"] for item in sidecar.sign_batch([CLAIMS] * BATCH))

    def seen() -> Iterator[str]:
        return repeat(sidecar.sign(CLAIMS)["token"])

    through = {name: Raw((LOOPBACK, port), "/") for name, port in envoy.ports.items()}
    authorize = Raw(str(sidecar.socket), "/v1/authorize")
    rows = []
    with Checker(sidecar.socket) as checker:
        for word, tokens in (("seen", seen), ("unseen", unseen)):
            cost = {name: micros([envoy], raw.ask, tokens) for name, raw in through.items() if name != "ext_authz"}
            bare = cost["nobody"]
            rows += [
                (f"Signet `authorize`, {word}", micros([sidecar], authorize.ask, tokens)),
                (
                    f"Signet `Check`, {word}",
                    micros([sidecar], lambda these: checker.ask_all([bearer(token)] for token in these), tokens),
                ),
                (f"Envoy `jwt_authn`, {word}", cost["jwt_authn"] - bare),
                (f"Envoy `jwt_authn` with `jwt_cache_config`, {word}", cost["jwt_authn with its cache"] - bare),
                (
                    f"Envoy `ext_authz` and Signet together, {word}",
                    micros([envoy, sidecar], through["ext_authz"].ask, tokens) - bare,
                ),
            ]
    print("| who decides | CPU µs for one decision |\n|---|---:|")
    for what, cost in rows:
        print(f"| {what} | {cost:.1f} |")
    envoy.stop()
    sidecar.stop()


if __name__ == "__main__":
    main()
