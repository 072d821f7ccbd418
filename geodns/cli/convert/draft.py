"""A zone file of ours while it is being made from another program's: readers fill it, `yamlout` writes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from geodns.zonefile.template import PLACEHOLDER

Value = str | dict[str, Any]
"""A record's value as our YAML has it: text, or a mapping of fields or of a pool."""


@dataclass
class Rrset:
    """What a name answers for a type.

    Attributes:
        ttl: seconds.
        values: as our YAML has them.

    """

    ttl: int
    values: list[Value]


@dataclass
class Name:
    """What stands under an owner name.

    Attributes:
        rrsets: by type.
        remarks: comments that belong there.

    """

    rrsets: dict[str, Rrset] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass
class Draft:
    """A zone file of ours in the making.

    Attributes:
        origin: the zone's absolute name.
        source: what it is made from, as the operator gave it.
        record_ttl: seconds.
        soa: its keys and values.
        ns: name servers and their addresses.
        checks: by name; likewise `hosts` and `pools`.
        names: owner names, relative to the zone, and what they answer.
        remarks: what has no counterpart: (line, text); line 0 is the file as a whole.
        notes: the texts of those that belong to no owner name.

    """

    origin: str
    source: str
    record_ttl: int = 3600
    soa: dict[str, str | int] = field(default_factory=dict)
    ns: dict[str, list[str]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    hosts: dict[str, Any] = field(default_factory=dict)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, Name] = field(default_factory=dict)
    remarks: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name(self, owner: str) -> Name:
        """Return what stands under an owner name, nothing yet if it is new."""
        return self.names.setdefault(owner, Name())

    def remark(self, text: str, *, line: int = 0, owner: str | None = None) -> None:
        """Note that something has no counterpart here, or not quite."""
        self.remarks.append((line, text))
        if owner is None:
            self.notes.append(text)
        else:
            self.name(owner).remarks.append(text)

    def add_name_server(self) -> None:
        """Add a name server that is to be filled in, for a zone that has none."""
        self.ns["ns1"] = [] if "ns1" in self.names else [PLACEHOLDER]
        self.remark("no NS at the zone's own name: CHANGE `ns` to this server's public name and address")

    def shown_remarks(self) -> Iterator[str]:
        """Yield the remarks as lines for a terminal."""
        for line, text in self.remarks:
            yield f"{self.source}:{line}: {text}" if line else f"{self.source}: {text}"
