"""Every kind of answer, named by the clause that asks for it; dnspython reads them all."""

from dataclasses import replace
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from geodns.model.state import Forced
from geodns.model.zone import Record
from geodns.responder.lookup import MAX_CHAIN
from geodns.responder.respond import FAULT_EVERY
from tests.sample_zones import DOWN, ORIGIN, TCP, Worker, absolute, data, has, live_set, records, zone

ZONE = zone("""
    soa: {mname: ns1, rname: hostmaster, minimum: 30}
    record_ttl: 1h
    ns: {ns1: [192.0.2.53, "2001:db8::53"], ns.example.net.: []}
    hosts:
      mta1: {address: [192.0.2.11, "2001:db8::11"]}
      mta2: 192.0.2.12
    pools:
      main: {hosts: [mta1, mta2], check: smtp, answers: 2}
      dead: {hosts: [mta2], check: smtp, when_down: servfail}
    records:
      "@":      {pool: main, MX: {pool: main, preference: 10}}
      dead:     {pool: dead}
      text:     {TXT: hello}
      alias:    {CNAME: "@"}
      two:      {CNAME: alias}
      nowhere:  {CNAME: missing}
      nodata:   {CNAME: text}
      away:     {CNAME: www.example.net.}
      other:    {CNAME: www.two.example.}
      below:    {CNAME: www.sub}
      todead:   {CNAME: dead}
      "*.old":  {CNAME: text}
      a.b.c:    {TXT: deep}
      sub:      {NS: [ns.sub, ns.example.net.]}
      ns.sub:   {A: 192.0.2.99}
""")

SECOND = zone("hosts: {www: 192.0.2.90}", "two.example")
CHILD = zone("hosts: {m: 192.0.2.91}", "child.out.example.com")

POOL = {"@ 30 A 192.0.2.11", "@ 30 A 192.0.2.12"}
SOA = f"@ 30 SOA ns1.{ORIGIN} hostmaster.{ORIGIN} 2026112301 3600 600 604800 30"
REFERRAL = {f"sub 3600 NS ns.sub.{ORIGIN}", "sub 3600 NS ns.example.net."}
GLUE = {"ns.sub 3600 A 192.0.2.99"}


class Case(NamedTuple):
    """A question and its answer, section by section."""

    name: str
    rtype: str
    answer: set[str]
    authority: frozenset[str] | set[str] = frozenset()
    additional: frozenset[str] | set[str] = frozenset()
    rcode: str = "NOERROR"
    aa: bool = True


def link(owner: str, target: str) -> str:
    return f"{owner} 3600 CNAME {target}"


TEXT = '3600 TXT "hello"'
CASES = {
    "RFC 1034 4.3.2: dealt": Case("@", "A", POOL),
    "RFC 3596: dealt, IPv6": Case("@", "AAAA", {"@ 30 AAAA 2001:db8::11"}),
    "RFC 1035 3.3.9: dealt exchanges": Case(
        "@",
        "MX",
        {f"@ 30 MX 10 mta1.{ORIGIN}", f"@ 30 MX 10 mta2.{ORIGIN}"},
        set(),
        {"mta1 3600 A 192.0.2.11", "mta1 3600 AAAA 2001:db8::11", "mta2 3600 A 192.0.2.12"},
    ),
    "a host's own name": Case("mta1", "A", {"mta1 3600 A 192.0.2.11"}),
    "a fixed record": Case("text", "TXT", {f"text {TEXT}"}),
    "RFC 1035 3.3.13: SOA": Case("@", "SOA", {SOA.replace("@ 30", "@ 3600")}),
    "RFC 1035 3.3.11: NS, with the addresses it has": Case(
        "@",
        "NS",
        {f"@ 3600 NS ns1.{ORIGIN}", "@ 3600 NS ns.example.net."},
        set(),
        {"ns1 3600 A 192.0.2.53", "ns1 3600 AAAA 2001:db8::53"},
    ),
    "RFC 8482 4.2: ANY": Case("@", "ANY", {'@ 3600 HINFO "RFC8482" ""'}),
    "RFC 8482 4.3: ANY at an alias": Case("alias", "ANY", {link("alias", ORIGIN)}),
    "RFC 8482: ANY of nothing": Case("b.c", "ANY", set(), {SOA}),
    "RFC 8482: ANY of no name": Case("missing", "ANY", set(), {SOA}, rcode="NXDOMAIN"),
    "RFC 2308 2.1: no such name": Case("missing", "A", set(), {SOA}, rcode="NXDOMAIN"),
    "RFC 2308 2.1: nor this deep one": Case("x.y.z.missing", "A", set(), {SOA}, rcode="NXDOMAIN"),
    "RFC 8020: nothing below a host": Case("x.mta1", "A", set(), {SOA}, rcode="NXDOMAIN"),
    "RFC 2308 2.2: no such data": Case("mta2", "AAAA", set(), {SOA}),
    "RFC 2308 2.2: a type that nobody has": Case("@", "TYPE65280", set(), {SOA}),
    "RFC 4592 2.2.2: empty non-terminal": Case("b.c", "A", set(), {SOA}),
    "RFC 4592 2.2.2: the wildcard's parent": Case("old", "A", set(), {SOA}),
    "RFC 4592: wildcard": Case("foo.old", "TXT", {link("foo.old", f"text.{ORIGIN}"), f"text {TEXT}"}),
    "RFC 4592: wildcard, several labels": Case(
        "x.y.old", "TXT", {link("x.y.old", f"text.{ORIGIN}"), f"text {TEXT}"}
    ),
    "RFC 4592: the wildcard itself": Case("*.old", "CNAME", {link("*.old", f"text.{ORIGIN}")}),
    "RFC 1034 3.6.2: the alias itself": Case("alias", "CNAME", {link("alias", ORIGIN)}),
    "RFC 1034 3.6.2: an alias of a pool": Case("alias", "A", {link("alias", ORIGIN), *POOL}),
    "RFC 1034 3.6.2: an alias of an alias": Case(
        "two", "A", {link("two", f"alias.{ORIGIN}"), link("alias", ORIGIN), *POOL}
    ),
    "an alias of the apex, its NS": Case(
        "alias",
        "NS",
        {link("alias", ORIGIN), f"@ 3600 NS ns1.{ORIGIN}", "@ 3600 NS ns.example.net."},
        set(),
        {"ns1 3600 A 192.0.2.53", "ns1 3600 AAAA 2001:db8::53"},
    ),
    "RFC 6604 3: an alias of no name": Case(
        "nowhere", "A", {link("nowhere", f"missing.{ORIGIN}")}, {SOA}, rcode="NXDOMAIN"
    ),
    "RFC 2308 2.2.1: an alias of no data": Case("nodata", "A", {link("nodata", f"text.{ORIGIN}")}, {SOA}),
    "an alias out of the zone": Case("away", "A", {link("away", "www.example.net.")}),
    "an alias into another zone of ours": Case("other", "A", {link("other", "www.two.example.")}),
    "an alias below a cut": Case("below", "A", {link("below", f"www.sub.{ORIGIN}")}, REFERRAL, GLUE),
    "RFC 1034 4.2.1: referral at the cut": Case("sub", "A", set(), REFERRAL, GLUE, aa=False),
    "RFC 1034 4.2.1: referral below it": Case("a.b.sub", "MX", set(), REFERRAL, GLUE, aa=False),
    "RFC 1034 4.2.1: glue is not ours": Case("ns.sub", "A", set(), REFERRAL, GLUE, aa=False),
    "RFC 1034 4.2.1: nor the cut's NS": Case("sub", "NS", set(), REFERRAL, GLUE, aa=False),
    "RFC 4035 3.1.4.1: DS is the parent's": Case("sub", "DS", set(), {SOA}),
    "RFC 4035 3.1.4.1: but not below": Case("x.sub", "DS", set(), REFERRAL, GLUE, aa=False),
    "out of the zone": Case("example.com.", "A", set(), rcode="REFUSED", aa=False),
    "out of the zone, likewise": Case("xout.example.com.", "A", set(), rcode="REFUSED", aa=False),
    "the root": Case(".", "NS", set(), rcode="REFUSED", aa=False),
    "RFC 5936: no transfers": Case("@", "AXFR", set(), rcode="REFUSED", aa=False),
    "RFC 1995: nor increments": Case("@", "IXFR", set(), rcode="REFUSED", aa=False),
    "another zone": Case("two.example.", "A", {"two.example 30 A 192.0.2.90"}),
    "the nearest zone": Case("m.child", "A", {"m.child 3600 A 192.0.2.91"}),
}  # fmt: skip


def sections(found: dns.message.Message) -> tuple[set[str], set[str], set[str], str, bool]:
    rcode = dns.rcode.to_text(found.rcode())
    parts = (set(records(part)) for part in (found.answer, found.authority, found.additional))
    return (*parts, rcode, has(found, dns.flags.AA))  # type: ignore[return-value]


@pytest.mark.parametrize("edns", [False, True], ids=["plain", "EDNS"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_answers(case: Case, edns: bool) -> None:
    worker = Worker(ZONE, SECOND, CHILD)
    for _ in ("full lookup", "question cache", "packet cache"):
        found = worker.ask(case.name, case.rtype, use_edns=edns)
        assert sections(found) == case[2:]
        assert not has(found, dns.flags.TC)


# --- health --------------------------------------------------------------------------------------------


def test_nobody_to_deal_is_servfail_also_through_an_alias() -> None:
    worker = Worker(ZONE, live=live_set(ZONE, {"mta2": DOWN}))
    for name in ("dead", "todead"):
        found = worker.ask(name)
        assert sections(found) == (set(), set(), set(), "SERVFAIL", False)


def test_a_family_without_live_hosts_gets_its_last_resort_while_the_other_has_some() -> None:
    worker = Worker(ZONE, live=live_set(ZONE, {"mta1": DOWN}))
    assert data(worker.ask("@", "AAAA")) == ("2001:db8::11",), "NODATA might make a sender bounce"
    assert data(worker.ask("@")) == ("192.0.2.12",)


def test_what_changed_is_answered_by_the_next_query() -> None:
    worker = Worker(ZONE)
    worker.ask("@")
    worker.believe(live_set(ZONE, forced={"mta1": Forced.DRAINED}), "main")
    assert {data(worker.ask("@")) for _ in range(20)} == {("192.0.2.12",)}


# --- the examples of RFC 4592 section 2.2.1 -------------------------------------------------------------

EXAMPLE_FILE = zone(
    """
    ns: {ns.example.com.: [], ns.example.net.: []}
    records:
      "*":               {TXT: "this is a wildcard", MX: "10 host1.example."}
      host1:             {A: 192.0.2.1}
      _ssh._tcp.host1:   {SRV: "0 0 22 host1.example."}
      _ssh._tcp.host2:   {SRV: "0 0 22 host1.example."}
      subdel:            {NS: [ns.example.com., ns.example.net.]}
    """,
    "example",
)
NO_WILDCARD = Record(owner="sub.*.example.", type="TXT", ttl=3600, values=(("this is not a wildcard",),))
EXAMPLE = EXAMPLE_FILE.model_copy(update={"records": (*EXAMPLE_FILE.records, NO_WILDCARD)})
"""The zone file takes a wildcard as the first label alone; the responder takes what the RFC has."""


@pytest.mark.parametrize(
    ("name", "rtype", "answer", "rcode", "authority"),
    [
        ("host3.example.", "MX", ("10 host1.example.",), "NOERROR", set()),
        ("host3.example.", "A", (), "NOERROR", {"SOA"}),
        ("foo.bar.example.", "TXT", ('"this is a wildcard"',), "NOERROR", set()),
        ("host1.example.", "MX", (), "NOERROR", {"SOA"}),
        ("sub.*.example.", "MX", (), "NOERROR", {"SOA"}),
        ("_telnet._tcp.host1.example.", "SRV", (), "NXDOMAIN", {"SOA"}),
        ("host.subdel.example.", "A", (), "NOERROR", {"NS"}),
        ("ghost.*.example.", "MX", (), "NXDOMAIN", {"SOA"}),
    ],
)
def test_wildcards(name: str, rtype: str, answer: tuple[str, ...], rcode: str, authority: set[str]) -> None:
    found = Worker(EXAMPLE).ask(name, rtype)
    assert (data(found), dns.rcode.to_text(found.rcode())) == (answer, rcode)
    assert {rrset.rdtype.name for rrset in found.authority} == authority
    assert all(rrset.name == dns.name.from_text(name) for rrset in found.answer), "synthesized"


# --- long chains ---------------------------------------------------------------------------------------


def test_loops_end_where_they_close() -> None:
    """The zone file refuses them; the responder does not depend on that."""
    one = zone("""
        hosts: {m: 192.0.2.1}
        records: {a: {CNAME: b}, b: {CNAME: c}, c: {TXT: x}, "*.w": {CNAME: x.v}, x.v: {TXT: x}}
    """)
    loop = {absolute("b"): absolute("a"), absolute("*.w"): absolute("x.w")}
    one = one.model_copy(
        update={
            "records": tuple(
                record.model_copy(update={"values": ((loop.get(record.owner, record.values[0][0]),),)})
                if record.type == "CNAME"
                else record
                for record in one.records
            )
        }
    )
    worker = Worker(one)
    assert set(records(worker.ask("a").answer)) == {link("a", absolute("b")), link("b", absolute("a"))}
    raw = worker.raw(dns.message.make_query(absolute("y.w"), "A", use_edns=False).to_wire())
    assert raw is not None
    assert raw[6:8] == b"\x00\x02", "y.w → x.w → x.w, and no more"


def test_chains_are_bounded() -> None:
    length = MAX_CHAIN + 4
    lines = "".join(f"  n{number}: {{CNAME: n{number + 1}}}\n" for number in range(length))
    one = zone("hosts: {m: 192.0.2.1}\nrecords:\n" + lines + f"  n{length}: {{TXT: end}}\n")
    found = Worker(one).ask("n0", "TXT", client=TCP)
    assert len(found.answer) == MAX_CHAIN
    assert len(Worker(one).ask("n5", "TXT", client=TCP).answer) == MAX_CHAIN
    assert data(Worker(one).ask("n8", "TXT", client=TCP))[-1] == '"end"'


def test_a_fault_of_ours_costs_one_answer_and_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(ZONE)
    worker.compiled = replace(worker.compiled, table=replace(worker.compiled.table, rotations={}))
    for now, lines in ((0.0, 1), (FAULT_EVERY / 2, 1), (FAULT_EVERY, 2)):
        assert worker.at(now).ask("@").rcode() == dns.rcode.SERVFAIL
        assert [record.message for record in caplog.records] == [f"no answer for {ORIGIN} type 1"] * lines
    assert worker.ask("text", "TXT").rcode() == dns.rcode.NOERROR
