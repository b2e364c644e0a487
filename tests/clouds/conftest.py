"""Starts the servers of ours that stand in for clouds; the tests drive them with the clouds' official SDKs."""

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
    # A proxy that the environment names has no business between two processes of this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    if not Path(os.environ.get("SIGNET_FAKES", "")).is_file():
        raise pytest.UsageError("set SIGNET_FAKES to the binary that `cargo build -p signet-fakes` makes")


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Starts the servers of a cloud; what a client must be told is the answer. They stop with the tests."""
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
        # It ends with its standard input.
        server.communicate(timeout=10)
