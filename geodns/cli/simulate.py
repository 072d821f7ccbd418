"""``geodns simulate``: what clients would be dealt, before they ask."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from geodns.cli.client import Json, Server
from geodns.cli.client_lists import ClientList, read_clients, read_log, some
from geodns.cli.options import config_of, server_option, token_option
from geodns.cli.output import show
from geodns.config.report import quoted
from geodns.config.times import moment_asked, timestamp
from geodns.control.simulation import SimulatedClient
from geodns.control.simulation_plan import SimulationWish
from geodns.errors import UsageError
from geodns.model.limits import MAX_WEIGHT

PATH = "/api/v1/simulate"
MAX_CLIENTS = 20_000
"""Clients that a server takes."""
_NUMBERS = frozenset(
    {"rule", "answers", "first picks", "uniform picks", "share", "failover", "ceiling", "within"}
)
_RANKS = {"MX": "preference", "SRV": "priority"}


@click.command()
@click.argument("name", required=False)
@click.option(
    "--type", "rtype", metavar="TYPE", help="A, AAAA, MX or SRV alone [all that a name is dealt in]."
)
@click.option(
    "--zones",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Deal from these zone files with all hosts up, and ask no server.",
)
@click.option("--clients", type=click.Path(path_type=Path), metavar="FILE", help="Who asks, one a line.")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="Who asked, by a query log.")
@click.option("--down", multiple=True, metavar="HOST", help="As if probes found it down; may be repeated.")
@click.option(
    "--weight", "weights", multiple=True, metavar="HOST=N", help="With another weight; may be repeated."
)
@click.option("--at", metavar="TIME", help="At another time, as 2026-12-01T08:00:00+01:00.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@server_option
@token_option
@click.pass_context
def simulate(
    context: click.Context,
    /,
    *,
    name: str | None,
    rtype: str | None,
    zones: Path | None,
    clients: Path | None,
    log: Path | None,
    down: tuple[str, ...],
    weights: tuple[str, ...],
    at: str | None,
    as_json: bool,
    server: str,
    token: str | None,
) -> None:
    """Deal clients what they would get of NAME, and show the shares: a policy before it is used.

    From what a running server serves now, or with --zones from files alone. NAME left out: every name with a
    pool. FILE of --clients has one a line, ADDRESS [ecs=NET] [COUNT]; without --clients and --log a sample
    stands for them: one client for each range of addresses that rules tell apart.

    Exit status 1 if anybody would get SERVFAIL.
    """
    if clients is not None and log is not None:
        raise UsageError("--clients and --log both say who asks: give one of them")
    kind, hosts, forced = _type(rtype), _hosts(down), _weights(weights)
    moment = None if at is None else moment_asked(at, "--at")
    given = None if clients is None else read_clients(clients)
    given = given if log is None else read_log(log, name)
    who = None if given is None else _told(given)
    shown: Mapping[str, Any]
    if zones is None:
        body: Json = {"name": name, "type": kind, "down": hosts, "weights": forced}
        body |= {"at": None if moment is None else timestamp(moment)}
        body |= {"clients": None if who is None else [_as_json(one) for one in who]}
        asked = {key: value for key, value in body.items() if value not in (None, [], {})}
        shown = Server(server, token).post(PATH, asked)
    else:
        from geodns.cli.simulate_files import simulate_files  # noqa: PLC0415 - pydantic is slow to load

        wish = SimulationWish(name, kind, None if who is None else tuple(who), tuple(hosts), forced)
        shown = simulate_files(zones, config_of(context), wish, time.time() if moment is None else moment)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        show(render(shown))
    if any(one["servfail"] for one in shown["names"]):
        context.exit(1)


def _type(text: str | None) -> str | None:
    if text is not None and text.upper() not in {"A", "AAAA", "MX", "SRV"}:
        raise UsageError(f"--type {quoted(text)}: write A, AAAA, MX or SRV")
    return None if text is None else text.upper()


def _hosts(texts: Iterable[str]) -> list[str]:
    return [one for text in texts for one in text.split(",") if one]


def _weights(texts: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        host, equals, weight = text.rpartition("=")
        if not (equals and host and weight.isascii() and weight.isdecimal()):
            raise UsageError(f"--weight {quoted(text)}: write a host and its weight, as mta1=20")
        if len(weight) > len(str(MAX_WEIGHT)) or int(weight) > MAX_WEIGHT:
            raise UsageError(f"--weight {quoted(text)} is out of range: write 0 to {MAX_WEIGHT}")
        if found.setdefault(host, int(weight)) != int(weight):
            raise UsageError(f"--weight gives {host} two weights, {found[host]} and {weight}: give one")
    return found


def _told(given: ClientList) -> list[SimulatedClient]:
    """Return the clients that were read; say on stderr what was left out."""
    for line in some(given.problems):
        click.echo(line, err=True)
    kept, left = given.most(MAX_CLIENTS)
    if given.others:
        click.echo(f"queries for other names: {given.others:,}", err=True)
    if given.unread:
        click.echo(f"lines that are no queries: {given.unread:,}", err=True)
    if left:
        click.echo(f"the {MAX_CLIENTS:,} clients that ask most count; queries of others: {left:,}", err=True)
    return kept


def _as_json(one: SimulatedClient) -> Json:
    found: Json = {"client": one.source, "count": one.queries}
    found |= {} if one.network is None else {"ecs": str(one.network)}
    return found | ({"name": one.name} if one.name else {})


# --- as text --------------------------------------------------------------------------------------------


def render(shown: Mapping[str, Any]) -> RenderableType:
    """Return a simulation as text and tables."""
    parts: list[RenderableType] = [Text(line) for line in _head(shown)]
    for one in shown["names"]:
        parts += _name(one)
    return Group(*parts)


def _head(shown: Mapping[str, Any]) -> Iterator[str]:
    if shown["clients"] is None:
        yield (
            f"at {shown['at']}, for each name a sample of the ranges of addresses that its rules tell apart, "
            "all alike: --clients or --log say who asks"
        )
    else:
        yield f"at {shown['at']}, clients {shown['clients']:,}"
    if shown["skipped"]:
        yield f"queries for names that are not simulated: {shown['skipped']:,}"
    if shown["more"]:
        yield f"{shown['more']:,} names more have a pool: name the one that you mean"
    yield from shown["remarks"]


def _name(one: Mapping[str, Any]) -> Iterator[RenderableType]:
    ttl = one["ttl"]
    span = "" if ttl is None else f"TTL {ttl['least']} s"
    span += "" if ttl is None or ttl["least"] == ttl["most"] else f" to {ttl['most']} s"
    asked = (
        f"queries {one['queries']:,}" if one["sample"] is None else _sampled(one["sample"], one["queries"])
    )
    facts = [f"zone {one['zone']}", asked, *([span] if span else [])]
    yield Text(f"\n{one['name']} {one['type']}", style="bold") + Text(f"  {', '.join(facts)}", style="dim")
    for key, word in (
        ("servfail", "SERVFAIL"),
        ("nodata", "no records (NODATA)"),
        ("last_resort", "last resort"),
    ):
        if one[key]:
            yield Text(f"  {word}: {one[key]:.1%}")
    for columns, rows in _tables(one):
        if rows:
            yield _table(_RANKS.get(one["type"]), columns, rows)


def _sampled(sample: Mapping[str, int], clients: int) -> str:
    of = "" if sample["taken"] == sample["ranges"] else f" of {sample['ranges']:,}"
    return f"sample of {sample['taken']:,} ranges{of}, clients {clients:,}"


def _tables(one: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], list[Sequence[Any]]]]:
    """Yield the columns and rows of a name's tables; a row begins with its rank, None: of all ranks."""
    ruled = any(rule["when"] for rule in one["rules"])
    yield (
        ("rule", "share", "pool", "when"),
        [
            (rule["rank"], str(rule["rule"]), rule["share"], rule["pool"], rule["when"] or "-")
            for rule in (one["rules"] if ruled else ())
        ],
    )
    yield (
        ("arm", "share", "failover"),
        [(None, arm["arm"], arm["share"], arm["failover"]) for arm in one["arms"]],
    )
    yield (
        ("pool", "share", "dealt from", "last resort"),
        [
            (
                pool["rank"],
                pool["pool"],
                pool["share"],
                " and ".join(pool["using"]) or "nobody",
                pool["last_resort"] or "-",
            )
            for pool in one["pools"]
        ],
    )
    yield (
        ("host", "answers", "first picks", "uniform picks"),
        [
            (host["rank"], host["host"], host["answers"], host["first"], host["uniform"])
            for host in one["hosts"]
        ],
    )
    yield (
        ("warming host", "share", "ceiling", "within", ""),
        [
            (
                None,
                host["host"],
                host["share"],
                host["ceiling"],
                host["within"],
                "PASSED" if host["within"] < 0 else "",
            )
            for host in one["ceilings"]
        ],
    )


def _table(rank: str | None, columns: Sequence[str], rows: list[Sequence[Any]]) -> Table:
    """Return a table; A and AAAA have no ranks."""
    table = Table(box=None, pad_edge=False)
    ranked = rank is not None and rows[0][0] is not None
    for name in (rank, *columns) if rank is not None and ranked else columns:
        side: Literal["left", "right"] = "right" if name in {*_NUMBERS, rank} else "left"
        table.add_column(name, justify=side, overflow="fold")
    for row in rows:
        cells = [f"{cell:.2%}" if isinstance(cell, float) else str(cell) for cell in row]
        table.add_row(*cells[not ranked :])
    return table
