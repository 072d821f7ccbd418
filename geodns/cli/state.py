"""``geodns export-state`` and ``geodns import-state``: overrides, taken elsewhere."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.order_dialog import OrderReport, describe_order, give, order_options
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
    """Write every override of a running server to FILE, or print them.

    Who gave each, why, since and until when is in it; `import-state` takes it up again, here or elsewhere.
    """
    shown = Server(server, token).get(PATH)
    for key in ("geodns_state", "forced", "weights"):  # whoever needs the file needs them
        shown[key]
    text = json.dumps(shown, indent=2, ensure_ascii=False)
    if file is None or str(file) == "-":
        click.echo(text)
        return
    try:
        file.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise GeodnsError(f"{file} cannot be written: {error.strerror}") from error


@click.command("import-state")
@_file
@order_options
def import_state(
    file: Path | None, *, author: str | None, server: str, token: str | None, **dialog: bool
) -> None:
    """Take up all overrides that `export-state` wrote to FILE, or gives on the standard input, or none.

    Overrides of other hosts stay. Entries whose time is over are left out; hosts that a server does
    not have are named, and make the exit status 1.
    """
    servers = Server(server, token, author)
    give(servers, PATH, _read(file), describe=_describe_import, in_query=True, then=None, **dialog)


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


def _describe_import(answer: Json) -> OrderReport:
    order = describe_order(answer)
    forced = [f"override: {line}" for line in answer["imposed"]] if answer["dry_run"] else []
    expired = [f"left out: {line}" for line in answer["expired"]]
    if not (answer["imposed"] or expired or answer["unknown"]):
        return OrderReport(["it has no overrides"], [])
    parts = order.parts if answer["imposed"] else []
    unknown = [f"left out: {line}" for line in answer["unknown"]]
    return OrderReport([*forced, *parts, *expired], [*unknown, *order.problems], order.kept)
