"""Fixtures with nginx, Caddy and Traefik: one after the other for a module, or next to a sidecar that the test stops.
Also what the tests of all gateways share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from figures import leave_out
from forward_auth import NGINX, Caddy, ForwardAuth, Nginx, Tap, Traefik
from jwks_gateways import Gateway
from own_issuer import Issuer
from processes import Client, Service
from sidecar import Sidecar

FORWARD_AUTH: dict[str, type[ForwardAuth]] = {"nginx": Nginx, "caddy": Caddy, "traefik": Traefik}


def kind(name: str) -> type[ForwardAuth]:
    """The gateway with this name. If nginx is missing, this is reported, and in CI it fails."""
    if name == "nginx" and NGINX is None:
        leave_out("nginx", "this machine has no nginx (Debian: apt install nginx-light)")
    return FORWARD_AUTH[name]


@pytest.fixture(scope="module")
def tap(sidecar: Sidecar) -> Iterator[Tap]:
    """A tap between gateways and the sidecar."""
    tap = Tap(sidecar.socket)
    yield tap
    tap.stop()


@pytest.fixture(scope="module", params=list(FORWARD_AUTH))
def gateway(request: pytest.FixtureRequest, tap: Tap) -> Iterator[ForwardAuth]:
    """Each of the gateways, with a service behind it."""
    service = Service()
    gateway = kind(request.param)(tap.socket, service)
    yield gateway
    gateway.stop()
    service.stop()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """An issuer whose private key the test has."""
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    """A client of the gateway."""
    client = Client(gateway.port)
    yield client
    client.close()


@pytest.fixture
def mortal() -> Iterator[Sidecar]:
    """A sidecar that the test stops."""
    mortal = Sidecar(algorithm="ES256")
    yield mortal
    assert mortal.stop() == 0


@pytest.fixture(params=list(FORWARD_AUTH))
def beside(request: pytest.FixtureRequest, mortal: Sidecar) -> Iterator[ForwardAuth]:
    """Each of the gateways, next to that sidecar."""
    service = Service()
    gateway = kind(request.param)(mortal.socket, service)
    yield gateway
    gateway.stop()
    service.stop()
