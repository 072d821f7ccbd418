"""``geodns reputation``: what became of hosts' mail, what stands against them, and overruling it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.table import Table

from geodns.cli.client import HttpReply, Json, Server
from geodns.cli.options import author_option, server_option, token_option
from geodns.cli.output import blocks, show
from geodns.cli.server import order_all
from geodns.cli.status_words import moment
from geodns.config.times import overruled_asked
from geodns.errors import NotFoundError

PATH = "/api/v1/reputation"


class HostOrCommand(click.Group):
    """A group whose first word may be a host: then `show` is meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=HostOrCommand, invoke_without_command=True)
@server_option
@token_option
@click.option("--json", "as_json", is_flag=True, help="Print what the server answers.")
@click.pass_context
def reputation(context: click.Context, /, server: str, token: str | None, *, as_json: bool) -> None:
    """Show what became of the mail of hosts, and what stands against them.

    `geodns reputation HOST` shows one host by providers; `ignore` and `mode` overrule what is done.
    """
    if context.invoked_subcommand is None:
        _print(Server(server, token).get(PATH), None, as_json=as_json)


@reputation.command(name="show")
@click.argument("host", metavar="HOST")
@click.option("--json", "as_json", is_flag=True, help="Print what the server answers of it.")
@server_option
@token_option
def show_host(host: str, *, as_json: bool, server: str, token: str | None) -> None:
    """Show one HOST, by providers; `geodns reputation HOST` does the same."""
    _print(Server(server, token).get(PATH), host, as_json=as_json)


def _lasts(_: click.Context, __: click.Parameter, value: str) -> str:
    overruled_asked(value)
    return value


_for = click.option(
    "--for", "duration", required=True, metavar="TIME", callback=_lasts, help="For 30m, 12h, 1d …; 0 ends it."
)
_reason = click.option("--reason", default="", metavar="TEXT", help="Why; shown in the events.")
_zone = click.option("--zone", metavar="ZONE", help="In this zone alone.")


@reputation.command()
@click.argument("host", metavar="HOST")
@click.option("--rule", metavar="RULE", help="This rule or block list alone; without it all of them.")
@_zone
@_for
@_reason
@author_option
@server_option
@token_option
def ignore(
    host: str,
    *,
    rule: str | None,
    zone: str | None,
    duration: str,
    reason: str,
    author: str | None,
    server: str,
    token: str | None,
) -> None:
    """Do nothing to HOST for its reputation for a while; what was done to it ends at once.

    `--for 0` ends that: it counts again.
    """
    body = {"host": host, "rule": rule, "zone": zone, "for": duration, "reason": reason}
    does = f"is ignored for {duration}" if overruled_asked(duration) else "counts again"
    text = f"{host}: {rule or 'reputation'} {does}"
    order_all(
        Server(server, token, author), f"{PATH}/ignore", body, lambda _, prefix, __: _said(prefix + text)
    )


@reputation.command()
@click.argument("mode", type=click.Choice(("observe", "act")))
@_zone
@_for
@_reason
@author_option
@server_option
@token_option
def mode(
    mode: str,
    *,
    zone: str | None,
    duration: str,
    reason: str,
    author: str | None,
    server: str,
    token: str | None,
) -> None:
    """Only observe, or act, for a while, whatever the zone file says."""
    body = {"mode": mode, "zone": zone, "for": duration, "reason": reason}

    def said(_: str, prefix: str, answer: HttpReply) -> bool:
        zones = ", ".join(name for name in answer.body["zones"] if zone in {None, name})
        lasts = f"{mode} for {duration}" if overruled_asked(duration) else "of the zone file again"
        return _said(f"{prefix}reputation mode {lasts}: {zones}")

    order_all(Server(server, token, author), f"{PATH}/mode", body, said)


def _said(text: str) -> bool:
    click.echo(text)
    return True


# --- what is shown --------------------------------------------------------------------------------------


def _print(answer: Json, host: str | None, *, as_json: bool) -> None:
    zones = answer["zones"]
    if host is not None:
        zones = _only(zones, host)
    if as_json:
        click.echo(json.dumps(answer if host is None else {"zones": zones}, indent=2))
        return
    if not zones:
        click.echo("no zone file says anything of reputation: write `reputation: {mode: observe}`")
    for name, zone in zones.items():
        until = f" until {moment(zone['mode_until'])}" if zone["mode_until"] else ""
        click.echo(f"{name}: mode {zone['mode']}{until}")
        for cause, hosts in zone["common"].items():
            click.echo(f"  {cause} hits {', '.join(hosts)} at once: nobody is taken out for it")
        for one in zone["ignored"]:
            what = one["rule"] or "all"
            click.echo(f"  ignored for {one['host']} until {moment(one['until'])}: {what} by {one['author']}")
        show(_hosts(zone["hosts"]) if host is None else _providers(next(iter(zone["hosts"].values()))))
        for line in _hours(zone["hosts"]) if host is not None else ():
            click.echo(f"  {line}")
        for line in _actions(zone["hosts"]):
            click.echo(f"  {line}")
    if host is None:
        _print_sources(answer)


def _print_sources(answer: Json) -> None:
    """Print which block lists are believed, and the replies that nobody understands."""
    for name, one in answer["lists"].items():
        said = f": {one['why']}" if one["why"] else ""
        click.echo(f"block list {name}: {'believed' if one['ok'] else 'not believed'}{said}")
    for one in answer["unknown_replies"]:
        click.echo(f"reply that no rule knows, {one['count']} times: {one['text']}")


def _only(zones: Json, host: str) -> dict[str, Any]:
    """Return the zones with nothing but a host, which has its short name or its whole one."""
    found = {
        zone: {**about, "hosts": {name: one}}
        for zone, about in zones.items()
        for name, one in about["hosts"].items()
        if host.removesuffix(".") in {name, f"{name}.{zone}"}
    }
    if not found:
        raise NotFoundError(f"no host {host} in a zone whose file says something of reputation")
    return found


def _table(*columns: str) -> Table:
    """Return a table; figures are at the right of their columns."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in _TEXTS else "right", overflow="fold")
    return table


_TEXTS = {"host", "listed", "provider", "span", "24 h"}


def _hosts(hosts: Mapping[str, Json]) -> Table:
    table = _table(
        "host", "weight", "listed", "sent 1h", "delivered", "deferred", "bounced", "complaints 1d", "24 h"
    )
    for name, one in hosts.items():
        lists = sorted({listed["list"] for egress in one["egress"].values() for listed in egress["listed"]})
        hour, day = one["totals"]["1h"], one["totals"]["1d"]
        table.add_row(
            name,
            f"{one['factor']:.0%}",
            ", ".join(lists) or "-",
            str(hour["first"]),
            _rate(hour, "delivered"),
            _rate(hour, "deferred"),
            _rate(hour, "bounced"),
            _rate(day, "complaint"),
            blocks(one["hours"]["first"], max(one["hours"]["first"])),
        )
    return table


def _providers(host: Json) -> Table:
    table = _table("provider", "span", "sent", "delivered", "deferred", "bounced", "complaints", "p50", "p95")
    rows = [("all", span, one) for span, one in host["totals"].items()]
    rows += [
        (name, span, one) for name, spans in sorted(host["providers"].items()) for span, one in spans.items()
    ]
    last = ""
    for name, span, one in rows:
        barred = f" (barred until {moment(host['barred'][name])})" if name in host["barred"] else ""
        table.add_row(
            name + barred if name != last else "",
            span,
            str(one["first"]),
            *(_rate(one, event) for event in ("delivered", "deferred", "bounced", "complaint")),
            *(_delay(one.get(f"delay_{part}_s")) for part in ("p50", "p95")),
        )
        last = name
    return table


def _hours(hosts: Mapping[str, Json]) -> Iterator[str]:
    """Yield plots of the last 24 hours: first attempts, and those of them that were refused."""
    for host in hosts.values():
        first, refused = host["hours"]["first"], host["hours"]["refused"]
        yield f"first attempts, 24 h {blocks(first, max(first))} {max(first):,} an hour at most"
        yield f"refused              {blocks(refused, max(first))} {sum(refused):,} of {sum(first):,}"


def _rate(tally: Json, event: str) -> str:
    return f"{tally[event] / tally['first']:.1%}" if tally["first"] else "-"


def _delay(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}s"


def _actions(hosts: Mapping[str, Json]) -> Iterator[str]:
    for name, host in hosts.items():
        for one in host["actions"]:
            force = f"takes {one['took']:.0%}" if one["in_force"] else "not in force"
            until = f" until {moment(one['until'])}" if one["until"] else ""
            if one["ended"]:
                until = f", given back since {moment(one['ended'])}"
            yield f"{name}: {one['rule']}: {one['action']} ({force}){until}: {one['why']}"
