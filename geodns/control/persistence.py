"""Writes the state that must survive a restart; trouble with the disk is a warning, never an end."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from geodns.compiler.answers import Source
from geodns.control.alert_service import Alert
from geodns.errors import StoreError
from geodns.model.checks import Target
from geodns.model.providers import LookedUp
from geodns.model.serial import next_serial
from geodns.model.state import ForcedState, ForcedWeight, HostKey, HostSince, RetiredHost, StoredZone, Verdict
from geodns.model.warmup import WarmupStage
from geodns.model.zone import Zone
from geodns.storage.state_file import StateFile
from geodns.storage.state_rows import StoredOrder
from geodns.zones.folder import Edit

VERDICTS_LAST = 3600.0
"""Seconds for which a stored verdict counts."""
TRY_EVERY = 1.0
"""Seconds from one try to the next while something could not be written."""
SLOW = 1.0
"""Seconds that a failure took after which the rest of the changes wait for the next try."""

_ORDERS = ("forced", "weight", "order")
"""Subjects that are written first: nobody can find them out again."""


class Restored(NamedTuple):
    """The stored arguments of a `Cluster`; `returned` is when each host in slow start came back."""

    forced: Mapping[HostKey, ForcedState]
    since: Mapping[HostKey, HostSince]
    retired: Mapping[HostKey, RetiredHost]
    returned: Mapping[HostKey, float]
    weights: Mapping[HostKey, ForcedWeight]


class Persistence:
    """The state file, as the services use it.

    `keep_…` puts a change off until the next write; `write`, `save_…` and reading block on the disk, so
    services call them in threads. A write that fails is tried again with the next one. Who comes while
    another writes shares the next write with all who wait: a locked file costs them its time once.

    Attributes:
        trouble: why the last write failed; None: it did not.
        source_lists: last list of hosts of each source, by zone and source.

    """

    def __init__(self, store: StateFile, warnings: Sequence[str] = ()) -> None:
        """Read the state file; `warnings` came up when it was opened."""
        self.trouble = None if store.offline is None else _forgotten(store.offline)
        self._warnings = tuple(warnings)
        self._store = store
        self._unwritten: dict[tuple[str, ...], Callable[[], None]] = {}
        """Changes not yet written, the latest of each subject alone."""
        self._left: frozenset[tuple[str, ...]] = frozenset()
        """Subjects that the last write could not write."""
        self._turn = threading.Condition()
        self._writing = False
        self._asked = self._done = self._latest = 0
        """Numbers of the calls: the last of all, the last whose changes were tried, the last of `written`."""
        self._thread = ThreadPoolExecutor(1, "state")
        """For orders alone, which wait for it."""
        self._one = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._zones = store.load_zones()
        self._serials = store.load_serials()
        self._notes = store.load_notes()
        self.source_lists: Mapping[tuple[str, str], str] = store.load_found()
        self._hosts_with_state = frozenset(store.load_host_states())
        self._providers: Mapping[str, LookedUp] = {}
        """On disk."""

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
        for text in self._warnings:  # events of the start
            yield Alert(("state file", text), text, event="")
        if self.trouble is not None:
            yield Alert("state", self.trouble, grade=self.trouble, level=logging.ERROR)

    @property
    def zone_names(self) -> frozenset[str]:
        """The zones that were stored last."""
        return frozenset(self._zones)

    def zone(self, name: str) -> Zone | None:
        """Return a zone as last served; None: it is not stored, or in another version's form."""
        kept = self._zones.get(name)
        try:
            return None if kept is None else Zone.model_validate_json(kept.text)
        except ValidationError:
            return None

    def earlier(self, zone: Zone) -> Zone | None:
        """Return a zone as last served, if that differs from this one."""
        kept = self._zones.get(zone.name)
        return None if kept is None or kept.digest == zone.digest else self.zone(zone.name)

    def verdicts(self, targets: set[Target], now: float) -> dict[Target, Verdict]:
        """Return the stored verdicts of targets that are not too old."""
        stored = self._store.load_verdicts(VERDICTS_LAST, now)
        return {target: stored[target.key] for target in targets if target.key in stored}

    def serial(self, zone: Zone) -> int:
        """Return the serial for a zone: the operator's, the one of the same content, or the next one."""
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
        """Store the zones of an edit, and drop those that it removes."""
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
        self._keep(partial(self._store.save_retired, retired), "retired")
        self.write()

    def save_source_lists(self, lists: Mapping[tuple[str, str], str]) -> None:
        """Replace the stored lists of sources."""
        if lists != self.source_lists:
            self.source_lists = dict(lists)
            self._keep(partial(self._store.save_found, self.source_lists), "found")
            self.write()

    def note(self, name: str) -> str | None:
        return self._notes.get(name)

    def keep_note(self, name: str, text: str) -> None:
        if self._notes.get(name) != text:
            self._notes[name] = text
            self._keep(partial(self._store.save_note, name, text), "note", name)

    def keep_forced(self, host: HostKey, state: ForcedState | None, order: StoredOrder | None = None) -> None:
        """Keep a host's forced state (None: it has ended), and the order that imposed or ended it."""
        save, clear = self._store.save_forced, self._store.clear_forced
        change = partial(clear, host, order) if state is None else partial(save, host, state, order)
        self._keep(change, "forced", *host)

    def keep_weight(
        self, host: HostKey, weight: ForcedWeight | None, order: StoredOrder | None = None
    ) -> None:
        """Keep a host's forced weight (None: it has ended), and the order that imposed or ended it."""
        save, clear = self._store.save_forced_weight, self._store.clear_forced_weight
        change = partial(clear, host, order) if weight is None else partial(save, host, weight, order)
        self._keep(change, "weight", *host)

    def orders(self) -> dict[tuple[str, str, str], StoredOrder]:
        """Return the last order of every override, ended ones too."""
        return self._store.load_orders()

    def keep_order(self, order: StoredOrder) -> None:
        """Keep an order that changes no override of this server."""
        self._keep(partial(self._store.save_order, order), "order", *order.order.key)

    def forget_order(self, key: tuple[str, str, str]) -> None:
        self._keep(partial(self._store.forget_orders, [key]), "order", *key)

    def warmups(self) -> dict[HostKey, WarmupStage]:
        return self._store.load_warmups()

    def keep_warmups(self, stages: Mapping[HostKey, WarmupStage]) -> None:
        """Keep where hosts stand in their warm-ups, instead of what was kept before."""
        self._keep(partial(self._store.save_warmups, dict(stages)), "warmup")

    def providers(self) -> dict[str, LookedUp]:
        """Return who runs domains' mail, as it was kept, what was confirmed last at the end."""
        self._providers = self._store.load_providers()
        return dict(self._providers)

    def keep_providers(self, known: Mapping[str, LookedUp]) -> None:
        """Keep who runs domains' mail, instead of what was kept before; `known` must not change any more."""

        def save() -> None:
            before = self._providers
            changed = {domain: one for domain, one in known.items() if before.get(domain) != one}
            self._store.save_providers(changed, before.keys() - known.keys())
            self._providers = known

        self._keep(save, "providers")

    def save_states(
        self,
        verdicts: Mapping[Target, Verdict],
        since: Mapping[HostKey, HostSince],
        returned: Mapping[HostKey, float],
        now: float,
    ) -> None:
        """Store what changes often: verdicts, host states, slow starts; forget hosts that are gone."""

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

    async def watch(self) -> None:
        """Write what could not be written, as soon as it can be."""
        while True:
            await asyncio.sleep(TRY_EVERY)
            if self.trouble is not None:
                await self.written()

    async def orders_written(self, hosts: Collection[HostKey]) -> str | None:
        """Write, and return why the overrides of some hosts are not on disk; None: they are."""
        await self.written()
        return self._why_not(lambda about: about[0] in _ORDERS and about[1:3] in hosts)

    def zones_unkept(self) -> str | None:
        """Return why zones as they are served are not on disk after the last write; None: they are."""
        return self._why_not(lambda about: about[0] == "zone")

    def note_unkept(self, name: str) -> str | None:
        """Return why a note is not on disk after the last write; None: it is."""
        return self._why_not(lambda about: about == ("note", name))

    def _why_not(self, fits: Callable[[tuple[str, ...]], bool]) -> str | None:
        return (self.trouble or "it could not be written") if any(map(fits, self._left)) else None

    async def written(self) -> None:
        """Do as `write`, from the loop, in a thread of its own."""
        self._latest = self._ask()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._write_next())
        await asyncio.shield(self._next)

    async def _write_next(self) -> None:
        async with self._one:
            self._next = None  # changes that are kept from here on need another write
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write_for, self._latest)

    def write(self) -> None:
        """Write all changes that are kept, those that failed before included."""
        self._write_for(self._ask())

    def _ask(self) -> int:
        self._asked += 1
        return self._asked

    def _write_for(self, call: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._done >= call or not self._writing)
            if self._done >= call:
                return
            self._writing = True
            covered = self._asked
        try:
            self.trouble = self._write_all()
            if self.trouble is not None:
                covered = self._asked  # who has waited for this one need not wait for another
            self._left = frozenset() if self.trouble is None else frozenset(self._unwritten)
            self._done = covered
        finally:
            with self._turn:
                self._writing = False
                self._turn.notify_all()

    def _write_all(self) -> str | None:
        try:
            self._store.reopen()
        except StoreError as error:
            return _forgotten(error)
        trouble = self._write_together()
        if trouble is not None:
            return trouble
        for about in sorted(self._unwritten, key=lambda about: about[0] not in _ORDERS):
            began = time.monotonic()
            try:
                self._write(about)
            except StoreError as error:
                trouble = trouble or _forgotten(error)
                if time.monotonic() - began > SLOW:
                    break
        return trouble

    def _write_together(self) -> str | None:
        """Write the orders at once: thousands of them, one by one, would take seconds.

        Return why that took long in vain; None: those that are left are to be tried one by one.
        """
        about = [one for one in list(self._unwritten) if one[0] in _ORDERS]
        if len(about) < 2:
            return None
        waiting = {one: self._unwritten.pop(one) for one in about}
        began = time.monotonic()
        try:
            with self._store.together():
                for change in waiting.values():
                    change()
        except BaseException as error:
            for one, change in waiting.items():
                self._unwritten.setdefault(one, change)
            if not isinstance(error, StoreError):
                raise
            return _forgotten(error) if time.monotonic() - began > SLOW else None
        return None

    def _write(self, about: tuple[str, ...]) -> None:
        # Take it out first, or a newer change of the same subject that comes meanwhile would be lost.
        change = self._unwritten.pop(about, None)
        if change is not None:
            try:
                change()
            except BaseException:
                self._unwritten.setdefault(about, change)
                raise


def _forgotten(error: StoreError) -> str:
    return f"{error}: what changes now is forgotten at a restart"
