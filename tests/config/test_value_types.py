"""Types of values, as text that operators write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.config.value_types import parse_share


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("1", 1.0),
        ("1%", 0.01),
        ("0.5%", 0.005),
        ("100%", 1.0),
        ("1/100", 0.01),
        ("3/4", 0.75),
        ("0.01", 0.01),
        ("0", None),
        ("0%", None),
        ("2", None),
        ("101%", None),
        ("1/0", None),
        ("-1%", None),
        ("1 %", None),
        ("1e-2", None),
        ("", None),
        ("all", None),
        ("٣%", None),
    ],
)
def test_shares(text: str, share: float | None) -> None:
    assert parse_share(text) == (None if share is None else pytest.approx(share))


@given(st.text(max_size=12) | st.text(alphabet="0123456789./%", max_size=12))
def test_a_share_is_a_part_or_nothing(text: str) -> None:
    share = parse_share(text)
    assert share is None or 0 < share <= 1
