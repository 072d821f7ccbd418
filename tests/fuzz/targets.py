"""What is fuzzed: functions of any bytes that raise when something is not as it must be."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import dns.message
import dns.name

from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.respond import Client, respond
from geodns.responder.table import Table
from geodns.responder.worker_state import WorkerState
from geodns.zonefile.reader import parse_zone
from tests.integration import packets, richzone
from tests.sample_zones import WEIGHTED_TEXT, sources, zone
from tests.serve.route_samples import heard, is_orderly, pieces

FIXED = "fixed.test"
_FIXED_NAME = dns.name.from_text(FIXED)
_FIXED = r"""
    records:
      "@": {TXT: [BIG], MX: ["10 m", "20 mail.example."]}
      m: {A: 192.0.2.1, AAAA: "2001:db8::1"}
      one: {ttl: 0, CNAME: two}
      two: {CNAME: m}
      "*.w": {A: 192.0.2.2, CAA: 0 issue "ca.example"}
      "*.v": {CNAME: m}
      a.b.c: {TXT: deep}
      sub: {NS: [ns.sub, ns.example.], DS: 1 8 1 0123456789abcdef0123456789abcdef01234567}
      ns.sub: {A: 192.0.2.3}
      old: {DNAME: new}
      x.new: {A: 192.0.2.4}
      away: {DNAME: example.}
      round: {DNAME: round2}
      round2: {DNAME: round}
      _s._tcp: {SRV: 0 5 25 m}
      types: {SVCB: 1 m port=53, LOC: 1 N 1 E 0m, NAPTR: '1 1 "s" "" "" _s._tcp', TYPE65280: '\# 2 0001'}
""".replace("BIG", ", ".join(f"{number}{'x' * 199}" for number in range(9)))
CHILD = f"sub.{FIXED}"
_CHILD = "ns: {ns: 192.0.2.3}\nrecords: {up: {CNAME: m.fixed.test.}, www: {A: 192.0.2.5}}"
NOBODY = b"\0\x08\0\4\0\0\0\0"
POOLED = "pooled.test"
NOW = 1_800_000_000.0


@cache
def _table() -> Table:
    zones = (
        zone(_FIXED, FIXED),
        zone(_CHILD, CHILD),
        zone(WEIGHTED_TEXT.replace("BIG", "big"), POOLED),
        zone(richzone.yaml("192.0.2.1:25"), richzone.NAME),
    )
    return compile_zones(Compiled(Table(policy=_PLAIN)), sources(*zones), LiveSet()).table


_PLAIN = Policy(nsid=b"ns1", chaos={b"\2id\6server\0": b"ns1"}, cookie_secrets=(bytes(16),))
_GUARDED = replace(_PLAIN, rate_limit=RateLimit(per_second=1), require_cookie=True, query_log=QueryLog())


@cache
def _guarded() -> tuple[Table, WorkerState]:
    """What answers under a rate limit that is reached at once, and remembers whom."""
    return replace(_table(), policy=_GUARDED), WorkerState(random.Random(1))


def packet(data: bytes) -> None:
    """Answer a packet: its first byte says over which transport, the rest is the packet.

    It is answered three times, by the full lookup, the question cache and the packet cache where they can,
    and the same once more from the same beginning. A server with a rate limit may drop it, or cut the answer.
    """
    tcp, query = data[:1] == b"\1", data[1:]
    client: Client = ("192.0.2.200", 5353, "tcp" if tcp else "udp")
    runs = []
    for _ in range(2):
        state = WorkerState(random.Random(1))
        runs.append([respond(_table(), query, client, NOW, state) for _ in range(3)])
    assert runs[0] == runs[1], "the same state and packet, but other bytes"
    found = [_check(query, answer, tcp=tcp) for answer in runs[0]]
    table, state = _guarded()
    answer = respond(table, query, client, NOW, state)
    if answer is not None:
        _check(query, answer, tcp=tcp)
    if found[0] and found[0].question and found[0].question[0].name.is_subdomain(_FIXED_NAME):
        assert runs[0][0] == runs[0][1] == runs[0][2], "one way says other bytes than another"


def _check(query: bytes, answer: bytes | None, *, tcp: bool) -> dns.message.Message | None:
    if len(query) < 12 or query[2] & 0x80:
        assert answer is None, "what is no query is answered"
        return None
    assert answer is not None, "a query is not answered"
    assert len(answer) <= (65535 if tcp else packets.limit(query)), "longer than it may be"
    assert answer[:2] == query[:2], "another ID"
    assert answer[2] & 0xF9 == 0x80 | query[2] & 0x79, "QR, opcode or RD"
    assert not answer[3] & 0xF0, "RA, Z, AD or CD"
    assert answer[3] & 0x0F != 2, "SERVFAIL: something was raised"
    # dnspython knows no subnet of family 0, which "dig +subnet=0" sends and gets back.
    found = dns.message.from_wire(answer.replace(NOBODY, b"\0\x08\0\4\0\1\0\0"), keyring=False)
    if found.question:
        end = answer.index(b"\0", 12) + 5
        assert answer[12:end] == query[12:end], "another question"
    else:
        assert len(answer) == 12 or found.edns >= 0
    assert found.edns < 0 or query[10:12] != b"\0\0", "OPT for who has sent none"
    return found


def zone_file(data: bytes) -> None:
    """Read a zone file, and where it is good, compile it and ask it for its SOA."""
    parsed = parse_zone("fuzz.test", data, "fuzz.yaml")
    assert all(str(problem) for problem in parsed.problems)
    if parsed.zone is None:
        assert parsed.problems, "refused without a word"
        return
    table = compile_zones(Compiled(), sources(parsed.zone), LiveSet()).table
    query = b"\0\1" + bytes((0, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\4fuzz\4test\0\0\6\0\1"
    answer = respond(table, query, ("192.0.2.1", 53, "tcp"), NOW, WorkerState(random.Random(1)))
    assert answer is not None
    assert answer[3] & 0x0F == 0
    assert dns.message.from_wire(answer).answer


def route_requests(data: bytes) -> None:
    """Read what an MTA sends, whole and in pieces as long as the first byte says, and answer it."""
    length, stream = data[0] + 1 if data else 1, data[1:]
    whole = heard([stream])
    is_orderly(whole)
    assert heard(pieces(stream, range(length, len(stream), length))) == whole, "it depends on the pieces"


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "packets": packet,
    "zones": zone_file,
    "routes": route_requests,
}
