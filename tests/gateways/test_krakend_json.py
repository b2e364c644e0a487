"""Rules for the text of deploy/gateways/krakend/krakend.json."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from identity import AUDIENCE, IDENTITY, SCOPE
from jwks_gateways import KRAKEND_JSON
from program import LOOPBACK

# SIGNET_VERIFIER_CACHE less a minute, for fetches that fail.
LONGEST_CACHE = 20 * 60 - 60
SYMMETRIC = ("HS", "none")
# Nobody sets a cookie with this name.
NO_COOKIE = "no-token-comes-in-a-cookie"


def refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without duplicate members. Of two, KrakenD would use the last."""
    assert len(dict(pairs)) == len(pairs), [name for name, _ in pairs]
    return dict(pairs)


@pytest.fixture(scope="module")
def endpoints() -> dict[str, dict[str, Any]]:
    """The endpoints, by path."""
    configuration = json.loads(KRAKEND_JSON.read_text(), object_pairs_hook=refuse_twins)
    assert configuration["version"] == 3
    return {endpoint["endpoint"]: endpoint for endpoint in configuration["endpoints"]}


def validators(endpoints: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        path: endpoint["extra_config"]["auth/validator"]
        for path, endpoint in endpoints.items()
        if "auth/validator" in endpoint.get("extra_config", {})
    }


def test_only_what_is_public_has_no_validator(endpoints: dict[str, dict[str, Any]]) -> None:
    assert {path for path in endpoints if not path.startswith("/public/")} == set(validators(endpoints))


def test_every_validator_names_algorithm_issuer_and_audience(endpoints: dict[str, dict[str, Any]]) -> None:
    for path, validator in validators(endpoints).items():
        assert not validator["alg"].startswith(SYMMETRIC), path
        assert validator["issuer"], path
        assert validator["audience"] == [AUDIENCE], path
        # Any page may have sent a token in a cookie, and without a name the cookie would be `access_token`.
        assert validator["cookie_key"] == NO_COOKIE, path
    required = validators(endpoints)["/orders"]
    assert (required["scopes_key"], required["scopes_matcher"], required["scopes"]) == ("scope", "all", [SCOPE])


def test_keys_are_kept_no_longer_than_signet_counts_on(endpoints: dict[str, dict[str, Any]]) -> None:
    for path, validator in validators(endpoints).items():
        assert validator["cache"] is True, path
        assert 0 < validator["cache_duration"] <= LONGEST_CACHE, path
        url = urlsplit(validator["jwk_url"])
        assert url.scheme == "https" or url.hostname == LOOPBACK, path
        assert validator.get("disable_jwk_security", False) == (url.scheme == "http"), path


def test_headers_of_the_identity_pass_only_where_claims_take_their_place(endpoints: dict[str, dict[str, Any]]) -> None:
    for path, endpoint in endpoints.items():
        passed = {name.lower() for name in endpoint.get("input_headers", [])}
        replaced = {header for _, header in validators(endpoints).get(path, {}).get("propagate_claims", [])}
        assert "*" not in passed, path
        assert passed.intersection(IDENTITY) == replaced.intersection(IDENTITY) == replaced, path
