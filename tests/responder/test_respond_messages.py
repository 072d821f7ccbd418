"""Sizes, headers, EDNS and broken messages, named by the clause; dnspython reads every answer."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.sample_zones import ORIGIN, TCP, UDP, Worker, data, has, records, zone

ZONE = zone("""
    hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
    records:
      "@": {pool: main}
      nowhere: {CNAME: missing}
""")
POOL = {"@ 30 A 192.0.2.11", "@ 30 A 192.0.2.12"}

TWELVE = range(1, 13)
WIDE = zone(
    f"""
    ns: {{{", ".join(f"ns{n}: [192.0.2.{n}, '2001:db8::{n}']" for n in TWELVE)}}}
    hosts: {{m: 192.0.2.1}}
    records:
      mid: {{TXT: [{", ".join(f"{n}{'y' * 150}" for n in range(4))}]}}
      big: {{TXT: [{", ".join(f"{n:02}{'x' * 200}" for n in range(10))}]}}
      far: {{NS: [{", ".join(f"ns{n}.far" for n in TWELVE)}]}}
      sib: {{NS: [{", ".join(f"ns{n}.near" for n in TWELVE)}]}}
    """
    + "".join(f"  ns{n}.{where}: {{A: 198.51.100.{n}}}\n    " for n in TWELVE for where in ("far", "near"))
)


# --- sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "truncated"),
    [(None, True), (0, True), (512, True), (4096, True)],
    ids=["plain", "0", "512", "4096"],
)
def test_what_does_not_fit_is_truncated_to_the_question(size: int | None, truncated: bool) -> None:
    """RFC 2181 section 9; the whole is over 1,232 bytes, so no client's size helps but TCP does."""
    options = {"use_edns": False} if size is None else {"use_edns": 0, "payload": size}
    found = Worker(WIDE).ask("big", "TXT", **options)
    assert has(found, dns.flags.TC) is truncated
    assert has(found, dns.flags.AA)
    assert (found.answer, found.authority, found.additional) == ([], [], [])
    whole = Worker(WIDE).ask("big", "TXT", client=TCP, **options)
    assert not has(whole, dns.flags.TC)
    assert len(data(whole)) == 10


@pytest.mark.parametrize(
    ("size", "truncated"),
    [(None, True), (512, True), (703, True), (704, False), (1232, False), (65535, False)],
)
def test_the_clients_size_counts(size: int | None, truncated: bool) -> None:
    """RFC 6891 section 6.2.5; the answer has 704 bytes with its OPT record."""
    options = {"use_edns": False} if size is None else {"use_edns": 0, "payload": size}
    worker = Worker(WIDE)
    for _ in range(2):
        assert has(worker.ask("mid", "TXT", **options), dns.flags.TC) is truncated


def test_extras_are_dropped_before_anything_else() -> None:
    worker = Worker(WIDE)
    for name, rtype in (("@", "NS"), ("x.sib", "A")):
        found = worker.ask(name, rtype, use_edns=0, payload=600)
        assert not has(found, dns.flags.TC)
        assert len(found.answer) + len(found.authority) == 1
        assert 0 < sum(map(len, found.additional)) < 12
    assert sum(map(len, worker.ask("@", "NS", client=TCP).additional)) == 24


def test_glue_that_does_not_fit_sets_tc() -> None:
    """RFC 9471 section 3.1."""
    worker = Worker(WIDE)
    assert has(worker.ask("x.far"), dns.flags.TC)
    found = worker.ask("x.far", use_edns=0, payload=1232)
    assert not has(found, dns.flags.TC)
    assert sum(map(len, found.additional)) == 12


# --- headers, EDNS, broken messages ---------------------------------------------------------------------


def test_unsupported_edns_versions() -> None:
    """RFC 6891 section 6.1.3."""
    for name in ("@", "example.com."):
        found = Worker(ZONE).ask(name, use_edns=1, payload=1232)
        assert (found.rcode(), found.edns, found.answer) == (dns.rcode.BADVERS, 0, [])


@pytest.mark.parametrize("do", [False, True])
def test_do_is_echoed_and_our_size_told(do: bool) -> None:
    """RFC 3225 section 3."""
    worker = Worker(ZONE)
    for _ in range(2):
        found = worker.ask("@", use_edns=0, payload=4096, want_dnssec=do)
        assert bool(found.ednsflags & dns.flags.DO) is do
        assert (found.edns, found.payload, found.options) == (0, 1232, ())


def test_unknown_options_are_ignored() -> None:
    """RFC 6891 section 6.1.2."""
    worker = Worker(ZONE)
    options = [dns.edns.GenericOption(dns.edns.OptionType.make(65001), b"x" * 20)]
    for _ in range(2):
        found = worker.ask("@", use_edns=0, payload=1232, options=options)
        assert set(records(found.answer)) == POOL
        assert found.options == ()


@pytest.mark.parametrize(
    "name", ["OuT.ExAmPlE.cOm.", "MTA1.oUt.eXaMpLe.CoM.", "nOwHeRe.OUT.example.COM.", "NO.OUT.EXAMPLE.COM."]
)
def test_the_clients_letters_come_back(name: str) -> None:
    """0x20: `Worker.send` holds the question against the query byte for byte; owners point to it."""
    worker = Worker(ZONE)
    for _ in range(2):
        found = worker.ask(name)
        assert all(str(rrset.name) == name for rrset in found.answer[:1])


@pytest.mark.parametrize("rtype", ["A", "TYPE65280"])
@pytest.mark.parametrize("rclass", ["CH", "HS", "NONE", "ANY"])
def test_other_classes_are_refused(rclass: str, rtype: str) -> None:
    found = Worker(ZONE).ask("@", rtype, rdclass=rclass)
    assert dns.rcode.to_text(found.rcode()) == "REFUSED"


QUERY = dns.message.make_query(ORIGIN, "A", use_edns=False, id=0xABCD).to_wire()


@pytest.mark.parametrize("packet", [b"", QUERY[:11], QUERY[:2] + b"\x81" + QUERY[3:], b"\xff" * 12])
def test_dropped(packet: bytes) -> None:
    """Under 12 bytes, or a response: whoever answered those could be made to talk with himself."""
    assert Worker(ZONE).raw(packet) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_other_opcodes(opcode: int) -> None:
    packet = QUERY[:2] + bytes((opcode << 3 | 1,)) + QUERY[3:]
    answer = Worker(ZONE).raw(packet)
    assert answer == packet[:2] + bytes((0x80 | opcode << 3 | 1, dns.rcode.NOTIMP)) + bytes(8)


@pytest.mark.parametrize(
    "packet",
    [
        QUERY[:12],
        QUERY[:-1],
        QUERY + b"\0",
        QUERY[:4] + b"\0\0" + QUERY[6:12],
        QUERY[:4] + b"\0\2" + QUERY[6:] + QUERY[12:],
        QUERY[:12] + b"\xc0\x0c\0\1\0\1",
        QUERY[:10] + b"\0\1" + QUERY[12:],
        QUERY[:10] + b"\0\2" + QUERY[12:] + b"\0\0\x29\x04\xd0\0\0\0\0\0\0" * 2,
        QUERY[:10] + b"\0\1" + QUERY[12:] + b"\1a\0\0\x29\x04\xd0\0\0\0\0\0\0",
    ],
    ids=[
        "no question",
        "cut off",
        "trailing",
        "QDCOUNT 0",
        "QDCOUNT 2",
        "pointer",
        "no OPT",
        "two OPT",
        "OPT's owner",
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_format_errors(packet: bytes, warm: bool) -> None:
    """RFC 1035 section 4.1.1, RFC 9619, RFC 6891 section 6.1.1: the header alone, with ID and RD."""
    worker = Worker(ZONE)
    if warm:
        worker.ask("@")
        worker.ask("@", use_edns=0)
    assert worker.raw(packet, UDP) == packet[:2] + b"\x81\x01" + bytes(8)


def test_an_empty_table_refuses() -> None:
    assert Worker().ask("@").rcode() == dns.rcode.REFUSED
