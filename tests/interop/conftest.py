"""The basic fixtures: a sidecar for each algorithm, a Node process, and a verifier for each library."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from figures import figure, leave_out, pytest_configure, pytest_terminal_summary
from sidecar import Sidecar
from verifiers import Jose, Joserfc, Node, PyJwt, Trust, Verifier

__all__ = ["figure", "pytest_configure", "pytest_terminal_summary"]

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
LIBRARIES = ["PyJWT", "joserfc", "jose"]
AUDIENCE = "https://orders.example.com"
CLAIMS = {"sub": "user-7", "aud": AUDIENCE, "scope": "orders:read orders:write", "org": {"id": 42, "name": "Ærø"}}


@dataclass
class Issued:
    """A sidecar, and a token with a lifetime of one second that was signed at its start. It has expired long before a
    test needs it."""

    sidecar: Sidecar
    algorithm: str
    short_lived: str
    expires_at: int

    @cached_property
    def trust(self) -> Trust:
        """What a service learns from the discovery document."""
        found = self.sidecar.discovery()
        assert found["issuer"] == self.sidecar.issuer
        assert self.algorithm in found["id_token_signing_alg_values_supported"]
        return Trust(found["issuer"], found["jwks_uri"], self.algorithm)


@pytest.fixture(scope="session")
def sidecars() -> Iterator[Callable[[str], Issued]]:
    """Starts the sidecar of an algorithm when it is first needed, and stops all at the end."""
    started: dict[str, Issued] = {}

    def of(algorithm: str) -> Issued:
        if algorithm not in started:
            sidecar = Sidecar(algorithm=algorithm)
            short = sidecar.sign(CLAIMS, ttl=1)
            started[algorithm] = Issued(sidecar, algorithm, short["token"], short["exp"])
        return started[algorithm]

    yield of
    codes = {algorithm: issued.sidecar.stop() for algorithm, issued in started.items()}
    assert set(codes.values()) <= {0}, f"exit codes after SIGTERM: {codes}"


@pytest.fixture(params=ALGORITHMS)
def issued(request: pytest.FixtureRequest, sidecars: Callable[[str], Issued]) -> Issued:
    """The sidecar of one algorithm."""
    return sidecars(request.param)


def node_directory() -> Path:
    """The directory with `verify.mjs` and its `node_modules`."""
    return Path(os.environ.get("SIGNET_INTEROP_NODE") or Path(__file__).parent / "node")


def why_no_jose() -> str | None:
    """What is missing on this machine to run jose (npm). None if nothing is."""
    if shutil.which("node") is None:
        return "this machine has no Node"
    if not (node_directory() / "node_modules" / "jose").is_dir():
        return f"jose is not installed in {node_directory()}: run `npm ci` there, or tests/run.sh, which does"
    return None


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The Node process. If it is missing, this is reported; in CI, it fails."""
    if lack := why_no_jose():
        leave_out("jose (npm)", lack, "node")
    process = Node(node_directory())
    yield process
    process.stop()


@pytest.fixture
def verifier_of(request: pytest.FixtureRequest) -> Callable[[str, Trust], Verifier]:
    """Makes a verifier by the name of its library. Node is started only for jose."""

    def make(library: str, trust: Trust) -> Verifier:
        match library:
            case "PyJWT":
                return PyJwt(trust)
            case "joserfc":
                return Joserfc(trust)
            case "jose":
                return Jose(trust, request.getfixturevalue("node"))
        raise LookupError(library)

    return make
