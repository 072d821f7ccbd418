"""``geodns warmup``: where hosts stand in their warm-ups, drawn too, and orders for them."""

import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from geodns.cli.client import HttpReply, Json, Server
from geodns.cli.options import author_option, number, server_option, token_option
from geodns.cli.output import blocks, show
from geodns.cli.server import order_all
from geodns.control.host_lookup import find_host
from geodns.errors import NotFoundError, UsageError
from geodns.model.warmup import MAX_DAYS

PATH = "/api/v1/warmup"
_NEXT = 3
"""Days ahead that are told one by one."""


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As the server gives it.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the plans into a file.",
)
@server_option
@token_option
@click.pass_context
def warmup(
    context: click.Context, /, *, as_json: bool, svg: Path | None, server: str, token: str | None
) -> None:
    """Show how hosts with new IPs are warmed up: day, cap, what was sent, share, and what holds it.

    DNS deals shares, no counts: a ceiling is the day's cap as a part of the volume of the host's pools.
    """
    context.obj = server, token
    if context.invoked_subcommand is not None:
        return
    shown = Server(server, token).get(PATH)
    if svg is not None:
        try:
            svg.write_text(drawn(shown["zones"]))
        except OSError as error:
            raise UsageError(f"{svg}: {error.strerror}") from error
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif shown["zones"]:
        show(render(shown["zones"]))
    else:
        click.echo("no host warms up: `warmup: {plan: sendgrid, start: …}` under a host begins it")


def _hosts(zones: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for zone, of in zones.items():
        for host, one in of["hosts"].items():
            yield f"{host}.{zone}", one


def render(zones: Mapping[str, Json]) -> Group:
    """Return the table, and below it the days ahead of each host."""
    table = Table(box=None, pad_edge=False)
    columns: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("HOST", "left"),
        ("PLAN", "left"),
        ("DAY", "right"),
        ("CAP", "right"),
        ("SENT", "right"),
        ("SHARE", "right"),
        ("CEILING", "right"),
        ("HELD", "left"),
    )
    for name, side in columns:
        table.add_column(name, justify=side, no_wrap=name != "HELD")
    for host, one in _hosts(zones):
        table.add_row(
            host,
            one["plan"],
            f"{one['day']}/{one['last']}",
            "over" if one["cap"] is None else f"{one['cap']:,}",
            f"{one['sent']:,.0f}{'' if one['counted'] else ' (by share)'}",
            f"{one['share']:.2%}",
            "-" if one["ceiling"] is None else f"{one['ceiling']:.2%}",
            one["held"] or "-",
        )
    return Group(table, *(Text(line) for host, one in _hosts(zones) for line in _ahead(host, one)))


def _ahead(host: str, one: Json) -> Iterator[str]:
    """Yield a line with the caps from today on as blocks, on a logarithmic scale, and the next days."""
    if not one["ahead"]:
        return
    caps = [one["cap"] or 0, *(day["cap"] for day in one["ahead"])]
    drawn = blocks((math.log(max(cap, 1)) for cap in caps), math.log(max(*caps, 2)))
    soon = ", ".join(f"{day['date']} {day['cap']:,}" for day in one["ahead"][:_NEXT])
    yield ""
    last = one["ahead"][-1]
    more = f" … {last['date']} {last['cap']:,}" if len(one["ahead"]) > _NEXT else ""
    yield f"{host} {drawn} ahead: {soon}{more}"


# --- SVG ------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP = 640, 120, 80, 24


def drawn(zones: Mapping[str, Json]) -> str:
    """Return the plans as one SVG: a row a host, caps on a logarithmic scale, what was sent today a dot."""
    rows = list(_hosts(zones))
    parts = [_row(host, one, number * (_HEIGHT + _TOP)) for number, (host, one) in enumerate(rows)]
    height = len(rows) * (_HEIGHT + _TOP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11">\n{"".join(parts)}</svg>\n'
    )


def _row(host: str, one: Json, top: int) -> str:
    caps = [one["cap"] or 0, *(day["cap"] for day in one["ahead"])]
    most = math.log10(max(*caps, 10))
    base = top + _TOP + _HEIGHT - 20

    def x(at: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * at / max(1, len(caps) - 1)

    def y(messages: float) -> float:
        return base - (_HEIGHT - 30) * math.log10(max(messages, 1)) / most

    points = " ".join(f"{x(at):.1f},{y(cap):.1f}" for at, cap in enumerate(caps))
    title = f"{host}: day {one['day']} of {one['last']}, {one['sent']:,.0f} sent"
    last = one["ahead"][-1]["date"] if one["ahead"] else "today"
    return (
        f'<text x="4" y="{top + 16}">{_escaped(title)}</text>\n'
        f'<path d="M{_LEFT} {top + _TOP}V{base}H{_WIDTH - 10}" fill="none" stroke="#999"/>\n'
        f'<polyline points="{points}" fill="none" stroke="#2563eb" stroke-width="2"/>\n'
        f'<circle cx="{x(0):.1f}" cy="{y(one["sent"]):.1f}" r="4" fill="#dc2626"/>\n'
        f'<text x="{_LEFT - 4}" y="{y(max(caps)) + 4:.1f}" text-anchor="end">{max(caps):,}</text>\n'
        f'<text x="{_LEFT}" y="{base + 14}">today</text>\n'
        f'<text x="{_WIDTH - 10}" y="{base + 14}" text-anchor="end">{_escaped(last)}</text>\n'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


# --- orders ---------------------------------------------------------------------------------------------


def _ordering(command: Any) -> Any:
    # The server may be named behind the order as well as before it.
    for option in (
        click.option("--reason", default="", metavar="TEXT", help="Why; shown in the events."),
        author_option,
        click.option("--server", metavar="URL", help="The HTTP side of the running server."),
        click.option("--token", metavar="TOKEN", help="What the server asks of writers."),
        click.pass_context,
    ):
        command = option(command)
    return command


_host = click.argument("host", metavar="HOST")


@warmup.command()
@_host
@_ordering
def hold(context: click.Context, /, **given: Any) -> None:
    """Keep HOST at its day until `resume`; it goes on getting that day's share."""
    _order(context, "hold", **given)


@warmup.command()
@_host
@_ordering
def resume(context: click.Context, /, **given: Any) -> None:
    """End a hold of HOST."""
    _order(context, "resume", **given)


@warmup.command()
@_host
@_ordering
def restart(context: click.Context, /, **given: Any) -> None:
    """Begin HOST's plan anew at day 1."""
    _order(context, "restart", **given)


@warmup.command(name="skip-to")
@click.argument("day", metavar="DAY", type=number(1, MAX_DAYS, whole=True))
@_host
@_ordering
def skip_to(context: click.Context, /, day: int, **given: Any) -> None:
    """Put HOST at a DAY of its plan, as for an IP that is known already."""
    _order(context, "skip-to", day=day, **given)


def _order(
    context: click.Context,
    order: str,
    host: str,
    reason: str,
    author: str | None,
    server: str | None,
    token: str | None,
    **more: Any,
) -> None:
    before: tuple[str, str | None] = context.obj
    asked = Server(server or before[0], token or before[1], author)
    zones = asked.get(PATH)["zones"]
    try:
        zone, name = find_host(host, {zone: dict.fromkeys(of["hosts"], ()) for zone, of in zones.items()})
    except NotFoundError as error:
        raise NotFoundError(f"{host}: no such host warms up: `geodns warmup` lists those that do") from error
    path = f"/api/v1/hosts/{quote(zone)}/{quote(name)}/warmup"
    order_all(asked, path, {"order": order, "reason": reason, **more}, partial(_told, f"{name}.{zone}"))


def _told(host: str, _url: str, prefix: str, answer: HttpReply) -> bool:
    one = answer.body
    cap = "its warm-up is over" if one["cap"] is None else f"{one['cap']:,} messages today"
    held = f" ({one['held']})" if one["held"] else ""
    click.echo(f"{prefix}{host}: day {one['day']} of {one['last']}, {cap}{held}")
    if answer.status == 202:
        click.echo(f"still pending: {', '.join(one['pending'])} (it will follow in a moment)", err=True)
    return answer.status != 202
