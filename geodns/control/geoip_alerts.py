"""Writes the alerts of GeoIP files: those that cannot be used, and names that none of them knows."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geodns.control.alert_service import Alert
from geodns.errors import printable
from geodns.zones.geoip_frames import KINDS, GeoipBuild, Kind, Named

NAMED = 10
"""Names in a line, at most."""

_WORDS: dict[Kind, tuple[str, str]] = {
    "countries": ("country", "countries"),
    "continents": ("continent", "continents"),
    "asns": ("AS number", "AS numbers"),
}


@dataclass(frozen=True, slots=True)
class GeoipFileState:
    """A GeoIP file of the settings.

    Attributes:
        build: of what is in use; None: nothing is.
        read_at: when the file was read, or its copy; seconds since the epoch.
        error: why the file itself is not in use, and what to do; empty: it is, or nothing of it is needed.
        unkept: why there is no copy for the day when the file is missing or damaged; empty: there is one.

    """

    path: Path
    build: GeoipBuild | None = None
    read_at: float | None = None
    error: str = ""
    unkept: str = ""

    @property
    def text(self) -> str:
        """What is in use, in words."""
        if self.build is None:
            return "nothing"
        return f"{printable(self.build.kind)} of {datetime.fromtimestamp(self.build.built, UTC):%Y-%m-%d}"


def file_alerts(files: Iterable[GeoipFileState]) -> Iterator[Alert]:
    """Return what is wrong with files."""
    for one in files:
        path = printable(str(one.path))
        if one.error:
            kept = "rules that need it match nobody" if one.build is None else f"{one.text} stays in use"
            yield Alert(
                ("geoip", path),
                f"{printable(one.error)}: until then {kept}",
                kind="refused",
                resolved=f"{path} can be used again",
                grade=one.error,
                level=logging.ERROR,
            )
        elif one.unkept:
            yield Alert(
                ("geoip-copy", path),
                f"there is no copy of {path} to go on with, should it be damaged: {printable(one.unkept)}",
                grade=one.unkept,
            )


def name_alerts(
    wanted: Iterable[Named], known: Iterable[Named], kinds: Iterable[Kind], *, files: bool
) -> Iterator[Alert]:
    """Return which rules match nobody for want of networks.

    Args:
        wanted: what rules name.
        known: those that have networks.
        kinds: what the files know of at all.
        files: whether the settings name any file.

    """
    missing = set(wanted) - set(known)
    lacking = [kind for kind in KINDS if kind not in set(kinds) and any(one[0] == kind for one in wanted)]
    if lacking:
        words = " and ".join(_WORDS[kind][1] for kind in lacking)
        keys = ", ".join(f"`{kind}`" for kind in lacking)
        what = (
            f"no file of `geoip` has {words}" if files else f"rules need {words}, and there is no GeoIP file"
        )
        yield Alert(
            "geoip-kinds",
            f"{what}: rules by {keys} match nobody: name a file that has them under `geoip` in geodns.yaml",
            grade=keys,
            resolved="GeoIP files have all kinds of names that rules need",
        )
    unknown = sorted((one for one in missing if one[0] not in lacking), key=str)
    if unknown:
        names = ", ".join(f"{_WORDS[kind][0]} {name}" for kind, name in unknown[:NAMED])
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        yield Alert(
            "geoip-names",
            f"no GeoIP file knows {names}{more}: rules by these match nobody: correct or remove them",
            grade=str(unknown),
            resolved="GeoIP files know all names that rules have",
        )
