"""The real nginx, Caddy and Traefik with the files of deploy/gateways: which requests are allowed, and what the
service gets."""

from __future__ import annotations

import json
import time

import pytest

from forward_auth import ForwardAuth, Tap, raw
from gateway_fixtures import client, gateway, tap
from identity import CLAIMS, IDENTITY, SUBJECT_HEADER, all_of, assert_arrived, bearer, with_another_signature, without
from processes import Client
from program import wait_until
from sidecar import Sidecar

__all__ = ["client", "gateway", "tap"]


def test_a_good_token_passes_and_the_service_gets_its_identity(sidecar: Sidecar, client: Client) -> None:
    for path in ["/orders", "/orders/7?page=2", "/", "/a%20b?c=%2f"]:
        token = sidecar.sign(CLAIMS)["token"]
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert json.loads(answer.body)["path"] == path
        assert_arrived(answer.arrived, token)


def test_a_bad_token_stays_out(sidecar: Sidecar, client: Client) -> None:
    good = sidecar.sign(CLAIMS)["token"]
    for name, headers, statuses in [
        ("none", [], {401}),
        ("another scheme", [("authorization", "Basic dXNlcjpwYXNz")], {401}),
        ("no token", [("authorization", "Bearer")], {400, 401}),
        ("empty", [("authorization", "")], {400, 401}),
        ("garbage", [bearer("a.b.c")], {401}),
        ("another signature", [bearer(with_another_signature(good))], {401}),
        ("two in one", [("authorization", f"Bearer {good}, Bearer {good}")], {400, 401}),
    ]:
        for path in [f"/orders?access_token={good}", f"/?audience={CLAIMS['aud']}&scope="]:
            answer = client.get(path, headers)
            assert answer.status in statuses, (name, answer)
            assert len(all_of(answer.headers, "www-authenticate")) == 1, (name, answer)
            assert all_of(answer.headers, "content-type") == ["application/problem+json"], (name, answer)
            assert json.loads(answer.body)["status"] == answer.status
    for claims in [without("aud", aud="https://billing.example.com"), without("aud", aud=["a", "b"])]:
        assert client.get("/orders", [bearer(sidecar.sign(claims)["token"])]).status == 401


def test_an_expired_token_is_told_so(sidecar: Sidecar, client: Client) -> None:
    short = sidecar.sign(CLAIMS, ttl=1)
    wait_until(lambda: time.time() >= short["exp"], 5, "exp has passed")
    answer = client.get("/orders", [bearer(short["token"])])
    assert answer.status == 401
    [challenge] = all_of(answer.headers, "www-authenticate")
    assert challenge.startswith('Bearer error="invalid_token", error_description="expired')


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(sidecar: Sidecar, client: Client) -> None:
    for claims in [without("scope"), without("scope", scope="orders:readonly xorders:read")]:
        token = bearer(sidecar.sign(claims)["token"])
        answer = client.get("/orders", [token])
        assert answer.status == 403
        [challenge] = all_of(answer.headers, "www-authenticate")
        assert challenge.startswith('Bearer error="insufficient_scope"')
        assert challenge.endswith('scope="orders:read"')
        assert json.loads(answer.body)["type"] == "urn:signet:problem:insufficient_scope"
        # The client's own query is not a rule.
        assert client.get("/orders?scope=orders:readonly", [token]).status == 403
        assert client.get("/", [token]).status == 200


def test_a_subject_beyond_ascii_or_with_words_of_a_configuration_arrives_unharmed(sidecar: Sidecar, client: Client) -> None:
    for subject in ["Ærø", "利用者", 'a,b;c="d"', "$host", "{env.HOME}", "{http.request.host}", "${HOME}"]:
        answer = client.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])])
        assert answer.status == 200, answer.body
        assert all_of(answer.arrived, SUBJECT_HEADER) == [subject]


@pytest.mark.parametrize("subject", ["a\r\nx-auth-scope: admin", "a\nb", " a", "a ", "a\0b"])
def test_a_subject_that_no_header_can_carry_is_refused(sidecar: Sidecar, client: Client, subject: str) -> None:
    assert client.get("/", [bearer(sidecar.sign(without("sub", sub=subject))["token"])]).status == 401


def test_signet_gets_the_token_alone_over_connections_that_are_kept(
    sidecar: Sidecar, client: Client, tap: Tap, gateway: ForwardAuth
) -> None:
    token = sidecar.sign(CLAIMS)["token"]
    before, opened = len(tap.heard), tap.connections
    for method, sent in [("POST", "secret"), ("PUT", "secret"), ("GET", "secret"), ("POST", "")]:
        headers = {"authorization": f"Bearer {token}", "cookie": "session=secret", "content-type": "application/grpc", "te": "trailers"}
        client.connection.request(method, "/orders", sent, headers)
        answer = client.connection.getresponse()
        got = json.loads(answer.read())
        assert (answer.status, got["body"]) == (200, sent), (method, sent)
    for _ in range(50):
        assert client.get("/orders", [bearer(token)]).status == 200
    heard = tap.heard[before:]
    assert heard.count("GET /v1/authorize?audience=https%3A%2F%2Forders.example.com&scope=orders%3Aread HTTP/1.1") == 54
    assert "secret" not in heard
    assert "application/grpc" not in heard
    # One for each thread or process that serves.
    assert tap.connections - opened <= 4


def test_a_content_type_of_grpc_opens_nothing(sidecar: Sidecar, client: Client) -> None:
    for method in ["GET", "POST"]:
        for headers in [{}, {"authorization": "Bearer a.b.c"}]:
            client.connection.request(method, "/orders", headers={**headers, "content-type": "application/grpc", "te": "trailers"})
            answer = client.connection.getresponse()
            answer.read()
            assert answer.status == 401


def test_a_client_of_http_1_0_and_one_of_absolute_targets_are_held_to_the_same_rules(
    sidecar: Sidecar, gateway: ForwardAuth
) -> None:
    token = f"Authorization: Bearer {sidecar.sign(CLAIMS)['token']}"
    for start, host in [
        ("GET /orders HTTP/1.0", []),
        ("GET http://example.com/orders HTTP/1.1", ["Host: example.com", "Connection: close"]),
        ("GET http://public/orders HTTP/1.1", ["Host: public", "Connection: close"]),
    ]:
        status, text = raw(gateway.port, start, *host, "X-Auth-Subject: forged")
        assert status in {400, 401}, text
        status, text = raw(gateway.port, start, *host, token, "X-Auth-Subject: forged")
        # Only Caddy's file refuses absolute targets.
        assert status == 200 or ("://" in start and gateway.name == "caddy"), text
        assert "forged" not in text


def test_no_client_can_ask_signet_itself(sidecar: Sidecar, client: Client) -> None:
    token = bearer(sidecar.sign(CLAIMS)["token"])
    for path in ["/v1/authorize", "/v1/sign", "/_signet/any", "/_signet/orders", "/_signet/"]:
        answer = client.get(path)
        assert answer.status in {401, 404}, path
        answer = client.get(path, [token])
        # The path is the service's, if any.
        assert answer.status == 404 or json.loads(answer.body)["path"] == path
        assert all_of(answer.headers, SUBJECT_HEADER) == []


def test_two_authorization_headers_let_no_other_token_in_than_the_one_that_was_checked(sidecar: Sidecar, client: Client) -> None:
    good, other = bearer(sidecar.sign(CLAIMS)["token"]), ("Authorization", "Bearer somebody-else")
    assert client.get("/orders", [other, good]).status in {400, 401}
    answer = client.get("/orders", [good, other])
    assert answer.status in {400, 401} or all_of(answer.arrived, "authorization") == [good[1]]


def test_every_identity_header_arrives_once(sidecar: Sidecar, client: Client) -> None:
    answer = client.get("/", [bearer(sidecar.sign(CLAIMS)["token"])])
    assert [len(all_of(answer.arrived, name)) for name in IDENTITY] == [1, 1, 1]
