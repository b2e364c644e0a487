"""Tens of thousands of tokens with random kids cause no extra fetches and no refusal of a good token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from attack import Attack, early_fetches, random_requests
from faults import answers_500, hangs
from keys import Key
from program import wait_until
from provider import Issuer
from proxy import JWKS, Fault
from raw import GOOD, Raw, quantile, verify_request
from trust import ACCEPTED, Trusting

TOKENS = 20_000
COOL_DOWN = 2.0
TABLE = {"min_refresh": "1s", "max_refresh": "1h", "unknown_kid_cooldown": "2s"}
LIMIT = 30.0


def test_random_kids_buy_one_fetch_a_cool_down_and_good_tokens_go_on(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: TABLE})

    def refused() -> float:
        return sidecar.metric("signet_tokens_refused_total", code="unknown_key")

    requests = random_requests(issuer, TOKENS)
    good = [verify_request(issuer.token()) for _ in range(50)]
    times: list[float] = []
    with Raw(sidecar.socket) as raw:
        for request in good:
            raw.timed(request)
        calm = [raw.timed(good[n % 50])[0] for n in range(1000)]
        with Attack(sidecar.socket, requests) as attack:
            wait_until(lambda: refused() > 0, LIMIT, "it begins")
            began = time.monotonic()
            while attack.goes_on():
                seconds, answer = raw.timed(good[len(times) % 50])
                assert GOOD in answer
                times.append(seconds)
            took = time.monotonic() - began
            assert attack.refused() == TOKENS
    fetches = early_fetches(issuer, began, took, COOL_DOWN)
    figure(
        f"random kids: {TOKENS} in {took:.1f} s, {fetches} early fetches (cool-down {COOL_DOWN:.0f} s); {len(times)} good "
        f"tokens meanwhile, 0 refused, p50/p99 {quantile(times, 0.5):.2f}/{quantile(times, 0.99):.2f} ms "
        f"(before {quantile(calm, 0.5):.2f}/{quantile(calm, 0.99):.2f}); the attack shares the machine"
    )


@pytest.mark.parametrize("failure", [answers_500, hangs, "down"], ids=["500", "hangs", "down"])
def test_a_network_failure_at_the_early_fetch_does_not_turn_against_a_good_new_key(
    issuer: Issuer,
    trusting: Callable[..., Trusting],
    failure: Fault | str,
    request: pytest.FixtureRequest,
    figure: Callable[[str], None],
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: TABLE})
    before = issuer.token()
    issuer.publish(issuer.keys[0], Key.made("ec-2", "ES256"))
    new = issuer.token()
    if callable(failure):
        issuer.proxy.misbehave(failure, JWKS)
    else:
        issuer.proxy.down()

    # The random kids come first, so the failing fetch is caused by one of them.
    with Attack(sidecar.socket, random_requests(issuer, 1000), for_ever=True) as attack:
        wait_until(lambda: sidecar.failed_fetches(issuer) >= 1, LIMIT, "the early fetch fails")
        assert sidecar.doors.ask("verify", new).word == "unknown_key"
        assert sidecar.doors.ask("verify", before).word == ACCEPTED
        if callable(failure):
            issuer.proxy.behave()
        else:
            issuer.proxy.up()
        back = time.monotonic()
        wait_until(lambda: sidecar.doors.ask("verify", new).word == ACCEPTED, LIMIT, "the new key is picked up")
        took = time.monotonic() - back
        assert attack.end() > 1000
    # The wait after the first failures is one or two seconds, without an additional cool-down.
    assert took < 2.5
    assert sidecar.doors.all(issuer.token("RS256")).word == ACCEPTED
    name = request.node.callspec.id
    figure(f"random kids, and the early fetch fails ({name}): the new key is accepted {took:.2f} s after the network is back")


def test_random_kids_at_one_issuer_are_no_reason_to_ask_another(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    first, second, stranger = provider(), provider(), provider()
    sidecar = trusting(first, second, tables={issuer.name: TABLE for issuer in (first, second)})
    began = time.monotonic()
    with Attack(sidecar.socket, random_requests(first, 1000)) as attack:
        assert attack.refused() == 1000
    for _ in range(100):
        assert sidecar.doors.ask("verify", stranger.keys[1].token(stranger.claims(), kid=secrets.token_hex(8))).word != ACCEPTED
    wait_until(lambda: len(first.proxy.seen(JWKS, began)) == 1, LIMIT, "one early fetch")
    assert not second.proxy.seen(since=began)
    assert not stranger.proxy.seen()
