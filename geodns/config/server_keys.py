"""Types of values that only ``geodns.yaml`` has: listeners, servers, tokens, accounts, `tcp`, `http_tls`."""

import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from geodns.config.keys import Key, keys_in, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.tokens import HOW as TOKEN_HOW
from geodns.config.tokens import Scope, Token, token_of
from geodns.config.value_types import (
    OFF,
    ValueType,
    duration,
    items_of,
    one_or_more,
    parse_address,
    text_of,
    whole,
)
from geodns.config.yaml_nodes import YamlNode
from geodns.model.base import Frozen

_PORT = re.compile("[0-9]{1,5}")
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?")
_LISTEN_HOW = 'write an address and a port, as 127.0.0.1:5300 or "[::1]:5300"'


class Listen(NamedTuple):
    """An address and a port to listen on; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read ``127.0.0.1:5300`` or ``[::1]:5300``; `str` is the way back.

        Raises:
            ValueError: with two arguments: what is wrong, and what to write instead.

        """
        host, colon, port = text.rpartition(":")
        if ":" in text and parse_address(text) is not None:
            right = f"[{text}]:5300" if parse_address(host) is None else f"[{host}]:{port}"
            raise ValueError(f"{quoted(text)} is an IPv6 address without brackets", f'write "{right}", say')
        if not colon:
            raise ValueError(f"{quoted(text)} has no port", _LISTEN_HOW)
        bracketed = host.startswith("[") and host.endswith("]")
        address = parse_address(host[1:-1] if bracketed else host)
        if address is None:
            raise ValueError(
                f"{quoted(host)} is no address", "write an address, not a name: " + _LISTEN_HOW[6:]
            )
        if bracketed != isinstance(address, IPv6Address):
            right = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
            raise ValueError(f"{quoted(text)}: brackets are for IPv6 alone", f'write "{right}:{port}"')
        if _PORT.fullmatch(port) is None or int(port) > 65535:
            raise ValueError(f"the port {quoted(port)} is out of range", "write 0 to 65535")
        return cls(str(address), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _read_path(node: YamlNode, report: Report) -> Path | None:
    text = text_of(node, report, "a path", "write a path, as /etc/geodns/zones")
    if text is None:
        return None
    if not text or "\0" in text:
        report.error(node, f"{quoted(text)} is no path", "write a path, as /etc/geodns/zones")
        return None
    return Path(text)


PATH = ValueType(_read_path, {"type": "string"}, "path")


def _read_paths(node: YamlNode, report: Report) -> tuple[Path, ...] | None:
    found: list[Path] = []
    for item in items_of(node):
        path = _read_path(item, report)
        if path in found:
            report.error(item, f"{path} stands twice", "take one out")
        elif path is not None:
            found.append(path)
    return tuple(found)


PATHS = ValueType(_read_paths, one_or_more(PATH.schema), "path or list")


def _read_listen(node: YamlNode, report: Report) -> Listen | None:
    text = text_of(node, report, "an address and a port", _LISTEN_HOW)
    if text is None:
        return None
    try:
        return Listen.parse(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


LISTENER = ValueType(
    _read_listen,
    {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$"},
    "address and port",
)


def _read_listeners(node: YamlNode, report: Report) -> tuple[Listen, ...] | None:
    items = items_of(node)
    if not items:
        report.error(node, "nothing to listen on", _LISTEN_HOW)
        return None
    read = [_read_listen(item, report) for item in items]
    listeners = [listen for listen in read if listen is not None]
    for item, listen in zip(items, read, strict=True):
        if listen is not None and listen.port and listeners.count(listen) > 1:
            report.error(item, f"{listen} stands twice", "take one out")
            break
    return tuple(listeners)


LISTENERS = ValueType(
    _read_listeners,
    one_or_more(LISTENER.schema),
    "address and port, or list",
    lambda listeners: ", ".join(map(str, listeners)),
)


def _read_node(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "this server's name", "write a short name, as ns1")
    if text is not None and re.fullmatch(r"[!-~]{1,63}", text) is None:
        report.error(
            node, f"{quoted(text)} is no name", "write 1 to 63 letters, digits, dots or dashes, as ns1"
        )
        return None
    return text


NODE = ValueType(_read_node, {"type": "string"})

MAX_TOLD = 64
"""Characters of what is told of us: it must fit beside the longest question in the smallest answer."""


def _read_told(node: YamlNode, report: Report) -> object:
    text = text_of(node, report, "a text", "write who this is, as ns1, or off")
    if text is not None and re.fullmatch(rf"[ -~]{{1,{MAX_TOLD}}}", text) is None:
        report.error(
            node, f"{quoted(text)} cannot be told", f"write 1 to {MAX_TOLD} characters of ASCII, or off"
        )
        return None
    return OFF if text == "off" else text


TOLD = ValueType(_read_told, {"type": "string", "minLength": 1, "maxLength": MAX_TOLD})
_SERVER_HOW = "write the URL of its HTTP side, as http://192.0.2.53:8053"


def parse_server(text: str) -> str:
    """Return the URL of a server's HTTP side, without a final slash; ``ns1:8053`` is one too.

    Raises:
        ValueError: with two arguments: what is wrong, and what to write instead.

    """
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{quoted(text)} is no server", _SERVER_HOW)
    return url.rstrip("/")


def _read_servers(node: YamlNode, report: Report) -> tuple[str, ...] | None:
    found: list[str] = []
    items = items_of(node)
    if not items:
        report.error(node, "no server", _SERVER_HOW)
    for item in items:
        text = text_of(item, report, "a server", _SERVER_HOW)
        try:
            url = None if text is None else parse_server(text)
        except ValueError as error:
            report.error(item, *error.args)
            continue
        if url in found:
            report.error(item, f"{url} stands twice", "take one out")
        elif url is not None:
            found.append(url)
    return tuple(found) or None


SERVERS = ValueType(_read_servers, one_or_more({"type": "string"}))


def token_type(scope: Scope) -> ValueType:
    """Return the type of a token that stands in the settings themselves; messages do not show it."""

    def read(node: YamlNode, report: Report) -> tuple[Token, ...] | None:
        text = text_of(node, report, "a token", TOKEN_HOW)
        try:
            return None if text is None else (token_of(text, scope),)
        except ValueError as error:
            report.error(node, str(error), TOKEN_HOW)
        return None

    return ValueType(read, {"type": "string"})


def _read_account(node: YamlNode, report: Report) -> str | None:
    instead = "write the name of one on this machine, as geodns"
    text = text_of(node, report, "a user's or group's name", instead)
    if text is not None and _ACCOUNT_NAME.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} is no name of a user or group", instead)
        return None
    return text


ACCOUNT = ValueType(_read_account, {"type": "string"})


class Tcp(Frozen):
    """Limits of TCP clients: the keys under ``tcp``."""

    connections: Annotated[
        int, Key(whole(1, 1_000_000, "connections"), "At one time; past that the longest idle goes.")
    ] = 1000
    per_client: Annotated[
        int, Key(whole(1, 1_000_000, "per_client"), "Of one IPv4 address or IPv6 /64 at one time.")
    ] = 100
    idle: Annotated[
        float, Key(duration(0.1, 3600), "For a connection without a query, or that takes no answers.")
    ] = 10.0


TCP = keys_in(Tcp)


def _read_tcp(node: YamlNode, report: Report) -> Tcp:
    return Tcp(**read_keys(node, report, TCP, "a mapping of TCP limits"))


TCP_LIMITS = ValueType(_read_tcp, objects(TCP))


class HttpTls(Frozen):
    """The certificate that the HTTP side shows: the keys under ``http_tls``."""

    cert: Annotated[Path, Key(PATH, "The file of the certificate and its chain, in PEM.")]
    key: Annotated[
        Path | None, Key(PATH, "The file of its key, without a passphrase.", default="the same file")
    ] = None


HTTP_TLS = keys_in(HttpTls)


def _read_tls(node: YamlNode, report: Report) -> HttpTls | None:
    values = read_keys(node, report, HTTP_TLS, "a mapping of cert and key")
    if "cert" not in values:
        report.error(node, "no certificate", "write {cert: /etc/geodns/cert.pem, key: /etc/geodns/key.pem}")
        return None
    return HttpTls(**values)


CERTIFICATE = ValueType(_read_tls, objects(HTTP_TLS, "cert"))
