"""``geodns status``: what running servers deal and why, as tables; and where they disagree."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from geodns.cli.client import HttpReply, Json, Server
from geodns.cli.options import number, server_option, token_option
from geodns.cli.output import show
from geodns.cli.status_differences import differences, serials
from geodns.cli.status_words import ago, pools_dealt, span, state_of, weight_of, word_of
from geodns.errors import GeodnsError, NotFoundError, ServerError

_COLOURS = {"up": "green", "down": "red", "shedding": "yellow", "unknown": "dim"}


@click.command()
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--zone", metavar="ZONE", help="Only this zone.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the server gives.")
@click.option("--watch", is_flag=True, help="Refresh it until interrupted.")
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=number(0.1, 86400),
    metavar="SECONDS",
    help="For --watch.",
)
@server_option
@token_option
def status(
    *,
    hosts: tuple[str, ...],
    zone: str | None,
    as_json: bool,
    watch: bool,
    interval: float,
    server: str,
    token: str | None,
) -> None:
    """Show what a running server deals, and the state of every HOST, a line each.

    HOST is mta1, mta1.out.example.com, 192.0.2.11 or 'mta*.out'. On a terminal a line is cut where it is
    full; in a pipe it is whole. Of several servers, show where they disagree, and what the first of them
    deals.

    Exit status 1 when a server cannot be asked, cannot answer or has warnings, or servers disagree.
    """
    source = Server(server, token)
    look = partial(_one if len(source.urls) == 1 else _several, narrow=partial(narrowed, hosts, zone))
    if watch:
        _watch(source, look, interval, as_json=as_json)
        return
    seen = look(source)
    if as_json:
        click.echo(json.dumps(seen.shown, indent=2, ensure_ascii=False))
    else:
        show(seen.rendered)
    if not seen.well:
        raise click.exceptions.Exit(1)


class _StatusRow(NamedTuple):
    """A status: as JSON, as tables, and whether all is well."""

    shown: Json
    rendered: RenderableType
    well: bool


_Narrow = Callable[[Json], Json]


def narrowed(hosts: Sequence[str], zone: str | None, shown: Json) -> Json:
    """Return a status with some hosts alone, or a zone; raises NotFoundError where it has none of them.

    A server that starts knows no zones yet: its status is returned as it is.
    """
    if (zone is None and not hosts) or not (shown["ready"] or shown["zones"]):
        return shown
    # The types of hosts and zones take as long to load as all the rest of a command.
    from geodns.control.host_lookup import find_among, zone_named  # noqa: PLC0415 - see above

    known = {
        name: {host: one["addresses"] for host, one in some.items()} for name, some in shown["hosts"].items()
    }
    zones = list(shown["zones"]) if zone is None else [zone_named(zone, shown["zones"])]
    if not hosts:
        kept = {
            what: {name: shown[what][name] for name in zones if name in shown[what]}
            for what in _BY_ZONE
            if what in shown
        }
        return shown | kept
    found: Json = {}
    for name, host in find_among(hosts, {name: known[name] for name in zones if name in known}):
        found.setdefault(name, {})[host] = shown["hosts"][name][host]
    return shown | {
        "zones": {name: shown["zones"][name] for name in found},
        "hosts": found,
        "pools": {},
        "views": {},
    }


_BY_ZONE = ("zones", "hosts", "pools", "views")


def _one(source: Server, narrow: _Narrow) -> _StatusRow:
    shown = narrow(source.get("/status"))
    return _StatusRow(shown, render(shown), _is_well(shown))


def _is_well(shown: Json) -> bool:
    return bool(shown["ready"] and not shown["warnings"])


def _several(source: Server, narrow: _Narrow) -> _StatusRow:
    answers = {url: _narrowed(one, narrow) for url, one in source.get_all("/status").items()}
    missing = [one for one in answers.values() if isinstance(one, NotFoundError)]
    if len(missing) == len(answers):
        raise missing[0]
    statuses = {url: one.body for url, one in answers.items() if isinstance(one, HttpReply)}
    found = differences(statuses)
    servers = {
        url: one.body if isinstance(one, HttpReply) else {"error": str(one)} for url, one in answers.items()
    }
    shown = {
        "servers": servers,
        "differences": [
            {"what": one.what, "says": dict(zip(statuses, one.says, strict=True))} for one in found
        ],
    }
    parts: list[RenderableType] = [_server(url, one) for url, one in answers.items()]
    if found:
        table = Table(pad_edge=False, box=None)
        for column in ("they disagree on", *(name_of(url, one) for url, one in statuses.items())):
            table.add_column(column, overflow="fold")
        for one in found:
            table.add_row(Text(one.what), *map(Text, one.says))
        parts += [Text(""), table]
    elif len(statuses) > 1:
        parts.append(Text("they agree on every zone, host and pool"))
    parts += [Text(line, style="dim") for line in serials(statuses)]
    for url, status in list(statuses.items())[:1]:
        parts += [Text(f"\n{url}:", style="bold"), render(status)]
    well = len(statuses) == len(answers) and not found and all(map(_is_well, statuses.values()))
    return _StatusRow(shown, Group(*parts), well)


def _narrowed(answer: HttpReply | GeodnsError, narrow: _Narrow) -> HttpReply | GeodnsError:
    try:
        return answer if isinstance(answer, GeodnsError) else answer._replace(body=narrow(answer.body))
    except NotFoundError as error:
        return error


def _server(url: str, answer: HttpReply | GeodnsError) -> Text:
    if isinstance(answer, GeodnsError):
        text = str(answer)
        return Text(text if text.startswith(url) else f"{url}: {text}", style="red")
    shown = answer.body
    ready = "ready" if shown["ready"] else "not ready"
    line = Text(f"{name_of(url, shown)}: {ready}, up {span(shown['uptime_s'])}, geodns {shown['version']}")
    for warning in shown["warnings"]:
        line += Text(f"\n  warning: {warning}", style="yellow")
    return line


def name_of(url: str, body: Json) -> str:
    """Return a server's own name and its URL; the URL alone where it says no name."""
    node = body.get("node")
    return url if node is None else f"{node} ({url})"


def _watch(source: Server, look: Callable[[Server], _StatusRow], interval: float, *, as_json: bool) -> None:
    if as_json:
        while True:
            click.echo(json.dumps(look(source).shown, ensure_ascii=False))
            time.sleep(interval)
    with Live(Text("asking…"), auto_refresh=False) as live:
        while True:
            try:
                live.update(look(source).rendered, refresh=True)
            except ServerError as error:
                # Whoever watches wants to see the server come back.
                live.update(Text(str(error), style="red"), refresh=True)
            time.sleep(interval)


# --- as tables ------------------------------------------------------------------------------------------


def render(shown: Json, now: float | None = None) -> RenderableType:
    """Return a status as tables, with a line for each host; `now` is in seconds since the epoch."""
    now = time.time() if now is None else now
    ready = "ready" if shown["ready"] else "not ready"
    identity = shown.get("identity")
    known = f" (identity {identity})" if identity and identity != shown["node"] else ""
    about = f"{ready}, up {span(shown['uptime_s'])}, geodns {shown['version']}"
    head = Text(f"{shown['node']}{known}: {about}")
    parts: list[RenderableType] = [head]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in shown["warnings"]]
    for zone, about in shown["zones"].items():
        parts.append(Text(f"\n{zone}", style="bold") + Text(f"  serial {about['serial']}", style="dim"))
        if about["error"]:
            parts.append(Text(f"refused: {about['error']}", style="red"))
        for one in about.get("sources", ()):
            given = f"hosts from {one['source']}: {one['hosts']}, last given {ago(one['at'], now) or 'never'}"
            parts.append(Text(given, style="yellow" if one["error"] else "dim"))
        if zone in shown["hosts"]:
            parts.append(_hosts(shown["hosts"][zone], now))
        if zone in shown["pools"]:
            parts.append(_pools(shown["pools"][zone]))
        if shown.get("views", {}).get(zone):  # a server of an earlier version has none
            parts.append(_views(shown["views"][zone], now))
    if shown.get("peers"):  # a server that is alone has none
        parts.append(_peers(shown["node"], shown["version"], shown["peers"], now))
    return Group(*parts)


def _hosts(hosts: Json, now: float) -> Table:
    """Tabulate hosts; what nobody has gets no column, and a narrow terminal cuts the longest texts."""
    table = Table(box=None, pad_edge=False)
    columns = {"host": "left", "state": "left", "weight": "right", "since": "left", "addresses": "left"}
    columns |= {"load": "left"} if any(host.get("load") for host in hosts.values()) else {}
    columns |= {"source": "left"} if any("source" in host for host in hosts.values()) else {}
    for column in (*columns, "last probe"):
        right = columns.get(column) == "right"
        table.add_column(column, justify="right" if right else "left", no_wrap=column in {"host", "since"})
    for name, host in hosts.items():
        colour = "dim" if host.get("unchecked") else _COLOURS.get(host["state"], "")
        state = Text(state_of(host), style="magenta" if host["forced"] else colour)
        state.stylize(colour, 0, len(word_of(host)))
        cells = {
            "host": Text(name),
            "state": state,
            "weight": Text(weight_of(host), style="magenta" if host.get("forced_weight") else ""),
            "since": Text(ago(host["since"], now)),
            "addresses": Text(", ".join(host["addresses"])),
            "load": _load(host.get("load")),
            "source": Text(host.get("source", ""), style="dim"),
        }
        row = [*(cells[column] for column in columns), _last_probe(host["checks"])]
        for cell in row:
            cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*row)
    return table


def _last_probe(checks: list[Json]) -> Text:
    """Say what probes found last, trouble first, since a narrow terminal cuts the rest."""
    found = []
    for check in sorted(checks, key=lambda check: check["state"] == "up"):
        took = "" if check["rtt_ms"] is None else f" {check['rtt_ms']:g} ms"
        found.append(
            f"{check['check']} {check['outcome'] or 'not yet'}{took}: {check['detail'] or ''}".rstrip(": ")
        )
    # Addresses that are probed at one place share its result.
    return Text("; ".join(dict.fromkeys(found)))


def _load(load: Json | None) -> Text:
    if load is None:
        return Text()
    value = "not known yet" if load["value"] is None else f"{load['value']:g} of {load['full']:g}"
    marks = [*(["stale"] if load["stale"] else []), *([load["error"]] if load["error"] else [])]
    text = value + (f" ({': '.join(marks)})" if marks else "")
    return Text(text, style="yellow" if load["stale"] else "")


def _pools(pools: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("pool", "using", "answers", "ttl", "share of A", "share of AAAA"):
        table.add_column(column, overflow="fold")
    for name, pool in pools.items():
        shares = [
            ", ".join(f"{host} {share:.1%}" for host, share in pool["families"][family]["share"].items())
            for family in ("A", "AAAA")
        ]
        shown = name if pool.get("checks", True) else f"{name} (unchecked)"
        table.add_row(shown, pools_dealt(pool), str(pool["answers"]), f"{pool['ttl']} s", *shares)
    return table


def _peers(node: str, version: str, peers: Json, now: float) -> RenderableType:
    """Tabulate the servers of these zones, this one first."""
    table = Table(box=None, pad_edge=False)
    for column in ("server", "seen", "version", "differs"):
        table.add_column(column, overflow="fold")
    table.add_row(Text(node), Text("this one"), Text(version), Text(""))
    for name, one in peers.items():
        differs = [each["what"] for each in one["differs"]]
        if one["error"] is not None:
            differs = [one["error"]]
        table.add_row(
            Text(name),
            Text(ago(one["seen"], now) or "never"),
            Text(one["version"] or "?"),
            Text("; ".join(differs), style="yellow" if differs else ""),
        )
    return Group(Text("\nname servers", style="bold"), table)


def _views(names: Json, now: float) -> Table:
    """Tabulate the rules of names; those whose hours are not are dim."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "rule", "when", "pool", "since"):
        table.add_column(column, overflow="fold")
    for name, rules in names.items():
        several = len({(*rule["types"], rule.get("preference")) for rule in rules}) > 1
        for rule in rules:
            of = f" {' '.join(rule['types'])}" + (f" {rule['preference']}" if "preference" in rule else "")
            cells = (
                name.rstrip(".") + (of if several else "") if rule["rule"] == 1 else "",
                str(rule["rule"]),
                rule["when"] or "all others",
                rule["pool"],
                ago(rule["since"], now) or "not now",
            )
            table.add_row(*map(Text, cells), style="" if rule["since"] else "dim")
    return table
