from collections import Counter

import pytest

from geodns.config.keys import Key
from geodns.config.value_types import ADDRESSES, ValueType, choice, duration, part, whole, word
from geodns.zonefile.checks import CHECK
from geodns.zonefile.defaults import DEFAULTS
from geodns.zonefile.experiments import ARM, EXPERIMENT
from geodns.zonefile.host_load import LOAD
from geodns.zonefile.hosts import HOST
from geodns.zonefile.mail_classes import HEADER_SIGN
from geodns.zonefile.pools import MIN_LIVE, POOL
from geodns.zonefile.reference import key_table, value_of, zone_reference
from geodns.zonefile.reputation import DNSBL, REPUTATION, RULE
from geodns.zonefile.routes import ROUTE
from geodns.zonefile.schema import ZONE
from geodns.zonefile.soa import SOA
from geodns.zonefile.sources import HOST_SOURCE
from geodns.zonefile.views import POOL_RULE
from geodns.zonefile.warmup import WARMUP

OF_REPUTATION = (REPUTATION, DNSBL, RULE)
OF_ROUTES = (ROUTE, HEADER_SIGN)
TABLES = (ARM, CHECK, DEFAULTS, EXPERIMENT, HOST, HOST_SOURCE, LOAD, POOL, POOL_RULE, SOA, WARMUP, ZONE)


def test_the_reference_has_a_row_for_every_key() -> None:
    rows = Counter(
        line.split("|")[1].strip(" `") for line in zone_reference().splitlines() if line[:3] == "| `"
    )
    keys = Counter(name for table in (*TABLES, *OF_REPUTATION, *OF_ROUTES) for name in table)
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
def test_what_may_stand_at_a_key(kind: ValueType, text: str) -> None:
    assert (kind.form or value_of(kind.schema)) == text


def test_a_table_has_a_row_for_each_key() -> None:
    keys = {
        "fall": Key(whole(1, 9, "fall"), "Bad probes that take it down.", default="3"),
        "expect": Key(word("a pattern"), "What the greeting must match, a|b."),
    }
    _, _, fall, expect = key_table(keys, ("For", {"fall": ["smtp", "tcp"]})).splitlines()
    assert fall == "| `fall` | whole number, 1 to 9 | 3 | Bad probes that take it down. | smtp, tcp |"
    assert expect == r"| `expect` | text |  | What the greeting must match, a\|b. |  |"
