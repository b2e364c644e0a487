"""Service account tokens of the real API server, signed by Signet as `ExternalJWTSigner`."""

from __future__ import annotations

import http
import json
import os
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from external_signer import ALGORITHMS, POLICY, decoded
from figures import leave_out
from identity import with_another_signature
from kube_apiserver import MANIFEST, NAMESPACE, PROGRAMS, SIDECAR, Etcd, KubeApiserver, settings_of_the_manifest
from own_issuer import Issuer
from program import LOOPBACK, free_port, wait_until
from sidecar import REQUEST_LIMIT, Sidecar, binary

AUDIENCE = "https://payments.example.com"
ACCOUNT = "web"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
# The API server keeps the result for a token, good or bad, for this many seconds, and the keys for another second.
REMEMBERED = 10.0 + 1.0
KEYS_KNOWN = 3
ROTATIONS_LIMIT = 120.0


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    """One for all tests. If the programs cannot be built, this is reported; in CI, it fails."""
    if PROGRAMS is None:
        lack = "SIGNET_TEST_KUBERNETES names no directory with kube-apiserver and etcd; tests/run.sh builds them with Go"
        leave_out("the API server of Kubernetes", lack, "go")
    etcd = Etcd()
    yield etcd
    etcd.stop()


class Cluster:
    """A sidecar, and an API server whose tokens it signs."""

    def __init__(self, etcd: Etcd, **settings: str) -> None:
        # The API server publishes no keys for an issuer without https.
        self._listen, issuer = f"{LOOPBACK}:{free_port()}", settings_of_the_manifest()["SIGNET_ISSUER"]
        self.sidecar = Sidecar(kubernetes="true", issuer=issuer, listen=self._listen, **settings)
        try:
            self.api = KubeApiserver(self.sidecar, etcd)
        except BaseException:
            self.sidecar.stop()
            raise

    def stop(self) -> None:
        """Stops both."""
        self.api.stop()
        assert self.sidecar.stop() == 0

    def published(self) -> list[dict[str, Any]]:
        """The JWKS of Signet."""
        with urllib.request.urlopen(f"http://{self._listen}/.well-known/jwks.json", timeout=REQUEST_LIMIT) as answer:
            return list(json.load(answer)["keys"])

    def is_taken(self, token: str) -> bool:
        """Whether the API server accepts the token as the account's."""
        user = self.api.user_of(token, AUDIENCE)
        assert user in (None, USER)
        return user == USER


@pytest.fixture(scope="module")
def cluster(etcd: Etcd) -> Iterator[Cluster]:
    """A cluster whose keys change during the tests."""
    cluster = Cluster(etcd, algorithm="ES256", **POLICY)
    cluster.api.make_account(ACCOUNT)
    yield cluster
    cluster.stop()


def header_of(token: str) -> dict[str, Any]:
    return dict(json.loads(decoded(token.split(".")[0])))


def claims_of(token: str) -> dict[str, Any]:
    return dict(json.loads(decoded(token.split(".")[1])))


def test_the_settings_of_the_manifest_are_a_policy_for_the_api_server() -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}
    given = inherited | settings_of_the_manifest()
    outcome = subprocess.run([binary(), "schedule"], env=given, capture_output=True, text=True, timeout=20)
    assert outcome.returncode == 0, outcome.stderr


def test_the_manifests_are_such_as_the_api_server_takes(cluster: Cluster) -> None:
    objects = re.split(r"^---\n", SIDECAR.read_text(), flags=re.MULTILINE)[1:]
    kinds = [re.findall(r"^kind: (\w+)$", text, re.MULTILINE)[0].lower() + "s" for text in objects]
    assert kinds == ["secrets", "statefulsets", "services"]
    for kind, text in zip(kinds, objects, strict=True):
        reply = cluster.api.dry_run(kind, text)
        assert reply.status == http.HTTPStatus.CREATED, reply
    # It is a part of a manifest. All faults in it are in the parts that readers supply themselves.
    own = MANIFEST.read_text().replace("namespace: kube-system", f"namespace: {NAMESPACE}")
    reply = cluster.api.dry_run("pods", own)
    assert [cause["field"] for cause in reply.body["details"]["causes"]] == ["spec.containers[0].image"], reply


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_every_algorithm_are_taken_and_forged_ones_are_not(etcd: Etcd, algorithm: str) -> None:
    cluster = Cluster(etcd, algorithm=algorithm)
    try:
        account = f"web-{algorithm.lower()}"
        cluster.api.make_account(account)
        token = cluster.api.token(account, AUDIENCE)
        head = header_of(token)
        assert head["alg"] == algorithm
        assert cluster.sidecar.phases()[head["kid"]] == "active"
        user = f"system:serviceaccount:{NAMESPACE}:{account}"
        assert cluster.api.user_of(token, AUDIENCE) == user
        # As a client of the API server presents it.
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        own = cluster.api.token(account, cluster.sidecar.issuer)
        reply = cluster.api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, bearer=own)
        assert reply.status == http.HTTPStatus.CREATED, reply
        assert reply.body["status"]["userInfo"]["username"] == user
        # As a service beside the cluster verifies it.
        verdict = cluster.sidecar.verify(token, AUDIENCE)
        assert verdict["active"] is True
        assert verdict["claims"]["kubernetes.io"]["serviceaccount"]["name"] == account
        for forged in [with_another_signature(token), signed_by_another(token)]:
            assert cluster.api.user_of(forged, AUDIENCE) is None
        assert cluster.api.user_of(token, "https://other.example.com") is None
    finally:
        cluster.stop()


def signed_by_another(token: str) -> str:
    """The same claims and kid, with a good signature of another key."""
    head = header_of(token)
    other = Issuer("RS256" if head["alg"] == "RS256" else "ES256")
    other.stop()
    return other.token(claims_of(token), kid=head["kid"], typ="JWT")


def test_the_api_server_publishes_the_keys_of_signet(cluster: Cluster) -> None:
    def same() -> bool:
        theirs = cluster.api.call("GET", "/openid/v1/jwks").body["keys"]
        parts = [{key["kid"]: (key["crv"], key["x"], key["y"]) for key in keys} for keys in (theirs, cluster.published())]
        return parts[0] == parts[1]

    wait_until(same, KEYS_KNOWN, "the key sets are the same")
    document = cluster.api.call("GET", "/.well-known/openid-configuration").body
    assert document["issuer"] == cluster.sidecar.issuer
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


def test_a_life_that_signet_does_not_sign_is_shortened_by_the_api_server(cluster: Cluster) -> None:
    reply = cluster.api.request_token(ACCOUNT, AUDIENCE, life=24 * 3600)
    assert reply.status == http.HTTPStatus.CREATED, reply
    claims = claims_of(reply.body["status"]["token"])
    assert claims["exp"] - claims["iat"] == int(POLICY["token_max_ttl"].removesuffix("s"))
    assert "shortened to 600 seconds" in reply.headers["Warning"]


def test_every_token_is_taken_at_once_through_two_rotations(cluster: Cluster, figure: Callable[[str], None]) -> None:
    signed: Counter[str] = Counter()
    first, began = cluster.api.token(ACCOUNT, AUDIENCE), time.monotonic()
    while len(signed) < 3:
        assert time.monotonic() - began < ROTATIONS_LIMIT, signed
        token = cluster.api.token(ACCOUNT, AUDIENCE)
        assert cluster.is_taken(token), f"the API server does not take a token of {header_of(token)['kid']}"
        signed[header_of(token)["kid"]] += 1
    assert cluster.is_taken(first), "a token lives on when its key signs no more"
    assert max(signed.values()) > 100, f"too few tokens to show anything: {signed}"
    figure(f"kube-apiserver: {signed.total()} tokens of {len(signed)} keys requested and reviewed, none refused")


def test_without_signet_known_tokens_are_taken_and_with_it_new_ones_again(cluster: Cluster) -> None:
    token = cluster.api.token(ACCOUNT, AUDIENCE)
    cluster.sidecar.kill()
    try:
        reply = cluster.api.request_token(ACCOUNT, AUDIENCE, timeout=1)
        assert reply.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR, reply
        assert cluster.is_taken(token)
        assert not cluster.is_taken(with_another_signature(token))
    finally:
        cluster.sidecar.revive()
    wait_until(
        lambda: cluster.api.request_token(ACCOUNT, AUDIENCE).status == http.HTTPStatus.CREATED,
        30,
        "the API server asks Signet again",
    )
    assert cluster.is_taken(cluster.api.token(ACCOUNT, AUDIENCE))
    assert cluster.is_taken(token)


def test_the_tokens_of_a_key_that_was_revoked_are_refused(cluster: Cluster) -> None:
    token = cluster.api.token(ACCOUNT, AUDIENCE)
    assert cluster.is_taken(token)
    revoked = [binary(), "keys", "revoke", header_of(token)["kid"]]
    environment = cluster.sidecar.environment()
    outcome = subprocess.run(revoked, env=environment, capture_output=True, text=True, timeout=20)
    assert outcome.returncode == 0, outcome.stderr
    wait_until(lambda: not cluster.is_taken(token), REMEMBERED + KEYS_KNOWN, "the API server refuses it")
    wait_until(
        lambda: cluster.api.request_token(ACCOUNT, AUDIENCE).status == http.HTTPStatus.CREATED, 30, "another key signs"
    )
    assert cluster.is_taken(cluster.api.token(ACCOUNT, AUDIENCE))
