"""How another server's state is read: entry by entry, within bounds, as whole texts of JSON are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control import order_json
from geodns.control.order_json import MOST_ENTRY, read_state

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from([None, 1]))
def test_it_reads_what_the_reader_of_whole_texts_does(state: dict[str, Any], indent: int | None) -> None:
    assert read_state(json.dumps(state, indent=indent).encode()) == state


@given(st.text(alphabet='{}[]",:0a ', max_size=12))
def test_it_refuses_what_the_reader_of_whole_texts_does(text: str) -> None:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict):
        assert read_state(text.encode()) == whole
    else:
        with pytest.raises(ValueError):
            read_state(text.encode())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b'{"orders": [' + b"0," * 40 + b"0]}", "too many entries", id="many"),
        pytest.param(b"{" + b'"orders": 0,' * 40 + b'"orders": 0}', "too many entries", id="one key again"),
        pytest.param(b'{"orders": [' + b"[" * 60_000, "too deep", id="deep"),
        pytest.param(b'{"orders": ["' + b"x" * MOST_ENTRY + b'"]}', "Unterminated", id="a long entry"),
        pytest.param(b'{"orders": "\xff"}', "utf-8", id="no text"),
    ],
)
def test_it_stops_beyond_all_bounds(body: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_json, "MOST_ENTRIES", 30)
    with pytest.raises(ValueError, match=says):
        read_state(body)
