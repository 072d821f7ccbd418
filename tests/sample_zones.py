"""Builders that tests share: zones from YAML, live sets, and a worker without sockets to ask."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from ipaddress import ip_address
from textwrap import dedent
from typing import Any, Self

import dns.flags
import dns.message

from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.model.checks import Target
from geodns.model.hosts import Host
from geodns.model.state import Forced, HealthState, Verdict
from geodns.model.zone import Zone, target_of
from geodns.responder.answer_policy import DEFAULT, Policy
from geodns.responder.respond import Client, respond
from geodns.responder.table import Table
from geodns.responder.worker_state import WorkerState
from geodns.zonefile.reader import parse_zone

NAME = "out.example.com"
ORIGIN = f"{NAME}."
SERIAL = 2026112301
UDP: Client = ("127.0.0.1", 40000, "udp")
TCP: Client = ("127.0.0.1", 40000, "tcp")

DOWN = Verdict(HealthState.DOWN)
UP = Verdict(HealthState.UP)
SHED = Verdict(HealthState.UP, shed_out=True)


def failing(failures: int) -> Verdict:
    return Verdict(HealthState.UP, failures=failures)


def zone(text: str, name: str = NAME) -> Zone:
    """Return a zone written as YAML, with a name server unless the text has its own."""
    text = dedent(text)
    if not re.search(r"^ns:", text, re.MULTILINE):
        text = "ns: {ns1: 192.0.2.53}\n" + text
    parsed = parse_zone(name, text.encode(), "zone.yaml")
    assert parsed.zone is not None, [str(problem) for problem in parsed.problems]
    return parsed.zone


def picking(text: str) -> Zone:
    """Return a zone all of whose pools pick by client."""
    one = zone(text)
    fields = {name: getattr(one, name) for name in Zone.model_fields}
    fields["pools"] = tuple(pool.model_copy(update={"pick": "client"}) for pool in one.pools)
    return Zone(**fields)


def live_set(
    one: Zone,
    verdicts: Mapping[str, Verdict] | None = None,
    *,
    forced: Mapping[str, Forced] | None = None,
    newcomers: Iterable[str] = (),
    factors: Mapping[str, Mapping[str, Fraction]] | None = None,
) -> LiveSet:
    """Return a live set; verdicts are given by host name (all its addresses) or by address."""
    judged: dict[str, Verdict] = dict(verdicts or {})
    found: dict[Target, Verdict] = {}
    for host in one.hosts:
        for address in host.addresses:
            verdict = judged.get(str(address), judged.get(host.name))
            if verdict is not None:
                found |= {target_of(one, host, address, check): verdict for check in one.checks}
    return LiveSet(
        verdicts=found,
        forced={(one.name, host): state for host, state in (forced or {}).items()},
        newcomers=frozenset((one.name, host) for host in newcomers),
        factors={(one.name, host): dict(by_name) for host, by_name in (factors or {}).items()},
    )


def host(name: str, *addresses: str, weight: int = 1) -> Host:
    return Host(name=name, addresses=tuple(ip_address(address) for address in addresses), weight=weight)


def sources(*zones: Zone, retired: tuple[Host, ...] = ()) -> dict[str, Source]:
    return {one.name: Source(one, SERIAL, retired) for one in zones}


class Worker:
    """Compiled zones and a worker's state; every answer is read by dnspython and held against its query."""

    def __init__(
        self,
        *zones: Zone,
        live: LiveSet | None = None,
        retired: tuple[Host, ...] = (),
        seed: int = 1,
        policy: Policy = DEFAULT,
    ) -> None:
        nothing = Compiled(Table(policy=policy))
        self.compiled = compile_zones(nothing, sources(*zones, retired=retired), live or LiveSet())
        self.state = WorkerState(random.Random(seed))
        self.now = 0.0

    def at(self, now: float) -> Self:
        """Move the clock."""
        self.now = now
        return self

    def believe(self, live: LiveSet, *pools: str, name: str = NAME) -> None:
        self.compiled = recompile_pools(self.compiled, [(name, pool) for pool in pools], live)

    def raw(self, packet: bytes, client: Client = UDP) -> bytes | None:
        return respond(self.compiled.table, packet, client, self.now, self.state)

    def ask(
        self, name: str, rtype: str = "A", *, client: Client = UDP, **options: Any
    ) -> dns.message.Message:
        """Ask for a name (relative to the zone unless it ends in a dot; "@" is the apex)."""
        options.setdefault("use_edns", False)
        query = dns.message.make_query(absolute(name), rtype, **options)
        return self.send(query.to_wire(), client)

    def send(self, packet: bytes, client: Client = UDP) -> dns.message.Message:
        """Send a well-formed query; return its answer, which echoes what it must."""
        answer = self.raw(packet, client)
        assert answer is not None
        query, found = dns.message.from_wire(packet), dns.message.from_wire(answer)
        asked = len(query.question[0].name.to_wire() or b"") + 4
        assert answer[12 : 12 + asked] == packet[12 : 12 + asked], "question echoed byte for byte"
        assert (answer[:2], found.opcode()) == (packet[:2], query.opcode())
        assert answer[2] & 0x80, "QR"
        assert answer[2] & 0x01 == packet[2] & 0x01, "RD copied"
        assert not answer[3] & 0xF0, "RA, Z, AD, CD clear"
        assert (found.edns >= 0) == (query.edns >= 0)
        read = (found.answer, found.authority, found.additional)
        counted = [sum(len(rrset) for rrset in section) for section in read]
        counted[2] += found.edns >= 0
        assert [int.from_bytes(answer[at : at + 2], "big") for at in (6, 8, 10)] == counted, "no record twice"
        if client[2] == "udp":
            assert len(answer) <= (512 if query.edns < 0 else min(max(512, query.payload), 1232))
        return found

    def hosts_of_cycle(self, name: str, rtype: str = "A") -> list[tuple[str, ...]]:
        """Return the data of each answer over exactly one cycle of queries."""
        return [data(self.ask(name, rtype)) for _ in range(self.cycle_length(rtype))]

    def cycle_length(self, rtype: str = "A") -> int:
        (length,) = {
            len(rotation.parts[0].index)
            for key, rotation in self.compiled.table.rotations.items()
            if key.type == rtype and rotation.parts
        }
        return length


def absolute(name: str) -> str:
    return ORIGIN if name == "@" else name if name.endswith(".") else f"{name}.{ORIGIN}"


def records(section: Iterable[Any]) -> Iterator[str]:
    """Yield a section's records as ``owner ttl type data``, owners relative to the zone."""
    for rrset in section:
        owner = str(rrset.name).removesuffix(ORIGIN).removesuffix(".") or "@"
        for one in rrset:
            yield f"{owner} {rrset.ttl} {one.rdtype.name} {one}"


def data(message: dns.message.Message) -> tuple[str, ...]:
    """Return the data of the answer section alone."""
    return tuple(str(one) for rrset in message.answer for one in rrset)


def has(message: dns.message.Message, flag: dns.flags.Flag) -> bool:
    return bool(message.flags & flag)


WEIGHTED_TEXT = """
    hosts:
      mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 5}
      mta2: {address: [192.0.2.12, "2001:db8::12"], weight: 3}
      mta3: {address: 192.0.2.13, weight: 2}
      lone: 192.0.2.14
    pools:
      main:  {hosts: ["mta*"], check: smtp}
      other: {hosts: [lone], check: smtp}
    records:
      "@":     {pool: main, MX: {pool: main, preference: 10}}
      a:       {pool: main}
      other:   {pool: other}
      tiers:   {MX: [{pool: main, preference: 10}, {pool: other, preference: 20}]}
      alias:   {CNAME: "@"}
      "*.w":   {pool: main}
      text:    {TXT: hello, CAA: {flags: 0, tag: issue, value: ca.example.net}}
      big:     {TXT: [BIG]}
      sub:     {NS: ns.sub}
      ns.sub:  {A: 192.0.2.99}
"""
WEIGHTED = zone(WEIGHTED_TEXT.replace("BIG", ", ".join(f"{number}{'x' * 190}" for number in range(5))))
"""Weights of 5, 3 and 2, and a name for every kind of answer."""
WEIGHTED_OWNERS = [
    "@",
    "a",
    "other",
    "tiers",
    "alias",
    "x.w",
    "*.w",
    "text",
    "big",
    "sub",
    "x.sub",
    "w",
    "no",
    "mta1",
    "mta3",
]
