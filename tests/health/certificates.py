"""Certificates with every fault, and TLS servers that show them."""

import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NAME = "mta1.out.example.com"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Somebody who signs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def name(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def trusted_in(self, folder: Path) -> Path:
        """Write what a client must have to trust it."""
        file = folder / "authority.pem"
        file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return file


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _unsigned(subject: str, issuer: str, since: datetime, until: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )


def authority(
    name: str = "Test Authority", signer: Authority | None = None, *, days: float = 365
) -> Authority:
    """Return an authority that signs itself, or that another has signed, with so many days left."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    issuer = name if signer is None else signer.name
    certificate = (
        _unsigned(name, issuer, now - 30 * DAY, now + days * DAY)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key if signer is None else signer.key, hashes.SHA256())
    )
    return Authority(key, certificate)


def server(
    folder: Path,
    signer: Authority | None,
    *,
    names: tuple[str, ...] = (NAME,),
    since: float = -10,
    days: float = 90,
    rsa_key: bool = False,
    chain: tuple[Authority, ...] = (),
) -> ssl.SSLContext:
    """Return the TLS of a server.

    Args:
        folder: for its files.
        signer: None makes it sign itself.
        names: what its certificate is good for; addresses too.
        since: days from now.
        days: how many are left.
        rsa_key: whether its key is for RSA, as old ciphers need.
        chain: whose certificates it shows behind its own.

    """
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = ec.generate_private_key(ec.SECP256R1())
    if rsa_key:
        key = rsa.generate_private_key(65537, 2048)
    now = datetime.now(UTC)
    issuer = names[0] if signer is None else signer.name
    alternative = [
        x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    certificate = (
        _unsigned(names[0], issuer, now + since * DAY, now + days * DAY)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .sign(key if signer is None else signer.key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
        + b"".join(one.certificate.public_bytes(serialization.Encoding.PEM) for one in chain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def only(context: ssl.SSLContext, version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    """Have a server know one version of TLS and some ciphers, however old."""
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return context
