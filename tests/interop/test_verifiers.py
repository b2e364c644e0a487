"""Tokens of every algorithm with every library, through the discovery document and the JWKS."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import joserfc.errors
import pytest

from conftest import AUDIENCE, CLAIMS, LIBRARIES, Issued
from program import wait_until
from verifiers import Joserfc, Refused, Trust, Verifier


@pytest.fixture(params=LIBRARIES)
def verifier(request: pytest.FixtureRequest, issued: Issued, verifier_of: Callable[[str, Trust], Verifier]) -> Verifier:
    """One library that trusts one sidecar."""
    return verifier_of(request.param, issued.trust)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def with_another_subject(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(decoded(payload)) | {"sub": "admin"}
    return ".".join([header, encoded(json.dumps(claims).encode()), signature])


def with_one_bit_of_the_signature_flipped(token: str) -> str:
    header, payload, signature = token.split(".")
    octets = bytearray(decoded(signature))
    octets[-1] ^= 1
    return ".".join([header, payload, encoded(bytes(octets))])


def refusal(verifier: Verifier, token: str, audience: str = AUDIENCE) -> str:
    with pytest.raises(Refused) as refused:
        verifier.verify(token, audience)
    return refused.value.reason


def test_a_good_token_is_accepted_with_the_claims_that_were_signed(issued: Issued, verifier: Verifier) -> None:
    signed = issued.sidecar.sign(CLAIMS)
    claims: Mapping[str, Any] = verifier.verify(signed["token"], AUDIENCE)
    assert {name: claims[name] for name in CLAIMS} == CLAIMS
    assert (claims["iss"], claims["exp"]) == (issued.sidecar.issuer, signed["exp"])


@pytest.mark.parametrize("tamper", [with_another_subject, with_one_bit_of_the_signature_flipped])
def test_a_tampered_token_is_refused(issued: Issued, verifier: Verifier, tamper: Callable[[str], str]) -> None:
    token = issued.sidecar.sign(CLAIMS)["token"]
    verifier.verify(token, AUDIENCE)
    assert refusal(verifier, tamper(token)) == "signature"


def test_a_token_for_another_audience_is_refused(issued: Issued, verifier: Verifier) -> None:
    token = issued.sidecar.sign({**CLAIMS, "aud": "https://billing.example.com"})["token"]
    verifier.verify(token, "https://billing.example.com")
    assert refusal(verifier, token) == "audience"


def test_the_thumbprint_of_each_key_is_its_kid(issued: Issued, verifier: Verifier) -> None:
    kid = issued.sidecar.sign(CLAIMS)["kid"]
    assert verifier.thumbprints() == {kid: kid}


def test_an_expired_token_is_refused(issued: Issued, verifier: Verifier) -> None:
    wait_until(lambda: time.time() >= issued.expires_at, 5, "exp has passed")
    assert refusal(verifier, issued.short_lived) == "expired"


def test_joserfc_takes_eddsa_only_when_asked_for_by_name_and_warns(sidecars: Callable[[str], Issued]) -> None:
    """A limit of the library, not ours: RFC 9864 deprecates the name EdDSA, which most verifiers still need."""
    issued = sidecars("EdDSA")
    token = issued.sidecar.sign(CLAIMS)["token"]
    verifier = Joserfc(issued.trust)
    with pytest.warns(joserfc.errors.SecurityWarning, match="EdDSA is deprecated via RFC 9864"):
        verifier.verify(token, AUDIENCE)
    with pytest.raises(joserfc.errors.UnsupportedAlgorithmError, match="not recommended"):
        joserfc.jwt.decode(token, verifier.fresh_keys())
