"""``python -m bench.verdicts``: sick mail hosts as gdnsd, HAProxy and geodns judge them, in one table."""

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

from bench.figures import machine
from bench.judges import JUDGES, MORE, Case, Columns, Word
from bench.servers import free_port
from bench.sick import Host, hosts, open_hosts
from tests.health.certificates import authority

DELAY = 4.0
PATIENCE = 6.0


class Row(NamedTuple):
    """A host, and what is said of it.

    Attributes:
        host: itself.
        words: of each column.

    """

    host: Host
    words: Mapping[str, Word]

    def wrong(self, column: str) -> bool:
        """Whether a column has it wrong."""
        return self.words[column].up is not self.host.healthy


def measure(delay: float = DELAY, patience: float = PATIENCE) -> list[Row]:
    """Let all judges that are installed judge all hosts at the same time.

    Args:
        delay: seconds that a slow host takes to greet.
        patience: seconds that a judge waits for anything.

    Raises:
        GeodnsError: a judge does not start or comes to no end.

    """
    return asyncio.run(_measured(delay, patience))


async def _measured(delay: float, patience: float) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="geodns-sick-") as name:
        folder = Path(name)
        signer = authority()
        port = free_port()
        async with open_hosts(hosts(folder, signer, delay), port) as places:
            case = Case(tuple(places), port, patience, signer.trusted_in(folder))
            judging = [
                asyncio.to_thread(judge.judge, case, folder / f"judge{number}")
                for number, judge in enumerate(JUDGES)
                if judge.installed
            ]
            found = await asyncio.gather(*judging)
    return [Row(host, _words(found, address)) for address, host in places.items()]


def _words(found: Sequence[Columns], address: IPv4Address) -> dict[str, Word]:
    return {column: words[address] for one in found for column, words in one.items()}


def show(rows: Sequence[Row]) -> None:
    """Print the table, what each judge said, and on what machine."""
    columns = list(rows[0].words)
    table = Table("host", "right", *columns, show_footer=True, caption=f"asked for more: {MORE}")
    table.columns[0].footer = "wrong"
    for place, column in enumerate(columns, 2):
        table.columns[place].footer = f"{sum(row.wrong(column) for row in rows)} of {len(rows)}"
    for row in rows:
        cells = (
            f"[red]{_word(word.up)} WRONG[/red]" if row.wrong(column) else _word(word.up)
            for column, word in row.words.items()
        )
        table.add_row(row.host.what, _word(row.host.healthy), *cells)
    console = Console(width=None if os.isatty(1) else 140)
    console.print(table)
    for row in rows:
        print(row.host.what)
        for column, word in row.words.items():
            print(f"    {column}: {word.why}")
    print(machine())


def _word(up: bool) -> str:
    return "up" if up else "down"


@click.command()
def main() -> None:
    """Judge sick mail hosts on loopback, side by side: about half a minute."""
    show(measure())
    for judge in JUDGES:
        if not judge.installed:
            print(f"left out: {judge.program} is not installed: apt-get install {judge.package}")


if __name__ == "__main__":
    main()
