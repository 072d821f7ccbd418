"""What is compiled, and above all what is not compiled again."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

import dns.message
import pytest

from geodns.compiler.answers import Source, service_weights
from geodns.compiler.choice import LastResort
from geodns.compiler.compile import Compiled, compile_zones, pools_by_host, recompile_pools
from geodns.compiler.dealt import Dealt
from geodns.compiler.live_set import LiveSet
from geodns.model.state import Forced, HealthState, Verdict
from geodns.model.zone import Member, Rule, Tier, Zone
from geodns.responder.table import RotationKey
from geodns.wire import codes
from geodns.wire.names import name_to_wire
from tests.sample_zones import (
    DOWN,
    NAME,
    ORIGIN,
    SERIAL,
    TCP,
    UP,
    Worker,
    absolute,
    data,
    host,
    live_set,
    records,
    sources,
    zone,
)

POOLS = """
    hosts:
      a: {address: [192.0.2.1, "2001:db8::1"], weight: 5}
      b: {address: 192.0.2.2, weight: 3}
      c: {address: 192.0.2.3, weight: 2}
      d: 192.0.2.4
    pools:
      main:  {hosts: [a, b, c], check: smtp}
      other: {hosts: [d], check: smtp}
      short: {hosts: [c], check: smtp, fallback: other}
      long:  {hosts: [b], check: smtp, fallback: short}
    records:
      "@":   {pool: main, MX: {pool: main, preference: 10}}
      alias: {pool: main}
      brief: {A: {pool: main, ttl: 5}}
      other: {pool: other}
      short: {pool: short}
      in:    {MX: [{pool: main, preference: 10}, {pool: other, preference: 20}]}
"""


@pytest.fixture(scope="module")
def one() -> Zone:
    return zone(POOLS)


def compiled(*zones: Zone, live: LiveSet | None = None) -> Compiled:
    return compile_zones(Compiled(), sources(*zones), live or LiveSet())


def moved(before: Compiled, after: Compiled) -> set[tuple[str, tuple[str, ...]]]:
    """Return the types and pools of the rotations that are not the very same as before."""
    assert before.table.rotations.keys() == after.table.rotations.keys()
    return {
        (key.type, tuple(pool for pool, _ in key.tiers))
        for key, rotation in after.table.rotations.items()
        if before.table.rotations[key] is not rotation
    }


# --- only what a change touches ------------------------------------------------------------------------


def test_a_flip_touches_the_rotations_of_its_pool_alone(one: Zone) -> None:
    before = compiled(one)
    after = recompile_pools(before, [(NAME, "main")], live_set(one, {"a": DOWN}))
    assert moved(before, after) == {
        ("A", ("main",)),
        ("AAAA", ("main",)),
        ("MX", ("main",)),
        ("MX", ("main", "other")),
    }
    assert after.table.zones is before.table.zones
    assert after.sources is before.sources
    assert before.choices[NAME, "main"].hosts == ("a", "b", "c"), "what was handed out stays"


@pytest.mark.parametrize(
    "live",
    [LiveSet(), {"d": DOWN}, {"a": UP, "b": UP, "c": UP}, {"a": Verdict(successes=3)}],
    ids=["nothing new", "another pool's host", "unknown became up", "one more success"],
)
def test_nothing_is_made_when_no_choice_changes(one: Zone, live: LiveSet | dict[str, Verdict]) -> None:
    before = compiled(one)
    found = live if isinstance(live, LiveSet) else live_set(one, live)
    assert recompile_pools(before, [(NAME, "main")], found) is before


def test_names_that_share_a_pool_share_its_rotation(one: Zone) -> None:
    table = compiled(one).table
    nodes = table.zones[name_to_wire(ORIGIN)].nodes
    apex, alias, brief = (nodes[name_to_wire(absolute(name))].rrsets[1] for name in ("@", "alias", "brief"))
    assert apex == alias != brief
    assert len([key for key in table.rotations if key.type == "A"]) == 4


def test_a_host_reaches_pools_through_fallbacks(one: Zone) -> None:
    found = pools_by_host(one)
    assert {name: {pool for _, pool in pools} for name, pools in found.items()} == {
        "a": {"main"},
        "b": {"main", "long"},
        "c": {"main", "short", "long"},
        "d": {"other", "short", "long"},
    }
    before = compiled(one, live=live_set(one, {"c": DOWN}))
    after = recompile_pools(before, found["d"], live_set(one, {"c": DOWN, "d": DOWN}))
    assert moved(before, after) == {
        ("A", ("other",)),
        ("A", ("short",)),
        ("MX", ("main", "other")),
    }


def test_an_edited_zone_leaves_the_others_alone(one: Zone) -> None:
    second = zone("hosts: {m: 192.0.2.9}", "two.example")
    before = compiled(one, second)
    edited = zone("hosts: {m: 192.0.2.8}", "two.example")
    after = compile_zones(before, {**before.sources, "two.example": Source(edited, SERIAL)}, LiveSet())
    origin, other = name_to_wire(ORIGIN), name_to_wire("two.example.")
    assert after.table.zones[origin] is before.table.zones[origin]
    assert after.table.zones[other] is not before.table.zones[other]
    changed = {
        key.zone for key, made in after.table.rotations.items() if before.table.rotations[key] is not made
    }
    assert changed == {"two.example"}
    assert all(after.choices[key] is choice for key, choice in before.choices.items() if key[0] == NAME)


def test_a_removed_zone_leaves_nothing(one: Zone) -> None:
    second = zone("hosts: {m: 192.0.2.9}", "two.example")
    before = compiled(one, second)
    after = compile_zones(before, {NAME: before.sources[NAME]}, LiveSet())
    assert (
        {key.zone for key in after.table.rotations} == {zone_name for zone_name, _ in after.choices} == {NAME}
    )
    assert {zone_name for zone_name, _ in after.keys} == {NAME}
    assert list(after.table.zones) == [name_to_wire(ORIGIN)]


def test_the_same_facts_compile_to_the_same_rotations(one: Zone) -> None:
    first, second = compiled(one), compiled(zone(POOLS))
    assert {key: made.uid for key, made in first.table.rotations.items()} == {
        key: made.uid for key, made in second.table.rotations.items()
    }


# --- names ---------------------------------------------------------------------------------------------


def test_retired_hosts_answer_for_their_own_names(one: Zone) -> None:
    gone = (host("old", "192.0.2.77", "2001:db8::77"), host("a", "192.0.2.78"), host("alias", "192.0.2.79"))
    worker = Worker(one, retired=gone)
    assert list(records(worker.ask("old").answer)) == ["old 30 A 192.0.2.77"]
    assert list(records(worker.ask("old", "AAAA").answer)) == ["old 30 AAAA 2001:db8::77"]
    assert data(worker.ask("a")) == ("192.0.2.1",), "whoever has the name now comes first"
    assert "192.0.2.79" not in data(worker.ask("alias"))
    assert not {"old", "alias"} & {name for key in worker.compiled.choices.values() for name in key.hosts}, (
        "not dealt"
    )


@pytest.mark.parametrize("beside", ["TXT: v=spf1 -all", "MX: {pool: main, preference: 5}"])
def test_a_retired_host_answers_beside_other_records_of_its_name(beside: str) -> None:
    one = zone(f"""
        hosts: {{m: 192.0.2.1}}
        records: {{old: {{{beside}}}}}
    """)
    assert data(Worker(one, retired=(host("old", "192.0.2.77"),)).ask("old")) == ("192.0.2.77",)


def test_a_family_that_no_host_has_is_nodata_without_a_rotation(one: Zone) -> None:
    before = compiled(one)
    assert not [key for key in before.table.rotations if key.type == "AAAA" and key.tiers != (("main", 0),)]
    found = Worker(one).ask("other", "AAAA")
    assert (found.rcode(), data(found), [rrset.rdtype.name for rrset in found.authority]) == (0, (), ["SOA"])


def test_a_fallbacks_family_counts() -> None:
    one = zone("""
        hosts: {four: 192.0.2.1, six: "2001:db8::1"}
        pools: {main: {hosts: [four], check: smtp, fallback: back}, back: {hosts: [six]}}
        records: {x: {pool: main}}
    """)
    worker = Worker(one)
    assert data(worker.ask("x", "AAAA")) == ("2001:db8::1",), "NODATA only where nobody in the chain has one"
    assert data(worker.ask("x", "A")) == ("192.0.2.1",)
    worker.believe(live_set(one, {"four": DOWN}), "main", "back")
    assert data(worker.ask("x", "AAAA")) == ("2001:db8::1",)
    assert data(worker.ask("x", "A")) == ("192.0.2.1",), "the last resort of IPv4, whoever lives on IPv6"


# --- SRV ------------------------------------------------------------------------------------------------

SERVICES = """
    ttl: 30
    hosts:
      a: {address: [192.0.2.1, "2001:db8::1"], weight: 50}
      b: {address: 192.0.2.2, weight: 30}
      d: 192.0.2.4
    pools:
      main:  {hosts: [a, b], check: smtp}
      other: {hosts: [d], check: smtp}
    records:
      _submission._tcp: {SRV: {pool: main, port: 587}}
      _submissions._tcp: {SRV: [{pool: main, port: 465, priority: 5}, {pool: other, port: 4650, priority: 7}]}
"""


def services(worker: Worker, name: str) -> set[str]:
    return {value.removesuffix("." + ORIGIN) for value in data(worker.ask(name, "SRV"))}


def test_srv_names_the_live_hosts_with_their_effective_weights() -> None:
    one = zone(SERVICES)
    worker = Worker(one)
    assert services(worker, "_submission._tcp") == {"0 50 587 a", "0 30 587 b"}
    assert services(worker, "_submissions._tcp") == {"5 50 465 a", "5 30 465 b", "7 1 4650 d"}
    found = worker.ask("_submission._tcp", "SRV")
    assert [rrset.ttl for rrset in found.answer] == [30]
    assert {str(record) for rrset in found.additional for record in rrset} == {
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.2",
    }
    worker.believe(live_set(one, {"a": Verdict(HealthState.UP, level=2)}), "main", "other")
    assert services(worker, "_submission._tcp") == {"0 25 587 a", "0 60 587 b"}, "12.5 to 30"
    worker.believe(live_set(one, {"b": DOWN, "192.0.2.1": DOWN}), "main", "other")
    assert services(worker, "_submission._tcp") == {"0 50 587 a"}
    assert [
        str(record) for rrset in worker.ask("_submission._tcp", "SRV").additional for record in rrset
    ] == ["2001:db8::1"]
    worker.believe(live_set(one, {"a": DOWN, "b": DOWN}), "main", "other")
    assert services(worker, "_submission._tcp") == {"0 50 587 a", "0 30 587 b"}, "the last resort"
    assert services(worker, "_submissions._tcp") == {"7 1 4650 d"}, "a pool with nobody live is left out"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([Fraction(50), Fraction(30)], [50, 30]),
        ([Fraction(25, 2), Fraction(1, 3)], [75, 2]),
        ([Fraction(2_000_000_000), Fraction(1_000_000_000), Fraction(1)], [65535, 32768, 1]),
        ([Fraction(1, 65537), Fraction(1)], [1, 65535]),
    ],
)
def test_weights_of_services_are_whole_and_none_is_0(weights: list[Fraction], expected: list[int]) -> None:
    dealt = [Dealt("x", (), 1, {"factor": weight}) for weight in weights]
    assert service_weights(dealt) == expected


def test_srv_of_many_hosts_takes_turns() -> None:
    one = zone("""
        hosts: {"m[001-100]": {address: "192.0.2.[1-100]"}}
        records: {x: {SRV: {pool: main, port: 25}}}
    """)
    (rotation,) = (each for each in compiled(one).table.rotations.values() if each.key.type == "SRV")
    (part,) = rotation.parts
    assert [len(row) for row in part.sets] == [25, 25, 25, 25]
    assert len({name for row in part.sets for name in row}) == 100


# --- no RRset holds a record twice -----------------------------------------------------------------------

TWINS = """
    hosts: {a: {address: [192.0.2.1, 192.0.2.9], weight: 5}, b: {address: 192.0.2.2, weight: 3}, c: 192.0.2.1}
    pools:
      main: {hosts: [a, b, c], answers: 5, fallback: back, min_live: 100%}
      also: {hosts: {a: 2, c: 2}, answers: 5}
      back: {hosts: {a: 1, b: 1}}
    records:
      "@": {A: {pool: main}}
      in:  {MX: [{pool: main, preference: 10}, {pool: also, preference: 10}, {pool: back, preference: 20}]}
      srv: {SRV: [{pool: main, port: 25, priority: 1}, {pool: also, port: 25, priority: 1}]}
      own: {SRV: [{pool: main, port: 25, priority: 1}, {pool: also, port: 26, priority: 1}]}
"""


@pytest.mark.parametrize(
    ("name", "rtype", "down", "named"),
    [
        ("@", "A", {}, {"192.0.2.1", "192.0.2.2", "192.0.2.9"}),
        ("in", "MX", {}, {"10 a", "10 b", "10 c", "20 a", "20 b"}),
        ("in", "MX", {"c": DOWN}, {"10 a", "10 b", "20 a", "20 b"}),
        ("srv", "SRV", {}, {"1 5 25 a", "1 3 25 b", "1 1 25 c"}),
        ("own", "SRV", {}, {"1 5 25 a", "1 3 25 b", "1 1 25 c", "1 2 26 a", "1 2 26 c"}),
    ],
    ids=["hosts-that-share-an-address", "pools-that-share-hosts", "a-fallback", "services", "other-ports"],
)
def test_no_answer_holds_a_record_twice(
    name: str, rtype: str, down: dict[str, Verdict], named: set[str]
) -> None:
    worker = Worker(zone(TWINS))
    worker.believe(live_set(zone(TWINS), down), "main", "also", "back")
    seen: set[str] = set()
    for _ in range(64):
        answer = worker.raw(dns.message.make_query(absolute(name), rtype).to_wire(), TCP)
        assert answer is not None
        found = dns.message.from_wire(answer, one_rr_per_rrset=True).answer
        texts = [str(record) for rrset in found for record in rrset]
        assert len(texts) == len(set(texts))
        seen |= {text.removesuffix("." + ORIGIN) for text in texts}
    assert seen == named


# --- MX ------------------------------------------------------------------------------------------------


def exchanges(rows: Iterable[tuple[str, ...]]) -> Counter[str]:
    return Counter(row[0].removesuffix("." + ORIGIN) for row in rows)


def test_mx_sets_name_the_hosts_at_equal_preference_by_the_same_rotation(one: Zone) -> None:
    worker = Worker(one)
    worker.compiled = compiled(
        zone(POOLS.replace("in:    {MX: [{pool: main, preference: 10}, {pool: other, preference: 20}]}", ""))
    )
    rows = worker.hosts_of_cycle("@", "MX")
    assert {word.split()[0] for row in rows for word in row} == {"10"}
    first = exchanges(rows)
    assert {name: count * 10 // len(rows) for name, count in first.items()} == {
        "10 a": 5,
        "10 b": 3,
        "10 c": 2,
    }


TIERS = zone("""
    hosts: {a: 192.0.2.1, b: 192.0.2.2}
    pools:
      near: {hosts: [a], check: smtp}
      far: {hosts: [b], check: smtp}
      never: {hosts: [a], check: smtp, when_down: servfail}
    records:
      in: {MX: [{pool: near, preference: 10}, {pool: far, preference: 20}]}
      strict: {MX: [{pool: never, preference: 10}, {pool: far, preference: 20}]}
      only: {MX: {pool: never, preference: 10}}
""")
A, B = f"10 a.{ORIGIN}", f"20 b.{ORIGIN}"


@pytest.mark.parametrize(
    ("name", "bad", "expected"),
    [
        ("in", {}, {A, B}),
        ("in", {"a": DOWN}, {B}),
        ("in", {"b": DOWN}, {A}),
        ("in", {"a": DOWN, "b": DOWN}, {A, B}),
        ("in", {"a": Forced.DOWN, "b": DOWN}, {B}),
        ("in", {"a": Forced.DOWN, "b": Forced.DOWN}, None),
        ("strict", {"a": DOWN, "b": DOWN}, {B}),
        ("only", {"a": DOWN}, None),
    ],
    ids=[
        "both",
        "first down",
        "second down",
        "last resort",
        "forced down",
        "nobody",
        "servfail tier",
        "servfail",
    ],
)
def test_tiers(name: str, bad: dict[str, Verdict | Forced], expected: set[str] | None) -> None:
    live = live_set(
        TIERS,
        {key: state for key, state in bad.items() if isinstance(state, Verdict)},
        forced={key: state for key, state in bad.items() if isinstance(state, Forced)},
    )
    found = Worker(TIERS, live=live).ask(name, "MX")
    assert (found.rcode() == codes.SERVFAIL) == (expected is None)
    assert set(data(found)) == (expected or set())


def test_a_tier_that_is_left_out_does_not_shorten_the_ttl() -> None:
    worker = Worker(TIERS)
    worker.believe(live_set(TIERS, {"a": DOWN}), "near", "far", "never")
    assert [rrset.ttl for rrset in worker.ask("in", "MX").answer] == [30]
    worker.believe(live_set(TIERS, {"a": DOWN, "b": DOWN}), "near", "far", "never")
    assert [rrset.ttl for rrset in worker.ask("in", "MX").answer] == [20]


def test_a_host_lends_its_addresses_in_turn() -> None:
    one = zone("""
        hosts: {a: [192.0.2.1, 192.0.2.2, 192.0.2.3], b: 192.0.2.9}
        records: {x: {pool: main}}
    """)
    found = Counter(address for row in Worker(one).hosts_of_cycle("x") for address in row)
    thirds = [found[f"192.0.2.{last}"] for last in (1, 2, 3)]
    assert sum(thirds) == found["192.0.2.9"]
    assert max(thirds) - min(thirds) <= 1


def test_every_answers_hosts_are_known(one: Zone) -> None:
    made = compiled(one)
    assert made.choices[NAME, "main"].last_resort is not LastResort.DOWN
    for key, rotation in made.table.rotations.items():
        assert isinstance(key, RotationKey)
        for part in rotation.parts:
            assert len(part.sets) == len(part.answers)
            assert set(part.index) == set(range(len(part.answers)))
            assert {name for row in part.sets for name in row} <= set(made.choices[NAME, part.pool].hosts)


def test_twenty_thousand_names_of_a_pool_of_500_hosts_without_that_family() -> None:
    """No timing here; but work in names times hosts would be felt."""
    one = zone("hosts: {m: 192.0.2.1}")
    hosts = tuple(host(f"m{number}", f"10.0.{number // 250}.{number % 250}") for number in range(500))
    members = tuple(Member(host=each.name, weight=1) for each in hosts)
    rules = tuple(
        Rule(owner=f"n{number}.{ORIGIN}", type="AAAA", ttl=30, tiers=(Tier(pool="main"),))
        for number in range(20_000)
    )
    pools = (one.pools[0].model_copy(update={"members": members}),)
    big = one.model_copy(update={"hosts": hosts, "pools": pools, "rules": rules})
    assert len(compiled(big).table.zones[name_to_wire(ORIGIN)].nodes) == 20_000 + len({"@", "ns1", "m"})
