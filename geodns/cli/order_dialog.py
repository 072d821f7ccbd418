"""How an order is given to every server: tried first, asked for where it is dangerous, then reported."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from geodns.cli.client import HttpReply, Json, Server, UnreachableError
from geodns.cli.status import host_of
from geodns.errors import GeodnsError

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Change nothing; print the shares before and after."
)
yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask, even if a pool is left without a live host."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print what each server answers, by its URL."
)

Answers = Mapping[str, HttpReply | GeodnsError]
"""What servers say, or why they do not, by their URLs."""


class OrderReport(NamedTuple):
    """What to print.

    Attributes:
        parts: lines and tables for the standard output.
        problems: lines for the standard error: what is not as it was ordered.

    """

    parts: list[RenderableType]
    problems: list[str]


def give(
    servers: Server,
    path: str,
    body: Json,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    tell: Callable[[Json], OrderReport],
    in_query: bool = False,
) -> Answers:
    """Give an order to every server, ask first where it is dangerous, and say what has become of it.

    Args:
        servers: whom to give it to.
        path: where.
        body: what.
        dry_run: only work out what would be.
        yes: do not ask.
        as_json: print what they answer.
        tell: returns what to print of an answer.
        in_query: whether `dry_run` and `yes` go there, and not into the body.

    Returns:
        What each server answered; where one is not as ordered, the command has ended.

    """

    def post(urls: list[str], **flags: bool) -> Answers:
        if not in_query:
            return servers.post_all(path, body | flags, urls)
        return servers.post_all(path, body, urls, **{name: "true" for name, on in flags.items() if on})

    answers: Answers = {}
    if dry_run or not yes:
        answers = post(list(servers.urls), dry_run=True)
        if not dry_run:
            yes = _confirmed(answers)
    if not dry_run:
        # Who could not even be asked what it would do is not tried again: that took long enough.
        urls = [url for url in servers.urls if not isinstance(answers.get(url), GeodnsError)]
        answers = {**answers, **post(urls, yes=yes)}
    _show(answers, dry_run=dry_run, as_json=as_json, tell=tell)
    return answers


def _confirmed(answers: Answers) -> bool:
    """Ask whether a pool may be left without a live host; end where nobody says yes."""
    dangers: dict[str, Json] = {}
    where: dict[str, list[str]] = {}
    for url, answer in answers.items():
        if isinstance(answer, HttpReply) and (line := answer.body["confirm"]):
            dangers[line] = answer.body["pools"]
            where.setdefault(line, []).append(url)
    if not dangers:
        return False
    for line, pools in dangers.items():
        click.echo(f"{', '.join(where[line])}: {line}" if len(answers) > 1 else line, err=True)
        Console(stderr=True).print(shares_table(pools))
    if not _on_terminal():
        raise GeodnsError("nothing was changed: --yes goes on without asking")
    if not click.confirm("Go on?", err=True):
        raise GeodnsError("nothing was changed")
    return True


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _show(answers: Answers, *, dry_run: bool, as_json: bool, tell: Callable[[Json], OrderReport]) -> None:
    """Print what servers have answered; end with status 1 if one is not as ordered."""
    missed = {url: answer for url, answer in answers.items() if isinstance(answer, GeodnsError)}
    if len(missed) == len(answers) and len(set(map(str, missed.values()))) == 1 and not as_json:
        raise next(iter(missed.values()))
    told = {url: tell(answer.body) for url, answer in answers.items() if isinstance(answer, HttpReply)}
    if as_json:
        shown = {
            url: answer.body if isinstance(answer, HttpReply) else {"error": str(answer)}
            for url, answer in answers.items()
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        _print({url: _rendered(told[url]) if url in told else _miss(url, missed[url]) for url in answers})
    if missed or not (dry_run or all(not one.problems for one in told.values())):
        raise click.exceptions.Exit(1)


class _Rendered(NamedTuple):
    """What is printed for a server: on the standard output, and on the standard error."""

    out: str
    err: str


def _print(rendered: Mapping[str, _Rendered]) -> None:
    """Print what there is of each server; of those that say the same, once."""
    together: dict[_Rendered, list[str]] = {}
    for url, one in rendered.items():
        together.setdefault(one, []).append(url)
    for one, urls in together.items():
        if len(rendered) > 1:
            click.echo(f"{', '.join(urls)}:")
        click.echo(one.out, nl=False)
        click.echo(one.err, nl=False, err=True)


def _rendered(told: OrderReport) -> _Rendered:
    console = Console()
    with console.capture() as captured:
        for part in told.parts:
            if isinstance(part, str):
                console.out(part, highlight=False)
            else:
                console.print(part)
    return _Rendered(captured.get(), "".join(f"{line}\n" for line in told.problems))


def _miss(url: str, error: GeodnsError) -> _Rendered:
    again = f"once it can be reached, run this again with --server {url}"
    what = again if isinstance(error, UnreachableError) else "it has not taken the order"
    return _Rendered("", f"missed: {error}\n{what}\n")


FEW = 8
"""So many hosts of a pool are named in a line."""


def tell(answer: Json) -> OrderReport:
    """Return what to print of an answer to an order."""
    notes = [f"note: {line}" for line in answer["notes"]]
    left = [f"not done: {line}" for line in answer["left"]]
    if answer["dry_run"]:
        return OrderReport([*_tried(answer), *notes], left)
    pending = []
    if answer["pending"]:
        pending = [f"still pending: {', '.join(answer['pending'])} (it may deal the host a moment longer)"]
    return OrderReport([*_hosts(answer), *_pools(answer["pools"]), *notes], [*left, *pending])


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
