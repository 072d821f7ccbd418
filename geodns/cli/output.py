"""Tables on the standard output: fitted to a terminal, a line each in a pipe."""

from collections.abc import Iterable

from rich.console import Console, RenderableType

WIDE = 100_000
"""Columns of a pipe: `grep`, `awk` and `less -S` take whole lines."""


_BLOCKS = "▁▂▃▄▅▆▇█"


def blocks(values: Iterable[float], top: float) -> str:
    """Return a character a value, as high as the value is of the top one; none is lower than the lowest."""
    return "".join(_BLOCKS[round(min(value / top, 1) * (len(_BLOCKS) - 1)) if top else 0] for value in values)


def show(rendered: RenderableType, *, err: bool = False) -> None:
    """Print something; where no terminal reads it, nothing is wrapped or cut."""
    console = Console(stderr=err, markup=False, emoji=False)
    if console.is_terminal:
        console.print(rendered)
        return
    console = Console(stderr=err, width=WIDE, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(rendered)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.file.write("".join(f"{line}\n" for line in lines))
