"""A provider that is down for an hour, in compressed time, and how often it is asked in good and bad times."""

from __future__ import annotations

import time
from collections.abc import Callable

from faults import answers_500
from keys import Key
from program import wait_until
from provider import Issuer
from proxy import DISCOVERY, JWKS
from trust import ACCEPTED, UNAVAILABLE, Trusting, word

# By default, keys without a lifetime are fetched every 15 minutes and used for 4 hours. Here it is one second and 16.
FACTOR = 900
HOUR = 3600 / FACTOR
TABLE = {"min_refresh": "1s", "max_refresh": "1s", "max_stale": "16s", "unknown_kid_cooldown": "1s"}
LIMIT = 30.0


def test_a_provider_that_is_down_for_an_hour_is_not_noticed_and_after_five_nobody_guesses(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: TABLE})
    tokens = [issuer.token(alg) for alg in ("RS256", "ES256") for _ in range(10)]
    shown = 0
    took = []
    for hours in (1, 5):
        # The first fetch after the last trouble.
        issuer.proxy.wait_for_fetches(2)
        issuer.proxy.down()
        began = time.monotonic()
        while (gone := time.monotonic() - began) < hours * HOUR:
            for token in tokens:
                if gone < 3.9 * HOUR:
                    assert word(sidecar, token) == ACCEPTED, f"refused after {gone:.1f} s"
                    shown += 1
            assert word(sidecar, sidecar.own()) == ACCEPTED
        after = word(sidecar, tokens[0])
        assert after == (UNAVAILABLE if hours == 5 else ACCEPTED)
        issuer.proxy.up()
        back = time.monotonic()
        issuer.proxy.wait_for_fetches(1)
        wait_until(lambda: word(sidecar, tokens[0]) == ACCEPTED, LIMIT, "accepted again")
        took.append(time.monotonic() - back)
        assert took[-1] < 2
        assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    figure(
        f"down for 1 and for 5 hours (time compressed {FACTOR} times): {shown} good tokens shown in the first 3.9 hours of "
        f"each, 0 refused; past 4 hours 503; accepted {', '.join(f'{seconds * 1000:.0f}' for seconds in took)} ms after the end"
    )


def test_a_provider_that_fails_is_asked_ever_less_often_whatever_is_sent(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    issuer.proxy.cache_control = "max-age=1"
    sidecar = trusting(issuer, tables={issuer.name: {"min_refresh": "1s", "max_refresh": "1h"}})
    issuer.proxy.wait_for_fetches(1)
    good, unknown = issuer.token(), Key.made("unknown", "ES256").token(issuer.claims())
    issuer.proxy.misbehave(answers_500, JWKS, DISCOVERY)
    began, shown = time.monotonic(), 0
    while len(issuer.proxy.seen(since=began)) < 5:
        assert time.monotonic() - began < LIMIT
        assert (word(sidecar, good), word(sidecar, unknown)) == (ACCEPTED, "unknown_key")
        shown += 1
    instants = [seen.at for seen in issuer.proxy.seen(since=began)]
    waits = [later - earlier for earlier, later in zip(instants, instants[1:], strict=False)]
    # 1, 2, 4 and 8 s, each reduced at random by up to half.
    for n, wait in enumerate(waits):
        assert 2**n / 2 - 0.05 <= wait <= 2**n + 0.5, waits
    # The next fetch would be in 8 to 16 s. An operator need not wait for it.
    issuer.proxy.behave()
    asked = time.monotonic()
    sidecar.reload()
    issuer.proxy.wait_for_fetches(1)
    took = time.monotonic() - asked
    assert took < 2
    figure(
        f"backoff: waits of {', '.join(f'{wait:.2f}' for wait in waits)} s after the first failures, while {shown} tokens "
        f"with an unknown kid were shown; after SIGHUP the keys are asked for in {took * 1000:.0f} ms"
    )


def test_a_provider_that_is_well_is_asked_no_more_often_than_it_says(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    issuer.proxy.cache_control = "max-age=2"
    sidecar = trusting(issuer, tables={issuer.name: {"min_refresh": "1s", "max_refresh": "1h"}})
    token, began, shown = issuer.token(), time.monotonic(), 0
    while time.monotonic() - began < 8:
        assert word(sidecar, token) == ACCEPTED
        shown += 1
    asked = len(issuer.proxy.seen(JWKS, began))
    # Each is 0.86 to 0.95 of 2 s.
    assert 3 <= asked <= 5, asked
    assert len(issuer.proxy.seen(DISCOVERY)) == 1
    figure(f"healthy, max-age=2: {asked} requests for the JWKS in 8 s while {shown} tokens were shown")
