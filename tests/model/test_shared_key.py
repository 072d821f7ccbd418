"""The key that servers of a zone share a target by."""

from ipaddress import ip_address
from typing import Any

import pytest

from geodns.model.checks import MAX_SHARED_TEXT, Check, Target, shared_place

ADDRESS = ip_address("192.0.2.1")


def key(host: str | None = None, port: int = 25, **keys: Any) -> str:
    return Target(check=Check(**{"name": "smtp", **keys}), address=ADDRESS, port=port, host=host).shared_key


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({}, "smtp [192.0.2.1]:25", id="all-by-default"),
        pytest.param({"rise": 2, "interval": 10}, "smtp [192.0.2.1]:25", id="defaults-written-out"),
        pytest.param({"name": "mine"}, "smtp [192.0.2.1]:25", id="another-name"),
        pytest.param({"source": (ip_address("192.0.2.9"),)}, "smtp [192.0.2.1]:25", id="another-source"),
        pytest.param(
            {"rise": 4, "fall": 5}, 'smtp [192.0.2.1]:25 {"fall":5,"rise":4}', id="what-differs-in-one-order"
        ),
        pytest.param({"port": 2525}, "smtp [192.0.2.1]:2525", id="port"),
        pytest.param(
            {"host": "mx1.example"}, 'smtp [192.0.2.1]:25 {"name":"mx1.example"}', id="host-where-it-matters"
        ),
        pytest.param({"type": "tcp"}, "tcp [192.0.2.1]:25", id="type"),
    ],
)
def test_shared_key(keys: dict[str, Any], expected: str) -> None:
    assert key(**keys) == expected


def test_a_long_one_is_a_digest() -> None:
    one, other = (key(expect="x" * 500 + end) for end in "ab")
    assert one != other
    assert len(one) < MAX_SHARED_TEXT
    assert shared_place(one) == shared_place(other) == "smtp [192.0.2.1]:25"


def test_a_place_is_type_address_and_port() -> None:
    six = Target(check=Check(name="x", rise=9), address=ip_address("2001:db8::1"), port=587).shared_key
    assert shared_place(six) == "smtp [2001:db8::1]:587"
