"""A real Keycloak as a trusted issuer over https: its tokens, roles and keys, and how it rotates them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from authority import Authority
from figures import leave_out
from keycloak import Keycloak, why_no_keycloak
from keys import parts
from program import wait_until
from provider import AUDIENCE
from trust import ACCEPTED, UNAVAILABLE, Trusting, word

LIMIT = 30.0
# Keycloak's keys have no lifetime (`Cache-Control: no-cache`), so they are fetched again after `min_refresh`.
SELDOM = {"min_refresh": "1h", "max_refresh": "1h"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority for Keycloak's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def keycloak(authority: Authority) -> Iterator[Keycloak]:
    """Keycloak. If it is missing, this is reported; in CI, it fails."""
    if lack := why_no_keycloak():
        leave_out("Keycloak", lack, "java", "mvn")
    keycloak = Keycloak(authority)
    try:
        keycloak.make_realm()
        yield keycloak
    finally:
        keycloak.stop()


@pytest.fixture
def trust(
    keycloak: Keycloak, authority: Authority, trusting: Callable[..., Trusting]
) -> Callable[..., Trusting]:
    """Starts sidecars that trust it. `table` adds settings."""

    def start(table: dict[str, Any] | None = None, **settings: str) -> Trusting:
        whole = {"ca_file": str(authority.file)} | (table or {})
        return trusting(keycloak.issuer, tables={keycloak.issuer: whole}, **settings)

    return start


def kid(token: str) -> str:
    return str(parts(token)[0]["kid"])


def test_an_access_token_of_keycloak_is_accepted_at_each_door(
    keycloak: Keycloak, trust: Callable[..., Trusting]
) -> None:
    token = keycloak.token(scope="orders:write")
    header, claims = parts(token)
    assert (header["alg"], header["typ"], claims["typ"]) == ("RS256", "JWT", "Bearer")
    assert (claims["iss"], claims["aud"], claims["azp"]) == (keycloak.issuer, AUDIENCE, "till")
    assert claims["realm_access"] == {"roles": ["clerk"]}
    sidecar = trust()
    verdict = sidecar.doors.all(token)
    assert (verdict.word, verdict.subject) == (ACCEPTED, claims["sub"])
    assert set(str(verdict.scope).split()) == set(claims["scope"].split()) == {"orders:read", "orders:write"}
    assert sidecar.doors.all(token, scope="orders:write", issuer=[keycloak.issuer]).word == ACCEPTED
    # The scope is optional: it is in the token only if it was requested.
    assert sidecar.doors.all(keycloak.token(), scope="orders:write").word == "insufficient_scope"
    start, _, signature = token.rpartition(".")
    forged = f"{start}.{'A' * len(signature)}"
    assert sidecar.doors.all(forged).word == "bad_signature"
    code, answer = sidecar.check()
    assert code == 0, answer


def test_the_certificate_of_keycloak_is_looked_at(keycloak: Keycloak, trusting: Callable[..., Trusting]) -> None:
    sidecar = trusting(keycloak.issuer)
    assert sidecar.doors.all(keycloak.token()).word == UNAVAILABLE
    assert "no authority that this machine trusts has signed the server's certificate" in sidecar.readiness()


def test_its_roles_are_scopes_where_the_table_says_so(keycloak: Keycloak, trust: Callable[..., Trusting]) -> None:
    sidecar = trust({"scope_claims": ["scope", "/realm_access/roles"]})
    token, of_ada = keycloak.token(), keycloak.of_ada()["access_token"]
    for scope, mine, hers in [
        ("orders:read clerk", ACCEPTED, ACCEPTED),
        ("auditor", "insufficient_scope", ACCEPTED),
        ("owner", "insufficient_scope", "insufficient_scope"),
    ]:
        assert (sidecar.doors.all(token, scope=scope).word, sidecar.doors.all(of_ada, scope=scope).word) == (mine, hers)
    # Without the table, a role is not a scope.
    assert trust().doors.all(token, scope="clerk").word == "insufficient_scope"


def test_its_roles_get_a_header_of_their_own(keycloak: Keycloak, trust: Callable[..., Trusting]) -> None:
    sidecar = trust(claim_headers="/realm_access/roles:x-auth-roles,azp:x-auth-client")
    made = sidecar.doors.identity(keycloak.of_ada()["access_token"])
    assert (sorted(made["x-auth-roles"].split(",")), made["x-auth-client"]) == (["auditor", "clerk"], "till")


def test_without_an_audience_mapper_its_tokens_are_for_nobody(
    keycloak: Keycloak, trust: Callable[..., Trusting]
) -> None:
    token = keycloak.token("no-audience")
    assert "aud" not in parts(token)[1]
    assert trust().doors.all(token).word == "wrong_audience"


def test_its_id_tokens_and_refresh_tokens_are_no_access_tokens(
    keycloak: Keycloak, trust: Callable[..., Trusting]
) -> None:
    tokens = keycloak.of_ada()
    sidecar = trust()
    assert sidecar.doors.all(tokens["access_token"]).word == ACCEPTED
    header, claims = parts(tokens["id_token"])
    assert (header["typ"], claims["aud"]) == ("JWT", "till")
    assert sidecar.doors.all(tokens["id_token"]).word == "wrong_audience"
    header, claims = parts(tokens["refresh_token"])
    assert (header["alg"], claims["aud"]) == ("HS512", keycloak.issuer)
    assert sidecar.doors.all(tokens["refresh_token"]).word == "unknown_key"
    # Not even if somebody uses the realm as an audience: only Keycloak knows that key.
    careless = trust({"audiences": [AUDIENCE, keycloak.issuer]})
    assert careless.doors.all(tokens["refresh_token"]).word == "unknown_key"


def test_a_token_of_another_realm_is_of_another_issuer(keycloak: Keycloak, trust: Callable[..., Trusting]) -> None:
    assert trust().doors.all(keycloak.of_master()).word == "unknown_key"


def test_marked_access_tokens_are_told_from_an_id_token_that_has_their_audience(
    keycloak: Keycloak, trust: Callable[..., Trusting]
) -> None:
    tokens = keycloak.of_ada("rfc9068")
    access, identity = tokens["access_token"], tokens["id_token"]
    assert parts(access)[0]["typ"] == "at+jwt"
    assert AUDIENCE in parts(identity)[1]["aud"]
    sidecar = trust()
    # Nothing else refuses it; see docs/issuers.md.
    assert [sidecar.doors.all(token).word for token in (access, identity)] == [ACCEPTED] * 2
    for door in ("verify", "check"):
        words = [sidecar.doors.ask(door, token, typ="at+jwt").word for token in (access, identity)]
        assert words == [ACCEPTED, "wrong_type"], door


def test_its_keys_are_asked_for_as_often_as_is_allowed_and_those_for_encryption_do_no_harm(
    keycloak: Keycloak, trust: Callable[..., Trusting]
) -> None:
    # An hour would be allowed, too.
    sidecar = trust({"max_refresh": "1h"})
    for_encryption = [key["kid"] for key in keycloak.jwks() if key["use"] == "enc"]
    assert for_encryption
    wait_until(lambda: sidecar.fetches(keycloak.issuer) >= 3, LIMIT, "three fetches")
    # They do not appear among the problems.
    assert for_encryption[0] not in sidecar.log()
    assert sidecar.metric("signet_issuer_keys", issuer=keycloak.issuer) == len(keycloak.jwks()) - len(for_encryption)
    assert json.loads(sidecar.readiness())["ready"] is True


def test_its_keys_rotate(
    keycloak: Keycloak, trust: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    # Now only a token or an operator causes fetches.
    sidecar = trust(SELDOM)
    old = keycloak.token()
    assert word(sidecar, old) == ACCEPTED
    waits = []
    for name, provider, client, config in [
        ("rsa-2", "rsa-generated", "till", {}),
        ("ec-2", "ecdsa-generated", "es256", {"ecdsaEllipticCurveKey": "P-256"}),
    ]:
        fetched = sidecar.fetches(keycloak.issuer)
        keycloak.add_key(name, provider, priority="200", **config)
        new = keycloak.token(client)
        assert kid(new) != kid(old)
        began = time.monotonic()
        assert word(sidecar, new) == "unknown_key"
        wait_until(lambda: word(sidecar, new) == ACCEPTED, LIMIT, "the new key is known")
        waits.append(time.monotonic() - began)
        assert [sidecar.doors.all(token).word for token in (old, new)] == [ACCEPTED] * 2
        assert sidecar.fetches(keycloak.issuer) == fetched + 1
    figure(f"Keycloak, a new key of higher priority: accepted after {waits[0]:.2f} s (RSA) and {waits[1]:.2f} s (ES256)")

    def fetch() -> None:
        fetched = sidecar.fetches(keycloak.issuer)
        sidecar.reload()
        wait_until(lambda: sidecar.fetches(keycloak.issuer) > fetched, LIMIT, "the keys are fetched")

    new = keycloak.token()
    keycloak.retire_key("rsa-generated")
    fetch()
    assert [sidecar.doors.all(token).word for token in (old, new, keycloak.token())] == [ACCEPTED] * 3
    keycloak.delete_key("rsa-generated")
    fetch()
    assert sidecar.doors.all(old).word == "unknown_key"
    assert [sidecar.doors.all(token).word for token in (new, keycloak.token(), keycloak.token("es256"))] == [ACCEPTED] * 3


def test_while_keycloak_is_down_the_known_keys_serve_and_then_it_is_found_again(
    keycloak: Keycloak, trust: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    sidecar = trust()
    seen, unseen = keycloak.token(), keycloak.token("rfc9068")
    assert sidecar.doors.all(seen).word == ACCEPTED
    keycloak.halt()
    down = time.monotonic()
    # With the default of `max_refresh`, waits are as long as possible.
    late = trust({"max_refresh": "1h"})
    wait_until(lambda: sidecar.fetches(keycloak.issuer, "failed") >= 2, LIMIT, "two failures")
    assert [sidecar.doors.all(token).word for token in (seen, unseen)] == [ACCEPTED] * 2
    assert "Connection refused" in sidecar.readiness()
    # A sidecar that has never seen its keys does not guess.
    assert late.doors.all(seen).word == UNAVAILABLE
    keycloak.start()
    back = time.monotonic()
    wait_until(lambda: word(late, seen) == ACCEPTED, LIMIT, "its keys are known")
    took = time.monotonic() - back
    wait_until(lambda: "Connection refused" not in sidecar.readiness(), LIMIT, "Keycloak is found again")
    for each in (sidecar, late):
        assert each.doors.all(keycloak.token()).word == ACCEPTED
    figure(f"Keycloak, down for {back - down:.0f} s: accepted {took:.1f} s after it answers by one that began meanwhile")
