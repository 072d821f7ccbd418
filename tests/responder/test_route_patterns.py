"""Globs: what regular expressions say of them, in time that cannot be blown up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.route_patterns import (
    domain_below,
    fits,
    fits_any,
    set_of_addresses,
    set_of_domains,
    set_of_users,
)
from tests.responder.plain_routes import plain_fits, plain_fits_address

TEXTS = st.text("ab.@\n", max_size=12)
GLOBS = st.text("ab.@*?", max_size=8)
ADDRESSES = st.one_of(
    st.builds("{}@{}".format, st.text("ab", max_size=3), st.text("ab.", max_size=6)), st.just("<>")
)
PATTERNS = st.one_of(
    st.builds("{}@{}".format, st.text("ab*?", max_size=3), st.text("ab.*?", max_size=6)),
    st.builds("*@{}{}".format, st.sampled_from(["", "*."]), st.text("ab.", max_size=4)),
    st.just("<>"),
)


@given(GLOBS, TEXTS)
def test_a_glob_fits_what_its_expression_fits(pattern: str, text: str) -> None:
    assert fits(pattern, text) == plain_fits(pattern, text)


@given(st.lists(PATTERNS, max_size=6), st.lists(ADDRESSES, max_size=6))
def test_a_set_fits_what_any_of_its_patterns_fits(patterns: list[str], addresses: list[str]) -> None:
    found = set_of_addresses(patterns)
    for address in addresses:
        expected = any(plain_fits_address(one, address) for one in patterns)
        assert found.fits_address(address) == expected
        assert fits_any(patterns, address) == expected


@given(st.lists(GLOBS, max_size=6), TEXTS)
def test_sets_of_domains_and_users(patterns: list[str], text: str) -> None:
    expected = any(plain_fits(one, text) for one in patterns)
    assert set_of_domains(patterns).fits(text) == expected
    assert set_of_users(patterns).fits(text) == expected


@given(GLOBS, TEXTS)
def test_what_a_glob_fits_lies_below_its_domain(pattern: str, text: str) -> None:
    below = domain_below(pattern)
    if below and ("*" in pattern or "?" in pattern) and fits(pattern, text):
        assert text.endswith(f".{below}")


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "*?a" * 40 + "b", "*a?" * 40 + "b*", "?*" * 40 + "b"])
def test_a_glob_that_an_expression_would_chew_on_for_ever(pattern: str) -> None:
    assert not fits(pattern, "a" * 1000)
    assert fits(pattern, "a" * 1000 + "b")
