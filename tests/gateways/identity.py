"""What the tests share: the tokens, the audience and the scope in deploy/gateways, and the headers of the identity.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

AUDIENCE = "https://orders.example.com"
SCOPE = "orders:read"
CLAIMS = {"sub": "user-7", "aud": AUDIENCE, "scope": "orders:read orders:write", "org": {"id": 42, "name": "Ærø"}}
SUBJECT_HEADER, SCOPE_HEADER, CLAIMS_HEADER = IDENTITY = ("x-auth-subject", "x-auth-scope", "x-auth-claims")
# The headers of a client that wants to impersonate somebody.
FORGED = [(name, "forged") for name in IDENTITY]
BASIC = ("authorization", "Basic dXNlcjpwYXNz")
# The headers of requests without a token.
NO_TOKEN = [[], [BASIC], [("authorization", "Bearer")]]


def without(name: str, **others: Any) -> dict[str, Any]:
    """The claims without one of them, and with others."""
    return {key: value for key, value in CLAIMS.items() if key != name} | others


def bearer(token: str) -> tuple[str, str]:
    """The header with a token."""
    return ("authorization", f"Bearer {token}")


def two_credentials(token: str) -> list[list[tuple[str, str]]]:
    """The headers of requests with the token and something else."""
    good = bearer(token)
    return [[good, good], [good, BASIC], [BASIC, good]]


def with_another_signature(token: str) -> str:
    """The token with one flipped bit in its signature."""
    head, _, signature = token.rpartition(".")
    octets = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    octets[-1] ^= 1
    return f"{head}.{base64.urlsafe_b64encode(bytes(octets)).rstrip(b'=').decode()}"


def claims_of(header: str) -> dict[str, Any]:
    """The claims in `x-auth-claims`."""
    return dict(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))))


def all_of(headers: Iterable[tuple[str, str]], name: str) -> list[str]:
    """All values of a header."""
    return [value for key, value in headers if key.lower() == name]


def assert_arrived(arrived: Iterable[tuple[str, str]], token: str, expected: dict[str, Any] = CLAIMS) -> None:
    """Checks that the service got the identity in the token's claims, and the token, which it can verify itself."""
    headers = list(arrived)
    assert all_of(headers, SUBJECT_HEADER) == [expected["sub"]]
    assert all_of(headers, SCOPE_HEADER) == [expected["scope"]]
    claims = claims_of(*all_of(headers, CLAIMS_HEADER))
    assert {name: claims[name] for name in expected} == expected
    assert all_of(headers, "authorization") == [f"Bearer {token}"]
