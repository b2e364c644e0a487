"""A service that verifies tokens with PyJWT, as a process. A line on standard input is a token; a line on standard
output is the result.

It keeps the JWKS for the configured time, whatever `Cache-Control` says, and never fetches it again for an unknown
kid, like Envoy and Istio. It fetches from any replica that reports that it is ready, or from any that answers if none
is ready.
"""

from __future__ import annotations

import json
import random
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import jwt

ANSWER_LIMIT = 2.0
# How long it keeps asking while no replica answers. All of them may be starting.
FETCH_LIMIT = 15.0

# A proxy from the environment must not be used between two processes of this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Verifier:
    """One cache of one JWKS."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.issuer: str = configuration["issuer"]
        self.audience: str = configuration["audience"]
        self.algorithm: str = configuration["algorithm"]
        self.lifespan: float = configuration["lifespan"]
        # For each replica: the URLs of its JWKS and of its readiness.
        self.replicas: list[tuple[str, str]] = [(r["jwks"], r["ready"]) for r in configuration["replicas"]]
        self.random = random.Random(configuration["seed"])
        self.keys: dict[str, jwt.PyJWK] = {}
        self.fetched_at = float("-inf")
        self.fetches = 0

    def verify(self, token: str) -> dict[str, Any]:
        if time.monotonic() - self.fetched_at >= self.lifespan and not self.fetch():
            return {"good": None, "why": "no replica gave a JWKS"}
        kid = jwt.get_unverified_header(token)["kid"]
        if kid not in self.keys:
            return {"good": False, "why": f"unknown key; the JWKS has {sorted(self.keys)}"}
        try:
            jwt.decode(
                token,
                self.keys[kid],
                algorithms=[self.algorithm],
                issuer=self.issuer,
                audience=self.audience,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
            )
        except jwt.PyJWTError as error:
            return {"good": False, "why": f"{type(error).__name__}: {error}"}
        return {"good": True}

    def fetch(self) -> bool:
        deadline = time.monotonic() + FETCH_LIMIT
        while time.monotonic() < deadline:
            replicas = self.random.sample(self.replicas, len(self.replicas))
            ready = (jwks for jwks, readiness in replicas if self.get(readiness) is not None)
            chosen = [first] if (first := next(ready, None)) else [jwks for jwks, _ in replicas]
            for url in chosen:
                asked_at = time.monotonic()
                if (text := self.get(url)) is not None:
                    self.keys = {str(key.key_id): key for key in jwt.PyJWKSet.from_dict(json.loads(text)).keys}
                    self.fetched_at = asked_at
                    self.fetches += 1
                    return True
            time.sleep(0.02)
        return False

    @staticmethod
    def get(url: str) -> bytes | None:
        """The body of a 200 answer. None for everything else."""
        try:
            with OPENER.open(url, timeout=ANSWER_LIMIT) as answer:
                return bytes(answer.read())
        except (OSError, urllib.error.URLError):
            return None


def main() -> None:
    verifier = Verifier(json.loads(sys.argv[1]))
    for line in sys.stdin:
        answer = verifier.verify(line.strip())
        age = time.monotonic() - verifier.fetched_at
        print(json.dumps({**answer, "age": round(age, 3), "fetches": verifier.fetches}), flush=True)


if __name__ == "__main__":
    main()
