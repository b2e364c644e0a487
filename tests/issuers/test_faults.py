"""A provider with each of many faults: the last good keys stay in use for a limited time, and after that nothing is
guessed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from faults import FAILURES, OF_THE_LINE, altered, answers_500, floods, floods_unannounced, hangs, redirects
from keys import Key
from program import wait_until
from provider import AUDIENCE, Issuer
from proxy import DISCOVERY, ELSEWHERE, JWKS, Fault
from trust import ACCEPTED, UNAVAILABLE, Trusting, word

LIMIT = 30.0
DEADLINE = 5.0
# With max_refresh of one second, no wait after a failure is longer.
RETRY = 1.0
LONGEST = 512 * 1024

OF_DISCOVERY: dict[str, Fault] = {
    **{name: FAILURES[name] for name in OF_THE_LINE},
    "names another issuer": altered(lambda found: {**found, "issuer": "https://login.example.com/"}),
    "names itself with another slash": altered(lambda found: {**found, "issuer": found["issuer"] + "/"}),
    "has keys at a host over http": altered(lambda found: {**found, "jwks_uri": "http://192.0.2.1/jwks"}),
    "has keys in a file": altered(lambda found: {**found, "jwks_uri": "file:///etc/passwd"}),
    "has no keys": altered(lambda found: {name: value for name, value in found.items() if name != "jwks_uri"}),
}


def recovers(sidecar: Trusting, issuer: Issuer, token: str) -> float:
    """The time in seconds from the end of the trouble to the first accepted token."""
    issuer.proxy.behave()
    began = time.monotonic()
    wait_until(lambda: word(sidecar, token) == ACCEPTED, LIMIT, "the provider is well, and its tokens are accepted")
    took = time.monotonic() - began
    assert sidecar.doors.all(token).word == ACCEPTED
    return took


@pytest.mark.parametrize("name", FAILURES)
def test_the_last_good_keys_go_on_while_the_provider(
    issuer: Issuer, sidecar: Trusting, name: str, figure: Callable[[str], None]
) -> None:
    rsa, ec = issuer.keys
    seen_before = issuer.token()
    assert sidecar.doors.all(seen_before).word == ACCEPTED
    issuer.proxy.misbehave(FAILURES[name])
    issuer.publish(rsa, ec, Key.made("new", "ES384"))
    began = time.monotonic()
    issuer.proxy.wait_for_fetches(1)
    until = time.monotonic()
    new = issuer.token("ES384")
    wait_until(lambda: sidecar.failed_fetches(issuer) > 0, LIMIT, "a failure")
    for _ in range(3):
        for token in [seen_before, issuer.token(), issuer.token("RS256"), sidecar.own()]:
            assert sidecar.doors.all(token).word == ACCEPTED
        assert sidecar.doors.all(new).word == "unknown_key"
    assert sidecar.is_ready()
    assert all(seen.took < DEADLINE + 1 for seen in issuer.proxy.seen(JWKS, began))
    took = recovers(sidecar, issuer, new)
    # The wait after a failure plus the next fetch. Requests in progress ended with the fault.
    assert took < RETRY + 1
    assert not issuer.proxy.seen(ELSEWHERE), "a redirect was followed"
    assert max(seen.octets for seen in issuer.proxy.seen(JWKS, began)) < 8 * LONGEST
    figure(
        f"fault, {name}: first noticed after {until - began:.1f} s, good tokens accepted throughout; a new key is accepted "
        f"{took * 1000:.0f} ms after the end"
    )


@pytest.mark.parametrize(
    ("path", "name"), [*((JWKS, name) for name in FAILURES), *((DISCOVERY, name) for name in OF_DISCOVERY)]
)
def test_without_a_first_fetch_there_is_no_verdict(
    issuer: Issuer, trusting: Callable[..., Trusting], path: str, name: str, figure: Callable[[str], None]
) -> None:
    issuer.proxy.misbehave((FAILURES if path == JWKS else OF_DISCOVERY)[name], path)
    began = time.monotonic()
    sidecar = trusting(issuer)
    ready = time.monotonic() - began
    assert sidecar.is_ready()
    forged = Key.made("ec", "ES256").token(issuer.claims())
    for token in [issuer.token(), issuer.token("RS256"), forged]:
        assert sidecar.doors.all(token).word == UNAVAILABLE
    assert sidecar.doors.all(sidecar.own()).word == ACCEPTED
    assert issuer.name in sidecar.log(), "the log does not name the issuer"
    took = recovers(sidecar, issuer, issuer.token())
    assert took < RETRY + 1
    assert not issuer.proxy.seen(ELSEWHERE), "a redirect was followed"
    if ready > 1:
        figure(f"start while the provider {name} ({path}): ready after {ready:.1f} s")


TABLE = {"min_refresh": "1s", "max_refresh": "1s", "max_stale": "2s"}
# The lifetime plus max_stale.
USABLE = 3.0


@pytest.mark.parametrize(
    "trouble", ["down", hangs, answers_500, FAILURES["has no keys"]], ids=["down", "hangs", "500", "no keys"]
)
def test_past_the_bound_there_is_no_verdict_until_the_provider_is_back(
    provider: Callable[..., Issuer],
    trusting: Callable[..., Trusting],
    trouble: str | Fault,
    request: pytest.FixtureRequest,
    figure: Callable[[str], None],
) -> None:
    issuer, healthy = provider(), provider()
    sidecar = trusting(issuer, healthy, tables={issuer.name: TABLE})
    good, seen, theirs = issuer.token(), issuer.token(), healthy.token()
    assert sidecar.doors.all(seen).word == ACCEPTED
    if callable(trouble):
        issuer.proxy.misbehave(trouble)
    else:
        issuer.proxy.down()
    began = time.monotonic()
    last = issuer.proxy.seen(JWKS)[-1].at
    wait_until(lambda: word(sidecar, good) == UNAVAILABLE, LIMIT, "the keys are too old")
    turned = time.monotonic()
    assert USABLE - 0.5 <= turned - min(began, last) < USABLE + 1.5, turned - last
    forged = Key.made("ec", "ES256").token(issuer.claims())
    unknown = Key.made("unknown", "ES256").token(issuer.claims())
    for token in [good, seen, issuer.token("RS256"), forged, unknown]:
        assert sidecar.doors.all(token).word == UNAVAILABLE
    for token in [theirs, healthy.token("RS256"), sidecar.own()]:
        assert sidecar.doors.all(token).word == ACCEPTED
    assert sidecar.is_ready(), "an issuer that fails must not make it unready"
    if not callable(trouble):
        issuer.proxy.up()
    took = recovers(sidecar, issuer, good)
    assert took < RETRY + 1
    assert sidecar.doors.all(seen).word == ACCEPTED
    assert sidecar.doors.all(forged).word == "bad_signature"
    figure(
        f"past max_stale ({request.node.callspec.id}): 503 {turned - last:.1f} s after the last good fetch "
        f"(bound {USABLE:.0f} s); accepted {took * 1000:.0f} ms after the end"
    )


@pytest.mark.parametrize("flood", [floods, floods_unannounced])
def test_of_a_flood_no_more_is_taken_than_the_limit_and_what_the_system_buffers(
    issuer: Issuer, sidecar: Trusting, flood: Fault, figure: Callable[[str], None]
) -> None:
    assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    before = sidecar.memory()
    issuer.proxy.misbehave(flood)
    began = time.monotonic()
    issuer.proxy.wait_for_fetches(5)
    taken = [seen.octets for seen in issuer.proxy.seen(JWKS, began) if seen.until is not None]
    grown = sidecar.memory() - before
    assert max(taken) < 8 * LONGEST, taken
    assert grown < 16 * 1024, f"{grown} KiB"
    figure(f"50 MB ({flood.__name__}): {max(taken) / 1024:.0f} KiB taken at most before it gave up, memory +{grown} KiB")


def test_one_fetch_at_a_time_and_each_within_its_deadline(issuer: Issuer, sidecar: Trusting) -> None:
    issuer.proxy.misbehave(hangs, JWKS, DISCOVERY)
    began = time.monotonic()
    issuer.proxy.wait_for_fetches(1)
    # No client can cause a second one.
    random = Key.made("random", "ES256").token(issuer.claims())
    for _ in range(100):
        word(sidecar, random)
    issuer.proxy.wait_for_fetches(1, DISCOVERY)
    requests = issuer.proxy.seen(since=began)
    for earlier, later in zip(requests, requests[1:], strict=False):
        assert earlier.until is not None and later.at >= earlier.until - 0.05
    assert all(DEADLINE - 0.5 < seen.took < DEADLINE + 1 for seen in requests if seen.until is not None)


def test_what_the_operator_sees_names_the_issuer_and_the_reason(issuer: Issuer, sidecar: Trusting) -> None:
    issuer.proxy.misbehave(redirects)
    issuer.proxy.wait_for_fetches(2)
    assert issuer.name in sidecar.metrics()
    assert "redirect" in sidecar.log()
    assert sidecar.doors.all(issuer.token(), audience=[AUDIENCE]).word == ACCEPTED
    assert issuer.name in sidecar.page()
    assert issuer.name in sidecar.readiness()
