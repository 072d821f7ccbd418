"""How an order is given to every server: tried first, asked for where it is dangerous, then reported."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import click
from rich.console import Console

from geodns.commands.client import Answer, Server, UnreachableError
from geodns.commands.ordered import Told, shares_table
from geodns.errors import GeodnsError
from geodns.shown import Json

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Change nothing; print the shares before and after."
)
yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask, even if a pool is left without a live host."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print what each server answers, by its URL."
)

Answers = Mapping[str, Answer | GeodnsError]
"""What servers say, or why they do not, by their URLs."""


def give(
    servers: Server,
    path: str,
    body: Json,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    tell: Callable[[Json], Told],
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
        if isinstance(answer, Answer) and (line := answer.body["confirm"]):
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


def _show(answers: Answers, *, dry_run: bool, as_json: bool, tell: Callable[[Json], Told]) -> None:
    """Print what servers have answered; end with status 1 if one is not as ordered."""
    missed = {url: answer for url, answer in answers.items() if isinstance(answer, GeodnsError)}
    if len(missed) == len(answers) and len(set(map(str, missed.values()))) == 1 and not as_json:
        raise next(iter(missed.values()))
    told = {url: tell(answer.body) for url, answer in answers.items() if isinstance(answer, Answer)}
    if as_json:
        shown = {
            url: answer.body if isinstance(answer, Answer) else {"error": str(answer)}
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


def _rendered(told: Told) -> _Rendered:
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
