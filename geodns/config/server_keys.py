"""The server's settings: every key of ``geodns.yaml`` with its type, its default and a sentence.

`Settings` is the table: a field is a key. Flags, environment, messages and docs/settings.md come from it.
"""

import os
import re
import socket
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from geodns import __version__
from geodns.config.answer_keys import QUERY_LOG_KEY, RATE_LIMIT_KEY
from geodns.config.keys import Key, keys_in, objects, read_keys, words_of
from geodns.config.report import Report, quoted
from geodns.config.tokens import HOW as TOKEN_HOW
from geodns.config.tokens import Scope, Token, token_of
from geodns.config.value_types import (
    EHLO,
    OFF,
    ValueType,
    choice,
    duration,
    items_of,
    one_or_more,
    parse_address,
    text_of,
    whole,
)
from geodns.config.yaml_nodes import YamlNode
from geodns.model.base import Frozen
from geodns.responder.answer_policy import QueryLog, RateLimit

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


_PATH = ValueType(_read_path, {"type": "string"}, "path")


def _read_listen(node: YamlNode, report: Report) -> Listen | None:
    text = text_of(node, report, "an address and a port", _LISTEN_HOW)
    if text is None:
        return None
    try:
        return Listen.parse(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


_LISTENER = ValueType(
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


_LISTENERS = ValueType(
    _read_listeners,
    one_or_more(_LISTENER.schema),
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


_NODE = ValueType(_read_node, {"type": "string"})

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


_TOLD = ValueType(_read_told, {"type": "string", "minLength": 1, "maxLength": MAX_TOLD})
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


_SERVERS = ValueType(_read_servers, one_or_more({"type": "string"}))


def _token(scope: Scope) -> ValueType:
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


_ACCOUNT = ValueType(_read_account, {"type": "string"})


class Tcp(Frozen):
    """What TCP clients may take: the keys under ``tcp``."""

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


class HttpTls(Frozen):
    """The certificate that the HTTP side shows: the keys under ``http_tls``."""

    cert: Annotated[Path, Key(_PATH, "The file of the certificate and its chain, in PEM.")]
    key: Annotated[
        Path | None, Key(_PATH, "The file of its key, without a passphrase.", default="the same file")
    ] = None


HTTP_TLS = keys_in(HttpTls)


def _read_tls(node: YamlNode, report: Report) -> HttpTls | None:
    values = read_keys(node, report, HTTP_TLS, "a mapping of cert and key")
    if "cert" not in values:
        report.error(node, "no certificate", "write {cert: /etc/geodns/cert.pem, key: /etc/geodns/key.pem}")
        return None
    return HttpTls(**values)


def _host_name() -> str:
    return socket.gethostname().partition(".")[0] or "localhost"


LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(Frozen):
    """What the server is told about itself; where `None` stands, the key's default says what holds."""

    zones: Annotated[Path, Key(_PATH, "The directory of the zone files.")] = Path("zones")
    listen: Annotated[tuple[Listen, ...], Key(_LISTENERS, "Where DNS is answered, over UDP and TCP.")] = (
        Listen("127.0.0.1", 5300),
    )
    http: Annotated[Listen, Key(_LISTENER, "Where status, metrics and control are.")] = Listen(
        "127.0.0.1", 8053
    )
    state: Annotated[Path, Key(_PATH, "The directory of what survives a restart.")] = Path("state")
    workers: Annotated[
        int | None, Key(whole(1, 1024, "the number of workers"), "UDP workers.", default="one a core")
    ] = None
    node: Annotated[str, Key(_NODE, "This server's name in the status.", default="this machine's")] = Field(
        default_factory=_host_name
    )
    token: Annotated[
        tuple[Token, ...],
        Key(_token("control"), "What a client must show to change anything; without it only loopback may."),
    ] = ()
    read_token: Annotated[
        tuple[Token, ...],
        Key(_token("read"), "What a client must show to read anything; without it all may."),
    ] = ()
    servers: Annotated[
        tuple[str, ...], Key(_SERVERS, "The HTTP sides of all name servers: orders go to each.")
    ] = ()
    http_tls: Annotated[
        HttpTls | None,
        Key(
            ValueType(_read_tls, objects(HTTP_TLS, "cert")),
            "What the HTTP side shows; it speaks https alone then.",
        ),
    ] = None
    identity: Annotated[
        str | None, Key(_TOLD, "Who answers, for NSID and id.server; off tells nobody.", default="`node`")
    ] = Field(default_factory=_host_name)
    version: Annotated[
        str | None,
        Key(_TOLD, "What version.server gets; off tells nobody.", default="geodns and its version"),
    ] = f"geodns {__version__}"
    cookie_secret_file: Annotated[
        Path | None,
        Key(
            _PATH,
            "The secrets of DNS cookies, one a line, that several servers share.",
            default="one in `state`, this server's own",
        ),
    ] = None
    ehlo: Annotated[
        str | None, Key(EHLO, "The name that probes give in EHLO.", default="this machine's own")
    ] = None
    probe_concurrency: Annotated[
        int, Key(whole(1, 65536, "probe_concurrency"), "How many probes may run at once.")
    ] = 512
    tcp: Annotated[
        Tcp, Key(ValueType(_read_tcp, objects(TCP)), "What TCP clients may take.", default="those below")
    ] = Tcp()
    user: Annotated[
        str | None, Key(_ACCOUNT, "Whom to become once the ports are open.", default="who starts it")
    ] = None
    group: Annotated[str | None, Key(_ACCOUNT, "The group to have then.", default="the user's own")] = None
    log_format: Annotated[LogFormat, Key(choice(*words_of(LogFormat)), "How log lines look.")] = "text"
    log_level: Annotated[LogLevel, Key(choice(*words_of(LogLevel)), "What is below is not logged.")] = "info"
    rate_limit: Annotated[tuple[RateLimit, bool] | None, RATE_LIMIT_KEY] = None
    query_log: Annotated[QueryLog | None, QUERY_LOG_KEY] = None

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


_BESIDE = {
    "token": Key(_PATH, "A file that has it, or several: one a line, after its owner's name or alone."),
    "read_token": Key(_PATH, "A file that has it, as `token_file`."),
}

KEYS: dict[str, Key] = {
    name: key
    for field, own in keys_in(Settings).items()
    for name, key in {field: own, f"{field}_file": _BESIDE.get(field)}.items()
    if key is not None
}
"""What may stand in ``geodns.yaml``."""
