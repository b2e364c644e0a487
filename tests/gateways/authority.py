"""A certificate authority for the tests, and servers with its certificates, good and bad ones."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from program import LOOPBACK

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
FOR_CERTIFICATES = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, the other certificates that it sends, and its private key, as files."""

    file: Path
    key_file: Path

    def context(self, adapt: Callable[[ssl.SSLContext], None] = lambda _: None) -> ssl.SSLContext:
        """The TLS context of a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key_file)
        adapt(context)
        return context


class Authority:
    """A certificate authority. `ca_file` names its certificate."""

    def __init__(
        self, directory: Path, name: str = "authority", parent: Authority | None = None, vouches: bool = True
    ) -> None:
        """Without `vouches`, the server has signed its certificate itself."""
        directory.mkdir(exist_ok=True)
        self.directory, self.name = directory, name
        self._numbers = itertools.count(1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.subject = common_name(name)
        builder = (parent or self)._builder(self.subject, self._key, (-DAY, DAY), LOOPBACK)
        if vouches:
            builder = builder.add_extension(FOR_CERTIFICATES, critical=True)
        constraints = x509.BasicConstraints(ca=vouches, path_length=None)
        self._certificate = builder.add_extension(constraints, critical=True).sign((parent or self)._key, hashes.SHA256())
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self.pem)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._certificate.public_bytes(PEM)

    def certificate(
        self,
        name: str | None = LOOPBACK,
        life: tuple[datetime.timedelta, datetime.timedelta] = (-DAY, DAY),
        sends: tuple[Authority, ...] = (),
    ) -> Certificate:
        """A certificate for a server with this name, or without a name. `life` is relative to now; `sends` are sent
        along."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(common_name("issuer of the tests"), key, life, name)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = self.directory / f"{self.name}-{next(self._numbers)}"
        made = Certificate(path.with_suffix(".crt"), path.with_suffix(".key"))
        made.file.write_bytes(certificate.public_bytes(PEM) + b"".join(authority.pem for authority in sends))
        write_private(key, made.key_file)
        return made

    def as_server(self) -> Certificate:
        """Its own certificate as that of a server, which is what `openssl req -x509` makes by default."""
        key_file = self.directory / f"{self.name}.key"
        write_private(self._key, key_file)
        return Certificate(self.file, key_file)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        life: tuple[datetime.timedelta, datetime.timedelta],
        name: str | None,
    ) -> x509.CertificateBuilder:
        """As RFC 5280 §4.2.1 requires and Python 3.13 checks."""
        now = datetime.datetime.now(datetime.UTC)
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        theirs = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + life[0])
            .not_valid_after(now + life[1])
            .add_extension(ours, critical=False)
            .add_extension(theirs, critical=False)
        )
        if name:
            builder = builder.add_extension(x509.SubjectAlternativeName([general_name(name)]), critical=False)
        return builder


def common_name(name: str) -> x509.Name:
    """The subject of a certificate."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def general_name(name: str) -> x509.GeneralName:
    """A host in a certificate."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_private(key: ec.EllipticCurvePrivateKey, file: Path) -> None:
    """Writes a private key in PEM, readable only by its owner."""
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
