"""signet-gateway with deploy/gateways/signet/krakend.json: which requests are allowed, what the services get, and what a
client gets while keys rotate and the sidecar is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from gateway_fixtures import client, issuer
from identity import (
    AUDIENCE,
    BASIC,
    CLAIMS,
    FORGED,
    IDENTITY,
    NO_TOKEN,
    SCOPE,
    SCOPE_HEADER,
    SUBJECT_HEADER,
    all_of,
    bearer,
)
from jwks_gateways import after_rotations, assert_an_rsa_key_verifies_none_of, random_kids
from own_issuer import Issuer, bad_tokens
from processes import Answer, Client, Service
from sidecar import Sidecar
from signet_gateway import SignetGateway
from trouble import statuses

__all__ = ["client", "issuer"]


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, service: Service) -> Iterator[SignetGateway]:
    """The gateway with the JWKS of the issuer."""
    gateway = SignetGateway(issuer.issuer, service)
    yield gateway
    assert gateway.stop() == 0


def identity(answer: Answer) -> dict[str, list[str]]:
    """Everything that looks like an identity, as it arrived."""
    names = {key.lower() for key, _ in answer.arrived if "auth" in key.lower() and key.lower() != "authorization"}
    return {name: all_of(answer.arrived, name) for name in names}


def test_a_good_token_passes_and_the_service_gets_its_identity(issuer: Issuer, client: Client) -> None:
    for path, audience in [("/orders", AUDIENCE), ("/orders?page=2&other=3", ["a", "b", AUDIENCE])]:
        token = issuer.token(issuer.claims(aud=audience))
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert identity(answer) == {SUBJECT_HEADER: [CLAIMS["sub"]], SCOPE_HEADER: [CLAIMS["scope"]]}
        assert all_of(answer.arrived, "authorization") == [f"Bearer {token}"]
        # Only the listed query parameters.
        assert json.loads(answer.body)["path"] == path.partition("&")[0]


def test_two_services_are_merged_and_the_subject_of_the_token_is_in_their_paths(issuer: Issuer, client: Client) -> None:
    answer = client.get("/account", [bearer(issuer.token(issuer.claims(sub="user/7?")))])
    assert answer.status == 200, answer.body
    body = json.loads(answer.body)
    assert (body["account"]["path"], body["orders"]) == ("/accounts/user%2F7%3F", {"path": "/orders?of=user%2F7%3F"})
    assert all_of(answer.headers, "x-krakend-completed") == ["true"]


def test_a_bad_token_stays_out_with_a_challenge(issuer: Issuer, client: Client) -> None:
    now = int(time.time())
    for path in ["/orders", "/account", "/orders/7/customer"]:
        for what, token in bad_tokens(issuer).items():
            answer = client.get(path, [bearer(token)])
            assert answer.status == 401, (path, what)
            assert all_of(answer.headers, "www-authenticate")[0].startswith("Bearer "), (path, what)
        for claims in [{"exp": now - 5}, {"exp": 0}, {"exp": "soon"}, {"exp": 10**30}, {"nbf": now + 60}, {"exp": None}]:
            assert client.get(path, [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, (path, claims)
        assert client.get(path, [bearer(issuer.token(issuer.claims(), crit=["b64"], b64=False))]).status == 401


def test_a_request_without_a_token_stays_out_and_a_cookie_is_none(issuer: Issuer, client: Client) -> None:
    token = issuer.token(issuer.claims())
    for headers in [*NO_TOKEN, [("cookie", f"access_token={token}")], [BASIC, bearer(token)], [bearer(token), BASIC]]:
        answer = client.get(f"/orders?access_token={token}", headers)
        # Two credentials are malformed, and so is the name of the scheme alone (RFC 6750 §3.1).
        status = 400 if len(headers) == 2 or headers == [("authorization", "Bearer")] else 401
        assert (answer.status, len(all_of(answer.headers, "www-authenticate"))) == (status, 1), headers


def test_what_a_client_forged_does_not_arrive(issuer: Issuer, client: Client) -> None:
    token = bearer(issuer.token(issuer.claims()))
    good = {SUBJECT_HEADER: [CLAIMS["sub"]], SCOPE_HEADER: [CLAIMS["scope"]]}
    names = [*IDENTITY, *(name.upper() for name in IDENTITY), "x_auth_subject", "X_AUTH-Scope", "x.auth.subject"]
    for name in names:
        forged = [(name, "forged"), (name, "forged too"), (name, "")]
        answer = client.get("/orders", [*forged, token, *forged])
        assert (answer.status, identity(answer)) == (200, good), name
        answer = client.get("/public/page", [*forged, token])
        assert (answer.status, identity(answer), all_of(answer.arrived, "authorization")) == (200, {}, []), name
    for name in IDENTITY:
        assert identity(client.get("/orders", [token, ("Connection", name)])) == good, name
    nobody = bearer(issuer.token(issuer.claims(sub=None)))
    assert identity(client.get("/orders", [*FORGED, nobody])) == {SCOPE_HEADER: [CLAIMS["scope"]]}


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(issuer: Issuer, client: Client) -> None:
    for scope in [None, "orders:readonly xorders:read", "orders:read2", ""]:
        token = bearer(issuer.token(issuer.claims(scope=scope, org={"scope": SCOPE})))
        assert (client.get("/orders", [token]).status, client.get("/account", [token]).status) == (403, 200), scope


def test_a_path_that_is_written_otherwise_opens_nothing(issuer: Issuer, client: Client) -> None:
    token = bearer(issuer.token(issuer.claims(scope=None)))
    odd = ["/public/../orders", "//orders", "/public/..%2forders", "/./orders", "/public\\..\\orders", "/public/..;/orders", "/orders;x"]
    for path in [*odd, "/public/%2e%2e/orders", "/public/%5c../orders", "/orders/", "/ORDERS"]:
        assert client.get(path).status in (400, 404), path
        assert client.get(path, [token]).status in (400, 404), path


def test_a_thousand_unknown_kids_cause_one_fetch_and_good_tokens_pass_all_the_same(
    issuer: Issuer, client: Client, figure: Callable[[str], None]
) -> None:
    good = issuer.token(issuer.claims())
    assert statuses(client, good) == {200}
    began, before = time.monotonic(), issuer.fetches
    assert random_kids(issuer, client, 1000) == {401}
    took, fetches = time.monotonic() - began, issuer.fetches - before
    assert fetches <= 1 + took / 10, "one at most every 10 s"
    assert statuses(client, good) == {200}
    figure(f"signet-gateway: 1000 tokens of random kids make it fetch the keys {fetches} times, {took:.2f} ms each")


def test_no_good_token_is_refused_through_three_rotations_under_load(service: Service, figure: Callable[[str], None]) -> None:
    with after_rotations("signet-gateway", lambda sidecar: SignetGateway(sidecar.issuer, service, cache_duration=1), figure):
        pass


def test_an_rsa_key_verifies_its_own_algorithm_only(service: Service) -> None:
    issuer = Issuer("RS256")
    gateway = SignetGateway(issuer.issuer, service, algorithm="RS256")
    client = Client(gateway.port)
    try:
        assert_an_rsa_key_verifies_none_of(["RS512", "PS256", "ES256", "none", "rs256", None], issuer, client)
    finally:
        client.close()
        assert gateway.stop() == 0
        issuer.stop()


def test_while_the_sidecar_hangs_or_is_gone_tokens_pass_and_nothing_else_does(service: Service) -> None:
    mortal = Sidecar(algorithm="ES256")
    gateway = SignetGateway(mortal.issuer, service)
    client = Client(gateway.port)
    try:
        good = mortal.sign(CLAIMS)["token"]
        assert statuses(client, good) == {200}
        mortal.pause()
        began = time.monotonic()
        assert statuses(client, good) == {200}
        assert time.monotonic() - began < 2, "no request waits for the sidecar"
        mortal.resume()
        mortal.kill()
        assert (statuses(client, good, 3), random_kids(None, client, 5)) == ({200}, {401})
        mortal.revive()
        assert statuses(client, mortal.sign(CLAIMS)["token"]) == {200}
    finally:
        mortal.resume()
        client.close()
        assert gateway.stop() == 0
        assert mortal.stop() == 0
