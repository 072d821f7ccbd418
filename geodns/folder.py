"""The folder of zone files: what was read of it, what is refused, and what an edit changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geodns.errors import Problem
from geodns.model import Zone
from geodns.watch import Watch, snapshot
from geodns.zonefile import read_zones


@dataclass(frozen=True, slots=True)
class Edit:
    """What has changed in the folder.

    Attributes:
        zones: those that were read well, new or edited.
        removed: those whose files are gone.
        refused: those whose files were read and have errors.
        problems: of files that were read, errors and warnings.

    """

    zones: Mapping[str, Zone] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


class Folder:
    """The zone files of a directory.

    Attributes:
        files: the file of each zone, whether it is served or refused.
        refused: for zones whose file has errors: those errors. What was served before goes on being served.

    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, Path] = {}
        self.refused: dict[str, tuple[Problem, ...]] = {}
        self._watch = Watch(snapshot(directory))

    @property
    def warnings(self) -> list[str]:
        """What is odd about the folder now, in words."""
        found = [f"{problems[0]} (the zone it had is served)" for problems in self.refused.values()]
        if self._watch.unreadable is not None:
            found.append(f"{self.directory}: {self._watch.unreadable}: the zones it had are served")
        elif self._watch.kept:
            found.append(f"{self.directory}: all zone files vanished at once: their zones stay until SIGHUP")
        return found

    def read_all(self) -> Edit:
        """Read the folder as it is, and believe it: at the start, and when an operator asks for a reload."""
        look = snapshot(self.directory)
        self._watch = Watch(look)
        gone = frozenset(name for name, path in self.files.items() if path not in look.files)
        if look.unreadable is not None:
            return Edit()
        return self._read(look.files, gone)

    def poll(self, now: float) -> Edit | None:
        """Look whether something has changed.

        Args:
            now: seconds of a clock that never goes back.

        """
        change = self._watch.feed(snapshot(self.directory), now)
        if change is None:
            return None
        gone = frozenset(name for name, path in self.files.items() if path in change.removed)
        return self._read(change.changed, gone)

    def _read(self, paths: Iterable[Path], gone: frozenset[str]) -> Edit:
        parsed = read_zones(sorted(paths))
        for name in gone:
            self.refused.pop(name, None)
            del self.files[name]
        zones: dict[str, Zone] = {}
        refused: set[str] = set()
        problems: list[Problem] = []
        for path, one in parsed.items():
            name = one.zone.name if one.zone is not None else path.stem.lower()
            found = self._second_file(name, path) or one.problems
            problems.extend(found)
            errors = tuple(problem for problem in found if not problem.warning)
            if errors:
                refused.add(name)
                self.refused[name] = errors
                self.files.setdefault(name, path)
            elif one.zone is not None:
                self.refused.pop(name, None)
                self.files[name] = path
                zones[name] = one.zone
        return Edit(zones, gone - zones.keys(), frozenset(refused), tuple(problems))

    def _second_file(self, name: str, path: Path) -> tuple[Problem, ...]:
        """Say so when a zone that another file gives is given by this one too."""
        first = self.files.get(name, path)
        if first == path or not first.exists():
            return ()
        return (Problem(str(path), 0, 0, f"{first} is zone {name} already", "make them one file"),)
