"""What every measurement hands back, and the table and machine line they are shown with."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Figure(NamedTuple):
    """One row.

    Attributes:
        what: was measured.
        value: with its unit.
        beside: what it is to be held against: a ratio, a bound, or how it was taken.

    """

    what: str
    value: str
    beside: str = ""


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, and from least to most behind it where there are several."""
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def show(figures: Iterable[Figure], missing: Iterable[str]) -> None:
    """Print the table, what it lacks, and on what machine it was taken."""
    table = Table("measured", "median (least-most)", "beside")
    for figure in figures:
        table.add_row(*figure)
    console = Console(width=None if os.isatty(1) else 140)
    console.print(table)
    for line in missing:
        print(f"left out: {line}")
    print(machine())


def machine() -> str:
    """Return one line about where this ran."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text("utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    return (
        f"machine: {model}, {len(os.sched_getaffinity(0))} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load average {load}"
    )
