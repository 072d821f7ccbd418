"""The key `warmup`, and what pools must say for it."""

from datetime import date

import pytest

from geodns.model.warmup import PLANS, Warmup
from geodns.zonefile.reader import parse_zone
from tests.sample_zones import NAME, zone

ZONE = """
ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  mta1: 192.0.2.11
  mta2: {address: 192.0.2.12, warmup: WARMUP}
pools:
  main: {hosts: [mta1, mta2], volume: 100000}
records:
  bulk: {pool: main, MX: {pool: main, preference: 10}}
"""
PLAN = "{plan: sendgrid, start: 2026-12-01}"


LONG_TTL = (
    "host 'mta2': DNS deals it from day 2 on: with ttl 8s one cached answer may send over a quarter of a "
    "day's messages: write `ttl: 6s` or less to have it from day 1 on; until then its plan waits at day 1"
)


def told(text: str) -> list[str]:
    return [str(one) for one in parse_zone(NAME, text.encode(), "zone.yaml").problems]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (PLAN, Warmup(plan="sendgrid", start=date(2026, 12, 1))),
        (
            "{plan: [200, 500, 500], start: 2026-12-01, days: sending}",
            Warmup(plan=(200, 500, 500), start=date(2026, 12, 1), days="sending"),
        ),
    ],
)
def test_it_is_read(written: str, read: Warmup) -> None:
    found = zone(ZONE.replace("WARMUP", written))
    assert found.host_by_name["mta2"].warmup == read
    assert type(found).model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{plan: mailgun, start: 2026-12-01}", "no plan is called 'mailgun': write sendgrid, sparkpost or"),
        ("{plan: [], start: 2026-12-01}", "a plan of 0 days: write 1 to 366"),
        ("{plan: [200, 100], start: 2026-12-01}", "100 after 200: a plan never falls"),
        ("{plan: [0], start: 2026-12-01}", "messages a day '0' is out of range"),
        ("{plan: sendgrid, start: 1.12.2026}", "'1.12.2026' is no date: write it as 2026-12-01"),
        ("{plan: sendgrid, start: 2026-13-01}", "'2026-13-01' is no date"),
        ("{plan: sendgrid}", "a warm-up without `start`"),
        ("{start: 2026-12-01}", "a warm-up without `plan`"),
        ("{plan: sendgrid, start: 2026-12-01, days: work}", "'work' is not known here"),
        ("yes", "'yes' where a warm-up is expected"),
    ],
)
def test_what_cannot_be_read(written: str, says: str) -> None:
    assert any(says in one for one in told(ZONE.replace("WARMUP", written))), told(
        ZONE.replace("WARMUP", written)
    )


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        ("main: {hosts: [mta1, mta2]}", "pool 'main' deals mta2, which warms up, and has no `volume`"),
        (
            "main: {hosts: [mta1], fallback: rest}\n  rest: {hosts: [mta1, mta2], volume: 10}",
            "pool 'main' deals mta2, which warms up, and has no `volume`",
        ),
        (
            "main: {hosts: [mta1]}\n  cold: {hosts: [mta2], volume: 10}",
            "every host of pool 'cold' warms up: nobody takes what they may not: name a pool of warm hosts",
        ),
        (
            "main: {hosts: [mta2], volume: 10, overflow: cold}\n  cold: {hosts: [mta2], volume: 10}",
            "all hosts of the overflow 'cold' warm up: name a pool with warm hosts",
        ),
        ("main: {hosts: [mta1, mta2], volume: 10, overflow: nix}", "no pool is called 'nix'"),
        ("main: {hosts: [mta1, mta2], volume: 10, overflow: main}", "pool 'main' overflows to itself"),
        ("main: {hosts: [mta1, mta2], volume: 0}", "volume '0' is out of range"),
        ("main: {hosts: [mta1, mta2], volume: 10, mail: inward}", "'inward' is not known here"),
        (
            "main: {hosts: [mta1], overflow: rest}\n  rest: {hosts: [mta1, mta2], volume: 10}",
            "`overflow` of pool 'main' has no effect",
        ),
        ("main: {hosts: [mta1, mta2], mail: in}", "host 'mta2' warms up, and its pools receive"),
        (
            "main: {hosts: [mta1, mta2], volume: 1000000}",
            "host 'mta2': DNS deals it from day 4 on: day 1's 480 messages of 1,000,000 are under one answer",
        ),
        (
            "main: {hosts: [mta1, mta2], volume: 400000}",
            LONG_TTL,
        ),
    ],
)
def test_what_pools_must_say(pools: str, says: str) -> None:
    text = ZONE.replace("WARMUP", PLAN).replace("main: {hosts: [mta1, mta2], volume: 100000}", pools)
    text = text.replace("ttl: 5", "ttl: 8") if "400000" in pools else text
    assert any(says in one for one in told(text)), told(text)


@pytest.mark.parametrize(
    "pools",
    [
        "main: {hosts: [mta1, mta2], volume: 100000}",
        "main: {hosts: [mta2], volume: 100000, overflow: over}\n  over: {hosts: [mta1]}",
    ],
)
def test_what_is_well(pools: str) -> None:
    text = ZONE.replace("WARMUP", PLAN).replace("main: {hosts: [mta1, mta2], volume: 100000}", pools)
    assert told(text) == []


def test_a_family_that_only_new_hosts_have_is_told() -> None:
    """A and AAAA are dealt apart: nobody would take what they may not of AAAA."""
    text = ZONE.replace("WARMUP", PLAN).replace("192.0.2.12,", '[192.0.2.12, "2001:db8::12"],')
    (problem,) = told(text)
    assert problem.endswith(
        "every host of pool 'main' with an AAAA record warms up: nobody takes what they may not: name a pool "
        "of warm hosts: `overflow: POOL`, or leave their AAAA addresses out until they are warm"
    )


def test_a_share_under_one_answer_is_told() -> None:
    text = ZONE.replace("WARMUP", PLAN).replace("100000", "100000000").replace("ttl: 5", "ttl: 0\nmin_ttl: 0")
    assert any(
        "DNS deals it from day 17 on: day 1's 480 messages of 100,000,000 are under one answer" in one
        for one in told(text)
    ), told(text)


def test_zones_without_it_keep_their_digests() -> None:
    """A new version must not renew every serial."""
    text = zone(ZONE.replace(", warmup: WARMUP", "").replace(", volume: 100000", "")).model_dump_json()
    assert not any(word in text for word in ("warmup", "volume", "overflow", '"mail"'))


def test_plans_rise() -> None:
    for caps in PLANS.values():
        assert list(caps) == sorted(caps)
    assert PLANS["sendgrid"][:3] == (480, 672, 936)
    assert (len(PLANS["sendgrid"]), len(PLANS["sparkpost"])) == (42, 13)
