"""The real nginx, Caddy and Envoy with clients that want to impersonate somebody, and with ambiguous paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pytest

from forward_auth import ForwardAuth, raw
from gateway_fixtures import client, gateway, tap
from identity import CLAIMS, FORGED, IDENTITY, SCOPE_HEADER, SUBJECT_HEADER, all_of, bearer, without
from processes import Client, Envoy, Service, adapted
from sidecar import Sidecar

__all__ = ["client", "gateway", "tap"]

# Traefik passes on an empty header.
NO_SCOPE = ([], [""])
SPELLINGS = [
    *IDENTITY,
    *(name.upper() for name in IDENTITY),
    "X-Auth-Subject",
    "x_auth_subject",
    "X_Auth_Scope",
    "x-auth_claims",
    "x_auth-subject",
    "x.auth.subject",
]


class LenientEnvoy(Envoy):
    """Envoy with envoy.yaml but without its rule against underscores in names, which is Envoy's default."""

    def command(self) -> Sequence[str | Path]:
        command = super().command()
        configuration = self.directory / "envoy.yaml"
        action = "headers_with_underscores_action:"
        configuration.write_text(adapted(configuration, [(f"{action} REJECT_REQUEST", f"{action} ALLOW")]))
        return command


@pytest.fixture(scope="module")
def with_ext_authz(sidecar: Sidecar, service: Service) -> Iterator[Client]:
    """A client of its listener on which Signet decides."""
    envoy = LenientEnvoy(sidecar, service)
    client = Client(envoy.ext_authz)
    yield client
    client.close()
    envoy.stop()


@pytest.mark.parametrize("name", SPELLINGS)
def test_signet_has_envoy_remove_what_a_client_forged(sidecar: Sidecar, with_ext_authz: Client, name: str) -> None:
    for claims, path, arrive in [(CLAIMS, "/orders", [1, 1, 1]), (without("scope"), "/", [1, 0, 1])]:
        token = bearer(sidecar.sign(claims)["token"])
        forged = [(name, "forged"), (name, "forged too"), ("x_other", "kept")]
        answer = with_ext_authz.get(path, [*forged, token, *forged])
        assert answer.status == 200, answer.body
        assert "forged" not in answer.body
        assert [len(all_of(answer.arrived, name)) for name in IDENTITY] == arrive
        assert all_of(answer.arrived, SUBJECT_HEADER) == [CLAIMS["sub"]]
        assert all_of(answer.arrived, "x_other") != []


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_a_client_forged_does_not_arrive(sidecar: Sidecar, client: Client, name: str) -> None:
    token = bearer(sidecar.sign(CLAIMS)["token"])
    forged = [(name, "forged"), (name, "forged too"), (name, "")]
    answer = client.get("/orders", [*forged, token, *forged])
    assert answer.status == 200
    assert "forged" not in answer.body
    assert [len(all_of(answer.arrived, name)) for name in IDENTITY] == [1, 1, 1]
    assert all_of(answer.arrived, SUBJECT_HEADER) == [CLAIMS["sub"]]


@pytest.mark.parametrize("name", SPELLINGS)
def test_what_a_client_forged_does_not_arrive_either_where_no_token_is_asked_for(
    sidecar: Sidecar, client: Client, name: str
) -> None:
    for headers in [[], [bearer("a.b.c")], [bearer(sidecar.sign(CLAIMS)["token"])]]:
        answer = client.get("/public/page", [(name, "forged"), *headers, (name, "forged too")])
        assert answer.status == 200
        assert "forged" not in answer.body
        assert [len(all_of(answer.arrived, name)) for name in IDENTITY] == [0, 0, 0]


def test_a_forged_scope_does_not_arrive_with_a_token_that_has_none(sidecar: Sidecar, client: Client) -> None:
    answer = client.get("/", [*FORGED, bearer(sidecar.sign(without("scope"))["token"]), *FORGED])
    assert answer.status == 200
    assert all_of(answer.arrived, SCOPE_HEADER) in NO_SCOPE
    assert "forged" not in answer.body


def test_of_two_requests_on_one_connection_the_second_gets_nothing_of_the_first(sidecar: Sidecar, client: Client) -> None:
    token = bearer(sidecar.sign(CLAIMS)["token"])
    for _ in range(5):
        assert all_of(client.get("/orders", [token]).arrived, SUBJECT_HEADER) == [CLAIMS["sub"]]
        assert client.get("/orders").status == 401
        assert all_of(client.get("/public/page").arrived, SUBJECT_HEADER) == []
        bare = client.get("/", [bearer(sidecar.sign(without("scope", sub="another"))["token"])])
        assert all_of(bare.arrived, SUBJECT_HEADER) == ["another"]
        assert all_of(bare.arrived, SCOPE_HEADER) in NO_SCOPE


@pytest.mark.parametrize(
    "named", ["X-Auth-Subject", "close, x-auth-subject", "te, X-AUTH-SCOPE , x-auth-claims", "Authorization"]
)
def test_a_header_that_a_client_names_in_connection_is_not_lost_on_the_way(
    sidecar: Sidecar, gateway: ForwardAuth, named: str
) -> None:
    # A proxy removes the headers that Connection names (RFC 9110 §7.6.1). A service that takes a request without the
    # subject's header for an internal one would be deceived.
    token = f"Authorization: Bearer {sidecar.sign(CLAIMS)['token']}"
    for more in [[], ["Connection: close"]]:
        lines = ["Host: a", token, f"Connection: {named}", "X-Auth-Subject: forged", *more]
        status, text = raw(gateway.port, "GET /orders HTTP/1.0", *lines)
        assert "forged" not in text
        if status == 200:
            arrived = json.loads(text.partition("\r\n\r\n")[2])["headers"]
            assert [len(all_of(arrived, name)) for name in IDENTITY] == [1, 1, 1], text
        else:
            assert status in {400, 401}, text


def test_a_header_that_is_folded_or_oddly_written_forges_nothing(sidecar: Sidecar, gateway: ForwardAuth) -> None:
    token = f"Authorization: Bearer {sidecar.sign(CLAIMS)['token']}"
    for odd in [
        ["X-A: b", " X-Auth-Subject: forged"],
        ["X-Auth-Subject : forged"],
        ["X-Auth-Subject\t: forged"],
        ["\0X-Auth-Subject: forged"],
        ["X-A: b\rX-Auth-Subject: forged"],
        ["X-A: b\nX-Auth-Subject: forged"],
        ["X-A: b\0\r\nX-Auth-Subject: forged"],
        ["X-Auth-Subject:forged", "X-Auth-Subject: "],
    ]:
        for path in ["/public/page", "/orders"]:
            status, text = raw(gateway.port, f"GET {path} HTTP/1.1", "Host: a", token, "Connection: close", *odd)
            assert status in {200, 400}, text
            if status == 200:
                arrived = json.loads(text.partition("\r\n\r\n")[2])["headers"]
                assert not {"forged"} & set(all_of(arrived, SUBJECT_HEADER)), (odd, arrived)


# Each is one path for a gateway that decodes and resolves it, and may be a different path for a service.
AMBIGUOUS = [
    "/public/../orders",
    "/public/..",
    "//orders",
    "/.//orders",
    "/./orders",
    "/%6frders",
    "/%2e/orders",
    "/public/%2e%2e/orders",
    "/public/..%2forders",
    "/public/%2e%2e%2Forders",
    "/public/..;/orders",
    "/public/..%3b/orders",
    "/public/.;/../orders",
    "/public\\..\\orders",
    "/public/..\\orders",
    "/public/..%5corders",
    "/orders/../public/page",
    "/orders/..%2fpublic/page",
    "/orders/%2e%2e/public/page",
    "/orders/%2e%2e%2fpublic/page",
    "/orders/..%5cpublic/page",
    "/public/%252e%252e/orders",
    "/public/..%252forders",
    "/public/%2e%2e%3f/orders",
    "/public/x?/../../orders",
    "/public/x#/../../orders",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_that_is_written_otherwise_is_held_to_the_same_rules(
    sidecar: Sidecar, client: Client, path: str
) -> None:
    without_scope = bearer(sidecar.sign(without("scope"))["token"])
    for headers in [[], [without_scope]]:
        answer = client.get(path, headers)
        if answer.status != 200:
            assert answer.status in {400, 401, 403, 404}, answer
            continue
        # What was allowed has one meaning, and it needs no scope.
        got = json.loads(answer.body)["path"].partition("?")[0]
        assert "%2f" not in got.lower() and "\\" not in unquote(got), got
        assert not {".", ".."} & {part.partition(";")[0] for part in unquote(got).split("/")}, got
        assert not got.startswith("/orders"), got
        assert headers or got.startswith("/public/"), got


def test_a_path_that_holds_a_line_end_makes_no_other_request(sidecar: Sidecar, client: Client) -> None:
    token = bearer(sidecar.sign(CLAIMS)["token"])
    for path in ["/public/a%0d%0aX-Auth-Subject:%20forged%0d%0a", "/public/a%20HTTP/1.1%0d%0aX-Auth-Subject:%20forged"]:
        answer = client.get(path, [token])
        assert answer.status in {200, 400}
        if answer.status == 200:
            assert all_of(answer.arrived, SUBJECT_HEADER) == []


def test_two_requests_that_are_smuggled_as_one_do_not_reach_the_service(sidecar: Sidecar, gateway: ForwardAuth) -> None:
    for lengths in [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Content-Length: 4", "Content-Length: 44"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: xchunked"],
    ]:
        hidden = "0\r\n\r\nGET /orders HTTP/1.1\r\nHost: a\r\nX-Auth-Subject: forged\r\n"
        _, text = raw(gateway.port, "POST /public/page HTTP/1.1", "Host: a", "Connection: close", *lengths, "", hidden)
        assert '"path": "/orders"' not in text, (lengths, text)
