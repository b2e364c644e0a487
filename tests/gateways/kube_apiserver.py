"""The real API server of Kubernetes with its etcd. Signet signs its tokens."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authority import Authority
from processes import adapted
from program import LOOPBACK, ROOT, Program, answers, free_port
from sidecar import REQUEST_LIMIT, Sidecar

MANIFEST = ROOT / "deploy/gateways/kubernetes/kube-apiserver.yaml"
SIDECAR = ROOT / "deploy/kubernetes/sidecar.yaml"
# A directory with the programs of kubernetes/go.mod, which tests/run.sh builds.
PROGRAMS = os.environ.get("SIGNET_TEST_KUBERNETES")
NAMESPACE = "orders"
ADMIN = "token-of-the-administrator"


def settings_of_the_manifest() -> dict[str, str]:
    """The environment of the sidecar."""
    settings = dict(re.findall(r'name: (SIGNET_\w+), value: "(.+)"', MANIFEST.read_text()))
    assert settings["SIGNET_KUBERNETES"] == "true"
    return settings


class Etcd(Program):
    """The storage of the API server's objects."""

    name = "etcd"

    def command(self) -> Sequence[str | Path]:
        self.url = f"http://{LOOPBACK}:{free_port()}"
        peers = f"http://{LOOPBACK}:{free_port()}"
        return [
            Path(PROGRAMS or "", "etcd"),
            f"--data-dir={self.directory / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            # Nothing here needs to survive a crash.
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def is_ready(self) -> bool:
        return answers(f"{self.url}/health")


@dataclass(frozen=True)
class Reply:
    """The answer of the API server."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class KubeApiserver(Program):
    """`kube-apiserver` with the flags of deploy/gateways/kubernetes, with the path replaced."""

    name = "kube-apiserver"

    def __init__(self, sidecar: Sidecar, etcd: Etcd) -> None:
        self._sidecar, self._etcd = sidecar, etcd
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        authority = Authority(self.directory)
        tls, self._trust = authority.certificate(), ssl.create_default_context(cafile=authority.file)
        users = self.directory / "users.csv"
        users.write_text(f"{ADMIN},admin,admin,system:masters\n")
        manifest = adapted(MANIFEST, [("/run/signet/signet.sock", self._sidecar.socket)])
        flags = re.findall(r"^ +- (--.+)$", manifest, re.MULTILINE)
        assert len(flags) == 2, flags
        return [
            Path(PROGRAMS or "", "kube-apiserver"),
            *flags,
            f"--etcd-servers={self._etcd.url}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={tls.file}",
            f"--tls-private-key-file={tls.key_file}",
            f"--token-auth-file={users}",
            # The other flags are about the size and network of a cluster, not about tokens.
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            # Nothing here creates the account `default`, which a pod would need.
            "--disable-admission-plugins=ServiceAccount",
        ]

    def is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz").status == http.HTTPStatus.OK
        except OSError:
            return False

    def call(self, method: str, path: str, body: Mapping[str, Any] | str | None = None, bearer: str = ADMIN) -> Reply:
        """Makes one request on its own connection, as the administrator unless another token is given. A string is
        YAML."""
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=REQUEST_LIMIT, context=self._trust)
        kind, text = ("yaml", body) if isinstance(body, str) else ("json", json.dumps(body) if body is not None else "")
        headers = {"authorization": f"Bearer {bearer}", "content-type": f"application/{kind}"}
        try:
            connection.request(method, path, text.encode(), headers)
            answer = connection.getresponse()
            got = answer.read()
        finally:
            connection.close()
        is_json = "json" in (answer.getheader("content-type") or "")
        return Reply(answer.status, dict(answer.getheaders()), json.loads(got) if is_json else {})

    def make_account(self, name: str) -> None:
        """Creates a service account."""
        namespace = self.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        assert namespace.status in {http.HTTPStatus.CREATED, http.HTTPStatus.CONFLICT}, namespace
        account = self.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": name}})
        assert account.status == http.HTTPStatus.CREATED, account

    def dry_run(self, kinds: str, yaml: str) -> Reply:
        """The result of creating an object, which may have no unknown field, without storing it."""
        group = "apis/apps/v1" if kinds == "statefulsets" else "api/v1"
        return self.call("POST", f"/{group}/namespaces/{NAMESPACE}/{kinds}?dryRun=All&fieldValidation=Strict", yaml)

    def request_token(self, account: str, audience: str, life: int = 600, timeout: int = 5) -> Reply:
        """Makes a `TokenRequest` for an account. While its signer is down, the API server waits until the timeout
        (seconds)."""
        spec = {"audiences": [audience], "expirationSeconds": life}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token?timeout={timeout}s"
        return self.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})

    def token(self, account: str, audience: str) -> str:
        """The token of a granted request."""
        reply = self.request_token(account, audience)
        assert reply.status == http.HTTPStatus.CREATED, reply
        return str(reply.body["status"]["token"])

    def user_of(self, token: str, audience: str) -> str | None:
        """The user of a token, according to the API server (`TokenReview`). None if it refuses the token."""
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        reply = self.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert reply.status == http.HTTPStatus.CREATED, reply
        status = reply.body["status"]
        return str(status["user"]["username"]) if status.get("authenticated") else None
