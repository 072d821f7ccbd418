"""Edits of zone files on their way into what is served: read, compiled, published, kept and told."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any

from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.control.cluster import Cluster, Transition, retire, source_of
from geodns.control.edit_guard import large_losses
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.errors import StartError, ZoneError, printable
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.storage.event_log import EventLog
from geodns.zones.diff import summary, zone_diff
from geodns.zones.discovery import Discovery
from geodns.zones.folder import Edit, Folder

log = logging.getLogger(__name__)

TEXT_OF = "text of "
"""Before a zone's name: the note of what its file said, for zones whose hosts come and go."""
MOST_LINES = 40
"""Lines of an edit's differences that its event carries."""

_Change = tuple[str, Zone | None, Source | None]
"""A zone's name, what was served, and what is served instead; None: nothing."""


class ZoneService:
    """Takes what the folder says, one edit after the other.

    Args:
        folder: the zone files.
        discovery: finds hosts that come from elsewhere.
        keeper: keeps the zones.
        cluster: is what they are served from.
        metrics: counts files that are refused and how long compiling takes.
        events: tells what has changed.
        follow: called once the cluster has other zones: others look after other hosts from then on.
        publish: tells the workers.
        tell: tells which hosts have changed their states by an edit.
        asked: returns when names were asked for last.

    Attributes:
        waiting: zones whose files would take much away, and what: they wait until somebody says yes.

    """

    def __init__(
        self,
        folder: Folder,
        discovery: Discovery,
        keeper: Persistence,
        cluster: Cluster,
        metrics: Metrics,
        events: EventLog,
        *,
        follow: Callable[[], None],
        publish: Callable[[], Coroutine[Any, Any, Any]],
        tell: Callable[[list[Transition]], None],
        asked: Callable[[], Mapping[str, float]],
    ) -> None:
        self._folder = folder
        self._discovery = discovery
        self._keeper = keeper
        self._cluster = cluster
        self._metrics = metrics
        self._events = events
        self._follow = follow
        self._publish = publish
        self._tell = tell
        self._asked = asked
        self._turn = asyncio.Lock()
        self.waiting: dict[str, tuple[str, ...]] = {}
        self._refused: frozenset[str] = frozenset()
        """Zones whose files had errors when they were read last."""

    def first(self, *, again: bool) -> Edit:
        """Read the folder; a file with errors takes no zone away that was served before a restart.

        It blocks on the disk.

        Args:
            again: whether zones were served a moment ago, by an earlier control process.

        Raises:
            ZoneError: there are files, and none can be served.
            StartError: there is none.

        """
        edit = self._folder.read_all()
        zones = dict(edit.zones)
        if again and not self._folder.files:
            # All files vanished at once, and are kept as when control lives.
            self._folder.expect(self._keeper.zone_names)
        for name in self._folder.files.keys() - zones.keys():
            zone, text = self._keeper.zone(name), self._keeper.note(f"{TEXT_OF}{name}")
            if zone is not None:
                zones[name] = (self._folder.recall(name, text) if text else None) or zone
        if not zones:
            errors = tuple(problem for problem in edit.problems if not problem.warning)
            if errors:
                raise ZoneError(errors)
            folder = self._folder.directory
            if self._folder.unreadable is not None:
                raise StartError(
                    f"no zones: the folder {folder} cannot be read ({self._folder.unreadable}): give another "
                    "with --zones, or write the first zone with `geodns init NAME ADDRESS…`"
                )
            raise StartError(f"no zones in {folder}/: `geodns init NAME ADDRESS…` writes the first")
        return replace(edit, zones=zones)

    async def watch(self) -> None:
        """Look at the folder again and again, and serve what has changed; never return."""
        while True:
            await asyncio.sleep(self._folder.pause)
            async with self._turn:
                edit = await asyncio.to_thread(self._folder.poll, time.monotonic())
                if edit is not None:
                    await self.apply(edit)

    async def watch_sources(self) -> None:
        """Serve other hosts whenever sources give others; never return."""
        while True:
            names = await self._discovery.changed()
            async with self._turn:
                if names:
                    await self.apply(await asyncio.to_thread(self._folder.read_again, names))
                await asyncio.to_thread(self._keeper.save_found, self._discovery.stored())

    async def completed(self, edit: Edit) -> Edit:
        """Add the hosts of sources that an edit has brought, where they say soon which they are."""
        names = await self._discovery.first(edit.zones.values())
        if not names:
            return edit
        again = await asyncio.to_thread(self._folder.read_again, names)
        files = {str(self._folder.files[name]) for name in again.zones}
        problems = (*(one for one in edit.problems if one.file not in files), *again.problems)
        return replace(edit, zones={**edit.zones, **again.zones}, problems=problems)

    async def reload(self, *, yes: bool = False) -> None:
        """Serve what the folder and the sources say now.

        Args:
            yes: also what would wait.

        """
        self._discovery.look_up_now()
        async with self._turn:
            await asyncio.to_thread(self._discovery.renew)
            await self.apply(await asyncio.to_thread(self._folder.read_all), yes=yes)

    async def apply(self, edit: Edit, *, yes: bool = False) -> None:
        """Serve what an edit has left of the zones; what is compiled meanwhile for other reasons is kept.

        Args:
            edit: what was read.
            yes: take it whatever it takes away.

        """
        edit = await self.completed(edit)
        edit = self._believed(edit) if yes else await asyncio.to_thread(self._held, edit)
        self._tell_problems(edit)
        for name in edit.refused:
            self._metrics.refused(name)
        began = time.perf_counter()
        now = time.time()
        before = self._cluster.sources
        sources = {name: one for name, one in before.items() if name not in edit.removed}
        retired = dict(self._cluster.retired)
        changes: list[_Change] = [(name, before[name].zone, None) for name in edit.removed & before.keys()]
        for name, zone in edit.zones.items():
            known = before.get(name)
            old = await asyncio.to_thread(self._keeper.earlier, zone) if known is None else known.zone
            if old is not None:
                retired = _others(retired, name) | retire(old, zone, retired, now)
            if known is None or known.zone.digest != zone.digest:
                sources[name] = source_of(zone, self._keeper.serial(zone), retired)
                if old is not None or name not in self._keeper.zone_names:
                    changes.append((name, old, sources[name]))
        for name in edit.removed:
            retired = _others(retired, name)
        self._discovery.follow(source.zone for source in sources.values())
        self._tell_recovered(edit, {name for name, _, _ in changes})
        if sources == before:
            return
        transitions = await self._adopt(sources, retired, now)
        self._follow()
        self._metrics.recompiled(time.perf_counter() - began)
        await self._publish()
        if not edit.by_sources:  # those tell by themselves who came and went
            await asyncio.to_thread(self._tell_changes, changes)
        self._keep_texts(edit)
        await asyncio.to_thread(self._keeper.save_edit, edit, sources, now)
        await asyncio.to_thread(self._keeper.save_retired, retired)
        self._tell(transitions)

    def _believed(self, edit: Edit) -> Edit:
        """Take everything, also zones whose files went and that waited since."""
        gone = self.waiting.keys() - self._folder.files.keys()
        self.waiting = {}
        return replace(edit, removed=edit.removed | gone)

    def _held(self, edit: Edit) -> Edit:
        """Return an edit without the zones of which it would take much away; these wait."""
        now, asked = time.time(), self._asked()
        zones, removed, waiting = dict(edit.zones), set(edit.removed), dict(self.waiting)
        for name in [*edit.zones, *edit.removed]:
            known = self._cluster.sources.get(name)
            old = self._keeper.zone(name) if known is None else known.zone
            if edit.by_sources and name not in waiting:
                continue  # who comes and goes by a look-up is no slip of a hand
            why = () if old is None else large_losses(old, edit.zones.get(name), asked, now)
            waiting.pop(name, None)
            if old is None or not why:
                continue
            waiting[name] = why
            removed.discard(name)
            zones.pop(name, None)
            if known is None:  # a control process that begins anew serves on what was served
                zones[name] = old
        self._tell_waiting(waiting)
        self.waiting = waiting
        return replace(edit, zones=zones, removed=frozenset(removed))

    def _tell_waiting(self, waiting: Mapping[str, tuple[str, ...]]) -> None:
        for name, why in waiting.items():
            if self.waiting.get(name) != why:
                text = f"zone {name}: its edit waits for `geodns reload --yes`: {'; '.join(why)}"
                self._events.tell("waiting", text, zone=name, data={"why": list(why)})

    def warnings(self) -> list[str]:
        """Return which edits wait, and why."""
        return [
            f"zone {name}: its edit waits for `geodns reload --yes`: {'; '.join(why)}"
            for name, why in self.waiting.items()
        ]

    def _keep_texts(self, edit: Edit) -> None:
        """Keep what the files said whose zones have hosts of sources."""
        for name in edit.zones:
            text = self._folder.text(name)
            if text or self._keeper.note(f"{TEXT_OF}{name}"):
                self._keeper.keep_note(f"{TEXT_OF}{name}", text)

    async def _adopt(
        self, sources: Mapping[str, Source], retired: Mapping[HostKey, Any], now: float
    ) -> list[Transition]:
        live = self._cluster.live()
        compiled = await asyncio.to_thread(compile_zones, self._cluster.compiled, sources, live)
        self._cluster.retired = dict(retired)
        return self._cluster.serve_zones(compiled, now)

    async def let_go(self, now: float) -> None:
        """Serve zones without the hosts whose time after their end is over, where there are any."""
        if all(one.until > now for one in self._cluster.retired.values()):
            return
        async with self._turn:
            left = {key: one for key, one in self._cluster.retired.items() if one.until > now}
            gone = sorted(self._cluster.retired.keys() - left.keys())
            over = {key[0] for key in gone}
            sources = {
                name: source_of(source.zone, source.serial, left) if name in over else source
                for name, source in self._cluster.sources.items()
            }
            await self._adopt(sources, left, now)
            await self._publish()
            for zone, host in gone:
                text = f"host {host}.{zone}: it was taken out of the file, and its own name answers no more"
                self._events.tell("reload", text, level=logging.INFO, zone=zone, host=host)
            await asyncio.to_thread(self._keeper.save_retired, left)

    # --- telling ----------------------------------------------------------------------------------------

    def _tell_problems(self, edit: Edit) -> None:
        """Log every problem; the first error of each file is an event."""
        zones = {str(path): name for name, path in self._folder.files.items()}
        errors = Counter(problem.file for problem in edit.problems if not problem.warning)
        for problem in edit.problems:
            place = {"file": problem.file, "line": problem.line}
            number = 0 if problem.warning else errors.pop(problem.file, 0)
            if number:
                self._events.tell(
                    "refused",
                    str(problem),
                    level=logging.ERROR,
                    zone=zones.get(problem.file),
                    data={**place, "errors": number},
                )
            else:
                log.log(logging.WARNING if problem.warning else logging.ERROR, "%s", problem, extra=place)

    def _tell_recovered(self, edit: Edit, changed: Collection[str]) -> None:
        """Tell that files are good again which say what is served anyhow."""
        good = edit.zones.keys() - edit.refused
        for name in sorted((self._refused & good) - set(changed)):
            text = f"zone {name}: its file has no errors any more, and says what is served"
            self._events.tell("reload", text, level=logging.INFO, zone=name)
        self._refused = self._refused - good - edit.removed | edit.refused

    def _tell_changes(self, changes: Iterable[_Change]) -> None:
        for name, old, new in changes:
            file = printable(str(self._folder.files.get(name, "")))
            data: dict[str, Any] = {"file": file or None, "serial": None if new is None else new.serial}
            if new is None:
                text = f"zone {name} is no longer served: its file is gone"
            elif old is None:
                text = f"zone {name} is served: {summary(new.zone)} ({file})"
            else:
                lines = zone_diff(old, new.zone)
                if not lines:  # another version of this program had other words for the same
                    continue
                data |= {"lines": lines[:MOST_LINES], "more": max(0, len(lines) - MOST_LINES)}
                text = f"zone {name}: {', '.join(lines)} ({file})"
            self._events.tell("reload", text, level=logging.INFO, zone=name, data=data)


def _others(retired: Mapping[HostKey, Any], zone: str) -> dict[HostKey, Any]:
    return {key: one for key, one in retired.items() if key[0] != zone}
