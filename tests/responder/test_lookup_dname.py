"""What a DNAME makes of the names below it (RFC 6672)."""

import dns.name
import dns.rcode
import dns.rdatatype
import dnslib
import pytest

from geodns.responder.lookup import MAX_CHAIN, rrset_of
from geodns.responder.table import RotationKey
from geodns.wire.names import name_to_wire
from tests.masterfile import master
from tests.sample_zones import TCP, Worker, zone


@pytest.mark.parametrize(
    ("asked", "zone_name", "owner", "target", "led_to"),
    [
        ("com.", "example.com", "@", "example.net.", None),
        ("example.com.", "example.com", "@", "example.net.", None),
        ("a.example.com.", "example.com", "@", "example.net.", ["a.example.net."]),
        ("a.b.example.com.", "example.com", "@", "example.net.", ["a.b.example.net."]),
        ("ab.example.com.", "example.com", "b", "example.net.", None),
        ("foo.example.com.", "example.com", "@", "example.net.", ["foo.example.net."]),
        ("a.x.example.com.", "example.com", "x", "example.net.", ["a.example.net."]),
        ("a.example.com.", "example.com", "@", "y.example.net.", ["a.y.example.net."]),
        ("cyc.example.com.", "example.com", "@", "example.com.", ["cyc.example.com."]),
        (
            "cyc.example.com.",
            "example.com",
            "@",
            "c.example.com.",
            [f"cyc.{'c.' * number}example.com." for number in range(1, MAX_CHAIN + 1)],
        ),
        ("shortloop.x.x.", "x", "@", ".", ["shortloop.x.", "shortloop."]),
        ("shortloop.x.", "x", "@", ".", ["shortloop."]),
    ],
)
def test_table_1_of_rfc_6672(
    asked: str, zone_name: str, owner: str, target: str, led_to: list[str] | None
) -> None:
    one = master(zone_name, f"@ 3600 NS ns.example.org.\n{owner} 600 DNAME {target}")
    found = Worker(one).ask(asked, "A", client=TCP)
    links = [rrset for rrset in found.answer if rrset.rdtype == dns.rdatatype.CNAME]
    assert [str(rrset[0].target) for rrset in links] == (led_to or [])
    assert [str(rrset.name) for rrset in links] == [asked, *(led_to or [])][: len(links)]
    assert {rrset.ttl for rrset in links} <= {600}
    dnames = [rrset for rrset in found.answer if rrset.rdtype == dns.rdatatype.DNAME]
    assert len(dnames) == (led_to is not None), "it is told once"


@pytest.mark.parametrize(("spare", "rcode"), [(0, "NXDOMAIN"), (-1, "YXDOMAIN")])
def test_a_name_of_255_bytes_is_not_too_long(spare: int, rcode: str) -> None:
    target = ".".join(["t" * 63] * 3) + ".t."
    one = master("t", f"@ 3600 NS ns.example.org.\nd 600 DNAME {target}")
    prefix = "p" * (255 - 195 - 1 - spare)
    assert len(dns.name.from_text(target).to_wire() or b"") == 195
    found = Worker(one).ask(f"{prefix}.d.t.", "A", client=TCP)
    assert dns.rcode.to_text(found.rcode()) == rcode
    assert [rrset.rdtype.name for rrset in found.answer] == ["DNAME", "CNAME"][: 2 + spare]


def test_the_clients_letter_case_comes_back_in_what_is_synthesized() -> None:
    lines = "@ 3600 NS ns.example.org.\ndd 600 DNAME d\nd 600 DNAME h2\nx.h2 3600 A 192.0.2.40"
    found = Worker(master("t.test", lines)).ask("X.dD.t.TEST.", "A", client=TCP)
    assert [str(rrset.name) for rrset in found.answer] == [
        "dD.t.TEST.",
        "X.dD.t.TEST.",
        "d.t.test.",
        "x.d.t.test.",
        "x.h2.t.test.",
    ]


def test_a_pool_is_found_through_a_dname_by_queries_and_by_explain() -> None:
    one = zone("""
        hosts: {m: 192.0.2.1}
        records: {in.h2: {pool: main}, to: {CNAME: in.d}}
    """)
    long = ".".join(["l" * 60] * 3) + "." + "m" * 46
    extra = master("out.example.com", "d 600 DNAME h2\nself 600 DNAME a.self\nbig 600 DNAME " + long).records
    one = one.model_copy(update={"records": one.records + extra})
    worker = Worker(one)
    table = worker.compiled.table
    for name in ("in.h2", "in.d", "to"):
        key = rrset_of(table, name_to_wire(f"{name}.out.example.com."), 1)
        assert isinstance(key, RotationKey)
        assert key.tiers == (("main", 0),)
        assert worker.ask(name).answer[-1][0].to_text() == "192.0.2.1"
    for name in ("x.self", f"{'q' * 30}.big", "d", "no"):
        assert rrset_of(table, name_to_wire(f"{name}.out.example.com."), 1) is None


def test_a_dname_that_led_to_itself_stands_in_the_answer_once() -> None:
    worker = Worker(master("t.example", "@ 3600 NS ns.example.org.\na 600 DNAME t.example."))
    question = bytes(dnslib.DNSRecord.question("a.a.t.example", "DNAME").pack())
    packet = worker.raw(question, TCP)
    assert packet is not None
    records = [(str(one.rname), dnslib.QTYPE[one.rtype]) for one in dnslib.DNSRecord.parse(packet).rr]
    assert records == [("a.t.example.", "DNAME"), ("a.a.t.example.", "CNAME")]
