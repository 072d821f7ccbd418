import json
from collections import Counter
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from pydantic import Field

from geodns.cli.zonefiles import schema
from geodns.config.keys import keys_of
from geodns.config.value_types import ADDRESSES, choice, duration, part, whole, word
from geodns.model.base import Frozen
from geodns.zonefile.checks import CHECK
from geodns.zonefile.host_load import LOAD
from geodns.zonefile.hosts import HOST
from geodns.zonefile.pools import MIN_LIVE, POOL
from geodns.zonefile.reference import key_table, value_of, zone_reference
from geodns.zonefile.schema import ZONE, zone_schema
from geodns.zonefile.soa import SOA
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


class Sample(Frozen):
    fall: int = Field(default=3, ge=1, le=9, description="Bad probes that take it down.")
    expect: str | None = Field(default=None, description="What the greeting must match, a|b.")
    wait: float = Field(default=90, ge=0, le=600, description="How long to wait.")
    mode: Literal["add", "replace"] | None = Field(default=None, description="What to do.")


def test_bounds_defaults_and_sentences_come_from_the_model() -> None:
    kinds: dict[str, Any] = {"fall": whole, "pattern": word("a pattern"), "wait": duration, "mode": choice}
    keys = keys_of(Sample, kinds, {"pattern": "expect"}, {"mode": "neither"})
    _, _, *rows = key_table(keys, ("For", {"fall": ["smtp", "tcp"]})).splitlines()
    assert rows == [
        "| `fall` | whole number, 1 to 9 | 3 | Bad probes that take it down. | smtp, tcp |",
        r"| `pattern` | text |  | What the greeting must match, a\|b. |  |",
        "| `wait` | duration, 0s to 10m | 90s | How long to wait. |  |",
        "| `mode` | `add`, `replace` | neither | What to do. |  |",
    ]
    assert keys["fall"].schema["description"] == "Bad probes that take it down. Default: 3."
    assert keys["pattern"].schema["description"] == "What the greeting must match, a|b."
