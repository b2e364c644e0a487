"""A provider that gives a new key the kid of the old one. Its tokens look forged until its keys are fetched again,
and forged tokens cause no more fetches than random kids."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

import pytest

from attack import Attack, early_fetches
from keys import Key, encoded, unsigned
from program import wait_until
from provider import Issuer
from proxy import JWKS
from raw import GOOD, Raw, verify_request
from trust import ACCEPTED, SELDOM, Trusting

COOL_DOWN = 1.0
FORGERIES = 5_000
LIMIT = 30.0


@pytest.mark.parametrize(("alg", "refusal"), [("ES256", "bad_signature"), ("ES384", "wrong_algorithm")])
def test_another_key_under_the_same_kid_is_accepted_after_one_early_fetch(
    issuer: Issuer, trusting: Callable[..., Trusting], alg: str, refusal: str, figure: Callable[[str], None]
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: SELDOM})
    rsa, ec = issuer.keys
    before = issuer.token()
    assert sidecar.doors.all(before).word == ACCEPTED
    issuer.publish(rsa, Key.made(ec.kid, alg))
    token = issuer.token(alg)
    began = time.monotonic()
    # It is sent only once.
    assert sidecar.doors.ask("check", token).word == refusal
    wait_until(lambda: len(issuer.proxy.seen(JWKS)) == 2, LIMIT, "the early fetch")
    wait_until(lambda: sidecar.doors.ask("verify", token).word == ACCEPTED, LIMIT, "the other key is known")
    took = time.monotonic() - began
    assert took < COOL_DOWN * 1.1 + 1
    assert sidecar.doors.all(token).word == ACCEPTED
    assert sidecar.doors.all(issuer.token("RS256")).word == ACCEPTED
    assert len(issuer.proxy.seen(JWKS)) == 2, "more than one early fetch"
    assert sidecar.doors.all(before).word != ACCEPTED
    figure(
        f"another key under the same kid ({refusal}): accepted {took * 1000:.0f} ms after its first token, one early fetch "
        f"(cool-down {COOL_DOWN:.0f} s, spread by a tenth of it)"
    )


def test_forged_signatures_buy_one_fetch_a_cool_down_and_good_tokens_go_on(
    issuer: Issuer, trusting: Callable[..., Trusting], figure: Callable[[str], None]
) -> None:
    sidecar = trusting(issuer, tables={issuer.name: SELDOM})

    def refused() -> float:
        return sidecar.metric("signet_tokens_refused_total", code="bad_signature")

    start = unsigned({"alg": "ES256", "typ": "at+jwt", "kid": issuer.keys[1].kid}, issuer.claims())
    forgeries = [verify_request(f"{start}.{encoded(secrets.token_bytes(64))}") for _ in range(FORGERIES)]
    # A cached token, and a new one.
    good = [verify_request(issuer.token(alg)) for alg in ("ES256", "RS256") * 100]
    shown = 0
    with Raw(sidecar.socket) as raw, Attack(sidecar.socket, forgeries) as attack:
        wait_until(lambda: refused() > 0, LIMIT, "it begins")
        began = time.monotonic()
        while attack.goes_on():
            assert GOOD in raw.timed(good[shown % len(good)])[1]
            shown += 1
        took = time.monotonic() - began
        assert refused() == FORGERIES
    fetches = early_fetches(issuer, began, took, COOL_DOWN)
    figure(
        f"forged signatures: {FORGERIES} in {took:.1f} s, {fetches} early fetches (cool-down {COOL_DOWN:.0f} s); {shown} good "
        "tokens meanwhile, 0 refused"
    )
