"""The basic fixtures: providers, and sidecars that trust them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from figures import figure, leave_out, pytest_configure, pytest_terminal_summary
from keys import Key
from provider import Issuer, Node, why_no_provider
from trust import Trusting

__all__ = ["figure", "pytest_configure", "pytest_terminal_summary"]


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The Node process. If it is missing, this is reported; in CI, it fails."""
    if lack := why_no_provider():
        leave_out("a real OpenID provider", lack, "node")
    node = Node()
    yield node
    node.stop()


@pytest.fixture
def provider(node: Node) -> Iterator[Callable[..., Issuer]]:
    """Makes providers with a key for RS256 and one for ES256, unless others are given."""
    made: list[Issuer] = []

    def make(*keys: Key, **options: Any) -> Issuer:
        made.append(Issuer(node, *(keys or (Key.made("rsa", "RS256"), Key.made("ec", "ES256"))), **options))
        return made[-1]

    yield make
    for issuer in made:
        issuer.stop()


@pytest.fixture
def issuer(provider: Callable[..., Issuer]) -> Issuer:
    """One provider."""
    return provider()


@pytest.fixture
def trusting() -> Iterator[Callable[..., Trusting]]:
    """Starts sidecars, and stops them at the end."""
    started: list[Trusting] = []

    def start(*issuers: Issuer | str, **options: Any) -> Trusting:
        started.append(Trusting(*issuers, **options))
        return started[-1]

    yield start
    codes = [sidecar.stop() for sidecar in started]
    assert set(codes) <= {0}, f"exit codes after SIGTERM: {codes}"


@pytest.fixture
def sidecar(issuer: Issuer, trusting: Callable[..., Trusting]) -> Trusting:
    """A sidecar that trusts the provider."""
    return trusting(issuer)
