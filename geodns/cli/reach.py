"""The running servers and the token for them, as ``geodns.yaml`` names them to commands.

Nothing else of the file is looked at: an error in the rest must not keep an operator from an order.
"""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from geodns.config import yaml_nodes
from geodns.config.report import Report
from geodns.config.server_keys import KEYS, Listen
from geodns.config.tokens import Token, parse_tokens
from geodns.config.yaml_nodes import YamlNode
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
    try:
        text = config.read_bytes()
    except OSError as error:
        report.error(None, f"cannot be read ({error.strerror})", "give another file with --config")
        raise SettingsError(str(report.problems()[0])) from error
    root = None if yaml_nodes.says_nothing(text) else yaml_nodes.load(text, report)
    if root is None:
        _refuse(report)
        return ServerList()
    found: dict[str, Any] = {key: value for key in _WANTED if (value := _read(key, root, report)) is not None}
    _refuse(report)
    servers = found.get("servers") or _own(found.get("http"), encrypted="http_tls" in found)
    tokens: tuple[Token, ...] = found.get("token", ())
    trouble = None
    if not tokens and "token_file" in found:
        path = config.parent / found["token_file"]
        try:
            tokens = parse_tokens(path.read_text("utf-8"), "control")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            trouble = f"no token from {path}: it cannot be read ({why})"
        except ValueError as error:
            trouble = f"no token from {path}: {error}"
    return ServerList(servers, tokens[0].secret if tokens else None, trouble)


def _refuse(report: Report) -> None:
    errors = [str(problem) for problem in report.problems() if not problem.warning]
    if errors:
        raise SettingsError("\n".join(errors))


def _read(key: str, root: yaml_nodes.Mapping, report: Report) -> object:
    node: YamlNode | None = root.get(key)
    return None if node is None else KEYS[key].kind.read(node, report)


def _own(http: object, *, encrypted: bool) -> tuple[str, ...]:
    """Return the URL of the server that the file itself configures, where it gives its port."""
    if not isinstance(http, Listen) or not http.port:
        return ()
    scheme = "https" if encrypted else "http"
    return (f"{scheme}://{Listen(_ANY.get(http.host, http.host), http.port)}",)
