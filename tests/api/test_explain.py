"""Explanations: the pools behind a name, each host's part and why, the TTL, the next answers."""

import time
from fractions import Fraction
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.explain import Asking, explain
from geodns.api.explain_names import SHOWN, nearest_outside
from geodns.api.explain_pools import PoolExplanation
from geodns.api.status import LastResult
from geodns.compiler.answers import Source
from geodns.compiler.choice import shares
from geodns.compiler.compile import Compiled, compile_zones
from geodns.control.cluster import Cluster
from geodns.errors import BadNameError, NotFoundError, UsageError
from geodns.model.state import Forced, ForcedWeight, HealthState, RetiredHost, Verdict
from tests.api.test_status import NOW, TEXT, cluster_of
from tests.sample_zones import DOWN, NAME, SERIAL, SHED, failing, host, picking, zone


@pytest.mark.parametrize(
    ("name", "rtype", "ttl"),
    [
        pytest.param(NAME, "A", 30, id="apex"),
        pytest.param("OUT.Example.com.", "MX", 30, id="letter case and final dot"),
        pytest.param("slow.out.example.com", "A", 3600, id="a TTL of its own"),
        pytest.param("x.y.any.out.example.com", "A", 30, id="by a wildcard"),
        pytest.param("far.out.example.com", "A", 3600, id="by two aliases"),
    ],
)
def test_explain_finds_the_pool_that_answers(name: str, rtype: str, ttl: int) -> None:
    shown = explain(cluster_of(zone(TEXT), {"mta2": DOWN}), name, rtype)
    (tier,) = shown["tiers"]
    assert (tier["pool"], tier["using"], tier["ttl"]) == ("main", ["main"], ttl)
    assert list(tier["hosts"]) == ["mta1", "mta3"]
    assert tier["hosts"]["mta1"]["effective_weight"] == 50
    assert shown["serial"] == SERIAL


@pytest.mark.parametrize(
    ("name", "rtype"),
    [
        ("fixed.out.example.com", "A"),
        ("out.example.com", "TXT"),
        ("nothing.out.example.com", "A"),
        ("any.out.example.com", "A"),
    ],
)
def test_explain_says_where_no_pool_answers(name: str, rtype: str) -> None:
    assert explain(cluster_of(zone(TEXT), {}), name, rtype)["tiers"] == []


NAMES = """
    hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
    records:
      bulk: {pool: main}
      static: {A: 192.0.2.80, TXT: x}
      "*.old": {A: 192.0.2.81}
      deep.er: {TXT: x}
      sub: {NS: ns.example.net.}
      lost: {CNAME: nowhere}
    pools: {main: {hosts: "mta*", check: smtp}}
"""


@pytest.mark.parametrize(
    ("name", "rtype", "why", "near"),
    [
        ("bulk", "A", None, []),
        ("bluk", "A", "there is no such name", ["bulk"]),
        ("mta11", "MX", "there is no such name", ["mta1", "mta2"]),
        ("zzzzzz", "A", "there is no such name", []),
        ("static", "A", "fixed by the zone file: no pool is behind it", []),
        ("static", "MX", "the name is there, but has no MX; it has A, TXT", []),
        ("bulk", "MX", "the name is there, but has no MX; it has A", []),
        ("x.old", "A", f"fixed by the zone file (*.old.{NAME}.): no pool is behind it", []),
        ("er", "A", "only names below it are there: it has no records", []),
        ("a.sub", "A", f"delegated: the name servers of sub.{NAME}. answer", []),
        ("lost", "A", "an alias whose target does not exist in this zone", []),
    ],
)
def test_it_says_what_a_name_is_that_no_pool_answers_for(
    name: str, rtype: str, why: str | None, near: list[str]
) -> None:
    shown = explain(cluster_of(zone(NAMES), {}), f"{name}.{NAME}", rtype)
    assert (shown["no_pool"], shown["near"]) == (why, [f"{one}.{NAME}." for one in near])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mta1", f"mta1.{NAME}."),
        ("out.exmaple.com", f"{NAME}."),
        ("zz", None),
        ("x" * 60 + "." + "y" * 60 + "." + "z" * 60 + "." + "v" * 60, None),
    ],
)
def test_a_name_of_no_zone_is_told_the_nearest(name: str, near: str | None) -> None:
    hint = f": did you mean {near}?" if near else ""
    with pytest.raises(NotFoundError) as raised:
        explain(cluster_of(zone(NAMES), {}), name, "A")
    assert str(raised.value) == f"{name}. is in no zone that is served{hint}"


def test_the_nearest_of_very_many_zones_are_found() -> None:
    sources = {
        name: Source(zone("hosts: {mta1: 192.0.2.11}", name), SERIAL)
        for name in (*(f"customer-{number}.hosting.example" for number in range(400)), "mail.example.net")
    }
    cluster = Cluster({}, {}, {}, {})
    cluster.serve_zones(compile_zones(Compiled(), sources, cluster.live()), NOW)
    table = cluster.compiled.table
    assert nearest_outside(table, "mial.example.net.") == ("mail.example.net.",)
    begun = time.process_time()
    assert len(nearest_outside(table, "mta1.")) == SHOWN
    assert len(nearest_outside(table, "customer-7777.hosting.example.")) == SHOWN
    assert time.process_time() - begun < 0.5, "it runs on the loop"


def test_of_a_delegated_name_no_answers_are_foretold() -> None:
    cluster = cluster_of(zone(NAMES), {})
    assert explain(cluster, f"a.sub.{NAME}", "A")["next"] == []
    assert explain(cluster, f"mta1.{NAME}", "MX")["next"]


def test_explain_names_hosts_by_what_answers_show() -> None:
    hosts = explain(cluster_of(zone(TEXT), {}), NAME, "A")["hosts"]
    assert hosts["2001:db8::11"] == hosts["192.0.2.11"] == hosts["mta1.out.example.com."] == "mta1"


def test_explain_takes_the_innermost_zone() -> None:
    outer, inner = zone("hosts: {a: 192.0.2.1}", "example.com"), zone(TEXT)
    cluster = Cluster({}, {}, {}, {(NAME, "old"): RetiredHost(host("old", "192.0.2.90"), NOW)})
    sources = {one.name: Source(one, SERIAL) for one in (outer, inner)}
    cluster.serve_zones(compile_zones(Compiled(), sources, cluster.live()), NOW)
    assert explain(cluster, NAME, "A")["zone"] == NAME
    assert explain(cluster, "xout.example.com", "A")["zone"] == "example.com"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("example.org", NotFoundError, id="no zone of ours"),
        pytest.param("xout.example.com", NotFoundError, id="ends alike"),
        pytest.param(f"{'x' * 64}.out.example.com", BadNameError, id="no name"),
    ],
)
def test_explain_refuses_other_names(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        explain(cluster_of(zone(TEXT), {}), name, "A")


# --- every host's part and why --------------------------------------------------------------------------

HALF = Verdict(HealthState.UP, level=1)

CHAIN = """
    ttl: 60
    checks: {smtp: {fast_interval: 2s, fall: 3, interval: 10s, rise: 2}}
    hosts:
      mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 70}
      mta2: {address: 192.0.2.12, weight: 20}
      mta3: {address: 192.0.2.13, weight: 10}
      idle: {address: 192.0.2.14, weight: 0}
      spare: {address: 192.0.2.15}
    pools:
      main: {hosts: [mta1, mta2, mta3, idle], check: smtp, fallback: reserve}
      reserve: {hosts: [spare], check: smtp}
    records:
      "@": {A: {pool: main}, AAAA: {pool: main}}
"""


def tier(verdicts: dict[str, Verdict], rtype: str = "A", **forced: Forced) -> Any:
    cluster = cluster_of(zone(CHAIN), verdicts, **forced)
    (found,) = explain(cluster, NAME, rtype, seen=lambda _: LastResult("failure", "refused", None, NOW))[
        "tiers"
    ]
    return found


def test_shares_are_those_of_the_weights_for_both_kinds_of_clients() -> None:
    members = tier({})["members"]
    parts = {name: (one["first"], one["uniform"]) for name, one in members.items()}
    assert parts == {
        "mta1": (0.7, 0.7),
        "mta2": (0.2, 0.2),
        "mta3": (0.1, 0.1),
        "idle": (0.0, 0.0),
        "spare": (0.0, 0.0),
    }


def test_the_mix_of_sizes_and_what_one_answer_can_do() -> None:
    found = tier({})
    assert found["sizes"] == {"2": pytest.approx(0.6), "1": pytest.approx(0.4)}
    assert found["burst"] == {"seconds": 60, "uniform": {"mta1": 1.0, "mta2": 0.5, "mta3": 0.5}}
    assert found["cycle"] == 1020


@pytest.mark.parametrize(
    ("verdicts", "forced", "rtype", "name", "expected"),
    [
        pytest.param({}, {}, "A", "mta1", "live", id="live"),
        pytest.param({}, {}, "A", "idle", "its weight in main is 0: never dealt", id="no weight"),
        pytest.param(
            {}, {}, "A", "spare", "its pool is not needed: main has enough live hosts", id="no need"
        ),
        pytest.param({"mta2": DOWN}, {}, "A", "mta2", "down (smtp: refused)", id="down"),
        pytest.param({"mta2": DOWN}, {}, "A", "mta1", "live", id="another is down"),
        pytest.param({"mta1": SHED}, {}, "A", "mta1", "shedding (smtp: refused)", id="shedding"),
        pytest.param({"mta1": HALF}, {}, "A", "mta1", "lowered: shedding 0.5", id="lowered"),
        pytest.param(
            {}, {"mta2": Forced.DRAINED}, "A", "mta2", "drained by ann@127.0.0.1: disk", id="drained"
        ),
        pytest.param({}, {"mta2": Forced.DOWN}, "A", "mta2", "down by ann@127.0.0.1: disk", id="forced down"),
        pytest.param({"mta2": DOWN}, {"mta2": Forced.UP}, "A", "mta2", "live", id="forced up"),
        pytest.param({"mta1": DOWN}, {}, "A", "spare", "helps out as a host of reserve", id="helps out"),
        pytest.param({}, {}, "AAAA", "mta2", "it has no AAAA address", id="no address"),
        pytest.param(
            dict.fromkeys(("mta1", "mta2", "mta3", "spare"), DOWN),
            {},
            "A",
            "mta1",
            "last resort: nobody in the chain is live (down (smtp: refused))",
            id="last resort",
        ),
        pytest.param(
            dict.fromkeys(("mta1", "mta2", "mta3"), DOWN),
            {"spare": Forced.DRAINED},
            "A",
            "spare",
            "drained by ann@127.0.0.1: disk",
            id="drained in the last resort",
        ),
    ],
)
def test_every_host_has_its_reason(
    verdicts: dict[str, Verdict], forced: dict[str, Forced], rtype: str, name: str, expected: str
) -> None:
    assert tier(verdicts, rtype, **forced)["members"][name]["why"] == expected


def test_the_parts_of_srv_are_the_weights_in_it() -> None:
    one = zone("""
        hosts: {a: {address: 192.0.2.1, weight: 3}, b: 192.0.2.2}
        records: {s: {SRV: {pool: main, port: 587, priority: 7}}}
    """)
    shown = explain(cluster_of(one, {}), f"s.{NAME}", "SRV")
    (tier,) = shown["tiers"]
    assert (tier["pool"], tier["preference"]) == ("main", 7)
    parts = {name: (member["first"], member["uniform"]) for name, member in tier["members"].items()}
    assert parts == {"a": (0.75, 0.75), "b": (0.25, 0.25)}
    assert shown["next"][0]["hosts"] == ["a", "b"]


def test_where_clients_keep_their_hosts_parts_are_those_of_the_buckets() -> None:
    one = picking("""
        hosts:
          a: {address: 192.0.2.1, weight: 3000000}
          b: {address: 192.0.2.2, weight: 1000000}
          c: 192.0.2.3
        pools: {main: {hosts: [a, b, c], answers: 1}}
        records: {"@": {pool: main}}
    """)
    cluster = cluster_of(one, {})
    ((key, rotation),) = cluster.compiled.table.rotations.items()
    told = PoolExplanation(cluster, one, cluster.live(), rotation, lambda _: None, {}).tier("main", 0)
    assert (key.type, told["pick"], told["cycle"], told["sizes"]) == ("A", "client", 4096, {"1": 1.0})
    dealt = shares(cluster.compiled.choices[NAME, "main"].of("A").dealt)
    assert {name: member["first"] for name, member in told["members"].items()} == {**dealt, "c": 0}
    assert dealt["a"] != 0.75
    assert float(dealt["a"]) == pytest.approx(0.75, abs=0.04)
    why = "its weight is too small for one of 4,096 buckets of clients"
    assert told["members"]["c"]["why"] == why


@pytest.mark.parametrize(("name", "rtype"), [("in", "MX"), ("s", "SRV")])
def test_a_host_that_an_earlier_pool_names_is_not_named_again(name: str, rtype: str) -> None:
    one = zone("""
        hosts: {a: {address: 192.0.2.1, weight: 3}, b: 192.0.2.2, c: 192.0.2.3}
        pools: {main: {hosts: [a, b], answers: 1}, also: {hosts: {a: 5, c: 1}, answers: 1}}
        records:
          in: {MX: [{pool: main, preference: 10}, {pool: also, preference: 10}]}
          s: {SRV: [{pool: main, port: 25, priority: 1}, {pool: also, port: 25, priority: 1}]}
    """)
    tiers = explain(cluster_of(one, {}), f"{name}.{NAME}", rtype)["tiers"]
    shown = [{host: member["first"] for host, member in tier["members"].items()} for tier in tiers]
    assert shown == [{"a": 0.75, "b": 0.25}, {"a": 0.0, "c": 1.0}]
    assert tiers[1]["members"]["a"]["why"] == "an earlier pool names it at this preference"


def test_each_family_is_explained_by_its_own_addresses() -> None:
    one = zone("""
        hosts: {a: [192.0.2.1, "2001:db8::1"], b: [192.0.2.2, "2001:db8::2"], r: 192.0.2.9}
        pools:
          main: {hosts: [a, b], check: smtp, fallback: back}
          back: {hosts: [r], check: smtp}
        records: {"@": {pool: main, MX: {pool: main}}}
    """)
    cluster = cluster_of(one, {"192.0.2.1": DOWN, "192.0.2.2": DOWN})
    tiers = {rtype: explain(cluster, NAME, rtype)["tiers"][0] for rtype in ("A", "AAAA", "MX")}
    assert {rtype: one["using"] for rtype, one in tiers.items()} == {
        "A": ["back"],
        "AAAA": ["main"],
        "MX": ["main", "back"],
    }
    assert {rtype: one["chain"][0]["live"] for rtype, one in tiers.items()} == {"A": 0, "AAAA": 2, "MX": 2}
    assert {name: one["why"] for name, one in tiers["A"]["members"].items()} == {
        "a": "down",
        "b": "down",
        "r": "helps out as a host of back",
    }
    assert tiers["A"]["members"]["a"]["state"] == "down"
    assert {name: one["why"] for name, one in tiers["AAAA"]["members"].items()} == {
        "a": "live",
        "b": "live",
        "r": "it has no AAAA address",
    }
    assert (tiers["A"]["ttl"], tiers["AAAA"]["ttl"]) == (20, 30), "the TTL is that of the family"


def test_a_forced_weight_is_a_reason_and_counts_as_the_pools_own() -> None:
    cluster = cluster_of(zone(CHAIN), {})
    forced = {"mta1": ForcedWeight(10, "slow", "ann", NOW), "mta3": ForcedWeight(0, "", "ann", NOW)}
    cluster.override({}, {(NAME, host): weight for host, weight in forced.items()})
    (found,) = explain(cluster, NAME, "A")["tiers"]
    members = found["members"]
    assert members["mta1"]["why"] == "weight forced to 10 by ann (slow)"
    assert members["mta3"]["why"] == "weight forced to 0 by ann (no reason): never dealt"
    assert (members["mta1"]["weight"], members["mta1"]["effective_weight"]) == (10, 10)
    assert (members["mta1"]["factors"], members["mta3"]["weight"]) == ({}, 0)
    assert members["mta1"]["first"] == pytest.approx(1 / 3)
    assert found["chain"][0]["live"] == 2


@pytest.mark.parametrize(
    ("verdicts", "ttl", "expected"),
    [
        pytest.param({}, 60, "as the zone file says", id="all well"),
        pytest.param(
            {"mta2": failing(2)}, 5, "mta2 has failures and may be down in 2 s, not below min_ttl 5 s"
        ),
        pytest.param({"mta1": DOWN}, 20, "60 s lowered while the fallback serves", id="fallback"),
        pytest.param(
            dict.fromkeys(("mta1", "mta2", "mta3", "spare"), DOWN),
            20,
            "60 s lowered while the last resort serves",
            id="last resort",
        ),
    ],
)
def test_the_ttl_has_its_reason(verdicts: dict[str, Verdict], ttl: int, expected: str) -> None:
    found = tier(verdicts)
    assert found["ttl"] == ttl
    assert expected in found["ttl_why"]


def test_the_chain_says_who_helps_when() -> None:
    main, reserve = tier({"mta1": DOWN})["chain"]
    assert (main["live"], main["hosts"], main["min_live"], main["fallback"]) == (2, 4, "50%", "reserve")
    assert main["live_weight"] == pytest.approx(0.3)
    assert (reserve["live"], reserve["min_live"], reserve["fallback"]) == (1, None, None)


# --- the next answers -----------------------------------------------------------------------------------


def test_the_next_answers_are_what_a_worker_gives() -> None:
    found = explain(cluster_of(zone(CHAIN), {"mta1": DOWN}), NAME, "A")["next"]
    assert len(found) == 3
    for answer in found:
        assert (answer["rcode"], answer["ttl"]) == ("NOERROR", 20)
        assert set(answer["hosts"]) <= {"mta2", "mta3", "spare"}
        assert len(answer["data"]) == len(answer["hosts"]) > 0


@pytest.mark.parametrize(
    ("name", "rtype", "rcode", "data"),
    [
        pytest.param(f"nothing.{NAME}", "A", "NXDOMAIN", [], id="no such name"),
        pytest.param(NAME, "TXT", "NOERROR", [], id="no such type"),
        pytest.param(f"mta2.{NAME}", "A", "NOERROR", ["192.0.2.12"], id="fixed"),
    ],
)
def test_also_where_nothing_is_dealt(name: str, rtype: str, rcode: str, data: list[str]) -> None:
    for answer in explain(cluster_of(zone(CHAIN), {}), name, rtype)["next"]:
        assert (answer["rcode"], answer["data"]) == (rcode, data)


def test_whoever_asks_is_told_the_same_as_long_as_there_are_no_views() -> None:
    asking = Asking("192.0.2.7", ip_network("2001:db8::/33"))
    found = explain(cluster_of(zone(CHAIN), {}), NAME, "AAAA", asking)["next"]
    assert [answer["data"] for answer in found] == [["2001:db8::11"]] * 3


def test_no_type_is_told_so() -> None:
    with pytest.raises(UsageError, match="NONSENSE is no record type"):
        explain(cluster_of(zone(CHAIN), {}), NAME, "NONSENSE")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 4))
def test_both_kinds_of_picks_add_up_to_the_weights(weights: list[int], answers: int) -> None:
    hosts = "".join(
        f"\n  h{at}: {{address: 192.0.2.{at + 1}, weight: {weight}}}" for at, weight in enumerate(weights)
    )
    pools = f"pools: {{main: {{hosts: ['h*'], answers: {answers}}}}}"
    text = f"hosts:{hosts}\n{pools}\nrecords: {{'@': {{pool: main}}}}"
    (found,) = explain(cluster_of(zone(text), {}), NAME, "A")["tiers"]
    total = sum(weights)
    for at, weight in enumerate(weights):
        member = found["members"][f"h{at}"]
        assert member["first"] == member["uniform"] == pytest.approx(float(Fraction(weight, total)))
