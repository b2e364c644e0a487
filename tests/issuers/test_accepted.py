"""Tokens of a healthy provider: which are accepted, and with which scope."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from faults import and_also, each, symmetric, with_keys
from keys import Jwk, Key, encoded, number, unsigned
from provider import AUDIENCE, Issuer
from proxy import DISCOVERY, JWKS
from trust import ACCEPTED, UNAVAILABLE, Trusting

OTHER_AUDIENCE = "https://billing.example.com"


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_token_of_the_provider_is_accepted_at_each_door(issuer: Issuer, sidecar: Trusting, alg: str) -> None:
    for _ in range(2):
        verdict = sidecar.doors.all(issuer.token(alg))
        assert (verdict.word, verdict.subject, verdict.scope) == (ACCEPTED, alg, "orders:read orders:write")


def modulus(bits: int, exponent: str) -> Jwk:
    """An RSA key whose private half nobody knows, if it has one."""
    value = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return {"kty": "RSA", "kid": "odd", "use": "sig", "alg": "RS256", "n": number(value), "e": exponent}


def test_a_token_of_every_kind_of_key_is_accepted(provider: Callable[..., Issuer], trusting: Callable[..., Trusting]) -> None:
    algs = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
    issuer = provider(*(Key.made(alg, alg) for alg in algs))
    sidecar = trusting(issuer)
    assert {alg: sidecar.doors.all(issuer.token(alg)).word for alg in algs} == dict.fromkeys(algs, ACCEPTED)


def test_the_keys_are_found_by_discovery_or_by_their_own_url(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    assert trusting(issuer).doors.all(issuer.token()).word == ACCEPTED
    asked = len(issuer.proxy.seen(DISCOVERY))
    assert asked > 0
    direct = trusting("https://login.example.com/", tables={"https://login.example.com/": {"jwks_url": issuer.name + JWKS}})
    token = issuer.keys[1].token(issuer.claims(iss="https://login.example.com/"))
    assert direct.doors.all(token).word == ACCEPTED
    elsewhere = {issuer.name: {"discovery_url": issuer.name + "/.well-known/oauth-authorization-server"}}
    assert trusting(issuer, tables=elsewhere).doors.all(issuer.token()).word == ACCEPTED
    assert issuer.proxy.seen("/.well-known/oauth-authorization-server")


@pytest.mark.parametrize(
    ("claims", "table", "scope"),
    [
        ({}, {}, "orders:read orders:write"),
        ({"scope": None, "scp": "orders:read"}, {}, "orders:read"),
        ({"scope": None, "scp": ["orders:read", "orders:admin"]}, {}, "orders:read orders:admin"),
        ({"scp": ["orders:admin"]}, {}, "orders:read orders:write"),
        ({"scp": ["orders:admin"]}, {"scope_claims": ["scp"]}, "orders:admin"),
        ({"realm_access": {"roles": ["clerk", "auditor"]}}, {"scope_claims": ["/realm_access/roles"]}, "clerk auditor"),
        ({"https://example.com/roles": ["clerk"]}, {"scope_claims": ["/https:~1~1example.com~1roles"]}, "clerk"),
        ({"resource_access": {"a/b": {"roles": ["clerk"]}}}, {"scope_claims": ["/resource_access/a~1b/roles"]}, "clerk"),
    ],
    ids=["scope", "scp text", "scp list", "scope before scp", "scp alone", "Keycloak", "escaped name", "escaped step"],
)
def test_the_scope_is_where_the_issuer_writes_it(
    provider: Callable[..., Issuer],
    trusting: Callable[..., Trusting],
    claims: dict[str, Any],
    table: dict[str, Any],
    scope: str,
) -> None:
    issuer = provider(claims=claims)
    sidecar = trusting(issuer, tables={issuer.name: table})
    token = issuer.token()
    assert sidecar.doors.all(token).scope == scope
    assert sidecar.doors.all(token, scope=scope.split(" ")[-1]).word == ACCEPTED
    assert sidecar.doors.all(token, scope="orders:delete").word == "insufficient_scope"


def test_several_claims_of_scope_are_put_together(provider: Callable[..., Issuer], trusting: Callable[..., Trusting]) -> None:
    issuer = provider(claims={"roles": ["clerk"]})
    sidecar = trusting(issuer, tables={issuer.name: {"scope_claims": ["scope", "roles", "groups"]}})
    token = issuer.token()
    for scope in ["orders:read", "orders:write", "clerk", "orders:read clerk"]:
        assert sidecar.doors.all(token, scope=scope).word == ACCEPTED, scope
    # A claim that the table does not name is not read.
    assert sidecar.doors.all(token, scope="auditor").word == "insufficient_scope"


def test_a_role_with_a_blank_is_not_two_scopes(provider: Callable[..., Issuer], trusting: Callable[..., Trusting]) -> None:
    issuer = provider(claims={"roles": ["not orders:admin"]})
    sidecar = trusting(issuer, tables={issuer.name: {"scope_claims": ["roles"]}})
    assert sidecar.doors.all(issuer.token(), scope="orders:admin").word != ACCEPTED


def test_a_token_for_another_audience_is_refused_although_its_signature_is_good(
    issuer: Issuer, sidecar: Trusting
) -> None:
    token = issuer.token(audience=OTHER_AUDIENCE)
    assert sidecar.doors.all(token).word == "wrong_audience"
    # The caller's requirements do not extend what the table allows.
    assert sidecar.doors.all(token, audience=[OTHER_AUDIENCE]).word == "wrong_audience"
    assert sidecar.doors.all(issuer.token(), audience=[OTHER_AUDIENCE]).word == "wrong_audience"
    assert sidecar.doors.all(issuer.token(), audience=[OTHER_AUDIENCE, AUDIENCE]).word == ACCEPTED


def test_each_audience_of_the_table_is_one(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    sidecar = trusting(issuer, tables={issuer.name: {"audiences": [AUDIENCE, OTHER_AUDIENCE]}})
    assert sidecar.doors.all(issuer.token(audience=OTHER_AUDIENCE), audience=[OTHER_AUDIENCE]).word == ACCEPTED
    assert sidecar.doors.all(issuer.token(audience=OTHER_AUDIENCE), audience=[AUDIENCE]).word == "wrong_audience"


def test_the_audience_may_stand_in_a_claim_of_another_name(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    issuer = provider()
    table = {issuer.name: {"audience_claim": "client_id", "audiences": ["the-app"]}}
    sidecar = trusting(issuer, tables=table)
    for client, aud, word in [
        ("the-app", None, ACCEPTED),
        ("another-app", None, "wrong_audience"),
        ("another-app", "the-app", "wrong_audience"),
    ]:
        claims = issuer.claims(client_id=client, token_use="access", aud=aud)
        token = issuer.keys[1].token({name: value for name, value in claims.items() if value is not None})
        assert sidecar.doors.all(token, audience=["the-app"]).word == word, (client, aud)


def test_a_route_may_ask_for_an_issuer(provider: Callable[..., Issuer], trusting: Callable[..., Trusting]) -> None:
    first, second = provider(), provider()
    sidecar = trusting(first, second)
    for token, own in [(first.token(), first.name), (second.token(), second.name), (sidecar.own(), sidecar.issuer)]:
        for name in [first.name, second.name, sidecar.issuer]:
            assert sidecar.doors.all(token, issuer=[name]).word == (ACCEPTED if name == own else "wrong_issuer")
        everybody = [first.name, second.name, sidecar.issuer]
        assert sidecar.doors.all(token, issuer=everybody).word == ACCEPTED
        assert sidecar.doors.all(token).word == ACCEPTED


def test_introspection_tells_of_tokens_of_the_provider_too(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    sidecar = trusting(issuer)
    status, answer = sidecar.doors.introspect(issuer.token())
    assert (status, answer["active"], answer["iss"], answer["sub"]) == (200, True, issuer.name, "ES256")
    assert sidecar.doors.introspect(issuer.token(audience=OTHER_AUDIENCE)) == (200, {"active": False})
    issuer.proxy.down()
    status, answer = trusting(issuer).doors.introspect(issuer.token())
    assert (status, answer["type"]) == (503, f"urn:signet:problem:{UNAVAILABLE}")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each(alg=None), id="no alg, as Entra has it"),
        pytest.param(each(use=None), id="no use"),
        pytest.param(each(use=None, key_ops=["verify"]), id="key_ops for verifying"),
        pytest.param(each(x5t="abc", x5c=["MIIB"], issuer="https://x.example.com"), id="members of others"),
        pytest.param(and_also(symmetric("hmac")), id="a symmetric key beside them"),
        pytest.param(and_also({"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AA", "y": "AA"}), id="an unknown curve"),
        pytest.param(and_also({"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA"}), id="an unknown kind"),
        pytest.param(and_also({"kty": "RSA", "kid": "odd", "n": 7, "e": None}), id="a broken key beside them"),
        pytest.param(and_also(Key.made("weak", "RS256", bits=1024).public), id="a weak key beside them"),
        pytest.param(and_also(modulus(16_384, "AQAB")), id="a key that takes long beside them"),
        pytest.param(and_also(modulus(2048, "AQ")), id="a key with the exponent 1 beside them"),
        pytest.param(and_also({**Key.made("enc", "RS256").public, "use": "enc"}), id="a key for encryption"),
        pytest.param(with_keys(lambda keys: [*keys, *keys]), id="every key twice"),
    ],
)
def test_a_jwks_may_hold_more_or_say_less(issuer: Issuer, trusting: Callable[..., Trusting], fault: Any) -> None:
    issuer.proxy.misbehave(fault)
    sidecar = trusting(issuer)
    assert {alg: sidecar.doors.all(issuer.token(alg)).word for alg in ("RS256", "ES256")} == dict.fromkeys(
        ["RS256", "ES256"], ACCEPTED
    )


def test_a_key_that_everybody_has_or_that_is_not_one_key_is_not_used(
    issuer: Issuer, trusting: Callable[..., Trusting]
) -> None:
    rsa, ec = issuer.keys
    twin = Key.made(ec.kid, "ES256")
    for fault, refused in [
        (with_keys(lambda _: [rsa.public, ec.jwk]), ec),
        (with_keys(lambda _: [rsa.jwk, ec.public]), rsa),
        (and_also(twin.public), ec),
        (each(kid=None, d=None), None),
    ]:
        issuer.proxy.misbehave(fault)
        sidecar = trusting(issuer)
        for key in issuer.keys:
            word = sidecar.doors.all(issuer.token(key.alg)).word
            expected = UNAVAILABLE if refused is None else "unknown_key" if key is refused else ACCEPTED
            assert word == expected, (key.kid, refused)
        assert sidecar.doors.all(twin.token(issuer.claims())).word != ACCEPTED
        seen = sidecar.log() + json.dumps(sidecar._ask("GET", "/v1/ring")) + sidecar.metrics()
        for key in issuer.keys:
            assert key.jwk["d"] not in seen


def test_a_key_whose_signatures_anybody_can_make_is_not_used(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    # With an exponent of 1, a signature is the padded digest itself (RFC 8017 §9.2).
    issuer.proxy.misbehave(and_also(modulus(2048, "AQ")))
    sidecar = trusting(issuer)
    start = unsigned({"alg": "RS256", "kid": "odd"}, issuer.claims())
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(start.encode()).digest()
    signature = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
    assert sidecar.doors.all(f"{start}.{encoded(signature)}").word == "unknown_key"
    assert sidecar.doors.all(issuer.token("RS256")).word == ACCEPTED
