"""Random small zones: every name in them against a slow reading of RFC 1034 section 4.3.2."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
from dns.name import Name
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.responder.lookup import MAX_CHAIN
from tests.masterfile import master
from tests.sample_zones import TCP, Worker

TOP = dns.name.from_text("t.")
LABELS = ("a", "b", "*")
RELATIVE = [".".join(labels) for depth in (1, 2, 3) for labels in product(LABELS, repeat=depth)]
SHALLOW = RELATIVE[: 3 + 9]
TYPES = ("A", "MX", "NS", "CNAME", "DNAME", "DS", "ANY", "TXT")

Record = tuple[Name, str, str]
"""Owner, type, and data: a name, or anything for types without."""

Data = Mapping[Name, Mapping[str, tuple[str, ...]]]


class Expected(NamedTuple):
    """What a client should get; the order counts in the answer section alone, and there by RRset."""

    rcode: str
    aa: bool
    answer: list[Record]
    authority: set[Record]
    additional: set[Record]


# --- the oracle ----------------------------------------------------------------------------------------


class Oracle:
    """Zones as they are written, and one step of the algorithm after the other."""

    def __init__(self, zones: Mapping[Name, Data]) -> None:
        self.zones = zones

    def answer(self, name: Name, rtype: str) -> Expected:
        origin = self.zone_of(name) or TOP
        if rtype == "DS" and name == origin != TOP:
            kind, _ = self.find(TOP, name)
            origin = TOP if kind == "cut" else origin
        answer: list[Record] = []
        seen: set[Name] = set()
        for step in range(MAX_CHAIN):
            seen.add(name)
            kind, owner = self.find(origin, name)
            data = self.zones[origin].get(owner, {})
            if kind == "cut" and not (rtype == "DS" and owner == name):
                return self.referral(origin, owner, data["NS"], answer, aa=step > 0)
            if step and kind != "cut" and self.zone_of(name) != origin:
                break
            if kind == "none":
                return Expected("NXDOMAIN", True, answer, self.soa(origin), set())
            if kind == "below":
                (target,) = data["DNAME"]
                if (owner, "DNAME", target) not in answer:
                    answer.append((owner, "DNAME", target))
                target = str(name.relativize(owner).derelativize(dns.name.from_text(target)))
            elif "CNAME" in data and kind != "cut" and rtype not in {"CNAME", "ANY"}:
                (target,) = data["CNAME"]
            else:
                return self.data(origin, name, rtype, self.seen_types(kind, data), answer)
            answer.append((name, "CNAME", target))
            name = dns.name.from_text(target)
            if name in seen or rtype == "CNAME":
                break
        return Expected("NOERROR", True, answer, set(), set())

    def zone_of(self, name: Name) -> Name | None:
        found = [origin for origin in self.zones if name.is_subdomain(origin)]
        return max(found, key=len, default=None)

    def find(self, origin: Name, name: Name) -> tuple[str, Name]:
        """Walk down from the apex, a label at a time."""
        zone = self.zones[origin]
        if not name.is_subdomain(origin):
            return "none", name
        for depth in range(len(origin), len(name) + 1):
            node = name.split(depth)[1]
            if not any(owner.is_subdomain(node) for owner in zone):
                wildcard = dns.name.from_text("*", name.split(depth - 1)[1])
                exists = any(owner.is_subdomain(wildcard) for owner in zone)
                return ("wildcard", wildcard) if exists else ("none", name)
            if node != origin and "NS" in zone.get(node, {}):
                return "cut", node
            if node != name and "DNAME" in zone.get(node, {}):
                return "below", node
        return "name", name

    @staticmethod
    def seen_types(kind: str, data: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """At a cut only DS is ours; a wildcard that is one has its NS for others."""
        if kind == "cut" or (kind == "wildcard" and "NS" in data):
            return {rtype: values for rtype, values in data.items() if rtype in {"DS", "NS"}}
        return data

    def data(
        self, origin: Name, name: Name, rtype: str, data: Mapping[str, tuple[str, ...]], answer: list[Record]
    ) -> Expected:
        if rtype == "ANY" and data:
            some = [(name, "CNAME", data["CNAME"][0])] if "CNAME" in data else [(name, "HINFO", "")]
            return Expected("NOERROR", True, answer + some, set(), set())
        if rtype not in data:
            return Expected("NOERROR", True, answer, self.soa(origin), set())
        values = data[rtype]
        # A DNAME that led here is in the answer already (RFC 2181 section 5).
        answer = answer + [one for value in values if (one := (name, rtype, value)) not in answer]
        targets = values if rtype in {"NS", "MX"} else ()
        return Expected("NOERROR", True, answer, set(), self.addresses(origin, targets))

    def referral(
        self, origin: Name, cut: Name, servers: Iterable[str], answer: list[Record], *, aa: bool
    ) -> Expected:
        authority = {(cut, "NS", server) for server in servers}
        return Expected("NOERROR", aa, answer, authority, self.addresses(origin, servers))

    def addresses(self, origin: Name, targets: Iterable[str]) -> set[Record]:
        found = set()
        for target in map(dns.name.from_text, targets):
            kind, owner = self.find(origin, target)
            if kind == "cut":
                owner = target
            data = self.zones[origin].get(owner, {})
            if kind == "wildcard" and "NS" in data:
                continue
            if kind != "below":
                found |= {(target, "A", address) for address in data.get("A", ())}
        return found

    @staticmethod
    def soa(origin: Name) -> set[Record]:
        return {(origin, "SOA", "")}


# --- zones ---------------------------------------------------------------------------------------------

TARGETS = st.sampled_from([f"{name}.t." for name in RELATIVE] + ["t.", "a.o.", "a.", "t.t."])
DATA = st.one_of(
    st.tuples(st.just("A"), st.sampled_from(["192.0.2.1", "192.0.2.2"])),
    st.tuples(st.sampled_from(["NS", "CNAME", "DNAME", "DNAME"]), TARGETS),
    st.tuples(st.just("MX"), TARGETS),
    st.tuples(st.just("DS"), st.just("")),
)
LINES = st.lists(st.tuples(st.sampled_from([*RELATIVE, *SHALLOW * 3, "@"]), DATA), min_size=5, max_size=25)
DIGEST = "0" * 64


def built(lines: list[tuple[str, tuple[str, str]]], origin: Name) -> tuple[Data, str]:
    """Return a zone for the oracle, and its text for the compiler."""
    data: dict[Name, dict[str, tuple[str, ...]]] = {origin: {"NS": ("ns.o.",)}}
    text = ["@ 60 NS ns.o."]
    for owner, (rtype, value) in lines:
        name = dns.name.from_text(owner, origin) if owner != "@" else origin
        own = data.setdefault(name, {})
        if value in own.get(rtype, ()) or (rtype in {"CNAME", "DNAME", "DS"} and rtype in own):
            continue
        if "CNAME" in own or (rtype == "CNAME" and (own or name == origin)):
            continue  # an alias stands alone: the reader refuses such a zone
        own[rtype] = (*own.get(rtype, ()), value)
        shown = {"MX": f"0 {value}", "DS": f"1 8 2 {DIGEST}"}.get(rtype, value)
        text.append(f"{owner} 60 {rtype} {shown}")
    return data, "\n".join(text)


def read(found: dns.message.Message) -> Expected:
    def records(section: list[dns.rrset.RRset]) -> list[Record]:
        return [(rrset.name, rrset.rdtype.name, value(one)) for rrset in section for one in rrset]

    def value(one: dns.rdata.Rdata) -> str:
        rtype = one.rdtype.name
        return "" if rtype in {"SOA", "DS", "HINFO"} else str(one).split()[-1]

    aa = bool(found.flags & dns.flags.AA)
    authority, additional = set(records(found.authority)), set(records(found.additional))
    return Expected(dns.rcode.to_text(found.rcode()), aa, records(found.answer), authority, additional)


@given(LINES, st.none() | st.tuples(st.sampled_from(SHALLOW), LINES), st.integers(0, len(TYPES) - 1))
@example([("a", ("MX", "b.t.")), ("*.*", ("DNAME", "b.b.*.t."))], None, 1)  # led to a copy of itself
def test_every_name(
    lines: list[tuple[str, tuple[str, str]]],
    child: tuple[str, list[tuple[str, tuple[str, str]]]] | None,
    turn: int,
) -> None:
    written = {TOP: built(lines, TOP)}
    if child is not None:
        origin = dns.name.from_text(f"{child[0]}.t.")
        written[origin] = built(child[1], origin)
    oracle = Oracle({origin: data for origin, (data, _) in written.items()})
    worker = Worker(*(master(str(origin)[:-1], text) for origin, (_, text) in written.items()))
    names = ["t.", *(f"{name}.t." for name in RELATIVE), "x.t.", "x.a.t."]
    asked = [(name, TYPES[(number + turn) % len(TYPES)]) for number, name in enumerate(names * 2, len(names))]
    for text, rtype in [*asked, *((str(origin), "DS") for origin in written)]:
        name = dns.name.from_text(text)
        expected = oracle.answer(name, rtype)
        found = read(worker.ask(str(name), rtype, client=TCP))
        assert found == expected, (name, rtype)
