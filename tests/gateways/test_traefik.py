"""What Traefik 3.7 sends (pkg/middlewares/auth/forward.go), through the bridge of deploy/gateways/traefik on the real Caddy.

Where there is a Traefik (SIGNET_TEST_TRAEFIK), test_forward_auth.py and those beside it run it too.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from forward_auth import FORWARD_AUTH_LIMIT, GATEWAYS, Bridge, ForwardAuth
from gateway_fixtures import mortal
from identity import CLAIMS, all_of, bearer, claims_of, with_another_signature, without
from processes import Client, Service
from program import LOOPBACK, wait_until
from sidecar import Sidecar

__all__ = ["mortal"]

DYNAMIC = (GATEWAYS / "traefik/dynamic.yml").read_text()
ADDRESSES = re.findall(r'address: "http://127\.0\.0\.1:9465(/\S+)"', DYNAMIC)
# With trustForwardHeader: false, Traefik writes these itself; of the client's headers it sends authRequestHeaders.
FORWARDED = [
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Host", "shop.example.com"),
    ("X-Forwarded-Method", "POST"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Uri", "/orders/7?audience=x&scope="),
]


@pytest.fixture
def bridge(mortal: Sidecar) -> Iterator[ForwardAuth]:
    service = Service()
    bridge = Bridge(mortal.socket, service)
    yield bridge
    bridge.stop()
    service.stop()


@pytest.fixture
def client(bridge: ForwardAuth) -> Iterator[Client]:
    """Traefik, as the bridge sees it."""
    client = Client(bridge.port)
    yield client
    client.close()


def test_the_requests_of_traefik_are_judged_by_the_rules_of_dynamic_yml(mortal: Sidecar, client: Client) -> None:
    any_token, orders = ADDRESSES
    good, bare = (bearer(mortal.sign(claims)["token"]) for claims in [CLAIMS, without("scope")])
    for path in [any_token, orders]:
        answer = client.get(path, [good, *FORWARDED])
        assert answer.status == 200, answer
        assert all_of(answer.headers, "x-auth-subject") == [CLAIMS["sub"]]
        assert all_of(answer.headers, "x-auth-scope") == [CLAIMS["scope"]]
        claims = claims_of(*all_of(answer.headers, "x-auth-claims"))
        assert {name: claims[name] for name in CLAIMS} == CLAIMS
        for headers, statuses in [
            ([], {401}),
            ([bearer(with_another_signature(good[1].removeprefix("Bearer ")))], {401}),
            ([good, good], {400}),
        ]:
            answer = client.get(path, [*headers, *FORWARDED])
            assert answer.status in statuses, answer
            assert len(all_of(answer.headers, "www-authenticate")) == 1
            assert json.loads(answer.body)["status"] == answer.status
    assert client.get(any_token, [bare, *FORWARDED]).status == 200
    assert client.get(orders, [bare, *FORWARDED]).status == 403


def test_the_bridge_lets_nothing_else_through(mortal: Sidecar, client: Client) -> None:
    for method, path in [
        ("POST", "/v1/sign"),
        ("POST", "/v1/authorize"),
        ("GET", "/v1/ring"),
        ("GET", "/v1/authorize/../ring"),
        ("POST", "/v1/verify"),
        ("GET", "/"),
    ]:
        client.connection.request(method, path, "{}")
        answer = client.connection.getresponse()
        answer.read()
        assert answer.status in {400, 404}, (method, path)


def test_a_sidecar_that_hangs_or_is_gone_is_told_at_once_and_is_back_at_once(mortal: Sidecar, client: Client) -> None:
    path, good = ADDRESSES[0], [bearer(mortal.sign(CLAIMS)["token"]), *FORWARDED]
    assert client.get(path, good).status == 200
    mortal.pause()
    try:
        began = time.monotonic()
        answer = client.get(path, good)
        assert time.monotonic() - began < FORWARD_AUTH_LIMIT
    finally:
        mortal.resume()
    assert (answer.status, all_of(answer.headers, "retry-after")) == (503, ["1"])
    mortal.kill()
    assert client.get(path, good).status == 503
    mortal.revive()
    wait_until(lambda: client.get(path, good).status == 200, 5, "the bridge asks the sidecar again")


def test_every_rule_of_dynamic_yml_takes_the_identity_from_signet_alone() -> None:
    # As ForwardAuth deletes of the client's headers what authResponseHeaders names, and `headers` what is empty.
    assert len(ADDRESSES) == 2
    assert "authResponseHeaders: [X-Auth-Subject, X-Auth-Scope, X-Auth-Claims]" in DYNAMIC
    assert "trustForwardHeader: false" in DYNAMIC
    for name in ["X-Auth-Subject", "X-Auth-Scope", "X-Auth-Claims"]:
        assert f'{name}: ""' in DYNAMIC
    static = (GATEWAYS / "traefik/traefik.yml").read_text()
    assert "aliasHeadersStrategy: delete" in static
    assert LOOPBACK in DYNAMIC
