"""Reads the folder of zone files, keeps which are refused, and says what an edit changes."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from geodns.errors import BadNameError, Problem, printable
from geodns.model.zone import Zone
from geodns.zonefile.names import zone_name
from geodns.zonefile.reader import ParsedZone, parse_zone, read_zone
from geodns.zonefile.sources import Finder, in_files
from geodns.zones.deaths import Deaths, Forgetful, reading
from geodns.zones.watch import LOOK_EVERY, FileMark, Snapshot, Watch, look_pause, snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the folder.

    Attributes:
        zones: new or edited, without errors.
        removed: those whose files are gone.
        refused: those whose files have errors.
        problems: errors and warnings of all files that were read.
        by_sources: whether the hosts that sources give have changed, and no zone file.

    """

    zones: Mapping[str, Zone] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    by_sources: bool = False


class Folder:
    """The zone files of a directory.

    It blocks on the disk: the daemon reads in threads, one at a time, and every mapping here is replaced as a
    whole, never changed.

    Args:
        directory: where they lie.
        finder: finds the hosts of `hosts_from`; by default only those in files.
        deaths: told what is read.

    Attributes:
        files: the file of each zone, whether it is served or refused.
        refused: the errors of zones whose file has some; the zones before the edit stay served.
        pause: seconds to wait before the next look.
        rivals: further files of zones that another file gives already, and the problem of each.
        unfit: the errors of zones that have some with the hosts that sources give now; the zones before stay
            served.

    """

    def __init__(self, directory: Path, finder: Finder | None = None, deaths: Deaths | None = None) -> None:
        self._deaths = deaths or Forgetful()
        self.directory = directory
        self.files: dict[str, Path] = {}
        self.refused: dict[str, tuple[Problem, ...]] = {}
        self.rivals: dict[Path, Problem] = {}
        self.unfit: dict[str, tuple[Problem, ...]] = {}
        self._finder = in_files(directory) if finder is None else finder
        self._texts: dict[str, bytes] = {}
        """The files, when last good, of zones with `hosts_from`."""
        self.pause = LOOK_EVERY
        self._watch = Watch(snapshot(directory))

    @property
    def unreadable(self) -> str | None:
        """Why the folder could not be read at the last look; None when it could."""
        return self._watch.unreadable

    def warnings(self, served: Collection[str]) -> list[str]:
        """Return the warnings about the folder, given the names of the zones that are served."""
        found = [
            f"{problems[0]} ({'the zone it had is served' if name in served else 'the zone is not served'})"
            for name, problems in list(self.refused.items())
        ]
        found += [str(problem) for problem in list(self.rivals.values())]
        found += [f"{problems[0]} (the hosts it had are served)" for problems in list(self.unfit.values())]
        if self._watch.unreadable is not None:
            found.append(f"{self.directory}: {self._watch.unreadable}: the zones it had are served")
        elif self._watch.kept:
            found.append(
                f"{self.directory}: all zone files vanished at once: their zones stay until the files are "
                "back, or SIGHUP comes while there are others"
            )
        return found

    def read_all(self) -> Edit:
        """Read the folder as it is, and believe it, at the start and on a reload.

        A folder that is empty or cannot be read is not believed: there is no start with it either.
        """
        look = snapshot(self.directory)
        if not look.files and self.files:
            return Edit()
        self._watch = Watch(look)
        return self._read(look.files, {*self.files.values(), *self.rivals} - look.files.keys())

    def expect(self, zones: Iterable[str]) -> None:
        """Treat the files of these zones as vanished all at once: the zones stay until the files are back."""
        self.files = {name: self.directory / f"{name}.yaml" for name in zones}
        never = FileMark(0, 0, 0, 0)
        self._watch = Watch(Snapshot(dict.fromkeys(self.files.values(), never), self.unreadable))

    def poll(self, now: float) -> Edit | None:
        """Look at the folder, at seconds of a clock that never goes back; return what has changed."""
        began = time.thread_time()
        change = self._watch.feed(snapshot(self.directory), now)
        self.pause = look_pause(time.thread_time() - began, restless=self._watch.restless)
        if change is None:
            return None
        return self._read(change.changed, change.removed)

    def read_again(self, names: Collection[str]) -> Edit:
        """Read zones again whose sources give other hosts, with their files as they were when last good."""
        zones: dict[str, Zone] = {}
        problems: list[Problem] = []
        unfit = {name: one for name, one in self.unfit.items() if name not in names}
        for name in sorted(self._texts.keys() & set(names)):
            file = self.files.get(name, self.directory / f"{name}.yaml")
            one = self._survived(partial(parse_zone, name, self._texts[name], str(file), self._finder), file)
            problems.extend(one.problems)
            if one.zone is None:
                unfit[name] = tuple(problem for problem in one.problems if not problem.warning)
            else:
                zones[name] = one.zone
        self.unfit = unfit
        return Edit(zones, problems=tuple(problems), by_sources=True)

    def text(self, name: str) -> str:
        """Return a zone's file as it was when last good; empty for a zone without `hosts_from`."""
        return self._texts.get(name, b"").decode()

    def recall(self, name: str, text: str) -> Zone | None:
        """Read a zone's text from before a restart, with the hosts of now: its file has errors now."""
        self._texts = {**self._texts, name: text.encode()}
        return self.read_again([name]).zones.get(name)

    @contextmanager
    def applying(self, names: Collection[str]) -> Iterator[None]:
        """Blame a file if this process dies meanwhile: the only one, or the only one that killed before."""
        files = [self.files[name] for name in names if name in self.files]
        blamed = files if len(files) == 1 else [one for one in files if self._deaths.is_suspected(one)]
        if len(blamed) == 1:
            self._deaths.begin(blamed[0])
        try:
            yield
        except Exception:  # there may be too little memory for the zone, and control ends
            self._deaths.died()
            raise
        self._deaths.end()
        self._deaths.survived(files)

    def _survived(self, read: Callable[[], ParsedZone], path: Path) -> ParsedZone:
        """Read a file, unless it has killed whoever read it before."""
        with reading(self._deaths, path) as deadly:
            return _safely(read, path) if deadly is None else ParsedZone(None, (deadly,))

    def _read(self, paths: Collection[Path], removed: Collection[Path]) -> Edit:
        # New mappings: another thread may read the old ones meanwhile.
        files = {name: path for name, path in self.files.items() if path not in removed}
        gone = self.files.keys() - files.keys()
        heirs = {path for path in self.rivals.keys() - removed if _name_of(path) in gone}
        again = heirs.union(paths)
        rivals = {path: one for path, one in self.rivals.items() if path not in again.union(removed)}
        refused = {name: problems for name, problems in self.refused.items() if name not in gone}
        zones: dict[str, Zone] = {}
        texts = {name: text for name, text in self._texts.items() if name not in gone}
        failed: set[str] = set()
        problems: list[Problem] = []
        for path in sorted(again):
            one = self._survived(partial(read_zone, path, self._finder), path)
            name = one.zone.name if one.zone is not None else _name_of(path)
            first = files.get(name, path)
            if first != path and first.exists():
                rivals[path] = Problem(
                    str(path), 0, 0, f"{first} is zone {name} already", "make them one file"
                )
                problems.append(rivals[path])
                failed.add(name)
                continue
            files[name] = path
            problems.extend(one.problems)
            if one.zone is None:
                refused[name] = tuple(problem for problem in one.problems if not problem.warning)
                failed.add(name)
            else:
                refused.pop(name, None)
                zones[name] = one.zone
                texts.pop(name, None)
                if one.zone.sources:
                    texts[name] = one.text
        self.files, self.refused, self.rivals, self._texts = files, refused, rivals, texts
        self.unfit = {name: one for name, one in self.unfit.items() if name in texts and name not in zones}
        return Edit(zones, frozenset(gone - files.keys()), frozenset(failed), tuple(problems))


def _name_of(path: Path) -> str:
    """Return the name of a file's zone, or the file's name where it is none."""
    try:
        return zone_name(path.stem)
    except BadNameError:
        return printable(path.stem.lower())


def _safely(read: Callable[[], ParsedZone], path: Path) -> ParsedZone:
    """Read a file; a bug in reading is a problem of that file, and must not take control down."""
    try:
        return read()
    except Exception:
        log.exception("%s", printable(str(path)))
        what = "a fault of geodns itself keeps this file from being read"
        return ParsedZone(None, (Problem(str(path), 0, 0, what, "see the log, and undo the last edit"),))
