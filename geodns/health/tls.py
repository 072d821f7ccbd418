"""TLS of a probe: a context that takes every certificate, one that does not, and what a certificate says."""

import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache, lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from geodns.health.outcome import Certificate, Encryption, one_line
from geodns.model.checks import Check, Target

MAX_NAME = 100
"""Characters of a subject or issuer that are kept."""

_PROBLEMS = {
    9: "not yet valid",
    10: "expired",
    18: "self-signed",
    19: "unknown issuer",  # self-signed too, but at the end of a chain
    20: "unknown issuer",
    21: "unknown issuer",
    62: "wrong name",
    64: "wrong name",  # of an address
}
"""OpenSSL's numbers (x509_vfy.h); it says anything else in its own words."""

NO_AUTHORITY = "trouble of the prober's own: the system trusts no authority: install ca-certificates"

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""How OpenSSL finds an authority in a folder."""

_HANDSHAKES: ContextVar[list[ssl.SSLObject]] = ContextVar("handshakes")


class _Remembering(ssl.SSLObject):
    """Keeps the certificate that it refuses: the operator wants to know whose it was."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            error.__dict__["refused"] = _shown(self)
            raise
        if (seen := _HANDSHAKES.get(None)) is not None:
            seen.append(self)


@contextmanager
def handshakes(seen: list[ssl.SSLObject]) -> Iterator[None]:
    """Gather the handshakes made within: aiohttp lets go of a connection before one can look at it."""
    token = _HANDSHAKES.set(seen)
    try:
        yield
    finally:
        _HANDSHAKES.reset(token)


def _shown(connection: Any) -> bytes | None:
    """Return the certificate that the other end has shown, before the handshake is done."""
    # Public from Python 3.13 on; before it, the same method of the object inside.
    inner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj  # noqa: SLF001 - see above
    try:
        first = inner.get_unverified_chain()[0]
    except (AttributeError, ValueError, TypeError, LookupError):
        return None
    return first if isinstance(first, bytes) else ssl.PEM_cert_to_DER_cert(first.public_bytes())


@cache
def context(*, verify: bool) -> ssl.SSLContext:
    """Return the TLS of a client.

    Args:
        verify: whether the certificate must be signed by somebody whom the system trusts, and good for the
            host's name; else every certificate will do, as for a mail server that encrypts if it can.

    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.sslobject_class = _Remembering
    if verify:
        made.load_default_certs()
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def encryption_of(connection: ssl.SSLObject, name: str | None) -> Encryption:
    """Return the TLS of a connection whose handshake is done.

    Args:
        connection: asyncio's ``ssl_object``.
        name: the one that the certificate should be good for; None if that is unknown.

    """
    cipher = connection.cipher()
    shown = connection.getpeercert(binary_form=True)
    certificate = None if shown is None else certificate_of(shown, name, time.time())
    return Encryption(connection.version(), None if cipher is None else cipher[0], certificate)


def refused_by(error: Exception) -> Encryption:
    """Return the TLS that did not come about because of the certificate; Python's error knows why."""
    assert isinstance(error, ssl.SSLCertVerificationError)
    problem = _PROBLEMS.get(error.verify_code, one_line(error.verify_message.lower(), MAX_NAME))
    shown = getattr(error, "refused", None)
    certificate = None if shown is None else certificate_of(shown, None, time.time())
    if certificate is None:
        certificate = Certificate("", "", 0.0, 0.0)
    elif problem in {"expired", "not yet valid"} and certificate.problem != problem:
        problem = f"{problem}, the one of its issuer"
    return Encryption(None, None, replace(certificate, problem=problem))


def by_our_fault(refused: Encryption) -> Encryption | None:
    """Return what was seen of a certificate that was refused as this machine trusts nobody; else None."""
    certificate = refused.certificate
    if certificate is None or certificate.problem != "unknown issuer":
        return None
    if context(verify=True).cert_store_stats()["x509"]:
        return None
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath).split(os.pathsep)
    if any(map(_has_authorities, folders)):
        return None
    context.cache_clear()  # it has read its file of authorities once: there may be one when it is made anew
    return replace(refused, certificate=replace(certificate, problem=None))


def _has_authorities(folder: str) -> bool:
    try:
        return any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir())
    except OSError:
        return False


def certificate_of(der: bytes, name: str | None, now: float) -> Certificate | None:
    """Return what a certificate says, and what can be seen of its faults without its chain.

    Args:
        der: its bytes.
        name: the one that it should be good for; None if that is unknown.
        now: seconds since the epoch.

    """
    parsed = _parsed(der)
    if parsed is None:
        return None
    certificate, names, self_signed = parsed
    problem = None
    if now > certificate.not_after:
        problem = "expired"
    elif now < certificate.not_before:
        problem = "not yet valid"
    elif self_signed:
        problem = "self-signed"
    elif name is not None and not any(_fits(name, one) for one in names):
        problem = "wrong name"
    return replace(certificate, problem=problem)


def describe(encryption: Encryption) -> str:
    """Return the TLS of a connection as one line."""
    what = f"{encryption.version} {encryption.cipher}"
    certificate = encryption.certificate
    return what if certificate is None else f"{what}, certificate: {describe_certificate(certificate)}"


def describe_certificate(certificate: Certificate) -> str:
    """Return a certificate as one line, its problem first."""
    problem = f"{certificate.problem}: " if certificate.problem else ""
    if not certificate.not_after:
        return f"{problem}it cannot be read"
    since, until = (
        time.strftime("%Y-%m-%d", time.gmtime(when))
        for when in (certificate.not_before, certificate.not_after)
    )
    return f"{problem}{certificate.subject}, issued by {certificate.issuer}, good from {since} to {until}"


def complaint(encryption: Encryption) -> str:
    """Return what is wrong with a refused certificate."""
    certificate = encryption.certificate
    return "the certificate" if certificate is None else f"certificate {describe_certificate(certificate)}"


def too_old(check: Check, encryption: Encryption, now: float) -> str | None:
    """Return what is wrong with a good certificate that has too few days left; None: nothing is.

    Args:
        check: only one that verifies certificates takes a host out for that.
        encryption: what was found.
        now: seconds since the epoch.

    """
    certificate = encryption.certificate
    if not check.verifies or certificate is None or certificate.not_after - now >= check.cert_critical:
        return None
    left = certificate.days_left(now)
    return f"certificate expires in {left:.1f} days, under cert_critical: {describe_certificate(certificate)}"


def certificate_json(certificate: Certificate, now: float) -> dict[str, str | float | None]:
    """Return a certificate as the status and `geodns probe` show it; what could not be read is None.

    Args:
        certificate: what it says.
        now: seconds since the epoch.

    """
    read = bool(certificate.not_after)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(certificate.not_after))
    return {
        "subject": certificate.subject if read else None,
        "issuer": certificate.issuer if read else None,
        "not_after": until if read else None,
        "days_left": round(certificate.days_left(now), 1) if read else None,
        "problem": certificate.problem,
    }


def warning_of(target: Target, certificate: Certificate, now: float) -> str | None:
    """Return what an operator should know of a certificate; None: nothing.

    A fault beside its dates is told only where the check verifies: most servers that send mail do not look.

    Args:
        target: what showed it.
        certificate: what it says.
        now: seconds since the epoch.

    """
    where = f"certificate of {name_for(target)} at [{target.address}]:{target.port}"
    left = certificate.not_after - now
    if not certificate.not_after or (target.check.verifies and certificate.problem not in {None, "expired"}):
        return f"{where}: {certificate.problem}"
    if left < 0:
        return f"{where} expired {_days(-left)} ago: renew it"
    if left < target.check.cert_warning:
        return f"{where} expires in {_days(left)}: renew it"
    return None


def _days(seconds: float) -> str:
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 86400:.0f} days"


def name_for(target: Target) -> str:
    """Return the name that a target's certificate should be good for."""
    return target.check.sni or target.check.host or target.host or str(target.address)


@lru_cache(4096)
def _parsed(der: bytes) -> tuple[Certificate, tuple[str, ...], bool] | None:
    """Read a certificate: each is shown at every probe, so this is remembered."""
    try:
        read = x509.load_der_x509_certificate(der)
        names = _names(read)
        certificate = Certificate(
            _who(read.subject) or ", ".join(names)[:MAX_NAME],
            _who(read.issuer),
            read.not_valid_before_utc.timestamp(),
            read.not_valid_after_utc.timestamp(),
        )
    except (ValueError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension):
        return None
    return certificate, names, _is_self_signed(read)


def _who(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return one_line(text, MAX_NAME)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names that a certificate is good for: as for OpenSSL, the subject where no others stand."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(one_line(str(one.value)) for one in common)
    dns = alternative.get_values_for_type(x509.DNSName)
    return (*dns, *map(str, alternative.get_values_for_type(x509.IPAddress)))


def _is_self_signed(certificate: x509.Certificate) -> bool:
    if certificate.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _fits(name: str, pattern: str) -> bool:
    """Tell whether a certificate's name is good for another; ``*`` is one label (RFC 6125 section 6.4.3)."""
    name, pattern = name.lower().removesuffix("."), pattern.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return name == pattern
    first, _, rest = name.partition(".")
    return bool(first) and rest == pattern[2:] and not _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
