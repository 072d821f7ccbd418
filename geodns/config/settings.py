"""The server's own settings: flags over environment over ``geodns.yaml`` over defaults.

All three sources are read by the same kinds of values (``scalars``), so that each is told the same way what
is wrong with it.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from geodns import __version__
from geodns.config import yaml_nodes
from geodns.config.report import Report
from geodns.config.server_keys import KEYS, HttpTls, Listen, Tcp
from geodns.config.tokens import Scope, Token, parse_tokens
from geodns.config.value_types import OFF, read_keys
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.errors import Problem, SettingsError, UsageError
from geodns.model.base import Frozen
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.wire.names import name_to_wire

DEFAULT_FILE = Path("geodns.yaml")

ENVIRONMENT = {
    f"GEODNS_{key.upper()}": key
    for key in (
        *("zones", "listen", "http", "state", "workers", "node", "token", "read_token"),
        *("user", "group", "log_format", "log_level"),
    )
}
"""The variables that are read, and the keys they stand for; an empty one counts as not set."""


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
        token: what a client must show to change anything; none: only loopback clients may.
        read_token: what it must show to read anything; none: all may.
        servers: the HTTP sides of all name servers, for commands that give orders to each.
        http_tls: the certificate of the HTTP side; None: it speaks without TLS.
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
    token: tuple[Token, ...] = ()
    read_token: tuple[Token, ...] = ()
    servers: tuple[str, ...] = ()
    http_tls: HttpTls | None = None
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
    values = {key: None if value is OFF else value for key, value in values.items()}
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
        root = None if yaml_nodes.says_nothing(text) else yaml_nodes.load(text, report)
        if root is not None:
            values = read_keys(root, report, KEYS, "the settings")
            _choose_token("token", "control", root, values, path.parent, report)
            _choose_token("read_token", "read", root, values, path.parent, report)
            if "http_tls" in values:
                values["http_tls"] = _beside(path.parent, values["http_tls"])
            for key in ("zones", "state", "cookie_secret_file"):
                if key in values:
                    values[key] = path.parent / values[key]
    problems.extend(report.problems())
    return values


def _from_words(source: str, key: str, words: list[str], problems: list[Problem]) -> dict[str, Any]:
    """Read one setting from a flag or variable: the nodes stand nowhere, so problems name only the source."""
    report = Report(source)
    scalars: list[YamlNode] = [Scalar(0, 0, word.strip(), plain=False) for word in words]
    node = scalars[0] if len(scalars) == 1 else yaml_nodes.Sequence(0, 0, scalars)
    value = KEYS[key].kind.read(node, report)
    problems.extend(report.problems())
    return {} if value is None else {key: value}


def _beside(folder: Path, tls: HttpTls) -> HttpTls:
    return HttpTls(cert=folder / tls.cert, key=None if tls.key is None else folder / tls.key)


def _choose_token(
    key: str, scope: Scope, root: yaml_nodes.Mapping, values: dict[str, Any], folder: Path, report: Report
) -> None:
    """Put what stands in the file of a token in the token's place."""
    file: Path | None = values.pop(f"{key}_file", None)
    if file is None:
        return
    place = root.get(f"{key}_file") or root
    if key in root.items:
        report.error(place, f"both {key} and {key}_file", "take one of them out")
        return
    try:
        values[key] = parse_tokens((folder / file).read_text("utf-8"), scope)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        report.error(place, f"{file} cannot be read ({why})", "write the path of a file with the token alone")
    except ValueError as error:
        report.error(place, f"{file}: {error}", "write one token a line, alone or after its owner's name")
