"""Names, clause by clause: what a zone answers, read by dnspython from the bytes that clients get."""

from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from geodns.responder.lookup import find
from geodns.wire.message import parse
from tests.masterfile import master
from tests.sample_zones import TCP, WEIGHTED, Worker, absolute

LONG = ".".join(["l" * 60] * 3) + "." + "m" * 46
DIGEST = "49fd46e6c4b45c55d4ac49fd46e6c4b45c55d4ac49fd46e6c4b45c55d4ac1234"

# The zone of RFC 4592 section 2.2.1.
EXAMPLE = master(
    "example",
    """
    @           3600 NS    ns.example.com.
    @           3600 NS    ns.example.net.
    *           3600 TXT   wildcard
    *           3600 MX    10 host1
    sub.*       3600 TXT   no-wildcard
    host1       3600 A     192.0.2.1
    _ssh._tcp.host1 3600 SRV 0 0 22 host1
    _ssh._tcp.host2 3600 SRV 0 0 22 host1
    subdel      3600 NS    ns.example.com.
    subdel      3600 NS    ns.example.net.
    """,
)
PARENT = master(
    "t.test",
    f"""
    @           3600 NS    ns
    ns          3600 A     192.0.2.53
    h           3600 A     192.0.2.1
    h           3600 AAAA  2001:db8::1
    txt         3600 TXT   x
    mx          3600 MX    10 h
    mx          3600 MX    20 h.other.test.
    mx          3600 MX    30 ns.sub
    mx          3600 MX    40 c1
    mx          3600 MX    50 q.w
    srv         3600 SRV   0 0 22 h
    null        3600 MX    0 .
    *.w         3600 A     192.0.2.60
    x.*.w       3600 A     192.0.2.61
    b.w         3600 TXT   b
    x.*.v       3600 A     192.0.2.63
    e.f.g       3600 TXT   x
    *.wc        3600 CNAME txt
    *.wcself    3600 CNAME x.wcself
    *.wns       3600 NS    ns.example.net.
    *.wns       3600 TXT   occluded
    *.wd        600  DNAME h2
    *.sub       3600 A     192.0.2.62
    c1          3600 CNAME h
    c2          3600 CNAME c1
    la          3600 CNAME lb
    lb          3600 CNAME la
    self        3600 CNAME self
    cno         3600 CNAME missing
    cnd         3600 CNAME txt
    cout        3600 CNAME www.example.net.
    coth        3600 CNAME h.other.test.
    cchild      3600 CNAME h.child
    capex       3600 CNAME child
    clone       3600 CNAME h.alone
    csub        3600 CNAME www.sub
    csubapex    3600 CNAME sub
    cw          3600 CNAME q.w
    cent        3600 CNAME f.g
    cd          3600 CNAME x.d
    cmx         3600 CNAME mx1
    mx1         3600 MX    10 h
    sub         3600 NS    ns.sub
    sub         3600 NS    ns.sib
    sub         3600 NS    ns.sub2
    sub         3600 NS    h.other.test.
    sub         3600 NS    q.w
    ns.sub      3600 A     192.0.2.99
    ns.sib      3600 A     192.0.2.98
    sub2        3600 NS    ns.sub2
    sub2        3600 DS    12345 8 2 {DIGEST}
    ns.sub2     3600 A     192.0.2.96
    alone       3600 TXT   hidden
    bare        3600 NS    ns.bare
    child       3600 NS    ns.child
    child       3600 DS    12345 8 2 {DIGEST}
    ns.child    3600 A     192.0.2.77
    b2          3600 NS    ns.b2
    d           600  DNAME h2
    x.d         600  TXT   occluded
    x.h2        3600 A     192.0.2.40
    c.h2        3600 CNAME h
    out         600  DNAME example.net.
    oth         600  DNAME other.test.
    dsub        600  DNAME sub
    dw          600  DNAME w
    da          600  DNAME db
    db          600  DNAME da
    dd          600  DNAME d
    long        600  DNAME {LONG}
    beside      600  DNAME h2
    beside      3600 MX    10 h
    """,
)  # fmt: skip
CHILD = master(
    "child.t.test", "@ 3600 NS ns\nns 3600 A 192.0.2.77\nh 3600 A 192.0.2.71\nup 3600 CNAME h.t.test."
)
ALONE = master("alone.t.test", "@ 3600 NS ns\nns 3600 A 192.0.2.78\nh 3600 A 192.0.2.72")
GRANDCHILD = master("a.b2.t.test", "@ 3600 NS ns.example.net.\nh 3600 A 192.0.2.73")
OTHER = master("other.test", "@ 3600 NS ns\nns 3600 A 192.0.2.80\nh 3600 A 192.0.2.81")


class Row(NamedTuple):
    """A question and its answer; names are relative to the zone, the SOA of a negative answer is short."""

    question: str
    rcode: str
    answer: tuple[str, ...] = ()
    authority: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    aa: bool = True


NO = ("@ 30 SOA",)
HOST1 = ("host1 3600 A 192.0.2.1",)
H = ("h 3600 A 192.0.2.1", "h 3600 AAAA 2001:db8::1")
NS_SUB = tuple(f"sub 3600 NS {name}" for name in ("h.other.test.", "ns.sib", "ns.sub", "ns.sub2", "q.w"))
GLUE = (
    "ns.sib 3600 A 192.0.2.98",
    "ns.sub 3600 A 192.0.2.99",
    "ns.sub2 3600 A 192.0.2.96",
    "q.w 3600 A 192.0.2.60",
)
DS = f"12345 8 2 {DIGEST}"
D = ("d 600 DNAME h2", "x.d 600 CNAME x.h2")

EXAMPLE_ROWS = {
    "RFC 4592 2.2.1: synthesized": Row("host3 MX", "NOERROR", ("host3 3600 MX 10 host1",), (), HOST1),
    "RFC 4592 2.2.1: no such type": Row("host3 A", "NOERROR", (), NO),
    "RFC 4592 2.2.1: two labels": Row("foo.bar TXT", "NOERROR", ('foo.bar 3600 TXT "wildcard"',)),
    "RFC 4592 2.2.1: the name exists": Row("host1 MX", "NOERROR", (), NO),
    "RFC 4592 2.2.1: sub.* exists": Row("sub.* MX", "NOERROR", (), NO),
    "RFC 4592 2.2.1: _tcp.host1 exists": Row("_telnet._tcp.host1 SRV", "NXDOMAIN", (), NO),
    "RFC 4592 2.2.1: delegated": Row(
        "host.subdel A",
        "NOERROR",
        (),
        ("subdel 3600 NS ns.example.com.", "subdel 3600 NS ns.example.net."),
        aa=False,
    ),
    "RFC 4592 2.2.1: * exists": Row("ghost.* MX", "NXDOMAIN", (), NO),
    "RFC 4592 2.1.1: * asked for": Row("* MX", "NOERROR", ("* 3600 MX 10 host1",), (), HOST1),
    "RFC 4592 2.2.2: empty non-terminal": Row("_tcp.host2 SRV", "NOERROR", (), NO),
    "RFC 4592 2.2.2: and its parent": Row("host2 MX", "NOERROR", (), NO),
}

ROWS = {
    "RFC 4592 3.3.1: the closest encloser's wildcard": Row("q.w A", "NOERROR", ("q.w 3600 A 192.0.2.60",)),
    "RFC 4592 3.3.1: two labels": Row("x.y.w A", "NOERROR", ("x.y.w 3600 A 192.0.2.60",)),
    "RFC 4592 3.3.1: no data": Row("q.w TXT", "NOERROR", (), NO),
    "RFC 4592 3.3.1: below another name": Row("x.b.w A", "NXDOMAIN", (), NO),
    "RFC 4592 2.2.1: below the wildcard": Row("x.*.w A", "NOERROR", ("x.*.w 3600 A 192.0.2.61",)),
    "RFC 4592 2.2.1: nothing else below it": Row("y.*.w A", "NXDOMAIN", (), NO),
    "RFC 4592 4.9: an empty wildcard": Row("q.v A", "NOERROR", (), NO),
    "RFC 4592 4.9: two labels": Row("q.q.v A", "NOERROR", (), NO),
    "RFC 4592 2.2.2: empty non-terminal, middle": Row("f.g A", "NOERROR", (), NO),
    "RFC 4592 2.2.2: and nothing beside": Row("x.f.g A", "NXDOMAIN", (), NO),
    "RFC 4592 4.3: CNAME": Row("q.wc TXT", "NOERROR", ("q.wc 3600 CNAME txt", 'txt 3600 TXT "x"')),
    "RFC 4592 4.3: CNAME asked for": Row("q.wc CNAME", "NOERROR", ("q.wc 3600 CNAME txt",)),
    "RFC 4592 4.3: CNAME, no data": Row("q.wc A", "NOERROR", ("q.wc 3600 CNAME txt",), NO),
    "RFC 4592 4.3: CNAME to its own": Row(
        "y.wcself A", "NOERROR", ("y.wcself 3600 CNAME x.wcself", "x.wcself 3600 CNAME x.wcself")
    ),
    "RFC 4592 4.2: NS delegates nothing": Row("q.wns A", "NOERROR", (), NO),
    "RFC 4592 4.2: what the delegation hides": Row("q.wns TXT", "NOERROR", (), NO),
    "RFC 4592 4.2: NS is synthesized": Row("q.wns NS", "NOERROR", ("q.wns 3600 NS ns.example.net.",)),
    "RFC 4592 4.2: NS at the wildcard itself": Row(
        "*.wns A", "NOERROR", (), ("*.wns 3600 NS ns.example.net.",), aa=False
    ),
    "RFC 4592 4.2: and below it": Row(
        "x.*.wns A", "NOERROR", (), ("*.wns 3600 NS ns.example.net.",), aa=False
    ),
    "RFC 4592 4.6: DS": Row("q.wns DS", "NOERROR", (), NO),
    "RFC 4592 4.4: DNAME redirects nothing": Row("x.q.wd A", "NOERROR", (), NO),
    "RFC 4592 4.4: DNAME is synthesized": Row("q.wd DNAME", "NOERROR", ("q.wd 600 DNAME h2",)),
    "RFC 4592 4.4: DNAME below the wildcard itself": Row(
        "x.*.wd A", "NOERROR", ("*.wd 600 DNAME h2", "x.*.wd 600 CNAME x.h2", "x.h2 3600 A 192.0.2.40")
    ),
    "RFC 4592 2.2.1: a wildcard below a cut": Row("q.sub A", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 4592: an alias of a wildcard": Row(
        "cw A", "NOERROR", ("cw 3600 CNAME q.w", "q.w 3600 A 192.0.2.60")
    ),
    "RFC 1034 3.6.2: chain": Row("c2 A", "NOERROR", ("c2 3600 CNAME c1", "c1 3600 CNAME h", H[0])),
    "RFC 1034 3.6.2: CNAME asked for": Row("c2 CNAME", "NOERROR", ("c2 3600 CNAME c1",)),
    "RFC 8482 4.3: ANY of an alias": Row("c2 ANY", "NOERROR", ("c2 3600 CNAME c1",)),
    "RFC 1034 3.6.2: loop": Row("la A", "NOERROR", ("la 3600 CNAME lb", "lb 3600 CNAME la")),
    "RFC 1034 3.6.2: loop of one": Row("self A", "NOERROR", ("self 3600 CNAME self",)),
    "RFC 2308 2.1: NXDOMAIN behind an alias": Row("cno A", "NXDOMAIN", ("cno 3600 CNAME missing",), NO),
    "RFC 2308 2.2: NODATA behind an alias": Row("cnd A", "NOERROR", ("cnd 3600 CNAME txt",), NO),
    "RFC 4592 2.2.2: NODATA behind an alias": Row("cent A", "NOERROR", ("cent 3600 CNAME f.g",), NO),
    "RFC 1034 4.3.2: out of the zone": Row("cout A", "NOERROR", ("cout 3600 CNAME www.example.net.",)),
    "RFC 1034 4.3.2: into another of ours": Row("coth A", "NOERROR", ("coth 3600 CNAME h.other.test.",)),
    "RFC 1034 4.3.2: into a cut": Row("csub A", "NOERROR", ("csub 3600 CNAME www.sub",), NS_SUB, GLUE),
    "RFC 1034 4.3.2: to a cut": Row("csubapex NS", "NOERROR", ("csubapex 3600 CNAME sub",), NS_SUB, GLUE),
    "RFC 4035 3.1.4.1: to a cut, DS": Row("csubapex DS", "NOERROR", ("csubapex 3600 CNAME sub",), NO),
    "RFC 1034 4.3.2: into a child of ours": Row(
        "cchild A",
        "NOERROR",
        ("cchild 3600 CNAME h.child",),
        ("child 3600 NS ns.child",),
        ("ns.child 3600 A 192.0.2.77",),
    ),
    "RFC 4035 3.1.4.1: to a child of ours, DS": Row(
        "capex DS", "NOERROR", ("capex 3600 CNAME child", f"child 3600 DS {DS}")
    ),
    "RFC 1034 4.3.2: into a child not delegated": Row("clone A", "NOERROR", ("clone 3600 CNAME h.alone",)),
    "RFC 1035 3.3.9: addresses beside": Row(
        "mx MX",
        "NOERROR",
        tuple(f"mx 3600 MX {end}" for end in ("10 h", "20 h.other.test.", "30 ns.sub", "40 c1", "50 q.w")),
        (),
        (*H, "ns.sub 3600 A 192.0.2.99", "q.w 3600 A 192.0.2.60"),
    ),
    "RFC 1035 3.3.9: behind an alias": Row(
        "cmx MX", "NOERROR", ("cmx 3600 CNAME mx1", "mx1 3600 MX 10 h"), (), H
    ),
    "RFC 7505 3: null MX": Row("null MX", "NOERROR", ("null 3600 MX 0 .",)),
    "RFC 2782: addresses beside": Row("srv SRV", "NOERROR", ("srv 3600 SRV 0 0 22 h",), (), H),
    "RFC 1035 3.3.11: addresses beside": Row(
        "@ NS", "NOERROR", ("@ 3600 NS ns",), (), ("ns 3600 A 192.0.2.53",)
    ),
    "RFC 9471 3: referral, all glue": Row("x.sub A", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 1034 4.2.1: NS at the cut": Row("sub NS", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 1034 4.2.1: ANY at the cut": Row("sub ANY", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 1034 4.2.1: ANY below it": Row("x.sub ANY", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 1034 4.2.1: glue asked for": Row("ns.sub A", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 1034 4.2.1: without glue": Row("bare A", "NOERROR", (), ("bare 3600 NS ns.bare",), aa=False),
    "RFC 4035 3.1.4.1: DS": Row("sub2 DS", "NOERROR", (f"sub2 3600 DS {DS}",)),
    "RFC 4035 3.1.4.1: no DS": Row("sub DS", "NOERROR", (), NO),
    "RFC 4035 3.1.4.1: DS below the cut": Row("x.sub DS", "NOERROR", (), NS_SUB, GLUE, aa=False),
    "RFC 4035 3.1.4.1: DS of a child of ours": Row("child DS", "NOERROR", (f"child 3600 DS {DS}",)),
    "RFC 4035 3.1.4.1: DS below its apex": Row("h.child DS", "NOERROR", (), ("child 30 SOA",)),
    "RFC 4035 3.1.4.1: DS of a zone with none above": Row("@ DS", "NOERROR", (), NO),
    "RFC 4035 3.1.4.1: DS, not delegated above": Row("alone DS", "NOERROR", (), ("alone 30 SOA",)),
    "RFC 3658 2.2.1.2: DS, the parent is another's": Row(
        "a.b2 DS", "NOERROR", (), ("b2 3600 NS ns.b2",), aa=False
    ),
    "RFC 1034 4.3.2: the nearest zone": Row("h.child A", "NOERROR", ("h.child 3600 A 192.0.2.71",)),
    "RFC 1034 4.3.2: a child's own NS": Row(
        "child NS", "NOERROR", ("child 3600 NS ns.child",), (), ("ns.child 3600 A 192.0.2.77",)
    ),
    "RFC 1034 4.3.2: from child to parent": Row("up.child A", "NOERROR", ("up.child 3600 CNAME h",)),
    "RFC 1034 4.3.2: two zones below": Row("h.a.b2 A", "NOERROR", ("h.a.b2 3600 A 192.0.2.73",)),
    "RFC 6672 3.1: DNAME and CNAME": Row("x.d A", "NOERROR", (*D, "x.h2 3600 A 192.0.2.40")),
    "RFC 6672 3.1: the CNAME asked for": Row("x.d CNAME", "NOERROR", D),
    "RFC 6672 3.1: ANY": Row("x.d ANY", "NOERROR", (*D, 'x.h2 3600 HINFO "RFC8482" ""')),
    "RFC 6672 2.4: names below are not there": Row("x.d TXT", "NOERROR", D, NO),
    "RFC 6672 2.3: the owner itself": Row("d A", "NOERROR", (), NO),
    "RFC 6672 2.3: the owner, DNAME": Row("d DNAME", "NOERROR", ("d 600 DNAME h2",)),
    "RFC 6672 2.3: the owner, ANY": Row("d ANY", "NOERROR", ('d 3600 HINFO "RFC8482" ""',)),
    "RFC 6672 2.3: the owner's other data": Row("beside MX", "NOERROR", ("beside 3600 MX 10 h",), (), H),
    "RFC 6672 3.2: no name there": Row("no.d A", "NXDOMAIN", ("d 600 DNAME h2", "no.d 600 CNAME no.h2"), NO),
    "RFC 6672 3.2: to an alias": Row(
        "c.d A", "NOERROR", ("d 600 DNAME h2", "c.d 600 CNAME c.h2", "c.h2 3600 CNAME h", H[0])
    ),
    "RFC 6672 3.2: from an alias": Row(
        "cd A", "NOERROR", ("cd 3600 CNAME x.d", *D, "x.h2 3600 A 192.0.2.40")
    ),
    "RFC 6672 3.2: from a DNAME": Row(
        "x.dd A", "NOERROR", ("dd 600 DNAME d", "x.dd 600 CNAME x.d", *D, "x.h2 3600 A 192.0.2.40")
    ),
    "RFC 6672 3.2: to a wildcard": Row(
        "q.dw A", "NOERROR", ("dw 600 DNAME w", "q.dw 600 CNAME q.w", "q.w 3600 A 192.0.2.60")
    ),
    "RFC 6672 3.2: below a cut": Row(
        "x.dsub A", "NOERROR", ("dsub 600 DNAME sub", "x.dsub 600 CNAME x.sub"), NS_SUB, GLUE
    ),
    "RFC 6672 3.2: out of the zone": Row(
        "x.out A", "NOERROR", ("out 600 DNAME example.net.", "x.out 600 CNAME x.example.net.")
    ),
    "RFC 6672 3.2: into another of ours": Row(
        "h.oth A", "NOERROR", ("oth 600 DNAME other.test.", "h.oth 600 CNAME h.other.test.")
    ),
    "RFC 6672 3.2: loop": Row(
        "x.da A",
        "NOERROR",
        ("da 600 DNAME db", "x.da 600 CNAME x.db", "db 600 DNAME da", "x.db 600 CNAME x.da"),
    ),
    "RFC 6672 2.2: it fits": Row(
        "q.long A", "NXDOMAIN", (f"long 600 DNAME {LONG}", f"q.long 600 CNAME q.{LONG}"), NO
    ),
    "RFC 6672 2.2: it is too long": Row(f"{'q' * 20}.long A", "YXDOMAIN", (f"long 600 DNAME {LONG}",)),
    "RFC 8482 4.2: ANY": Row("h ANY", "NOERROR", ('h 3600 HINFO "RFC8482" ""',)),
    "RFC 2308 2.2: RRSIG of an unsigned zone": Row("@ RRSIG", "NOERROR", (), NO),
    "RFC 2308 2.2: SIG": Row("@ SIG", "NOERROR", (), NO),
    "RFC 2308 2.2: NSEC": Row("@ NSEC", "NOERROR", (), NO),
    "RFC 1035 3.2.3: MAILA": Row("h MAILA", "NOERROR", (), NO),
    "RFC 1035 3.2.3: MAILB": Row("h MAILB", "NOERROR", (), NO),
    "RFC 6895 3.1: type 0": Row("h TYPE0", "NOERROR", (), NO),
    "RFC 6891 6.1.1: OPT is no data": Row("h OPT", "NOERROR", (), NO),
}


def shown(found: dns.message.Message, origin: str) -> Row:
    """Return an answer in the words of the rows; the order counts in the answer section alone."""
    root = dns.name.from_text(origin)

    def lines(section: list[dns.rrset.RRset]) -> list[str]:
        return [
            f"{rrset.name.relativize(root)} {rrset.ttl} {rrset.rdtype.name}"
            + ("" if rrset.rdtype == dns.rdatatype.SOA else f" {one.to_text(root, relativize=True)}")
            for rrset in section
            for one in rrset
        ]

    return Row(
        "",
        dns.rcode.to_text(found.rcode()),
        tuple(lines(found.answer)),
        tuple(sorted(lines(found.authority))),
        tuple(sorted(lines(found.additional))),
        bool(found.flags & dns.flags.AA),
    )


def ask(worker: Worker, question: str, origin: str) -> Row:
    name, rtype = question.split()
    whole = origin if name == "@" else f"{name}.{origin}"
    return shown(worker.ask(whole, rtype, client=TCP), origin)._replace(question=question)


def test_the_zone_of_rfc_4592() -> None:
    worker = Worker(EXAMPLE)
    assert {
        clause: ask(worker, row.question, "example.") for clause, row in EXAMPLE_ROWS.items()
    } == EXAMPLE_ROWS


WORKER = Worker(PARENT, CHILD, ALONE, GRANDCHILD, OTHER)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_names(row: Row) -> None:
    for _ in ("full lookup", "question cache", "packet cache"):
        assert ask(WORKER, row.question, "t.test.") == row


# --- glue that does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "truncated"), [(True, True), (False, False)], ids=["in-domain", "sibling"]
)
def test_rfc_9471_section_3(inside: bool, truncated: bool) -> None:
    below = "big" if inside else "other"
    lines = [f"big 3600 NS ns{number}.{below}" for number in range(8)]
    lines += ["other 3600 NS ns0.other"]
    lines += [f"ns{number}.{below} 3600 {each}" for number in range(8) for each in ADDRESSES]
    worker = Worker(master("t", "@ 3600 NS ns.example.org.\n" + "\n".join(lines)))
    found = worker.ask("x.big.t.", "A")
    assert bool(found.flags & dns.flags.TC) is truncated
    assert len(found.authority) == (not truncated)
    if not truncated:
        assert found.additional
        assert {len(rrset) for rrset in found.additional} == {2}, "RRsets go whole"
    whole = worker.ask("x.big.t.", "A", client=TCP)
    assert sum(len(rrset) for rrset in whole.additional) == 32


ADDRESSES = ("A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", "AAAA 2001:db8::2")


# --- names of every kind -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("test", "h.test."),
        ("", "h."),
        ("", "h.a.b."),
        (".".join(["z" * 63] * 3) + "." + "z" * 59, "h." + ".".join(["z" * 63] * 3) + "." + "z" * 59 + "."),
        (r"a\.b.\000\255", r"h.a\.b.\000\255."),
    ],
    ids=["a TLD", "the root", "below it", "255 bytes", "any bytes"],
)
def test_zone_names(name: str, host: str) -> None:
    worker = Worker(master(name, f"@ 3600 NS ns.example.org.\n{host} 3600 A 192.0.2.1"))
    assert worker.ask(host).answer[0][0].to_text() == "192.0.2.1"
    apex = worker.ask(f"{name}.", "NS")
    assert (apex.rcode(), len(apex.answer)) == (0, 1)
    assert worker.ask(f"{name}.", "DS").authority[0].rdtype.name == "SOA"
    if not name:
        assert worker.ask("no.such.name.").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("asked", "found"), [(b"\xe9", True), (b"\xc9", False), (b"A", True), (b"@", False), (b"`", False)]
)
def test_letter_case_is_that_of_ascii(asked: bytes, found: bool) -> None:
    """RFC 4343 section 3."""
    worker = Worker(master("t", "@ 3600 NS ns.example.org.\n\\233 3600 A 192.0.2.1\na 3600 A 192.0.2.1"))
    name = dns.name.Name([asked, b"t", b""])
    answer = worker.send(dns.message.make_query(name, "A", use_edns=False).to_wire())
    assert (answer.rcode() == 0) is found


# --- what the caches may answer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rtype", "dealt", "exact"),
    [
        ("@", "A", True, True),
        ("tiers", "MX", True, True),
        ("text", "TXT", False, True),
        ("text", "A", False, True),
        ("alias", "A", True, False),
        ("alias", "CNAME", False, True),
        ("x.w", "A", True, False),
        ("x.w", "TXT", False, False),
        ("x.sub", "A", False, False),
        ("missing", "A", False, False),
        ("example.net.", "A", False, False),
    ],
)
def test_a_lookup_says_what_is_dealt_and_what_depends_on_the_question_alone(
    name: str, rtype: str, dealt: bool, exact: bool
) -> None:
    table = Worker(WEIGHTED).compiled.table
    query = parse(dns.message.make_query(absolute(name), rtype).to_wire())
    found = find(table, query)
    assert (found.rotation is not None, found.exact) == (dealt, exact)
    assert find(table, query) == found, "nothing is dealt yet"
