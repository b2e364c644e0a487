"""Tests for Traefik only: its bridge to the socket, and what it sends there. The other tests run it together with
nginx and Caddy: test_forward_auth.py, test_forged_headers.py, test_forward_auth_trouble.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forward_auth import Tap, Traefik
from gateway_fixtures import client, tap
from identity import CLAIMS, IDENTITY, all_of, bearer
from processes import Client, Service
from sidecar import Sidecar

__all__ = ["client", "tap"]

# Besides the token: what Traefik adds to a request on its own, and what the bridge and HTTP add.
TOLD = {"for", "host", "method", "port", "proto", "uri"}
ADDED = {"host", "user-agent", "accept-encoding", "via"}


@pytest.fixture(scope="module")
def gateway(tap: Tap, service: Service) -> Iterator[Traefik]:
    """Traefik, its bridge, and a service behind it."""
    gateway = Traefik(tap.socket, service)
    yield gateway
    gateway.stop()


def test_signet_hears_of_a_client_its_token_and_where_it_goes(sidecar: Sidecar, client: Client, tap: Tap) -> None:
    before = len(tap.heard)
    way = [f"x-forwarded-{name}" for name in [*TOLD, "server", "prefix", "tls-client-cert"]] + ["x-real-ip", "x_forwarded_for"]
    forged = [(name, "forged") for name in [*way, *IDENTITY, "forwarded", "cookie", "user-agent", "accept"]]
    answer = client.get("/orders/7", [*forged, bearer(sidecar.sign(CLAIMS)["token"])])
    assert answer.status == 200
    # The service does not learn from the client which way the request came either.
    assert [name for name in way if "forged" in all_of(answer.arrived, name)] == []
    [request] = tap.heard[before:].split("\r\n\r\n")[:-1]
    line, *fields = request.split("\r\n")
    headers = dict(field.lower().split(": ", 1) for field in fields)
    assert line == "GET /v1/authorize?audience=https%3A%2F%2Forders.example.com&scope=orders%3Aread HTTP/1.1"
    assert set(headers) == {"authorization", *(f"x-forwarded-{name}" for name in TOLD), *ADDED}
    assert "forged" not in request
    assert headers["x-forwarded-uri"] == "/orders/7"


@pytest.mark.parametrize("character", ["%2f", "%5C", "%00", "%3b", "%25", "%3F", "%23"])
def test_an_encoded_character_that_may_be_read_in_two_ways_is_refused(sidecar: Sidecar, client: Client, character: str) -> None:
    good = bearer(sidecar.sign(CLAIMS)["token"])
    for path in ["/public/", "/orders/"]:
        assert client.get(f"{path}a%20b", [good]).status == 200
        assert client.get(f"{path}a{character}b", [good]).status == 400


def test_the_bridge_lets_nothing_else_through(gateway: Traefik) -> None:
    client = Client(gateway.bridge.port)
    assert client.get("/v1/authorize").status == 401
    for method, path in [
        ("POST", "/v1/sign"),
        ("POST", "/v1/authorize"),
        ("GET", "/v1/ring"),
        ("GET", "/v1/authorize/../ring"),
        ("POST", "/v1/verify"),
        ("POST", "/v1/introspect"),
        ("GET", "/"),
    ]:
        client.connection.request(method, path, "{}")
        answer = client.connection.getresponse()
        answer.read()
        assert answer.status in {400, 404}, (method, path)
    client.close()


def test_without_the_bridge_only_what_is_public_passes(sidecar: Sidecar, service: Service) -> None:
    gateway = Traefik(sidecar.socket, service)
    client = Client(gateway.port)
    good = bearer(sidecar.sign(CLAIMS)["token"])
    try:
        assert client.get("/orders", [good]).status == 200
        gateway.bridge.kill()
        for path in ["/orders", "/"]:
            for headers in [[good], []]:
                assert client.get(path, headers).status == 500
        assert client.get("/public/page").status == 200
    finally:
        client.close()
        gateway.stop()
