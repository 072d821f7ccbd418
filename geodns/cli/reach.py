"""The running servers and the token for them, as ``geodns.yaml`` names them to commands.

Nothing else of the file is looked at: an error in the rest must not keep an operator from an order.
"""

from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from geodns.config import yaml_nodes
from geodns.config.keys import read_keys
from geodns.config.report import Report
from geodns.config.server_keys import Listen
from geodns.config.settings import KEYS, read_file
from geodns.config.tokens import Token, read_tokens
from geodns.errors import SettingsError

_WANTED = ("servers", "http", "http_tls", "token", "token_file")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nobody listens here
"""The address at which to ask a server that listens everywhere."""


class ServerList(NamedTuple):
    """The servers' URLs, none where the file does not say; `trouble` is why a token is missing."""

    servers: tuple[str, ...] = ()
    token: SecretStr | None = None
    trouble: str | None = None


def read_server_list(config: Path) -> ServerList:
    """Read the servers and the token from the settings; paths in the file are relative to its directory.

    Raises:
        SettingsError: it cannot be read, or what it says of the servers is wrong; one problem a line.

    """
    report = Report(str(config))
    root = read_file(config, report)
    wanted = {} if root is None else {key: entry for key, entry in root.items.items() if key in _WANTED}
    found = read_keys(yaml_nodes.Mapping(1, 1, wanted), report, KEYS, "the settings")
    _refuse(report)
    servers = found.get("servers") or _own(found.get("http"), encrypted="http_tls" in found)
    tokens: tuple[Token, ...] = found.get("token", ())
    trouble = None
    if not tokens and "token_file" in found:
        path = config.parent / found["token_file"]
        try:
            tokens = read_tokens(path, "control")
        except OSError as error:
            trouble = f"no token from {path}: it cannot be read ({error.strerror})"
        except ValueError as error:
            trouble = f"no token from {path}: {error}"
    return ServerList(servers, tokens[0].secret if tokens else None, trouble)


def _refuse(report: Report) -> None:
    errors = [str(problem) for problem in report.problems() if not problem.warning]
    if errors:
        raise SettingsError("\n".join(errors))


def _own(http: object, *, encrypted: bool) -> tuple[str, ...]:
    """Return the URL of the server that the file itself configures, where it gives its port."""
    if not isinstance(http, Listen) or not http.port:
        return ()
    scheme = "https" if encrypted else "http"
    return (f"{scheme}://{Listen(_ANY.get(http.host, http.host), http.port)}",)
