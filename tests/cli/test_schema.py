import json
from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner

from geodns.cli.zonefiles import schema
from geodns.config.value_types import ADDRESSES, MIN_LIVE, Key, choice, duration, part, whole, word
from geodns.zonefile.checks import CHECK
from geodns.zonefile.host_load import LOAD
from geodns.zonefile.hosts import HOST
from geodns.zonefile.pools import POOL
from geodns.zonefile.reference import key_table, value_of, zone_reference
from geodns.zonefile.schema import SOA, ZONE, zone_schema
from geodns.zonefile.sources import HOST_SOURCE


def test_it_prints_the_schema_as_json() -> None:
    assert json.loads(CliRunner().invoke(schema, []).output) == zone_schema()


def test_it_prints_the_reference() -> None:
    assert CliRunner().invoke(schema, ["--markdown"]).output == zone_reference()


def test_the_reference_has_a_row_for_every_key() -> None:
    rows = Counter(
        line.split("|")[1].strip(" `") for line in zone_reference().splitlines() if line[:3] == "| `"
    )
    keys = Counter(name for table in (CHECK, HOST, HOST_SOURCE, LOAD, POOL, SOA, ZONE) for name in table)
    assert {name: rows[name] for name in keys} == keys


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (whole(1, 65535, "port"), "whole number, 1 to 65535"),
        (duration(0.1, 86400), "duration, 100ms to 1d"),
        (duration(0, 600), "duration, 0s to 10m"),
        (duration(1, 90), "duration, 1s to 90s"),
        (part(0.01, 1), "1% to 100%, or a fraction"),
        (choice("add", "replace"), "`add`, `replace`"),
        (MIN_LIVE, "count or percentage"),
        (ADDRESSES, "address or list"),
        (word("a name"), "text"),
    ],
)
def test_what_may_stand_at_a_key(kind: Any, text: str) -> None:
    assert value_of(kind.schema) == text


def test_defaults_come_from_the_sentence_or_else_from_the_caller() -> None:
    keys = {
        "fall": Key(whole(1, 9, "fall"), "Bad probes that take it down; default 3."),
        "expect": Key(word("a pattern"), "What the greeting must match, a|b."),
    }
    _, _, fall, expect = key_table(
        keys, {"fall": "7", "expect": "none"}, ("For", {"fall": ["smtp", "tcp"]})
    ).splitlines()
    assert fall == "| `fall` | whole number, 1 to 9 | 3 | Bad probes that take it down. | smtp, tcp |"
    assert expect == r"| `expect` | text | none | What the greeting must match, a\|b. |  |"
