"""``geodns status``: what a running server deals and why, as a table."""

import json
import time

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from geodns.commands.client import Server, server_option, token_option
from geodns.errors import ServerError
from geodns.status import Json

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

    Exit status 1 when the server cannot answer or has warnings.
    """
    source = Server(server, token)
    if watch:
        _watch(source, interval, as_json=as_json)
        return
    shown = source.get("/status")
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        Console().print(render(shown))
    if not shown["ready"] or shown["warnings"]:
        raise click.exceptions.Exit(1)


def _watch(source: Server, interval: float, *, as_json: bool) -> None:
    if as_json:
        while True:
            click.echo(json.dumps(source.get("/status"), ensure_ascii=False))
            time.sleep(interval)
    with Live(Text("asking…"), auto_refresh=False) as live:
        while True:
            try:
                live.update(render(source.get("/status")), refresh=True)
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
        state = Text(host["state"], style=_COLOURS.get(host["state"], ""))
        if host["forced"]:
            state += Text(f" ({host['forced']})", style="magenta")
        factors = " ".join(f"{factor} {value:g}" for factor, value in host["factors"].items())
        weight = f"{host['effective_weight']:g}" + (f" of {host['weight']}: {factors}" if factors else "")
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
