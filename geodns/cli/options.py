"""The options that say which servers a command talks to, with which token, and who asks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from geodns.cli.reach import ServerList

DEFAULT_SERVER = "http://127.0.0.1:8053"
DEFAULT_FILE = Path("geodns.yaml")
_CONFIG = "geodns.config"
_SERVER_LIST = "geodns.server_list"


def number(low: float, high: float, *, whole: bool = False, hint: str = "") -> Callable[[str], float]:
    """Return the type of a number, which is refused in the words that zone files are refused in."""
    write = f"write {low} to {high}"

    def read(text: str) -> float:
        try:
            found = int(text) if whole else float(text)
        except ValueError as error:
            more = f" ({hint})" if hint else ""
            raise click.BadParameter(
                f"{text!r} is no {'whole ' if whole else ''}number: {write}{more}"
            ) from error
        if not low <= found <= high:
            raise click.BadParameter(f"{text} is out of range: {write}")
        return found

    return read


def _note_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_CONFIG] = value


def config_of(context: click.Context) -> Path | None:
    """Return the file of settings that a command reads; None: there is none."""
    given: Path | None = context.meta.get(_CONFIG)
    return given or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)


def _server_list(context: click.Context) -> "ServerList | None":
    """Read geodns.yaml for a command, once something of it is needed."""
    if _SERVER_LIST not in context.meta:
        path = config_of(context)
        context.meta[_SERVER_LIST] = None if path is None else _read(path)
    found: ServerList | None = context.meta[_SERVER_LIST]
    return found


def _read(path: Path) -> "ServerList":
    # YAML and the types of its values take as long to load as all the rest of a command.
    from geodns.cli.reach import read_server_list  # noqa: PLC0415 - see above

    return read_server_list(path)


def _servers(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> str:
    if value:
        return ",".join(value)
    found = _server_list(context)
    return ",".join((found and found.servers) or (DEFAULT_SERVER,))


def _token(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value:
        return value
    found = _server_list(context)
    return None if found is None or found.token is None else found.token.get_secret_value()


def why_no_token() -> str | None:
    """Say why the settings of the running command gave no token although they name one."""
    context = click.get_current_context(silent=True)
    found: ServerList | None = None if context is None else context.meta.get(_SERVER_LIST)
    return None if found is None else found.trouble


def server_option(command: Any) -> Any:
    """Add the options that say which servers are meant; the command gets them as one text, with commas."""
    command = click.option(
        "--server",
        envvar="GEODNS_SERVER",
        multiple=True,
        callback=_servers,
        metavar="URL",
        help="The HTTP side of the running server; several with commas, or the option again "
        f"[`servers` or `http` of geodns.yaml, or {DEFAULT_SERVER}].",
    )(command)
    return _config_option("The settings that say where the servers are")(command)


def _config_option(what: str) -> Callable[[Any], Any]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_note_config,
        help=f"{what} [./geodns.yaml if there].",
    )


config_option = _config_option("The settings")
token_option = click.option(
    "--token",
    envvar="GEODNS_TOKEN",
    metavar="TOKEN",
    callback=_token,
    help="What the server asks for [`token` or `token_file` of geodns.yaml].",
)
author_option = click.option(
    "--author", metavar="NAME", help="Who orders it; shown in the status and the events [the user's name]."
)
