"""The real HAProxy with the files of deploy/gateways/haproxy: which requests are allowed, and what the service gets.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway_fixtures import client, issuer
from identity import (
    CLAIMS,
    FORGED,
    IDENTITY,
    NO_TOKEN,
    SCOPE_HEADER,
    SUBJECT_HEADER,
    all_of,
    assert_arrived,
    bearer,
    two_credentials,
)
from jwks_gateways import HAProxy, after_rotations, assert_an_rsa_key_verifies_none_of, missing, random_kids
from own_issuer import Issuer, bad_tokens
from processes import Client, Service
from program import wait_until
from sidecar import Sidecar
from trouble import statuses

__all__ = ["client", "issuer"]

LIMIT = 20.0

pytestmark = missing("haproxy", "HAProxy", "apt install haproxy")


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, service: Service) -> Iterator[HAProxy]:
    """HAProxy with the JWKS of the issuer."""
    haproxy = HAProxy(issuer.issuer, service)
    yield haproxy
    haproxy.stop()


def test_a_good_token_passes_and_the_service_gets_its_identity(issuer: Issuer, client: Client) -> None:
    for path, audience in [("/orders", CLAIMS["aud"]), ("/orders/7?page=2", ["a", "b", "c", CLAIMS["aud"]]), ("/", [CLAIMS["aud"]])]:
        token = issuer.token(issuer.claims(aud=audience))
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert_arrived(answer.arrived, token, CLAIMS | {"aud": audience})


def test_a_bad_token_stays_out(issuer: Issuer, client: Client) -> None:
    # HAProxy reads claims from a token with a good signature even if they are not quite JSON.
    for what, token in bad_tokens(issuer).items():
        if what != "no JSON":
            answer = client.get("/orders", [bearer(token)])
            assert (answer.status, all_of(answer.headers, "www-authenticate")) == (401, ['Bearer error="invalid_token"']), what
    for claims in [{"exp": None}, {"exp": 10**30}, {"exp": int(time.time())}, {"exp": 0}, {"exp": "soon"}, {"nbf": 10**12}]:
        assert client.get("/orders", [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, claims
    assert client.get("/orders", [bearer(issuer.token(issuer.claims(), crit=["b64"], b64=False))]).status == 401


def test_a_request_without_a_token_gets_a_challenge(issuer: Issuer, client: Client) -> None:
    token = issuer.token(issuer.claims())
    assert all_of(client.get("/orders").headers, "www-authenticate") == ['Bearer realm="api"']
    for headers in [*NO_TOKEN, [("cookie", f"access_token={token}")], *two_credentials(token)]:
        assert client.get(f"/orders?access_token={token}", headers).status == 401, headers


def test_what_a_client_forged_does_not_arrive(issuer: Issuer, client: Client) -> None:
    token = bearer(issuer.token(issuer.claims()))
    names = [*IDENTITY, *(name.upper() for name in IDENTITY), "X-Auth-Subject", "x_auth_subject", "X_AUTH-Scope", "x.auth.claims"]
    for name in names:
        forged = [(name, "forged"), (name, "forged too"), (name, "")]
        answer = client.get("/orders", [*forged, token, *forged])
        assert answer.status == 200
        assert "forged" not in answer.body, name
        assert sorted(key for key, _ in answer.arrived if key.startswith("x")) == sorted(IDENTITY), name
        answer = client.get("/public/page", [*forged, token])
        assert (answer.status, [key for key, _ in answer.arrived if key.startswith("x")]) == (200, []), name
    answer = client.get("/", [*FORGED, bearer(issuer.token(issuer.claims(scope=None)))])
    assert (answer.status, all_of(answer.arrived, SCOPE_HEADER)) == (200, [])
    for name in IDENTITY:
        assert client.get("/orders", [token, ("Connection", name)]).status == 400


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(issuer: Issuer, client: Client) -> None:
    for scope in [None, "orders:readonly xorders:read", "orders:read2", ["orders:read"], "", {"orders:read": 1}]:
        token = bearer(issuer.token(issuer.claims(scope=scope, org={"scope": "orders:read"})))
        answer = client.get("/orders", [token])
        assert answer.status == 403, scope
        [challenge] = all_of(answer.headers, "www-authenticate")
        assert challenge.endswith('scope="orders:read"')
        assert client.get("/", [token]).status == 200


PATHS = ["/public/../orders", "//orders", "/%6frders", "/public/..%2forders", "/./orders", "/public\\..\\orders", "/public/..;/orders"]
PATHS += ["/public/%2e%2e/orders", "/orders;x", "/public/%5c../orders", "/public/.", "/public/..", "/public/%00"]


def test_a_path_that_is_written_otherwise_is_no_request(issuer: Issuer, client: Client) -> None:
    for path in PATHS:
        assert client.get(path).status == 400, path
        assert client.get(path, [bearer(issuer.token(issuer.claims(scope=None)))]).status == 400, path
    for path in ["/orders?redirect=//a/../b;c", "/orders/caf%C3%A9"]:
        assert client.get(path, [bearer(issuer.token(issuer.claims()))]).status == 200, path


def test_a_subject_beyond_ascii_arrives_unharmed_or_not_at_all(issuer: Issuer, client: Client) -> None:
    for subject in ["Ærø", "利用者", "zoë@example.com", 'a,b;c="d"', "a\\u0041"]:
        answer = client.get("/", [bearer(issuer.token(issuer.claims(sub=subject)))])
        assert (answer.status, all_of(answer.arrived, SUBJECT_HEADER)) == (200, [subject])
    # HAProxy would misread it.
    for subject in ["Ærø", "利用者", '"\\Æ']:
        assert client.get("/", [bearer(issuer.token(json.dumps(issuer.claims(sub=subject))))]).status == 401, subject


def test_a_claim_that_no_header_can_carry_injects_nothing(issuer: Issuer, client: Client) -> None:
    for text in ["a\r\nx-auth-scope: admin", "a\nb", "a\n", " a", "a ", "a\tb", "a\0b", "\x7f"]:
        for claims in [{"sub": text}, {"scope": f"orders:read {text}" if text[0] != " " else f" orders:read{text}"}]:
            assert client.get("/", [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, claims


def test_random_kids_cause_no_fetch(issuer: Issuer, client: Client) -> None:
    before = issuer.fetches
    assert random_kids(issuer, client, 200) == {401}
    assert issuer.fetches == before
    assert statuses(client, issuer.token(issuer.claims())) == {200}


def test_no_good_token_is_refused_through_three_rotations_under_load(service: Service, figure: Callable[[str], None]) -> None:
    with after_rotations("HAProxy", lambda sidecar: HAProxy(sidecar.issuer, service, 1.0), figure) as (sidecar, haproxy):
        loads = haproxy.refresher.log().count("was reloaded")
        figure(f"HAProxy was reloaded {loads} times for these")
        # Once for each key except the first two, which a slow start may see together.
        assert loads >= 3

        def tidy() -> bool:
            published = {kid for kid, phase in sidecar.phases().items() if phase in {"pending", "active", "retiring"}}
            return {path.stem for path in haproxy.keys.glob("*.pem")} == published

        wait_until(tidy, LIMIT, "the keys of HAProxy are those that are published, and no others")


# Members that make a good key useless.
USELESS: list[dict[str, Any]] = [
    {"kid": "a\n    http-request allow"},
    {"kid": "../a"},
    {"kid": "A" * 43},
    {"alg": "none"},
    {"alg": "ES384"},
    {"use": "enc"},
    {"x": "AA"},
    {"x": 7},
    {"kty": None},
]


def test_a_key_that_is_no_longer_published_is_refused_after_the_next_fetch(service: Service) -> None:
    first, other = Issuer(), Issuer()
    haproxy = HAProxy(first.issuer, service, 1.0)
    client = Client(haproxy.port)
    try:
        old, new = first.token(first.claims()), other.token(first.claims())
        assert (statuses(client, old), statuses(client, new)) == ({200}, {401})
        first.keys = other.keys
        wait_until(lambda: statuses(client, old, 1) == {401}, LIMIT, "the key is gone")
        assert statuses(client, new) == {200}
        # Nothing here is usable by HAProxy, so the last keys stay.
        good = other.keys[0]
        written = (haproxy.keys / "keys.cfg").read_text()
        for keys in [[], "no array", [{**good, **members} for members in USELESS]]:
            first.keys, before = keys, first.fetches
            wait_until(lambda: first.fetches > before + 1, LIMIT, "HAProxy was to get other keys")
            assert (haproxy.keys / "keys.cfg").read_text() == written, keys
            assert (statuses(client, new, 3), statuses(client, old, 3)) == ({200}, {401}), keys
        # One bad key does not prevent the use of the others.
        rsa = Issuer("RS256")
        rsa.stop()
        first.keys = [*first.keys, *rsa.keys, good]
        wait_until(lambda: len(list(haproxy.keys.glob("*.pem"))) == 2, LIMIT, "the good ones are used")
        assert statuses(client, new) == {200}
    finally:
        client.close()
        haproxy.stop()
        first.stop()
        other.stop()


def test_a_kid_that_looks_like_an_option_is_a_kid(service: Service) -> None:
    issuer = Issuer(begins="-")
    haproxy = HAProxy(issuer.issuer, service)
    client = Client(haproxy.port)
    try:
        assert issuer.kid[0] == "-"
        assert statuses(client, issuer.token(issuer.claims())) == {200}
        assert random_kids(issuer, client, 5) == {401}
    finally:
        client.close()
        haproxy.stop()
        issuer.stop()


def test_an_rsa_key_verifies_its_own_algorithm_only(service: Service) -> None:
    issuer = Issuer("RS256")
    haproxy = HAProxy(issuer.issuer, service)
    client = Client(haproxy.port)
    try:
        assert_an_rsa_key_verifies_none_of(["RS512", "PS256", "ES256", "none", "rs256", None], issuer, client)
    finally:
        client.close()
        haproxy.stop()
        issuer.stop()


def test_without_the_sidecar_haproxy_goes_on_and_without_keys_it_does_not_start(service: Service) -> None:
    mortal = Sidecar(algorithm="ES256")
    haproxy = HAProxy(mortal.issuer, service, 1.0)
    client = Client(haproxy.port)
    try:
        good = mortal.sign(CLAIMS)["token"]
        assert statuses(client, good) == {200}
        mortal.kill()
        wait_until(lambda: haproxy.refresher.log().count("next try") > 1, LIMIT, "it is noticed that Signet is gone")
        assert (statuses(client, good), random_kids(None, client, 5)) == ({200}, {401})
        assert subprocess.run([*haproxy.script, "--once"], capture_output=True, check=False).returncode == 1
        mortal.revive()
        assert statuses(client, mortal.sign(CLAIMS)["token"]) == {200}
    finally:
        client.close()
        haproxy.stop()
        assert mortal.stop() == 0
