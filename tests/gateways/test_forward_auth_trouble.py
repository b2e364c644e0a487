"""The real nginx and the real Caddy while keys rotate, and while the sidecar is gone, hangs, or its service is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from forward_auth import FORWARD_AUTH_LIMIT, ForwardAuth
from gateway_fixtures import FORWARD_AUTH, beside, kind, mortal
from identity import CLAIMS, all_of, bearer, with_another_signature
from load import Load
from processes import Client, Service
from program import wait_until
from sidecar import Sidecar
from test_envoy_rotation import POLICY, RECOVERY_LIMIT, ROTATIONS, ROTATIONS_LIMIT, statuses

__all__ = ["beside", "mortal"]


def test_no_good_token_is_refused_through_three_rotations_under_load(figure: Callable[[str], None]) -> None:
    sidecar, service = Sidecar(algorithm="ES256", **POLICY), Service()
    gateways: dict[str, ForwardAuth] = {}
    try:
        for name in FORWARD_AUTH:
            gateways[name] = kind(name)(sidecar.socket, service)
        load = Load(sidecar, {name: gateway.port for name, gateway in gateways.items()})
        began = time.monotonic()
        while len(load.signed) <= ROTATIONS:
            assert time.monotonic() - began < ROTATIONS_LIMIT, f"keys that signed: {load.signed}"
            load.step()
        load.finish()
    finally:
        for gateway in gateways.values():
            gateway.stop()
        service.stop()
        assert sidecar.stop() == 0
    assert not load.faults, f"{len(load.faults)} of {load.passed}, the first: {load.faults[0]}"
    # The last key has only just begun.
    assert sorted(load.signed.values())[1] > 100, f"too few tokens to show anything: {load.signed}"
    assert min(load.kept_out.values()) > 10, load.kept_out
    figure(
        f"nginx and Caddy, {ROTATIONS} rotations: {load.signed.total()} tokens of {len(load.signed)} keys; good ones passed by "
        f"{dict(load.passed)}, bad ones kept out by {dict(load.kept_out)}, 0 wrong; slowest answer in ms "
        f"{ {name: round(seconds * 1000) for name, seconds in load.slowest.items()} }"
    )


def test_without_the_sidecar_nothing_passes_and_with_it_everything_again(
    mortal: Sidecar, beside: ForwardAuth, figure: Callable[[str], None]
) -> None:
    client = Client(beside.port)
    good = mortal.sign(CLAIMS)["token"]
    bad = with_another_signature(good)
    assert (statuses(client, good), statuses(client, bad)) == ({200}, {401})

    mortal.kill()
    assert (statuses(client, good), statuses(client, bad)) == ({503}, {503})
    answer = client.get("/orders", [bearer(good)])
    # Not that the token is bad: the client should come again.
    assert (all_of(answer.headers, "retry-after"), all_of(answer.headers, "www-authenticate")) == (["1"], [])
    assert client.get("/public/page").status == 200

    mortal.revive()
    back = time.monotonic()
    wait_until(lambda: statuses(client, good, 1) == {200}, RECOVERY_LIMIT, f"{beside.name} asks the sidecar again")
    took = time.monotonic() - back
    for token in [good, mortal.sign(CLAIMS)["token"]]:
        assert statuses(client, token) == {200}
    assert statuses(client, bad) == {401}
    client.close()
    assert took < 1.0
    figure(f"{beside.name}: good tokens pass again {took * 1000:.0f} ms after a killed sidecar is ready again")


def test_a_sidecar_that_starts_anew_between_two_requests_costs_no_request(mortal: Sidecar, beside: ForwardAuth) -> None:
    # The gateway's connections to it are kept, and dead without its knowledge.
    client = Client(beside.port)
    good = mortal.sign(CLAIMS)["token"]
    for _ in range(3):
        assert statuses(client, good) == {200}
        mortal.kill()
        mortal.revive()
        assert statuses(client, good) == {200}
    client.close()


def test_a_sidecar_that_hangs_holds_no_request_longer_than_the_deadline(
    mortal: Sidecar, beside: ForwardAuth, figure: Callable[[str], None]
) -> None:
    client = Client(beside.port)
    good = mortal.sign(CLAIMS)["token"]
    assert statuses(client, good) == {200}
    mortal.pause()
    try:
        began = time.monotonic()
        assert statuses(client, good, 5) == {503}
        took = (time.monotonic() - began) / 5
    finally:
        mortal.resume()
    assert took < FORWARD_AUTH_LIMIT
    wait_until(lambda: statuses(client, good, 1) == {200}, RECOVERY_LIMIT, f"{beside.name} gets answers again")
    assert statuses(client, good) == {200}
    client.close()
    figure(f"{beside.name}: 503 after {took * 1000:.0f} ms each while the sidecar hangs")


@pytest.mark.parametrize("path", ["/orders", "/public/page"])
def test_a_service_that_is_gone_is_not_told_as_a_sidecar_that_is(mortal: Sidecar, path: str) -> None:
    for name in FORWARD_AUTH:
        service = Service()
        gateway = kind(name)(mortal.socket, service)
        client = Client(gateway.port)
        service.stop()
        assert client.get(path, [bearer(mortal.sign(CLAIMS)["token"])]).status == 502
        client.close()
        gateway.stop()
