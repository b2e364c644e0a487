"""Several sidecars and one provider: how many requests it gets, and whether they arrive at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from keys import Key
from program import wait_until
from provider import Issuer
from proxy import DISCOVERY, JWKS
from trust import ACCEPTED, Trusting

FLEET = 5
COOL_DOWN = 3.0
TABLE = {"min_refresh": "1s", "max_refresh": "1h", "unknown_kid_cooldown": "3s"}
LIMIT = 30.0


@pytest.fixture
def fleet(issuer: Issuer) -> Iterator[list[Trusting]]:
    """Sidecars that start at the same moment."""
    with ThreadPoolExecutor(FLEET) as pool, ExitStack() as stack:
        started = [pool.submit(Trusting, issuer, tables={issuer.name: TABLE}) for _ in range(FLEET)]
        fleet = [each.result() for each in started]
        for sidecar in fleet:
            stack.callback(sidecar.stop)
        yield fleet


def spread(instants: list[float]) -> float:
    return max(instants) - min(instants)


def test_a_start_of_all_at_once_costs_two_requests_each(
    issuer: Issuer, fleet: list[Trusting], figure: Callable[[str], None]
) -> None:
    token = issuer.token()
    assert {sidecar.doors.ask("verify", token).word for sidecar in fleet} == {ACCEPTED}
    assert (len(issuer.proxy.seen(DISCOVERY)), len(issuer.proxy.seen(JWKS))) == (FLEET, FLEET)
    figure(f"herd: {FLEET} sidecars started at once: {FLEET} requests for the discovery document, {FLEET} for the JWKS")


def test_a_rotation_that_all_meet_at_once_costs_one_request_each_and_not_all_at_once(
    issuer: Issuer, fleet: list[Trusting], figure: Callable[[str], None]
) -> None:
    last = max(seen.at for seen in issuer.proxy.seen(JWKS))
    wait_until(lambda: time.monotonic() > last + COOL_DOWN, LIMIT, "the cool-down of all is over")
    issuer.publish(issuer.keys[0], Key.made("ec-2", "ES256"))
    token = issuer.token()
    began = time.monotonic()
    waiting = list(fleet)
    while waiting:
        assert time.monotonic() - began < LIMIT
        waiting = [sidecar for sidecar in waiting if sidecar.doors.ask("verify", token).word != ACCEPTED]
    took = time.monotonic() - began
    instants = [seen.at for seen in issuer.proxy.seen(JWKS, began)]
    assert len(instants) == FLEET
    assert len(issuer.proxy.seen(DISCOVERY)) == FLEET
    # They are spread randomly over a tenth of the cool-down. Five within a hundredth of it are not random.
    assert spread(instants) > COOL_DOWN / 100
    assert took < COOL_DOWN / 10 + 1.5
    figure(
        f"herd: {FLEET} sidecars meet a new key at once: {len(instants)} requests within "
        f"{spread(instants) * 1000:.0f} ms, accepted by all after {took * 1000:.0f} ms"
    )


def test_a_fleet_that_started_at_once_does_not_go_on_asking_at_once(
    issuer: Issuer, fleet: list[Trusting], figure: Callable[[str], None]
) -> None:
    # It ends after `max_refresh`. Until then, each asks at its own time.
    issuer.proxy.cache_control = "max-age=2"
    last = max(seen.at for seen in issuer.proxy.seen(JWKS))
    wait_until(lambda: time.monotonic() > last + COOL_DOWN, LIMIT, "the cool-down of all is over")
    unknown = Key.made("unknown", "ES256").token(issuer.claims())
    began = len(issuer.proxy.seen(JWKS))
    for sidecar in fleet:
        sidecar.doors.ask("verify", unknown)
    generations = 5
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) >= began + generations * FLEET, LIMIT, "five fetches of each")
    instants = [seen.at for seen in issuer.proxy.seen(JWKS)[began:]]
    first, latest = instants[:FLEET], instants[-FLEET:]
    # Each waits for 0.86 to 0.95 of 2 s.
    assert instants[-1] - instants[0] > (generations - 1) * 2 * 0.86
    assert spread(latest) > 0.05
    figure(
        f"herd: {FLEET} sidecars with max-age=2: {len(instants)} requests in {instants[-1] - instants[0]:.1f} s; a round "
        f"of all spread over {spread(first) * 1000:.0f} ms at first, {spread(latest) * 1000:.0f} ms in the end"
    )
