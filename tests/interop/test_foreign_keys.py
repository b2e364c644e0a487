"""The reverse: tokens that these libraries sign with their own keys under our kid are refused by `/v1/verify`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OKPKey, RSAKey

from conftest import ALGORITHMS, AUDIENCE, CLAIMS, Issued

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Signer = Callable[[str, str, Mapping[str, Any]], str]


@cache
def foreign_key(kind: str) -> PrivateKey:
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_for(algorithm: str) -> PrivateKey:
    return foreign_key("RSA" if algorithm[0] in "RP" else algorithm)


def signed_by_pyjwt(algorithm: str, kid: str, claims: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), key_for(algorithm), algorithm=algorithm, headers={"kid": kid})


def signed_by_joserfc(algorithm: str, kid: str, claims: Mapping[str, Any]) -> str:
    pem = key_for(algorithm).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kind = ECKey if algorithm in CURVES else OKPKey if algorithm == "EdDSA" else RSAKey
    header = {"alg": algorithm, "kid": kid}
    return joserfc.jwt.encode(header, dict(claims), kind.import_key(pem), algorithms=[algorithm])


def claims_of(issued: Issued) -> dict[str, Any]:
    now = int(time.time())
    return {**CLAIMS, "iss": issued.sidecar.issuer, "iat": now, "exp": now + 300, "jti": "forged"}


@pytest.fixture(params=[signed_by_pyjwt, signed_by_joserfc])
def sign(request: pytest.FixtureRequest) -> Signer:
    """One library's signature."""
    signer: Signer = request.param
    return signer


def test_a_token_of_a_foreign_key_under_our_kid_is_refused(issued: Issued, sign: Signer) -> None:
    ours = issued.sidecar.sign(CLAIMS)
    assert issued.sidecar.verify(ours["token"], AUDIENCE)["active"] is True
    forged = sign(issued.algorithm, ours["kid"], claims_of(issued))
    answer = issued.sidecar.verify(forged, AUDIENCE)
    assert (answer["active"], answer["error"]) == (False, "bad_signature")


def test_a_token_of_another_algorithm_under_our_kid_is_refused(issued: Issued, sign: Signer) -> None:
    kid = issued.sidecar.sign(CLAIMS)["kid"]
    for other in (algorithm for algorithm in ALGORITHMS if algorithm != issued.algorithm):
        answer = issued.sidecar.verify(sign(other, kid, claims_of(issued)), AUDIENCE)
        assert (answer["active"], answer["error"]) == (False, "wrong_algorithm"), other


def test_a_token_of_a_foreign_key_under_its_own_kid_is_refused(issued: Issued, sign: Signer) -> None:
    answer = issued.sidecar.verify(sign(issued.algorithm, "of-somebody-else", claims_of(issued)), AUDIENCE)
    assert (answer["active"], answer["error"]) == (False, "unknown_key")
