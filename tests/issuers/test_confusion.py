"""Which issuer may speak for whom: the same kid at two issuers and at Signet itself, and deceptive tokens."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from faults import and_also, only, symmetric
from keys import Key, encoded, hmac_token, parts, unsigned
from program import wait_until
from provider import Issuer
from sidecar import binary
from trust import ACCEPTED, Trusting

Two = tuple[Issuer, Issuer, Trusting]


@pytest.fixture
def two(provider: Callable[..., Issuer], trusting: Callable[..., Trusting]) -> Two:
    """Two providers whose keys have the same kids, and a sidecar that trusts both."""
    first, second = provider(), provider()
    return first, second, trusting(first, second)


def test_two_issuers_with_the_same_kids_each_have_their_own_tokens_accepted(two: Two) -> None:
    first, second, sidecar = two
    for issuer in (first, second, first, second):
        for alg in ("RS256", "ES256"):
            assert sidecar.doors.all(issuer.token(alg)).word == ACCEPTED


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_key_of_one_issuer_does_not_speak_for_another_with_the_same_kid(two: Two, alg: str) -> None:
    first, second, sidecar = two
    for speaker, other in [(first, second), (second, first)]:
        key = next(key for key in speaker.keys if key.alg == alg)
        forged = key.token(other.claims())
        for _ in range(2):
            assert sidecar.doors.all(forged).word == "bad_signature"
        # Good tokens with the same kid are accepted before and after.
        assert sidecar.doors.all(speaker.token(alg)).word == sidecar.doors.all(other.token(alg)).word == ACCEPTED
        # The signature of one is not valid for the claims of the other.
        head, _, signature = speaker.token(alg).split(".")
        assert sidecar.doors.all(f"{head}.{other.token(alg).split('.')[1]}.{signature}").word == "bad_signature"


def test_a_key_that_one_issuer_alone_has_does_not_speak_for_another(two: Two) -> None:
    first, second, sidecar = two
    own = Key.made("of-the-first-alone", "ES256")
    first.proxy.misbehave(and_also(own.public))
    token = own.token(first.claims())
    wait_until(lambda: sidecar.doors.ask("verify", token).word == ACCEPTED, 10, "the key is known")
    assert sidecar.doors.all(own.token(second.claims())).word == "unknown_key"
    assert sidecar.doors.all(own.token(first.claims(iss=sidecar.issuer))).word == "unknown_key"


def test_an_issuer_that_nobody_trusts_is_no_issuer(two: Two, provider: Callable[..., Issuer]) -> None:
    first, _, sidecar = two
    stranger = provider(*first.keys)
    assert sidecar.doors.all(stranger.token()).word in ("wrong_issuer", "unknown_key")
    nameless = {name: value for name, value in first.claims().items() if name != "iss"}
    assert sidecar.doors.all(first.keys[1].token(nameless)).word != ACCEPTED
    for name in [first.name + "/", first.name.upper(), first.name.replace("127.0.0.1", "localhost"), " " + first.name, ""]:
        assert sidecar.doors.all(first.keys[1].token(first.claims(iss=name))).word != ACCEPTED
    assert not stranger.proxy.seen()


def hostile(issuer: Issuer, foreign: Key) -> dict[str, str]:
    """Tokens that pretend to be the issuer's."""
    rsa, ec = issuer.keys
    claims = issuer.claims()
    jwk = foreign.public | {"kid": ec.kid}
    good = issuer.token()
    return {
        "alg none": unsigned({"alg": "none", "kid": ec.kid}, claims) + ".",
        "alg none with the signature": unsigned({"alg": "none", "kid": ec.kid}, claims) + "." + good.split(".")[2],
        "alg None": unsigned({"alg": "None", "kid": ec.kid}, claims) + ".",
        "HS256 with the public key in PEM": hmac_token(rsa.pem, {"kid": rsa.kid}, claims),
        "HS256 with the modulus": hmac_token(rsa.public["n"].encode(), {"kid": rsa.kid}, claims),
        "HS256 with the point": hmac_token((ec.public["x"] + ec.public["y"]).encode(), {"kid": ec.kid}, claims),
        "HS256 with nothing": hmac_token(b"", {"kid": ec.kid}, claims),
        "RS384 by the key of RS256": rsa.token(claims, alg="RS384"),
        "RS512 by the key of RS256": rsa.token(claims, alg="RS512"),
        "PS256 by the key of RS256": rsa.token(claims, alg="PS256"),
        "ES256 under the kid of RS256": ec.token(claims, kid=rsa.kid),
        "RS256 under the kid of ES256": rsa.token(claims, kid=ec.kid),
        "ES384 said, ES256 signed": re_headed(ec, claims, alg="ES384"),
        "jwk in the header": foreign.token(claims, kid=ec.kid, jwk=jwk),
        "jwk in the header without a kid": foreign.token(claims, kid=None, jwk=jwk),
        "jku in the header": foreign.token(claims, kid=ec.kid, jku="http://127.0.0.1:1/jwks"),
        "x5u in the header": foreign.token(claims, kid=ec.kid, x5u="http://127.0.0.1:1/x5u"),
        "x5c in the header": foreign.token(claims, kid=ec.kid, x5c=[encoded(b"MIIB")]),
        "crit in the header": ec.token(claims, crit=["http://example.com/x"], **{"http://example.com/x": True}),
        "a foreign key": foreign.token(claims, kid=ec.kid),
        "no signature": good.rpartition(".")[0] + ".",
        "zeros for a signature": good.rpartition(".")[0] + "." + encoded(bytes(64)),
        "an ID token's type": ec.token(claims, typ="logout+jwt"),
        "no exp": ec.token({name: value for name, value in claims.items() if name != "exp"}),
        "expired": ec.token(claims | {"exp": claims["iat"] - 3600}),
        "from the future": ec.token(claims | {"nbf": claims["iat"] + 3600}),
        "iss in a list": ec.token(claims | {"iss": [issuer.name]}),
    }


def re_headed(key: Key, claims: dict[str, Any], **header: Any) -> str:
    """A token with a valid signature whose header names another algorithm."""
    start = unsigned({"alg": key.alg, "typ": "at+jwt", "kid": key.kid} | header, claims)
    return f"{start}.{encoded(key.signature(start.encode(), key.alg))}"


def test_no_hostile_token_is_accepted_and_none_makes_signet_ask_where_it_says(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    issuer, lure = provider(), provider()
    foreign = lure.keys[1]
    # This holds even if the provider itself publishes a symmetric key, or all of Signet's algorithms are allowed.
    issuer.proxy.misbehave(and_also(symmetric("hmac", b"published")))
    tables = {issuer.name: {"algorithms": ["RS256", "ES256", "ES384", "PS256", "RS384", "RS512"]}}
    sidecar = trusting(issuer, tables=tables)
    tokens = hostile(issuer, foreign) | {
        "HS256 by the symmetric key": hmac_token(b"published", {"kid": "hmac"}, issuer.claims()),
        "jku of a provider that is there": foreign.token(issuer.claims(), kid="x", jku=f"{lure.name}/jwks"),
    }
    verdicts = {name: sidecar.doors.all(token).word for name, token in tokens.items()}
    assert ACCEPTED not in verdicts.values(), verdicts
    assert "issuer_unavailable" not in verdicts.values(), verdicts
    assert not lure.proxy.seen(), "Signet asked where a header told it to"
    for alg in ("RS256", "ES256"):
        assert sidecar.doors.all(issuer.token(alg)).word == ACCEPTED


def test_an_algorithm_that_the_table_does_not_name_is_not_used(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    issuer = provider()
    sidecar = trusting(issuer, tables={issuer.name: {"algorithms": ["RS256"]}})
    assert sidecar.doors.all(issuer.token("RS256")).word == ACCEPTED
    assert sidecar.doors.all(issuer.token("ES256")).word == "unknown_key"


def test_an_issuer_that_publishes_signets_own_key_cannot_speak_for_signet_nor_signet_for_it(
    issuer: Issuer, trusting: Callable[..., Trusting], provider: Callable[..., Issuer]
) -> None:
    # Its JWKS contains Signet's kid, once with Signet's public key and once with its own.
    sidecar = trusting(issuer, provider())
    own = sidecar.own()
    signets, kid = sidecar.jwks()[0], parts(own)[0]["kid"]
    impostor = Key.made(kid, "ES256")
    for published in (signets, impostor.public):
        issuer.proxy.misbehave(and_also(published))
        issuer.proxy.wait_for_fetches(2)
        assert sidecar.doors.all(own).word == ACCEPTED
        # The impostor pretends to be Signet.
        forged = impostor.token(parts(own)[1])
        assert sidecar.doors.all(forged).word == "bad_signature"
        # Signet's signature over claims that name the issuer, which it never signs.
        claims = {"iss": issuer.name, "sub": "user-7", "aud": parts(own)[1]["aud"]}
        with pytest.raises(AssertionError, match="400|403|422"):
            sidecar.sign(claims)
        # Signet's signature moved to the issuer's claims.
        head, _, signature = own.split(".")
        moved = f"{head}.{issuer.token().split('.')[1]}.{signature}"
        assert sidecar.doors.all(moved).word in ("bad_signature", "unknown_key")
        assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    # Its own key now signs for it, and its keys still say nothing about Signet's ring.
    assert sidecar.doors.all(impostor.token(issuer.claims())).word == ACCEPTED
    assert [key["kid"] for key in sidecar.jwks()] == [kid]


def test_signets_own_issuer_cannot_be_trusted_a_second_time_with_keys_from_elsewhere() -> None:
    own = "http://127.0.0.1:8080"
    given = [binary(), "check", f"--issuer={own}", f"--trusted-issuers={own}", "--audience=x"]
    outcome = subprocess.run(given, capture_output=True, text=True, timeout=20)
    assert (outcome.returncode, "which is SIGNET_ISSUER" in outcome.stderr) == (64, True), outcome.stderr


def test_a_token_that_was_seen_is_not_remembered_under_another_issuer(two: Two) -> None:
    first, second, sidecar = two
    token = first.token()
    assert sidecar.doors.all(token).word == ACCEPTED
    assert sidecar.doors.all(token, issuer=[second.name]).word == "wrong_issuer"
    assert sidecar.doors.all(token).word == ACCEPTED


def test_a_jwks_of_one_symmetric_key_gives_no_keys(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    issuer.proxy.misbehave(only(symmetric("rsa", b"published")))
    sidecar = trusting(issuer)
    token = hmac_token(b"published", {"kid": "rsa"}, issuer.claims())
    assert sidecar.doors.all(token).word == "issuer_unavailable"
