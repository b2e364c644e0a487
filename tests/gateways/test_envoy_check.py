"""`envoy.service.auth.v3.Authorization/Check` on the socket, called by grpcio with Envoy's official messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from check import SERVICE, Checker
from identity import (
    AUDIENCE,
    CLAIMS,
    CLAIMS_HEADER,
    FORGED,
    IDENTITY,
    SCOPE,
    SCOPE_HEADER,
    SUBJECT_HEADER,
    bearer,
    claims_of,
    with_another_signature,
    without,
)
from program import wait_until
from sidecar import Sidecar, UnixConnection

CHECK = f"/{SERVICE}/Check"
REQUIRES = {"audience": AUDIENCE, "scope": SCOPE}
# A code of google.rpc.Code.
OK, PERMISSION_DENIED, INTERNAL, UNAUTHENTICATED = 0, 7, 13, 16


def signed(sidecar: Sidecar, claims: dict[str, Any] = CLAIMS) -> str:
    return str(sidecar.sign(claims)["token"])


def test_a_good_token_passes_with_its_identity_in_place_of_a_forged_one(sidecar: Sidecar, checker: Checker) -> None:
    verdict = checker.ask([*FORGED, bearer(signed(sidecar))], REQUIRES)
    assert verdict.code == OK
    assert (verdict.overwritten[SUBJECT_HEADER], verdict.overwritten[SCOPE_HEADER]) == (CLAIMS["sub"], CLAIMS["scope"])
    assert set(verdict.overwritten) | verdict.removed == set(IDENTITY)
    claims = claims_of(verdict.overwritten[CLAIMS_HEADER])
    assert {name: claims[name] for name in CLAIMS} == CLAIMS
    assert claims["iss"] == sidecar.issuer
    assert verdict.metadata == claims


def test_a_header_of_the_identity_without_a_claim_is_removed(sidecar: Sidecar, checker: Checker) -> None:
    verdict = checker.ask([*FORGED, bearer(signed(sidecar, without("scope")))], {"audience": AUDIENCE})
    assert (verdict.code, verdict.removed) == (OK, {SCOPE_HEADER})
    assert set(verdict.overwritten) == {SUBJECT_HEADER, CLAIMS_HEADER}


def test_a_name_that_a_service_may_take_for_one_of_the_identity_is_removed(sidecar: Sidecar, checker: Checker) -> None:
    mistakable = {"x_auth_subject", "x_auth-subject", "x-auth_scope", "x_auth_scope", "x.auth.claims"}
    others = ["x_auth", "x_auth_subjects", "xauthsubject", "x-auth-scopes", "auth_subject"]
    forged = [(name, "forged") for name in [*mistakable, *IDENTITY, *others]]
    # Envoy removes headers after it has set others. What it sets must not be removed, in whatever case the client
    # wrote it.
    raw = [(spelt, b"forged") for name, _ in forged for spelt in (name, name.upper(), name.title())]
    for claims, removed in [(CLAIMS, mistakable), (without("scope"), {*mistakable, SCOPE_HEADER})]:
        token = bearer(signed(sidecar, claims))
        requires = {"audience": AUDIENCE}
        for verdict in [
            checker.ask([*forged, token], requires),
            checker.ask_raw([*raw, (token[0], token[1].encode())], requires),
        ]:
            assert (verdict.code, verdict.removed) == (OK, removed)
            assert set(verdict.overwritten) == set(IDENTITY) - removed


def test_a_raw_header_is_read_as_one_that_is_joined(sidecar: Sidecar, checker: Checker) -> None:
    token = signed(sidecar).encode()
    for name in ["authorization", "Authorization"]:
        verdict = checker.ask_raw([("x", b"\xff"), (name, b"Bearer " + token)], REQUIRES)
        assert (verdict.code, verdict.overwritten[SUBJECT_HEADER]) == (OK, CLAIMS["sub"])
    # Envoy never sends anything else together with raw headers.
    assert checker.ask_raw([], REQUIRES).status == 401


def test_metadata_keeps_every_digit_and_every_level(sidecar: Sidecar, checker: Checker) -> None:
    deep: dict[str, Any] = {"end": True}
    for _ in range(14):
        deep = {"in": deep}
    claims = {**CLAIMS, "deep": deep, "exact": 2**53, "beyond": 2**53 + 1, "list": [1, "b", None, [False]]}
    metadata = checker.ask([bearer(signed(sidecar, claims))], REQUIRES).metadata
    assert metadata["deep"] == deep
    assert (metadata["exact"], metadata["beyond"]) == (2**53, str(2**53 + 1))
    assert metadata["list"] == [1, "b", None, [False]]


def test_any_of_the_audiences_and_all_of_the_scopes_are_required(sidecar: Sidecar, checker: Checker) -> None:
    headers = [bearer(signed(sidecar))]
    for requires, code in [
        ({"audience": f"https://a.example.com {AUDIENCE}"}, OK),
        ({"audience": "https://a.example.com https://b.example.com"}, UNAUTHENTICATED),
        ({"audience": AUDIENCE, "scope": "orders:write orders:read"}, OK),
        ({"audience": AUDIENCE, "scope": "orders:read orders:delete"}, PERMISSION_DENIED),
        ({"audience": AUDIENCE, "typ": "JWT"}, OK),
        ({"audience": AUDIENCE, "typ": "at+jwt"}, UNAUTHENTICATED),
    ]:
        assert checker.ask(headers, requires).code == code, requires


def denied(checker: Checker, headers: list[tuple[str, str]], requires: dict[str, str] = REQUIRES) -> tuple[int, str]:
    """The status and the challenge of a denial, whose body also says what is wrong."""
    verdict = checker.ask(headers, requires)
    assert verdict.code != OK
    assert (verdict.overwritten, verdict.removed, verdict.metadata) == ({}, set(), {})
    assert verdict.status is not None
    assert (verdict.headers["content-type"], verdict.problem["status"]) == ("application/problem+json", verdict.status)
    return verdict.status, verdict.headers.get("www-authenticate", "")


def test_without_a_token_a_token_is_asked_for(checker: Checker) -> None:
    for headers in [[], FORGED, [("authorization", "Basic dXNlcjpwYXNz")]]:
        assert denied(checker, headers) == (401, 'Bearer realm="api"')


def test_a_token_that_is_not_good_here_is_denied_with_the_reason(sidecar: Sidecar, checker: Checker) -> None:
    short = sidecar.sign(CLAIMS, ttl=1)
    wait_until(lambda: time.time() >= short["exp"], 5, "exp has passed")
    good = signed(sidecar)
    for token, reason in [
        (short["token"], "expired"),
        (with_another_signature(good), "bad_signature"),
        (signed(sidecar, without("aud", aud="https://billing.example.com")), "wrong_audience"),
        ("a.b.c", "malformed"),
        (good + " " + good, "malformed"),
    ]:
        status, challenge = denied(checker, [bearer(token)])
        assert status == 401
        assert challenge.startswith(f'Bearer error="invalid_token", error_description="{reason}'), challenge


def test_a_scope_that_is_missing_is_named(sidecar: Sidecar, checker: Checker) -> None:
    for claims in [without("scope"), without("scope", scope="orders:readonly")]:
        status, challenge = denied(checker, [bearer(signed(sidecar, claims))])
        assert status == 403
        assert challenge.startswith('Bearer error="insufficient_scope"')
        assert challenge.endswith(f'scope="{SCOPE}"')


def test_two_authorization_headers_are_no_request(sidecar: Sidecar, checker: Checker) -> None:
    header = bearer(signed(sidecar))
    status, challenge = denied(checker, [header, header])
    assert (status, challenge[:28]) == (401, 'Bearer error="invalid_token"')
    raw = ("authorization", header[1].encode())
    for headers in [[raw, raw], [raw, ("authorization", b"Basic dXNlcjpwYXNz")]]:
        verdict = checker.ask_raw(headers, REQUIRES)
        assert (verdict.code, verdict.status) == (UNAUTHENTICATED, 400)
        assert verdict.headers["www-authenticate"].startswith('Bearer error="invalid_request"')


def test_a_route_that_asks_for_what_is_not_known_lets_nobody_in(sidecar: Sidecar, checker: Checker) -> None:
    headers = [bearer(signed(sidecar))]
    for extra in [{"scopes": "a"}, {"issuers": sidecar.issuer}]:
        verdict = checker.ask(headers, REQUIRES | extra)
        assert (verdict.code, verdict.status) == (INTERNAL, 500), extra
        assert verdict.problem["type"] == "urn:signet:problem:unknown_requirement"
    assert "context_extensions of a route have an unknown name" in sidecar.log()


def test_a_route_that_asks_for_nothing_lets_nobody_in(sidecar: Sidecar, checker: Checker) -> None:
    headers = [bearer(signed(sidecar))]
    for extra in [{"issuer": " "}, {"scope": ""}, {"scope": "\t"}, {"audience": ""}, {"typ": " "}]:
        verdict = checker.ask(headers, REQUIRES | extra)
        assert (verdict.code, verdict.status) == (UNAUTHENTICATED, 400), extra
        assert verdict.problem["type"] == "urn:signet:problem:invalid_request"
    assert "context_extensions of a route have an empty value" in sidecar.log()


def test_a_route_says_which_issuers_it_takes(sidecar: Sidecar, checker: Checker) -> None:
    headers = [bearer(signed(sidecar))]
    other = "https://login.example.com/"
    for issuer in [sidecar.issuer, f"{other} {sidecar.issuer}"]:
        assert checker.ask(headers, REQUIRES | {"issuer": issuer}).code == 0, issuer
    verdict = checker.ask(headers, REQUIRES | {"issuer": other})
    assert (verdict.code, verdict.status) == (UNAUTHENTICATED, 401)


def test_without_any_audience_nobody_is_let_in(sidecar: Sidecar, checker: Checker) -> None:
    verdict = checker.ask([bearer(signed(sidecar))], {})
    assert (verdict.code, verdict.status) == (UNAUTHENTICATED, 400)
    assert verdict.problem["type"] == "urn:signet:problem:audience_required"


def failure(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code()


def test_what_is_no_method_here_is_unimplemented(checker: Checker) -> None:
    for method in [f"/{SERVICE}/Nothing", "/envoy.service.auth.v2.Authorization/Check", "/grpc.health.v1.Health/Check"]:
        assert failure(lambda method=method: checker.call(method)) == grpc.StatusCode.UNIMPLEMENTED


def test_a_message_that_is_none_or_too_long_or_compressed_is_refused(sidecar: Sidecar, checker: Checker) -> None:
    good = [bearer(signed(sidecar))]
    assert failure(lambda: checker.call(CHECK, b"\xff\xff")) == grpc.StatusCode.INTERNAL
    too_long = [*good, ("cookie", "c" * 256 * 1024)]
    assert failure(lambda: checker.ask(too_long, REQUIRES)) == grpc.StatusCode.OUT_OF_RANGE
    compressed = {"compression": grpc.Compression.Gzip}
    assert failure(lambda: checker.ask(good, REQUIRES, **compressed)) == grpc.StatusCode.UNIMPLEMENTED
    # As many headers as Envoy accepts. The connection still works afterwards.
    assert checker.ask([*good, ("cookie", "c" * 60 * 1024)], REQUIRES).code == OK


def test_an_empty_message_passes_nobody(checker: Checker) -> None:
    assert checker.call(CHECK, b"") != b""
    assert denied(checker, [], {"audience": AUDIENCE})[0] == 401


def test_a_content_type_of_grpc_opens_no_path_of_http(sidecar: Sidecar, checker: Checker) -> None:
    # nginx, Caddy and Traefik pass on the client's content type, and take any 2xx status for a yes.
    connection = UnixConnection(sidecar.socket)
    for method, path, status in [
        ("POST", f"/v1/authorize?audience={AUDIENCE}", 401),
        ("GET", f"/v1/authorize?audience={AUDIENCE}", 401),
        ("POST", "/authorise", 404),
        ("POST", CHECK, 404),
    ]:
        connection.request(method, path, headers={"content-type": "application/grpc"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, (method, path)
    connection.close()
    assert failure(lambda: checker.call(f"/v1/authorize?audience={AUDIENCE}")) == grpc.StatusCode.UNAUTHENTICATED


def test_http_goes_on_beside_grpc_on_one_socket(sidecar: Sidecar, checker: Checker) -> None:
    for _ in range(20):
        token = signed(sidecar)
        assert checker.ask([bearer(token)], REQUIRES).code == OK
        assert sidecar.verify(token, AUDIENCE)["active"] is True


def test_a_peer_that_is_not_on_the_list_gets_no_answer() -> None:
    sidecar = Sidecar(socket_allow_uids="65533")
    try:
        with Checker(sidecar.socket) as checker:
            assert failure(lambda: checker.ask([], REQUIRES)) == grpc.StatusCode.UNAVAILABLE
        assert "this user may not use the socket" in sidecar.log()
    finally:
        assert sidecar.stop() == 0
