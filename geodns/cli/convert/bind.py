"""BIND zone files (RFC 1035 section 5; $TTL, $INCLUDE and $GENERATE), read by dnspython into drafts."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.tokenizer
import dns.zonefile

from geodns.cli.convert.draft import DraftRrset, SourcePlace, ZoneDraft, duration
from geodns.config.value_types import no_machine_has, parse_address
from geodns.errors import GeodnsError
from geodns.model.limits import MAX_TTL
from geodns.zonefile.record_types import SIGNING, kind_of

DEFAULT_TTL = 3600
"""Seconds, for records that have no TTL and no $TTL before them, as NSD takes it."""
_NO_TTL = -1

MAX_RECORDS = 2_000_000
"""A bound, since a $GENERATE makes any number of records from a short line."""

_TARGETS = frozenset({"NS", "MX", "SRV", "CNAME", "PTR", "DNAME"})
_STRINGS = frozenset({"TXT", "SPF"})
_SUFFIX = re.compile(r"\.(zone|db|hosts|txt|conf|master|signed)$")


@dataclass
class _RecordSink:
    """Takes the records of dnspython's reader, in place of a transaction of its own.

    Attributes:
        where: returns the file and line that the reader is at.
        implied: the first line whose record has no TTL, while no $TTL stands before it; 0: none.

    """

    origin: dns.name.Name
    where: Callable[[], tuple[str, int]] = lambda: ("", 0)
    found: dict[tuple[dns.name.Name, int], "_Found"] = field(default_factory=dict)
    count: int = 0
    implied: int = 0

    @property
    def manager(self) -> "_RecordSink":
        return self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.origin, False, self.origin

    def check_put_rdataset(self, _check: Any) -> None:
        """Check nothing: our own reader does."""

    def _set_origin(self, _origin: dns.name.Name) -> None:
        """Nothing depends on it."""

    def add_unicode(self, _token: str) -> None:
        """Nothing depends on it."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        self.count += 1
        file, line = self.where()
        if ttl == _NO_TTL:
            ttl = DEFAULT_TTL
            self.implied = self.implied or line
        if self.count > MAX_RECORDS:
            raise GeodnsError(f"{file}:{line}: more than {MAX_RECORDS:,} records")
        key = (name.canonicalize(), int(rdata.rdtype))
        one = self.found.setdefault(key, _Found(name, SourcePlace(file, line)))
        one.ttls.append(ttl)
        one.rdatas.append(rdata)


@dataclass
class _Found:
    """An RRset as the file has it."""

    name: dns.name.Name
    place: SourcePlace
    ttls: list[int] = field(default_factory=list)
    rdatas: list[dns.rdata.Rdata] = field(default_factory=list)


def guessed_origin(path: Path) -> str:
    """Take the zone from a file's name: ``db.example.com`` and ``example.com.zone`` are example.com."""
    return _SUFFIX.sub("", path.name.removeprefix("db.")) + "."


def read_bind(path: Path, origin: str | None) -> ZoneDraft:
    """Read a zone file.

    Args:
        path: the file; what it includes is searched beside it.
        origin: the zone's absolute name; None: its SOA's, and relative names begin with the file's name.

    Raises:
        GeodnsError: the file cannot be read or is no zone file.

    """
    sink = _records(path, guessed_origin(path) if origin is None else origin)
    found = sink.found
    apexes = [one.name for (_, kind), one in found.items() if kind == dns.rdatatype.SOA]
    if len(apexes) > 1:
        raise GeodnsError(f"{path}: SOA records at {apexes[0]} and {apexes[1]}: a file is one zone")
    apex = apexes[0] if apexes else dns.name.from_text(guessed_origin(path) if origin is None else origin)
    if origin is not None and apex != dns.name.from_text(origin):
        raise GeodnsError(f"{path}: its SOA is {apex}'s, not {origin}'s: give that as --origin, or none")
    draft = _Drafter(path, apex, found).draft()
    if sink.implied:
        text = "no $TTL, no TTL: 1h is taken, as by NSD (BIND: the one before, or the SOA's minimum)"
        draft.remark(text, place=SourcePlace(str(path), sink.implied))
    return draft


def _records(path: Path, origin: str) -> _RecordSink:
    try:
        # Bytes beyond ASCII stand for themselves in a zone file; dnspython would take names for Unicode.
        text = "".join(
            letter if ord(letter) < 0x80 else f"\\{ord(letter):03d}"
            for letter in path.read_bytes().decode("latin-1").removeprefix("\u00ef\u00bb\u00bf")
        )
        sink = _RecordSink(dns.name.from_text(origin))
        tokens = dns.tokenizer.Tokenizer(text, str(path))
        # A sink has the methods of a transaction that the reader calls, and no others.
        reader = dns.zonefile.Reader(tokens, dns.rdataclass.IN, sink, True, default_ttl=_NO_TTL)  # type: ignore[arg-type]  # see above
        reader.zone_origin = dns.name.root  # else what lies outside would be dropped without a word
        # The line's end is read when its record is taken.
        sink.where = lambda: (reader.tok.where()[0], max(1, reader.tok.where()[1] - 1))
        with contextlib.chdir(path.resolve().parent):
            reader.read()
    except OSError as error:
        raise GeodnsError(f"{error.filename or path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GeodnsError(f"{path}: a file that it includes is not in UTF-8: {error}") from error
    except (dns.exception.DNSException, ValueError) as error:
        shown = " ".join(str(error).split()) or type(error).__name__
        raise GeodnsError(shown if str(path) in shown else f"{path}: {shown}") from error
    return sink


class _Drafter:
    def __init__(
        self, path: Path, origin: dns.name.Name, found: dict[tuple[dns.name.Name, int], _Found]
    ) -> None:
        self._origin = origin
        self._found = found
        self._draft = ZoneDraft(origin.to_text().lower(), str(path))
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
                raise GeodnsError(f"{one.place}: {kind} cannot stand in a zone")
            else:
                self._rrset(known, one)
        for kind, lines in self._left_out.items():
            text = f"left out, since signing is not known yet: {len(lines)} RRsets of {kind}"
            draft.remark(text)
        self._name_servers()
        return draft

    def _owner(self, name: dns.name.Name) -> str:
        return name.relativize(self._origin).to_text()

    def _soa(self, found: _Found) -> None:
        soa = found.rdatas[0]
        assert isinstance(soa, dns.rdtypes.ANY.SOA.SOA)
        self._draft.record_ttl = min(*found.ttls, MAX_TTL)
        rname = self._owner(soa.rname)
        self._draft.soa = {
            "mname": self._owner(soa.mname),
            "rname": soa.rname.to_text() if rname == "@" else rname,
            "serial": soa.serial,
            **{word: duration(int(getattr(soa, word))) for word in ("refresh", "retry", "expire", "minimum")},
        }
        if len(set(found.rdatas)) > 1:
            self._draft.remark("several SOA records: the first is taken", place=found.place)

    def _rrset(self, kind: str, found: _Found) -> None:
        draft, owner = self._draft, self._owner(found.name)
        values = list(dict.fromkeys(self._value(kind, rdata) for rdata in found.rdatas))
        if len(values) < len(found.rdatas):
            draft.remark(f"{kind} has the same value twice: written once", place=found.place, owner=owner)
        if max(found.ttls) > MAX_TTL:
            draft.remark(f"{kind} has a TTL over {MAX_TTL}: that is written", place=found.place, owner=owner)
            found.ttls = [min(ttl, MAX_TTL) for ttl in found.ttls]
        ttl = min(found.ttls)
        if ttl != max(found.ttls):
            text = (
                f"{kind} has TTLs from {ttl} to {max(found.ttls)}: one RRset has one (RFC 2181), the lowest"
            )
            draft.remark(text, place=found.place, owner=owner)
        draft.name(owner).rrsets[kind] = DraftRrset(ttl, [*values])

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
        for value in found.values:
            assert isinstance(value, str)
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
