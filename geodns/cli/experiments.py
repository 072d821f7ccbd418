"""``geodns experiments``: what arms are dealt, how their mail fares, and what may be believed of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.table import Table

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.output import show
from geodns.cli.status_words import moment
from geodns.config.times import duration_text
from geodns.errors import NotFoundError

PATH = "/api/v1/experiments"


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what the server answers.")
@server_option
@token_option
def experiments(name: str | None, *, as_json: bool, server: str, token: str | None) -> None:
    """Show what the arms of experiments are dealt, how their mail fares, and what may be believed of it.

    `geodns experiments NAME` shows one, with all that is compared.
    """
    found = _only(Server(server, token).get(PATH)["experiments"], name)
    if as_json:
        click.echo(json.dumps({"experiments": found}, indent=2))
    elif not found:
        click.echo("no experiment is under way: no zone file has `experiments`, or it was read a moment ago")
    else:
        for zone, held in found.items():
            for part in _zone(zone, held, whole=name is not None):
                show(part)


def _only(found: Mapping[str, Json], name: str | None) -> dict[str, Any]:
    if name is None:
        return dict(found)
    some = {zone: {name: held[name]} for zone, held in found.items() if name in held}
    if not some:
        names = ", ".join(sorted({one for held in found.values() for one in held})) or "none"
        raise NotFoundError(f"no experiment {name!r}: there is {names}")
    return some


def _zone(zone: str, held: Mapping[str, Json], *, whole: bool) -> Iterator[Any]:
    for name, one in held.items():
        yield _title(zone, name, one)
        yield _arms(one)
        yield "\n".join(_words(one, whole=whole))


def _title(zone: str, name: str, one: Json) -> str:
    return (
        f"experiment {name} at {one['name']} ({zone}), by {one['by']}\n"
        f"epoch {one['epoch']} since {moment(one['since'])}, {one['networks']:,} networks, "
        f"effective {one['effective_networks']:,}"
    )


def _arms(one: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("arm")
    table.add_column("pool")
    for title in ("share", "realised", "queries", "answers", "failovers", "networks"):
        table.add_column(title, justify="right")
    for metric in _metrics(one):
        table.add_column(metric, justify="right")
    for name, arm in one["arms"].items():
        table.add_row(
            name,
            arm["pool"],
            f"{arm['share']:.1%}",
            f"{arm['realised']:.1%}",
            f"{arm['queries']:,}",
            f"{arm['answers']:,}",
            f"{arm['failovers']:,}",
            f"{arm['effective_networks']:,}",
            *(_rate(arm["rates"][metric]) for metric in _metrics(one)),
        )
    return table


def _metrics(one: Json) -> list[str]:
    """Return the metrics of which something is known, the primary first."""
    primary = one["verdict"]["metric"]
    known = dict.fromkeys(
        metric for arm in one["arms"].values() for metric, rate in arm["rates"].items() if rate["value"]
    )
    return [primary, *(metric for metric in known if metric != primary)]


def _rate(rate: Json) -> str:
    if not rate["n"]:
        return "-"
    if rate["low"] is None:
        return f"{rate['value']:.2%}"
    return f"{rate['value']:.2%} ({100 * rate['low']:.2f} to {100 * rate['high']:.2f})"


def _words(one: Json, *, whole: bool) -> Iterator[str]:
    verdict = one["verdict"]
    yield f"{verdict['metric']}, {_difference(verdict)}"
    yield f"{'enough' if verdict['enough'] else 'not enough'}: {verdict['why']}"
    if whole:
        for other in (other for other in one["others"] if other["difference"]):
            yield f"  beside it: {other['metric']}, {_difference(other)}"
    if one["left_out_s"]:
        left_out = duration_text(one["left_out_s"])
        yield f"left out: {left_out}: an arm was on a fallback, or the control process was away"
    undated = sum(arm["undated"] for arm in one["arms"].values())
    if undated:
        yield f"{undated:,} events count by when they happened: nobody said when the mail came in"


def _difference(one: Json) -> str:
    pair = f"{one['arm']} against {one['against']}"
    if one["difference"] is None:
        return f"{pair}: no mail yet"
    text = f"{pair}: {100 * one['difference']:+.2f} points"
    return text if one["low"] is None else f"{text} ({100 * one['low']:+.2f} to {100 * one['high']:+.2f})"
