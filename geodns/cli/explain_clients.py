"""The part of an explanation about the client, as text and tables."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from geodns.cli.client import Json


def by_client(shown: Json) -> list[RenderableType]:
    """Return how an answer depends on the client: who counts, the rules, its arm and hosts, the views."""
    client = shown["client"]
    if client is None:
        first = "\nit depends on the client: name one with --client or --ecs to see whose rule applies"
    else:
        holds = f"; the answer holds for /{client['scope']} of it" if client["scope"] else ""
        first = f"\nclient {client['network']}: {client['why']}{holds}"
    parts: list[RenderableType] = [Text(first)]
    if shown["rules"]:
        parts.append(_rules(shown["rules"]))
        parts += [Text(text, style="yellow") for text in _hidden(shown["rules"])]
    arm = shown["experiment"]
    if arm is not None:
        parts.append(Text(f"experiment {arm['experiment']} by {arm['by']}: arm {arm['arm']} ({arm['why']})"))
    parts += [
        Text(f"pool {one['pool']} picks by client: bucket {one['bucket']}, {' then '.join(one['hosts'])}")
        for one in shown["affinity"]
    ]
    parts.append(_views(shown["views"]))
    parts.append(Text(f"compiled for {shown['compiled']}", style="dim"))
    return parts


def _rules(rules: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False)
    tiers = any("preference" in one for one in rules)
    for column in ("", "rule", *(("at",) if tiers else ()), "when", "pool", "why"):
        table.add_column(column, overflow="fold")
    for one in rules:
        cells = (
            "→" if one["applies"] else "",
            str(one["rule"]),
            *((str(one.get("preference", "")),) if tiers else ()),
            one["when"] or "all others",
            one["pool"],
            one["why"],
        )
        table.add_row(*map(Text, cells), style="bold" if one["applies"] else "")
    return table


def _hidden(rules: list[Json]) -> list[str]:
    return [
        f"warning: rule {one['rule']} never matches: all of its clients meet rule "
        f"{' or '.join(map(str, one['hidden_by']))} before it: put it before, or take it out"
        for one in rules
        if one["hidden_by"]
    ]


def _views(views: list[Json]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("", "rules", "arm", "share", "pools and first picks"):
        table.add_column(column, overflow="fold")
    for view in views:
        mark = "→" if view["applies"] else ""
        rules = ", ".join(map(str, view["rules"])) or "all"
        for deal in view["deals"]:
            arm = (deal["arm"] or "") + (" (nobody live: the first arm's)" if deal["failover"] else "")
            table.add_row(*map(Text, (mark, rules, arm, f"{deal['share']:.0%}", _pools(deal["pools"]))))
    return table


def _pools(pools: Json) -> str:
    if not pools:
        return "nobody: no address of that family"
    return "; ".join(
        f"{pool}: {', '.join(f'{host} {share:.1%}' for host, share in hosts.items())}"
        for pool, hosts in pools.items()
    )
