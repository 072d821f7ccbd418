"""Keeps over a restart which servers of the group were heard, so that as many are known as before."""

import json
from collections.abc import Iterator, Mapping

from geodns.control.persistence import Persistence

NOTE = "shared servers"
KEEP_EVERY = 600.0
"""Seconds after which it is written again where no server and no zone changed."""


class ServerMemory:
    """The note of the servers that were heard."""

    def __init__(self, persistence: Persistence) -> None:
        self._persistence = persistence
        self._kept: dict[str, frozenset[str]] = {}
        self._at = float("-inf")

    def read(self, wall: float) -> Iterator[tuple[str, list[str], float]]:
        """Yield the servers, their zones, and for how many seconds each was not heard.

        Args:
            wall: now, in seconds since the epoch. A clock that went back makes it just now.

        """
        try:
            kept = json.loads(self._persistence.note(NOTE) or "{}")
            found = [
                (str(node), [str(zone) for zone in zones], float(seen))
                for node, (seen, zones) in kept.items()
            ]
        except (ValueError, TypeError, AttributeError):
            return
        for node, zones, seen in found:
            yield node, zones, max(0.0, wall - seen)

    def keep(self, heard: Mapping[str, tuple[float, frozenset[str]]], now: float, wall: float) -> None:
        """Write them down, if they are others than before or that was a while ago.

        Args:
            heard: for how many seconds each was not heard, and its zones.
            now: monotonic seconds.
            wall: the same moment in seconds since the epoch.

        """
        zones = {node: of for node, (_, of) in heard.items()}
        if zones == self._kept and now - self._at < KEEP_EVERY:
            return
        self._kept, self._at = zones, now
        said = {node: [round(wall - ago), sorted(of)] for node, (ago, of) in sorted(heard.items())}
        self._persistence.keep_note(NOTE, json.dumps(said))
