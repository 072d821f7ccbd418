"""Tells operators who of a group comes and goes, and keeps which nodes two live servers have."""

import logging

from geodns.health.quorum_standing import NoteKind, QuorumNote
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)


class GroupNotes:
    """What operators know from the notes of the quorum.

    Attributes:
        doubled: nodes that two live servers have.

    """

    def __init__(self, events: EventLog, group: str) -> None:
        self._events = events
        self._group = group
        self.doubled: set[str] = set()

    def take(self, note: QuorumNote) -> None:
        if note.kind is NoteKind.HEARD:
            self._tell(f"server {note.node} of group {self._group} is heard", logging.INFO, note.node)
        elif note.kind is NoteKind.LOST:
            text = f"server {note.node} of group {self._group} is heard no more"
            self._tell(text, logging.WARNING, note.node)
        elif note.kind is NoteKind.DOUBLED:
            self.doubled.add(note.node)
        elif note.kind is NoteKind.UNDOUBLED:
            self.doubled.discard(note.node)
        elif note.kind is NoteKind.MODE:
            log.info("the verdicts of %s are now: %s", ", ".join(sorted(note.zones)), note.mode)

    def _tell(self, text: str, level: int, node: str) -> None:
        self._events.tell("peer", text, level=level, data={"node": node})
