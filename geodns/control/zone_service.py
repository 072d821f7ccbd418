"""Serves edits of zone files and sources of hosts: read, guarded, compiled, published, stored, reported."""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.compiler.views import ZoneViews
from geodns.config.settings import Settings
from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster, Transition, source_of
from geodns.control.edit_guard import edits_digest, large_losses
from geodns.control.host_load_service import HostLoadService
from geodns.control.metrics import Metrics
from geodns.control.name_usage import NameUsage
from geodns.control.order_service import OrderService
from geodns.control.orders import is_out
from geodns.control.persistence import Persistence
from geodns.control.verdict_service import VerdictService
from geodns.control.view_service import ViewService
from geodns.control.warmup_service import WarmupService
from geodns.control.worker_service import WorkerService
from geodns.control.zone_changes import retire
from geodns.errors import Problem, StartError, ZoneError, printable
from geodns.model.hosts import HostSource
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.serve.frames import CountsReport, Message
from geodns.storage.event_log import EventLog
from geodns.storage.reading_log import ReadingLog
from geodns.zonefile.sources import trusted_hosts, zone_over
from geodns.zones.diff import summary, zone_diff
from geodns.zones.discovery import Discovery
from geodns.zones.folder import Edit, Folder
from geodns.zones.host_files import MOST_PROBLEMS
from geodns.zones.listing import Listing

log = logging.getLogger(__name__)

TEXT_OF = "text of "
"""Name of a note, before the zone's: its file's text, for zones with sources of hosts."""
NAMES = "names asked for"
"""Name of the note of `NameUsage`."""
MOST_FILES = 5
"""Named in the line of how many more there are."""
MOST_LINES = 40
"""Lines of an edit's differences in its event."""

_Change = tuple[str, Zone | None, Source | None]
"""A zone's name, the zone served before, and what is served now; None: nothing."""


class ZoneService:
    """Applies edits, one after the other; owns the folder and the discovery of hosts.

    Attributes:
        waiting: zones whose edits wait for an operator's yes, and why.
        digest: of the edits that wait; empty: none does.

    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        workers: WorkerService,
        verdicts: VerdictService,
        loads: HostLoadService,
        warmup: WarmupService,
        orders: OrderService,
        persistence: Persistence,
        events: EventLog,
        metrics: Metrics,
        *,
        views: ViewService,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._verdicts = verdicts
        self._loads = loads
        self._warmup = warmup
        self._views = views
        self._orders = orders
        self._persistence = persistence
        self._events = events
        self._metrics = metrics
        own = {(one.host, one.port) for one in (*settings.listen, settings.http)}
        self._deaths = ReadingLog(settings.state / "reading")
        self._discovery = Discovery(
            settings.zones, persistence.source_lists, self._on_source_event, own, self._deaths
        )
        self._folder = Folder(settings.zones, self._discovery.find, self._deaths)
        self._usage = NameUsage(persistence.note(NAMES))
        self._turn = asyncio.Lock()
        self.waiting: dict[str, tuple[str, ...]] = {}
        self._edits: dict[str, str] = {}
        """Digests of the edits that wait, by zone."""
        self._refused_before: frozenset[str] = frozenset()
        """Zones whose files had errors when last read."""
        workers.subscribe(self._on_message)

    @property
    def files(self) -> Mapping[str, Path]:
        """Zone files by zone, refused ones too."""
        return self._folder.files

    @property
    def refused(self) -> Mapping[str, Sequence[Problem]]:
        return dict(self._folder.refused)  # a copy: a thread may be reading files

    def sources(self) -> Iterator[tuple[Zone, HostSource, Listing]]:
        """Return the sources of hosts of the zones that are served, with their last lists."""
        for zone in self._cluster.zones.values():
            for source in zone.sources:
                yield zone, source, self._discovery.listing(zone.name, source)

    async def close(self) -> None:
        await self._discovery.close()
        self._deaths.close()
        self.keep_names()

    def blame_no_file(self) -> None:
        """Take whatever ends this process from here on for the fault of no file that is being read."""
        self._deaths.close()

    def keep_names(self) -> None:
        """Keep the names that were queried, at persistence's next write."""
        self._persistence.keep_note(NAMES, self._usage.note(time.time()))

    def _on_message(self, message: Message) -> None:
        if isinstance(message, CountsReport):
            self._usage.add(message.counts.names, time.time())

    def read_first(self, *, again: bool) -> Edit:
        """Read the folder; where a file has errors, take the zone as last served. Blocks on the disk.

        Args:
            again: whether an earlier control process served zones a moment ago.

        Raises:
            ZoneError: there are files, and none can be served.
            StartError: there is none.

        """
        edit = self._folder.read_all()
        zones = dict(edit.zones)
        if again and not self._folder.files:
            # All files have vanished at once: keep their zones, as the watch of the folder would.
            self._folder.expect(self._persistence.zone_names)
        for name in self._folder.files.keys() - zones.keys():
            zone, text = self._persistence.zone(name), self._persistence.note(f"{TEXT_OF}{name}")
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
        """Serve edits as the folder changes."""
        while True:
            await asyncio.sleep(self._folder.pause)
            async with self._turn:
                edit = await asyncio.to_thread(self._folder.poll, time.monotonic())
                if edit is not None:
                    await self.apply(edit)

    async def watch_sources(self) -> None:
        """Serve hosts as sources change them."""
        while True:
            names = await self._discovery.changed()
            async with self._turn:
                if names:
                    await self.apply(await asyncio.to_thread(self._folder.read_again, names))
                await asyncio.to_thread(self._persistence.save_source_lists, self._discovery.stored())

    async def completed(self, edit: Edit) -> Edit:
        """Return an edit with the hosts of its new sources, of those that answer soon."""
        names = await self._discovery.first(edit.zones.values())
        if not names:
            return edit
        again = await asyncio.to_thread(self._folder.read_again, names)
        files = {str(self._folder.files[name]) for name in again.zones}
        problems = (*(one for one in edit.problems if one.file not in files), *again.problems)
        return replace(edit, zones={**edit.zones, **again.zones}, problems=problems)

    @property
    def digest(self) -> str:
        return edits_digest(self._edits)

    async def reload(self, *, yes: bool | str = False) -> str | None:
        """Read the folder and the sources anew; `yes` also serves edits that would wait.

        Args:
            yes: to all that would wait, or a digest of them: to others it says nothing.

        Returns:
            why what is served now is not on disk; None: it is.

        """
        self._discovery.look_up_now()
        async with self._turn:
            await asyncio.to_thread(self._discovery.renew)
            await self.apply(await asyncio.to_thread(self._folder.read_all), yes=yes)
            return self._persistence.zones_unkept()

    async def apply(self, edit: Edit, *, yes: bool | str = False) -> None:
        """Serve an edit; verdicts and orders that come meanwhile hold.

        Args:
            edit: of any zones; the others stay.
            yes: serve it whatever it takes away; a digest: if that is of what would wait.

        """
        edit = await self.completed(edit)
        if yes is not True:
            held = await asyncio.to_thread(self._without_large_losses, edit)
        edit = self._confirmed(edit) if yes is True or (yes and yes == self.digest) else held
        edit, views = await self._views.of_edit(edit)
        await asyncio.to_thread(self._report_problems, edit)  # there may be many
        await asyncio.to_thread(self._verdicts.prepare, edit.zones.values())
        for name in edit.refused:
            self._metrics.count_refused_file(name)
        began = time.perf_counter()
        now = time.time()
        before = self._cluster.sources
        sources = {name: one for name, one in before.items() if name not in edit.removed}
        retired = dict(self._cluster.retired)
        changes: list[_Change] = [(name, before[name].zone, None) for name in edit.removed & before.keys()]
        for name, zone in edit.zones.items():
            known = before.get(name)
            old = await asyncio.to_thread(self._persistence.earlier, zone) if known is None else known.zone
            if old is not None:
                retired = _without_zone(retired, name) | retire(old, zone, retired, now)
            if known is None or known.zone.digest != zone.digest:
                sources[name] = source_of(zone, self._persistence.serial(zone), retired)
                if old is not None or name not in self._persistence.zone_names:
                    changes.append((name, old, sources[name]))
        for name in edit.removed:
            retired = _without_zone(retired, name)
        self._discovery.follow(source.zone for source in sources.values())
        self._report_recovered(edit, {name for name, _, _ in changes})
        if sources == before:
            return
        with self._folder.applying(edit.zones):
            transitions = await self._serve(sources, retired, now, views)
            await self._views.follow()
            self._verdicts.follow()
            self._loads.follow()
            self._warmup.look()
            self._orders.note_edits()
            self._metrics.observe_recompile(time.perf_counter() - began)
            await self._workers.publish()
        if not edit.by_sources:  # the discovery reports those itself
            await asyncio.to_thread(self._report_changes, changes)
        self._keep_texts(edit)
        await asyncio.to_thread(self._persistence.save_edit, edit, sources, now)
        await asyncio.to_thread(self._persistence.save_retired, retired)
        self._verdicts.report(transitions)

    def _confirmed(self, edit: Edit) -> Edit:
        """Return an edit that also removes zones that waited because their files went; nothing waits then."""
        gone = self.waiting.keys() - self._folder.files.keys()
        self.waiting, self._edits = {}, {}
        return replace(edit, removed=edit.removed | gone)

    def _without_large_losses(self, edit: Edit) -> Edit:
        """Return an edit without the zones that would lose much; these wait."""
        now, last_queried = time.time(), dict(self._usage.names)
        zones, removed, waiting = dict(edit.zones), set(edit.removed), dict(self.waiting)
        edits = dict(self._edits)
        for name in [*edit.zones, *edit.removed]:
            known = self._cluster.sources.get(name)
            old = self._persistence.zone(name) if known is None else known.zone
            new = edit.zones.get(name)
            trusted = trusted_hosts(old, new) if old is not None and new is not None else ()
            out = () if known is None or old is None else self._out(old)
            why = () if old is None else large_losses(old, new, last_queried, now, out, trusted)
            waiting.pop(name, None)
            edits.pop(name, None)
            if old is None or not why:
                continue
            waiting[name], edits[name] = why, "" if new is None else new.digest
            removed.discard(name)
            zones.pop(name, None)
            if known is None:  # at a restart of the control process: go on with the zone of before
                zones[name] = old
        self.waiting, self._edits = waiting, edits
        return replace(edit, zones=zones, removed=frozenset(removed))

    def _out(self, zone: Zone) -> tuple[str, ...]:
        """Return the hosts of a zone that are down, or taken out by hand."""
        cluster = self._cluster
        forced = cluster.in_force(cluster.forced)
        resting = {host for host, one in dict(cluster.weights).items() if one.weight == 0}
        return tuple(
            host.name
            for host in zone.hosts
            if (zone.name, host.name) in resting or is_out(cluster, (zone.name, host.name), forced)
        )

    def _keep_texts(self, edit: Edit) -> None:
        """Keep the files' texts of zones with sources of hosts."""
        for name in edit.zones:
            text = self._folder.text(name)
            if text or self._persistence.note(f"{TEXT_OF}{name}"):
                self._persistence.keep_note(f"{TEXT_OF}{name}", text)

    async def _serve(
        self,
        sources: Mapping[str, Source],
        retired: Mapping[HostKey, Any],
        now: float,
        views: Mapping[str, ZoneViews] = MappingProxyType({}),
    ) -> list[Transition]:
        live, before = self._cluster.live(), self._cluster.compiled
        views = {name: one for name, one in before.views.items() if name in sources} | dict(views)
        compiled = await asyncio.to_thread(compile_zones, before, sources, live, views)
        self._cluster.retired = dict(retired)
        return self._cluster.serve_zones(compiled, now)

    async def end_retirements(self, now: float) -> None:
        """Serve zones without the retired hosts whose time is over."""
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
            await self._serve(sources, left, now)
            await self._workers.publish()
            for zone, host in gone:
                text = f"host {host}.{zone}: it left, and after `retire` its own name answers no more"
                self._events.tell("reload", text, level=logging.INFO, zone=zone, host=host)
            await asyncio.to_thread(self._persistence.save_retired, left)

    # --- alerts -----------------------------------------------------------------------------------------

    def alerts(self) -> Iterator[Alert]:
        for name, why in self.waiting.items():
            reasons = "; ".join(why)
            text = f"zone {name}: its edit waits for `geodns reload --yes`: {reasons}"
            yield Alert(
                ("waiting", name), text, kind="waiting", grade=reasons, zone=name, data={"why": list(why)}
            )
        for text in self._folder.warnings(self._cluster.sources):
            yield Alert(("folder", text), text, event="")
        for zone, source, listing in self.sources():
            if listing.since is not None:
                failure = listing.describe_failure(source.title)
                text = f"zone {zone.name}: {failure}, since {timestamp(listing.since)}"
                yield Alert(("source", zone.name, source), text, event="", zone=zone.name)
            over = zone_over(source, self._cluster.sources)
            if over is not None:
                text = (
                    f"zone {zone.name}: {source.title} lies in zone {over}, which is served here: geodns may "
                    "ask itself: name a `resolver` that does not come back to it"
                )
                yield Alert(("circle", zone.name, source), text, event="", zone=zone.name)

    def _on_source_event(self, zone: str, text: str, level: int, data: Mapping[str, Any]) -> None:
        self._events.tell("source", text, level=level, zone=zone, data=data)

    # --- events -----------------------------------------------------------------------------------------

    def _report_problems(self, edit: Edit) -> None:
        """Log the first problems, and how many more there are; the first error of each file is an event."""
        zones = {str(path): name for name, path in self._folder.files.items()}
        errors = Counter(problem.file for problem in edit.problems if not problem.warning)
        left = MOST_PROBLEMS
        more: Counter[str] = Counter()
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
            elif left:
                left -= 1
                log.log(logging.WARNING if problem.warning else logging.ERROR, "%s", problem, extra=place)
            else:
                more[problem.file] += problem.times
        if more:
            files = ", ".join(map(printable, itertools.islice(more, MOST_FILES)))
            others = f" and {len(more) - MOST_FILES} other files" if len(more) > MOST_FILES else ""
            log.error(
                "%s more problems in %s%s: `geodns check` prints them",
                f"{more.total():,}",
                files,
                others,
                extra={"problems": more.total()},
            )

    def _report_recovered(self, edit: Edit, changed: Collection[str]) -> None:
        """Report files without errors again that say what is served anyhow."""
        good = edit.zones.keys() - edit.refused
        for name in sorted((self._refused_before & good) - set(changed)):
            text = f"zone {name}: its file has no errors any more, and says what is served"
            self._events.tell("reload", text, level=logging.INFO, zone=name)
        self._refused_before = self._refused_before - good - edit.removed | edit.refused

    def _report_changes(self, changes: Iterable[_Change]) -> None:
        for name, old, new in changes:
            file = printable(str(self._folder.files.get(name, "")))
            data: dict[str, Any] = {"file": file or None, "serial": None if new is None else new.serial}
            if new is None:
                text = f"zone {name} is no longer served: its file is gone"
            elif old is None:
                text = f"zone {name} is served: {summary(new.zone)} ({file})"
            else:
                lines = zone_diff(old, new.zone)
                if not lines:  # stored by another version in other words
                    continue
                data |= {"lines": lines[:MOST_LINES], "more": max(0, len(lines) - MOST_LINES)}
                text = f"zone {name}: {', '.join(lines)} ({file})"
            self._events.tell("reload", text, level=logging.INFO, zone=name, data=data)


def _without_zone(retired: Mapping[HostKey, Any], zone: str) -> dict[HostKey, Any]:
    return {key: one for key, one in retired.items() if key[0] != zone}
