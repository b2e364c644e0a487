"""The real binary as a child process, and its interfaces as a stranger sees them: HTTP, JSON, nothing of ours."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
START_LIMIT = 20.0
STOP_LIMIT = 30.0
REQUEST_LIMIT = 10.0
# A port that was free a moment ago may be taken by the time that the sidecar opens it.
ATTEMPTS = 3


def binary() -> Path:
    """The binary under test: SIGNET_BIN, or what `cargo build -p signet` made."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return Path(os.environ.get("SIGNET_BIN") or target / "debug" / "signet")


def wait_until(condition: Callable[[], bool], limit: float, what: str) -> None:
    """Returns as soon as the condition holds; fails when the limit (seconds) has passed."""
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


class PortTaken(Exception):
    """Somebody else opened the port first."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_LIMIT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Sidecar:
    """One running sidecar with a directory of its own."""

    def __init__(self, **settings: str) -> None:
        # Not pytest's own directory: the path of a Unix socket may have 107 octets only.
        self._directory = tempfile.TemporaryDirectory(prefix="signet-")
        self.directory = Path(self._directory.name)
        self.socket = self.directory / "s.sock"
        for attempt in range(ATTEMPTS):
            try:
                self._start(settings)
                break
            except PortTaken:
                if attempt + 1 == ATTEMPTS:
                    raise
        self._connection = UnixConnection(self.socket)

    def _start(self, settings: Mapping[str, str]) -> None:
        listen, self._admin = free_port(), free_port()
        self.issuer = f"http://{LOOPBACK}:{listen}"
        self._log = self.directory / "log"
        ours = {
            "ISSUER": self.issuer,
            "LISTEN": f"{LOOPBACK}:{listen}",
            "ADMIN_LISTEN": f"{LOOPBACK}:{self._admin}",
            "SOCKET": str(self.socket),
            "DATA_DIR": str(self.directory / "data"),
            **{name.upper(): value for name, value in settings.items()},
        }
        # SIGNET_* of whoever runs the tests would be settings too.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}
        environment = inherited | {f"SIGNET_{name}": value for name, value in ours.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binary(), "serve"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(self._is_ready, START_LIMIT, "the sidecar is ready")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            log = self.log()
            if "Address already in use" in log:
                raise PortTaken(log)
            raise RuntimeError(f"the sidecar ended with {self._process.returncode}:\n{log}")
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._admin}/readyz", timeout=1) as answer:
                return bool(answer.status == http.HTTPStatus.OK)
        except OSError:
            return False

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._connection.close()
        self._process.terminate()
        try:
            return self._process.wait(STOP_LIMIT)
        finally:
            self._process.kill()
            self._directory.cleanup()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise AssertionError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return dict(json.loads(text))

    def sign(self, claims: Mapping[str, Any], ttl: int | None = None) -> dict[str, Any]:
        """`POST /v1/sign`: token, kid, exp."""
        life = {} if ttl is None else {"ttl": ttl}
        return self._ask("POST", "/v1/sign", {"claims": claims, **life})

    def verify(self, token: str, audience: str) -> dict[str, Any]:
        """`POST /v1/verify`: active, and claims or error."""
        return self._ask("POST", "/v1/verify", {"token": token, "audience": [audience]})

    def phases(self) -> dict[str, str]:
        """`GET /v1/ring`: the phase of each kid."""
        return {key["kid"]: key["phase"] for key in self._ask("GET", "/v1/ring")["keys"]}

    def discovery(self) -> dict[str, Any]:
        """The discovery document, found as OpenID Connect Discovery 1.0 §4 says, from the issuer alone."""
        url = f"{self.issuer}/.well-known/openid-configuration"
        with urllib.request.urlopen(url, timeout=REQUEST_LIMIT) as answer:
            return dict(json.load(answer))
