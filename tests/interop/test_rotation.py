"""The whole life of a key in compressed time, with verifiers that keep the JWKS exactly as long as configured."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from conftest import AUDIENCE, CLAIMS, LIBRARIES, why_no_jose
from sidecar import Sidecar
from verifiers import Refused, Trust, Verifier

# L ≥ R + max(M, V) + 2S: 3 s ≥ 2.3 s; P ≥ 2L.
VERIFIER_CACHE = 1
POLICY = {
    "rotation_period": "6s",
    "publish_lead": "3s",
    "refresh_interval": "300ms",
    "jwks_max_age": "1s",
    "verifier_cache": f"{VERIFIER_CACHE}s",
    "clock_skew": "500ms",
    "token_ttl": "2s",
    "token_max_ttl": "2s",
}
# The first key signs for P and stays published for T + R + 2S: 9.3 s.
LIMIT = 30.0
# A token is verified again when it is this close to its `exp`, in seconds.
LAST_MOMENT = 0.3


@pytest.fixture
def rotating() -> Iterator[Sidecar]:
    """A sidecar that rotates every six seconds."""
    sidecar = Sidecar(algorithm="ES256", **POLICY)
    yield sidecar
    assert sidecar.stop() == 0


class Watch:
    """Passes every token to every verifier twice: when it is new, and when it is about to expire."""

    def __init__(self, verifiers: dict[str, Verifier]) -> None:
        self.verifiers = verifiers
        self.waiting: deque[tuple[str, int]] = deque()
        self.checks = 0
        self.refusals: list[str] = []

    def show(self, token: str, expires_at: int) -> None:
        self._check(token, expires_at, "new")
        self.waiting.append((token, expires_at))
        while self.waiting and self.waiting[0][1] - time.time() < LAST_MOMENT:
            self._check(*self.waiting.popleft(), "old")

    def _check(self, token: str, expires_at: int, age: str) -> None:
        for library, verifier in self.verifiers.items():
            try:
                verifier.verify(token, AUDIENCE)
                self.checks += 1
            except Refused as refused:
                # It may have expired while it was verified. Then it was not a good token any more.
                if not (refused.reason == "expired" and time.time() >= expires_at):
                    self.refusals.append(f"{library} refused a {age} token: {refused}")


def test_no_good_token_is_refused_while_a_key_is_born_signs_and_dies(
    rotating: Sidecar, verifier_of: Callable[[str, Trust], Verifier], figure: Callable[[str], None]
) -> None:
    # Without jose, the other two are still useful. The test of jose alone reports that it was skipped.
    libraries = [library for library in LIBRARIES if library != "jose" or not why_no_jose()]
    trust = Trust(rotating.issuer, rotating.discovery()["jwks_uri"], "ES256", lifespan=VERIFIER_CACHE)
    watch = Watch({library: verifier_of(library, trust) for library in libraries})
    first = rotating.sign(CLAIMS)["kid"]
    seen = {first: {"active"}}
    tokens: dict[str, int] = {}
    deadline = time.monotonic() + LIMIT
    while rotating.phases().get(first, "expired") != "expired":
        assert time.monotonic() < deadline, f"the first key is still published; phases seen: {seen}"
        signed = rotating.sign(CLAIMS)
        tokens[signed["kid"]] = tokens.get(signed["kid"], 0) + 1
        watch.show(signed["token"], signed["exp"])
        for kid, phase in rotating.phases().items():
            seen.setdefault(kid, set()).add(phase)
    assert not watch.refusals, f"{len(watch.refusals)} refused, the first: {watch.refusals[0]}"
    assert seen[first] >= {"active", "retiring"}
    second = next(kid for kid in tokens if kid != first)
    assert seen[second] >= {"pending", "active"}
    assert min(tokens[first], tokens[second]) > 100, "too few tokens to show anything"
    figure(
        f"rotation: {sum(tokens.values())} tokens of {len(tokens)} keys, {watch.checks} checks by "
        f"{', '.join(libraries)} with a cache of {VERIFIER_CACHE} s, 0 refused"
    )
