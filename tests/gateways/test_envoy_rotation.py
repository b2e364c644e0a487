"""The real Envoy while keys rotate, and while the sidecar is stopped or hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from identity import CLAIMS, with_another_signature
from load import CACHE_DURATION, POLICY, ROTATIONS, rotate_under_load
from processes import Client, Envoy, Service
from program import wait_until
from sidecar import Sidecar
from trouble import RECOVERY_LIMIT, statuses, time_of_a_refusal


def test_no_good_token_is_refused_through_three_rotations_under_load(
    service: Service, figure: Callable[[str], None]
) -> None:
    sidecar = Sidecar(algorithm="ES256", **POLICY)
    envoy = Envoy(sidecar, service, CACHE_DURATION)
    try:
        rotate_under_load("Envoy", sidecar, {"ext_authz": envoy.ext_authz, "jwt_authn": envoy.jwt_authn}, figure)
        assert sum(envoy.stats("jwks_fetch_success").values()) > ROTATIONS, "Envoy did not fetch the keys again"
    finally:
        envoy.stop()
        assert sidecar.stop() == 0


@pytest.fixture
def mortal() -> Iterator[Sidecar]:
    """A sidecar that the test stops."""
    mortal = Sidecar(algorithm="ES256")
    yield mortal
    assert mortal.stop() == 0


@pytest.fixture
def envoy(mortal: Sidecar, service: Service) -> Iterator[Envoy]:
    """Envoy next to it."""
    envoy = Envoy(mortal, service)
    yield envoy
    envoy.stop()


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
    # Envoy's own decisions continue with the last JWKS.
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
    took = time_of_a_refusal(mortal, envoy.ext_authz)
    # The deadline is 200 ms; a busy machine adds the rest.
    assert took < 1.0
    figure(f"Envoy: 503 after {took * 1000:.0f} ms each while the sidecar hangs")
