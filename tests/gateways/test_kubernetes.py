"""`ExternalJWTSigner` on the socket, called by grpcio like the API server of Kubernetes."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from external_signer import ALGORITHMS, POLICY, ApiServer, decoded, encoded, verifies
from identity import with_another_signature
from sidecar import Sidecar, binary

AUDIENCE = "https://kubernetes.default.svc"


@pytest.fixture(scope="module", params=ALGORITHMS)
def signer(request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """A sidecar that signs for Kubernetes."""
    sidecar = Sidecar(algorithm=request.param, kubernetes="true")
    try:
        yield sidecar
    finally:
        code = sidecar.stop()
    assert code == 0


@pytest.fixture(params=["v1", "v1alpha1"])
def api_server(request: pytest.FixtureRequest, signer: Sidecar) -> Iterator[ApiServer]:
    """An API server next to it."""
    api_server = ApiServer(signer.socket, request.param)
    yield api_server
    api_server.close()


def claims_of_a_pod(issuer: str, life: int = 600, **others: Any) -> dict[str, Any]:
    """Claims as the API server makes them."""
    now = int(time.time())
    return {
        "aud": [AUDIENCE],
        "exp": now + life,
        "iat": now,
        "iss": issuer,
        "jti": "0d1b5a3e-6a3f-4a44-8a2b-1f1a0c9f2a11",
        "kubernetes.io": {
            "namespace": "orders",
            "pod": {"name": "web-0", "uid": "6e5f"},
            "serviceaccount": {"name": "web", "uid": "a1b2"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:orders:web",
    } | others


def test_a_token_of_a_service_account_verifies_with_the_keys_that_were_fetched(
    signer: Sidecar, api_server: ApiServer
) -> None:
    payload = encoded(claims_of_a_pod(signer.issuer))
    token, kid = api_server.sign(payload)
    keys = api_server.fetch_keys()
    assert verifies(token, keys.der[kid])
    assert not verifies(with_another_signature(token), keys.der[kid])
    # No character of the claims was changed.
    assert token.split(".")[1] == payload
    assert signer.verify(token, AUDIENCE)["claims"] == json.loads(decoded(payload))


def test_the_bounds_are_those_of_the_policy(signer: Sidecar, api_server: ApiServer) -> None:
    # T − 2S and M of the default settings.
    assert api_server.metadata() == 3600 - 120
    assert api_server.fetch_keys().refresh_hint == 300
    token, _ = api_server.sign(encoded(claims_of_a_pod(signer.issuer, life=3600 - 120)))
    assert signer.verify(token, AUDIENCE)["active"] is True


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def test_claims_that_are_not_to_be_signed_are_refused_with_the_reason(signer: Sidecar, api_server: ApiServer) -> None:
    issuer = signer.issuer
    good = claims_of_a_pod(issuer)
    invalid, precondition = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
    for payload, code, reason in [
        (encoded(good | {"iss": "https://other.example.com"}), invalid, "--service-account-issuer"),
        (encoded({name: value for name, value in good.items() if name != "iss"}), invalid, "iss must be"),
        (encoded({name: value for name, value in good.items() if name != "exp"}), invalid, "exp must be a number"),
        (encoded(good | {"exp": str(good["exp"])}), invalid, "exp must be a number"),
        (encoded(good | {"exp": good["iat"] + 3700}), precondition, "SIGNET_TOKEN_MAX_TTL"),
        (encoded(json.dumps(good)[:-1] + ', "sub": "system:serviceaccount:kube-system:admin"}'), invalid, "duplicate member"),
        (encoded(good) + "=", invalid, "base64url"),
        (encoded(b"\xff\xfe"), invalid, "UTF-8"),
        (encoded("[]"), invalid, "JSON object"),
        ("", invalid, "not JSON"),
        (f"{encoded(good)}.{encoded(good)}", invalid, "base64url"),
        (encoded(good | {"large": "x" * 13_000}), invalid, "too long"),
    ]:
        status, text = failure(lambda payload=payload: api_server.sign(payload))
        assert (status, reason in text) == (code, True), text
    assert signer.verify(api_server.sign(encoded(good))[0], AUDIENCE)["active"] is True


def test_nothing_is_signed_for_kubernetes_unless_it_is_asked_for() -> None:
    sidecar = Sidecar()
    api_server = ApiServer(sidecar.socket)
    try:
        for call in [api_server.metadata, api_server.fetch_keys, lambda: api_server.sign(encoded({}))]:
            code, text = failure(call)
            assert (code, "SIGNET_KUBERNETES" in text) == (grpc.StatusCode.UNIMPLEMENTED, True)
    finally:
        api_server.close()
        assert sidecar.stop() == 0


def test_a_policy_that_the_api_server_cannot_live_with_does_not_start() -> None:
    for setting, least in [
        (["--algorithm=EdDSA"], "RS256, ES256, ES384 and ES512"),
        (["--token-max-ttl=11m"], "At least 12m"),
        (["--jwks-max-age=30m"], "At least 1h 3m"),
    ]:
        given = [binary(), "schedule", "--kubernetes=true", *setting]
        outcome = subprocess.run(given, capture_output=True, text=True, timeout=20)
        assert (outcome.returncode, least in outcome.stderr) == (64, True), outcome.stderr


LIMIT = 60.0


def test_an_api_server_whose_every_other_fetch_fails_knows_each_key_before_it_signs(
    figure: Callable[[str], None],
) -> None:
    sidecar = Sidecar(algorithm="ES256", kubernetes="true", **POLICY)
    api_server = ApiServer(sidecar.socket)
    signed: Counter[str] = Counter()
    try:
        began = time.monotonic()
        keys, fetched_at = api_server.fetch_keys(), began
        while len(signed) < 2:
            now = time.monotonic()
            assert now - began < LIMIT, signed
            if now - fetched_at >= 2 * keys.refresh_hint:
                keys, fetched_at = api_server.fetch_keys(), now
            token, kid = api_server.sign(encoded(claims_of_a_pod(sidecar.issuer)))
            assert kid in keys.der, f"the API server does not know {kid}; signed so far: {signed}"
            assert verifies(token, keys.der[kid])
            signed[kid] += 1
    finally:
        api_server.close()
        assert sidecar.stop() == 0
    assert max(signed.values()) > 100, signed
    figure(f"Kubernetes: {signed.total()} tokens of {len(signed)} keys, each key known before it signed, every other fetch missed")
