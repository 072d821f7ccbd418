"""``geodns follow --snds``: fetch SNDS's data, show them, and say which addresses stay red."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import click
from rich.console import Console
from rich.table import Table

from geodns.cli.follow.snds import Day, read_days, red_running
from geodns.cli.follow.spool import Spool
from geodns.errors import GeodnsError

MOST = 16 << 20
KEPT = 14
"""Days that are remembered of an address: each fetch brings one."""


def show_snds(sources: tuple[str, ...], state: Path, tell: Callable[[str], None]) -> None:
    """Show the data of files and URLs; exit with status 1 where an address was red on two days running.

    SNDS judges an address by a day that is over, so this moves no host: it is told, and a person looks.
    """
    days = [day for source in sources for day in read_days(_fetched(source))]
    table = Table("address", "day", "recipients", "result", "complaints", "trap hits")
    for one in sorted(days):
        table.add_row(one.address, str(one.day), one.recipients, one.result, one.complaints, one.traps)
    Console(markup=False, emoji=False).print(table)
    spool, warnings = Spool.open(state, time.time())
    try:
        for warning in warnings:
            tell(warning)
        alerts = _alerts(spool, days)
    finally:
        spool.close()
    for alert in alerts:
        click.echo(alert)
    if alerts:
        raise click.exceptions.Exit(1)


def _alerts(spool: Spool, days: list[Day]) -> list[str]:
    """Remember the days, and say which addresses were red on two running."""
    alerts = []
    for address in sorted({day.address for day in days}):
        own = [day for day in days if day.address == address]
        results: dict[str, str] = json.loads(spool.known(f"snds {address}") or "{}")
        results |= {str(day.day): day.result for day in own}
        results = dict(sorted(results.items())[-KEPT:])
        spool.keep((), {f"snds {address}": json.dumps(results)}, {})
        red = red_running(results, (day.day for day in own))
        if red is not None:
            alerts.append(f"ALERT: {address} was RED with Microsoft on {red} and the day before")
    return alerts


def _fetched(source: str) -> str:
    if "://" not in source:
        try:
            return Path(source).read_text("utf-8", "replace")
        except OSError as error:
            raise GeodnsError(f"{source} cannot be read: {error.strerror}") from error
    return asyncio.run(_download(source))


async def _download(url: str) -> str:
    host = urlsplit(url).hostname  # the rest has the key, and is shown nowhere
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            session.get(url) as response,
        ):
            content = await response.content.read(MOST)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise GeodnsError(f"no data from {host}: {_why(error)}") from None
    if response.status != 200:
        raise GeodnsError(f"no data from {host}: status {response.status}")
    return content.decode("utf-8", "replace")


def _why(error: Exception) -> str:
    """Say why nothing came, without the URL, which some errors quote."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else type(error).__name__
