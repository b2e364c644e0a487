"""An issuer whose private key the test has, so it can sign what Signet never would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authority import Certificate
from identity import CLAIMS
from program import LOOPBACK


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The thumbprint of a key (RFC 7638)."""
    required = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in required}, separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(text.encode()).digest())


class Issuer:
    """An issuer with its own key. It counts how often its JWKS is fetched."""

    def __init__(self, algorithm: str = "ES256", certificate: Certificate | None = None, begins: str = "") -> None:
        """`begins` is the beginning of its kid. For one character of base64url, 64 keys are generated on average."""
        self.algorithm = algorithm
        jwk = self._new_key()
        while not thumbprint(jwk).startswith(begins):
            jwk = self._new_key()
        self.kid = thumbprint(jwk)
        self.keys: list[dict[str, str]] = [{**jwk, "kid": self.kid, "alg": algorithm, "use": "sig"}]
        self.fetches = 0
        issuer = self

        class Jwks(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                issuer.fetches += 1
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(http.HTTPStatus.OK)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.send_header("cache-control", "public, max-age=300")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Logs nothing, because the tests report faults."""

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Jwks)
        self._server.daemon_threads = True
        self.issuer = f"http://{LOOPBACK}:{self._server.server_port}"
        if certificate:
            self._server.socket = certificate.context().wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _new_key(self) -> dict[str, str]:
        """Generates a private key, and returns the public one."""
        if self.algorithm == "ES256":
            self._key: Any = ec.generate_private_key(ec.SECP256R1())
            public = self._key.public_key().public_numbers()
            return {"kty": "EC", "crv": "P-256", "x": base64url(public.x.to_bytes(32)), "y": base64url(public.y.to_bytes(32))}
        self._key = rsa.generate_private_key(65537, 2048)
        return {"kty": "RSA", "n": base64url(self._key.public_key().public_numbers().n.to_bytes(256)), "e": "AQAB"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def public_forms(self) -> list[bytes]:
        """What a confused verifier might use as a shared secret: the public key as text and as bytes, the JWK, and
        nothing."""
        key = self._key.public_key()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = key.public_bytes(serialization.Encoding.PEM, spki)
        der = key.public_bytes(serialization.Encoding.DER, spki)
        return [pem, pem.rstrip(), der, json.dumps(self.keys[0]).encode(), b"", b"\0"]

    def claims(self, **others: Any) -> dict[str, Any]:
        """Good claims with these changes. None removes a claim."""
        now = int(time.time())
        claims = {"iss": self.issuer, "iat": now, "exp": now + 300, "jti": base64url(os.urandom(9)), **CLAIMS, **others}
        return {name: claim for name, claim in claims.items() if claim is not None}

    def _sign(self, text: bytes) -> bytes:
        if self.algorithm == "RS256":
            return bytes(self._key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
        r, s = decode_dss_signature(self._key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def token(self, payload: Mapping[str, Any] | str, secret: bytes | None = None, **header: Any) -> str:
        """A token with a good signature of its key, or an HMAC if a secret is given."""
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "at+jwt"} | header
        header = {name: value for name, value in header.items() if value is not None}
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        signed = f"{base64url(json.dumps(header).encode())}.{base64url(text.encode())}"
        if secret is not None:
            signature = hmac.digest(secret, signed.encode(), "sha256")
        else:
            signature = self._sign(signed.encode())
        return f"{signed}.{base64url(signature)}"


def bad_tokens(issuer: Issuer) -> dict[str, str]:
    """Tokens that no verifier may accept, by their fault."""
    now = int(time.time())
    good = issuer.token(issuer.claims())
    head, payload, signature = good.split(".")
    other = Issuer()
    other.stop()
    text = json.dumps(issuer.claims())
    bad = {
        "garbage": "a.b.c",
        "no signature": f"{head}.{payload}.",
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.{signature}",
        "another signature": f"{head}.{payload}.{'A' * len(signature)}",
        "other claims": f"{head}.{base64url(json.dumps(issuer.claims(sub='root')).encode())}.{signature}",
        "another key under our kid": other.token(issuer.claims(), kid=issuer.kid),
        "a key that it brings itself": other.token(issuer.claims(), kid=other.kid, jwk=other.keys[0]),
        "an unknown kid": issuer.token(issuer.claims(), kid=other.kid),
        "alg none": f"{base64url(json.dumps({'alg': 'none', 'kid': issuer.kid}).encode())}.{payload}.",
        "alg of another family": issuer.token(issuer.claims(), alg="RS256"),
        "expired": issuer.token(issuer.claims(exp=now - 120)),
        "another issuer": issuer.token(issuer.claims(iss="https://elsewhere.example.com")),
        "an issuer with ours in it": issuer.token(issuer.claims(iss=f"{issuer.issuer}.example.com")),
        "no issuer, but one in a claim": issuer.token(issuer.claims(iss=None, org={"iss": issuer.issuer})),
        "another audience": issuer.token(issuer.claims(aud="https://billing.example.com")),
        "an audience with ours in it": issuer.token(issuer.claims(aud="https://orders.example.com.evil.example")),
        "an array of other audiences": issuer.token(issuer.claims(aud=["a", "b"])),
        "an audience in an array in an array": issuer.token(issuer.claims(aud=[["https://orders.example.com"]])),
        "no audience, but one in a claim": issuer.token(issuer.claims(aud=None, org={"aud": CLAIMS["aud"]})),
        "an audience that looks like an array": issuer.token(issuer.claims(aud='["https://orders.example.com"]')),
        "no audience": issuer.token(issuer.claims(aud=None)),
        "not yet good": issuer.token(issuer.claims(nbf=now + 600)),
        "no object": issuer.token("[1]"),
        "no JSON": issuer.token(text[:-1]),
    }
    for number, secret in enumerate(issuer.public_forms()):
        bad[f"HMAC with the public key, form {number}"] = issuer.token(issuer.claims(), secret, alg="HS256")
        bad[f"HMAC under our alg, form {number}"] = issuer.token(issuer.claims(), secret)
    return bad
