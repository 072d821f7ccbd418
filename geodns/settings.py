"""The server's own settings: flags over environment over ``geodns.yaml`` over defaults.

All three sources are read by the same kinds of values (``scalars``), so that each is told the same way what
is wrong with it.
"""

import os
import re
import socket
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, SecretStr

from geodns import __version__, yamltext
from geodns.errors import Problem, SettingsError, UsageError
from geodns.guardkeys import QUERY_LOG_KEY, RATE_LIMIT_KEY
from geodns.model import Frozen
from geodns.policy import Policy
from geodns.querylog import QueryLog
from geodns.ratelimit import RateLimit
from geodns.report import Report, quoted
from geodns.scalars import (
    EHLO,
    Key,
    Kind,
    choice,
    duration,
    items_of,
    parse_address,
    read_keys,
    text_of,
    whole,
)
from geodns.wire import name_to_wire
from geodns.yamltext import Node, Scalar

DEFAULT_FILE = Path("geodns.yaml")

ENVIRONMENT = {
    f"GEODNS_{key.upper()}": key
    for key in (
        *("zones", "listen", "http", "state", "workers", "node", "token"),
        *("user", "group", "log_format", "log_level"),
    )
}
"""The variables that are read, and the keys they stand for; an empty one counts as not set."""

_PORT = re.compile("[0-9]{1,5}")
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?")
_TOKEN = re.compile("[!-~]+")
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


class Tcp(Frozen):
    """What TCP clients may take.

    Attributes:
        connections: at one time; past that the one that was idle longest goes.
        per_client: of one IPv4 address or IPv6 /64 at one time.
        idle: seconds without a whole query, or with answers that are not taken.

    """

    connections: int = 1000
    per_client: int = 100
    idle: float = 10.0


def _short_host_name() -> str:
    return socket.gethostname().partition(".")[0] or "localhost"


class Settings(Frozen):
    """What the server is told about itself.

    Attributes:
        zones: the directory of the zone files.
        listen: where DNS is answered, over UDP and TCP.
        http: where status, metrics and control are.
        state: the directory of what survives a restart.
        workers: UDP workers; None means one a core.
        node: this server's name in the status.
        token: what a client must show to change anything; None: only loopback clients may.
        identity: who answers, for NSID and `id.server`; None: nobody is told.
        version: what `version.server` gets; None: nothing.
        cookie_secret_file: where the secrets of cookies are; None: one in `state`, of this server's own.
        ehlo: the name that probes give unless their check says another; None means the host's own.
        probe_concurrency: how many probes may run at once.
        tcp: what TCP clients may take.
        user: whom the server becomes once its ports are open; None: it stays who it is.
        group: the group it has then; None: the user's own.
        log_format: ``text`` or ``json``.
        log_level: what is below is not logged.
        rate_limit: how many answers a network may get, and whether clients over it must show a cookie; None:
            as many as it likes.
        query_log: which queries are logged from the start; None: none.

    """

    zones: Path = Path("zones")
    listen: tuple[Listen, ...] = (Listen("127.0.0.1", 5300),)
    http: Listen = Listen("127.0.0.1", 8053)
    state: Path = Path("state")
    workers: int | None = None
    node: str = Field(default_factory=_short_host_name)
    token: SecretStr | None = None
    identity: str | None = Field(default_factory=_short_host_name)
    version: str | None = f"geodns {__version__}"
    cookie_secret_file: Path | None = None
    ehlo: str | None = None
    probe_concurrency: int = 512
    tcp: Tcp = Tcp()
    user: str | None = None
    group: str | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    rate_limit: tuple[RateLimit, bool] | None = None
    query_log: QueryLog | None = None

    @property
    def worker_count(self) -> int:
        """How many UDP workers to start: as many as asked for, or as there are cores to run on."""
        return self.workers or len(os.sched_getaffinity(0))


def load_settings(config: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Gather the settings from everywhere.

    Args:
        config: what ``--config`` says; None means ``geodns.yaml`` in the current directory, if there is
            one. Paths in the file are relative to its directory.
        flags: by their keys in the file (``probe_concurrency``); None, and nothing in a list, mean that the
            flag was not given.
        environ: the environment.

    Returns:
        The settings; where several sources say something, the strongest has it: flags, then the
        environment, then the file.

    Raises:
        SettingsError: with every problem of every source, one a line.

    """
    problems: list[Problem] = []
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    values = {} if path is None else _from_file(path, problems)
    for variable, key in ENVIRONMENT.items():
        text = environ.get(variable, "")
        if text:
            parts = text.split(",") if key == "listen" else [text]
            values |= _from_words(variable, key, parts, problems)
    for key, given in flags.items():
        parts = [str(part) for part in given] if isinstance(given, tuple | list) else [str(given)]
        if given is not None and parts:
            values |= _from_words(f"--{key.replace('_', '-')}", key, parts, problems)
    if problems:
        error = SettingsError("\n".join(map(str, problems)))
        if any(problem.file.startswith("--") for problem in problems):
            error.status = UsageError.status
        raise error
    if "node" in values:
        values.setdefault("identity", values["node"])
    values = {key: None if value is _OFF else value for key, value in values.items()}
    return Settings(**values)


def policy_of(settings: Settings, secrets: tuple[bytes, ...], query_log: QueryLog | None = None) -> Policy:
    """Return what of the settings goes into answers.

    Args:
        settings: the server's.
        secrets: of cookies; the first makes them.
        query_log: which queries are logged now.

    """
    rate_limit, require_cookie = settings.rate_limit or (None, False)
    told = {
        "id.server": settings.identity,
        "hostname.bind": settings.identity,
        "version.server": settings.version,
        "version.bind": settings.version,
    }
    return Policy(
        nsid=(settings.identity or "").encode(),
        chaos={name_to_wire(name): text.encode() for name, text in told.items() if text is not None},
        cookie_secrets=secrets,
        idle=settings.tcp.idle,
        rate_limit=rate_limit,
        require_cookie=require_cookie,
        query_log=query_log,
    )


def _from_file(path: Path, problems: list[Problem]) -> dict[str, Any]:
    report = Report(str(path))
    values: dict[str, Any] = {}
    try:
        text = path.read_bytes()
    except OSError as error:
        report.error(None, f"cannot be read ({error.strerror})", "give another file with --config")
    else:
        root = None if _says_nothing(text) else yamltext.load(text, report)
        if root is not None:
            values = read_keys(root, report, KEYS, "the settings")
            _choose_token(root, values, path.parent, report)
            for key in ("zones", "state", "cookie_secret_file"):
                if key in values:
                    values[key] = path.parent / values[key]
    problems.extend(report.problems())
    return values


def _says_nothing(text: bytes) -> bool:
    """Whether a file has only comments: that is a file which leaves everything at its default."""
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith(b"#") for line in lines)


def _from_words(source: str, key: str, words: list[str], problems: list[Problem]) -> dict[str, Any]:
    """Read one setting from a flag or variable: the nodes stand nowhere, so problems name only the source."""
    report = Report(source)
    scalars: list[Node] = [Scalar(0, 0, word.strip(), plain=False) for word in words]
    node = scalars[0] if len(scalars) == 1 else yamltext.Sequence(0, 0, scalars)
    value = KEYS[key].kind.read(node, report)
    problems.extend(report.problems())
    return {} if value is None else {key: value}


def _choose_token(root: yamltext.Mapping, values: dict[str, Any], folder: Path, report: Report) -> None:
    """Put the text of ``token_file`` in the token's place."""
    file: Path | None = values.pop("token_file", None)
    if file is None:
        return
    place = root.get("token_file") or root
    if "token" in root.items:
        report.error(place, "both token and token_file", "take one of them out")
        return
    try:
        text = (folder / file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        report.error(place, f"{file} cannot be read ({why})", "write the path of a file with the token alone")
        return
    token = _read_token(Scalar(place.line, place.column, text, plain=False), report)
    if token is not None:
        values["token"] = token


def _read_path(node: Node, report: Report) -> Path | None:
    text = text_of(node, report, "a path", "write a path, as /etc/geodns/zones")
    if text is None:
        return None
    if not text or "\0" in text:
        report.error(node, f"{quoted(text)} is no path", "write a path, as /etc/geodns/zones")
        return None
    return Path(text)


def _read_listen(node: Node, report: Report) -> Listen | None:
    text = text_of(node, report, "an address and a port", _LISTEN_HOW)
    if text is None:
        return None
    try:
        return Listen.parse(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


def _read_listeners(node: Node, report: Report) -> tuple[Listen, ...] | None:
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


def _read_node(node: Node, report: Report) -> str | None:
    text = text_of(node, report, "this server's name", "write a short name, as ns1")
    if text is not None and re.fullmatch(r"[!-~]{1,63}", text) is None:
        report.error(
            node, f"{quoted(text)} is no name", "write 1 to 63 letters, digits, dots or dashes, as ns1"
        )
        return None
    return text


_OFF = object()
"""A value that is switched off; None is one that could not be read."""


def _read_told(node: Node, report: Report) -> object:
    text = text_of(node, report, "a text", "write who this is, as ns1, or off")
    if text is not None and re.fullmatch(r"[ -~]{1,255}", text) is None:
        report.error(node, f"{quoted(text)} cannot be told", "write 1 to 255 characters of ASCII, or off")
        return None
    return _OFF if text == "off" else text


def _read_token(node: Node, report: Report) -> SecretStr | None:
    instead = "write one word of letters and digits, as `openssl rand -hex 32` makes"
    text = text_of(node, report, "a token", instead)
    if text is None:
        return None
    if _TOKEN.fullmatch(text) is None:  # the text itself is a secret and is not shown
        report.error(node, "a token that is empty, has spaces or is not ASCII", instead)
        return None
    return SecretStr(text)


TCP: dict[str, Key] = {
    "connections": Key(whole(1, 1_000_000, "connections"), "At one time; past that the longest idle goes."),
    "per_client": Key(whole(1, 1_000_000, "per_client"), "Of one IPv4 address or IPv6 /64 at one time."),
    "idle": Key(duration(0.1, 3600), "For a connection without a query, or that takes no answers."),
}
"""What may stand under ``tcp``."""


def _read_tcp(node: Node, report: Report) -> Tcp:
    return Tcp(**read_keys(node, report, TCP, "the limits of TCP"))


def _read_account(node: Node, report: Report) -> str | None:
    instead = "write the name of one on this machine, as geodns"
    text = text_of(node, report, "a user's or group's name", instead)
    if text is not None and _ACCOUNT_NAME.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} is no name of a user or group", instead)
        return None
    return text


_ACCOUNT = Kind(_read_account, {"type": "string"})
_PATH = Kind(_read_path, {"type": "string"})
_TOLD = Kind(_read_told, {"type": "string", "minLength": 1, "maxLength": 255})
_LISTEN_SCHEMA = {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}$"}

KEYS: dict[str, Key] = {
    "zones": Key(_PATH, "The directory of the zone files."),
    "listen": Key(
        Kind(_read_listeners, {"anyOf": [_LISTEN_SCHEMA, {"type": "array", "items": _LISTEN_SCHEMA}]}),
        "Where DNS is answered, over UDP and TCP.",
    ),
    "http": Key(Kind(_read_listen, _LISTEN_SCHEMA), "Where status, metrics and control are."),
    "state": Key(_PATH, "The directory of what survives a restart."),
    "workers": Key(whole(1, 1024, "the number of workers"), "UDP workers; without it one a core."),
    "node": Key(Kind(_read_node, {"type": "string"}), "This server's name in the status."),
    "token": Key(Kind(_read_token, {"type": "string"}), "What a client must show to change anything."),
    "token_file": Key(_PATH, "A file that has the token alone."),
    "identity": Key(_TOLD, "Who answers, for NSID and id.server; off tells nobody; default: `node`."),
    "version": Key(_TOLD, "What version.server gets; off tells nobody."),
    "cookie_secret_file": Key(_PATH, "The secrets of DNS cookies, one a line, that several servers share."),
    "ehlo": Key(EHLO, "The name that probes give."),
    "probe_concurrency": Key(whole(1, 65536, "probe_concurrency"), "How many probes may run at once."),
    "tcp": Key(Kind(_read_tcp, {"type": "object"}), "What TCP clients may take."),
    "user": Key(_ACCOUNT, "Whom to become once the ports are open."),
    "group": Key(_ACCOUNT, "The group to have then; without it the user's own."),
    "log_format": Key(choice("text", "json"), "How log lines look."),
    "log_level": Key(choice("debug", "info", "warning", "error"), "What is below is not logged."),
    "rate_limit": RATE_LIMIT_KEY,
    "query_log": QUERY_LOG_KEY,
}
"""What may stand in ``geodns.yaml``."""
