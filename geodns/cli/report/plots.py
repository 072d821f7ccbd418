"""Plots as SVG: shares over time as stacked areas, latency as a line, time up as a strip."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

WIDTH, HEIGHT = 640, 160
"""Of a plot, in units of its own: it is drawn as wide as there is room."""
COLOURS = 8
"""Colours in the page's style; hosts beyond them are drawn as one."""
OTHERS = "others"


class Area(NamedTuple):
    """One host's part of a stacked plot: its outline as an SVG path, and the number of its colour."""

    name: str
    colour: int
    path: str


def stacked(
    history: Mapping[str, Any], column: str, names: Sequence[str], axis: "Axis | None" = None
) -> list[Area]:
    """Stack the shares of a zone's hosts over time; steps without any are gaps.

    Args:
        history: of the zone's hosts, as the API shows it.
        column: ``share`` or ``intended``.
        names: the hosts that have a colour of their own, the lowest first.
        axis: of time; None: as long as there is data.

    """
    shares: dict[int, dict[str, float]] = {}
    for host, columns in history.items():
        name = host if host in names else OTHERS
        for at, value in zip(columns["at"], columns[column], strict=True):
            if value is not None:
                of = shares.setdefault(at, {})
                of[name] = of.get(name, 0.0) + value
    times = sorted(shares)
    axis = Axis.of(times) if axis is None else axis
    base = dict.fromkeys(times, 0.0)
    found = []
    for colour, name in enumerate([*names, OTHERS]):
        top = {at: base[at] + shares[at].get(name, 0.0) for at in times}
        if any(top[at] > base[at] for at in times):
            found.append(Area(name, min(colour, COLOURS), _area(times, axis, base, top)))
        base = top
    return found


class Axis(NamedTuple):
    """The axis of time: from when to when, in seconds since the epoch, and the seconds of a step."""

    begin: float
    end: float
    step: float

    @classmethod
    def of(cls, times: Sequence[float], end: float | None = None) -> "Axis":
        """Return the axis that begins where data begins."""
        step = min((later - at for at, later in pairwise(times)), default=60.0)
        begin = times[0] if times else (end or 0.0) - step
        return cls(
            begin, max(begin + step, end if end is not None else (times[-1] if times else begin) + step), step
        )

    def x(self, at: float) -> float:
        return WIDTH * min(max(0.0, (at - self.begin) / (self.end - self.begin)), 1.0)

    def marks(self, most: int = 6) -> list[float]:
        """Return when marks stand: round times in UTC, at most so many."""
        every = next((one for one in _EVERY if (self.end - self.begin) / one <= most), _EVERY[-1])
        first = -(-self.begin // every) * every
        return [first + every * number for number in range(int((self.end - first) // every) + 1)]


_EVERY = (300, 900, 1800, 3600, 7200, 10800, 21600, 43200, *(86400 * days for days in (1, 2, 7, 14, 28)))
"""Seconds between two marks."""


def _area(times: Sequence[int], axis: Axis, base: Mapping[int, float], top: Mapping[int, float]) -> str:
    """Outline the area between two lines, as steps: a share is of a whole step, and no slope."""
    paths: list[str] = []
    above: list[str] = []
    below: list[str] = []
    for number, at in enumerate(times):
        left, right = axis.x(at), axis.x(at + axis.step)
        high, low = HEIGHT * (1 - top[at]), HEIGHT * (1 - base[at])
        above += [f"{left:.1f},{high:.1f}", f"{right:.1f},{high:.1f}"]
        below += [f"{left:.1f},{low:.1f}", f"{right:.1f},{low:.1f}"]
        if number + 1 == len(times) or times[number + 1] > at + axis.step:  # a gap follows
            paths.append(f"M{' L'.join([*above, *reversed(below)])} Z")
            above, below = [], []
    return " ".join(paths)


def line(values: Sequence[float | None], width: int = 160, height: int = 24) -> list[str]:
    """Draw a line through values: its points, as one text for each stretch without a gap."""
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    stretches: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            stretches.append([])
            continue
        x = width * (number + 0.5) / len(values)
        stretches[-1].append(f"{x:.1f},{height - 1 - (height - 2) * value / most:.1f}")
    return [" ".join(one) for one in stretches if one]


class Span(NamedTuple):
    """A part of a strip, and the part of it in which a host was up."""

    x: float
    width: float
    up: float


def strip(values: Sequence[float | None], width: int = 160) -> list[Span]:
    """Draw a host's time up as a strip: equal parts are one, and there is a gap where no probe looked."""
    found: list[Span] = []
    unit = width / max(1, len(values))
    for number, value in enumerate(values):
        if value is None:
            continue
        last = found[-1] if found else None
        if last is not None and last.up == value and abs(last.x + last.width - number * unit) < unit / 2:
            found[-1] = Span(last.x, last.width + unit, value)
        else:
            found.append(Span(number * unit, unit, value))
    return found
