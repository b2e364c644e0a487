"""The real nginx, Caddy and Traefik while keys rotate, while the sidecar is stopped or hangs, and while their service
is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from forward_auth import FORWARD_AUTH_LIMIT, ForwardAuth
from gateway_fixtures import FORWARD_AUTH, beside, kind, mortal
from identity import CLAIMS, all_of, bearer, with_another_signature
from load import POLICY, rotate_under_load
from processes import Client, Service
from program import wait_until
from sidecar import Sidecar
from trouble import RECOVERY_LIMIT, statuses, time_of_a_refusal

__all__ = ["beside", "mortal"]


def test_no_good_token_is_refused_through_three_rotations_under_load(figure: Callable[[str], None]) -> None:
    sidecar, service = Sidecar(algorithm="ES256", **POLICY), Service()
    gateways: dict[str, ForwardAuth] = {}
    try:
        for name in FORWARD_AUTH:
            gateways[name] = kind(name)(sidecar.socket, service)
        ports = {name: gateway.port for name, gateway in gateways.items()}
        rotate_under_load(" and ".join(ports), sidecar, ports, figure)
    finally:
        for gateway in gateways.values():
            gateway.stop()
        service.stop()
        assert sidecar.stop() == 0


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
    # The answer must not say that the token is bad, because the client should try again.
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
    # The gateway keeps its connections to the sidecar, which are dead without its knowledge.
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
    took = time_of_a_refusal(mortal, beside.port)
    assert took < FORWARD_AUTH_LIMIT
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
