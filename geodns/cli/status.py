"""``geodns status``: what a running server deals and why, as a table."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from geodns.cli.client import HttpReply, Json, Server, server_option, token_option
from geodns.errors import GeodnsError, ServerError

_COLOURS = {"up": "green", "down": "red", "shedding": "yellow", "unknown": "dim"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the server gives.")
@click.option("--watch", is_flag=True, help="Show it anew until interrupted.")
@click.option(
    "--interval", default=1.0, show_default=True, type=click.FloatRange(0.1), help="Seconds, for --watch."
)
@server_option
@token_option
def status(*, as_json: bool, watch: bool, interval: float, server: str, token: str | None) -> None:
    """Show what a running server deals, and the state of every host.

    Of several servers, show where they disagree, and what the first of them deals.

    Exit status 1 when a server cannot be asked, cannot answer or has warnings, or servers disagree.
    """
    source = Server(server, token)
    look = _one if len(source.urls) == 1 else _several
    if watch:
        _watch(source, look, interval, as_json=as_json)
        return
    seen = look(source)
    if as_json:
        click.echo(json.dumps(seen.shown, indent=2, ensure_ascii=False))
    else:
        Console().print(seen.rendered)
    if not seen.well:
        raise click.exceptions.Exit(1)


class _StatusRow(NamedTuple):
    """What servers show: as JSON, as tables, and whether all is well."""

    shown: Json
    rendered: RenderableType
    well: bool


def _one(source: Server) -> _StatusRow:
    shown = source.get("/status")
    return _StatusRow(shown, render(shown), _is_well(shown))


def _is_well(shown: Json) -> bool:
    return bool(shown["ready"] and not shown["warnings"])


def _several(source: Server) -> _StatusRow:
    answers = source.get_all("/status")
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
        parts.append(Text("they agree on every host, pool and serial"))
    for url, status in list(statuses.items())[:1]:
        parts += [Text(f"\n{url}:", style="bold"), render(status)]
    well = len(statuses) == len(answers) and not found and all(map(_is_well, statuses.values()))
    return _StatusRow(shown, Group(*parts), well)


def _server(url: str, answer: HttpReply | GeodnsError) -> Text:
    """Return a line about a server, or why it cannot be asked."""
    if isinstance(answer, GeodnsError):
        text = str(answer)
        return Text(text if text.startswith(url) else f"{url}: {text}", style="red")
    shown = answer.body
    ready = "ready" if shown["ready"] else "not ready"
    line = Text(f"{name_of(url, shown)}: {ready}, up {_span(shown['uptime_s'])}, geodns {shown['version']}")
    for warning in shown["warnings"]:
        line += Text(f"\n  warning: {warning}", style="yellow")
    return line


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
                # The server may be on its way back: whoever watches wants to see that.
                live.update(Text(str(error), style="red"), refresh=True)
            time.sleep(interval)


def render(shown: Json) -> RenderableType:
    """Return a status as tables."""
    ready = "ready" if shown["ready"] else "not ready"
    head = Text(f"{shown['node']}: {ready}, up {_span(shown['uptime_s'])}, geodns {shown['version']}")
    parts: list[RenderableType] = [head]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in shown["warnings"]]
    for zone, about in shown["zones"].items():
        parts.append(Text(f"\n{zone}", style="bold") + Text(f"  serial {about['serial']}", style="dim"))
        if about["error"]:
            parts.append(Text(f"refused: {about['error']}", style="red"))
        for one in about.get("sources", ()):
            given = f"hosts from {one['source']}: {one['hosts']}, last given {one['at'] or 'never'}"
            parts.append(Text(given, style="yellow" if one["error"] else "dim"))
        if zone in shown["hosts"]:
            parts += [_hosts(shown["hosts"][zone]), _pools(shown["pools"][zone])]
    return Group(*parts)


def _hosts(hosts: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("host", "state", "weight", "addresses", "since", "last probe"):
        table.add_column(column, justify="right" if column == "weight" else "left", overflow="fold")
    for name, host in hosts.items():
        colour = _COLOURS.get(host["state"], "")
        state = Text(state_of(host), style="magenta" if host["forced"] else colour)
        state.stylize(colour, 0, len(host["state"]))
        weight = Text(weight_of(host), style="magenta" if host.get("forced_weight") else "")
        addresses = "\n".join(host["addresses"])
        shown = Text(name) + Text(f"\n{host['source']}" if "source" in host else "", style="dim")
        last = Text("\n").join(
            part
            for part in (_last_probe(host["checks"]), _load(host.get("load")))
            if part is not None and part
        )
        table.add_row(shown, state, weight, addresses, host["since"] or "", last)
    return table


def _last_probe(checks: list[Json]) -> Text:
    lines = []
    for check in checks:
        took = "" if check["rtt_ms"] is None else f" {check['rtt_ms']:g} ms"
        lines.append(
            f"{check['check']} {check['outcome'] or 'not yet'}{took}: {check['detail'] or ''}".rstrip(": ")
        )
    # Addresses that are probed at one place share its result.
    return Text("\n".join(dict.fromkeys(lines)))


def _load(load: Json | None) -> Text:
    if load is None:
        return Text()
    value = "not known yet" if load["value"] is None else f"{load['value']:g} of {load['full']:g}"
    marks = [*(["stale"] if load["stale"] else []), *([load["error"]] if load["error"] else [])]
    text = f"load {value}" + (f" ({': '.join(marks)})" if marks else "")
    return Text(text, style="yellow" if load["stale"] else "")


def _pools(pools: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("pool", "using", "answers", "ttl", "share of A", "share of AAAA"):
        table.add_column(column, overflow="fold")
    for name, pool in pools.items():
        using = ", ".join(pool["using"]) or "nobody"
        if pool["last_resort"]:
            using += f" (last resort: {pool['last_resort']})"
        shares = [
            ", ".join(f"{host} {share:.1%}" for host, share in pool["families"][family]["share"].items())
            for family in ("A", "AAAA")
        ]
        table.add_row(name, using, str(pool["answers"]), f"{pool['ttl']} s", *shares)
    return table


def _span(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (whole, "s")]
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


MISSING = "-"
"""What a server shows of something that it does not have."""
NEAR = 0.02
"""So much may shares differ: weights move step by step, and not everywhere at once."""


class Difference(NamedTuple):
    """Something that is not the same everywhere.

    Attributes:
        what: the zone, host or pool, and what of it.
        says: what each server says of it, in their order.

    """

    what: str
    says: tuple[str, ...]


def differences(statuses: Mapping[str, Json]) -> list[Difference]:
    """Return where servers disagree.

    Args:
        statuses: what each shows as its status.

    """
    shown = list(statuses.values())
    return [
        *_differing(shown, "zones", lambda zone, _: f"{zone} serial", _serial),
        *_differing_deep(shown, "hosts", lambda zone, host: f"host {host}.{zone}", host_of),
        *_differing_deep(shown, "pools", lambda zone, pool: f"pool {pool} of {zone}", _dealing),
        *_shares(shown),
    ]


def _serial(about: Json) -> str:
    serial = "not served" if about["serial"] is None else str(about["serial"])
    return f"{serial}, file refused" if about["error"] else serial


def _dealing(pool: Json) -> str:
    using = ", ".join(pool["using"]) or "nobody"
    resort = f", last resort: {pool['last_resort']}" if pool["last_resort"] else ""
    return f"from {using}{resort}; live: {', '.join(pool['live']) or 'nobody'}"


def _differing(
    shown: list[Json], key: str, name: Callable[[str, str], str], say: Callable[[Json], str]
) -> Iterator[Difference]:
    for zone in dict.fromkeys(zone for status in shown for zone in status[key]):
        says = tuple(say(status[key][zone]) if zone in status[key] else MISSING for status in shown)
        if len(set(says)) > 1:
            yield Difference(name(zone, ""), says)


def _differing_deep(
    shown: list[Json], key: str, name: Callable[[str, str], str], say: Callable[[Json], str]
) -> Iterator[Difference]:
    for zone, one, found in _pairs(shown, key):
        says = tuple(MISSING if some is None else say(some) for some in found)
        if len(set(says)) > 1:
            yield Difference(name(zone, one), says)


def _pairs(shown: list[Json], key: str) -> Iterator[tuple[str, str, list[Json | None]]]:
    """Yield each host or pool of any server, with what each shows of it."""
    names = dict.fromkeys(
        (zone, one) for status in shown for zone, some in status[key].items() for one in some
    )
    for zone, one in names:
        yield zone, one, [status[key].get(zone, {}).get(one) for status in shown]


def _shares(shown: list[Json]) -> Iterator[Difference]:
    """Yield the pools that deal the same hosts in other parts."""
    for zone, pool, found in _pairs(shown, "pools"):
        known = [one for one in found if one is not None]
        if len(known) < len(found) or len({_dealing(one) for one in known}) > 1:
            continue  # that is told already, and other shares follow from it
        for family in ("A", "AAAA"):
            shares = [one["families"][family]["share"] for one in known]
            hosts = [
                host
                for host in dict.fromkeys(host for one in shares for host in one)
                if all(host in one for one in shares)
                and max(one[host] for one in shares) - min(one[host] for one in shares) > NEAR
            ]
            if hosts:
                says = tuple(", ".join(f"{host} {one[host]:.1%}" for host in hosts[:8]) for one in shares)
                yield Difference(f"{family} shares of pool {pool} of {zone}", says)


_FORCED = {"drained": "drained", "quarantined": "quarantined", "up": "forced up", "down": "forced down"}


def state_of(host: Json) -> str:
    """Return a host's state and what is imposed on it: ``down (forced up until 14:00 by ops: testing)``."""
    state: str = host["state"]
    if host["forced"] is None:
        return state
    whose = _whose(host.get("until"), host.get("author"), host.get("reason"))
    waits = f"; it waits: {host['held_back']}" if host.get("held_back") else ""
    return f"{state} ({_FORCED[host['forced']]}{whose}{waits})"


def weight_of(host: Json) -> str:
    """Return a host's weight with what lowers it: ``12.5 of 50: shedding 0.25``."""
    factors = " ".join(f"{factor} {value:g}" for factor, value in host["factors"].items())
    weight = f"{host['effective_weight']:g}" + (f" of {host['weight']}: {factors}" if factors else "")
    imposed = imposed_weight(host)
    return weight if imposed is None else f"{weight} ({imposed})"


def imposed_weight(host: Json) -> str | None:
    """Return the weight imposed on a host: ``forced to 5 by ops: slow disk; the file says 50``."""
    forced = host.get("forced_weight")
    if forced is None:
        return None
    whose = _whose(forced["until"], forced["author"], forced["reason"])
    return f"forced to {forced['weight']}{whose}; the file says {forced['file_weight']}"


def host_of(host: Json) -> str:
    """Return a host's state, and its weight if one is imposed: ``up, weight 5 (forced by ops; …)``."""
    forced = host.get("forced_weight")
    if forced is None:
        return state_of(host)
    whose = _whose(forced["until"], forced["author"], forced["reason"])
    weight = f"weight {forced['weight']} (forced{whose}; the file says {forced['file_weight']})"
    return f"{state_of(host)}, {weight}"


def _whose(until: str | None, author: str | None, reason: str | None) -> str:
    parts = [f" until {moment(until)}" if until else "", f" by {author}" if author else ""]
    return "".join(parts) + (f": {reason}" if reason else "")


def moment(text: str, now: datetime | None = None) -> str:
    """Return a time of the JSON as the reader's clock shows it: ``14:00``, with the date if not today's."""
    try:
        at = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    today = (now or datetime.now().astimezone()).date()
    return at.strftime("%H:%M" if at.date() == today else "%Y-%m-%d %H:%M")


def name_of(url: str, body: Json | None = None) -> str:
    """Return how a server is called: by its own name and its URL, where it said its name."""
    node = None if body is None else body.get("node")
    return url if node is None else f"{node} ({url})"
