"""The real Apache with deploy/gateways/apache/gateway.conf: which requests are allowed, and what the service gets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from authority import Authority
from gateway_fixtures import client
from identity import (
    CLAIMS,
    FORGED,
    IDENTITY,
    NO_TOKEN,
    SCOPE_HEADER,
    SUBJECT_HEADER,
    all_of,
    assert_arrived,
    bearer,
    two_credentials,
)
from jwks_gateways import Apache, after_rotations, assert_an_rsa_key_verifies_none_of, fetches_for_random_kids, missing, random_kids
from own_issuer import Issuer, bad_tokens
from processes import Answer, Client, Service
from sidecar import Sidecar
from trouble import statuses

__all__ = ["client"]

pytestmark = missing("apache2", "Apache", "apt install apache2 libapache2-mod-auth-openidc")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority for all servers that publish keys here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issuer(authority: Authority) -> Iterator[Issuer]:
    """An issuer whose private key the test has."""
    issuer = Issuer(certificate=authority.certificate())
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def gateway(issuer: Issuer, authority: Authority, service: Service) -> Iterator[Apache]:
    """Apache with the JWKS of the issuer."""
    apache = Apache(issuer.issuer, authority, service)
    yield apache
    apache.stop()


def identity(answer: Answer) -> list[str]:
    """The names that look like those of identity headers, as they arrived."""
    return sorted(key.lower() for key, _ in answer.arrived if "auth" in key.lower() and key.lower() != "authorization")


def test_a_good_token_passes_and_the_service_gets_its_identity(issuer: Issuer, client: Client) -> None:
    for path, audience in [("/orders", CLAIMS["aud"]), ("/orders/7?page=2", ["a", CLAIMS["aud"]]), ("/", [CLAIMS["aud"]])]:
        token = issuer.token(issuer.claims(aud=audience))
        answer = client.get(path, [bearer(token)])
        assert answer.status == 200, answer.body
        assert_arrived(answer.arrived, token, CLAIMS | {"aud": audience})
        assert identity(answer) == sorted(IDENTITY)


def test_a_bad_token_stays_out(issuer: Issuer, client: Client) -> None:
    # Where a scope is required, Apache answers 403 for a wrong issuer or audience, too.
    for path, refused in [("/orders", {401, 403}), ("/", {401})]:
        for what, token in bad_tokens(issuer).items():
            assert client.get(path, [bearer(token)]).status in refused, (path, what)
        now = int(time.time())
        for claims in [{"exp": None}, {"exp": now - 1}, {"exp": 0}, {"exp": "soon"}, {"nbf": 10**11}, {"nbf": now + 60}]:
            assert client.get(path, [bearer(issuer.token(issuer.claims(**claims)))]).status == 401, (path, claims)
        assert client.get(path, [bearer(issuer.token(issuer.claims(nbf=now - 5)))]).status == 200


def test_a_request_without_a_token_gets_a_challenge(issuer: Issuer, client: Client) -> None:
    token = issuer.token(issuer.claims())
    for path in ["/orders", "/"]:
        [challenge] = all_of(client.get(path).headers, "www-authenticate")
        assert challenge.startswith("Bearer ")
    for headers in [*NO_TOKEN, [("cookie", f"PA.global={token}")], *two_credentials(token)]:
        assert client.get(f"/orders?access_token={token}", headers).status == 401, headers


def test_what_a_client_forged_does_not_arrive(issuer: Issuer, client: Client) -> None:
    token = bearer(issuer.token(issuer.claims()))
    plain = [*IDENTITY, *(name.upper() for name in IDENTITY), *(name.replace("-", "_") for name in IDENTITY), "X_AUTH-Scope"]
    for name in plain:
        forged = [(name, "forged"), (name, "forged too"), (name, "")]
        answer = client.get("/orders", [*forged, token, *forged])
        assert answer.status == 200
        assert "forged" not in answer.body, name
        assert identity(answer) == sorted(IDENTITY), name
        answer = client.get("/public/page", [*forged, token])
        assert (answer.status, identity(answer)) == (200, []), name
    # Names that cannot be listed are refused; those of the module's own variables are not headers.
    for path in ["/orders", "/public/page"]:
        assert client.get(path, [token, ("X.Auth.Subject", "forged")]).status == 400, path
        assert client.get(path, [token, ("x-auth_other", "forged")]).status == 400, path
        for name in IDENTITY:
            assert client.get(path, [token, ("Connection", name)]).status == 400, path
    answer = client.get("/", [*FORGED, ("OIDC_CLAIM_scope", "f"), bearer(issuer.token(issuer.claims(scope=None)))])
    assert (answer.status, all_of(answer.arrived, SCOPE_HEADER)) == (200, [])


def test_a_scope_that_is_missing_is_forbidden_where_it_is_required(issuer: Issuer, client: Client) -> None:
    for scope in [None, "orders:readonly xorders:read", "orders:read2", ""]:
        token = bearer(issuer.token(issuer.claims(scope=scope, org={"scope": "orders:read"})))
        assert client.get("/orders", [token]).status == 403, scope
        assert client.get("/", [token]).status == 200


def test_a_path_that_is_written_otherwise_is_held_to_the_same_rules(issuer: Issuer, client: Client) -> None:
    plain = ["/public/../orders", "//orders", "/%6frders", "/./orders", "/public/%2e%2e/orders", "/public//../orders"]
    odd = ["/public/..%2forders", "/public\\..\\orders", "/public/..;/orders", "/orders;x", "/public/%5c../orders", "/public/%00"]
    token = bearer(issuer.token(issuer.claims(scope=None)))
    for path in plain:
        assert (client.get(path).status, client.get(path, [token]).status) == (401, 403), path
        # The service also gets it unescaped.
        assert json.loads(client.get(path, [bearer(issuer.token(issuer.claims()))]).body)["path"] == "/orders"
    for path in odd:
        assert {client.get(path).status, client.get(path, [token]).status} <= {400, 404}, path


def test_a_subject_beyond_ascii_arrives_unharmed(issuer: Issuer, client: Client) -> None:
    for subject in ["Ærø", "利用者", "zoë@example.com", 'a,b;c="d"', "a\\u0041"]:
        for text in [issuer.claims(sub=subject), json.dumps(issuer.claims(sub=subject))]:
            answer = client.get("/", [bearer(issuer.token(text))])
            assert (answer.status, all_of(answer.arrived, SUBJECT_HEADER)) == (200, [subject])


def test_a_claim_that_no_header_can_carry_injects_nothing(issuer: Issuer, client: Client) -> None:
    for text in ["a\r\nx-auth-scope: admin", "a\nb", "a\n", " a", "a ", "a\tb", "a\0b", "\x7f", ""]:
        assert client.get("/", [bearer(issuer.token(issuer.claims(sub=text)))]).status == 401, repr(text)
    for text in ["a\r\nx-auth-scope: admin", "a\nb", "a\n", "a\tb", "a\0b", "\x7f"]:
        assert client.get("/", [bearer(issuer.token(issuer.claims(scope=text)))]).status == 401, repr(text)


def test_each_random_kid_costs_a_fetch_and_good_tokens_pass_all_the_same(
    issuer: Issuer, client: Client, figure: Callable[[str], None]
) -> None:
    # If this fails because there are fewer, the module has learned it. Update deploy/gateways/apache/gateway.conf
    # then.
    assert fetches_for_random_kids(issuer, client, "Apache", figure) >= 100


def test_an_rsa_key_verifies_no_hmac(authority: Authority, service: Service) -> None:
    issuer = Issuer("RS256", authority.certificate())
    apache = Apache(issuer.issuer, authority, service)
    client = Client(apache.port)
    try:
        assert_an_rsa_key_verifies_none_of(["PS256", "ES256", "none", "rs256", None], issuer, client)
    finally:
        client.close()
        apache.stop()
        issuer.stop()


def tls(authority: Authority) -> dict[str, str]:
    """The settings of a sidecar whose JWKS has a certificate of this authority."""
    certificate = authority.certificate()
    return {"tls_cert_file": str(certificate.file), "tls_key_file": str(certificate.key_file)}


def test_no_good_token_is_refused_through_three_rotations_under_load(
    authority: Authority, service: Service, figure: Callable[[str], None]
) -> None:
    # The module keeps keys for at least 5 min, so here only the unknown kid makes it fetch the next key.
    with after_rotations("Apache", lambda s: Apache(s.issuer, authority, service), figure, **tls(authority)):
        pass


def test_without_the_sidecar_apache_goes_on_with_the_keys_that_it_has(
    authority: Authority, service: Service, figure: Callable[[str], None]
) -> None:
    mortal = Sidecar(algorithm="ES256", **tls(authority))
    apache = Apache(mortal.issuer, authority, service)
    client = Client(apache.port)
    try:
        good = mortal.sign(CLAIMS)["token"]
        assert statuses(client, good) == {200}
        mortal.pause()
        began = time.monotonic()
        assert random_kids(None, client, 1) == {401}
        took = time.monotonic() - began
        assert statuses(client, good) == {200}
        mortal.resume()
        # OIDCHTTPTimeoutLong is 1 s; a busy machine adds the rest.
        assert took < 5
        figure(f"Apache: a token of an unknown kid waits {took:.1f} s while the sidecar hangs; good ones do not")
        mortal.kill()
        assert (statuses(client, good), random_kids(None, client, 5)) == ({200}, {401})
        mortal.revive()
        assert statuses(client, mortal.sign(CLAIMS)["token"]) == {200}
    finally:
        client.close()
        apache.stop()
        assert mortal.stop() == 0
