"""Reads the setting ``routes_listen``: where MTAs ask for routes."""

import os
import re
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.server_keys import Listen
from geodns.config.value_types import ValueType, items_of, one_or_more, text_of
from geodns.config.yaml_nodes import YamlNode
from geodns.errors import BadNameError
from geodns.model.base import Frozen
from geodns.wire.idn import to_ascii
from geodns.wire.names import USUAL

MAX_LISTENERS = 64
MAX_UNIX_PATH = 107
"""Bytes of a UNIX socket's path (sun_path of unix(7), without its zero byte)."""

_UNIX = "unix:"
_HOW = "write 127.0.0.1:5310 or unix:/run/geodns/routes.sock"
_MODE = re.compile("0?[0-7]{3}")
_MODE_HOW = 'write three digits of 0 to 7, as "0660"'
_OWNER = 0o600


class RoutesListen(Frozen):
    """Where MTAs ask for routes, and what their questions are about."""

    listen: Listen | Path = Field(description="An address and a port, or unix: and the path of a socket.")
    zone: str | None = Field(
        default=None, description="The zone whose rules answer here; the only one with `routes` unless given."
    )
    self_host: str | None = Field(
        default=None, description="The host of that zone that asks here: it is never told to send to itself."
    )
    mode: int = Field(default=0o660, description="Who may use a UNIX socket.")

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        return isinstance(self.listen, Path) or ip_address(self.listen.host).is_loopback

    def __str__(self) -> str:
        return f"{_UNIX}{self.listen}" if isinstance(self.listen, Path) else str(self.listen)


def _read_where(node: YamlNode, report: Report) -> Listen | Path | None:
    text = text_of(node, report, "where to listen", _HOW)
    if text is None:
        return None
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.isprintable() or path.endswith("/") or path in {"", ".", ".."}:
            report.error(node, f"{quoted(path)} is no path of a socket", _HOW)
            return None
        return Path(path)
    if "/" in text:
        report.error(node, f"{quoted(text)} is no address and port", f"write {_UNIX}{text[:60]}")
        return None
    try:
        return Listen.parse(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


def _read_zone(node: YamlNode, report: Report) -> str | None:
    instead = "write a zone's name, as out.example.com"
    text = text_of(node, report, "a zone's name", instead)
    if text is None:
        return None
    try:
        name = to_ascii(text).lower().removesuffix(".")
    except BadNameError:
        name = ""
    if len(name) > 253 or USUAL.fullmatch(f"{name}.") is None:
        report.error(node, f"{quoted(text)} is no zone's name", instead)
        return None
    return name


def _read_self(node: YamlNode, report: Report) -> str | None:
    instead = "write its name under `hosts` of the zone file, as mta1"
    text = text_of(node, report, "a host", instead)
    if text is None:
        return None
    name = text.lower()
    if "." in name or USUAL.fullmatch(f"{name}.") is None:
        report.error(node, f"{quoted(text)} is no host of a zone file", instead)
        return None
    return name


def _read_mode(node: YamlNode, report: Report) -> int | None:
    text = text_of(node, report, "the rights of a socket", _MODE_HOW)
    if text is None:
        return None
    if _MODE.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} are no rights of a file", _MODE_HOW)
        return None
    mode = int(text, 8)
    if mode & _OWNER != _OWNER:
        report.error(node, f"{quoted(text)} shuts out the server's own user", 'write 6 first, as "0660"')
        return None
    return mode


_WHERE = ValueType(
    _read_where,
    {"type": "string", "pattern": r"^(unix:.+|(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5})$"},
    "address and port, or unix: and a path",
)
ROUTES_LISTEN = keys_of(
    RoutesListen,
    {
        "listen": _WHERE,
        "zone": ValueType(_read_zone, {"type": "string"}),
        "self": ValueType(_read_self, {"type": "string"}),
        "mode": ValueType(
            _read_mode, {"type": "string", "pattern": "^0?[0-7]{3}$"}, "octal digits", "{:04o}".format
        ),
    },
    fields={"self": "self_host"},
)


def _read_listener(node: YamlNode, report: Report) -> RoutesListen | None:
    if not isinstance(node, yaml_nodes.Mapping):
        where = _read_where(node, report)
        return None if where is None else RoutesListen(listen=where)
    before = report.errors
    given = read_keys(node, report, ROUTES_LISTEN, "a listener of routes")
    if "listen" not in node.items:
        report.error(node, "a listener without `listen`", "write {listen: 127.0.0.1:5310}")
    if report.errors > before:
        return None
    if "mode" in given and not isinstance(given["listen"], Path):
        report.error(node.place("mode"), "`mode` of a port", "take it out: it is for UNIX sockets alone")
        return None
    if "self" in given:
        given["self_host"] = given.pop("self")
    return RoutesListen(**given)


def _read_listeners(node: YamlNode, report: Report) -> tuple[RoutesListen, ...] | None:
    items = items_of(node)
    if len(items) > MAX_LISTENERS:
        report.error(node, f"{len(items)} listeners", f"write at most {MAX_LISTENERS}")
        return None
    read = [_read_listener(item, report) for item in items]
    for item, one in zip(items, read, strict=True):
        if one is not None and not one.loopback:
            what = f"{one} is not of this machine alone, and who asks there is not asked for a token"
            report.warn(item, what, "let only your MTAs reach it, or write an address as 127.0.0.1")
    return None if None in read else tuple(one for one in read if one is not None)


LISTENERS_OF_ROUTES = ValueType(
    _read_listeners,
    one_or_more({"anyOf": [_WHERE.schema, objects(ROUTES_LISTEN, "listen")]}),
    "address and port, unix: and a path, mapping, or a list of these",
)


def listeners_beside(
    listeners: Iterable[RoutesListen], node: YamlNode, folder: Path, report: Report
) -> tuple[RoutesListen, ...]:
    """Return listeners with their paths beside the settings' file; report those that cannot be.

    Args:
        listeners: as they were read.
        node: where they stand: one, or a list.
        folder: of the file.
        report: takes the problems.

    """
    found: list[RoutesListen] = []
    taken: set[Listen | Path] = set()
    for item, one in zip(items_of(node), listeners, strict=True):
        if not isinstance(one.listen, Path):
            place: Listen | Path = one.listen
            free = one.listen.port == 0
        else:
            path = folder / one.listen
            one, free = one.model_copy(update={"listen": path}), False  # noqa: PLW2901 - the same, moved
            place = whole = path.absolute()  # as it is opened
            if len(os.fsencode(whole)) > MAX_UNIX_PATH:
                what = f"the path of a socket, {quoted(str(whole))}, has over {MAX_UNIX_PATH} bytes"
                report.error(item, what, "write a shorter one, as unix:/run/geodns/routes.sock")
        if place in taken and not free:
            report.error(item, f"{one} stands twice", "take one out")
        taken.add(place)
        found.append(one)
    return tuple(found)
