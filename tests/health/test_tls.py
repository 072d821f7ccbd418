import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.outcome import Certificate, Encryption
from geodns.health.tls import (
    certificate_json,
    certificate_of,
    describe,
    describe_certificate,
    refused_by,
    too_old,
    warning_of,
)
from geodns.model.checks import Check
from tests.health.certificates import NAME, authority, server
from tests.health.servers import target

DAY = 86400.0
NOW = 1_795_417_200.0
GOOD = Certificate(NAME, "Someone", NOW - 10 * DAY, NOW + 30 * DAY)


def der_of(folder: Path, **made: Any) -> bytes:
    server(folder, authority(), **made)
    _, _, certificate = (folder / "server.pem").read_text().partition("-----BEGIN CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + certificate)


@pytest.mark.parametrize(
    ("names", "name", "fits"),
    [
        (("mta1.example",), "mta1.example", True),
        (("MTA1.Example",), "mta1.example.", True),
        (("mta2.example", "mta1.example"), "mta1.example", True),
        (("*.example",), "mta1.example", True),
        (("*.example",), "a.mta1.example", False),
        (("*.example",), "example", False),
        (("mta*.example",), "mta1.example", False),
        (("*",), "example", False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("192.0.2.1",), "192.0.2.2", False),
        (("mta1.example",), None, True),
    ],
)
def test_names(names: tuple[str, ...], name: str | None, fits: bool, tmp_path: Path) -> None:
    found = certificate_of(der_of(tmp_path, names=names), name, time.time())
    assert found is not None
    assert found.problem == (None if fits else "wrong name")


@given(st.binary(max_size=300))
def test_what_is_no_certificate_is_none(data: bytes) -> None:
    assert certificate_of(data, NAME, NOW) is None


@pytest.mark.parametrize("version", [1, 3, 127])
def test_a_version_that_no_standard_knows_is_no_certificate(version: int, tmp_path: Path) -> None:
    der = der_of(tmp_path, names=(NAME,))
    third = b"\xa0\x03\x02\x01\x02"  # RFC 5280 section 4.1.2.1: v3 is 2
    assert der.count(third) == 1
    assert certificate_of(der, NAME, time.time()) is not None
    assert certificate_of(der.replace(third, third[:-1] + bytes([version])), NAME, time.time()) is None


@pytest.mark.parametrize(
    ("left", "check", "problem", "expected"),
    [
        (30, {}, None, None),
        (14.1, {}, None, None),
        (13.9, {}, None, "expires in 14 days: renew it"),
        (1.5, {}, None, "expires in 36 hours: renew it"),
        (-1, {}, "expired", "expired 24 hours ago: renew it"),
        (-9, {}, "expired", "expired 9 days ago: renew it"),
        (8, {"cert_warning": 7 * DAY}, None, None),
        (6, {"cert_warning": 7 * DAY}, None, "expires in 6 days: renew it"),
        (30, {}, "wrong name", None),
        (30, {"starttls": "verified"}, "wrong name", ": wrong name"),
        (30, {"starttls": "verified"}, "unknown issuer", ": unknown issuer"),
        (-9, {"starttls": "verified"}, "expired", "expired 9 days ago: renew it"),
    ],
)
def test_warnings(left: float, check: dict[str, Any], problem: str | None, expected: str | None) -> None:
    certificate = replace(GOOD, not_after=NOW + left * DAY, problem=problem)
    found = warning_of(target(587, **{"starttls": "offered", "sni": NAME} | check), certificate, NOW)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"certificate of {NAME} at [127.0.0.1]:587")
        assert found.endswith(expected)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (2, ": Middle in its chain expires in 2 days: install a newer chain"),
        (-3, ": Middle in its chain expired 3 days ago: install a newer chain"),
        (20, None),
    ],
)
def test_a_warning_says_whose_end_it_is(left: float, expected: str | None) -> None:
    certificate = replace(GOOD, not_after=NOW + left * DAY, ends_with="Middle")
    found = warning_of(target(587, starttls="offered", sni=NAME), certificate, NOW)
    assert found == (None if expected is None else f"certificate of {NAME} at [127.0.0.1]:587{expected}")
    assert describe_certificate(certificate).endswith(", the end of Middle in its chain")


def test_a_root_that_another_has_signed_too_counts_by_its_longest_life(tmp_path: Path) -> None:
    old = authority("Old", days=30)
    root = authority("Root", days=300)
    crossed = authority("Root", old, days=-5)
    server(tmp_path, root, days=90)
    pem = (tmp_path / "server.pem").read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])
    chain = [one.certificate.public_bytes(serialization.Encoding.DER) for one in (crossed, root, old)]
    found = certificate_of(der, None, time.time(), chain)
    assert found is not None
    assert (found.ends_with, found.problem) == (None, None)


@pytest.mark.parametrize(
    ("check", "left", "old"),
    [
        ({"starttls": "verified", "cert_critical": DAY}, 0.9, True),
        ({"starttls": "verified", "cert_critical": DAY}, 1.1, False),
        ({"starttls": "verified"}, 0.1, False),
        ({"starttls": "offered", "cert_critical": DAY}, 0.9, False),
        ({"type": "smtps", "verify": "required", "cert_critical": DAY}, 0.9, True),
        ({"type": "smtps", "cert_critical": DAY}, 0.9, False),
    ],
)
def test_only_a_verified_certificate_takes_a_host_out(check: dict[str, Any], left: float, old: bool) -> None:
    found = Encryption("TLSv1.3", "AES", replace(GOOD, not_after=NOW + left * DAY))
    assert (too_old(Check(name="a", **check), found, NOW) is not None) is old


def test_how_a_certificate_is_shown() -> None:
    assert certificate_json(GOOD, NOW) == {
        "subject": NAME,
        "issuer": "Someone",
        "not_after": "2026-12-23T07:00:00Z",
        "days_left": 30.0,
        "problem": None,
        "ends_with": None,
    }
    line = f"{NAME}, issued by Someone, good from 2026-11-13 to 2026-12-23"
    assert describe_certificate(GOOD) == line
    assert describe_certificate(replace(GOOD, problem="wrong name")) == f"wrong name: {line}"
    assert describe(Encryption("TLSv1.3", "AES", GOOD)) == f"TLSv1.3 AES, certificate: {line}"
    assert describe(Encryption("TLSv1.3", "AES", None)) == "TLSv1.3 AES"


def test_a_refusal_whose_certificate_was_not_seen_keeps_its_reason() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 10, "certificate has expired"
    found = refused_by(error)
    assert found.certificate is not None
    assert found.certificate.problem == "expired"
    assert certificate_json(found.certificate, NOW)["not_after"] is None
    assert describe_certificate(found.certificate) == "expired: it cannot be read"
    error.verify_code, error.verify_message = 79, "invalid CA certificate"
    problem = refused_by(error).certificate
    assert problem is not None
    assert problem.problem == "invalid ca certificate"


@pytest.mark.parametrize(
    ("code", "days", "problem"), [(10, 90, "expired, the one of its issuer"), (10, -1, "expired")]
)
def test_whose_certificate_has_expired(code: int, days: float, problem: str, tmp_path: Path) -> None:
    server(tmp_path, authority(), days=days)
    pem = (tmp_path / "server.pem").read_text()
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "certificate has expired"
    error.__dict__["refused"] = (ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :]),)
    found = refused_by(error).certificate
    assert found is not None
    assert found.problem == problem
