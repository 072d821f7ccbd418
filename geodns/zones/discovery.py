"""Finds the hosts of `hosts_from` while the server runs: looks names up, watches files, tells of changes."""

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from geodns.config.report import first_names
from geodns.errors import SourceError
from geodns.model.base import Address, family_of
from geodns.model.hosts import DnsSource, HostSource
from geodns.model.zone import Zone
from geodns.zonefile.sources import SourcedHost, SourceResult, file_title
from geodns.zones.deaths import Deaths
from geodns.zones.host_files import HostFiles
from geodns.zones.listing import NEVER, Listing, counted, hosts_of, lookup_pause, read_listing
from geodns.zones.lookup import Addresses, look_up
from geodns.zones.watch import SELDOM, look_pause

log = logging.getLogger(__name__)

FIRST_WAIT = 3.0
"""Seconds that a zone waits for the first list of a source that never gave one."""
JITTER = 0.1

Tell = Callable[[str, str, int, Mapping[str, Any]], object]
SourceKey = tuple[str, str]
"""Zone name and the source's title."""


class _LookUps:
    """The look-ups of one source, one after another."""

    def __init__(self, source: DnsSource) -> None:
        self.source = source
        self.tried = asyncio.Event()
        self.awaited = False
        self.now = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Discovery:
    """The sources of all zones, and the last list of each.

    Args:
        folder: of the zone files.
        stored: what `stored` returned before a restart.
        tell: called in any thread with a zone's name, a sentence about one of its sources, the sentence's
            log level, and its data.
        own: addresses and ports where this server listens: no look-up makes hosts of them.
        deaths: told which files of hosts are read.

    """

    def __init__(
        self,
        folder: Path,
        stored: Mapping[SourceKey, str],
        tell: Tell,
        own: Collection[tuple[str, int]] = (),
        deaths: Deaths | None = None,
    ) -> None:
        self._deaths = deaths
        self._folder = folder
        self._tell = tell
        self._own = own
        self._ports: dict[str, frozenset[int]] = {}
        self._refused: dict[SourceKey, list[Address]] = {}
        self._listings: dict[SourceKey, Listing] = {key: read_listing(text) for key, text in stored.items()}
        self._look_ups: dict[SourceKey, _LookUps] = {}
        self._files: dict[SourceKey, HostFiles] = {}
        self._turn = threading.Lock()
        """Two threads read files: the one that reads zones, and the one that polls."""
        self._renewed: set[str] = set()
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        self._pause = SELDOM
        self._unsaved = False

    # --- the lists --------------------------------------------------------------------------------------

    def find(self, zone: str, source: HostSource) -> SourceResult:
        """Return the last list of a source, in any thread; files that are new are read."""
        key = zone, source.title
        if isinstance(source, DnsSource):
            # One that was kept before a restart or an edit may be one that the source does not take now.
            addresses = tuple(filter(source.takes, _addresses(self._listings.get(key, NEVER))))
            return SourceResult(
                tuple(SourcedHost(host, source.title) for host in hosts_of(source, addresses))
            )
        with self._turn:
            files = self._files.get(key)
            if files is None:
                files = HostFiles(self._folder, source, self._listings.get(key, NEVER), self._deaths)
                files.read_all(time.time())
                self._files = {**self._files, key: files}
                self._unsaved = True
            members = files.listing.members
        return SourceResult(
            tuple(
                SourcedHost(host, file_title(source, Path(name)))
                for name, hosts in sorted(members.items())
                for host in hosts
            )
        )

    def listing(self, zone: str, source: HostSource) -> Listing:
        key = zone, source.title
        files = self._files.get(key)
        return self._listings.get(key, NEVER) if files is None else files.listing

    def stored(self) -> dict[SourceKey, str]:
        """Return all lists as text to keep over a restart."""
        known = self._listings | {key: files.listing for key, files in self._files.items()}
        return {key: one.text() for key, one in known.items() if one.at is not None}

    # --- the sources that are watched -------------------------------------------------------------------

    async def first(self, zones: Iterable[Zone]) -> frozenset[str]:
        """Look up new names, and wait a little, once; return the zones that have hosts of these now."""
        waiting: dict[SourceKey, _LookUps] = {}
        for zone in zones:
            self._ports[zone.name] = frozenset(check.port for check in zone.checks)
            for source in zone.sources:
                key = zone.name, source.title
                if isinstance(source, DnsSource) and self._listings.get(key, NEVER).at is None:
                    self._start(key, source)
                    if not self._look_ups[key].awaited:
                        waiting[key] = self._look_ups[key]
                        waiting[key].awaited = True
        if not waiting:
            return frozenset()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WAIT):
                await asyncio.gather(*(one.tried.wait() for one in waiting.values()))
        found = frozenset(key[0] for key in waiting if self._listings.get(key, NEVER).at is not None)
        self._changed -= found
        return found

    def follow(self, zones: Iterable[Zone]) -> None:
        """Watch the sources of these zones and no others; not to be called while zones are read."""
        wanted = {(zone.name, source.title): source for zone in zones for source in zone.sources}
        for key in self._look_ups.keys() - wanted.keys():
            self._end(key)
        # Without the lock, which a slow disk may hold: nobody reads zones meanwhile.
        self._files = {key: files for key, files in self._files.items() if key in wanted}
        self._listings = {key: one for key, one in self._listings.items() if key in wanted}
        self._refused = {key: some for key, some in self._refused.items() if key in wanted}
        for key, source in wanted.items():
            if isinstance(source, DnsSource):
                self._start(key, source)
        if self._files:
            self._pause = min(self._pause, look_pause(0, restless=True))
            self._news.set()

    def _start(self, key: SourceKey, source: DnsSource) -> None:
        known = self._look_ups.get(key)
        if known is not None and known.source == source:
            return
        self._end(key)
        started = self._look_ups[key] = _LookUps(source)
        started.task = asyncio.get_running_loop().create_task(self._look_up(key, started))

    def _end(self, key: SourceKey) -> None:
        known = self._look_ups.pop(key, None)
        if known is not None and known.task is not None:
            known.task.cancel()

    def renew(self) -> None:
        """Read all files as they are now, on a reload; it blocks on the disk."""
        with self._turn:
            for key, files in self._files.items():
                before = files.listing
                if files.read_all(time.time()):
                    self._tell_members(key, before, files.listing)
                    self._renewed.add(key[0])

    def look_up_now(self) -> None:
        for one in self._look_ups.values():
            one.now.set()

    async def close(self) -> None:
        tasks = [one.task for one in self._look_ups.values() if one.task is not None]
        for key in list(self._look_ups):
            self._end(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def changed(self) -> frozenset[str]:
        """Wait for zones with other hosts, or for lists to be stored; return the names of those zones."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._news.wait()
            self._news.clear()
            if self._files:
                self._changed |= await asyncio.to_thread(self._poll)
            else:
                self._pause = SELDOM
            if self._changed or self._unsaved:
                names, self._changed, self._unsaved = frozenset(self._changed), set(), False
                return names

    def _poll(self) -> set[str]:
        """Look at the files; return the zones that have other hosts now."""
        began = time.thread_time()
        with self._turn:
            found, self._renewed = self._renewed, set()
            for key, files in self._files.items():
                before = files.listing
                if files.poll(time.monotonic(), time.time()):
                    self._tell_members(key, before, files.listing)
                    found.add(key[0])
                if self._tell_trouble(key, before, files.listing):
                    self._unsaved = True
        restless = any(files.restless for files in self._files.values())
        self._pause = look_pause(time.thread_time() - began, restless=restless)
        return found

    # --- look-ups ---------------------------------------------------------------------------------------

    async def _look_up(self, key: SourceKey, own: _LookUps) -> None:
        failures = 0
        while True:
            ttl = None
            try:
                answer = await look_up(own.source)
                self._take(key, own.source, answer)
            except SourceError as error:
                failures += 1
                self._note(key, self._known(key).failed(str(error), time.time()))
            except Exception:
                # Neither a bug nor a want of descriptors must end the look-ups for good.
                log.exception("%s", key[1])
                failures += 1
                self._note(key, self._known(key).failed("a fault of geodns itself: see the log", time.time()))
            else:
                failures, ttl = 0, answer.ttl
            own.tried.set()
            wait = lookup_pause(own.source, ttl, failures) * (1 - JITTER * random.random())  # noqa: S311 - spreads
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await own.now.wait()
            own.now.clear()

    def _known(self, key: SourceKey) -> Listing:
        return self._listings.get(key, NEVER)

    def _take(self, key: SourceKey, source: DnsSource, answer: Addresses) -> None:
        before, now = self._known(key), time.time()
        own = [one for one in answer.addresses if self._is_ours(key[0], one)]
        refused = [*answer.refused, *own]
        kept = [one for one in _addresses(before) if family_of(one) in answer.silent and source.takes(one)]
        addresses = (*(one for one in answer.addresses if one not in own), *kept)
        new = set(addresses) != set(_addresses(before))
        if refused and refused != self._refused.get(key):
            some = ", ".join(map(str, refused[:8]))
            why = "no machine's, this server's own, or outside `networks`"
            text = f"zone {key[0]}: {key[1]}: {some} left out: {why}"
            self._tell(key[0], text, logging.WARNING, {"source": key[1], "refused": len(refused)})
        self._refused[key] = refused
        if not addresses:
            self._note(key, before.failed("it gives this server's own addresses alone", now))
            return
        given = before.gave({"": hosts_of(source, addresses)}, now)
        if answer.error is not None:
            given = replace(given, since=before.since).failed(answer.error, now)
        self._note(key, given)
        if new:
            self._tell_members(key, before, self._known(key))
            self._changed.add(key[0])

    def _is_ours(self, zone: str, address: Address) -> bool:
        """Tell whether a check of the zone would reach this server itself, and find it well."""
        for host, port in self._own:
            if port not in self._ports.get(zone, ()):
                continue
            listens = ip_address(host)
            if listens == address or (
                listens.is_unspecified and listens.version >= address.version and _is_local(address)
            ):
                return True
        return False

    def _note(self, key: SourceKey, now: Listing) -> None:
        before = self._known(key)
        self._listings = {**self._listings, key: now}
        if self._tell_trouble(key, before, now) or before.members != now.members:
            self._unsaved = True
            self._news.set()

    # --- events -----------------------------------------------------------------------------------------

    def _tell_members(self, key: SourceKey, before: Listing, after: Listing) -> None:
        """Tell which hosts have joined and left; a warning where most have left."""
        old, new = ({host.name for host in one.hosts} for one in (before, after))
        left, joined = sorted(old - new), sorted(new - old)
        most = len(left) * 2 > len(old)
        text = f"zone {key[0]}: {key[1]} gives {counted(len(new))}"
        if joined:
            text += f", joined: {first_names(joined)}"
        if left:
            text += f", left{' (most of them)' if most else ''}: {first_names(left)}"
        data = {"source": key[1], "hosts": len(new), "joined": len(joined), "left": len(left)}
        self._tell(key[0], text, logging.WARNING if most else logging.INFO, data)

    def _tell_trouble(self, key: SourceKey, before: Listing, after: Listing) -> bool:
        """Tell that a source has begun or ceased to fail; return whether it has."""
        if before.error == after.error:
            return False
        data = {"source": key[1], "hosts": len(after.hosts), "error": after.error}
        if after.error is None:
            self._tell(key[0], f"zone {key[0]}: {key[1]} gives hosts again", logging.INFO, data)
        else:
            self._tell(key[0], f"zone {key[0]}: {after.describe_failure(key[1])}", logging.WARNING, data)
        return True


def _is_local(address: Address) -> bool:
    """Tell whether an address is this machine's: only then can a socket have it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.bind((str(address), 0))
        except OSError:
            return False
    return True


def _addresses(listing: Listing) -> tuple[Address, ...]:
    return tuple(address for host in listing.hosts for address in host.addresses)
