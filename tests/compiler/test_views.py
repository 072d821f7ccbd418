"""What clients and times decide, held against a plain scan of the rules in order."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.compile import Compiled, compile_zones, set_views
from geodns.compiler.live_set import LiveSet
from geodns.compiler.static import view_key
from geodns.compiler.views import ZoneViews, clients_of, compile_views
from geodns.model.address_ranges import ranges_of
from geodns.model.experiments import Arm, Experiment
from geodns.model.state import Forced
from geodns.model.views import NO_NETWORKS, GeoNetworks, Hours, HourSpan, PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.responder.table import RotationKey, View
from geodns.responder.views import ClientNetwork
from tests.sample_zones import picking, sources, zone

NAME = "out.example.com"
OWNER = f"{NAME}."
TEXT = """
hosts: {a: [192.0.2.1, "2001:db8::1"], b: [192.0.2.2, "2001:db8::2"], c: 192.0.2.3, d: 192.0.2.4}
pools: {a: {hosts: [a]}, b: {hosts: [b]}, c: {hosts: [c]}, d: {hosts: [d]}}
records: {"@": {A: {pool: a}, MX: [{pool: b, preference: 10}, {pool: c, preference: 20}]}, other: {pool: d}}
"""
BERLIN = Hours(
    text=("Mon-Fri 08:00-18:00",),
    tz="Europe/Berlin",
    spans=(HourSpan(days=frozenset(range(5)), begin=480, end=1080),),
)
FRIDAY = datetime(2026, 11, 27, tzinfo=UTC).timestamp()
GEO = GeoNetworks(
    {"DE": ranges_of([ip_network("198.51.100.0/25"), ip_network("2001:db8:d::/48")])},
    {"EU": ranges_of([ip_network("198.51.100.0/24"), ip_network("2001:db8::/33")])},
    {64500: ranges_of([ip_network("198.51.0.0/16")])},
)


def ruled(
    *rules: PoolRule, kind: str = "A", last: str = "a", base: Zone | None = None, **changes: object
) -> Zone:
    """Return the zone with rules at its own name."""
    plain = zone(TEXT, NAME) if base is None else base
    tiers = (
        (Tier(pool=last, rules=rules),)
        if kind != "MX"
        else (Tier(pool="b", preference=10, rules=rules), Tier(pool="c", preference=20))
    )
    others = tuple(one for one in plain.rules if (one.owner, one.type) != (OWNER, kind))
    own = Rule.model_validate({"owner": OWNER, "type": kind, "ttl": 30, "tiers": tiers})
    return plain.model_copy(update={"rules": (*others, own), **changes})


def views_of(one: Zone, geo: GeoNetworks = NO_NETWORKS, now: float = 0.0) -> tuple[ZoneViews, Rule]:
    return compile_views(one, geo, now), next(
        rule for rule in one.rules if rule.owner == OWNER and view_key(one, rule)
    )


def view(one: Zone, client: str, geo: GeoNetworks = NO_NETWORKS, now: float = 0.0) -> tuple[View, int]:
    """Return the view of a client and its scope, as a worker finds them."""
    found, rule = views_of(one, geo, now)
    key = view_key(one, rule)
    assert key is not None
    views = found.views[key]
    if not views.partition:
        return views.views[0], 0
    address = ip_address(client)
    number, scope = found.partitions[views.partition].find(ClientNetwork(address.version == 6, int(address)))
    return views.views[number], scope


def pools(one: View) -> list[tuple[str, ...]]:
    return [tuple(pool for pool, _ in key.tiers) if key else () for key in one.keys]


NETWORKS = st.builds(
    lambda number, bits: ip_network(((number >> (32 - bits)) << (32 - bits), bits)),
    st.sampled_from([0x0A000000, 0x0A000001, 0x0A0000FF, 0x0A800000, 0xC6336400]),
    st.integers(0, 32),
) | st.builds(
    lambda number, bits: ip_network(((number >> (128 - bits)) << (128 - bits), bits)),
    st.sampled_from([0x20010DB8 << 96, 0x20010DB8000D << 80, (0x20010DB8 << 96) + 1]),
    st.integers(1, 128),
)
RULES = st.lists(
    st.builds(
        PoolRule,
        use=st.sampled_from("abcd"),
        subnets=st.lists(NETWORKS, min_size=1, max_size=3).map(tuple),
        countries=st.sampled_from([(), ("DE",)]),
    ),
    max_size=5,
)


@given(RULES, st.sampled_from(["A", "AAAA", "MX"]), st.data())
def test_every_client_gets_the_first_rule_that_it_meets(
    rules: list[PoolRule], kind: str, data: st.DataObject
) -> None:
    one = ruled(*rules, kind=kind)
    if not rules:
        return
    edges = [
        int(end) + more
        for rule in rules
        for network in rule.subnets
        for end, more in ((network[0], 0), (network[-1], 0), (network[0], -1), (network[-1], 1))
        if network.version == 4 and 0 <= int(end) + more < 1 << 32
    ]
    address = ip_address(data.draw(st.sampled_from(edges or [0]) | st.just(0x20010DB8000D << 80)))
    found, _ = view(one, str(address), GEO)

    def meets(rule: PoolRule) -> bool:
        place = not rule.countries or GEO.countries["DE"].has(int(address), ipv6=address.version == 6)
        return place and any(address in network for network in rule.subnets)

    last = "b" if kind == "MX" else "a"
    wanted = next((rule.use for rule in rules if meets(rule)), last)
    if kind == "AAAA" and wanted in "cd":
        assert found.keys == (None,)  # it has no host of the family
    else:
        assert pools(found) == [(wanted, "c") if kind == "MX" else (wanted,)]


@pytest.mark.parametrize(
    ("rules", "client", "pool", "scope"),
    [
        ([PoolRule(use="b", subnets=(ip_network("10.0.0.0/8"),))], "10.1.2.3", "b", 8),
        ([PoolRule(use="b", subnets=(ip_network("10.0.0.0/8"),))], "11.0.0.0", "a", 8),
        ([PoolRule(use="b", subnets=(ip_network("10.0.0.0/8"),))], "192.0.2.1", "a", 1),
        ([PoolRule(use="a", subnets=(ip_network("10.0.0.0/8"),))], "10.1.2.3", "a", 0),
        ([PoolRule(use="b", subnets=(ip_network("2001:db8::/32"),))], "2001:db8::1", "b", 32),
        ([PoolRule(use="b", countries=("DE",))], "198.51.100.7", "b", 25),
        ([PoolRule(use="b", countries=("FR",))], "198.51.100.7", "a", 0),
        ([PoolRule(use="b", continents=("EU",), asns=(64500,))], "198.51.100.200", "b", 24),
        ([PoolRule(use="b", countries=("DE",)), PoolRule(use="c", asns=(64500,))], "198.51.100.200", "c", 25),
    ],
)
def test_the_scope_is_of_what_is_dealt(rules: list[PoolRule], client: str, pool: str, scope: int) -> None:
    found, length = view(ruled(*rules), client, GEO)
    assert (pools(found), length) == ([(pool,)], scope)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_hours_begin_with_a_short_ttl() -> None:
    one = ruled(PoolRule(use="b", hours=BERLIN))
    begin = at("2026-11-27T08:00:00+01:00")
    for now, pool, ttl, until in (
        (begin - 3600, "a", 30, begin - 30),
        (begin - 30, "a", 5, begin),
        (begin, "b", 30, begin + 36000 - 30),
        (begin + 36000 - 1, "b", 5, begin + 36000),
        (begin + 36000, "a", 30, begin + 72 * 3600 - 30),
    ):
        found, rule = views_of(one, now=now)
        (key,) = found.views.values()
        assert key.partition == b""
        (got,) = key.views[0].keys
        assert got is not None
        assert (got.tiers, got.ttl, found.until) == (((pool, 0),), ttl, until)
        assert rule.ttl == 30


NIGHT = HourSpan(begin=120, end=150)


@pytest.mark.parametrize(
    ("span", "now", "change"),
    [
        # The hour that is left out: 02:30 does not come, so that hours begin when the clock has jumped.
        (HourSpan(begin=150, end=240), "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        # The hour that comes twice counts twice, with a pause between.
        (NIGHT, "2026-10-25T02:10:00+02:00", "2026-10-25T02:30:00+02:00"),
        (NIGHT, "2026-10-25T02:40:00+02:00", "2026-10-25T02:00:00+01:00"),
        (HourSpan(begin=1320, end=360), "2026-11-27T23:00:00+01:00", "2026-11-28T06:00:00+01:00"),
        (
            HourSpan(days=frozenset({6}), begin=1320, end=360),
            "2026-11-29T23:00:00+01:00",
            "2026-11-30T06:00:00+01:00",
        ),
        # A weekly hour that one week leaves out: it comes a week later.
        (
            HourSpan(days=frozenset({6}), begin=120, end=180),
            "2026-03-22T03:00:00+01:00",
            "2026-04-05T02:00:00+02:00",
        ),
        (HourSpan(), "2026-11-27T23:00:00+01:00", None),
    ],
)
def test_when_hours_change(span: HourSpan, now: str, change: str | None) -> None:
    hours = Hours(text=("",), spans=(span,), tz="Europe/Berlin")
    assert hours.next_change(at(now)) == (None if change is None else at(change))


@pytest.mark.parametrize(
    ("tz", "day"),
    [
        ("America/St_Johns", "2010-11-06T00:00:00+00:00"),  # from 00:01 back to the day before
        ("Australia/Lord_Howe", "2026-10-03T00:00:00+00:00"),  # by half an hour
        ("Europe/Berlin", "2027-03-27T00:00:00+00:00"),
    ],
)
def test_the_next_change_is_the_first_that_a_scan_finds(tz: str, day: str) -> None:
    rng = random.Random(tz)
    for _ in range(6):
        begin, end = rng.sample(range(0, 1440, 10), 2)
        days = frozenset(rng.sample(range(7), rng.choice([2, 7])))
        hours = Hours(text=("",), spans=(HourSpan(days=days, begin=begin, end=end),), tz=tz)
        now = at(day) + 60 * rng.randrange(1440)
        scan = (now + 60 * minute for minute in range(8 * 1440))
        assert hours.next_change(now) == next(one for one in scan if hours.include(one) != hours.include(now))


TRIAL = Experiment(
    name="new",
    owner=OWNER,
    pool="a",
    arms=(Arm(name="control", share=80, pool="a"), Arm(name="trial", share=20, pool="b")),
)


def test_an_experiment_replaces_its_pool_where_a_rule_reaches_it() -> None:
    inside = PoolRule(use="c", subnets=(ip_network("10.0.0.0/8"),))
    one = ruled(inside, experiments=(TRIAL,))
    found, _ = view(one, "192.0.2.1")
    assert (pools(found), found.bounds, found.near) == ([("a",), ("b",)], (8000, 10000), True)
    assert [key.arm for key in found.keys if key] == ["new/control", "new/trial"]
    found, _ = view(one, "10.0.0.1")
    assert (pools(found), found.bounds, found.near) == ([("c",)], (), False)


def test_an_arm_with_nobody_live_deals_the_first() -> None:
    one = ruled(experiments=(TRIAL,))
    live = LiveSet(forced={(NAME, "b"): Forced.DRAINED})
    table = compile_zones(Compiled(), sources(one), live).table
    by_arm = {key.arm: rotation for key, rotation in table.rotations.items() if key.type == "A"}
    assert [part.pool for part in by_arm["new/trial"].parts] == ["a"]
    assert by_arm["new/trial"].failover
    assert not by_arm["new/control"].failover


@pytest.mark.parametrize(("pool", "near"), [("", False), ("a", True), ("d", False)])
def test_by_time_the_network_decides_where_a_pool_picks_by_client(pool: str, near: bool) -> None:
    """Also in the slots of another arm: the first arm's pool may have to help out there."""
    base = zone(TEXT, NAME)
    fields = {name: getattr(base, name) for name in Zone.model_fields}
    fields["pools"] = tuple(
        one.model_copy(update={"pick": "client"}) if one.name == pool else one for one in base.pools
    )
    by_time = TRIAL.model_copy(update={"by": "time", "slot": 3600})
    one = ruled(base=Zone(**fields), experiments=(by_time,))
    seen = [view(one, "192.0.2.1", now=FRIDAY + 3600 * slot)[0] for slot in range(48)]
    assert {one.keys[0].arm for one in seen if one.keys[0]} == {"new/control", "new/trial"}
    assert {one.near for one in seen} == {near}


def test_of_a_pool_that_picks_by_client_an_srv_is_the_same_for_all() -> None:
    one = picking("""
        hosts: {a: 192.0.2.1, b: 192.0.2.2}
        records: {"@": {SRV: {pool: main, port: 587, priority: 0}, MX: {pool: main, preference: 10}}}
    """)
    keys = {rule.type: view_key(one, rule) for rule in one.rules}
    assert keys["SRV"] is None
    assert keys["MX"] is not None
    assert compile_views(one, NO_NETWORKS, 0.0).views[keys["MX"]].views[0].near


@given(st.integers(0, 10), st.lists(st.integers(1, 3), min_size=2, max_size=3))
def test_slots_give_each_arm_its_share(salt: int, shares: list[int]) -> None:
    arms = tuple(
        Arm(name=str(place), share=share, pool="ab"[place % 2]) for place, share in enumerate(shares)
    )
    one = TRIAL.model_copy(update={"arms": arms, "by": "time", "salt": salt, "slot": 3600})
    monday = at("2026-11-30T00:00:00+00:00")
    size = sum(shares)
    week = int((monday - 4 * 86400) // (7 * 86400))
    first = monday + (size - week % size) % size * 7 * 86400
    for slot in range(168 // size * size):
        names = [one.arm_at(first + run * 7 * 86400 + slot * 3600 + 1)[0].name for run in range(size)]
        # Over the weeks of a square at the same hour, up to what shares have in common.
        counts = [names.count(str(place)) for place in range(len(shares))]
        assert [count * sum(shares) for count in counts] == [share * size for share in shares]
    arm, end = one.arm_at(monday)
    assert end == monday + 3600
    assert one.arm_at(end - 1) == (arm, end)


def test_views_change_without_the_names() -> None:
    one = ruled(PoolRule(use="b", hours=BERLIN))
    before = compile_zones(Compiled(), sources(one), LiveSet())
    later = compile_views(one, NO_NETWORKS, FRIDAY + 12 * 3600)
    after = set_views(before, {NAME: later})
    assert after.table.has_zones_of(before.table)
    assert after.table.views != before.table.views
    dealt = {pool for key in after.table.rotations for pool, _ in key.tiers if key.type == "A"}
    assert "b" in dealt
    assert set_views(after, {NAME: later}) is after
    other = {key for key in before.table.rotations if key.tiers == (("d", 0),)}
    assert all(after.table.rotations[key] is before.table.rotations[key] for key in other)
    again = compile_zones(after, {NAME: replace(after.sources[NAME])}, LiveSet(), {NAME: later})
    assert again.table.views == dict(later.views)


def test_names_share_their_views() -> None:
    rule = PoolRule(use="b", subnets=(ip_network("10.0.0.0/8"),))
    one = ruled(rule)
    more = Rule(owner=f"two.{OWNER}", type="A", ttl=30, tiers=(Tier(pool="a", rules=(rule,)),))
    six = Rule(owner=OWNER, type="AAAA", ttl=30, tiers=(Tier(pool="a", rules=(rule,)),))
    found = compile_views(one.model_copy(update={"rules": (*one.rules, more, six)}), NO_NETWORKS, 0.0)
    assert len(found.views) == 2
    assert len(found.partitions) == 1
    assert {key.type for key in found.rotation_keys() if isinstance(key, RotationKey)} == {"A", "AAAA"}
    assert clients_of(rule, NO_NETWORKS) == ranges_of(rule.subnets)


def test_no_view_is_made_that_nobody_gets() -> None:
    """One rule ends where the next begins: between them there is no address for the last pool."""
    halves = [PoolRule(use="b", subnets=(ip_network("0.0.0.0/1"), ip_network("::/1")))]
    halves += [PoolRule(use="c", subnets=(ip_network("128.0.0.0/1"), ip_network("8000::/1")))]
    found, _ = views_of(ruled(*halves))
    (key,) = found.views.values()
    assert [pools(one) for one in key.views] == [[("b",)], [("c",)]]
