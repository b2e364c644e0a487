"""What all conftest.py files here share: the binary exists, no proxy is used, figures are printed at the end, and
skipped tests are reported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import NoReturn

import pytest

from sidecar import binary

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []
    # A proxy from the environment must not be used between two processes of this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    if not binary().is_file():
        raise pytest.UsageError(f"no binary at {binary()}: run `cargo build -p signet`, or set SIGNET_BIN")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash[FIGURES]:
        terminalreporter.write_line(figure)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Records a line for the end of the run."""
    return request.config.stash[FIGURES].append


def leave_out(what: str, lack: str, *programs: str) -> NoReturn:
    """Reports that something is not tested here. In CI, where these programs are available, it is a failure."""
    if os.environ.get("CI") and all(shutil.which(program) for program in programs):
        pytest.fail(f"{what}: {lack}")
    pytest.skip(f"LEFT OUT: {what}: {lack}")
