"""The gateways that verify tokens themselves with Signet's JWKS, with the configurations of deploy/gateways, and what
their tests do to all of them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from authority import Authority
from identity import bearer
from load import POLICY, rotate_under_load
from own_issuer import Issuer, base64url
from processes import Client, Service, adapted
from program import LOOPBACK, ROOT, Program, answers, free_port
from sidecar import Sidecar
from trouble import statuses

HAPROXY = ROOT / "deploy/gateways/haproxy"
APACHE_CONF = ROOT / "deploy/gateways/apache/gateway.conf"
KRAKEND_JSON = ROOT / "deploy/gateways/krakend/krakend.json"
# The program in krakend/, which tests/run.sh builds.
KRAKEND = os.environ.get("SIGNET_TEST_KRAKEND")


class Refresher(Program):
    """signet_keys.py, which provides HAProxy with keys."""

    name = "signet-keys"

    def __init__(self, script: Sequence[str | Path], at_most: float, reload: str) -> None:
        self._command = [*script, "--at-most", str(at_most), "--", "sh", "-c", reload]
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        return self._command

    def is_ready(self) -> bool:
        return "was reloaded" in self.log()


class HAProxy(Program):
    """HAProxy with the JWKS of an issuer, and the program that provides its keys at most this many seconds apart."""

    name = "haproxy"

    def __init__(self, issuer: str, service: Service, at_most: float = 300.0) -> None:
        self._issuer, self._service = issuer, service
        super().__init__()
        # This is what `systemctl reload haproxy` does.
        reload = f"{shlex.join([*self._haproxy, '-c', '-q'])} && kill -USR2 {self._process.pid}"
        self.refresher = Refresher(self.script, at_most, reload)

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        self.keys = self.directory / "keys"
        haproxy, gateway = self.directory / "haproxy.cfg", self.directory / "gateway.cfg"
        admin = self.directory / "admin.sock"
        haproxy.write_text(adapted(HAPROXY / "haproxy.cfg", [("/run/haproxy/admin.sock", admin)]))
        gateway.write_text(
            adapted(
                HAPROXY / "gateway.cfg",
                [
                    ("bind :10000", f"bind {LOOPBACK}:{self.port}"),
                    ("-m str http://localhost:8080", f"-m str {self._issuer}"),
                    ("server service 127.0.0.1:8000", f"server service {LOOPBACK}:{self._service.port}"),
                ],
            )
        )
        jwks = f"{self._issuer}/.well-known/jwks.json"
        self.script: list[str | Path] = [sys.executable, HAPROXY / "signet_keys.py", jwks, self.keys]
        subprocess.run([*self.script, "--once"], check=True)
        self._haproxy = ["haproxy", "-W", "-f", str(haproxy), "-f", str(self.keys / "keys.cfg"), "-f", str(gateway)]
        return self._haproxy

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.port}/public/")

    def stop(self) -> int:
        if hasattr(self, "refresher"):
            self.refresher.stop()
        return super().stop()


class Apache(Program):
    """Apache with the JWKS of an issuer, whose listener has a certificate of this authority."""

    name = "apache"

    def __init__(self, issuer: str, authority: Authority, service: Service) -> None:
        self._issuer, self._authority, self._service = issuer, authority, service
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        # Apache drops root before it reads the certificate.
        self.directory.chmod(0o755)
        (self.directory / "ca.pem").write_bytes(self._authority.pem)
        configuration = self.directory / "gateway.conf"
        configuration.write_text(
            adapted(
                APACHE_CONF,
                [
                    ("/run/apache2/apache2.pid", self.directory / "pid"),
                    ("DefaultRuntimeDir /run/apache2", f"DefaultRuntimeDir {self.directory}"),
                    ("/dev/stderr", self._log),
                    ("/dev/stdout", self.directory / "access.log"),
                    ("Listen 10000", f"Listen {LOOPBACK}:{self.port}"),
                    ("https://127.0.0.1:8080/", f"{self._issuer.replace('http:', 'https:')}/"),
                    ("/etc/signet/ca.pem", self.directory / "ca.pem"),
                    ("iss:http://localhost:8080", f"iss:{self._issuer}"),
                    ("http://127.0.0.1:8000/", f"http://{LOOPBACK}:{self._service.port}/"),
                ],
            )
        )
        return ["apache2", "-f", configuration, "-DFOREGROUND"]

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.port}/public/")


class KrakenD(Program):
    """KrakenD's engine and validator with the JWKS of an issuer, which it caches for this time in seconds."""

    name = "krakend"

    def __init__(self, issuer: str, service: Service, cache_duration: int = 600, algorithm: str = "ES256") -> None:
        self._issuer, self._service, self._cache_duration, self._algorithm = issuer, service, cache_duration, algorithm
        super().__init__()

    def command(self) -> Sequence[str | Path]:
        self.port = free_port()
        configuration = self.directory / "krakend.json"
        configuration.write_text(
            adapted(
                KRAKEND_JSON,
                [
                    ('"port": 10000', f'"listen_ip": "{LOOPBACK}", "port": {self.port}'),
                    ('"jwk_url": "http://127.0.0.1:8080/', f'"jwk_url": "{self._issuer}/'),
                    ('"issuer": "http://localhost:8080"', f'"issuer": "{self._issuer}"'),
                    ('"http://127.0.0.1:8000"', f'"http://{LOOPBACK}:{self._service.port}"'),
                    ('"cache_duration": 600', f'"cache_duration": {self._cache_duration}'),
                    ('"alg": "ES256"', f'"alg": "{self._algorithm}"'),
                ],
            )
        )
        return [KRAKEND or "krakend", configuration]

    def is_ready(self) -> bool:
        return answers(f"http://{LOOPBACK}:{self.port}/__health")


def has(program: str) -> bool:
    """Whether the program is installed. For Apache, this includes its module."""
    module = program != "apache2" or Path("/usr/lib/apache2/modules/mod_auth_openidc.so").is_file()
    return module and shutil.which(program) is not None


def missing(program: str, name: str, how: str) -> pytest.MarkDecorator:
    """Skips tests with a message if the program is not installed. In CI, they fail."""
    lacks = not has(program) and not os.environ.get("CI")
    return pytest.mark.skipif(lacks, reason=f"LEFT OUT: {name}: this machine has no {program} (Debian: {how})")


def random_kids(issuer: Issuer | None, client: Client, times: int) -> set[int]:
    """Sends tokens with unknown kids."""
    stranger = issuer or Issuer()
    kids = [base64url(os.urandom(32)) for _ in range(times)]
    found = {client.get("/orders", [bearer(stranger.token(stranger.claims(), kid=kid))]).status for kid in kids}
    if stranger is not issuer:
        stranger.stop()
    return found


def fetches_for_random_kids(issuer: Issuer, client: Client, name: str, figure: Callable[[str], None]) -> int:
    """How often 100 tokens with unknown kids make a gateway fetch the keys. Good tokens are accepted before and
    after."""
    good, before = issuer.token(issuer.claims()), issuer.fetches
    assert statuses(client, good) == {200}
    assert issuer.fetches - before <= 1
    began, before = time.monotonic(), issuer.fetches
    assert random_kids(issuer, client, 100) == {401}
    fetches, took = issuer.fetches - before, time.monotonic() - began
    assert statuses(client, good) == {200}
    figure(f"{name}: 100 tokens of random kids make it fetch the keys {fetches} times, {took * 10:.1f} ms each")
    return fetches


def assert_an_rsa_key_verifies_none_of(algorithms: Sequence[str | None], issuer: Issuer, client: Client) -> None:
    """A gateway with an issuer's RSA key accepts its RS256 tokens, but no HMAC and no token that names one of these
    algorithms."""
    assert client.get("/orders", [bearer(issuer.token(issuer.claims()))]).status == 200
    for number, secret in enumerate(issuer.public_forms()):
        for algorithm in ["HS256", "RS256"]:
            token = issuer.token(issuer.claims(), secret, alg=algorithm)
            assert client.get("/orders", [bearer(token)]).status == 401, (number, algorithm)
    for other in algorithms:
        assert client.get("/orders", [bearer(issuer.token(issuer.claims(), alg=other))]).status == 401, other


class Gateway(Protocol):
    """A gateway in front of a service."""

    port: int

    def stop(self) -> int: ...


G = TypeVar("G", bound=Gateway)


@contextmanager
def after_rotations(
    name: str, start: Callable[[Sidecar], G], figure: Callable[[str], None], **settings: str
) -> Iterator[tuple[Sidecar, G]]:
    """A gateway and its sidecar after three rotations under load."""
    sidecar = Sidecar(algorithm="ES256", **POLICY, **settings)
    gateway = start(sidecar)
    try:
        rotate_under_load(name, sidecar, {name: gateway.port}, figure)
        yield sidecar, gateway
    finally:
        gateway.stop()
        assert sidecar.stop() == 0
