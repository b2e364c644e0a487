"""The basic fixtures: a sidecar, and a client of its socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from check import Checker
from figures import figure, pytest_configure, pytest_terminal_summary
from processes import Service
from sidecar import Sidecar

__all__ = ["figure", "pytest_configure", "pytest_terminal_summary"]


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    """A sidecar without a configured audience, which accepts no expired tokens."""
    sidecar = Sidecar(algorithm="ES256", clock_skew="0s")
    try:
        yield sidecar
    finally:
        code = sidecar.stop()
    assert code == 0


@pytest.fixture(scope="module")
def checker(sidecar: Sidecar) -> Iterator[Checker]:
    """A client of the sidecar's socket."""
    with Checker(sidecar.socket) as checker:
        yield checker


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service behind a gateway."""
    service = Service()
    yield service
    service.stop()
