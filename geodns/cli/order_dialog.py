"""Giving an order to every server: tried first, confirmed where it is dangerous, given, reported."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from geodns.cli.client import HttpReply, Json, Server, UnreachableError
from geodns.cli.options import author_option, server_option, token_option
from geodns.cli.order_courier import Answers, Courier
from geodns.cli.output import WIDE, show
from geodns.cli.status_words import host_of
from geodns.config.report import first_and_count
from geodns.errors import GeodnsError
from geodns.wire.codes import FAMILY_NAMES

UNKEPT = 4
"""Exit status of an order that is in force, but that a restart of the server would forget."""
FEW = 8
"""Hosts of a pool that are named in a line."""


class OrderReport(NamedTuple):
    """The report of an answer: lines and tables for the standard output, problems for the standard error.

    `kept` tells whether what was ordered is on the server's disk.
    """

    parts: list[RenderableType]
    problems: list[str]
    kept: bool = True


Describe = Callable[[Json], OrderReport]


def order_options(command: Any) -> Any:
    """Add the options of every command that changes hosts: who asks, how to ask, and which servers."""
    options = (
        author_option,
        click.option("--dry-run", is_flag=True, help="Change nothing; print the shares before and after."),
        click.option("--yes", is_flag=True, help="Do not ask, even if much of a pool would be out."),
        click.option("--json", "as_json", is_flag=True, help="Print what each server answers, by its URL."),
        server_option,
        token_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def give(
    servers: Server,
    path: str,
    body: Json,
    *,
    describe: Describe,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    in_query: bool = False,
    then: Callable[[Answers], None] | None = None,
) -> Answers:
    """Give an order to every server, or to one where they share orders, and print what has become of it.

    Args:
        servers: whom to give it to.
        path: of the order.
        body: of the order.
        describe: returns what to print of an answer.
        dry_run: only work out what the order would do.
        yes: do not ask, even if a pool is left without a live host.
        as_json: print the answers as they are.
        in_query: send `dry_run` and `yes` in the query, not in the body.
        then: called when it has been given; not for a dry run.

    Returns:
        What each server answered; where one is not as ordered, the command has ended with status 1, and where
        one could not write the order down, with status 4.

    """
    courier = Courier(servers, path, body, in_query=in_query)
    answers: Answers = {}
    if dry_run or not yes:
        answers = courier.try_all()
        if not dry_run:
            yes = _confirmed(answers)
    if not dry_run:
        answers = courier.give(answers, yes=yes)
    kept = _show(answers, dry_run=dry_run, as_json=as_json, describe=describe)
    if then is not None and not dry_run:
        then(answers)
    if not kept:
        raise click.exceptions.Exit(UNKEPT)
    return answers


# --- asking ---------------------------------------------------------------------------------------------


def _confirmed(answers: Answers) -> bool:
    """Ask whether a pool may be left without a live host; the command ends where nobody says yes."""
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
        show(_shares_table(pools), err=True)
    if not _on_terminal():
        raise GeodnsError("nothing was changed: --yes goes on without asking")
    if not click.confirm("Go on?", err=True):
        raise GeodnsError("nothing was changed")
    return True


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


# --- reporting ------------------------------------------------------------------------------------------


class _Printed(NamedTuple):
    out: str
    err: str


def _show(answers: Answers, *, dry_run: bool, as_json: bool, describe: Describe) -> bool:
    """Print what servers answered; return whether all keep it, or end with status 1: one is not as told."""
    missed = {url: answer for url, answer in answers.items() if isinstance(answer, GeodnsError)}
    if len(missed) == len(answers) and len(set(map(str, missed.values()))) == 1 and not as_json:
        raise next(iter(missed.values()))
    reports = {url: describe(answer.body) for url, answer in answers.items() if isinstance(answer, HttpReply)}
    if as_json:
        shown = {
            url: answer.body if isinstance(answer, HttpReply) else {"error": str(answer)}
            for url, answer in answers.items()
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        _print({url: _report(reports[url]) if url in reports else _miss(url, missed[url]) for url in answers})
    if missed or not (dry_run or all(not report.problems for report in reports.values())):
        raise click.exceptions.Exit(1)
    return all(report.kept for report in reports.values())


def _print(printed: Mapping[str, _Printed]) -> None:
    """Print the report of each server; of those that say the same, once."""
    together: dict[_Printed, list[str]] = {}
    for url, one in printed.items():
        together.setdefault(one, []).append(url)
    for one, urls in together.items():
        if len(printed) > 1:
            click.echo(f"{', '.join(urls)}:")
        click.echo(one.out, nl=False)
        click.echo(one.err, nl=False, err=True)


def _report(report: OrderReport) -> _Printed:
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(width=WIDE, markup=False, emoji=False)
    with console.capture() as captured:
        for part in report.parts:
            if isinstance(part, str):
                console.out(part, highlight=False)
            else:
                console.print(part)
    return _Printed(captured.get(), "".join(f"{line}\n" for line in report.problems))


def _miss(url: str, error: GeodnsError) -> _Printed:
    again = f"once it can be reached, run this again with --server {url}"
    what = again if isinstance(error, UnreachableError) else "it has not taken the order"
    return _Printed("", f"missed: {error}\n{what}\n")


# --- the answer to an order in words --------------------------------------------------------------------


def describe_order(answer: Json) -> OrderReport:
    """Say what an order has changed, or would change."""
    notes = [f"note: {line}" for line in answer["notes"]]
    left = [f"not done: {line}" for line in answer["left"]]
    if answer["dry_run"]:
        return OrderReport([*_tried(answer), *notes], left)
    pending = []
    if answer["pending"]:
        pending = [f"still pending: {', '.join(answer['pending'])} (it may deal the host a moment longer)"]
    if answer.get("peers"):
        peers = ", ".join(answer["peers"])
        pending.append(f"not yet confirmed by {peers}: it takes the order as soon as it can be reached")
    parts: list[RenderableType] = [*_hosts(answer), *_pools(answer["pools"]), *notes]
    return OrderReport(parts, [*left, *pending], answer.get("kept", True))


def _tried(answer: Json) -> Iterator[RenderableType]:
    names = [f"{host}.{zone}" for zone, hosts in answer["hosts"].items() for host in hosts]
    if names:
        yield f"nothing was changed; this would be for {first_and_count(names, FEW)}"
    if answer["confirm"]:
        yield f"it would ask first: {answer['confirm']}"
    if answer["pools"]:
        yield _shares_table(answer["pools"])
    else:
        yield "no pool would deal otherwise"


def _shares_table(pools: Json) -> Table:
    """Tabulate the shares before and after, of hosts whose shares change."""
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
    """Return the last resort in words, with its family where that of the other is not the same."""
    if pool["last_resort"] is None:
        return None
    resorts = pool.get("last_resorts", {})  # an old server does not say
    # A family that nobody has is in no trouble.
    dealt = {family: one for family, one in resorts.items() if one or pool["shares"][family]}
    if len(set(dealt.values())) < 2:
        return _resort_word(pool["last_resort"])
    return ", ".join(f"{FAMILY_NAMES[family]} {_resort_word(one)}" for family, one in dealt.items() if one)


def _resort_word(resort: str) -> str:
    return "SERVFAIL" if resort == "servfail" else f"last resort: {resort}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _hosts(answer: Json) -> Iterator[str]:
    for zone, hosts in answer["hosts"].items():
        for name, host in hosts.items():
            yield f"{name}.{zone}: {host_of(host)}, {_where(answer, zone, name)}"


def _where(answer: Json, zone: str, name: str) -> str:
    """Say which pools deal a host now; where none does, for how long caches may have it."""
    pools = answer["dealt_by"][zone][name]
    if not pools:
        return f"dealt no more; caches may hold it for {answer['cached_s'][zone][name]} s"
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


def _parts(by_family: Json) -> str:
    """Return who is dealt; each family by itself where they differ."""
    dealt = {family: shares for family, shares in by_family.items() if shares}
    alike = len({tuple(shares.items()) for shares in dealt.values()}) < 2
    texts = {
        family: first_and_count([f"{host} {_share(share)}" for host, share in shares.items()], FEW)
        for family, shares in dealt.items()
    }
    if alike:
        return next(iter(texts.values()), "")
    return "; ".join(f"{FAMILY_NAMES[family]} {text}" for family, text in texts.items())


def _pools(pools: Json) -> Iterator[str]:
    for zone, some in pools.items():
        for pool, change in some.items():
            after = change["after"]
            parts = _parts(after["shares"])
            others = f"from {', '.join(after['using'])}: " if after["using"] != [pool] else ""
            resort = _resort(after)
            yield f"pool {pool} of {zone} now deals {parts and others + parts}" + (
                f" ({resort})" if parts and resort else resort or ""
            )
