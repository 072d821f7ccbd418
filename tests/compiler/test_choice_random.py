"""Which hosts a pool deals, over random pools, fallbacks and live sets: the rules of the choice."""

import math
from collections import Counter
from fractions import Fraction
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.choice import LastResort, choose
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.model.base import FAMILIES, Family
from geodns.model.checks import BUILT_IN_CHECKS
from geodns.model.hosts import Host
from geodns.model.state import Forced, HealthState, Verdict
from geodns.model.zone import Member, MinLive, NameServer, Pool, Rule, Soa, Tier, Zone
from tests.sample_zones import DOWN, NAME, ORIGIN, SHED, UP, failing, host, live_set, sources

HOSTS = tuple("abcdefgh")
POOLS = ("p", "q", "r", "s")


JURIES: tuple[dict[str, Any], ...] = (
    {"checks": ()},
    {"checks": ("smtp",)},
    {"checks": ("smtp", "tcp"), "need": 2},
    {"checks": ("tcp", "smtp"), "need": 1},
)


@st.composite
def zones(draw: st.DrawFn) -> Zone:
    """Draw a zone of random hosts, pools and fallbacks, loops included."""
    names = HOSTS[: draw(st.integers(1, len(HOSTS)))]
    numbers = {name: number for number, name in enumerate(HOSTS, 1)}
    kinds = {name: draw(st.sampled_from(("4", "6", "46", "44"))) for name in names}
    hosts = tuple(_host(name, numbers[name], kinds[name]) for name in names)
    pool_names = POOLS[: draw(st.integers(1, len(POOLS)))]
    pools = []
    for name in pool_names:
        members = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        weights = draw(st.lists(st.integers(0, 9), min_size=len(members), max_size=len(members)).filter(any))
        pools.append(
            Pool(
                name=name,
                members=tuple(Member(host=one, weight=w) for one, w in zip(members, weights, strict=True)),
                **draw(st.sampled_from(JURIES)),
                answers=draw(st.integers(1, 4)),
                min_live=MinLive(amount=draw(st.integers(0, 100)), percent=draw(st.booleans())),
                fallback=draw(st.sampled_from((None, *pool_names))),
                fallback_mode=draw(st.sampled_from(("add", "replace"))),
                when_down=draw(st.sampled_from(("serve-all", "servfail"))),
            )
        )
    rules = tuple(
        Rule(owner=f"{pool.name}.{ORIGIN}", type=rtype, ttl=30, tiers=(Tier(pool=pool.name),))
        for pool in pools
        for rtype in (*FAMILIES, "MX")
    )  # fmt: skip
    return Zone(
        name=NAME,
        soa=Soa(mname="ns.example.net.", rname=f"hostmaster.{ORIGIN}"),
        ns=(NameServer(name="ns.example.net."),),
        checks=BUILT_IN_CHECKS,
        hosts=hosts,
        pools=tuple(pools),
        rules=rules,
    )


def _host(name: str, number: int, kind: str) -> Host:
    given = {"4": f"192.0.2.{number}", "6": f"2001:db8::{number}"}
    addresses = [given[family] for family in kind]
    return host(name, *(addresses if kind != "44" else (given["4"], f"198.51.100.{number}")))


VERDICTS = st.sampled_from((UP, DOWN, SHED, failing(1), Verdict(), Verdict(HealthState.UP, level=2)))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Zone, LiveSet]:
    """Draw a zone and what is believed of its hosts."""
    one = draw(zones())
    texts = [str(address) for each in one.hosts for address in each.addresses]
    names = st.sampled_from([each.name for each in one.hosts])
    factors: Any = st.dictionaries(
        names, st.dictionaries(st.sampled_from(("load", "warm-up")), st.fractions(0, 1, max_denominator=8))
    )
    return one, live_set(
        one,
        draw(st.dictionaries(st.sampled_from(texts), VERDICTS)),
        forced=draw(st.dictionaries(names, st.sampled_from(Forced))),
        newcomers=draw(st.lists(names, max_size=2)),
        factors=draw(factors),
    )


@given(worlds())
def test_the_sentences_of_the_design(world: tuple[Zone, LiveSet]) -> None:
    one, live = world
    for pool, family in product(one.pools, FAMILIES):
        chain = one.chain(pool.name)
        found = choose(one, pool, live).of(family)
        had = {(link.name, host.name) for link, host in having(one, chain, family)}
        fit = {
            (link.name, host.name): live.fitness(one, host, one.check_policy_of(link), family)
            for link, host in having(one, chain, family)
        }
        alive = {key for key, fitness in fit.items() if fitness.live and fitness.factor}
        ordered = {name for (_, name), state in live.forced.items() if state is Forced.DOWN}
        assert len(set(found.hosts)) == len(found.hosts), "each host once"
        assert not ordered & set(found.hosts), "forced down is an order"
        assert all(one_dealt.effective > 0 for one_dealt in found.dealt), "weight 0 is never dealt"
        assert set(found.hosts) <= {name for _, name in had}, "nobody from elsewhere"
        assert (found.last_resort is None) == bool(alive or not had), "whoever lives serves alone"
        for dealt in found.dealt:
            if alive:
                views = [fit[key] for key in alive if key[1] == dealt.host]
                assert dealt.addresses in [view.live for view in views], "live addresses alone"
            else:
                assert dealt.addresses == one.host_by_name[dealt.host].by_family[family]
        if not found.dealt and had:
            assert found.last_resort is LastResort.SERVFAIL
            assert pool.when_down == "servfail" or {name for _, name in had} <= ordered


def having(one: Zone, chain: tuple[Pool, ...], family: Family) -> list[tuple[Pool, Host]]:
    """Return who in a chain has weight and an address of a family, by the pool that has it."""
    return [
        (link, one.host_by_name[member.host])
        for link in chain
        for member in link.members
        if member.weight and family in one.host_by_name[member.host].by_family
    ]


@given(worlds())
def test_mx_names_whoever_is_live_and_prefers_the_families_of_the_pools_own(
    world: tuple[Zone, LiveSet],
) -> None:
    one, live = world
    for pool in one.pools:
        found = choose(one, pool, live)
        own = [
            found.of(family)
            for family in FAMILIES
            if any(family in one.host_by_name[member.host].by_family for member in pool.members)
        ]
        alive = {name for deal in own for name in deal.live}
        if alive:
            assert (set(found.mx.hosts), found.mx.last_resort) == (alive, None)
        elif anywhere := {name for family in FAMILIES for name in found.of(family).live}:
            assert (set(found.mx.hosts), found.mx.last_resort) == (anywhere, None)
        elif any(deal.dealt for deal in own):
            assert set(found.mx.hosts) <= {name for deal in own for name in deal.hosts}
        assert bool(found.mx.dealt) == any(found.of(family).dealt for family in FAMILIES)
        assert len(set(found.mx.hosts)) == len(found.mx.hosts)


def with_family(one: Zone, family: Family) -> Zone:
    """Return a zone in which no host has an address of the other family."""
    hosts = tuple(
        host(each.name, *map(str, each.by_family[family])) for each in one.hosts if family in each.by_family
    )
    names = {each.name for each in hosts}
    pools = tuple(
        pool.model_copy(update={"members": tuple(one for one in pool.members if one.host in names)})
        for pool in one.pools
    )
    return one.model_copy(update={"hosts": hosts, "pools": pools})


@given(worlds(), st.sampled_from(FAMILIES))
def test_who_speaks_one_family_is_never_worse_off_for_the_other(
    world: tuple[Zone, LiveSet], family: Family
) -> None:
    """Answers are those of a zone in which nobody has an address of the other."""
    one, live = world
    alone = with_family(one, family)
    for pool in one.pools:
        if having(one, one.chain(pool.name), family):
            pure = choose(alone, alone.pool_by_name[pool.name], live)
            assert choose(one, pool, live).of(family) == pure.of(family)


@given(worlds())
def test_compiled_answers_hold_the_weights_over_one_cycle(world: tuple[Zone, LiveSet]) -> None:
    """And for want of health no name ever loses its answer: there is one, or SERVFAIL."""
    one, live = world
    compiled = compile_zones(Compiled(), sources(one), live)
    for key, rotation in compiled.table.rotations.items():
        pool = one.pool_by_name[key.tiers[0][0]]
        choice = compiled.choices[NAME, pool.name]
        dealt = choice.of(key.type).dealt
        had = [family for family in FAMILIES if having(one, one.chain(pool.name), family)]
        assert bool(rotation.parts) == bool(dealt)
        nodata = not rotation.parts and not rotation.servfail
        assert nodata == (key.type in FAMILIES and key.type not in had), "nobody in the chain has one"
        for part in rotation.parts:
            first, uniform = Counter[str](), Counter[str]()
            for chosen in part.index:
                hosts = part.sets[chosen]
                first[hosts[0]] += 1
                uniform.update(dict.fromkeys(hosts, 12 // len(hosts)))
                assert part.answers[chosen].an == len(hosts) <= choice.answers
            total = sum(entry.effective for entry in dealt)
            shares = {entry.host: entry.effective / total for entry in dealt}
            if math.lcm(*(share.denominator for share in shares.values())) <= 1024:
                cycle = len(part.index)
                assert {name: Fraction(count, cycle) for name, count in first.items()} == shares
                assert {name: Fraction(count, 12 * cycle) for name, count in uniform.items()} == shares
