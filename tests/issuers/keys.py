"""Private keys of the tests, as JWK and for signing, including what no honest provider would sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
Jwk = dict[str, Any]


def encoded(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The octets of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, octets: int = 0) -> str:
    """Encodes a number by RFC 7518 §6.2.1.2 and §6.3.1.1: big-endian, with coordinates in full length."""
    return encoded(value.to_bytes(octets or (value.bit_length() + 7) // 8, "big"))


@dataclass(frozen=True)
class Key:
    """A key pair with a kid. `alg` is the algorithm with which it signs."""

    kid: str
    alg: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @staticmethod
    def made(kid: str, alg: str, bits: int = 2048) -> Key:
        """Generates a pair."""
        if alg in CURVES:
            return Key(kid, alg, ec.generate_private_key(CURVES[alg]))
        if alg == "EdDSA":
            return Key(kid, alg, ed25519.Ed25519PrivateKey.generate())
        return Key(kid, alg, rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @cached_property
    def jwk(self) -> Jwk:
        """The key with its private members."""
        match self.private:
            case rsa.RSAPrivateKey():
                numbers = self.private.private_numbers()
                secrets = {"d": numbers.d, "p": numbers.p, "q": numbers.q}
                secrets |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
                public = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e}
                rest = {name: number(value) for name, value in (public | secrets).items()}
                return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": self.alg, **rest}
            case ec.EllipticCurvePrivateKey():
                numbers, octets = self.private.private_numbers(), (self.private.key_size + 7) // 8
                at = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
                rest = {name: number(value, octets) for name, value in at.items()}
                curve = f"P-{self.private.key_size}"
                return {"kty": "EC", "crv": curve, "kid": self.kid, "use": "sig", "alg": self.alg, **rest}
        public_octets = self.private.public_key().public_bytes_raw()
        rest = {"x": encoded(public_octets), "d": encoded(self.private.private_bytes_raw())}
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "alg": self.alg, **rest}

    @property
    def public(self) -> Jwk:
        """The key as it is published."""
        return {name: value for name, value in self.jwk.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}

    @property
    def pem(self) -> bytes:
        """The public half, as people paste it into configurations."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)

    def signature(self, message: bytes, alg: str) -> bytes:
        """A signature in JWS form. `alg` may differ from the key's own."""
        digest = HASHES.get(alg[2:], hashes.SHA256())
        match self.private:
            case rsa.RSAPrivateKey() if alg.startswith("PS"):
                pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
                return self.private.sign(message, pss, digest)
            case rsa.RSAPrivateKey():
                return self.private.sign(message, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePrivateKey():
                octets = (self.private.key_size + 7) // 8
                halves = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
                return b"".join(half.to_bytes(octets, "big") for half in halves)
        return self.private.sign(message)

    def token(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token with these claims. `header` adds or replaces members."""
        head = {"alg": self.alg, "typ": "at+jwt", "kid": self.kid} | header
        start = unsigned(head, claims)
        return f"{start}.{encoded(self.signature(start.encode(), head['alg']))}"


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """The bytes to sign: header and claims."""
    return ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))


def hmac_token(secret: bytes, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """HS256 with something that is not a secret, such as a public key."""
    start = unsigned({"alg": "HS256", "typ": "at+jwt", **header}, claims)
    return f"{start}.{encoded(hmac.new(secret, start.encode(), hashlib.sha256).digest())}"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a token, without any check."""
    header, claims, _ = token.split(".")
    return json.loads(decoded(header)), json.loads(decoded(claims))
