"""A zone with something of everything, as its file says it and, for the oracle, as RFC 1035 writes it."""

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
from dns.rdatatype import RdataType

NAME = "out.example.com"
ORIGIN = dns.name.from_text(NAME)
ANSWERS = 2

YAML = """\
ttl: 30
record_ttl: 1h
soa: {mname: ns1, rname: hostmaster, minimum: 30, serial: 7}
ns:
  ns1: [192.0.2.53, "2001:db8::53"]
  ns2.example.net.: []

checks:
  smtp: {interval: 10s, connect_timeout: 3s, rise: 2, fall: 3, fast_interval: 2s}

hosts:
  mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 50, probe: "@PROBE@"}
  mta2: {address: 192.0.2.12, weight: 30, probe: "@PROBE@"}
  mta3: {address: 192.0.2.13, weight: 20, probe: "@PROBE@"}
  "mx[01-04]": {address: "198.51.100.[11-14]"}

pools:
  main:    {hosts: [mta1, mta2, mta3], check: smtp, answers: 2, min_live: 50%, fallback: reserve}
  reserve: {hosts: {"mx*": 10}, check: none}

records:
  "@":    {A: {pool: main}, AAAA: {pool: main}, MX: {pool: main, preference: 10},
           TXT: "v=spf1 ip4:203.0.113.0/24 ~all", CAA: {flags: 0, tag: issue, value: ca.example.net}}
  bulk:   {pool: reserve}
  in:     {MX: [{pool: main, preference: 10}, {pool: reserve, preference: 20}]}
  static: {ttl: 300, A: [192.0.2.80, 192.0.2.81], CAA: {flags: 0, tag: issue, value: ca.example.net}}
  "*.old": {CNAME: static}
  mta1:   {TXT: "v=spf1 a -all",
           TLSA: "3 1 1 0000000000000000000000000000000000000000000000000000000000000000"}
  "*.wild": {A: 192.0.2.90, TXT: any}
  exact.wild: {A: 192.0.2.91}
  below.exact.wild: {TXT: deep}
  chain:  {CNAME: link}
  link:   {CNAME: bulk}
  away:   {CNAME: www.example.net.}
  lost:   {CNAME: nowhere}
  child:  {NS: [ns.child, ns.elsewhere.example.]}
  ns.child: {A: 192.0.2.99, AAAA: "2001:db8::99"}
  _smtp._tcp: {SRV: 0 5 25 mta1}
  ptr:    {PTR: mta1}
  "a.b.c": {TXT: below two empty names}
  long:   {TXT: "@LONG@"}
  many:   {TXT: [@MANY@]}
"""

ZONE = """\
$TTL 3600
@ SOA ns1 hostmaster 7 @TIMERS@ 30
@ NS ns1
@ NS ns2.example.net.
ns1 A 192.0.2.53
ns1 AAAA 2001:db8::53
@ TXT "v=spf1 ip4:203.0.113.0/24 ~all"
@ CAA 0 issue "ca.example.net"
mta1 A 192.0.2.11
mta1 AAAA 2001:db8::11
mta1 TXT "v=spf1 a -all"
mta1 TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
mta2 A 192.0.2.12
mta3 A 192.0.2.13
mx01 A 198.51.100.11
mx02 A 198.51.100.12
mx03 A 198.51.100.13
mx04 A 198.51.100.14
static 300 A 192.0.2.80
static 300 A 192.0.2.81
static 300 CAA 0 issue "ca.example.net"
*.old CNAME static
*.wild A 192.0.2.90
*.wild TXT any
exact.wild A 192.0.2.91
below.exact.wild TXT deep
chain CNAME link
link CNAME bulk
away CNAME www.example.net.
lost CNAME nowhere
child NS ns.child
child NS ns.elsewhere.example.
ns.child A 192.0.2.99
ns.child AAAA 2001:db8::99
_smtp._tcp SRV 0 5 25 mta1
ptr PTR mta1
a.b.c TXT "below two empty names"
@LONG@
@MANY@
@ 30 A 192.0.2.11
@ 30 A 192.0.2.12
@ 30 A 192.0.2.13
@ 30 AAAA 2001:db8::11
@ 30 MX 10 mta1
@ 30 MX 10 mta2
@ 30 MX 10 mta3
bulk 30 A 198.51.100.11
bulk 30 A 198.51.100.12
bulk 30 A 198.51.100.13
bulk 30 A 198.51.100.14
in 30 MX 10 mta1
in 30 MX 10 mta2
in 30 MX 10 mta3
in 30 MX 20 mx01
in 30 MX 20 mx02
in 30 MX 20 mx03
in 30 MX 20 mx04
"""
"""What the same zone would be if its pools' hosts were all in every answer."""

POOLED = {(owner, rtype) for owner, rtypes in (("@", "A AAAA MX"), ("bulk", "A"), ("in", "MX"))
          for rtype in rtypes.split()}  # fmt: skip
"""Where an answer is some of the records."""

_LONG = "0123456789" * 60
_MANY = [f"number {number:03} " + "x" * 60 for number in range(40)]

TYPES = ["A", "AAAA", "MX", "NS", "TXT", "CNAME", "SOA", "SRV", "CAA", "PTR", "TLSA", "DS", "HTTPS"]


def yaml(probe: str) -> str:
    """Return the zone file, with all hosts probed at one place."""
    many = ", ".join(f'"{one}"' for one in _MANY)
    return YAML.replace("@PROBE@", probe).replace("@LONG@", _LONG).replace("@MANY@", many)


def zone(timers: str) -> dns.zone.Zone:
    """Return the zone as the oracle has it.

    Args:
        timers: the SOA's refresh, retry and expire.

    """
    long = "long TXT " + " ".join(f'"{_LONG[at : at + 255]}"' for at in range(0, len(_LONG), 255))
    many = "\n".join(f'many TXT "{one}"' for one in _MANY)
    text = ZONE.replace("@TIMERS@", timers).replace("@LONG@", long).replace("@MANY@", many)
    return dns.zone.from_text(text, ORIGIN, relativize=False)


def names(oracle: dns.zone.Zone) -> list[dns.name.Name]:
    """Return every name, the empty ones above them, and for each one below it that the zone may not have."""
    own = {name for name in oracle if name.is_subdomain(ORIGIN)}
    above = {parent for name in own for parent in _parents(name)}
    below = {dns.name.Name((b"nope", *name.labels)) for name in own | above if not name.is_wild()}
    deeper = {dns.name.Name((b"x", b"y", *name.labels)) for name in own | above if not name.is_wild()}
    return sorted(own | above | below | deeper)


def _parents(name: dns.name.Name) -> list[dns.name.Name]:
    found = []
    while name != ORIGIN:
        name = name.parent()
        found.append(name)
    return found


def check(oracle: dns.zone.Zone, answer: dns.message.Message) -> None:
    """Hold a complete answer against RFC 1034 section 4.3.2, done once more in the simplest way."""
    (question,) = answer.question
    name, rtype = question.name, question.rdtype
    own = set(oracle)
    existing = own | {parent for one in own for parent in _parents(one)}
    answers = list(answer.answer)
    for _ in range(8):
        cut = next((one for one in reversed([name, *_parents(name)]) if one != ORIGIN and
                    oracle.get_rdataset(one, "NS")), None)  # fmt: skip
        if cut is not None and not (rtype == RdataType.DS and name == cut):
            _is_referral(oracle, answer, cut, first=name == question.name)
            assert not answers
            return
        node = name
        if name not in existing:
            encloser = next(one for one in _parents(name) if one in existing)
            node = dns.name.Name((b"*", *encloser.labels))
            if node not in own:
                _is_negative(oracle, answer, dns.rcode.NXDOMAIN)
                assert not answers
                return
        alias = oracle.get_rdataset(node, RdataType.CNAME)
        if alias is None or rtype == RdataType.CNAME:
            wanted = oracle.get_rdataset(node, rtype)
            if wanted is None:
                _is_negative(oracle, answer, dns.rcode.NOERROR)
                assert not answers
                return
            assert answer.rcode() == dns.rcode.NOERROR
            _is_answer(answers.pop(0), name, node, wanted)
            assert not answers
            assert not answer.authority
            _is_additional(oracle, answer)
            return
        link = answers.pop(0)
        assert (link.name, link.rdtype, link.ttl, list(link)) == (
            name,
            RdataType.CNAME,
            alias.ttl,
            list(alias),
        )
        name = alias[0].target
        if not name.is_subdomain(ORIGIN):
            assert not answers
            assert answer.rcode() == dns.rcode.NOERROR
            return
    raise AssertionError("an endless chain")


def _is_answer(
    found: dns.rrset.RRset,
    name: dns.name.Name,
    node: dns.name.Name,
    wanted: dns.rdataset.Rdataset,
) -> None:
    assert (found.name, found.rdtype, found.ttl) == (name, wanted.rdtype, wanted.ttl)
    owner = node.relativize(ORIGIN).to_text()
    if (owner, dns.rdatatype.to_text(wanted.rdtype)) not in POOLED:
        assert set(found) == set(wanted)
        return
    assert set(found) <= set(wanted)
    by_preference: dict[int, int] = {}
    for record in wanted:
        tier = getattr(record, "preference", 0)
        by_preference[tier] = by_preference.get(tier, 0) + 1
    for tier, hosts in by_preference.items():
        dealt = sum(getattr(record, "preference", 0) == tier for record in found)
        assert 1 <= dealt <= min(hosts, ANSWERS)


def _is_negative(oracle: dns.zone.Zone, answer: dns.message.Message, rcode: int) -> None:
    assert answer.rcode() == rcode
    (soa,) = answer.authority
    wanted = oracle.find_rdataset(ORIGIN, RdataType.SOA)
    assert (soa.name, soa.ttl, list(soa)) == (ORIGIN, wanted[0].minimum, list(wanted))
    assert not answer.additional


def _is_referral(
    oracle: dns.zone.Zone, answer: dns.message.Message, cut: dns.name.Name, *, first: bool
) -> None:
    assert answer.rcode() == dns.rcode.NOERROR
    assert bool(answer.flags & dns.flags.AA) is not first
    (servers,) = answer.authority
    wanted = oracle.find_rdataset(cut, RdataType.NS)
    assert (servers.name, servers.rdtype, set(servers)) == (cut, RdataType.NS, set(wanted))
    inside = [one.target for one in wanted if one.target.is_subdomain(ORIGIN)]
    glue = {(name, rtype) for name in inside for rtype in (RdataType.A, RdataType.AAAA)
            if oracle.get_rdataset(name, rtype)}  # fmt: skip
    assert {(one.name, one.rdtype) for one in answer.additional} == glue
    _is_additional(oracle, answer)


def _is_additional(oracle: dns.zone.Zone, answer: dns.message.Message) -> None:
    """What comes unasked is the zone's own, whole."""
    for extra in answer.additional:
        wanted = oracle.get_rdataset(extra.name, extra.rdtype)
        assert wanted is not None, extra
        assert (extra.ttl, set(extra)) == (wanted.ttl, set(wanted))
