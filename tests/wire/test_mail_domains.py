"""Domains of recipients: what anybody sends, as DNS may be asked for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire.mail_domains import mail_domain
from geodns.wire.names import USUAL

LABEL = "a" * 63


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "example.com"),
        ("a_b-c.example", "a_b-c.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        (f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}", f"{LABEL}.{LABEL}.{LABEL}.{'a' * 61}"),
        (f"{LABEL}.{LABEL}.{LABEL}.{'a' * 62}", ""),
        (f"{LABEL}a.example", ""),
        ("", ""),
        (".", ""),
        ("localhost", ""),
        ("[192.0.2.1]", ""),
        ("192.0.2.1", ""),
        ("a..example", ""),
        (".a.example", ""),
        ("a.example..", ""),
        ("-a.example", ""),
        ("a b.example", ""),
        ("a\n.example", ""),
        ("a.example\n", ""),
        ("a\\046.example", ""),
        ("*.example", ""),
        ("a@b.example", ""),
        ("\ud800.example", ""),
        ("é" * 100_000, ""),
    ],
)
def test_a_domain_or_nothing(text: str, domain: str) -> None:
    assert mail_domain(text) == domain


@given(st.text(max_size=300) | st.from_regex(r"[a-zA-Z0-9._-]{1,300}"))
def test_whatever_comes_out_may_be_asked_for(text: str) -> None:
    found = mail_domain(text)
    assert not found or (USUAL.fullmatch(f"{found}.") and len(found) <= 253)
    assert mail_domain(found) == found
