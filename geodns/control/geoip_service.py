"""Keeps the networks of the countries, continents and AS numbers that rules name, from GeoIP files.

Files are read by another process, when rules name something new and when a file is replaced.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import eq
from typing import Any

from geodns.config.settings import Settings
from geodns.control.alert_service import Alert
from geodns.control.geoip_alerts import GeoipFileState, file_alerts, name_alerts
from geodns.model.address_ranges import AddressRanges
from geodns.model.views import NO_NETWORKS, GeoNetworks, PoolRule
from geodns.storage.event_log import EventLog
from geodns.zones.apart import ApartError
from geodns.zones.geoip_frames import KINDS, GeoipReport, GeoipRequest, Kind, Named
from geodns.zones.geoip_reading import read_apart
from geodns.zones.watch import BELIEVED_MISSING, QUIET, FileMark, mark_of

LOOK_EVERY = 0.5
"""Seconds from one look at the files to the next."""
TRY_EVERY = 30.0
"""Seconds from a reading that failed, for no fault of a file's, to the next."""

Marks = tuple[FileMark | None, ...]
"""Of each file; None for one that is not there."""


def named_by(rules: Iterable[PoolRule]) -> frozenset[Named]:
    """Return what rules name of places."""
    names: set[Named] = set()
    for rule in rules:
        names.update(("countries", one) for one in rule.countries)
        names.update(("continents", one) for one in rule.continents)
        names.update(("asns", one) for one in rule.asns)
    return frozenset(names)


class GeoipService:
    """The GeoIP files of the settings.

    Attributes:
        networks: of what rules name; a name has none that no file knows.

    """

    def __init__(self, settings: Settings, events: EventLog) -> None:
        self.networks: GeoNetworks = NO_NETWORKS
        self._copies = settings.state / "geoip"
        self._events = events
        self._files = tuple(map(GeoipFileState, settings.geoip))
        self._wanted: frozenset[Named] = frozenset()
        self._report: GeoipReport = GeoipReport()
        self._read: frozenset[Named] = frozenset()
        """The names whose networks the report has, if any."""
        self._turn = asyncio.Lock()
        self._marks: Marks = ()
        """Of the files, just before they were read last."""
        self._trouble = ""
        """Why the last reading failed, for no fault of a file's."""
        self._again_at = float("inf")
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` in the loop after each change of `networks`, before `want` returns too."""
        self._subscribers.append(on_change)

    def describe(self) -> tuple[GeoipFileState, ...]:
        """Return the files in the order of the settings."""
        return self._files

    def counts(self) -> Mapping[Kind, int]:
        """Return the number of ranges in memory by the kind of their names."""
        counts: Counter[Kind] = Counter()
        for (kind, _), ranges in self._report.ranges.items():
            counts[kind] += (len(ranges.ipv4) + len(ranges.ipv6)) // 2
        return counts

    def alerts(self) -> Iterator[Alert]:
        if not self._wanted:
            return
        if self._trouble:
            text = f"GeoIP files are not read: {self._trouble}: what was read before stays in use"
            yield Alert(
                "geoip", text, grade=self._trouble, level=logging.ERROR, resolved="GeoIP files are read"
            )
        yield from file_alerts(self._files)
        if (self._wanted <= self._read or not self._files) and all(one.build for one in self._files):
            known, kinds = self._report.ranges, self._report.kinds
            yield from name_alerts(self._wanted, known, kinds, files=bool(self._files))

    async def want(self, rules: Iterable[PoolRule]) -> None:
        """Have the networks of all that rules name; return when they are there, or cannot be had.

        Files are read only where something is named that is not in memory. These rules replace those wanted
        before.
        """
        self._wanted = named_by(rules)
        async with self._turn:
            if self._files and not self._wanted <= self._read:
                await self._read_files()

    async def watch(self) -> None:
        """Read files again that were replaced, once they have been as they are for a moment."""
        seen, since = self._marks, 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._files or not self._wanted:
                continue
            marks, now = await asyncio.to_thread(self._look), time.monotonic()
            if marks != seen:
                seen, since = marks, now
            gone = any(
                one is None and before is not None for one, before in zip(marks, self._marks, strict=False)
            )
            quiet = now - since >= (BELIEVED_MISSING if gone else QUIET)
            if now >= self._again_at or (self._marks and marks != self._marks and quiet):
                async with self._turn:
                    await self._read_files()

    def _look(self) -> Marks:
        return tuple(mark_of(one.path) for one in self._files)

    async def _read_files(self) -> None:
        wanted = self._wanted
        marks = await asyncio.to_thread(self._look)
        request = GeoipRequest(tuple(one.path for one in self._files), self._copies, wanted)
        try:
            report = await read_apart(request)
        except ApartError as error:
            self._trouble = str(error)
            self._again_at = time.monotonic() + TRY_EVERY
            return
        same = wanted == self._read and await asyncio.to_thread(eq, report.ranges, self._report.ranges)
        self._trouble, self._again_at, self._marks = "", float("inf"), marks
        if not self._take_files(report) and not same:
            self._report, self._read = report, wanted
            self.networks = networks_of(report)
            for on_change in self._subscribers:
                on_change()

    def _take_files(self, report: GeoipReport) -> bool:
        """Note what became of the files; return whether the networks must stay as they were.

        They stay where a file gives nothing that gave something before, not even by a copy.
        """
        now = time.time()
        before, files = self._files, []
        for one, new in zip(before, report.files, strict=True):
            build = new.build or one.build
            read_at = now if new.build is not None else one.read_at
            file = GeoipFileState(one.path, build, read_at, new.error, new.unkept)
            files.append(file)
            if new.build not in {None, one.build}:
                assert build is not None
                self._events.tell(
                    "reload",
                    f"{one.path}: {file.text} is in use",
                    level=logging.INFO,
                    data={"file": str(one.path), "type": build.kind, "built": build.built},
                )
        self._files = tuple(files)
        return any(
            new.build is None and one.build is not None for one, new in zip(before, report.files, strict=True)
        )


def networks_of(report: GeoipReport) -> GeoNetworks:
    """Return the networks of a report by kind."""
    of: dict[Kind, dict[Any, AddressRanges]] = {kind: {} for kind in KINDS}
    for (kind, name), ranges in report.ranges.items():
        of[kind][name] = ranges
    return GeoNetworks(**of)
