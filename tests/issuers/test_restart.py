"""A sidecar that starts while the provider is down uses the last good keys of the previous process, but no longer
than that one would."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import hangs
from keys import Key
from program import wait_until
from provider import Issuer
from proxy import JWKS
from trust import ACCEPTED, SELDOM, UNAVAILABLE, Trusting, word

LIMIT = 30.0


def kept(sidecar: Trusting) -> list[Path]:
    """The files of the last good keys."""
    return list((sidecar.directory / "data" / "issuers").glob("*.json"))


def written(sidecar: Trusting, count: int = 1) -> Path:
    """Waits until the keys are on disk."""
    wait_until(lambda: len(kept(sidecar)) == count, LIMIT, "the keys are on disk")
    return kept(sidecar)[0]


def restart(sidecar: Trusting) -> None:
    """Stops it, and starts it with the same directory."""
    sidecar.kill()
    sidecar.revive()


def test_a_restart_while_the_provider_is_down_refuses_no_token(
    issuer: Issuer, sidecar: Trusting, figure: Callable[[str], None]
) -> None:
    token, rsa = issuer.token(), issuer.token("RS256")
    assert sidecar.doors.all(token).word == ACCEPTED
    written(sidecar)
    issuer.proxy.down()
    for _ in range(2):
        began = time.monotonic()
        restart(sidecar)
        for good in [token, rsa, issuer.token(), sidecar.own()]:
            assert sidecar.doors.all(good).word == ACCEPTED
        took = time.monotonic() - began
        forged = Key.made("ec", "ES256").token(issuer.claims())
        assert sidecar.doors.all(forged).word == "bad_signature"
    assert "from disk" in sidecar.log()
    for text in [sidecar.readiness(), sidecar.page()]:
        assert "from disk" in text, "the reason stands where operators look"
    figure(f"restart with the provider down: its tokens accepted {took:.1f} s after the start began")
    issuer.proxy.up()
    rsa_key, ec, new = *issuer.keys, Key.made("new", "ES384")
    issuer.publish(rsa_key, ec, new)
    wait_until(lambda: word(sidecar, issuer.token("ES384")) == ACCEPTED, LIMIT, "new keys are fetched")
    assert "disk" not in sidecar.readiness()


def test_keys_on_disk_serve_no_longer_than_without_a_restart(issuer: Issuer, trusting: Callable[..., Trusting]) -> None:
    sidecar = trusting(issuer, tables={issuer.name: {"min_refresh": "1s", "max_refresh": "1s", "max_stale": "6s"}})
    token = issuer.token()
    written(sidecar)
    issuer.proxy.down()
    down = time.monotonic()
    restart(sidecar)
    assert sidecar.doors.all(token).word == ACCEPTED
    restart(sidecar)
    wait_until(lambda: word(sidecar, token) == UNAVAILABLE, LIMIT, "the keys are too old")
    # The last fetch was before that, and a restart counts from it.
    assert time.monotonic() - down < 7 + 1
    restart(sidecar)
    assert sidecar.doors.all(token).word == UNAVAILABLE
    assert "too old" in sidecar.log()


def test_a_key_that_was_withdrawn_while_nobody_looked_is_refused_after_the_start(
    issuer: Issuer, sidecar: Trusting
) -> None:
    rsa, ec = issuer.keys
    token = issuer.token("ES256")
    assert sidecar.doors.all(token).word == ACCEPTED
    written(sidecar)
    sidecar.kill()
    issuer.publish(rsa)
    sidecar.revive()
    # A sidecar is ready once it has asked each issuer.
    assert sidecar.doors.all(token).word == "unknown_key"
    assert sidecar.doors.all(issuer.token("RS256")).word == ACCEPTED


def test_keys_that_are_due_again_serve_only_when_they_cannot_be_fetched(
    issuer: Issuer, trusting: Callable[..., Trusting]
) -> None:
    sidecar = trusting(issuer)
    token = issuer.token()
    written(sidecar)
    sidecar.kill()
    issuer.proxy.misbehave(hangs, JWKS)
    # Older than the second for which they are fresh.
    file = kept(sidecar)[0]
    wait_until(lambda: time.time() - json.loads(file.read_text())["content"]["fetched_at_ms"] / 1000 > 1.5, LIMIT, "old")
    sidecar.revive()
    assert sidecar.doors.all(token).word == ACCEPTED
    assert "from disk, because they cannot be fetched" in sidecar.log()


def as_link(file: Path) -> None:
    aside = file.rename(file.with_suffix(".aside"))
    file.symlink_to(aside)


def as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def damaged(file: Path) -> None:
    file.write_text(file.read_text().replace("fetched_at_ms\": 1", "fetched_at_ms\": 2"))


def open_to_all(file: Path) -> None:
    file.chmod(0o666)


def of_nobody(file: Path) -> None:
    file.write_text("{}")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (as_link, "symbolic link"),
        (as_pipe, "not a regular file"),
        (damaged, "damaged"),
        (open_to_all, "other users may write to it"),
        (of_nobody, "members"),
    ],
)
def test_a_file_that_cannot_be_believed_is_as_good_as_none(
    issuer: Issuer, sidecar: Trusting, fault: Callable[[Path], None], said: str
) -> None:
    token = issuer.token()
    assert sidecar.doors.all(token).word == ACCEPTED
    file = written(sidecar)
    issuer.proxy.down()
    sidecar.kill()
    fault(file)
    sidecar.revive()
    assert sidecar.doors.all(token).word == UNAVAILABLE
    warnings = [line for line in sidecar.log().splitlines() if "WARN" in line and str(file.name) in line]
    assert len(warnings) == 1 and said in warnings[0], sidecar.log()
    issuer.proxy.up()
    wait_until(lambda: word(sidecar, token) == ACCEPTED, LIMIT, "the provider is back")
    wait_until(lambda: file.is_file() and not file.is_symlink(), LIMIT, "the file is written again")


def test_the_keys_of_other_settings_and_of_another_issuer_are_not_taken(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    issuer, other = provider(), provider()
    sidecar = trusting(issuer, other, tables={issuer.name: SELDOM, other.name: SELDOM})
    token, theirs = issuer.token(), other.token()
    written(sidecar, 2)
    issuer.proxy.down()
    other.proxy.down()
    sidecar.kill()
    by_issuer = {json.loads(file.read_text())["content"]["issuer"]: file for file in kept(sidecar)}
    by_issuer[issuer.name].write_text(by_issuer[other.name].read_text())
    sidecar.tables[other.name] |= {"algorithms": ["ES256"]}
    sidecar.revive()
    for refused in [token, theirs]:
        assert sidecar.doors.all(refused).word == UNAVAILABLE
    log = sidecar.log()
    for name in [issuer.name, other.name]:
        assert f"the last good keys of {name}" in log, log
    assert "it has the keys of" in log
    assert "algorithms of this trusted issuer has changed" in log


def test_two_sidecars_may_share_a_directory(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting], tmp_path: Path
) -> None:
    issuer, other = provider(), provider()
    shared = str(tmp_path / "data")
    first = trusting(issuer, data_dir=shared)
    second = trusting(issuer, other, data_dir=shared)
    files = tmp_path / "data" / "issuers"
    wait_until(lambda: len(list(files.glob("*.json"))) == 2, LIMIT, "the keys are on disk")
    issuer.proxy.down()
    other.proxy.down()
    restart(first)
    restart(second)
    for sidecar in [first, second]:
        assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    assert second.doors.all(other.token()).word == ACCEPTED


def test_a_directory_that_cannot_be_written_is_said_once_and_nothing_else_fails(
    provider: Callable[..., Issuer], trusting: Callable[..., Trusting]
) -> None:
    issuers = [provider() for _ in range(3)]
    sidecar = trusting(*issuers)
    written(sidecar, 3)
    sidecar.kill()
    place = sidecar.directory / "data" / "issuers"
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    # Not even root can create a directory there.
    place.write_text("")
    sidecar.revive()
    for issuer in issuers:
        issuer.proxy.wait_for_fetches(3)
        assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    warnings = [line for line in sidecar.log().splitlines() if "WARN" in line and "the last good keys" in line]
    # One when they are read, and one when they are written.
    assert 1 <= len(warnings) <= 2, warnings
