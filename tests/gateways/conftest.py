"""What the tests stand on: a sidecar, and a client of its socket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from check import Checker
from sidecar import Sidecar, binary

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []
    # A proxy that the environment names has no business between two processes of this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    if not binary().is_file():
        raise pytest.UsageError(f"no binary at {binary()}: run `cargo build -p signet`, or set SIGNET_BIN")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash[FIGURES]:
        terminalreporter.write_line(figure)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a line for the end of the run."""
    return request.config.stash[FIGURES].append


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    """A sidecar that requires no audience by itself, and gives an expired token no grace."""
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
