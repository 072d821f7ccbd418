"""``geodns explain``: why a name is answered as it is, host by host."""

import json

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from geodns.cli.client import Json, Server
from geodns.cli.explain_clients import by_client
from geodns.cli.options import server_option, token_option
from geodns.cli.output import show

_NUMBERS = frozenset({"weight", "first picks", "uniform picks"})


@click.command()
@click.argument("name")
@click.argument("rtype", metavar="[TYPE]", default="A")
@click.option("--client", metavar="IP", help="As if this resolver asked.")
@click.option("--ecs", metavar="NET", help="As if it asked for this network (RFC 7871).")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the server gives.")
@server_option
@token_option
def explain(
    name: str,
    rtype: str,
    client: str | None,
    ecs: str | None,
    *,
    as_json: bool,
    server: str,
    token: str | None,
) -> None:
    """Say why NAME (type A unless TYPE says otherwise) is answered as it is.

    The first thing to run when someone asks "why does mta2 get no mail?": which pool and fallback apply, what
    every host's state, weight and part are and why, how many hosts an answer names, why the TTL is what it
    is, what one cached answer can do, and the next three answers. Where the answer depends on the client:
    with --client or --ecs who counts as the client, which rule applies and why, without them all views.
    """
    asked = {"name": name, "type": rtype.upper()}
    asked |= {key: value for key, value in (("client", client), ("ecs", ecs)) if value is not None}
    shown = Server(server, token).get("/api/v1/explain", **asked)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        show(render(shown))


def render(shown: Json) -> RenderableType:
    """Return the API's explanation as text and tables."""
    head = Text(f"{shown['name']} {shown['type']}", style="bold")
    parts: list[RenderableType] = [
        head + Text(f"  zone {shown['zone']}, serial {shown['serial']}", style="dim")
    ]
    if shown.get("by_client"):  # a server of an earlier version does not say
        parts += by_client(shown["by_client"])
    if not shown["tiers"]:
        parts.append(Text(unpooled(shown)))
    for tier in shown["tiers"]:
        parts += _tier(tier, shown["type"])
    if shown["next"]:
        parts.append(Text("\nthe next answers (every worker is at a place of its own in the cycle):"))
    parts += [Text(f"  {_answer(answer)}") for answer in shown["next"]]
    return Group(*parts)


def unpooled(shown: Json) -> str:
    """Say why no pool is behind a name, and which names may have been meant."""
    # A server of an earlier version does not say why.
    why: str = shown.get("no_pool") or "no pool is behind it"
    near = shown.get("near")
    return f"{why}: did you mean {' or '.join(near)}?" if near else why


def _tier(tier: Json, rtype: str) -> list[RenderableType]:
    word = {"MX": "preference", "SRV": "priority"}.get(rtype)
    preference = f" at {word} {tier['preference']}" if word else ""
    using = " and ".join(tier["using"]) or "nobody"
    resort = f", last resort: {tier['last_resort']}" if tier["last_resort"] else ""
    parts: list[RenderableType] = [Text(f"\npool {tier['pool']}{preference}: dealt from {using}{resort}")]
    parts += [Text(f"  {_link(link)}") for link in tier["chain"]]
    parts.append(Text(f"  TTL {tier['ttl']} s: {tier['ttl_why']}"))
    if tier["sizes"]:
        sizes = ", ".join(f"{part:.1%} name {_hosts(int(size))}" for size, part in tier["sizes"].items())
        of = "buckets of clients" if tier["pick"] == "client" else "answers in a cycle"
        parts.append(Text(f"  of {tier['cycle']} {of} {sizes}"))
        ttl, worst = tier["burst"]["seconds"], max(tier["burst"]["uniform"].values())
        parts.append(
            Text(
                f"  one cached answer: for {ttl} s all that its clients send may go to one "
                f"host; of clients that pick by chance at most {worst:.0%}"
            )
        )
    return [*parts, _members(tier["members"])]


def _hosts(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"


def _link(link: Json) -> str:
    of = f"{link['live']} of {_hosts(link['hosts'])} live, {link['live_weight']:.0%} of its weight"
    live = f"pool {link['pool']}: {of}"
    if link["fallback"] is None:
        return live
    how = "joins" if link["fallback_mode"] == "add" else "takes over"
    return f"{live}; below min_live {link['min_live']} pool {link['fallback']} {how}"


def _members(members: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("host", "state", "weight", "first picks", "uniform picks", "why"):
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for name, member in members.items():
        state = member["state"] + (f" ({member['forced']})" if member["forced"] else "")
        lowered = member["effective_weight"] != member["weight"]
        weight = f"{member['effective_weight']:g}" + (f" of {member['weight']}" if lowered else "")
        parts = (f"{member[kind]:.1%}" for kind in ("first", "uniform"))
        table.add_row(name, state, weight, *parts, member["why"])
    return table


def _answer(answer: Json) -> str:
    if not answer["data"]:
        return answer["rcode"] if answer["rcode"] != "NOERROR" else "no records of that type (NODATA)"
    hosts = f"  ({', '.join(dict.fromkeys(answer['hosts']))})" if answer["hosts"] else ""
    return f"{', '.join(answer['data'])}  TTL {answer['ttl']}{hosts}"
