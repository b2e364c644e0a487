"""Real OpenID providers: oidc-provider (npm) in a Node process, each behind a proxy that can misbehave."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keys import Key, parts
from program import LOOPBACK, Program, answers, free_port
from proxy import Proxy
from sidecar import REQUEST_LIMIT

AUDIENCE = "https://orders.example.com"
SECRET = "a-secret-of-the-tests"


def node_directory() -> Path:
    """The directory with `provider.mjs` and its `node_modules`."""
    return Path(os.environ.get("SIGNET_ISSUERS_NODE") or Path(__file__).parent / "node")


def why_no_provider() -> str | None:
    """What is missing on this machine to run oidc-provider. None if nothing is."""
    if shutil.which("node") is None:
        return "this machine has no Node"
    if not (node_directory() / "node_modules" / "oidc-provider").is_dir():
        return f"oidc-provider is not installed in {node_directory()}: run `npm ci` there, or tests/run.sh, which does"
    return None


class Node(Program):
    """The process, which runs any number of providers."""

    name = "provider"
    taken = ("eaddrinuse",)

    def command(self) -> Sequence[str | Path]:
        self._control = free_port()
        return ["node", node_directory().absolute() / "provider.mjs", str(self._control)]

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self._control}/")

    def provide(self, **wanted: Any) -> int:
        """Starts a provider with these options, and returns its port."""
        return int(asked(self._control, "PUT", "/", json.dumps(wanted))["port"])


def asked(port: int, method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
    """Makes one request on its own connection, and returns the answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=REQUEST_LIMIT)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise AssertionError(f"{method} {path}: {answer.status} {text}")
    return dict(json.loads(text))


class Issuer:
    """One provider, as its clients and its operator see it."""

    def __init__(
        self,
        node: Node,
        *keys: Key,
        claims: Mapping[str, Any] | None = None,
        life: int = 3600,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.node, self.proxy = node, Proxy(tls)
        self.name = self.proxy.issuer
        self._options = {"claims": dict(claims or {}), "life": life}
        self.keys: Sequence[Key] = ()
        self.publish(*keys)

    def publish(self, *keys: Key) -> None:
        """Publishes these keys from now on. The first one of an algorithm signs."""
        self.keys = keys
        port = self.node.provide(issuer=self.name, keys=[key.jwk for key in keys], **self._options)
        self.proxy.provider = port

    def token(self, alg: str = "ES256", audience: str = AUDIENCE, scope: str = "orders:read orders:write") -> str:
        """An access token for a client (RFC 6749 §4.4) and a resource (RFC 8707), from the token endpoint itself."""
        credentials = base64.b64encode(f"{alg}:{SECRET}".encode()).decode()
        asks = {"grant_type": "client_credentials", "resource": audience, "scope": scope}
        headers = {
            "authorization": f"Basic {credentials}",
            "content-type": "application/x-www-form-urlencoded",
            # The request for a token bypasses the proxy.
            "host": self.name.partition("://")[2],
        }
        body = urllib.parse.urlencode(asks)
        return str(asked(self.proxy.provider, "POST", "/token", body, **headers)["access_token"])

    def claims(self, **others: Any) -> dict[str, Any]:
        """Claims like those that this provider signs, for tokens that it did not sign."""
        return parts(self.token())[1] | others

    def stop(self) -> None:
        self.proxy.stop()
