"""All gateways with the maximum that Signet accepts and returns: a token of 16 KiB, and the identity headers of
SIGNET_CLAIM_HEADERS_MAX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authority import Authority
from gateway_fixtures import FORWARD_AUTH, kind
from identity import AUDIENCE, CLAIMS, CLAIMS_HEADER, IDENTITY, SCOPE_HEADER, SUBJECT_HEADER, all_of, bearer, claims_of
from jwks_gateways import KRAKEND, Apache, HAProxy, KrakenD, has
from own_issuer import Issuer, base64url
from processes import Client, Envoy, Service
from sidecar import Sidecar

# SIGNET_CLAIM_HEADERS_MAX counts names, colons, spaces and line ends.
MOST = 8192
LONGEST_TOKEN = 16 * 1024


class Trusting(Sidecar):
    """A sidecar that trusts the test's own issuer, whose tokens may have headers that Signet never writes."""

    def __init__(self, issuer: Issuer) -> None:
        self._trusted = issuer
        super().__init__(algorithm="ES256", trusted_issuers=issuer.issuer)

    def command(self) -> Any:
        text = f'[trusted_issuers."{self._trusted.issuer}"]\njwks_url = "{self._trusted.issuer}/jwks"\naudiences = ["{AUDIENCE}"]\n'
        file = self.directory / "signet.toml"
        file.write_text(text)
        self._settings |= {"config": str(file)}
        return super().command()


def identity_size(claims: dict[str, Any]) -> int:
    """The size of the identity headers for these claims in bytes, as Signet counts it."""
    values = [claims["sub"], claims["scope"], base64url(json.dumps(claims, ensure_ascii=False).encode())]
    return sum(len(name) + 4 + len(value) for name, value in zip(IDENTITY, values, strict=True))


def largest(issuer: Issuer) -> tuple[dict[str, Any], str]:
    """Claims with the largest possible identity headers, in a token of the maximum length."""
    claims = issuer.claims(scope="orders:read", pad="")
    # Three bytes are four characters of base64url. A subject fills the rest, because it is in two headers.
    while identity_size(claims | {"pad": claims["pad"] + "x"}) <= MOST:
        claims["pad"] += "x"
    while identity_size(claims) < MOST:
        claims["scope"] += "x" if claims["scope"] != "orders:read" else " x"
        while identity_size(claims) > MOST:
            claims["pad"] = claims["pad"][:-1]
    assert identity_size(claims) == MOST
    # An unknown header fills the rest, like the certificates (x5c) of some issuers.
    filling = ""
    while len(issuer.token(claims, filling=filling + "AAA")) <= LONGEST_TOKEN:
        filling += "AAA"
    token = issuer.token(claims, filling=filling)
    assert LONGEST_TOKEN - 4 <= len(token) <= LONGEST_TOKEN
    return claims, token


def assert_all_arrives(client: Client, claims: dict[str, Any], token: str, fixed: bool = True) -> None:
    """The service gets the token, and all headers of its identity, complete."""
    for path in ["/orders", "/orders"]:
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, (answer.status, answer.body[:300])
        assert all_of(answer.arrived, "authorization") == [f"Bearer {token}"]
        assert all_of(answer.arrived, SUBJECT_HEADER) == [claims["sub"]]
        assert all_of(answer.arrived, SCOPE_HEADER) == [claims["scope"]]
        if fixed:
            assert claims_of(*all_of(answer.arrived, CLAIMS_HEADER)) == claims


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose private key the test has."""
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def trusting(issuer: Issuer) -> Iterator[Trusting]:
    """A sidecar that trusts it."""
    trusting = Trusting(issuer)
    yield trusting
    assert trusting.stop() == 0


@pytest.mark.parametrize("name", list(FORWARD_AUTH))
def test_the_largest_token_and_identity_pass_a_gateway_that_asks_signet(
    name: str, trusting: Trusting, issuer: Issuer, service: Service
) -> None:
    gateway = kind(name)(trusting.socket, service)
    client = Client(gateway.port)
    try:
        claims, token = largest(issuer)
        assert_all_arrives(client, claims, token)
        # With one byte more, Signet says what is wrong. No gateway treats it as an outage.
        claims["pad"] += "xxx"
        assert client.get("/orders", [bearer(issuer.token(claims))]).status == 403
        longer = issuer.token(claims, filling="A" * LONGEST_TOKEN)
        assert client.get("/orders", [bearer(longer[: LONGEST_TOKEN + 1])]).status == 401
    finally:
        client.close()
        gateway.stop()


def test_the_largest_token_and_identity_pass_envoy(trusting: Trusting, issuer: Issuer, service: Service) -> None:
    envoy = Envoy(trusting, service)
    client = Client(envoy.ext_authz)
    try:
        assert_all_arrives(client, *largest(issuer))
    finally:
        client.close()
        envoy.stop()


def test_the_largest_token_passes_envoys_own_filter(issuer: Issuer, service: Service) -> None:
    sidecar = Sidecar(algorithm="ES256")
    envoy = Envoy(sidecar, service)
    client = Client(envoy.jwt_authn)
    try:
        claims = CLAIMS | {"pad": "x" * 11_000}
        token = sidecar.sign(claims)["token"]
        answer = client.get("/orders", [bearer(token)])
        assert answer.status == 200, answer.body[:300]
        assert claims_of(*all_of(answer.arrived, CLAIMS_HEADER))["pad"] == claims["pad"]
    finally:
        client.close()
        envoy.stop()
        assert sidecar.stop() == 0


def longest_of_claims(issuer: Issuer) -> tuple[dict[str, Any], str]:
    """A token of the maximum length that is mostly claims. A gateway that verifies itself passes all of them on."""
    claims = issuer.claims(pad="")
    while len(issuer.token(claims | {"pad": claims["pad"] + "xxx"})) <= LONGEST_TOKEN:
        claims["pad"] += "xxx"
    return claims, issuer.token(claims)


@pytest.mark.skipif(not has("haproxy"), reason="LEFT OUT: HAProxy: this machine has none (Debian: apt install haproxy)")
def test_the_longest_token_passes_haproxy(issuer: Issuer, service: Service) -> None:
    haproxy = HAProxy(issuer.issuer, service)
    client = Client(haproxy.port)
    try:
        for claims, token in [longest_of_claims(issuer), largest(issuer)]:
            assert_all_arrives(client, claims, token)
    finally:
        client.close()
        haproxy.stop()


@pytest.mark.skipif(not has("apache2"), reason="LEFT OUT: Apache: this machine has none (Debian: apt install apache2)")
def test_the_longest_token_passes_apache(service: Service, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issuer = Issuer(certificate=authority.certificate())
    apache = Apache(issuer.issuer, authority, service)
    client = Client(apache.port)
    try:
        for claims, token in [longest_of_claims(issuer), largest(issuer)]:
            assert_all_arrives(client, claims, token)
    finally:
        client.close()
        apache.stop()
        issuer.stop()


@pytest.mark.skipif(KRAKEND is None, reason="LEFT OUT: KrakenD: tests/run.sh builds it where there is Go")
def test_the_longest_token_passes_krakend(issuer: Issuer, service: Service) -> None:
    krakend = KrakenD(issuer.issuer, service)
    client = Client(krakend.port)
    try:
        for claims, token in [longest_of_claims(issuer), largest(issuer)]:
            assert_all_arrives(client, claims, token, fixed=False)
    finally:
        client.close()
        krakend.stop()
