"""Makes TLS contexts, reads certificates and says what is wrong with them."""

import os
import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache, lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from geodns.health.outcome import MAX_DETAIL, Certificate, Encryption, ProbeOutcome, ProbeResult, one_line
from geodns.model.checks import Check, Target

MAX_NAME = 100
"""Characters of a subject or issuer."""

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
"""OpenSSL's numbers (x509_vfy.h); other problems are shown in its own words."""

NO_AUTHORITY = "trouble of the prober's own: the system trusts no authority: install ca-certificates"

EVERYTHING = "ALL:!PSK:!SRP:+aNULL:@SECLEVEL=0"
"""All ciphers of OpenSSL that need no secret, those without a certificate last: a sender that takes any
certificate encrypts with these too rather than not at all (RFC 7435)."""

_LEGACY_SERVER_CONNECT = 0x4
"""OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT, in ssl from Python 3.12 on: servers without RFC 5746."""

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The file names by which OpenSSL finds an authority in a folder."""

_HANDSHAKES: ContextVar[list[ssl.SSLObject]] = ContextVar("handshakes")


class _Remembering(ssl.SSLObject):
    """Keeps a refused certificate: the operator wants to know whose it was."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            error.__dict__["refused"] = _chain(self, verified=False)
            raise
        if (seen := _HANDSHAKES.get(None)) is not None:
            seen.append(self)


@contextmanager
def handshakes(seen: list[ssl.SSLObject]) -> Iterator[None]:
    """Collect the handshakes made within: aiohttp gives up a connection before its caller can look at it."""
    token = _HANDSHAKES.set(seen)
    try:
        yield
    finally:
        _HANDSHAKES.reset(token)


def _chain(connection: Any, *, verified: bool) -> tuple[bytes, ...]:
    """Return the other end's certificates, its own first: what it showed, or what was verified."""
    # Public from Python 3.13 on; before it, the same methods of the object inside.
    inner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj  # noqa: SLF001 - see above
    try:
        shown = inner.get_verified_chain() if verified else inner.get_unverified_chain()
    except (AttributeError, ValueError, TypeError, LookupError):
        return ()
    return tuple(
        one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in shown or ()
    )


@cache
def context(*, verify: bool) -> ssl.SSLContext:
    """Return the TLS context of a client.

    Args:
        verify: the certificate must be signed by an authority that the system trusts, and good for the
            host's name, and version and ciphers must be today's; else all will do that OpenSSL can, as for a
            mail server with opportunistic TLS.

    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.sslobject_class = _Remembering
    if verify:
        made.load_default_certs()
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.options |= _LEGACY_SERVER_CONNECT
        made.set_ciphers(EVERYTHING)
    return made


@cache
def _todays_ciphers() -> frozenset[str]:
    return frozenset(one["name"] for one in ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers())


def encryption_of(connection: ssl.SSLObject, name: str | None) -> Encryption:
    """Return the TLS of a connection whose handshake is done.

    Args:
        connection: asyncio's ``ssl_object``.
        name: what the certificate should be good for; None does not look.

    """
    cipher = connection.cipher()
    shown = connection.getpeercert(binary_form=True)
    chain = _chain(connection, verified=connection.context.verify_mode is ssl.CERT_REQUIRED)
    certificate = None if shown is None else certificate_of(shown, name, time.time(), chain[1:])
    version, suite = connection.version(), None if cipher is None else cipher[0]
    old = version in {"TLSv1", "TLSv1.1"} or (suite is not None and suite not in _todays_ciphers())
    return Encryption(version, suite, certificate, old)


def refused_by(error: Exception) -> Encryption:
    """Return the refused certificate of a `ssl.SSLCertVerificationError`, with its problem."""
    assert isinstance(error, ssl.SSLCertVerificationError)
    problem = _PROBLEMS.get(error.verify_code, one_line(error.verify_message.lower(), MAX_NAME))
    shown = getattr(error, "refused", ())
    certificate = certificate_of(shown[0], None, time.time(), shown[1:]) if shown else None
    if certificate is None:
        certificate = Certificate("", "", 0.0, 0.0)
    elif problem in {"expired", "not yet valid"} and (
        certificate.problem != problem or certificate.ends_with is not None
    ):
        problem = f"{problem}, the one of its issuer"
    return Encryption(None, None, replace(certificate, problem=problem))


def by_our_fault(refused: Encryption) -> Encryption | None:
    """Return a refused certificate without its problem if this machine trusts no authority, else None."""
    certificate = refused.certificate
    if certificate is None or certificate.problem != "unknown issuer":
        return None
    if context(verify=True).cert_store_stats()["x509"]:
        return None
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath).split(os.pathsep)
    if any(map(_has_authorities, folders)):
        return None
    context.cache_clear()  # a context reads the authorities once: the next one may find some
    return replace(refused, certificate=replace(certificate, problem=None))


def _has_authorities(folder: str) -> bool:
    try:
        return any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir())
    except OSError:
        return False


def certificate_of(
    der: bytes, name: str | None, now: float, chain: Sequence[bytes] = ()
) -> Certificate | None:
    """Return a certificate, with the problem that shows without verifying it; None if it cannot be read.

    Args:
        der: its bytes.
        name: what it should be good for; None does not look.
        now: seconds since the epoch.
        chain: the certificates that came with it.

    """
    parsed = _parsed(der)
    if parsed is None:
        return None
    certificate = _with_end_of_chain(parsed, [one for one in map(_parsed, chain) if one is not None])
    problem = None
    if now > certificate.not_after:
        problem = "expired"
    elif now < certificate.not_before:
        problem = "not yet valid"
    elif parsed.self_signed:
        problem = "self-signed"
    elif name is not None and not any(_fits(name, one) for one in parsed.names):
        problem = "wrong name"
    return replace(certificate, problem=problem)


def _with_end_of_chain(own: "_Parsed", others: list["_Parsed"]) -> Certificate:
    """Return a certificate with the earliest end among those above it; strangers do not count."""
    found, below = own.certificate, own
    while not below.self_signed:
        above = [one for one in others if one.subject == below.issuer]
        if not above:
            break
        below = max(above, key=lambda one: one.certificate.not_after)  # a root that another has signed too
        others = [one for one in others if one is not below]
        if below.certificate.not_after < found.not_after:
            found = replace(found, not_after=below.certificate.not_after, ends_with=below.certificate.subject)
    return found


def describe(encryption: Encryption) -> str:
    """Return the TLS of a connection as one line."""
    what = f"{encryption.version} {encryption.cipher}{' (old)' if encryption.old else ''}"
    certificate = encryption.certificate
    return what if certificate is None else f"{what}, certificate: {describe_certificate(certificate)}"


def with_remark(outcome: ProbeOutcome) -> ProbeOutcome:
    """Return an outcome; a good one says so if its TLS is old."""
    if outcome.kind is not ProbeResult.OK or outcome.tls is None or not outcome.tls.old:
        return outcome
    remark = f" (old TLS: {outcome.tls.version} {outcome.tls.cipher})"
    return replace(outcome, detail=one_line(outcome.detail, MAX_DETAIL - len(remark)) + remark)


def describe_certificate(certificate: Certificate) -> str:
    """Return a certificate as one line, its problem first."""
    problem = f"{certificate.problem}: " if certificate.problem else ""
    if not certificate.not_after:
        return f"{problem}it cannot be read"
    since, until = (
        time.strftime("%Y-%m-%d", time.gmtime(when))
        for when in (certificate.not_before, certificate.not_after)
    )
    end = f", the end of {certificate.ends_with} in its chain" if certificate.ends_with else ""
    return (
        f"{problem}{certificate.subject}, issued by {certificate.issuer}, good from {since} to {until}{end}"
    )


def complaint(encryption: Encryption) -> str:
    """Return what is wrong with a refused certificate."""
    certificate = encryption.certificate
    return "the certificate" if certificate is None else f"certificate {describe_certificate(certificate)}"


def too_old(check: Check, encryption: Encryption, now: float) -> str | None:
    """Return the failure if a verified certificate expires too soon (`cert_critical`), else None."""
    certificate = encryption.certificate
    if not check.verifies or certificate is None or certificate.not_after - now >= check.cert_critical:
        return None
    left = certificate.days_left(now)
    whose = f": {certificate.ends_with} in its chain" if certificate.ends_with else ""
    return (
        f"certificate{whose} expires in {left:.1f} days, under cert_critical: "
        f"{describe_certificate(certificate)}"
    )


def certificate_json(certificate: Certificate, now: float) -> dict[str, str | float | None]:
    """Return a certificate as the status and `geodns probe` show it; what could not be read is None."""
    read = bool(certificate.not_after)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(certificate.not_after))
    return {
        "subject": certificate.subject if read else None,
        "issuer": certificate.issuer if read else None,
        "not_after": until if read else None,
        "days_left": round(certificate.days_left(now), 1) if read else None,
        "problem": certificate.problem,
        "ends_with": certificate.ends_with,
    }


def warning_of(
    target: Target, certificate: Certificate, now: float, places: Sequence[Target] = ()
) -> str | None:
    """Return the warning that a target's certificate deserves, if any; `places` are all that show it.

    A fault beside its dates is one only where the check verifies: most servers that send mail do not look.
    """
    where = f"certificate of {name_for(target)} at {places_of(places or (target,))}"
    left = certificate.not_after - now
    if not certificate.not_after or (target.check.verifies and certificate.problem not in {None, "expired"}):
        return f"{where}: {certificate.problem}"
    advice = "renew it"
    if certificate.ends_with is not None:
        where = f"{where}: {certificate.ends_with} in its chain"
        advice = "install a newer chain"
    if left < 0:
        return f"{where} expired {_days(-left)} ago: {advice}"
    if left < target.check.cert_warning:
        return f"{where} expires in {_days(left)}: {advice}"
    return None


def places_of(targets: Sequence[Target]) -> str:
    """Return where targets are probed, in words."""
    return " and ".join(dict.fromkeys(f"[{one.address}]:{one.port}" for one in targets))


def _days(seconds: float) -> str:
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 86400:.0f} days"


def name_for(target: Target) -> str:
    """Return the name that a target's certificate must be good for, and SNI says where it is no address."""
    return target.check.sni or target.check.host or target.host or str(target.address)


class _Parsed(NamedTuple):
    """A certificate as it is read: what is shown, the names it is good for, and who signed it."""

    certificate: Certificate
    names: tuple[str, ...]
    self_signed: bool
    subject: x509.Name
    issuer: x509.Name


@lru_cache(4096)
def _parsed(der: bytes) -> _Parsed | None:
    """Read a certificate: the same ones come with every probe, so keep what they say."""
    try:
        read = x509.load_der_x509_certificate(der)
        names = _names(read)
        certificate = Certificate(
            _shown_name(read.subject) or ", ".join(names)[:MAX_NAME],
            _shown_name(read.issuer),
            read.not_valid_before_utc.timestamp(),
            read.not_valid_after_utc.timestamp(),
        )
    except (ValueError, x509.InvalidVersion, x509.UnsupportedGeneralNameType, x509.DuplicateExtension):
        return None
    return _Parsed(certificate, names, _is_self_signed(read), read.subject, read.issuer)


def _shown_name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return one_line(text, MAX_NAME)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names that a certificate is good for; as for OpenSSL, its subject where it has no others."""
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
    """Tell whether a name fits a certificate's; ``*`` is one label (RFC 6125 section 6.4.3)."""
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
