"""The real Envoy while keys rotate, and while the sidecar is gone or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from identity import CLAIMS, bearer, with_another_signature
from load import Load
from processes import Client, Envoy, Service
from program import wait_until
from sidecar import Sidecar

# In compressed time what deploy/gateways says: cache_duration is covered by the verifier cache, with room for a fetch.
CACHE_DURATION = "1s"
# L ≥ R + max(M, V) + 2S, that is 4 s ≥ 3.3 s; P ≥ 2L.
POLICY = {
    "rotation_period": "8s",
    "publish_lead": "4s",
    "refresh_interval": "300ms",
    "jwks_max_age": "1s",
    "verifier_cache": "2s",
    "clock_skew": "500ms",
    "token_ttl": "3s",
    "token_max_ttl": "3s",
}
ROTATIONS = 3
ROTATIONS_LIMIT = 60.0
RECOVERY_LIMIT = 20.0


def test_no_good_token_is_refused_through_three_rotations_under_load(
    service: Service, figure: Callable[[str], None]
) -> None:
    sidecar = Sidecar(algorithm="ES256", **POLICY)
    envoy = Envoy(sidecar, service, CACHE_DURATION)
    try:
        load = Load(sidecar, {"ext_authz": envoy.ext_authz, "jwt_authn": envoy.jwt_authn})
        began = time.monotonic()
        while len(load.signed) <= ROTATIONS:
            assert time.monotonic() - began < ROTATIONS_LIMIT, f"keys that signed: {load.signed}"
            load.step()
        load.finish()
        fetches = envoy.stats("jwks_fetch_success")
    finally:
        envoy.stop()
        assert sidecar.stop() == 0
    assert not load.faults, f"{len(load.faults)} of {load.passed}, the first: {load.faults[0]}"
    # The last key has only just begun.
    assert sorted(load.signed.values())[1] > 100, f"too few tokens to show anything: {load.signed}"
    assert min(load.kept_out.values()) > 10, load.kept_out
    assert sum(fetches.values()) > ROTATIONS, "Envoy did not fetch the keys again"
    figure(
        f"Envoy, {ROTATIONS} rotations: {load.signed.total()} tokens of {len(load.signed)} keys; good ones passed by "
        f"{dict(load.passed)}, bad ones kept out by {dict(load.kept_out)}, 0 wrong; slowest answer in ms "
        f"{ {name: round(seconds * 1000) for name, seconds in load.slowest.items()} }"
    )


@pytest.fixture
def mortal() -> Iterator[Sidecar]:
    """A sidecar that the test takes away."""
    mortal = Sidecar(algorithm="ES256")
    yield mortal
    assert mortal.stop() == 0


@pytest.fixture
def envoy(mortal: Sidecar, service: Service) -> Iterator[Envoy]:
    """Envoy beside it."""
    envoy = Envoy(mortal, service)
    yield envoy
    envoy.stop()


def statuses(client: Client, token: str, times: int = 20) -> set[int]:
    return {client.get("/orders", [bearer(token)]).status for _ in range(times)}


def test_without_the_sidecar_nothing_passes_and_with_it_everything_again(
    mortal: Sidecar, envoy: Envoy, figure: Callable[[str], None]
) -> None:
    with_ext_authz, with_jwt_authn = Client(envoy.ext_authz), Client(envoy.jwt_authn)
    good = mortal.sign(CLAIMS)["token"]
    bad = with_another_signature(good)
    assert (statuses(with_ext_authz, good), statuses(with_ext_authz, bad)) == ({200}, {401})
    assert (statuses(with_jwt_authn, good), statuses(with_jwt_authn, bad)) == ({200}, {401})

    mortal.kill()
    assert (statuses(with_ext_authz, good), statuses(with_ext_authz, bad)) == ({503}, {503})
    assert with_ext_authz.get("/public/page").status == 200
    # What Envoy decides by itself goes on by the last JWKS.
    assert (statuses(with_jwt_authn, good), statuses(with_jwt_authn, bad)) == ({200}, {401})

    mortal.revive()
    back = time.monotonic()
    wait_until(lambda: statuses(with_ext_authz, good, 1) == {200}, RECOVERY_LIMIT, "Envoy asks the sidecar again")
    figure(f"Envoy: good tokens pass again {(time.monotonic() - back) * 1000:.0f} ms after a killed sidecar is ready again")
    for token in [good, mortal.sign(CLAIMS)["token"]]:
        assert (statuses(with_ext_authz, token), statuses(with_jwt_authn, token)) == ({200}, {200})
    assert statuses(with_ext_authz, bad) == {401}
    with_ext_authz.close()
    with_jwt_authn.close()


def test_a_sidecar_that_hangs_holds_no_request_longer_than_the_deadline(
    mortal: Sidecar, envoy: Envoy, figure: Callable[[str], None]
) -> None:
    client = Client(envoy.ext_authz)
    good = mortal.sign(CLAIMS)["token"]
    assert statuses(client, good) == {200}
    mortal.pause()
    try:
        began = time.monotonic()
        assert statuses(client, good, 5) == {503}
        took = (time.monotonic() - began) / 5
    finally:
        mortal.resume()
    # The deadline is 200 ms; the rest is for a machine that is busy.
    assert took < 1.0
    wait_until(lambda: statuses(client, good, 1) == {200}, RECOVERY_LIMIT, "Envoy gets answers again")
    client.close()
    figure(f"Envoy: 503 after {took * 1000:.0f} ms each while the sidecar hangs")
