"""What a restart must know, written down as it happens; trouble with the disk is a warning, never an end."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from geodns.compiler.answers import Source
from geodns.control.alert_service import Alert
from geodns.errors import StoreError
from geodns.model.checks import Target
from geodns.model.serial import next_serial
from geodns.model.state import ForcedState, ForcedWeight, HostKey, HostSince, RetiredHost, StoredZone, Verdict
from geodns.model.zone import Zone
from geodns.storage.state_file import StateFile
from geodns.zones.folder import Edit

VERDICTS_LAST = 3600.0
"""Seconds after which a stored verdict says nothing any more."""


class Restored(NamedTuple):
    """What a cluster must know of before a restart.

    Attributes:
        forced: the states forced on hosts.
        since: each host's state and since when it has had it.
        retired: hosts that were taken out and still answer for their own names.
        returned: hosts in their slow start, and when they came back.
        weights: the weights forced on hosts.

    """

    forced: Mapping[HostKey, ForcedState]
    since: Mapping[HostKey, HostSince]
    retired: Mapping[HostKey, RetiredHost]
    returned: Mapping[HostKey, float]
    weights: Mapping[HostKey, ForcedWeight]


class Persistence:
    """Writes to the store what happens, and reads back what happened before.

    Its methods block on the disk, where they do not say otherwise: services call them in threads. What
    cannot be written is tried again with whatever comes next.

    Attributes:
        trouble: why the last write failed; None while the disk does its work.
        source_lists: what sources of hosts gave last, by zone and source.

    """

    def __init__(self, store: StateFile, warnings: Sequence[str] = ()) -> None:
        """Read what is there.

        Args:
            store: the open state file.
            warnings: what opening it had to tell.

        """
        self.trouble: str | None = None
        self._warnings = tuple(warnings)
        self._store = store
        self._unwritten: dict[tuple[str, ...], Callable[[], None]] = {}
        """What is still to be written, by what it is about: the latest alone counts."""
        self._turn = threading.Lock()
        self._zones = store.load_zones()
        self._serials = store.load_serials()
        self._notes = store.load_notes()
        self.source_lists: Mapping[tuple[str, str], str] = store.load_found()
        self._hosts_with_state = frozenset(store.load_host_states())

    def restored(self) -> Restored:
        store = self._store
        return Restored(
            store.load_forced(),
            store.load_host_states(),
            store.load_retired(),
            store.load_returned(),
            store.load_forced_weights(),
        )

    def alerts(self) -> Iterator[Alert]:
        """Return that something cannot be written, and what was odd when the state was opened."""
        for text in self._warnings:  # told at the start
            yield Alert(("state file", text), text, event="")
        if self.trouble is not None:
            yield Alert("state", self.trouble, grade=self.trouble, level=logging.ERROR)

    @property
    def zone_names(self) -> frozenset[str]:
        """The zones that were served last."""
        return frozenset(self._zones)

    def zone(self, name: str) -> Zone | None:
        """Return a zone as it was last served; None where it is not known, or in a form that is no more."""
        kept = self._zones.get(name)
        try:
            return None if kept is None else Zone.model_validate_json(kept.text)
        except ValidationError:
            return None

    def earlier(self, zone: Zone) -> Zone | None:
        """Return a zone as it was last served, where it said something else than it does now."""
        kept = self._zones.get(zone.name)
        return None if kept is None or kept.digest == zone.digest else self.zone(zone.name)

    def verdicts(self, targets: set[Target], now: float) -> dict[Target, Verdict]:
        """Return what was believed of targets not too long ago."""
        stored = self._store.load_verdicts(VERDICTS_LAST, now)
        return {target: stored[target.key] for target in targets if target.key in stored}

    def serial(self, zone: Zone) -> int:
        """Return the serial a zone is served with: the operator's, the one it had, or the next one."""
        if zone.soa.serial is not None:
            self._serials[zone.name] = zone.soa.serial
            return zone.soa.serial
        kept = self._zones.get(zone.name)
        if kept is not None and kept.digest == zone.digest:
            return kept.serial
        serial = next_serial(self._serials.get(zone.name), datetime.now(UTC).date())
        self._serials[zone.name] = serial
        return serial

    def save_edit(self, edit: Edit, sources: Mapping[str, Source], now: float) -> None:
        """Keep the zones that an edit brought; let go of those that went."""
        for name in edit.zones:
            source = sources[name]
            known = self._zones.get(name)
            if known is None or known.digest != source.zone.digest:
                text = source.zone.model_dump_json()
                kept = self._zones[name] = StoredZone(source.zone.digest, source.serial, text, now)
                self._keep(partial(self._store.save_zone, name, kept), "zone", name)
        for name in edit.removed:
            self._zones.pop(name, None)
            self._keep(partial(self._store.drop_zone, name), "zone", name)
        self.write()

    def save_retired(self, retired: Mapping[HostKey, RetiredHost]) -> None:
        """Keep the hosts that answer for their own names only."""
        self._keep(partial(self._store.save_retired, retired), "retired")
        self.write()

    def save_source_lists(self, lists: Mapping[tuple[str, str], str]) -> None:
        """Keep what sources of hosts gave last, and of no others."""
        if lists != self.source_lists:
            self.source_lists = dict(lists)
            self._keep(partial(self._store.save_found, self.source_lists), "found")
            self.write()

    def note(self, name: str) -> str | None:
        """Return what was noted under a name; None where nothing was."""
        return self._notes.get(name)

    def keep_note(self, name: str, text: str) -> None:
        """Note something under a name at the next `write`; does not block."""
        if self._notes.get(name) != text:
            self._notes[name] = text
            self._keep(partial(self._store.save_note, name, text), "note", name)

    def keep_forced(self, host: HostKey, state: ForcedState | None) -> None:
        """Keep what is imposed on a host (None: nothing any more) at the next `write`; does not block."""
        if state is None:
            self._keep(partial(self._store.clear_forced, host), "forced", *host)
        else:
            self._keep(partial(self._store.save_forced, host, state), "forced", *host)

    def keep_weight(self, host: HostKey, weight: ForcedWeight | None) -> None:
        """Keep the weight imposed on a host (None: none any more) at the next `write`; does not block."""
        if weight is None:
            self._keep(partial(self._store.clear_forced_weight, host), "weight", *host)
        else:
            self._keep(partial(self._store.save_forced_weight, host, weight), "weight", *host)

    def save_states(
        self,
        verdicts: Mapping[Target, Verdict],
        since: Mapping[HostKey, HostSince],
        returned: Mapping[HostKey, float],
        now: float,
    ) -> None:
        """Keep what changes often: verdicts, host states, slow starts; forget hosts that are no more."""

        def save() -> None:
            self._store.save_verdicts({target.key: one for target, one in verdicts.items()}, now)
            self._store.prune_verdicts(VERDICTS_LAST, now)
            self._store.save_host_states(since)
            self._store.save_returned(returned)
            self._store.forget_host_states(self._hosts_with_state - since.keys())
            self._hosts_with_state = frozenset(since)

        self._keep(save, "states")
        self.write()

    def _keep(self, change: Callable[[], None], *about: str) -> None:
        self._unwritten[about] = change

    def write(self) -> None:
        """Write what is to be kept, and what could not be written before."""
        with self._turn:
            try:
                for about in list(self._unwritten):
                    self._write(about)
            except StoreError as error:
                self.trouble = f"{error}: what changes now is forgotten at a restart"
            else:
                self.trouble = None

    def _write(self, about: tuple[str, ...]) -> None:
        # Taken out first: should something newer about the same come meanwhile, it is not lost.
        change = self._unwritten.pop(about, None)
        if change is not None:
            try:
                change()
            except StoreError:
                self._unwritten.setdefault(about, change)
                raise
