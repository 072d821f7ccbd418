"""Which names were asked for, and when last: what nobody asks for can be taken away without a word."""

import json
from collections.abc import Iterable, Mapping

from geodns.control.edit_guard import RECENT
from geodns.wire.names import name_from_wire

MOST = 50_000
"""Names that are remembered; past that the one that was not asked for longest is forgotten."""
NOTED = 5_000
"""Names that are known after a restart, those asked for last."""


class NameUsage:
    """The names that were asked for.

    Args:
        noted: what `note` returned in an earlier life; None: nothing.

    """

    def __init__(self, noted: str | None = None) -> None:
        self._names: dict[str, float] = {}
        try:
            found = json.loads(noted or "{}")
            self._names = {str(name): float(at) for name, at in found.items()}
        except (ValueError, TypeError, AttributeError):  # of another version: nothing is known then
            pass

    @property
    def names(self) -> Mapping[str, float]:
        """When each name was asked for last, in seconds since the epoch; absolute names."""
        return self._names

    def add(self, names: Iterable[bytes], now: float) -> None:
        """Take note of names, as they are on the wire in lower case, that were asked for now."""
        for wire in names:
            name = name_from_wire(wire)
            self._names.pop(name, None)  # what comes last is the newest
            self._names[name] = now
            if len(self._names) > MOST:
                del self._names[next(iter(self._names))]

    def note(self, now: float) -> str:
        """Return what should be known after a restart."""
        fresh = {name: round(at) for name, at in self._names.items() if now - at <= RECENT}
        return json.dumps(dict([*fresh.items()][-NOTED:]))
