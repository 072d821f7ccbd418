"""``python -m bench``: measure, and print one table; ``--help`` says how to pick rows and times."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import click

from bench import (
    affinity,
    connections,
    cpu,
    figures,
    flip,
    following,
    geoip,
    load_zone,
    probing,
    routes,
    shared,
    signals,
    upgrade,
    views,
)
from bench.figures import Figure
from geodns.errors import GeodnsError


class Options(NamedTuple):
    """How long everything takes.

    Attributes:
        seconds: of load in one turn.
        rounds: turns of each server.
        flips: of each zone.
        probing: seconds.
        upgrades: of each server.
        rate: UDP queries a second while these run.

    """

    seconds: float
    rounds: int
    flips: int
    probing: float
    upgrades: int
    rate: int


PARTS: Mapping[str, Callable[[Options], list[Figure]]] = {
    "queries": lambda options: cpu.measure(options.seconds, options.rounds),
    "cookies": lambda options: cpu.measure(options.seconds, options.rounds, cookies=True),
    "views": lambda options: views.measure(options.seconds / 4, options.rounds),
    "routes": lambda options: routes.measure(options.seconds, options.rounds),
    "connections": lambda _: connections.measure(),
    "flips": lambda options: flip.measure(options.flips),
    "affinity": lambda options: affinity.measure(options.flips),
    "zones": lambda _: load_zone.measure(),
    "probing": lambda options: probing.measure(options.probing),
    "following": lambda options: following.measure(options.rounds),
    "geoip": lambda _: geoip.measure(),
    "shared": lambda _: shared.measure(),
    "signals": lambda options: signals.measure(options.seconds, options.rounds),
    "upgrade": lambda options: upgrade.measure(options.upgrades, options.rate),
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Of load a turn."
)
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Turns of each server."
)
@click.option("--flips", type=click.IntRange(1, 1000), default=21, show_default=True, help="Of each zone.")
@click.option(
    "--probing", type=click.FloatRange(1, 600), default=30.0, show_default=True, help="Seconds of probing."
)
@click.option("--upgrades", type=click.IntRange(1, 1000), default=100, show_default=True, help="A server.")
@click.option(
    "--rate", type=click.IntRange(100, 100_000), default=5000, show_default=True, help="Queries a second."
)
def main(
    parts: tuple[str, ...], seconds: float, rounds: int, flips: int, probing: float, upgrades: int, rate: int
) -> None:
    """Measure side by side, all on loopback: everything, or only some PARTS."""
    options = Options(seconds, rounds, flips, probing, upgrades, rate)
    found: list[Figure] = []
    missing: list[str] = []
    for part in parts or PARTS:
        click.echo(f"measuring {part} …", err=True)
        try:
            found += PARTS[part](options)
        except GeodnsError as error:
            missing.append(f"{part}: {error}")
    if "queries" in (parts or PARTS):
        missing += cpu.missing()
    figures.show(found, missing)


if __name__ == "__main__":
    main()
