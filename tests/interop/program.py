"""A program that the tests start, with its directory, log and ports, and the ways to end it."""

from __future__ import annotations

import http
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
START_LIMIT = 30.0
STOP_LIMIT = 30.0
# A port that was free a moment ago may be in use when the program opens it.
ATTEMPTS = 3


def wait_until(condition: Callable[[], bool], limit: float, what: str) -> None:
    """Returns as soon as the condition holds. Fails after the limit (seconds)."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit} s")
        time.sleep(0.01)


def free_port() -> int:
    """A TCP port of the loopback interface on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a GET request gets 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


class PortTaken(Exception):
    """Another process opened the port first."""


class Program(ABC):
    """A running program with its own directory. It is ready when the constructor of its context returns."""

    # Its name in messages, which is also that of its directory.
    name: str
    # What it prints when a port is in use.
    taken = ("address already in use",)
    # The time in seconds until it must be ready.
    start_limit = START_LIMIT

    def __init__(self) -> None:
        # This is not pytest's own directory, because the path of a Unix socket may have at most 107 bytes.
        self._directory = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        self.directory = Path(self._directory.name)
        self._log = self.directory / "log"
        try:
            self.start()
        except BaseException:
            # Nobody can stop a program that did not start. The error contains its log.
            self._directory.cleanup()
            raise

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Chooses ports and writes the program's files. Returns the command to run."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it can do its work."""

    def environment(self) -> Mapping[str, str]:
        """The environment of the program."""
        return os.environ

    def start(self) -> None:
        """Starts it and waits until it is ready. Uses other ports if these are in use."""
        for attempt in range(ATTEMPTS):
            try:
                self._launch()
                return
            except PortTaken:
                if attempt + 1 == ATTEMPTS:
                    raise

    def _launch(self) -> None:
        command = self.command()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its children end with it.
                process_group=0,
            )
        try:
            wait_until(self._is_alive_and_ready, self.start_limit, f"{self.name} is ready")
        except TimeoutError as error:
            self.kill()
            raise TimeoutError(f"{error}:\n{self.log()}") from None
        except BaseException:
            self.kill()
            raise

    def _is_alive_and_ready(self) -> bool:
        if self._process.poll() is not None:
            log = self.log()
            if any(words in log.lower() for words in self.taken):
                raise PortTaken(log)
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{log}")
        return self.is_ready()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL for it and its children: they cannot clean up, and their files stay."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self._process.send_signal(signal.SIGSTOP)
        # One of its threads may run for another moment after the signal.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM. Returns its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_LIMIT)
        finally:
            self.kill()
            self._directory.cleanup()
