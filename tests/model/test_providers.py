"""Whose mailboxes a domain's are, and whose mail server a name is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.providers import PROVIDERS, provider_of_domain, provider_of_mx


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("gmail.com", "google"),
        ("GMail.COM.", "google"),
        ("\uff47mail\u3002com", "google"),
        ("gm\u0430il.com", None),
        ("notgmail.com", None),
        ("sub.gmail.com", None),
        ("gmail.com.example", None),
        ("gmail.com..", None),
        ("hotmail.com", "microsoft"),
        ("sbcglobal.net", "att"),
        ("gmx.co.uk", "gmx"),
        ("web.de", "gmx"),
        ("163.com", "netease"),
        ("pphosted.com", None),
        ("", None),
        (".", None),
    ],
)
def test_a_domain(domain: str, expected: str | None) -> None:
    assert provider_of_domain(domain) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aspmx.l.google.com.", "google"),
        ("ALT1.ASPMX.L.GOOGLE.COM", "google"),
        ("google.com", "google"),
        ("notgoogle.com", None),
        ("mx.notgoogle.com", None),
        ("google.com.example.net", None),
        ("contoso-com.mail.protection.outlook.com", "microsoft"),
        ("hotmail-com.olc.protection.outlook.com", "microsoft"),
        ("contoso-com.a-v1.mx.microsoft", "microsoft"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx-att.mail.am0.yahoodns.net", "att"),
        ("mx0a-00112233.pphosted.com", "proofpoint"),
        ("za-smtp-inbound-2.mimecast.co.za", "mimecast"),
        ("163mx01.mxmail.netease.com", "netease"),
        ("in1-smtp.messagingengine.com", "fastmail"),
        ("mx.example.net", None),
        ("com", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_mail_server(name: str, expected: str | None) -> None:
    assert provider_of_mx(name) == expected


def test_the_table_is_whole() -> None:
    names = [provider.name for provider in PROVIDERS]
    assert len(names) == len(set(names)) >= 30
    assert all(re.fullmatch(r"[a-z0-9-]{1,32}", name) for name in names)
    assert all(provider.source and (provider.domains or provider.mx) for provider in PROVIDERS)
    for kind in ("domains", "mx"):
        entries = [entry for provider in PROVIDERS for entry in getattr(provider, kind)]
        assert len(entries) == len(set(entries))
        assert all(entry == entry.lower().strip(".") for entry in entries)


@given(st.text(max_size=300))
def test_any_name_is_taken(name: str) -> None:
    assert provider_of_domain(name) is None or provider_of_domain(name.upper()) is not None
    assert provider_of_mx(name) == provider_of_mx(f"{name}.") or name.endswith(".")
