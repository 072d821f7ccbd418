"""What a zone's names are compiled to; what they answer is in `test_lookup`."""

import pytest

from geodns.compiler.static import compile_names
from geodns.model.zone import Record, Rule, Tier, Zone
from geodns.wire.names import name_from_wire, name_to_wire
from tests.sample_zones import DOWN, ORIGIN, SERIAL, Worker, absolute, data, live_set, records, zone


def names_of(one: Zone) -> set[str]:
    """Return the compiled owner names, relative to the zone."""
    nodes = compile_names(one, SERIAL).nodes
    return {name_from_wire(name).removesuffix(ORIGIN).removesuffix(".") or "@" for name in nodes}


def test_empty_non_terminals_are_names() -> None:
    one = zone("""
        hosts: {m: 192.0.2.1}
        records:
          a.b.c: {TXT: x}
          d.b.c: {TXT: x}
          "*.w.v": {TXT: x}
    """)
    assert names_of(one) == {"@", "ns1", "m", "a.b.c", "d.b.c", "b.c", "c", "*.w.v", "w.v", "v"}
    nodes = compile_names(one, SERIAL).nodes
    assert not nodes[name_to_wire(absolute("b.c"))].rrsets


def test_what_lies_below_a_cut_is_occluded() -> None:
    """Whatever a zone object says: nothing below a delegation is ours (RFC 1034 section 4.2.1)."""
    one = zone("""
        hosts: {m: 192.0.2.1}
        records:
          sub: {NS: [ns.sub, ns.deep.er.sub]}
          ns.sub: {A: 192.0.2.99}
          ns.deep.er.sub: {A: 192.0.2.98}
    """)
    occluded = (
        Record(owner=absolute("x.sub"), type="TXT", ttl=60, values=(("x",),)),
        Record(owner=absolute("*.sub"), type="TXT", ttl=60, values=(("x",),)),
        Record(owner=absolute("cut.sub"), type="NS", ttl=60, values=(("ns.example.net.",),)),
    )
    dealt = Rule(owner=absolute("pool.sub"), type="A", ttl=30, tiers=(Tier(pool="main"),))
    one = one.model_copy(update={"records": one.records + occluded, "rules": (*one.rules, dealt)})
    assert names_of(one) == {"@", "ns1", "m", "sub"}
    worker = Worker(one)
    for name in ("sub", "x.sub", "pool.sub", "cut.sub", "a.b.sub", "er.sub"):
        found = worker.ask(name)
        assert (data(found), {rrset.rdtype.name for rrset in found.authority}) == ((), {"NS"}), name


def test_all_glue_comes_with_a_referral_and_siblings_where_they_fit() -> None:
    one = zone("""
        hosts: {m: 192.0.2.1}
        records:
          sub: {ttl: 600, NS: [ns.sub, sub, ns1.other, out.example.net.]}
          ns.sub: {ttl: 600, A: [192.0.2.98, 192.0.2.99], AAAA: "2001:db8::99"}
          ns1.other: {A: 192.0.2.97}
    """)
    found = Worker(one).ask("deep.sub")
    assert sorted(records(found.authority)) == [
        "sub 600 NS ns.sub.out.example.com.",
        "sub 600 NS ns1.other.out.example.com.",
        "sub 600 NS out.example.net.",
        "sub 600 NS sub.out.example.com.",
    ]
    assert sorted(records(found.additional)) == [
        "ns.sub 600 A 192.0.2.98",
        "ns.sub 600 A 192.0.2.99",
        "ns.sub 600 AAAA 2001:db8::99",
        "ns1.other 3600 A 192.0.2.97",
    ]


def fixed(owner: str, rtype: str, *value: str) -> Record:
    return Record(owner=absolute(owner), type=rtype, ttl=60, values=(value,))


def test_what_lies_below_a_dname_is_occluded_glue_too() -> None:
    one = zone("hosts: {m: 192.0.2.1}")
    occluded = (
        fixed("d", "DNAME", "example.net."),
        fixed("d", "TXT", "x"),
        fixed("x.d", "TXT", "x"),
        fixed("sub.d", "NS", "ns.sub.d.out.example.com."),
        fixed("ns.sub.d", "A", "192.0.2.99"),
        fixed("mx", "MX", "10", "ns.sub.d.out.example.com."),
    )
    one = one.model_copy(update={"records": one.records + occluded})
    assert names_of(one) == {"@", "ns1", "m", "d", "mx"}
    assert not list(Worker(one).ask("mx", "MX").additional)


def test_a_cut_goes_before_a_dname_of_the_same_name() -> None:
    one = zone("hosts: {m: 192.0.2.1}\nrecords: {sub: {NS: ns.sub}, ns.sub: {A: 192.0.2.99}}")
    one = one.model_copy(update={"records": (fixed("sub", "DNAME", "example.net."), *one.records)})
    found = Worker(one).ask("x.sub", "DNAME")
    assert (data(found), list(records(found.additional))) == ((), ["ns.sub 3600 A 192.0.2.99"])


# --- addresses beside dealt exchanges ------------------------------------------------------------------


def test_a_dealt_exchange_brings_its_hosts_live_addresses_once() -> None:
    one = zone("""
        hosts: {a: [192.0.2.1, 192.0.2.2, "2001:db8::1"], b: 192.0.2.3}
        pools: {near: {hosts: [a], check: smtp}, far: {hosts: [a, b], check: smtp}}
        records: {in: {MX: [{pool: near, preference: 10}, {pool: far, preference: 20}]}}
    """)
    expected = [
        "a 3600 A 192.0.2.1",
        "a 3600 A 192.0.2.2",
        "a 3600 AAAA 2001:db8::1",
        "b 3600 A 192.0.2.3",
    ]
    found = Worker(one).ask("in", "MX")
    assert sorted(records(found.additional)) == expected
    found = Worker(one, live=live_set(one, {"192.0.2.1": DOWN})).ask("in", "MX")
    assert sorted(records(found.additional)) == expected[1:]
    found = Worker(one, live=live_set(one, dict.fromkeys("ab", DOWN))).ask("in", "MX")
    assert sorted(records(found.additional)) == expected, "the last resort: all of them"


@pytest.mark.parametrize("hosts", [5, 20])
def test_addresses_stay_away_where_the_short_way_could_not_deal_them(hosts: int) -> None:
    one = zone(f"""
        hosts: {{"m[01-{hosts:02}]": {{address: "2001:db8::[1-{hosts}]"}}}}
        pools: {{main: {{hosts: "*", answers: {hosts}}}}}
        records: {{in: {{MX: {{pool: main}}}}}}
    """)
    worker = Worker(one)
    found = worker.ask("in", "MX", use_edns=0, payload=1232)
    assert len(found.answer[0]) == hosts
    assert len(list(records(found.additional))) == (hosts if hosts == 5 else 0)
    worker.ask("in", "MX", use_edns=0, payload=1232)
    assert worker.state.packets
