"""No request waits for an issuer: the same requests go to two sidecars, one with a healthy provider and one with a
faulty one.

They take turns, because other work of the machine then affects both equally.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from faults import FAILURES
from provider import Issuer
from raw import GOOD, Raw, quantile, verify_request
from trust import Trusting

TIMES = 2000
TOKENS = 50
# In milliseconds.
ALLOWED = 1.0
# How often it is measured, until a window is quiet enough. What is slower because of a provider is slower in all
# windows.
WINDOWS = 6
# Much less than any wait for a provider, in milliseconds.
LONGEST = 1000.0
LIMIT = 30.0
TROUBLES = ["hangs", "trickles", "answers 500", "floods unannounced", "has no keys", "has too many keys"]


@pytest.fixture
def nimble() -> Iterator[None]:
    """The proxies are threads of this process. An answer must not wait 5 ms for a thread switch."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(interval)


@dataclass
class Side:
    """A sidecar with its provider."""

    issuer: Issuer
    sidecar: Trusting
    raw: Raw

    def failures(self) -> float:
        return self.sidecar.failed_fetches(self.issuer)

    def falls_ill(self, trouble: str) -> None:
        if trouble == "is down":
            self.issuer.proxy.down()
        else:
            self.issuer.proxy.misbehave(FAILURES[trouble])

    def recovers(self) -> None:
        if not self.issuer.proxy.is_up:
            self.issuer.proxy.up()
        self.issuer.proxy.behave()
        self.issuer.proxy.wait_for_fetches(2)


class Times:
    """The times of answers in seconds, by type of token and state of the provider."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[float]] = {}

    def ask(self, kind: str, state: str, side: Side, request: bytes) -> None:
        seconds, answer = side.raw.timed(request)
        assert GOOD in answer, answer
        self._times.setdefault((kind, state), []).append(seconds)

    def quantiles(self, kind: str, state: str) -> list[float]:
        """Median, 99th percentile and slowest, in milliseconds."""
        return [quantile(self._times[kind, state], part) for part in (0.5, 0.99, 1)]

    def kinds(self) -> dict[str, int]:
        """The types of tokens, and how many of each were sent to each side."""
        return {kind: len(times) for (kind, _), times in self._times.items()}

    def slower(self) -> float:
        """How much higher the 99th percentile is with the faulty provider, in milliseconds."""
        return max(self.quantiles(kind, "ill")[1] - self.quantiles(kind, "well")[1] for kind in self.kinds())

    def __str__(self) -> str:
        def shown(kind: str) -> str:
            return " and ".join("{:.2f}/{:.2f}".format(*self.quantiles(kind, state)) for state in ("well", "ill"))

        return ", ".join(f"{kind} {shown(kind)} ({asked} each)" for kind, asked in self.kinds().items())


@pytest.fixture
def sides(
    nimble: None, provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> Iterator[tuple[Side, Side]]:
    """Two equal sides."""
    issuers = provider(), provider()
    sidecars = [trusting(issuer) for issuer in issuers]
    with Raw(sidecars[0].socket) as first, Raw(sidecars[1].socket) as second:
        yield Side(issuers[0], sidecars[0], first), Side(issuers[1], sidecars[1], second)


def window(sides: tuple[Side, Side], trouble: str, requests: Callable[[Side, int], dict[str, bytes]]) -> Times:
    """Asks both in turn while the provider of one is faulty, and then that of the other, because one process may have
    the better core."""
    times, asked = Times(), 0
    for well, ill in (sides, sides[::-1]):
        ill.falls_ill(trouble)
        began, failures, least = time.monotonic(), ill.failures(), asked + TIMES // 2
        while asked < least or ill.failures() == failures:
            assert time.monotonic() - began < LIMIT
            for _ in range(100):
                for state, side in [("well", well), ("ill", ill)][:: 1 if asked % 2 else -1]:
                    for kind, request in requests(side, asked).items():
                        times.ask(kind, state, side, request)
                asked += 1
        ill.recovers()
    return times


def measured(sides: tuple[Side, Side], trouble: str, requests: Callable[[Side, int], dict[str, bytes]]) -> str:
    """The figures of the first window in which both are equal."""
    seen: list[str] = []
    while len(seen) < WINDOWS:
        times = window(sides, trouble, requests)
        assert max(times.quantiles(kind, "ill")[2] for kind in times.kinds()) < LONGEST, times
        seen.append(str(times))
        if times.slower() < ALLOWED:
            return f"latency, p50/p99 in ms, well and while it {trouble}: {times}; window {len(seen)}"
    raise AssertionError("\n".join(seen))


@pytest.mark.parametrize("trouble", [*TROUBLES, "is down"])
def test_requests_are_as_quick_as_ever_while_the_provider(
    sides: tuple[Side, Side], trouble: str, figure: Callable[[str], None]
) -> None:
    ready = {
        side.issuer.name: [
            {"own": verify_request(side.sidecar.own()), "foreign": verify_request(side.issuer.token())} for _ in range(TOKENS)
        ]
        for side in sides
    }
    figure(measured(sides, trouble, lambda side, n: ready[side.issuer.name][n % TOKENS]))


def test_a_token_that_nobody_has_seen_waits_for_no_fetch_either(
    sides: tuple[Side, Side], figure: Callable[[str], None]
) -> None:
    claims = {side.issuer.name: side.issuer.claims() for side in sides}

    serial = count()

    def unseen(side: Side, _: int) -> dict[str, bytes]:
        return {"unseen": verify_request(side.issuer.keys[1].token(claims[side.issuer.name] | {"jti": str(next(serial))}))}

    figure(measured(sides, "hangs", unseen))
