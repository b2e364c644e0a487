"""A provider that rotates its keys, announced and unannounced."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from keys import Key
from program import wait_until
from provider import Issuer
from proxy import JWKS
from trust import ACCEPTED, SELDOM, Trusting, word

ROTATIONS = 3
COOL_DOWN = 1.0
LIMIT = 15.0


def test_no_good_token_is_refused_while_a_provider_publishes_each_key_ahead(
    issuer: Issuer, sidecar: Trusting, figure: Callable[[str], None]
) -> None:
    shown = 0

    def load(oldest: str, until: Callable[[], bool]) -> None:
        nonlocal shown
        deadline = time.monotonic() + LIMIT
        while not until():
            assert time.monotonic() < deadline
            assert [word(sidecar, token) for token in (oldest, issuer.token())] == [ACCEPTED] * 2
            shown += 1

    rsa, ec = issuer.keys
    oldest = issuer.token()
    for rotation in range(ROTATIONS):
        successor = Key.made(f"ec-{rotation}", "ES256")
        issuer.publish(rsa, ec, successor)
        asked = len(issuer.proxy.seen(JWKS))
        # Two fetches, so the first result is in use.
        load(oldest, lambda: len(issuer.proxy.seen(JWKS)) >= asked + 2)
        issuer.publish(rsa, successor, ec)
        before = shown
        load(oldest, lambda: shown >= before + 50)
        oldest = issuer.token()
        issuer.publish(rsa, successor)
        ec = successor
    figure(f"rotation, key published ahead: {ROTATIONS} rotations, {shown} tokens as they were signed, 0 refused")


def test_a_key_that_signs_at_once_is_accepted_after_one_early_fetch(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: SELDOM})
    waits, asked = [], len(issuer.proxy.seen(JWKS))
    assert asked == 1
    for rotation in range(ROTATIONS):
        last = issuer.proxy.seen(JWKS)[-1].at
        # The usual case: the last fetch is longer ago than the cool-down.
        wait_until(lambda: time.monotonic() > last + COOL_DOWN, LIMIT, "the cool-down is over")
        issuer.publish(issuer.keys[0], Key.made(f"ec-{rotation}", "ES256"))
        token = issuer.token()
        began = time.monotonic()
        assert word(sidecar, token) == "unknown_key"
        wait_until(lambda: word(sidecar, token) == ACCEPTED, LIMIT, "the new key is known")
        waits.append(time.monotonic() - began)
        assert sidecar.doors.all(token).word == ACCEPTED
    assert len(issuer.proxy.seen(JWKS)) == asked + ROTATIONS, "more than one early fetch for each new key"
    assert max(waits) < COOL_DOWN / 10 + 1
    figure(
        f"rotation, key signs at once: accepted {min(waits) * 1000:.0f} to {max(waits) * 1000:.0f} ms after its first "
        f"token, one early fetch each (cool-down {COOL_DOWN:.0f} s, spread by a tenth of it)"
    )


def test_within_the_cool_down_the_wish_for_a_fetch_is_kept(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    sidecar = trusting(issuer, tables={issuer.name: SELDOM | {"unknown_kid_cooldown": "3s"}})
    first = issuer.proxy.seen(JWKS)[-1].at
    issuer.publish(issuer.keys[0], Key.made("ec-2", "ES256"))
    token = issuer.token()
    # It is sent only once.
    assert word(sidecar, token) == "unknown_key"
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) == 2, LIMIT, "the early fetch")
    # Both requests took some time, the first perhaps longer.
    on_the_way = 0.1
    assert 3.0 - on_the_way <= issuer.proxy.seen(JWKS)[1].at - first < 4.0
    wait_until(lambda: word(sidecar, token) == ACCEPTED, LIMIT, "the new key is known")


def test_a_key_that_the_provider_withdrew_is_refused_also_for_tokens_seen_before(
    issuer: Issuer, sidecar: Trusting
) -> None:
    rsa, ec = issuer.keys
    token, other = issuer.token(), issuer.token("RS256")
    assert (sidecar.doors.all(token).word, sidecar.doors.all(other).word) == (ACCEPTED, ACCEPTED)
    issuer.publish(rsa, Key.made("ec-2", "ES256"))
    wait_until(lambda: word(sidecar, token) != ACCEPTED, LIMIT, "the withdrawn key is refused")
    assert (sidecar.doors.all(token).word, sidecar.doors.all(other).word) == ("unknown_key", ACCEPTED)


def test_a_kid_that_gets_another_key_takes_its_seen_tokens_with_it(issuer: Issuer, sidecar: Trusting) -> None:
    rsa, ec = issuer.keys
    before = issuer.token()
    assert sidecar.doors.all(before).word == ACCEPTED
    issuer.publish(rsa, Key.made(ec.kid, "ES256"))
    after = issuer.token()
    wait_until(lambda: word(sidecar, after) == ACCEPTED, LIMIT, "the other key is known")
    assert sidecar.doors.all(before).word in ("bad_signature", "unknown_key")
    assert sidecar.doors.all(after).word == ACCEPTED


@pytest.mark.parametrize(
    ("says", "least", "most"),
    [("max-age=2", 1.6, 2.0), ("max-age=0, no-store", 0.8, 1.0), ("max-age=3600", 2.4, 3.0), (None, 2.4, 3.0)],
)
def test_keys_are_fetched_as_cache_control_says_within_the_bounds(
    issuer: Issuer, trusting: Callable[..., Trusting], says: str | None, least: float, most: float
) -> None:
    issuer.proxy.cache_control = says
    trusting(issuer, tables={issuer.name: {"min_refresh": "1s", "max_refresh": "3s"}})
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) >= 3, LIMIT, "three fetches")
    instants = [seen.at for seen in issuer.proxy.seen(JWKS)]
    gaps = [later - earlier for earlier, later in zip(instants, instants[1:], strict=False)]
    # 0.86 to 0.95 of the lifetime, plus what a busy machine adds.
    assert min(gaps) >= least and max(gaps) < most + 0.5, gaps
