"""What commands print of an order: how the hosts are now, who deals them, and the shares before and after."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from geodns.commands.words import host_of
from geodns.shown import Json

FEW = 8
"""So many hosts of a pool are named in a line."""


class Told(NamedTuple):
    """What to print.

    Attributes:
        parts: lines and tables for the standard output.
        problems: lines for the standard error: what is not as it was ordered.

    """

    parts: list[RenderableType]
    problems: list[str]


def tell(answer: Json) -> Told:
    """Return what to print of an answer to an order."""
    notes = [f"note: {line}" for line in answer["notes"]]
    left = [f"not done: {line}" for line in answer["left"]]
    if answer["dry_run"]:
        return Told([*_tried(answer), *notes], left)
    pending = []
    if answer["pending"]:
        pending = [f"still pending: {', '.join(answer['pending'])} (it may deal the host a moment longer)"]
    return Told([*_hosts(answer), *_pools(answer["pools"]), *notes], [*left, *pending])


def _tried(answer: Json) -> Iterator[RenderableType]:
    count = sum(len(hosts) for hosts in answer["hosts"].values())
    names = [f"{host}.{zone}" for zone, hosts in answer["hosts"].items() for host in hosts]
    if count:
        yield f"nothing was changed; this would be for {_some(names)}"
    if answer["confirm"]:
        yield f"it would ask first: {answer['confirm']}"
    if answer["pools"]:
        yield shares_table(answer["pools"])
    else:
        yield "no pool would deal otherwise"


def shares_table(pools: Json) -> RenderableType:
    """Return the shares before and after as a table; of hosts whose shares change."""
    table = Table(box=None, pad_edge=False)
    for column in ("pool", "host", "before", "after"):
        table.add_column(
            column, justify="right" if column in {"before", "after"} else "left", overflow="fold"
        )
    for zone, some in pools.items():
        for pool, change in some.items():
            before, after = change["before"], change["after"]
            table.add_row(f"{pool} of {zone}", "", _dealing(before), _dealing(after), style="bold")
            for family in ("A", "AAAA"):
                old, new = before["shares"][family], after["shares"][family]
                for host in dict.fromkeys([*old, *new]):
                    if old.get(host) != new.get(host):
                        table.add_row(f"  {family}", Text(host), _share(old.get(host)), _share(new.get(host)))
    return table


def _dealing(pool: Json) -> str:
    return _resort(pool) or ", ".join(pool["using"])


def _resort(pool: Json) -> str | None:
    if pool["last_resort"] == "servfail":
        return "SERVFAIL"
    return None if pool["last_resort"] is None else f"last resort: {pool['last_resort']}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _hosts(answer: Json) -> Iterator[str]:
    for zone, hosts in answer["hosts"].items():
        for name, host in hosts.items():
            yield f"{name}.{zone}: {host_of(host)}, {_where(answer, zone, name)}"


def _where(answer: Json, zone: str, name: str) -> str:
    """Say which pools deal a host now, and for how long caches may have what was dealt before."""
    pools = answer["dealt_by"][zone][name]
    cached = f"caches may hold it for {answer['cached_s'][zone][name]} s"
    if not pools:
        return f"dealt no more; {cached}"
    changes = answer["pools"].get(zone, {})
    shares = [
        (f"{pool} " if len(pools) > 1 else "") + f"{family} {_share(old)} → {_share(new)}"
        for pool in pools
        if pool in changes
        for family in ("A", "AAAA")
        for old, new in [[changes[pool][when]["shares"][family].get(name) for when in ("before", "after")]]
        if old != new
    ]
    return f"dealt by {', '.join(pools)}" + (f" ({', '.join(shares)})" if shares else "")


def _pools(pools: Json) -> Iterator[str]:
    for zone, some in pools.items():
        for pool, change in some.items():
            after = change["after"]
            shares = after["shares"]["A"] or after["shares"]["AAAA"]
            parts = _some([f"{host} {_share(share)}" for host, share in shares.items()])
            others = f"from {', '.join(after['using'])}: " if after["using"] != [pool] else ""
            resort = _resort(after)
            yield f"pool {pool} of {zone} now deals {parts and others + parts}" + (
                f" ({resort})" if parts and resort else resort or ""
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
