"""The real binary as a child process, used only through its HTTP and JSON interfaces, like a stranger would."""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from program import LOOPBACK, ROOT, Program, answers, free_port, wait_until

__all__ = ["LOOPBACK", "REQUEST_LIMIT", "Sidecar", "UnixConnection", "binary", "free_port", "wait_until"]

REQUEST_LIMIT = 10.0


def binary() -> Path:
    """The binary under test: SIGNET_BIN, or the result of `cargo build -p signet`."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return Path(os.environ.get("SIGNET_BIN") or target / "debug" / "signet").absolute()


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_LIMIT)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Sidecar(Program):
    """One running sidecar."""

    name = "signet"

    def __init__(self, **settings: str) -> None:
        self._settings = settings
        super().__init__()
        self._connection = UnixConnection(self.socket)

    def command(self) -> Sequence[str | Path]:
        self.socket = self.directory / "s.sock"
        self._listen = self._settings.get("listen") or f"{LOOPBACK}:{free_port()}"
        self._admin = free_port()
        self.issuer = self._settings.get("issuer") or f"http://{self._listen}"
        return [binary(), "serve"]

    def environment(self) -> Mapping[str, str]:
        ours = {
            "ISSUER": self.issuer,
            "LISTEN": self._listen,
            "ADMIN_LISTEN": f"{LOOPBACK}:{self._admin}",
            "SOCKET": str(self.socket),
            "DATA_DIR": str(self.directory / "data"),
            **{name.upper(): value for name, value in self._settings.items()},
        }
        # SIGNET_* variables of the user who runs the tests would be settings, too.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}
        return inherited | {f"SIGNET_{name}": value for name, value in ours.items()}

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self._admin}/readyz")

    def kill(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()
        super().kill()

    def revive(self) -> None:
        """Starts a killed sidecar again with the same issuer, listener, socket and ring."""
        self._settings = {**self._settings, "listen": self._listen, "issuer": self.issuer}
        self.start()

    def stop(self) -> int:
        # It would wait for a connection that is kept open.
        self._connection.close()
        return super().stop()

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

    def sign_batch(self, many: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`POST /v1/sign/batch`: token, kid, exp for each."""
        return list(self._ask("POST", "/v1/sign/batch", {"items": [{"claims": claims} for claims in many]})["items"])

    def verify(self, token: str, audience: str) -> dict[str, Any]:
        """`POST /v1/verify`: active, and claims or error."""
        return self._ask("POST", "/v1/verify", {"token": token, "audience": [audience]})

    def phases(self) -> dict[str, str]:
        """`GET /v1/ring`: the phase of each kid."""
        return {key["kid"]: key["phase"] for key in self._ask("GET", "/v1/ring")["keys"]}

    def discovery(self) -> dict[str, Any]:
        """The discovery document, found by the issuer alone as in OpenID Connect Discovery 1.0 §4."""
        url = f"{self.issuer}/.well-known/openid-configuration"
        with urllib.request.urlopen(url, timeout=REQUEST_LIMIT) as answer:
            return dict(json.load(answer))
