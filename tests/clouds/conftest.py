"""Starts our fake clouds. The tests use them with the clouds' official SDKs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[[str], dict[str, Any]]


def pytest_configure(config: pytest.Config) -> None:
    # A proxy from the environment must not be used between two processes of this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    if not Path(os.environ.get("SIGNET_FAKES", "")).is_file():
        raise pytest.UsageError("set SIGNET_FAKES to the binary that `cargo build -p signet-fakes` makes")


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Starts the servers of a cloud, and returns how clients reach them. They stop with the tests."""
    running: list[subprocess.Popen[str]] = []

    def start_cloud(cloud: str) -> dict[str, Any]:
        server = subprocess.Popen(
            [os.environ["SIGNET_FAKES"], cloud], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(server)
        assert server.stdout is not None
        return json.loads(server.stdout.readline())

    yield start_cloud
    for server in running:
        # It ends when its standard input ends.
        server.communicate(timeout=10)
