"""``geodns export-state`` and ``geodns import-state``: what is imposed on hosts, taken elsewhere."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from geodns.cli.client import Json, Server, author_option, server_option, token_option
from geodns.cli.order_dialog import OrderReport, dry_run_option, give, json_option, tell, yes_option
from geodns.errors import GeodnsError, UsageError

PATH = "/api/v1/state"

_file = click.argument(
    "file", required=False, metavar="[FILE]", type=click.Path(dir_okay=False, path_type=Path)
)


@click.command("export-state")
@_file
@server_option
@token_option
def export_state(file: Path | None, server: str, token: str | None) -> None:
    """Write every forced state and weight of a running server to FILE, or print them.

    Who imposed what, why, since and until when is in it; `import-state` takes it up again, here or elsewhere.
    """
    text = json.dumps(Server(server, token).get(PATH), indent=2, ensure_ascii=False)
    if file is None or str(file) == "-":
        click.echo(text)
        return
    try:
        file.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise GeodnsError(f"{file} cannot be written: {error.strerror}") from error


@click.command("import-state")
@_file
@author_option
@dry_run_option
@yes_option
@json_option
@server_option
@token_option
def import_state(
    file: Path | None,
    *,
    author: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    server: str,
    token: str | None,
) -> None:
    """Impose what `export-state` wrote to FILE, or gives on the standard input: all of it, or nothing.

    What is imposed on other hosts stays. Entries whose time is over are left out; hosts that a server does
    not have are named, and make the exit status 1.
    """
    give(
        Server(server, token, author),
        PATH,
        _read(file),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
        tell=_tell,
        in_query=True,
    )


def _read(file: Path | None) -> Json:
    name = str(file or "the input")
    try:
        text = sys.stdin.read() if file is None or str(file) == "-" else file.read_text("utf-8")
    except OSError as error:
        raise GeodnsError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GeodnsError(f"{name} is no text: give what export-state wrote") from error
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON ({error}): give what export-state wrote") from error
    if not isinstance(body, dict):
        raise UsageError(f"{name} is no state of geodns: give what export-state wrote")
    return body


def _tell(answer: Json) -> OrderReport:
    told = tell(answer)
    imposed = [f"imposed: {line}" for line in answer["imposed"]] if answer["dry_run"] else []
    expired = [f"left out: {line}" for line in answer["expired"]]
    if not (answer["imposed"] or expired or answer["unknown"]):
        return OrderReport(["nothing is imposed in it"], [])
    parts = told.parts if answer["imposed"] else []
    unknown = [f"left out: {line}" for line in answer["unknown"]]
    return OrderReport([*imposed, *parts, *expired], [*unknown, *told.problems])
