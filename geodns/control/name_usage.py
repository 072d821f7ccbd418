"""Remembers when each name was last queried: unused names may be removed without a question."""

import json
from collections.abc import Iterable, Mapping

from geodns.control.edit_guard import USED_FOR
from geodns.wire.names import name_from_wire

MAX_NAMES = 50_000
"""Names in memory; of more, the one that was not queried for longest goes."""
MAX_NOTED = 5_000
"""Names that outlive a restart, those queried last."""


class NameUsage:
    """The names that were queried; it begins with a `note` of an earlier process."""

    def __init__(self, noted: str | None = None) -> None:
        self._names: dict[str, float] = {}
        try:
            found = json.loads(noted or "{}")
            self._names = {str(name): float(at) for name, at in found.items()}
        except (ValueError, TypeError, AttributeError):  # another version's note: begin without
            pass

    @property
    def names(self) -> Mapping[str, float]:
        """Each absolute name's last query, in seconds since the epoch."""
        return self._names

    def add(self, names: Iterable[bytes], now: float) -> None:
        """Add names, on the wire and in lower case, that were queried now."""
        for wire in names:
            name = name_from_wire(wire)
            self._names.pop(name, None)  # what comes last is the newest
            self._names[name] = now
            if len(self._names) > MAX_NAMES:
                del self._names[next(iter(self._names))]

    def note(self, now: float) -> str:
        """Return the newest names as text, for the next process."""
        fresh = {name: round(at) for name, at in self._names.items() if now - at <= USED_FOR}
        return json.dumps(dict([*fresh.items()][-MAX_NOTED:]))
