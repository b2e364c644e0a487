"""Tests of the provider and its proxy themselves, on which the other tests rely."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faults import FAILURES, FLOOD, floods, hangs, redirects, trickles
from keys import Key, decoded, parts
from program import LOOPBACK, wait_until
from provider import AUDIENCE, Issuer
from proxy import DISCOVERY, JWKS


def fetched(issuer: Issuer, path: str = JWKS) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, issuer.proxy.port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def kids(issuer: Issuer) -> list[str]:
    return [key["kid"] for key in json.loads(fetched(issuer)[1])["keys"]]


def test_the_provider_is_found_as_discovery_says_and_signs_access_tokens(issuer: Issuer) -> None:
    found = json.loads(fetched(issuer, DISCOVERY)[1])
    assert (found["issuer"], found["jwks_uri"]) == (issuer.name, f"{issuer.name}{JWKS}")
    header, claims = parts(issuer.token("RS256"))
    assert (header["alg"], header["typ"], header["kid"]) == ("RS256", "at+jwt", "rsa")
    assert (claims["iss"], claims["aud"], claims["scope"]) == (issuer.name, AUDIENCE, "orders:read orders:write")
    jwks = json.loads(fetched(issuer)[1])["keys"]
    assert [key["kid"] for key in jwks] == ["rsa", "ec"]
    assert not any({"d", "p", "q"} & set(key) for key in jwks)
    assert len(issuer.proxy.seen(DISCOVERY)) == len(issuer.proxy.seen(JWKS)) == 1


def test_what_we_sign_with_the_providers_keys_is_signed_alike(issuer: Issuer) -> None:
    start, _, signature = issuer.token("RS256").rpartition(".")
    public = issuer.keys[0].private.public_key()
    public.verify(decoded(signature), start.encode(), padding.PKCS1v15(), hashes.SHA256())
    start, _, signature = issuer.keys[0].token(issuer.claims()).rpartition(".")
    public.verify(decoded(signature), start.encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(decoded(signature), start.encode()[1:], padding.PKCS1v15(), hashes.SHA256())


def test_the_provider_rotates_its_keys_while_it_runs(issuer: Issuer) -> None:
    rsa, ec = issuer.keys
    successor = Key.made("ec-2", "ES256")
    issuer.publish(rsa, ec, successor)
    assert (kids(issuer), parts(issuer.token())[0]["kid"]) == (["rsa", "ec", "ec-2"], "ec")
    issuer.publish(rsa, successor, ec)
    assert (kids(issuer), parts(issuer.token())[0]["kid"]) == (["rsa", "ec-2", "ec"], "ec-2")
    issuer.publish(rsa, successor)
    assert kids(issuer) == ["rsa", "ec-2"]


def test_two_providers_have_keys_of_the_same_kid(provider: Callable[..., Issuer]) -> None:
    first, second = provider(), provider()
    assert first.name != second.name
    assert kids(first) == kids(second)
    assert fetched(first)[1] != fetched(second)[1]


def test_claims_are_written_as_other_makes_write_them(provider: Callable[..., Issuer]) -> None:
    issuer = provider(claims={"scp": ["a", "b"], "scope": None}, life=60)
    claims = parts(issuer.token())[1]
    assert (claims["scp"], "scope" in claims, claims["exp"] - claims["iat"]) == (["a", "b"], False, 60)


def test_a_proxy_that_is_down_refuses_connections_and_keeps_its_port(issuer: Issuer) -> None:
    assert fetched(issuer)[0] == 200
    issuer.proxy.down()
    with pytest.raises(ConnectionRefusedError):
        fetched(issuer)
    issuer.proxy.up()
    assert fetched(issuer)[0] == 200
    assert len(issuer.proxy.seen(JWKS)) == 2


@pytest.mark.parametrize("fault", [hangs, trickles])
def test_what_hangs_is_counted_until_the_other_side_has_enough(issuer: Issuer, fault: Callable[..., None]) -> None:
    issuer.proxy.misbehave(fault)
    client = socket.create_connection((LOOPBACK, issuer.proxy.port), timeout=5)
    client.sendall(b"GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n")
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) == 1, 5, "the request arrived")
    seen = issuer.proxy.seen(JWKS)[0]
    assert seen.until is None
    client.close()
    wait_until(lambda: seen.until is not None, 5, "the proxy saw that the client is gone")


def test_a_fault_ends_when_it_is_taken_away(issuer: Issuer) -> None:
    issuer.proxy.misbehave(hangs)
    outcome: list[object] = []

    def fetch() -> None:
        try:
            outcome.append(fetched(issuer))
        except (OSError, http.client.HTTPException) as error:
            outcome.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) == 1, 5, "the request arrived")
    began = time.monotonic()
    issuer.proxy.behave()
    thread.join()
    assert time.monotonic() - began < 1
    assert isinstance(outcome[0], Exception)
    assert fetched(issuer)[0] == 200


def test_a_flood_is_counted_by_what_the_other_side_took(issuer: Issuer) -> None:
    issuer.proxy.misbehave(floods)
    assert len(fetched(issuer)[1]) == FLOOD
    client = socket.create_connection((LOOPBACK, issuer.proxy.port), timeout=5)
    client.sendall(b"GET /jwks HTTP/1.1\r\nhost: x\r\n\r\n")
    assert client.recv(1000)
    client.close()
    whole, begun = issuer.proxy.seen(JWKS)
    wait_until(lambda: begun.until is not None, 5, "the proxy saw that the client is gone")
    assert whole.octets >= FLOOD
    assert begun.octets < FLOOD / 5


def test_each_fault_answers_otherwise_than_the_provider(issuer: Issuer) -> None:
    good = fetched(issuer)
    # The faults that end by themselves.
    for name, fault in FAILURES.items():
        if "hangs" in name or name == "trickles":
            continue
        issuer.proxy.misbehave(fault)
        try:
            assert fetched(issuer) != good, name
        except http.client.HTTPException:
            assert name in ("ends in the middle", "floods its head"), name
    issuer.proxy.misbehave(redirects)
    assert fetched(issuer)[0] == 302
    assert fetched(issuer, "/elsewhere") == good
