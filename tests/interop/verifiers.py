"""Three JOSE libraries as a service would use them, configured with the issuer, the audience, the algorithm and the
JWKS URL.

Each class hides the differences of one library. All report why a token was refused in the words of [`Refused`], so a
test cannot mistake one refusal for another.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import joserfc.errors
import joserfc.jwt
import jwt
from joserfc.jwk import KeySet

ANSWER_LIMIT = 10.0


class Refused(Exception):
    """A library refused a token. `reason` is `signature`, `audience`, `expired`, `unknown key` or the library's own
    word."""

    def __init__(self, reason: str, detail: object) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True)
class Trust:
    """The configuration of a service."""

    issuer: str
    jwks_uri: str
    algorithm: str
    # How long the JWKS is kept, in seconds.
    lifespan: float = 300


class Verifier(Protocol):
    """One library, with its own cache of one JWKS."""

    def verify(self, token: str, audience: str) -> Mapping[str, Any]:
        """The claims of a good token; [`Refused`] otherwise."""

    def thumbprints(self) -> dict[str, str]:
        """The RFC 7638 SHA-256 thumbprint of every published key as the library read it, by kid."""


class PyJwt:
    """PyJWT, with PyJWKClient and its cache."""

    REASONS: ClassVar[dict[type[Exception], str]] = {
        jwt.InvalidSignatureError: "signature",
        jwt.InvalidAudienceError: "audience",
        jwt.ExpiredSignatureError: "expired",
        jwt.PyJWKClientError: "unknown key",
    }

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        # The cool-down after a fetch is PyJWT's default, 30 s: an unknown kid is refused without a fetch.
        self.keys = jwt.PyJWKClient(trust.jwks_uri, lifespan=trust.lifespan)

    def verify(self, token: str, audience: str) -> Mapping[str, Any]:
        try:
            key = self.keys.get_signing_key_from_jwt(token)
            return jwt.decode(
                token,
                key,
                algorithms=[self.trust.algorithm],
                issuer=self.trust.issuer,
                audience=audience,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
            )
        except jwt.PyJWTError as error:
            raise Refused(self.REASONS.get(type(error), type(error).__name__), error) from error

    def thumbprints(self) -> dict[str, str]:
        # PyJWT has no thumbprints. Therefore its key objects are written as JWK again and hashed by RFC 7638 §3.
        keys = self.keys.get_signing_keys()
        return {str(key.key_id): thumbprint(key.Algorithm.to_jwk(key.key, as_dict=True)) for key in keys}


class Joserfc:
    """joserfc, which fetches nothing itself. The cache here is the minimum that a service would write."""

    def __init__(self, trust: Trust) -> None:
        self.trust = trust
        self.fetched_at: float | None = None
        self.keys = KeySet([])

    def verify(self, token: str, audience: str) -> Mapping[str, Any]:
        # joserfc accepts only RS256, ES256 and HS256, unless others are named.
        try:
            decoded = joserfc.jwt.decode(token, self.fresh_keys(), algorithms=[self.trust.algorithm])
            self.rules(audience).validate(decoded.claims)
        except joserfc.errors.JoseError as error:
            raise Refused(self.reason(error), error) from error
        return decoded.claims

    def rules(self, audience: str) -> joserfc.jwt.JWTClaimsRegistry:
        return joserfc.jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.trust.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            jti={"essential": True},
        )

    @staticmethod
    def reason(error: joserfc.errors.JoseError) -> str:
        match error:
            case joserfc.errors.BadSignatureError():
                return "signature"
            case joserfc.errors.ExpiredTokenError():
                return "expired"
            case joserfc.errors.InvalidClaimError(claim="aud"):
                return "audience"
            case joserfc.errors.InvalidKeyIdError():
                return "unknown key"
        return error.error

    def fresh_keys(self) -> KeySet:
        now = time.monotonic()
        if self.fetched_at is None or now - self.fetched_at > self.trust.lifespan:
            with urllib.request.urlopen(self.trust.jwks_uri, timeout=ANSWER_LIMIT) as answer:
                self.keys = KeySet.import_key_set(json.load(answer))
            self.fetched_at = now
        return self.keys

    def thumbprints(self) -> dict[str, str]:
        return {str(key.kid): key.thumbprint() for key in self.fresh_keys().keys}


class Jose:
    """jose (npm), in a Node process."""

    REASONS: ClassVar[dict[str, str]] = {
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED": "signature",
        "ERR_JWT_EXPIRED": "expired",
        "ERR_JWKS_NO_MATCHING_KEY": "unknown key",
    }

    def __init__(self, trust: Trust, node: Node) -> None:
        self.node = node
        self.trust = {
            "issuer": trust.issuer,
            "jwksUri": trust.jwks_uri,
            "algorithm": trust.algorithm,
            "lifespan": trust.lifespan,
        }

    def verify(self, token: str, audience: str) -> Mapping[str, Any]:
        answer = self.node.ask({"verb": "verify", "token": token, "audience": audience, **self.trust})
        if "claims" in answer:
            return dict(answer["claims"])
        code = answer["code"]
        if code == "ERR_JWT_CLAIM_VALIDATION_FAILED" and answer["claim"] == "aud":
            raise Refused("audience", answer["detail"])
        raise Refused(self.REASONS.get(code, code), answer["detail"])

    def thumbprints(self) -> dict[str, str]:
        return dict(self.node.ask({"verb": "thumbprints", **self.trust})["thumbprints"])


class Node:
    """The Node process. Each line is one request and one answer."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            ["node", "verify.mjs"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._requests.write(json.dumps(request).encode() + b"\n")
        self._requests.flush()
        ready, _, _ = select.select([self._answers], [], [], ANSWER_LIMIT)
        line = self._answers.readline() if ready else b""
        if not line:
            raise TimeoutError("Node gave no answer; its own words are above")
        return dict(json.loads(line))

    def stop(self) -> None:
        self._requests.close()
        try:
            self._process.wait(ANSWER_LIMIT)
        finally:
            self._process.kill()
            self._answers.close()


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638 §3: SHA-256 of the required members in order, without white space."""
    required = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in required}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
