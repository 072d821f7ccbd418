"""BIND zone files into drafts."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import dns.rdtypes.ANY.SOA

from geodns.cli.convert.draft import DraftRrset, DraftValue, SourcePlace, ZoneDraft, duration, zone_by_file
from geodns.cli.convert.master_reader import MasterFile
from geodns.config.value_types import no_machine_has, parse_address
from geodns.errors import GeodnsError, Problem
from geodns.model.limits import MAX_TTL
from geodns.zonefile.record_types import SIGNING, kind_of

DEFAULT_TTL = 3600
"""Seconds, for records that have no TTL and no $TTL before them, as NSD takes it."""

_TARGETS = frozenset({"NS", "MX", "SRV", "CNAME", "PTR", "DNAME"})
_STRINGS = frozenset({"TXT", "SPF"})
_SUFFIX = re.compile(r"\.(zone|db|hosts|txt|conf|master|signed)$")


@dataclass
class _FoundRecords:
    """An RRset as the file has it."""

    name: dns.name.Name
    place: SourcePlace
    ttls: list[int] = field(default_factory=list)
    rdatas: list[tuple[dns.rdata.Rdata, SourcePlace]] = field(default_factory=list)


def guessed_origin(path: Path) -> str:
    """Take the zone from a file's name: ``db.example.com`` and ``example.com.zone`` are example.com."""
    return _SUFFIX.sub("", path.name.removeprefix("db.")) + "."


def read_bind(path: Path, origin: str | None) -> ZoneDraft:
    """Read a zone file.

    Args:
        path: the file; what it includes is searched beside it.
        origin: the zone's absolute name; None: its SOA's, else as the file is called.

    Raises:
        GeodnsError: the file cannot be read or is no zone file.

    """
    guess = guessed_origin(path)
    try:
        start = dns.name.from_text(guess if origin is None else origin)
    except dns.exception.DNSException:
        start = dns.name.root
    file, apex = _read(path, start)
    if origin is None and apex != start:
        # The SOA's owner is whole where no other beginning changes it; then all that is relative ends in it.
        again, same = _read(path, apex)
        if same == apex:
            file = again
    if apex == dns.name.root:
        raise GeodnsError(f"{path}: the root zone cannot be served")
    if origin is None and apex == start:
        zone_by_file(path, guess.removesuffix("."))
    draft = draft_of(file, path, start if origin is not None else apex, DEFAULT_TTL)
    if file.implied is not None:
        text = "no $TTL, no TTL: 1h is taken, as by NSD (BIND: the one before, or the SOA's minimum)"
        draft.remark(text, place=file.implied)
    return draft.checked()


def _read(path: Path, origin: dns.name.Name) -> tuple[MasterFile, dns.name.Name]:
    """Return a file and the owner of its SOA; where it has none, the origin."""
    file = MasterFile(path, origin)
    file.read()
    owners = (name for name, _, rdata, _ in file.records if rdata.rdtype == dns.rdatatype.SOA)
    return file, next(owners, origin)


def draft_of(file: MasterFile, path: Path, origin: dns.name.Name, ttl: int) -> ZoneDraft:
    """Make a draft of a zone's records; `ttl` is of those that have none.

    The caller looks at its problems.
    """
    found: dict[tuple[dns.name.Name, int], _FoundRecords] = {}
    for name, own, rdata, place in file.records:
        one = found.setdefault((name.canonicalize(), int(rdata.rdtype)), _FoundRecords(name, place))
        one.ttls.append(ttl if own is None else own)
        one.rdatas.append((rdata, place))
    apexes = [one for (_, kind), one in found.items() if kind == dns.rdatatype.SOA]
    problems = list(file.problems)
    for other in apexes[1:]:
        del found[other.name.canonicalize(), int(dns.rdatatype.SOA)]
        what = f"SOA records at {apexes[0].name} and {other.name}"
        problems.append(Problem(other.place.file, other.place.line, 0, what, "a file is one zone"))
    apex = apexes[0].name if apexes else origin
    if apex != origin:
        what = f"its SOA is {apex}'s, not {origin}'s"
        problems.append(Problem(*apexes[0].place, 0, what, "give that as --origin, or none"))
    return _Drafter(path, apex, found, problems).draft()


class _Drafter:
    def __init__(
        self,
        path: Path,
        origin: dns.name.Name,
        found: dict[tuple[dns.name.Name, int], _FoundRecords],
        problems: list[Problem],
    ) -> None:
        self._origin = origin
        self._found = found
        self._draft = ZoneDraft(origin.to_text().lower(), str(path), problems=problems)
        self._left_out: dict[str, list[int]] = {}

    def draft(self) -> ZoneDraft:
        draft = self._draft
        soa = self._found.pop((self._origin.canonicalize(), int(dns.rdatatype.SOA)), None)
        if soa is None:
            draft.remark("no SOA: the one that is served is made up")
        else:
            self._soa(soa)
        for (name, number), one in self._found.items():
            kind = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))
            if not name.is_subdomain(self._origin):
                draft.remark(f"{one.name} {kind} lies outside the zone: left out", place=one.place)
            elif kind in SIGNING:
                self._left_out.setdefault(kind, []).append(one.place.line)
            elif (known := kind_of(kind)) is None:
                draft.problem(one.place, f"{one.name} {kind} cannot stand in a zone")
            else:
                self._rrset(known, one)
        for kind, lines in self._left_out.items():
            text = f"left out, since signing is not known yet: {len(lines)} RRsets of {kind}"
            draft.remark(text)
        self._name_servers()
        return draft

    def _owner(self, name: dns.name.Name) -> str:
        return name.relativize(self._origin).to_text()

    def _soa(self, found: _FoundRecords) -> None:
        soa, _ = found.rdatas[0]
        assert isinstance(soa, dns.rdtypes.ANY.SOA.SOA)
        self._draft.record_ttl = min(*found.ttls, MAX_TTL)
        rname = self._owner(soa.rname)
        self._draft.soa = {
            "mname": self._owner(soa.mname),
            "rname": soa.rname.to_text() if rname == "@" else rname,
            "serial": soa.serial,
            **{word: duration(int(getattr(soa, word))) for word in ("refresh", "retry", "expire", "minimum")},
        }
        if len({rdata for rdata, _ in found.rdatas}) > 1:
            self._draft.remark("several SOA records: the first is taken", place=found.place)

    def _rrset(self, kind: str, found: _FoundRecords) -> None:
        draft, owner = self._draft, self._owner(found.name)
        if max(found.ttls) > MAX_TTL:
            draft.remark(f"{kind} has a TTL over {MAX_TTL}: that is written", place=found.place, owner=owner)
            found.ttls = [min(ttl, MAX_TTL) for ttl in found.ttls]
        ttl = min(found.ttls)
        if ttl != max(found.ttls):
            text = (
                f"{kind} has TTLs from {ttl} to {max(found.ttls)}: one RRset has one (RFC 2181), the lowest"
            )
            draft.remark(text, place=found.place, owner=owner)
        values: list[tuple[DraftValue, SourcePlace]] = [
            (self._value(kind, rdata), place) for rdata, place in found.rdatas
        ]
        draft.put(owner, kind, ttl, values, found.place)

    def _value(self, kind: str, rdata: dns.rdata.Rdata) -> str:
        if kind in _STRINGS:
            return text_of_strings(getattr(rdata, "strings", ()))
        short = rdata.to_text(origin=self._origin, relativize=True)
        if kind in _TARGETS:
            # What looks like an address or like a name with its final dot forgotten is written out.
            target = short.rsplit(" ", 1)[-1]
            odd = parse_address(target) is not None or target.lower().endswith(f".{self._draft.origin[:-1]}")
            return rdata.to_text() if odd else short
        return short

    def _name_servers(self) -> None:
        """Move the apex's NS to `ns`, and the addresses of those inside with it."""
        draft = self._draft
        apex = draft.names.get("@")
        found = None if apex is None else apex.rrsets.get("NS")
        if apex is None or found is None:
            draft.add_name_server()
            return
        for value in [draft.owner(one) for one in found.values if isinstance(one, str)]:
            inside = draft.names.get(value)
            moved: list[str] = []
            for family in ("A", "AAAA"):
                rrset = None if inside is None else inside.rrsets.get(family)
                if inside is not None and rrset is not None and self._is_plain(rrset):
                    moved += [one for one in rrset.values if isinstance(one, str)]
                    del inside.rrsets[family]
            if inside is not None and not inside.rrsets and not inside.remarks:
                del draft.names[value]
            draft.ns[value] = moved
        if found.ttl == draft.record_ttl:
            del apex.rrsets["NS"]

    def _is_plain(self, rrset: DraftRrset) -> bool:
        """Tell whether addresses may stand under `ns`, which has no TTL of its own."""
        if rrset.ttl != self._draft.record_ttl:
            return False
        addresses = [parse_address(one) for one in rrset.values if isinstance(one, str)]
        return all(one is not None and not no_machine_has(one) for one in addresses)


def text_of_strings(strings: tuple[bytes, ...]) -> str:
    r"""Write the strings of a TXT record for our YAML: bare where that reads as the same strings."""
    joined = b"".join(strings)
    split = tuple(joined[start : start + 255] for start in range(0, max(1, len(joined)), 255))
    inside = [
        "".join(
            f"\\{octet:03d}" if not 32 <= octet <= 126 else "\\" + chr(octet) if octet == 0x5C else chr(octet)
            for octet in one
        )
        for one in strings
    ]
    bare = "".join(inside)
    if split == strings and bare and bare == bare.strip() and not bare.startswith('"'):
        return bare
    return " ".join('"' + one.replace('"', '\\"') + '"' for one in inside)
