"""KrakenD's engine and token validator with deploy/gateways/krakend/krakend.json: which requests are allowed, and
what the service gets. They are KrakenD's own modules, combined by krakend/main.go."""

from __future__ import annotations

import json
import threading
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
    two_credentials,
)
from jwks_gateways import KRAKEND, KrakenD, after_rotations, assert_an_rsa_key_verifies_none_of, fetches_for_random_kids, random_kids
from own_issuer import Issuer, bad_tokens
from processes import Answer, Client, Service
from program import wait_until
from sidecar import Sidecar
from trouble import statuses

__all__ = ["client", "issuer"]

LIMIT = 20.0

pytestmark = pytest.mark.skipif(
    KRAKEND is None, reason="LEFT OUT: KrakenD: SIGNET_TEST_KRAKEND names no program; tests/run.sh builds it with Go"
)


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, service: Service) -> Iterator[KrakenD]:
    """KrakenD with the JWKS of the issuer."""
    krakend = KrakenD(issuer.issuer, service)
    yield krakend
    krakend.stop()


def identity(answer: Answer) -> dict[str, list[str]]:
    """Everything that looks like an identity, as it arrived."""
    names = {key.lower() for key, _ in answer.arrived if "auth" in key.lower() and key.lower() != "authorization"}
    return {name: all_of(answer.arrived, name) for name in names}


def test_a_good_token_passes_and_the_service_gets_its_identity(issuer: Issuer, client: Client) -> None:
    for path, audience in [("/orders", AUDIENCE), ("/orders?page=2&other=3", ["a", "b", AUDIENCE]), ("/account", [AUDIENCE])]:
        token = issuer.token(issuer.claims(aud=audience))
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert identity(answer) == {SUBJECT_HEADER: [CLAIMS["sub"]], SCOPE_HEADER: [CLAIMS["scope"]]}
        assert all_of(answer.arrived, "authorization") == [f"Bearer {token}"]
        # Only the listed query parameters.
        assert json.loads(answer.body)["path"] == path.partition("&")[0]


def test_a_bad_token_stays_out(issuer: Issuer, client: Client) -> None:
    now = int(time.time())
    for path in ["/orders", "/account"]:
        for what, token in bad_tokens(issuer).items():
            assert client.get(path, [bearer(token)]).status == 401, (path, what)
        for claims in [{"exp": now - 5}, {"exp": 0}, {"exp": "soon"}, {"exp": 10**30}, {"nbf": now + 60}, {"nbf": 10**12}]:
            assert client.get(path, [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, (path, claims)
        assert client.get(path, [bearer(issuer.token(issuer.claims(), crit=["b64"], b64=False))]).status == 401
        # KrakenD accepts a token that never expires. Signet signs none.
        assert client.get(path, [bearer(issuer.token(issuer.claims(exp=None)))]).status == 200


def test_a_request_without_a_token_stays_out_and_a_cookie_is_none(issuer: Issuer, client: Client) -> None:
    token = issuer.token(issuer.claims())
    for headers in [*NO_TOKEN, [("cookie", f"access_token={token}")], [BASIC, bearer(token)]]:
        answer = client.get(f"/orders?access_token={token}", headers)
        # It sends no challenge (RFC 6750 §3).
        assert (answer.status, all_of(answer.headers, "www-authenticate")) == (401, []), headers


def test_of_two_credentials_the_first_counts_and_both_arrive(issuer: Issuer, client: Client) -> None:
    token = issuer.token(issuer.claims())
    arrived = [
        all_of(client.get("/orders", headers).arrived, "authorization")
        for headers in two_credentials(token)
        if client.get("/orders", headers).status == 200
    ]
    assert arrived == [[f"Bearer {token}", f"Bearer {token}"], [f"Bearer {token}", BASIC[1]]]


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
    nobody = bearer(issuer.token(issuer.claims(sub=None, scope=None)))
    assert identity(client.get("/account", [*FORGED, nobody])) == {SUBJECT_HEADER: [""], SCOPE_HEADER: [""]}


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(issuer: Issuer, client: Client) -> None:
    for scope in [None, "orders:readonly xorders:read", "orders:read2", "", {"orders:read": 1}, 7]:
        token = bearer(issuer.token(issuer.claims(scope=scope, org={"scope": SCOPE})))
        assert (client.get("/orders", [token]).status, client.get("/account", [token]).status) == (403, 200), scope


def test_a_path_that_is_written_otherwise_opens_nothing(issuer: Issuer, client: Client) -> None:
    token = bearer(issuer.token(issuer.claims(scope=None)))
    odd = ["/public/../orders", "//orders", "/public/..%2forders", "/./orders", "/public\\..\\orders", "/public/..;/orders", "/orders;x"]
    for path in [*odd, "/public/%2e%2e/orders", "/public/%5c../orders", "/orders/", "/ORDERS"]:
        assert (client.get(path).status, client.get(path, [token]).status) == (404, 404), path
    assert (client.get("/%6frders").status, client.get("/%6frders", [token]).status) == (401, 403)


def test_a_subject_arrives_as_it_is_or_not_at_all(issuer: Issuer, client: Client) -> None:
    for subject in ["Ærø", "利用者", "zoë@example.com", 'a,b;c="d"', "a\\u0041"]:
        for text in [issuer.claims(sub=subject), json.dumps(issuer.claims(sub=subject))]:
            answer = client.get("/account", [bearer(issuer.token(text))])
            assert (answer.status, all_of(answer.arrived, SUBJECT_HEADER)) == (200, [subject])
    for claims in [{"sub": 7}, {"sub": ["a", "b"]}, {"sub": {"a": 1}}]:
        assert client.get("/account", [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, claims
    # KrakenD's own client refuses it.
    for text in ["a\r\nx-auth-scope: admin", "a\nb", "a\n", "a\0b", "\x7f"]:
        for claims in [{"sub": text}, {"scope": text}]:
            answer = client.get("/account", [bearer(issuer.token(issuer.claims(**claims)))])
            assert (answer.status, answer.body) == (500, ""), claims


def test_each_random_kid_costs_a_fetch_and_good_tokens_pass_all_the_same(
    issuer: Issuer, client: Client, figure: Callable[[str], None]
) -> None:
    # If this fails because there are fewer, KrakenD has learned it. Update deploy/gateways/krakend/krakend.json then.
    assert fetches_for_random_kids(issuer, client, "KrakenD", figure) == 100


def test_no_good_token_is_refused_through_three_rotations_under_load(service: Service, figure: Callable[[str], None]) -> None:
    with after_rotations("KrakenD", lambda sidecar: KrakenD(sidecar.issuer, service, 1), figure):
        pass


def test_a_key_that_is_no_longer_published_is_refused_after_the_time_of_the_cache(service: Service) -> None:
    first, other = Issuer(), Issuer()
    krakend = KrakenD(first.issuer, service, 2)
    client = Client(krakend.port)
    try:
        old, new = first.token(first.claims()), other.token(first.claims())
        assert (statuses(client, old), statuses(client, new)) == ({200}, {401})
        began, first.keys = time.monotonic(), other.keys
        wait_until(lambda: statuses(client, old, 1) == {401}, LIMIT, "the key is gone")
        assert time.monotonic() - began < 2 + 1
        assert statuses(client, new) == {200}
    finally:
        client.close()
        krakend.stop()
        first.stop()
        other.stop()


def test_an_rsa_key_verifies_its_own_algorithm_only(service: Service) -> None:
    issuer = Issuer("RS256")
    krakend = KrakenD(issuer.issuer, service, algorithm="RS256")
    client = Client(krakend.port)
    try:
        assert_an_rsa_key_verifies_none_of(["RS512", "PS256", "ES256", "none", "rs256", None], issuer, client)
    finally:
        client.close()
        krakend.stop()
        issuer.stop()


def test_while_the_sidecar_hangs_one_unknown_kid_holds_up_its_endpoint(issuer: Issuer, service: Service) -> None:
    # A fetch has no deadline, and the validator of the endpoint is locked meanwhile. The example says so.
    mortal = Sidecar(algorithm="ES256")
    krakend = KrakenD(mortal.issuer, service)
    client = Client(krakend.port)
    good, stranger = mortal.sign(CLAIMS)["token"], issuer.token(issuer.claims())
    answers: dict[str, int] = {}

    def show(token: str, path: str) -> None:
        patient = Client(krakend.port)
        answers[token] = patient.get(path, [bearer(token)]).status
        patient.close()

    shown = [threading.Thread(target=show, args=(token, "/orders")) for token in [stranger, good]]
    try:
        assert statuses(client, good) == {200}
        mortal.pause()
        assert statuses(client, good) == {200}
        shown[0].start()
        time.sleep(0.5)
        shown[1].start()
        shown[1].join(2)
        assert answers == {}
        assert client.get("/account", [bearer(good)]).status == 200
        mortal.resume()
        for thread in shown:
            thread.join()
        assert answers == {stranger: 401, good: 200}
    finally:
        mortal.resume()
        client.close()
        krakend.stop()
        assert mortal.stop() == 0


def test_without_the_sidecar_krakend_goes_on_with_the_keys_that_it_has_and_recovers(service: Service) -> None:
    mortal = Sidecar(algorithm="ES256")
    krakend = KrakenD(mortal.issuer, service, 2)
    client = Client(krakend.port)
    try:
        good = mortal.sign(CLAIMS)["token"]
        assert statuses(client, good) == {200}
        mortal.kill()
        assert (statuses(client, good, 3), random_kids(None, client, 5)) == ({200}, {401})
        wait_until(lambda: statuses(client, good, 1) == {401}, LIMIT, "the time of the cache is over")
        mortal.revive()
        assert statuses(client, mortal.sign(CLAIMS)["token"]) == {200}
    finally:
        client.close()
        krakend.stop()
        assert mortal.stop() == 0
