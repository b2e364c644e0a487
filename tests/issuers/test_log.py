"""Requests from anybody cannot fill the log."""

from __future__ import annotations

from collections.abc import Callable

from provider import Issuer
from trust import UNAVAILABLE, Trusting, word

MANY = 300


def test_tokens_of_an_issuer_that_is_down_do_not_fill_the_log(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    issuer.proxy.down()
    sidecar = trusting(issuer)
    token = issuer.token()
    for _ in range(MANY):
        assert word(sidecar, token) == UNAVAILABLE
        assert sidecar.doors.ask("authorize", token).word == UNAVAILABLE
        assert sidecar.doors.ask("check", token).word == UNAVAILABLE
    log = sidecar.log()
    failed = [line for line in log.splitlines() if "a request failed" in line]
    # One line at once with the advice, and another if the test took longer than a minute.
    assert 1 <= len(failed) <= 3, f"{len(failed)} lines"
    assert "issuer_unavailable" in failed[0]
    # The reason is logged once, with the issuer and its server's answer.
    assert log.count("cannot be fetched") <= 3, log
