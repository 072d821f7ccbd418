"""``geodns status``: what running servers deal and why, as tables; and where they disagree."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
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
from geodns.errors import GeodnsError, NotFoundError, ServerError
from geodns.wire.codes import FAMILY_NAMES

MISSING = "-"
"""Stands for what a server does not have."""
NEAR = 0.02
"""Shares may differ by so much: weights move step by step, and not everywhere at once."""

_COLOURS = {"up": "green", "down": "red", "shedding": "yellow", "unknown": "dim"}
_FORCED = {"drained": "drained", "quarantined": "quarantined", "up": "forced up", "down": "forced down"}


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
    """Return a status with some hosts alone, or a zone; raises NotFoundError where it has none of them."""
    if zone is None and not hosts:
        return shown
    # The types of hosts and zones take as long to load as all the rest of a command.
    from geodns.control.host_lookup import find_among, zone_named  # noqa: PLC0415 - see above

    known = {
        name: {host: one["addresses"] for host, one in some.items()} for name, some in shown["hosts"].items()
    }
    zones = list(shown["zones"]) if zone is None else [zone_named(zone, shown["zones"])]
    if not hosts:
        kept = {what: {name: shown[what][name] for name in zones if name in shown[what]} for what in _BY_ZONE}
        return shown | kept
    found: Json = {}
    for name, host in find_among(hosts, {name: known[name] for name in zones if name in known}):
        found.setdefault(name, {})[host] = shown["hosts"][name][host]
    return shown | {"zones": {name: shown["zones"][name] for name in found}, "hosts": found, "pools": {}}


_BY_ZONE = ("zones", "hosts", "pools")


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
    parts += [Text(line, style="dim") for line in _serials(statuses)]
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
    line = Text(f"{name_of(url, shown)}: {ready}, up {_span(shown['uptime_s'])}, geodns {shown['version']}")
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
    about = f"{ready}, up {_span(shown['uptime_s'])}, geodns {shown['version']}"
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
        state.stylize(colour, 0, len(_word(host)))
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
        table.add_row(shown, _using(pool), str(pool["answers"]), f"{pool['ttl']} s", *shares)
    return table


def _using(pool: Json) -> str:
    """Return the pools that a pool deals from, and its last resort, by family where these differ."""
    families = {
        FAMILY_NAMES[family]: about
        for family, about in pool["families"].items()
        if about.get("using") or about.get("last_resort")
    }
    said = {family: _dealt_from(about) for family, about in families.items()}
    if len(set(said.values())) < 2:
        return _dealt_from(pool)
    return "; ".join(f"{family}: {text}" for family, text in said.items())


def _dealt_from(about: Json) -> str:
    resort = f" (last resort: {about['last_resort']})" if about["last_resort"] else ""
    return (", ".join(about["using"]) or "nobody") + resort


# --- in words -------------------------------------------------------------------------------------------


def state_of(host: Json) -> str:
    """Return a host's state and its override: ``up, IPv4 down (drained by ops: disk)``."""
    state = _word(host) + _apart(host)
    if host["forced"] is None:
        return state
    waits = f"; it waits: {host['held_back']}" if host.get("held_back") else ""
    return f"{state} ({_FORCED[host['forced']]}{_whose(host)}{waits})"


def _word(host: Json) -> str:
    """Return a host's state, without its families; that of a host without a check is no knowledge."""
    state: str = host["state"]
    return "unchecked" if host.get("unchecked") else state


def _apart(host: Json) -> str:
    """Return the families that are not as the host is; an old server does not say."""
    families = host.get("families", {})
    return "".join(
        f", {word} {families[family]}"
        for family, word in FAMILY_NAMES.items()
        if families.get(family, host["state"]) != host["state"]
    )


def weight_of(host: Json) -> str:
    """Return a host's weight with what lowers it: ``12.5 of 50: shedding 0.25``."""
    factors = " ".join(f"{factor} {value:g}" for factor, value in host["factors"].items())
    weight = f"{host['effective_weight']:g}" + (f" of {host['weight']}: {factors}" if factors else "")
    forced = host.get("forced_weight")
    return weight if forced is None else f"{weight} (forced to {forced['weight']}{_instead_of(forced)})"


def host_of(host: Json) -> str:
    """Return a host's state, and its weight if one is forced: ``up, weight 5 (forced by ops; …)``."""
    forced = host.get("forced_weight")
    weight = "" if forced is None else f", weight {forced['weight']} (forced{_instead_of(forced)})"
    return state_of(host) + weight


def _instead_of(forced: Json) -> str:
    return f"{_whose(forced)}; the file says {forced['file_weight']}"


def _whose(forced: Json) -> str:
    """Say until when something is forced, by whom and why; an old server does not say."""
    until, author, reason = (forced.get(key) for key in ("until", "author", "reason"))
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


def ago(text: str | None, now: float) -> str:
    """Return a time of the JSON as how long ago it was, in its two largest units: ``3d 4h ago``."""
    try:
        seconds = now - datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return text or ""
    return "now" if seconds < 1 else f"{_span(seconds, 2)} ago"


def _span(seconds: float, most: int = 4) -> str:
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        f"{number}{unit}"
        for number, unit in zip((days, hours, minutes, whole), "dhms", strict=True)
        if number
    ]
    return " ".join(parts[:most]) or "0s"


# --- where servers disagree -----------------------------------------------------------------------------


class Difference(NamedTuple):
    """A zone, host or pool that is not the same everywhere, and what each server says of it."""

    what: str
    says: tuple[str, ...]


def differences(statuses: Mapping[str, Json]) -> list[Difference]:
    """Return where servers disagree, by the statuses that they show."""
    shown = list(statuses.values())
    alike = len({one.get("version") for one in shown}) == 1
    zones = [{f"zone {zone}": about for zone, about in one["zones"].items()} for one in shown]
    hosts = [_flat(one["hosts"], "host {}.{}") for one in shown]
    pools = [_flat(one["pools"], "pool {} of {}") for one in shown]
    return [
        *_differing(zones, _content if alike else _served),
        *_differing(hosts, host_of),
        *_differing(pools, _dealing),
        *_differing_shares(pools),
    ]


def _flat(by_zone: Json, what: str) -> Json:
    return {what.format(name, zone): about for zone, some in by_zone.items() for name, about in some.items()}


def _served(about: Json) -> str:
    served = "not served" if about["serial"] is None else "served"
    return f"{served}, file refused" if about["error"] else served


def _content(about: Json) -> str:
    """Say what a server serves; each counts its own edits, so that serials of the same content differ."""
    digest = about.get("digest")
    return _served(about) + (f", content {digest[:8]}" if digest else "")


def _serials(statuses: Mapping[str, Json]) -> Iterator[str]:
    """Say which serial each server has come to, where they differ."""
    for zone in dict.fromkeys(zone for one in statuses.values() for zone in one["zones"]):
        serials = {
            url: one["zones"][zone]["serial"]
            for url, one in statuses.items()
            if zone in one["zones"] and one["zones"][zone]["serial"] is not None
        }
        if len(set(serials.values())) > 1:
            said = ", ".join(f"{statuses[url].get('node', url)} {serial}" for url, serial in serials.items())
            yield f"serials of {zone} (each server counts its own edits): {said}"


def _dealing(pool: Json) -> str:
    return f"from {_using(pool)}; live: {', '.join(pool['live']) or 'nobody'}"


def _differing(shown: Sequence[Json], say: Callable[[Json], str]) -> Iterator[Difference]:
    """Yield what servers do not say the same of; each of them shows things by their names."""
    for what in dict.fromkeys(what for things in shown for what in things):
        says = tuple(say(things[what]) if what in things else MISSING for things in shown)
        if len(set(says)) > 1:
            yield Difference(what, says)


def _differing_shares(shown: Sequence[Json]) -> Iterator[Difference]:
    """Yield the pools of which all servers deal the same hosts, in other parts."""
    for what in dict.fromkeys(what for pools in shown for what in pools):
        known = [pools[what] for pools in shown if what in pools]
        if len(known) < len(shown) or len(set(map(_dealing, known))) > 1:
            continue  # that is a difference already, and other shares follow from it
        for family in ("A", "AAAA"):
            shares = [pool["families"][family]["share"] for pool in known]
            hosts = [
                host
                for host in dict.fromkeys(host for one in shares for host in one)
                if all(host in one for one in shares)
                and max(one[host] for one in shares) - min(one[host] for one in shares) > NEAR
            ]
            if hosts:
                says = tuple(", ".join(f"{host} {one[host]:.1%}" for host in hosts[:8]) for one in shares)
                yield Difference(f"{family} shares of {what}", says)
