"""A provider over https: which authorities are trusted, what happens if none is, and the texts about it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authority import DAY, Authority
from faults import altered
from keys import Key
from program import LOOPBACK, free_port, wait_until
from provider import AUDIENCE, Issuer
from proxy import DISCOVERY, JWKS
from sidecar import binary
from trust import ACCEPTED, CHECK_LIMIT, UNAVAILABLE, Trusting, settings_file

LIMIT = 30.0
# EX_USAGE, EX_TEMPFAIL and EX_CONFIG (sysexits.h).
USAGE, TEMPORARY, CONFIGURATION = 64, 75, 78


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority for the provider's certificate."""
    return Authority(tmp_path)


@pytest.fixture
def issuer(provider: Callable[..., Issuer], authority: Authority) -> Issuer:
    """A provider over https."""
    return provider(tls=authority.certificate().context())


def trusted(issuer: Issuer, ca_file: Path | None, **others: Any) -> dict[str, dict[str, Any]]:
    """The issuer's table, with its authority."""
    return {issuer.name: ({"ca_file": str(ca_file)} if ca_file else {}) | others}


def test_with_its_authority_tokens_of_a_provider_over_https_are_accepted_at_each_door(
    issuer: Issuer, authority: Authority, trusting: Callable[..., Trusting]
) -> None:
    assert issuer.name.startswith("https://")
    sidecar = trusting(issuer, tables=trusted(issuer, authority.file))
    assert {alg: sidecar.doors.all(issuer.token(alg)).word for alg in ("RS256", "ES256")} == dict.fromkeys(
        ["RS256", "ES256"], ACCEPTED
    )
    assert issuer.proxy.seen(DISCOVERY) and issuer.proxy.seen(JWKS)
    forged = Key.made("ec", "ES256").token(issuer.claims())
    assert sidecar.doors.all(forged).word == "bad_signature"
    code, answer = sidecar.check()
    assert code == 0, answer


def test_the_keys_may_be_at_a_url_over_https(
    issuer: Issuer, authority: Authority, trusting: Callable[..., Trusting]
) -> None:
    sidecar = trusting(issuer, tables=trusted(issuer, authority.file, jwks_url=issuer.name + JWKS))
    assert sidecar.doors.all(issuer.token()).word == ACCEPTED
    assert not issuer.proxy.seen(DISCOVERY)


def test_a_certificate_of_an_authority_between_is_good_if_that_one_is_sent_along(
    provider: Callable[..., Issuer], authority: Authority, tmp_path: Path, trusting: Callable[..., Trusting]
) -> None:
    between = Authority(tmp_path, "between", authority)
    issuer = provider(tls=between.certificate(sends=(between,)).context())
    assert trusting(issuer, tables=trusted(issuer, authority.file)).doors.all(issuer.token()).word == ACCEPTED


def test_a_certificate_may_vouch_for_itself_if_it_is_none_of_an_authority(
    provider: Callable[..., Issuer], tmp_path: Path, trusting: Callable[..., Trusting]
) -> None:
    alone = Authority(tmp_path, "alone", vouches=False)
    issuer = provider(tls=alone.as_server().context())
    assert trusting(issuer, tables=trusted(issuer, alone.file)).doors.all(issuer.token()).word == ACCEPTED


def only(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    """A server that supports only this version of TLS, even one that OpenSSL considers unsafe."""

    def adapt(context: ssl.SSLContext) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")

    return adapt


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_is_enough(
    issuer: Issuer, authority: Authority, trusting: Callable[..., Trusting], version: ssl.TLSVersion
) -> None:
    issuer.proxy.speak(authority.certificate().context(only(version)))
    assert trusting(issuer, tables=trusted(issuer, authority.file)).doors.all(issuer.token()).word == ACCEPTED


def trouble(
    kind: str, authority: Authority, other: Authority
) -> tuple[ssl.SSLContext | None, Path | None, str]:
    """The server's TLS context, the trusted authorities, and the expected text."""
    of_name = Authority(authority.directory / "again", authority.name)
    between = Authority(authority.directory, "between", authority)
    good, ours = authority.certificate().context(), authority.file
    return {
        "no ca_file": (good, None, "no authority that this machine trusts has signed the server's certificate; set ca_file"),
        "another authority": (good, other.file, f"none of the authorities in {other.file} has signed the server's certificate"),
        "an authority made anew": (good, of_name.file, f"has the name of one in {of_name.file}, but another key"),
        "without the one between": (between.certificate().context(), ours, "does not send its intermediate certificates"),
        "another name": (
            authority.certificate("login.example.com").context(),
            ours,
            f'certificate is not for {LOOPBACK}, but for DnsName("login.example.com")',
        ),
        "no name": (authority.certificate(None).context(), ours, f"not for {LOOPBACK}, but for no name"),
        "expired": (authority.certificate(life=(-2 * DAY, -DAY)).context(), ours, "expired at 20"),
        "not yet good": (authority.certificate(life=(DAY, 2 * DAY)).context(), ours, "check the clock of this machine"),
        "the authority's own": (authority.as_server().context(), ours, "a CA certificate (CA:TRUE)"),
        "plain HTTP": (None, ours, "does not speak TLS"),
        "TLS 1.0": (authority.certificate().context(only(ssl.TLSVersion.TLSv1)), ours, "neither TLS 1.2 nor TLS 1.3"),
        "TLS 1.1": (authority.certificate().context(only(ssl.TLSVersion.TLSv1_1)), ours, "neither TLS 1.2 nor TLS 1.3"),
    }[kind]


TROUBLES = [
    "no ca_file",
    "another authority",
    "an authority made anew",
    "without the one between",
    "another name",
    "no name",
    "expired",
    "not yet good",
    "the authority's own",
    "plain HTTP",
    "TLS 1.0",
    "TLS 1.1",
]


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_provider_for_which_nobody_vouches_is_not_asked_and_the_reason_is_said(
    issuer: Issuer, authority: Authority, tmp_path: Path, trusting: Callable[..., Trusting], kind: str
) -> None:
    tls, ca_file, said = trouble(kind, authority, Authority(tmp_path, "other"))
    issuer.proxy.speak(tls)
    sidecar = trusting(issuer, tables=trusted(issuer, ca_file))
    for token in [issuer.token(), issuer.token("RS256"), Key.made("ec", "ES256").token(issuer.claims())]:
        assert sidecar.doors.all(token).word == UNAVAILABLE
    assert sidecar.doors.all(sidecar.own()).word == ACCEPTED
    wait_until(lambda: sidecar.failed_fetches(issuer) >= 3, LIMIT, "three failures")
    assert not issuer.proxy.seen(), "something was asked of it"
    assert said in sidecar.readiness().replace('\\"', '"')
    # Logged once, although it fails repeatedly.
    assert sidecar.log().replace('\\"', '"').count(said) == 1
    code, answer = sidecar.check()
    assert (code, said in answer) == (TEMPORARY, True), answer
    issuer.proxy.speak(authority.certificate().context())
    if ca_file == authority.file:
        wait_until(lambda: sidecar.doors.ask("verify", issuer.token()).word == ACCEPTED, LIMIT, "accepted")


def test_what_old_servers_speak_is_spoken_here(issuer: Issuer, authority: Authority) -> None:
    # Otherwise it would be clear why nobody connects.
    for version in [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]:
        issuer.proxy.speak(authority.certificate().context(only(version)))
        client = ssl.create_default_context(cafile=authority.file)
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        only(version)(client)
        with client.wrap_socket(socket.create_connection((LOOPBACK, issuer.proxy.port)), server_hostname=LOOPBACK) as tls:
            assert tls.version() == {ssl.TLSVersion.TLSv1: "TLSv1", ssl.TLSVersion.TLSv1_1: "TLSv1.1"}[version]


def test_a_certificate_that_ends_leaves_the_last_keys_in_use(
    issuer: Issuer, authority: Authority, trusting: Callable[..., Trusting]
) -> None:
    sidecar = trusting(issuer, tables=trusted(issuer, authority.file))
    token = issuer.token()
    assert sidecar.doors.all(token).word == ACCEPTED
    issuer.proxy.speak(authority.certificate(life=(-2 * DAY, -DAY)).context())
    issuer.publish(issuer.keys[0], Key.made("ec-2", "ES256"))
    wait_until(lambda: sidecar.failed_fetches(issuer) >= 2, LIMIT, "two failures")
    assert sidecar.doors.all(token).word == ACCEPTED
    assert sidecar.doors.all(issuer.token()).word == "unknown_key"
    assert "expired at 20" in sidecar.readiness()
    issuer.proxy.speak(authority.certificate().context())
    wait_until(lambda: sidecar.doors.ask("verify", issuer.token()).word == ACCEPTED, LIMIT, "the new key is known")
    assert "expired at" not in sidecar.readiness()


def test_the_authority_of_one_issuer_does_not_vouch_for_another(
    provider: Callable[..., Issuer], authority: Authority, tmp_path: Path, trusting: Callable[..., Trusting]
) -> None:
    other = Authority(tmp_path, "other")
    first, second = (provider(tls=each.certificate().context()) for each in (authority, other))
    for crossed, word in [(False, ACCEPTED), (True, UNAVAILABLE)]:
        files = [other.file, authority.file] if crossed else [authority.file, other.file]
        sidecar = trusting(first, second, tables=trusted(first, files[0]) | trusted(second, files[1]))
        assert [sidecar.doors.all(each.token()).word for each in (first, second)] == [word] * 2


def test_the_authorities_of_the_machine_vouch_for_it_unless_there_is_a_ca_file(
    issuer: Issuer,
    authority: Authority,
    tmp_path: Path,
    trusting: Callable[..., Trusting],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Authority(tmp_path, "other")
    # OpenSSL looks here for the machine's authorities.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert trusting(issuer).doors.all(issuer.token()).word == ACCEPTED
    assert trusting(issuer, tables=trusted(issuer, other.file)).doors.all(issuer.token()).word == UNAVAILABLE
    both = tmp_path / "both.pem"
    both.write_bytes(b"# Two of them\n" + other.pem + authority.pem)
    assert trusting(issuer, tables=trusted(issuer, both)).doors.all(issuer.token()).word == ACCEPTED


def test_keys_over_plain_http_elsewhere_are_not_taken(
    issuer: Issuer, authority: Authority, trusting: Callable[..., Trusting]
) -> None:
    issuer.proxy.misbehave(altered(lambda found: {**found, "jwks_uri": "http://192.0.2.1/jwks"}), DISCOVERY)
    sidecar = trusting(issuer, tables=trusted(issuer, authority.file))
    assert sidecar.doors.all(issuer.token()).word == UNAVAILABLE
    assert "is not https, so an attacker on the network could send other keys" in sidecar.readiness()


def started(directory: Path, issuer: str, command: str = "serve", **table: str) -> tuple[int, str]:
    """Runs a command that fails early. Returns its exit code and text."""
    ours = {
        "CONFIG": settings_file(directory, {issuer: table}),
        "ISSUER": "http://localhost",
        "AUDIENCE": AUDIENCE,
        "TRUSTED_ISSUERS": issuer,
        "LISTEN": f"{LOOPBACK}:{free_port()}",
        "ADMIN_LISTEN": f"{LOOPBACK}:{free_port()}",
        "SOCKET": directory / "s.sock",
        "DATA_DIR": directory / "data",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNET_")}
    environment |= {f"SIGNET_{name}": str(value) for name, value in ours.items()}
    done = subprocess.run([binary(), command], env=environment, capture_output=True, text=True, timeout=CHECK_LIMIT)
    return done.returncode, done.stdout + done.stderr


GARBAGE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "has no certificate in PEM"),
        (b"# soon\n", "has no certificate in PEM"),
        ("key", "has no certificate in PEM"),
        ("DER", "has no certificate in PEM"),
        (b"\x00\xff" * 1000, "has no certificate in PEM"),
        ("half", "has a certificate that cannot be used"),
        (GARBAGE, "has a certificate that cannot be used"),
        ("good and garbage", "has a certificate that cannot be used"),
    ],
    ids=["missing", "empty", "a comment", "a private key", "DER", "octets", "half", "garbage", "one of two is garbage"],
)
def test_a_ca_file_that_names_nobody_ends_the_start(
    authority: Authority, tmp_path: Path, content: bytes | str | None, said: str
) -> None:
    made = {
        "key": authority.as_server().key_file.read_bytes(),
        "DER": ssl.PEM_cert_to_DER_cert(authority.pem.decode()),
        "half": authority.pem[: len(authority.pem) // 2],
        "good and garbage": authority.pem + GARBAGE,
    }
    octets = made[content] if isinstance(content, str) else content
    ca_file = tmp_path / "ca.pem"
    if octets is not None:
        ca_file.write_bytes(octets)
    for command in ["serve", "check"]:
        code, text = started(tmp_path, "https://login.example.com/", command, ca_file=str(ca_file))
        assert (code, said in text) == (CONFIGURATION, True), text
        assert f"ca_file of the trusted issuer https://login.example.com/, {ca_file}, " in text
        assert "PRIVATE KEY" not in text


def test_a_machine_without_authorities_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    code, text = started(tmp_path, "https://login.example.com/")
    assert (code, "ca-certificates" in text) == (CONFIGURATION, True), text


@pytest.mark.parametrize(
    ("issuer", "table"),
    [
        ("http://login.example.com/", {}),
        ("http://192.0.2.1:8080", {}),
        ("https://login.example.com/", {"jwks_url": "http://login.example.com/jwks"}),
        ("https://login.example.com/", {"discovery_url": "http://login.example.com/found"}),
    ],
)
def test_keys_are_not_asked_for_over_plain_http_elsewhere(tmp_path: Path, issuer: str, table: dict[str, str]) -> None:
    code, text = started(tmp_path, issuer, **table)
    assert (code, "is not https, so an attacker on the network could send other keys" in text) == (USAGE, True), text
