"""Watches the files of one source of hosts, and keeps what each said when it was last good."""

import logging
from collections.abc import Collection
from pathlib import Path

from geodns.errors import Problem, printable
from geodns.model.hosts import FileSource, Host
from geodns.zonefile.sources import files_of, read_host_file
from geodns.zones.deaths import Deaths, Forgetful, reading
from geodns.zones.listing import Listing, Members
from geodns.zones.watch import FileMark, Snapshot, Watch, snapshot

log = logging.getLogger(__name__)

MAX_FOUND = 10_000
"""Hosts in all files of a source."""


MOST_PROBLEMS = 100
"""Problems of an edit that are logged; the rest are counted."""


class HostFiles:
    """The files of one source; it blocks on the disk.

    As with zone files, an edit counts once a file has been quiet, a file that is gone is doubted for a while,
    and where all vanish at once all are kept. A file with an error keeps the hosts it had.

    Args:
        folder: of the zone file.
        source: says which files.
        listing: from before a restart.
        deaths: told what is read.

    """

    def __init__(
        self, folder: Path, source: FileSource, listing: Listing, deaths: Deaths | None = None
    ) -> None:
        self._deaths = deaths or Forgetful()
        self.listing = listing
        self._title = source.title
        self._place, self._fits = files_of(folder, source)
        self._members: Members = listing.members
        """The hosts of each file when last good; the listing keeps others if these are too many or none."""
        self._bad: dict[str, Problem] = {}
        never = FileMark(0, 0, 0, 0)
        self._watch = Watch(Snapshot(dict.fromkeys((self._place / name for name in listing.members), never)))

    @property
    def restless(self) -> bool:
        return self._watch.restless

    def read_all(self, now: float) -> bool:
        """Believe what there is, at the start and on a reload; return whether the hosts changed."""
        look = snapshot(self._place, self._fits)
        if not look.files:
            return self._note(look, now)
        self._watch = Watch(look)
        self._bad = {}
        kept = {name: hosts for name, hosts in self._members.items() if self._place / name in look.files}
        self._members = self._read(look.files, kept)
        return self._note(look, now)

    def poll(self, clock: float, now: float) -> bool:
        """Look at the files; return whether the hosts changed.

        Args:
            clock: seconds of a clock that never goes back.
            now: seconds since the epoch.

        """
        look = snapshot(self._place, self._fits)
        change = self._watch.feed(look, clock)
        if change is not None:
            gone = {path.name for path in change.removed}
            self._bad = {name: one for name, one in self._bad.items() if name not in gone}
            kept = {name: hosts for name, hosts in self._members.items() if name not in gone}
            self._members = self._read(change.changed, kept)
        return self._note(look, now)

    def _read(self, paths: Collection[Path], members: Members) -> Members:
        read = dict(members)
        for path in sorted(paths):
            hosts, problems = self._read_one(path)
            for problem in problems[:MOST_PROBLEMS]:
                log.log(
                    logging.WARNING if problem.warning else logging.ERROR,
                    "%s",
                    problem,
                    extra={"file": problem.file, "line": problem.line},
                )
            more = sum(problem.times for problem in problems[MOST_PROBLEMS:])
            if more:
                log.error(
                    "%s more problems in %s: `geodns check` prints them", f"{more:,}", printable(str(path))
                )
            if hosts is None:
                self._bad[path.name] = next(one for one in problems if not one.warning)
            else:
                self._bad.pop(path.name, None)
                read[path.name] = hosts
        return read

    def _read_one(self, path: Path) -> tuple[tuple[Host, ...] | None, tuple[Problem, ...]]:
        with reading(self._deaths, path) as deadly:
            if deadly is not None:
                return None, (deadly,)
            read = _read_safely(path)
        self._deaths.survived([path])  # what its hosts make of the zone counts for the zone's file
        return read

    def _note(self, look: Snapshot, now: float) -> bool:
        before = self.listing
        error = self._trouble(look)
        members = self._members
        number = sum(map(len, members.values()))
        if number > MAX_FOUND:
            error = f"{number:,} hosts in its files: at most {MAX_FOUND:,} are taken"
            members = before.members
        elif not number:
            # Perhaps only files with errors are left.
            error = error or "its files give no host"
            members = before.members
        if error is None:
            self.listing = before.gave(members, now)
        else:
            # A fault in one file holds up no other.
            self.listing = Listing(dict(members), before.at, before.error, before.since).failed(error, now)
        return self.listing.members != before.members

    def _trouble(self, look: Snapshot) -> str | None:
        if look.unreadable is not None:
            return f"{self._place}: {look.unreadable}"
        if not look.files:
            return "all its files are gone" if self.listing.members else "there is no such file"
        if self._watch.kept:
            return "all its files vanished at once, and not all are back"
        if self._bad:
            more = f" (and {len(self._bad) - 1} files more)" if len(self._bad) > 1 else ""
            return f"{next(iter(self._bad.values()))}{more}"
        return None


def _read_safely(path: Path) -> tuple[tuple[Host, ...] | None, tuple[Problem, ...]]:
    """Read a file; a bug in reading is a problem of that file, and must not take control down."""
    try:
        return read_host_file(path)
    except Exception:
        log.exception("%s", path)
        what = "a fault of geodns itself keeps this file from being read"
        return None, (Problem(str(path), 0, 0, what, "see the log, and undo the last edit"),)
