"""Simulated shares: those of the cycles, and of what the responder deals to the same clients."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address, ip_network

import dns.edns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.choice import LastResort
from geodns.compiler.live_set import LiveSet
from geodns.control.sample_clients import MOST, NETWORKS, sample_clients
from geodns.control.simulation import (
    Scenario,
    SimulatedClient,
    compile_scenario,
    pooled_names,
    pooled_types,
    simulate,
    zone_for,
)
from geodns.control.simulation_shares import RuleShare, SimulatedName
from geodns.control.simulation_state import ceilings_at, found_down, remarks
from geodns.errors import ServerError
from geodns.model.address_ranges import EVERYWHERE, ranges_of
from geodns.model.state import Forced
from geodns.model.views import NO_NETWORKS, GeoNetworks
from geodns.model.warmup import WarmupStage
from geodns.model.zone import Zone
from geodns.responder.table import RotationKey
from geodns.signals.warmup import Sending
from geodns.wire.networks import Network
from tests.sample_zones import DOWN, NAME, Worker, data, live_set, sources, zone

OWNER = f"{NAME}."
TEXT = """
    hosts:
      a1: {address: [192.0.2.1, "2001:db8::1"], weight: 5}
      a2: {address: 192.0.2.2, weight: 3}
      a3: {address: 192.0.2.3, weight: 2}
      b1: 192.0.2.11
      b2: 192.0.2.12
      c1: 192.0.2.21
      d1: 192.0.2.31
    pools:
      main: {hosts: "a*", fallback: help}
      near: {hosts: "b*", pick: client}
      trial: {hosts: [c1]}
      help: {hosts: [d1], when_down: servfail}
    records:
      "@":
        A:
          pool:
            - {subnets: [198.51.100.0/24, "2001:db8:1::/48"], use: near}
            - {countries: [DE], use: help}
            - main
        MX: [{pool: main, preference: 10}, {pool: help, preference: 20}]
      plain: {pool: main}
      tried: {A: {pool: main}}
      "*.w": {A: {pool: trial}}
      alias: {CNAME: tried}
      _smtp._tcp: {SRV: {pool: main, port: 25}}
    experiments: {new: {name: tried, arms: {old: {share: 3, pool: main}, new: {share: 1, pool: trial}}}}
"""
ZONE = zone(TEXT)
GEO = GeoNetworks({"DE": ranges_of([ip_network("203.0.113.0/24")])})
HOSTS = {str(address): host.name for host in ZONE.hosts for address in host.addresses}
ALL = [SimulatedClient("192.0.2.200")]


def scenario(
    one: Zone = ZONE, live: LiveSet | None = None, geo: GeoNetworks = NO_NETWORKS, now: float = 0.0
) -> Scenario:
    return compile_scenario(sources(one), live or LiveSet(), geo, now)


def dealt(
    name: str = "@",
    rtype: str = "A",
    clients: Iterable[SimulatedClient] | None = ALL,
    *,
    base: Scenario | None = None,
) -> SimulatedName:
    owner = OWNER if name == "@" else f"{name}.{OWNER}"
    (found,) = simulate(base or scenario(), [(owner, rtype)], clients)
    return found


def first(found: SimulatedName, rank: int = 0) -> dict[str, float]:
    return {host.host: float(host.first) for host in found.hosts if host.rank == rank}


def test_shares_are_those_of_the_whole_cycle() -> None:
    found = dealt("plain")
    assert first(found) == {"a1": 0.5, "a2": 0.3, "a3": 0.2}
    assert [float(host.uniform) for host in found.hosts] == [0.5, 0.3, 0.2]
    assert sum(host.answers for host in found.hosts) == 2, "an answer names two"
    assert found.ttls == (30, 30)
    assert found.servfail == found.nodata == found.last_resort == 0
    assert [(pool.pool, float(pool.share), pool.using) for pool in found.pools] == [("main", 1.0, ("main",))]
    assert found.rules == (RuleShare(0, 1, "", "main", Fraction(1)),)
    assert first(dealt("_smtp._tcp", "SRV")) == {"a1": 0.5, "a2": 0.3, "a3": 0.2}
    ranked = dealt("@", "MX")
    assert (first(ranked, 10), first(ranked, 20)) == ({"a1": 0.5, "a2": 0.3, "a3": 0.2}, {"d1": 1.0})


def test_each_client_counts_for_its_rule_as_often_as_it_asks() -> None:
    clients = [
        SimulatedClient("198.51.100.9", queries=3),
        SimulatedClient("192.0.2.200", ip_network("198.51.100.0/24"), 2),
        SimulatedClient("2001:db8:1::5"),
        SimulatedClient("203.0.113.7", queries=2),
        SimulatedClient("198.51.100.9", ip_network("192.0.2.0/24"), 2),
    ]
    found = dealt("@", "A", clients, base=scenario(geo=GEO))
    assert found.queries == 10
    assert [(rule.number, rule.pool, float(rule.share)) for rule in found.rules] == [
        (1, "near", 0.6),
        (2, "help", 0.2),
        (3, "main", 0.2),
    ]
    assert found.rules[0].when == "subnets 198.51.100.0/24, 2001:db8:1::/48"
    assert first(found)["d1"] == 0.2
    assert first(found)["a1"] == 0.1
    unknown = dealt("@", "A", clients)
    assert [float(rule.share) for rule in unknown.rules] == [0.6, 0, 0.4], "without GeoIP nobody is in DE"


def test_arms_are_shares_of_networks_and_an_alias_leads_to_them() -> None:
    for name in ("tried", "alias"):
        found = dealt(name, clients=None)
        assert [(arm.arm, float(arm.failover)) for arm in found.arms] == [("new/old", 0.0), ("new/new", 0.0)]
        assert 0.22 < found.arms[1].share < 0.28
        assert [float(pool.share) for pool in found.pools] == [float(arm.share) for arm in found.arms]
    failed = dealt("tried", clients=None, base=scenario(live=live_set(ZONE, {"c1": DOWN})))
    assert failed.arms[1].failover == failed.arms[1].share > 0
    assert [(pool.pool, float(pool.share)) for pool in failed.pools] == [("main", 1.0)]
    assert (float(failed.last_resort), first(failed)["a1"]) == (0.0, 0.5)


def _down(*hosts: str) -> Scenario:
    return scenario(live=LiveSet(found_down({NAME: ZONE}, [(NAME, host) for host in hosts])))


def test_hosts_that_are_down_bring_fallbacks_short_ttls_and_last_resorts() -> None:
    helped = dealt("plain", base=_down("a1", "a2"))
    assert helped.pools[0].using == ("main", "help")
    assert helped.ttls is not None
    assert helped.ttls[0] < 30
    assert set(first(helped)) == {"a3", "d1"}
    everybody = dealt("plain", base=_down("a1", "a2", "a3", "d1"))
    assert everybody.last_resort == 1
    assert everybody.pools[0].last_resort == LastResort.DOWN
    clients = [SimulatedClient("203.0.113.7"), *ALL]
    base = compile_scenario(sources(ZONE), _down("d1").live, GEO, 0.0)
    refused = dealt("@", clients=clients, base=base)
    assert refused.servfail == Fraction(1, 2)
    assert [(pool.pool, pool.last_resort) for pool in refused.pools] == [
        ("help", LastResort.SERVFAIL),
        ("main", None),
    ]


def test_a_family_that_some_pools_have_alone_is_nodata_elsewhere() -> None:
    text = 'hosts: {a: [192.0.2.1, "2001:db8::1"], b: 192.0.2.2}\npools: {a: {hosts: [a]}, b: {hosts: [b]}}\n'
    text += 'records: {"@": {pool: [{subnets: [198.51.100.0/24], use: b}, a], MX: "0 ."}}\n'
    clients = [SimulatedClient("198.51.100.9"), *ALL]
    found = dealt("@", "AAAA", clients, base=scenario(zone(text)))
    assert (found.nodata, first(found)) == (Fraction(1, 2), {"a": 0.5})


def test_hours_are_those_of_the_moment() -> None:
    text = "hosts: {a: 192.0.2.1, b: 192.0.2.2}\npools: {a: {hosts: [a]}, b: {hosts: [b]}}\n"
    rules = '[{hours: "Mon-Fri 08:00-18:00", tz: Europe/Berlin, use: b}, a]'
    text += f'records: {{"@": {{A: {{pool: {rules}}}, MX: "0 ."}}}}\n'
    monday = datetime(2026, 11, 30, 7, 0, tzinfo=UTC).timestamp()
    for now, hosts in ((monday - 1, {"a": 1}), (monday, {"b": 1})):
        assert first(dealt(clients=None, base=scenario(zone(text), now=now))) == hosts


def test_an_experiment_by_time_deals_the_arm_of_the_moment() -> None:
    one = zone(TEXT.replace("{name: tried, ", "{name: tried, by: time, slot: 1h, "))
    moments = [datetime(2026, 11, 30, hour, tzinfo=UTC).timestamp() for hour in range(24)]
    arms = [one.experiments[0].arm_at(now)[0].name for now in moments]
    assert {*arms} == {"old", "new"}
    for now, arm in zip(moments, arms, strict=True):
        (found,) = dealt("tried", base=scenario(one, now=now)).arms
        assert (found.arm, float(found.share)) == (f"new/{arm}", 1.0)


def test_a_sample_has_every_range_that_rules_tell_apart() -> None:
    found = sample_clients([ranges_of([ip_network("10.0.0.0/8")]), EVERYWHERE], hashed=False)
    assert {(one.ipv6, one.address) for one in found.clients} == {
        (False, 0),
        (False, 10 << 24),
        (False, 11 << 24),
        (True, 0),
    }
    assert (found.ranges, found.taken, found.clients.total()) == (4, 4, 4)
    hashed = sample_clients([ranges_of([ip_network("10.0.0.0/24")])], hashed=True)
    inside = [one for one in hashed.clients if one.address >> 8 == 10 << 16 and not one.ipv6]
    assert sum(hashed.clients[one] for one in inside) == NETWORKS // 4, "a quarter of all, though one network"
    assert hashed.clients.total() == NETWORKS
    many = ranges_of([ip_network(f"10.{number >> 7}.{number % 128 * 2}.0/24") for number in range(MOST)])
    found = sample_clients([many], hashed=False)
    assert (found.ranges, found.taken) == (2 * MOST + 2, MOST)


WARMING = """
    hosts:
      a: 192.0.2.1
      b: 192.0.2.2
      n: {address: 192.0.2.9, warmup: {plan: [1000, 2000, 4000], start: 2026-12-01}}
    ttl: 5
    pools:
      main: {hosts: "*", volume: 10000, answers: 1}
      near: {hosts: "*", volume: 10000, pick: client}
    records: {"@": {A: {pool: main}, MX: "0 ."}, near: {A: {pool: near}}}
"""


def test_ceilings_say_how_far_hosts_are_within() -> None:
    one = zone(WARMING)
    now = datetime(2026, 12, 2, 12, tzinfo=UTC).timestamp()
    ceilings = ceilings_at([one], now)
    assert ceilings == {(NAME, "n"): Fraction(2000, 20000)}
    base = scenario(one, LiveSet(ceilings=ceilings))
    (bound,) = dealt(base=base).ceilings
    assert (bound.host, bound.ceiling) == ("n", Fraction(1, 10))
    assert Fraction(9, 100) < bound.share <= bound.ceiling
    assert not bound.passed
    # Few clients of a pool that picks by client can all fall to one host.
    buckets = simulate(base, [(f"near.{OWNER}", "A")], None)[0]
    assert buckets.ceilings[0].share < Fraction(13, 100)
    alone = next(
        found
        for number in range(256)
        for found in (dealt("near", clients=[SimulatedClient(f"10.0.{number}.1")], base=base),)
        if "n" in first(found)
    )
    assert alone.ceilings[0].share == 1
    assert alone.ceilings[0].passed


@pytest.mark.parametrize(
    ("day", "stage", "cap"),
    [
        pytest.param(30, None, 0, id="before its start"),
        pytest.param(31, None, 1000, id="its first day"),
        pytest.param(34, None, None, id="over"),
        pytest.param(33, (1, 33), 1000, id="behind the calendar"),
        pytest.param(34, (1, 33), 2000, id="a day later"),
        pytest.param(29, (1, 33), 1000, id="of the past it is as today"),
    ],
)
def test_plans_go_on_by_the_calendar(day: int, stage: tuple[int, int] | None, cap: int | None) -> None:
    """Days are counted from 2026-11-01."""
    one = zone(WARMING)
    plan = one.host_by_name["n"].warmup
    assert plan is not None
    begin = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    known = {}
    if stage is not None:
        date = datetime.fromtimestamp(begin + (stage[1] - 1) * 86400, UTC).date()
        known = {(NAME, "n"): (WarmupStage(plan.start, stage[0], date), Sending(20000, Fraction(1), 5))}
    found = ceilings_at([one], begin + (day - 1) * 86400.0, known)[NAME, "n"]
    assert found == (1 if cap is None else Fraction(cap, 20000))


def test_what_probes_would_not_find_is_remarked() -> None:
    text = "hosts: {a: 192.0.2.1, twin: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3}\n"
    text += "pools: {main: {hosts: [a, twin, b]}, bare: {hosts: [c], check: none}}\n"
    text += 'records: {"@": {A: {pool: main}, MX: "0 ."}, x: {A: {pool: bare}}}\n'
    one = zone(text)
    down = [(NAME, "a"), (NAME, "b"), (NAME, "c")]
    found = list(remarks({NAME: one}, down, {(NAME, "b"): Forced.UP}))
    assert len(found) == 3
    assert found[0].startswith(f"b.{NAME} is forced up")
    assert found[1].startswith(f"c.{NAME} has no check")
    assert found[2].startswith(f"twin.{NAME} has an address of a host that is down")


def test_names_and_types_with_a_pool() -> None:
    base = scenario()
    assert pooled_names(ZONE)[:2] == [OWNER, f"plain.{OWNER}"]
    assert pooled_names(ZONE, "SRV") == [f"_smtp._tcp.{OWNER}"]
    assert pooled_types(base, OWNER) == ["A", "MX"]
    assert pooled_types(base, f"plain.{OWNER}") == ["A", "AAAA"]
    assert pooled_types(base, f"x.w.{OWNER}") == pooled_types(base, f"alias.{OWNER}") == ["A"]
    assert pooled_types(base, f"a1.{OWNER}") == pooled_types(base, f"no.{OWNER}") == []
    inner = zone(TEXT, "sub.out.example.com")
    zones = {NAME: ZONE, inner.name: inner}
    assert zone_for(zones, f"x.sub.{OWNER}") is inner
    assert zone_for(zones, f"xsub.{OWNER}") is ZONE
    assert zone_for(zones, "example.com.") is None


def test_dealing_ends_when_there_is_no_time_left() -> None:
    with pytest.raises(ServerError, match="too long"):
        simulate(scenario(), [(OWNER, "A")], ALL, lambda: False)


CLIENTS = st.lists(
    st.builds(
        SimulatedClient,
        st.one_of(
            st.integers(0, 255).map(lambda last: f"198.51.100.{last}"),
            st.integers(0, 2**16 - 1).map(lambda low: str(IPv4Address((192 << 24) + low * 256 + 5))),
            st.integers(0, 2**20).map(lambda low: str(IPv6Address((0x20010DB8 << 96) + (low << 76)))),
        ),
        st.one_of(
            st.none(),
            st.integers(0, 2**10).map(lambda low: ip_network(((198 << 24) + (51 << 16) + low * 256, 24))),
            st.sampled_from(
                [ip_network("0.0.0.0/0"), ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/56")]
            ),
        ),
        st.integers(1, 3),
        st.just(""),
    ),
    min_size=1,
    max_size=12,
)


@given(
    CLIENTS,
    st.sampled_from(["@", "tried", "plain"]),
    st.sets(st.sampled_from(["a1", "a2", "a3", "b1", "c1", "d1"])),
)
def test_shares_add_up(clients: list[SimulatedClient], name: str, down: set[str]) -> None:
    found = dealt(name, "A", clients, base=_down(*down))
    for column in ("first", "uniform"):
        assert sum(getattr(host, column) for host in found.hosts) + found.nodata + found.servfail == 1
    assert sum(rule.share for rule in found.rules) == 1
    assert sum(pool.share for pool in found.pools) + found.nodata == 1
    assert sum(arm.share for arm in found.arms) in ({1} if name == "tried" else {0})
    assert dealt(name, "A", clients, base=_down(*down)) == found


@given(CLIENTS, st.sampled_from(["@", "tried", "alias", "plain"]))
def test_the_responder_deals_from_the_same_pools(clients: list[SimulatedClient], name: str) -> None:
    worker, base = Worker(ZONE), scenario()
    for one in clients:
        options = [] if one.network is None else [_option(one.network)]
        answer = worker.ask(name, client=(one.source, 53, "udp"), use_edns=0, options=options)
        shown = [HOSTS[text] for text in data(answer) if text in HOSTS]
        found = dealt(name, "A", [one], base=base)
        named = {host.host: host.answers for host in found.hosts}
        # No two pools have a host in common.
        assert set(shown) <= named.keys()
        assert len(shown) == sum(named.values())
        if found.pools[0].pool == "near":
            assert named == {shown[0]: 1}


def test_over_a_cycle_the_responder_deals_these_shares() -> None:
    worker, found = Worker(ZONE), dealt("plain")
    cycle = len(worker.compiled.table.rotations[RotationKey(NAME, "A", 30, (("main", 0),))].parts[0].index)
    seen = Counter(HOSTS[data(worker.ask("plain"))[0]] for _ in range(cycle))
    assert seen == {host.host: host.first * cycle for host in found.hosts}


def _option(network: Network) -> dns.edns.ECSOption:
    return dns.edns.ECSOption(str(network.network_address), network.prefixlen)
