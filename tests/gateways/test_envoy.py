"""The real Envoy with deploy/gateways/envoy/envoy.yaml: which requests are allowed, and what the service gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from identity import (
    CLAIMS,
    FORGED,
    IDENTITY,
    SCOPE_HEADER,
    SUBJECT_HEADER,
    all_of,
    assert_arrived,
    bearer,
    with_another_signature,
    without,
)
from processes import Answer, Client, Envoy, Service
from program import wait_until
from sidecar import Sidecar

FILTERS = ["ext_authz", "jwt_authn"]


@pytest.fixture(scope="module")
def envoy(sidecar: Sidecar) -> Iterator[Envoy]:
    """Envoy in front of a service, next to the sidecar."""
    service = Service()
    envoy = Envoy(sidecar, service)
    yield envoy
    envoy.stop()
    service.stop()


@pytest.fixture(params=FILTERS)
def client(request: pytest.FixtureRequest, envoy: Envoy) -> Iterator[Client]:
    """A client of the listener with one of the filters."""
    client = Client(getattr(envoy, request.param))
    yield client
    client.close()


def test_a_good_token_passes_and_the_service_gets_its_identity(sidecar: Sidecar, client: Client) -> None:
    for path in ["/orders", "/orders/7?page=2", "/"]:
        token = sidecar.sign(CLAIMS)["token"]
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert_arrived(answer.arrived, token)


def test_what_a_client_forged_does_not_arrive(sidecar: Sidecar, client: Client) -> None:
    for name in [*IDENTITY, *(name.upper() for name in IDENTITY), "X-Auth-Subject"]:
        forged = [(name, "forged"), (name, "forged too")]
        answer = client.get("/orders", [*forged, bearer(sidecar.sign(CLAIMS)["token"]), *forged])
        assert answer.status == 200
        assert "forged" not in answer.body
        assert [len(all_of(answer.arrived, name)) for name in IDENTITY] == [1, 1, 1]


def test_a_forged_scope_does_not_arrive_with_a_token_that_has_none(sidecar: Sidecar, client: Client) -> None:
    answer = client.get("/", [*FORGED, bearer(sidecar.sign(without("scope"))["token"])])
    assert answer.status == 200
    assert all_of(answer.arrived, SCOPE_HEADER) == []
    assert "forged" not in answer.body


def test_what_a_client_forged_does_not_arrive_either_where_no_token_is_asked_for(client: Client) -> None:
    answer = client.get("/public/page", FORGED)
    assert answer.status == 200
    assert "forged" not in answer.body


def test_a_name_that_a_service_may_take_for_one_of_the_identity_is_refused(sidecar: Sidecar, client: Client) -> None:
    answer = client.get("/orders", [("x_auth_subject", "forged"), bearer(sidecar.sign(CLAIMS)["token"])])
    assert answer.status == 400


def test_a_path_that_is_written_otherwise_is_held_to_the_same_rules(sidecar: Sidecar, client: Client) -> None:
    token = bearer(sidecar.sign(without("scope"))["token"])
    for path in ["/public/../orders", "//orders", "/%6frders", "/public/..%2forders", "/./orders", "/public\\..\\orders"]:
        assert client.get(path, [token]).status in {400, 403}, path
        assert client.get(path).status in {400, 401}, path


def test_a_bad_token_stays_out(sidecar: Sidecar, client: Client) -> None:
    good = sidecar.sign(CLAIMS)["token"]
    for name, headers in {
        "none": [],
        "another scheme": [("authorization", "Basic dXNlcjpwYXNz")],
        "no token": [("authorization", "Bearer")],
        "garbage": [bearer("a.b.c")],
        "another signature": [bearer(with_another_signature(good))],
        "in the query only": [],
    }.items():
        answer = client.get(f"/orders?access_token={good}", [*FORGED, *headers])
        assert (answer.status, all_of(answer.headers, "www-authenticate") != []) in {(401, True), (400, True)}, name
    for claims in [without("aud", aud="https://billing.example.com"), without("aud", aud=["a", "b"])]:
        answer = client.get("/orders", [bearer(sidecar.sign(claims)["token"])])
        assert answer.status in {401, 403}, answer.body


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(sidecar: Sidecar, client: Client) -> None:
    for claims in [without("scope"), without("scope", scope="orders:readonly xorders:read")]:
        token = bearer(sidecar.sign(claims)["token"])
        assert client.get("/orders", [token]).status == 403
        assert client.get("/", [token]).status == 200


def test_a_subject_beyond_ascii_arrives_unharmed(sidecar: Sidecar, client: Client) -> None:
    for subject in ["Ærø", "利用者", "zoë@example.com", "a,b;c=\"d\""]:
        answer = client.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])])
        assert answer.status == 200, answer.body
        assert all_of(answer.arrived, SUBJECT_HEADER) == [subject]


@pytest.fixture
def with_ext_authz(envoy: Envoy) -> Iterator[Client]:
    """A client of the listener on which Signet decides."""
    client = Client(envoy.ext_authz)
    yield client
    client.close()


def problem(answer: Answer) -> str:
    """The code of the problem document. The answer has only one content type."""
    assert all_of(answer.headers, "content-type") == ["application/problem+json"]
    return str(json.loads(answer.body)["type"]).removeprefix("urn:signet:problem:")


def test_a_denial_of_signet_reaches_the_client_as_it_is(sidecar: Sidecar, with_ext_authz: Client) -> None:
    get = with_ext_authz.get
    answer = get("/orders")
    assert (answer.status, problem(answer)) == (401, "token_required")
    assert all_of(answer.headers, "www-authenticate") == ['Bearer realm="api"']

    short = sidecar.sign(CLAIMS, ttl=1)
    wait_until(lambda: time.time() >= short["exp"], 5, "exp has passed")
    answer = get("/orders", [bearer(short["token"])])
    assert (answer.status, problem(answer)) == (401, "invalid_token")
    [challenge] = all_of(answer.headers, "www-authenticate")
    assert challenge.startswith('Bearer error="invalid_token", error_description="expired')

    answer = get("/orders", [bearer(sidecar.sign(without("scope"))["token"])])
    assert (answer.status, problem(answer)) == (403, "insufficient_scope")
    [challenge] = all_of(answer.headers, "www-authenticate")
    assert challenge.endswith('scope="orders:read"')


def test_two_authorization_headers_are_no_request(sidecar: Sidecar, with_ext_authz: Client) -> None:
    # Envoy joins them to one header with a comma before any filter sees them.
    header = bearer(sidecar.sign(CLAIMS)["token"])
    for second in [header, ("Authorization", "Basic dXNlcjpwYXNz")]:
        for headers in [[header, second], [second, header]]:
            answer = with_ext_authz.get("/orders", headers)
            assert answer.status in {400, 401}, headers
            assert problem(answer) in {"invalid_request", "invalid_token", "token_required"}, headers


UNFIT_SUBJECTS = ["a\r\nx-auth-scope: admin", "a\nb", " a", "a ", "a\tb", "a\0b"]


def test_a_subject_that_no_header_can_carry_injects_nothing(sidecar: Sidecar, client: Client) -> None:
    for subject in UNFIT_SUBJECTS:
        answer = client.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])])
        # jwt_authn allows the request. The service must not get another scope because of it.
        if answer.status == 200:
            assert all_of(answer.arrived, SCOPE_HEADER) == [CLAIMS["scope"]], repr(subject)


def test_signet_refuses_a_subject_that_no_header_can_carry(sidecar: Sidecar, with_ext_authz: Client) -> None:
    for subject in UNFIT_SUBJECTS:
        answer = with_ext_authz.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])])
        assert (answer.status, problem(answer)) == (401, "invalid_token"), repr(subject)


def test_claims_are_dynamic_metadata_for_the_log(sidecar: Sidecar, envoy: Envoy, with_ext_authz: Client) -> None:
    subject = "for-the-access-log"
    assert with_ext_authz.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])]).status == 200

    def logged() -> bool:
        lines = [json.loads(line) for line in envoy.log().splitlines() if line.startswith('{"')]
        return any(line["subject"] == subject and line["organisation"] in {42, "42"} for line in lines)

    wait_until(logged, 20, "Envoy has written its access log")
