"""Answers of several name servers, field by field, and the rules that explain where they may differ."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import dns.exception
import dns.message
import dns.rdata
import dns.rrset

SECTIONS = ("answer", "authority", "additional")
_FLAGS = {"AA": (2, 0x04), "TC": (2, 0x02), "RD": (2, 0x01), "RA": (3, 0x80), "Z": (3, 0x40),
          "AD": (3, 0x20), "CD": (3, 0x10)}  # fmt: skip

Records = frozenset[tuple[bytes, int, int, bytes]]
"""Owner in lower case, type, TTL, data in canonical form."""


class Told(NamedTuple):
    """What a server said; the fields that are compared.

    Attributes:
        answered: False where the packet was dropped; everything else is empty then.
        opcode: of the header.
        rcode: with the bits that OPT adds.
        flags: names of the bits that are set.
        question: as its bytes are.
        answer: a section's records; likewise `authority` and `additional`.
        opt: version, DO and whether a size is given of the OPT record; None without one.
        options: the codes in it.
        size: of the whole.
        malformed: whether it cannot be read; everything else is empty then.

    """

    answered: bool = False
    opcode: int = 0
    rcode: int = 0
    flags: frozenset[str] = frozenset()
    question: bytes = b""
    answer: Records = frozenset()
    authority: Records = frozenset()
    additional: Records = frozenset()
    opt: tuple[int, bool, bool] | None = None
    options: frozenset[int] = frozenset()
    size: int = 0
    malformed: bool = False


COMPARED = tuple(field for field in Told._fields if field != "size")


def told(packet: bytes | None) -> Told:
    """Read an answer."""
    return Told() if packet is None else _told(packet[2:])


@lru_cache(50_000)
def _told(rest: bytes) -> Told:
    packet = b"\0\0" + rest
    try:
        message = dns.message.from_wire(packet, keyring=False)
    except dns.exception.DNSException:
        return Told(True, malformed=True)
    end = 12
    if message.question:
        end = packet.index(b"\0", 12) + 5
    opt = None
    if message.edns >= 0:
        opt = (message.edns, bool(message.ednsflags & 0x8000), message.payload > 0)
    return Told(
        True,
        packet[2] >> 3 & 15,
        int(message.rcode()),
        frozenset(name for name, (at, bit) in _FLAGS.items() if packet[at] & bit),
        packet[12:end],
        _records(message.answer),
        _records(message.authority),
        _records(message.additional),
        opt,
        frozenset(int(option.otype) for option in message.options),
        len(packet),
    )


def _records(section: Iterable[dns.rrset.RRset]) -> Records:
    return frozenset(
        (rrset.name.to_digestable(), int(rrset.rdtype), rrset.ttl, _canonical(one))
        for rrset in section
        for one in rrset
    )


def _canonical(one: dns.rdata.Rdata) -> bytes:
    return one.to_digestable()


def differences(ours: Told, theirs: Told) -> frozenset[str]:
    """Name the fields that differ."""
    if ours.answered != theirs.answered:
        return frozenset({"answered"})
    return frozenset(field for field in COMPARED if getattr(ours, field) != getattr(theirs, field))


class Case(NamedTuple):
    """One packet and what two servers said to it.

    Attributes:
        packet: that both got.
        server: name of the other one.
        ours: what geodns said.
        theirs: what the other server said.

    """

    packet: bytes
    server: str
    ours: Told
    theirs: Told

    @property
    def question_end(self) -> int:
        """Where the question ends, as a name without a pointer; 0 where there is none to be read."""
        at = 12
        while at < len(self.packet) and self.packet[at]:
            at += 1 + self.packet[at]
        return at + 5 if at + 5 <= len(self.packet) else 0

    @property
    def name(self) -> bytes:
        """The QNAME on the wire; empty where there is none."""
        return self.packet[12 : self.question_end - 4] if self.question_end else b""

    @property
    def qtype(self) -> int:
        """The QTYPE; -1 where there is none."""
        end = self.question_end
        return int.from_bytes(self.packet[end - 4 : end - 2], "big") if end else -1

    @property
    def qclass(self) -> int:
        """The QCLASS; -1 where there is none."""
        end = self.question_end
        return int.from_bytes(self.packet[end - 2 : end], "big") if end else -1

    @property
    def tail(self) -> bytes:
        """What stands behind the question."""
        return self.packet[self.question_end or len(self.packet) :]

    @property
    def given_size(self) -> int:
        """The size that an OPT record right behind the question gives; 0 without one."""
        tail = self.tail
        return int.from_bytes(tail[3:5], "big") if tail[:3] == b"\0\0\x29" else 0

    @property
    def options(self) -> list[int]:
        """The codes of the options in an OPT record right behind the question."""
        data = self.tail[11:] if self.tail[:3] == b"\0\0\x29" else b""
        found = []
        while len(data) >= 4:
            found.append(int.from_bytes(data[:2], "big"))
            data = data[4 + int.from_bytes(data[2:4], "big") :]
        return found

    @property
    def size(self) -> int:
        """The size that counts then (RFC 6891 section 6.2.5)."""
        return max(512, self.given_size)

    @property
    def readable(self) -> bool:
        """Whether a library that is strict finds nothing wrong with the packet."""
        try:
            message = dns.message.from_wire(self.packet, keyring=False)
        except (dns.exception.DNSException, ValueError):
            return False
        return len(message.question) == 1

    def __str__(self) -> str:
        return f"{self.packet.hex()}\n   geodns: {shown(self.ours)}\n   {self.server}: {shown(self.theirs)}"


class Rule(NamedTuple):
    """A difference that is no bug of ours.

    Attributes:
        fields: what it explains.
        holds: tells whether it is the reason in a case.
        why: in words, with the clause.

    """

    fields: frozenset[str]
    holds: Callable[[Case], bool]
    why: str


class Comparison:
    """Holds answers against each other, and collects what no rule explains.

    Attributes:
        cases: how many pairs were compared.
        used: how often each rule was the reason.
        unexplained: cases with the fields that differ for no reason.

    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.cases = 0
        self.used: Counter[str] = Counter()
        self.unexplained: list[tuple[frozenset[str], Case]] = []
        self._rules = rules

    def add(self, case: Case) -> None:
        """Compare one pair."""
        self.cases += 1
        left = differences(case.ours, case.theirs)
        for name, rule in self._rules.items():
            if left & rule.fields and rule.holds(case):
                self.used[name] += 1
                left -= rule.fields
        if left:
            self.unexplained.append((left, case))

    def report(self) -> str:
        """Say what is unexplained: how much of which kind, each with its shortest packet."""
        kinds: dict[tuple[str, ...], list[Case]] = {}
        for fields, case in self.unexplained:
            kinds.setdefault((case.server, *sorted(fields)), []).append(case)
        return "\n".join(
            f"{len(cases)} times {' '.join(kind)}, as {min(cases, key=lambda case: len(case.packet))}"
            for kind, cases in sorted(kinds.items(), key=lambda item: -len(item[1]))
        )


def shown(one: Told) -> str:
    """Write down in short what a server said."""
    if not one.answered:
        return "no answer"
    if one.malformed:
        return "a malformed answer"
    sections = "".join(
        f"\n      {name}: {_text(getattr(one, name))}" for name in SECTIONS if getattr(one, name)
    )
    opt = "" if one.opt is None else f", OPT {one.opt} {sorted(one.options)}"
    flags = "".join(f" {flag}" for flag in sorted(one.flags))
    return (
        f"opcode {one.opcode} rcode {one.rcode}{flags}{opt}, {one.size} bytes, {one.question.hex()}{sections}"
    )


def _text(records: Records) -> str:
    shown = [f"{owner!r} {ttl} {rtype} {data.hex()}" for owner, rtype, ttl, data in sorted(records)]
    return "; ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
