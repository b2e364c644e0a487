"""A real Keycloak over https, with the realm of `keycloak/realm.json`, as its clients and its operator see it."""

from __future__ import annotations

import http
import json
import os
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from authority import Authority
from program import LOOPBACK, STOP_LIMIT, Program, free_port

REALM = Path(__file__).parent / "keycloak" / "realm.json"
SECRET = "a-secret-of-the-tests"
ADMIN = "admin"
# Its first request after the start takes seconds, and so does creating a realm.
ADMIN_LIMIT = 60.0
OF_ADMIN = {"client_id": "admin-cli", "grant_type": "password", "username": ADMIN, "password": SECRET}
KEY_PROVIDER = "org.keycloak.keys.KeyProvider"


def home() -> Path:
    """The directory of Keycloak, built for an H2 file and without a cluster."""
    return Path(os.environ.get("SIGNET_ISSUERS_KEYCLOAK") or "/nonexistent")


def why_no_keycloak() -> str | None:
    """What is missing on this machine to run Keycloak. None if nothing is."""
    if shutil.which("java") is None:
        return "this machine has no Java"
    if not (home() / "bin" / "kc.sh").is_file():
        return "SIGNET_ISSUERS_KEYCLOAK names none; tests/run.sh has Maven fetch one, and does"
    return None


class Keycloak(Program):
    """The process. It can be stopped and started again with the same database and port."""

    name = "keycloak"
    # Most of this is for creating the database schema on a machine with other work.
    start_limit = 180.0

    def __init__(self, authority: Authority) -> None:
        self._certificate, self._trust = authority.certificate(), ssl.create_default_context(cafile=authority.file)
        self._realm = json.loads(REALM.read_text())
        self._began = False
        super().__init__()
        self._began = True
        self.issuer = f"{self._url}/realms/{self._realm['realm']}"

    def command(self) -> Sequence[str | Path]:
        if not self._began:
            self._port = free_port()
            self._url = f"https://{LOOPBACK}:{self._port}"
        database = f"jdbc:h2:file:{self.directory}/database;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE"
        return [
            home() / "bin" / "kc.sh",
            "start",
            "--optimized",
            f"--hostname={self._url}",
            f"--http-host={LOOPBACK}",
            f"--https-port={self._port}",
            f"--https-certificate-file={self._certificate.file}",
            f"--https-certificate-key-file={self._certificate.key_file}",
            f"--db-url={database}",
            "--cache=local",
        ]

    def environment(self) -> Mapping[str, str]:
        # Compiling code that runs only once takes most of the time.
        java = {"JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}
        admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": SECRET}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KC_")}
        return inherited | java | admin

    def is_ready(self) -> bool:
        try:
            return self._send("GET", f"{self._url}/realms/master")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def make_realm(self) -> None:
        """Creates the realm of the file."""
        self._admin("POST", "/realms", self._realm)

    def halt(self) -> None:
        """Stops it, as for an upgrade. `start` starts it again."""
        self._process.terminate()
        self._process.wait(STOP_LIMIT)

    def tokens(self, client: str = "till", grant: str = "client_credentials", **form: str) -> dict[str, str]:
        """The answer of the realm's token endpoint (RFC 6749 §5.1)."""
        return self._tokens(self.issuer, client_id=client, client_secret=SECRET, grant_type=grant, **form)

    def token(self, client: str = "till", **form: str) -> str:
        """An access token for a client."""
        return self.tokens(client, **form)["access_token"]

    def of_ada(self, client: str = "till") -> dict[str, str]:
        """An access token, an ID token and a refresh token of a user."""
        return self.tokens(client, grant="password", username="ada", password=SECRET, scope="openid")

    def of_master(self) -> str:
        """An access token of the realm that always exists."""
        return self._tokens(f"{self._url}/realms/master", **OF_ADMIN)["access_token"]

    def jwks(self) -> list[dict[str, Any]]:
        """The keys that it publishes."""
        return list(json.loads(self._send("GET", f"{self.issuer}/protocol/openid-connect/certs")[1])["keys"])

    def add_key(self, name: str, provider: str, **config: str) -> None:
        """Adds a key provider to the realm. Its key is created at once."""
        written = {key: [value] for key, value in config.items()}
        component = {"name": name, "providerId": provider, "providerType": KEY_PROVIDER, "config": written}
        self._admin("POST", self._components, component)

    def retire_key(self, name: str) -> None:
        """Makes a key passive: it stays published but does not sign."""
        component = self._key(name)
        component["config"]["active"] = ["false"]
        self._admin("PUT", f"{self._components}/{component['id']}", component)

    def delete_key(self, name: str) -> None:
        """Deletes a key."""
        self._admin("DELETE", f"{self._components}/{self._key(name)['id']}")

    @property
    def _components(self) -> str:
        return f"/realms/{self._realm['realm']}/components"

    def _key(self, name: str) -> dict[str, Any]:
        """The key provider of this name."""
        components = self._admin("GET", f"{self._components}?type={KEY_PROVIDER}")
        return next(dict(component) for component in components if component["name"] == name)

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.of_master()}", "content-type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        status, answer = self._send(method, f"{self._url}/admin{path}", content, headers)
        assert status < 300, f"{method} {path}: {status} {answer.decode()}"
        return json.loads(answer) if answer else None

    def _tokens(self, issuer: str, **form: str) -> dict[str, str]:
        url = f"{issuer}/protocol/openid-connect/token"
        status, answer = self._send("POST", url, urllib.parse.urlencode(form).encode())
        assert status == http.HTTPStatus.OK, answer.decode()
        return dict(json.loads(answer))

    def _send(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=ADMIN_LIMIT, context=self._trust) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
