"""The server's settings: flags over environment over ``geodns.yaml`` over defaults.

`Settings` is the table: a field is a key, with its type, a sentence and its default. Flags, environment,
messages and docs/settings.md come from it.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from geodns import __version__
from geodns.config import yaml_nodes
from geodns.config.answer_keys import QUERY_LOG_KEY, RATE_LIMIT_KEY
from geodns.config.keys import Key, keys_in, read_keys, words_of
from geodns.config.report import Report
from geodns.config.route_keys import LISTENERS_OF_ROUTES, RoutesListen, listeners_beside
from geodns.config.server_keys import (
    ACCOUNT,
    CERTIFICATE,
    LISTENER,
    LISTENERS,
    NODE,
    PATH,
    PATHS,
    SERVERS,
    TCP_LIMITS,
    TOLD,
    HttpTls,
    Listen,
    Tcp,
    token_type,
)
from geodns.config.settings_files import ReadFile, read_whole
from geodns.config.shared_keys import NO_NODE, NODE_HOW, SHARED_SETTING, SharedKeys, shared_beside
from geodns.config.tokens import Scope, Token, read_tokens
from geodns.config.value_types import EHLO, OFF, RESOLVER, choice, whole
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.errors import Problem, SettingsError, UsageError
from geodns.model.base import Frozen
from geodns.model.hosts import Endpoint
from geodns.model.shared import SharedSettings
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.wire.names import name_to_wire


def _host_name() -> str:
    return socket.gethostname().partition(".")[0] or "localhost"


LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(Frozen):
    """The server's settings; for None, the default of the key says what holds."""

    zones: Annotated[Path, Key(PATH, "The directory of the zone files.")] = Path("zones")
    listen: Annotated[tuple[Listen, ...], Key(LISTENERS, "Where DNS is answered, over UDP and TCP.")] = (
        Listen("127.0.0.1", 5300),
    )
    http: Annotated[Listen, Key(LISTENER, "Where status, metrics and control are.")] = Listen(
        "127.0.0.1", 8053
    )
    state: Annotated[Path, Key(PATH, "The directory of what survives a restart.")] = Path("state")
    workers: Annotated[
        int | None, Key(whole(1, 1024, "the number of workers"), "UDP workers.", default="one a core")
    ] = None
    node: Annotated[
        str, Key(NODE, "This server's name in the status.", default="`identity`, or else this machine's")
    ] = Field(default_factory=_host_name)
    token: Annotated[
        tuple[Token, ...],
        Key(
            token_type("control"),
            "What a client must show to change anything; without it only loopback may.",
        ),
    ] = ()
    read_token: Annotated[
        tuple[Token, ...],
        Key(token_type("read"), "What a client must show to read anything; without it all may."),
    ] = ()
    signals_token: Annotated[
        tuple[Token, ...],
        Key(
            token_type("signals"),
            "What a client must show to tell what became of mail; it is good for that alone.",
        ),
    ] = ()
    servers: Annotated[
        tuple[str, ...],
        Key(
            SERVERS,
            "The HTTP sides of all name servers, this one too: orders go to each, and they ask one another.",
        ),
    ] = ()
    shared: Annotated[
        SharedSettings | None,
        Key(
            SHARED_SETTING,
            "The Redis or Valkey where several servers share their judgement.",
            default="each judges alone",
        ),
    ] = None
    http_tls: Annotated[
        HttpTls | None,
        Key(CERTIFICATE, "What the HTTP side shows; it speaks https alone then."),
    ] = None
    identity: Annotated[
        str | None, Key(TOLD, "Who answers, for NSID and id.server; off tells nobody.", default="`node`")
    ] = Field(default_factory=_host_name)
    version: Annotated[
        str | None,
        Key(TOLD, "What version.server gets; off tells nobody.", default="geodns and its version"),
    ] = f"geodns {__version__}"
    cookie_secret_file: Annotated[
        Path | None,
        Key(
            PATH,
            "The secrets of DNS cookies, one a line, that several servers share.",
            default="one in `state`, this server's own",
        ),
    ] = None
    reply_patterns: Annotated[
        Path | None,
        Key(
            PATH,
            "A TOML file of own patterns that say whom a receiver's reply speaks of, as KumoMTA's bounce "
            "classifier has them.",
            default="the built-in ones alone",
        ),
    ] = None
    geoip: Annotated[
        tuple[Path, ...],
        Key(
            PATHS,
            "GeoIP files (.mmdb) with the countries, continents and AS numbers that rules name; the first "
            "that knows an address wins.",
        ),
    ] = ()
    ehlo: Annotated[
        str | None, Key(EHLO, "The name that probes give in EHLO.", default="this machine's own")
    ] = None
    probe_concurrency: Annotated[
        int, Key(whole(1, 65536, "probe_concurrency"), "How many probes may run at once.")
    ] = 512
    tcp: Annotated[Tcp, Key(TCP_LIMITS, "What TCP clients may take.", default="those below")] = Tcp()
    routes_listen: Annotated[
        tuple[RoutesListen, ...],
        Key(LISTENERS_OF_ROUTES, "Where MTAs ask which name a message leaves by.", default="nowhere"),
    ] = ()
    routes_resolver: Annotated[
        Endpoint | None,
        Key(
            RESOLVER,
            "Whom to ask who runs the mail of a recipient's domain.",
            default="what /etc/resolv.conf says",
        ),
    ] = None
    user: Annotated[
        str | None, Key(ACCOUNT, "The user to run as once the ports are open.", default="who starts it")
    ] = None
    group: Annotated[str | None, Key(ACCOUNT, "The group to run as then.", default="the user's own")] = None
    log_format: Annotated[LogFormat, Key(choice(*words_of(LogFormat)), "How log lines look.")] = "text"
    log_level: Annotated[LogLevel, Key(choice(*words_of(LogLevel)), "What is below is not logged.")] = "info"
    rate_limit: Annotated[tuple[RateLimit, bool] | None, RATE_LIMIT_KEY] = None
    query_log: Annotated[QueryLog | None, QUERY_LOG_KEY] = None

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


_BESIDE = {
    "token": Key(PATH, "A file that has it, or several: one a line, after its owner's name or alone."),
    "read_token": Key(PATH, "A file that has it, as `token_file`."),
    "signals_token": Key(PATH, "A file that has it, as `token_file`."),
}

KEYS: dict[str, Key] = {
    name: key
    for field, own in keys_in(Settings).items()
    for name, key in {field: own, f"{field}_file": _BESIDE.get(field)}.items()
    if key is not None
}
"""The keys of ``geodns.yaml``."""

NOT_MINE = "this user may not read it, the server's may"
"""Why a check skips a file: secrets are for the server's user alone."""

_SCOPES: Mapping[str, Scope] = {"token": "control", "read_token": "read", "signals_token": "signals"}

DEFAULT_FILE = Path("geodns.yaml")

ENVIRONMENT = {
    f"GEODNS_{key.upper()}": key
    for key in (
        *("zones", "listen", "http", "state", "workers", "node", "token", "read_token"),
        *("user", "group", "log_format", "log_level"),
    )
}
"""The variables that are read, and the keys they stand for; an empty one counts as not set."""


def load_settings(
    config: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    read: ReadFile = read_whole,
) -> Settings:
    """Gather the settings from flags, environment and file.

    Args:
        config: what ``--config`` says; None means ``geodns.yaml`` in the current directory, if there is
            one. Paths in the file are relative to its directory.
        flags: by their keys in the file (``probe_concurrency``); None, and nothing in a list, mean that the
            flag was not given.
        environ: the environment.
        read: reads the file, and those of tokens and secrets that it names.

    Raises:
        SettingsError: with every problem of every source, one a line.

    """
    problems: list[Problem] = []
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    values: dict[str, Any] = {}
    if path is not None:
        report = Report(str(path))
        values = settings_in(path, report, read=read)
        problems.extend(one for one in report.problems() if not one.warning)
    for variable, key in ENVIRONMENT.items():
        text = environ.get(variable, "")
        if text:
            parts = text.split(",") if key == "listen" else [text]
            values |= _from_words(variable, key, parts, problems)
    for key, given in flags.items():
        parts = [str(part) for part in given] if isinstance(given, tuple | list) else [str(given)]
        if given is not None and parts:
            values |= _from_words(f"--{key.replace('_', '-')}", key, parts, problems)
    if "shared" in values and "node" not in values:
        problems.append(Problem(str(path), 0, 0, NO_NODE, NODE_HOW))
    if problems:
        error = SettingsError("\n".join(map(str, problems)))
        if any(problem.file.startswith("--") for problem in problems):
            error.status = UsageError.status
        raise error
    return Settings(**_named(values))


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Return values where `node` and `identity` stand in for each other, and what is off is None."""
    if "node" in values:
        values.setdefault("identity", values["node"])
    elif values.get("identity", OFF) is not OFF:
        values["node"] = values["identity"]
    return {key: None if value is OFF else value for key, value in values.items()}


def policy_of(settings: Settings, secrets: tuple[bytes, ...], query_log: QueryLog | None = None) -> Policy:
    """Return what of the settings goes into answers; the first of the cookies' secrets makes them."""
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


def settings_in(
    path: Path, report: Report, *, foreign: bool = False, read: ReadFile = read_whole
) -> dict[str, Any]:
    """Read a file of settings, and the files of tokens that it names; the report says what is wrong.

    Args:
        path: of the file; paths in it are relative to its directory.
        report: of the file.
        foreign: whether another user than the server's may ask: what it may not read is a warning then.
        read: reads it and them.

    """
    root = read_file(path, report, read)
    if root is None:
        return {}
    values = read_keys(root, report, KEYS, "the settings")
    for key, scope in _SCOPES.items():
        _choose_token(key, scope, root, values, path.parent, report, read, foreign=foreign)
    if "http_tls" in values:
        values["http_tls"] = _beside(path.parent, values["http_tls"])
    for key in ("zones", "state", "cookie_secret_file", "reply_patterns"):
        if key in values:
            values[key] = path.parent / values[key]
    if "geoip" in values:
        values["geoip"] = tuple(path.parent / one for one in values["geoip"])
    if "routes_listen" in values:
        node = root.items["routes_listen"][1]
        values["routes_listen"] = listeners_beside(values["routes_listen"], node, path.parent, report)
    shared: SharedKeys | None = values.pop("shared", None)
    if shared is not None:
        node = root.items["shared"][1]
        why = NOT_MINE if foreign else ""
        values["shared"] = shared_beside(shared, node, path.parent, report, foreign=why, read=read)
        if "node" not in values:
            report.warn(node, NO_NODE, NODE_HOW)
    return values


def read_file(path: Path, report: Report, read: ReadFile = read_whole) -> yaml_nodes.Mapping | None:
    """Return what a file of settings says; None where it says nothing, or the report says what is wrong."""
    try:
        text = read(path)
    except OSError as error:
        report.error(None, f"cannot be read ({error.strerror})", "give another file with --config")
        return None
    return (
        None if yaml_nodes.says_nothing(text) else yaml_nodes.load(text, report, "keys: `zones:`, `listen:`")
    )


def _from_words(source: str, key: str, words: list[str], problems: list[Problem]) -> dict[str, Any]:
    """Read one setting from a flag or variable; problems name the source alone."""
    report = Report(source)
    scalars: list[YamlNode] = [Scalar(0, 0, word.strip(), plain=False) for word in words]
    node = scalars[0] if len(scalars) == 1 else yaml_nodes.Sequence(0, 0, scalars)
    value = KEYS[key].kind.read(node, report)
    problems.extend(report.problems())
    return {} if value is None else {key: value}


def _beside(folder: Path, tls: HttpTls) -> HttpTls:
    return HttpTls(cert=folder / tls.cert, key=None if tls.key is None else folder / tls.key)


def _choose_token(
    key: str,
    scope: Scope,
    root: yaml_nodes.Mapping,
    values: dict[str, Any],
    folder: Path,
    report: Report,
    read: ReadFile,
    *,
    foreign: bool,
) -> None:
    """Put the tokens of a token's file in its place."""
    file: Path | None = values.pop(f"{key}_file", None)
    if file is None:
        return
    place = root.get(f"{key}_file") or root
    if key in root.items:
        report.error(place, f"both {key} and {key}_file", "take one of them out")
        return
    try:
        values[key] = read_tokens(folder / file, scope, read)
    except OSError as error:
        if foreign and isinstance(error, PermissionError):
            report.warn(place, f"{file} was not looked at: {NOT_MINE}")
            return
        what = f"{file} cannot be read ({error.strerror})"
        report.error(place, what, "write the path of a file with the token alone")
    except ValueError as error:
        report.error(place, f"{file}: {error}", "write one token a line, alone or after its owner's name")
