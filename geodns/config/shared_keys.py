"""The setting ``shared``: where the servers of a zone share their judgement, and by which secrets."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.server_keys import PATH
from geodns.config.settings_files import ReadFile, read_whole
from geodns.config.value_types import ValueType, choice, text_of
from geodns.config.yaml_nodes import Mapping, YamlNode
from geodns.model.base import Frozen
from geodns.model.shared import GROUP, SharedSettings
from geodns.model.shared_url import parse_url

MAX_SECRET = 4096
"""Bytes of a password or secret."""
MIN_SECRET = 16
"""Bytes of a secret, at the least: it must not be guessed."""

_EXAMPLE = "write the URL of a Redis or Valkey, as redis://192.0.2.60"
_SECRET_HOW = "write a file of one line, as `openssl rand -hex 32` makes"  # noqa: S105 - how to make one


class SharedKeys(Frozen):
    """The keys under ``shared``, before the files that they name are read."""

    url: str = Field(
        description="The Redis or Valkey: redis://HOST, rediss://HOST:PORT/DATABASE, unix:///PATH, or "
        "redis+sentinel://HOST:PORT,HOST:PORT/NAME."
    )
    group: str = Field(default="geodns", description="Servers of one group share; groups may share a Redis.")
    agree: Literal["quorum", "own"] = Field(
        default="quorum",
        description="quorum: serve what most servers see; own: what this one sees, and show the others.",
    )
    password_file: Path | None = Field(default=None, description="A file that has the password of Redis.")
    secret_file: Path | None = Field(
        default=None,
        description="A file that has the secret by which the servers of a group know one another.",
    )


def _read_url(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a URL", _EXAMPLE)
    if text is None:
        return None
    if "cluster" in text.partition("://")[0].lower():
        report.error(node, f"{quoted(text)} is a Redis Cluster", "write one server, or Sentinels and a name")
        return None
    try:
        parse_url(text)
    except ValueError as error:
        # It may have a password in it, which no message shows.
        what, _, instead = str(error).partition(": ")
        report.error(node, f"the URL is not taken: {what}", instead or _EXAMPLE)
        return None
    return text


def _read_group(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a group's name", "write a short name, as out")
    if text is not None and re.fullmatch(GROUP, text) is None:
        instead = "write 1 to 32 small letters, digits or dashes, as out"
        report.error(node, f"{quoted(text)} is no name of a group", instead)
        return None
    return text


SHARED = keys_of(
    SharedKeys,
    {
        "url": ValueType(_read_url, {"type": "string", "pattern": r"^(rediss?|unix|redis\+sentinel)://.+$"}),
        "group": ValueType(_read_group, {"type": "string", "pattern": f"^{GROUP}$"}),
        "agree": choice,
        "password_file": PATH,
        "secret_file": PATH,
    },
)


def _read_shared(node: YamlNode, report: Report) -> SharedKeys | None:
    before = report.errors
    given = read_keys(node, report, SHARED, "what servers share")
    if "url" not in given and report.errors == before:
        report.error(node, "no Redis or Valkey", "write {url: redis://192.0.2.60, group: out}")
    return None if report.errors > before else SharedKeys(**given)


SHARED_SETTING = ValueType(_read_shared, objects(SHARED, "url"))

NO_NODE = "`shared` without `node`: the others must know this server by a name of its own"
NODE_HOW = "write node: ns1, or set GEODNS_NODE"


def shared_beside(
    keys: SharedKeys,
    node: YamlNode,
    folder: Path,
    report: Report,
    *,
    foreign: str,
    read: ReadFile = read_whole,
) -> SharedSettings | None:
    """Return the settings with the secrets that stand in files; None: the report says why not.

    Args:
        keys: as they were read.
        node: the mapping.
        folder: of the settings' file.
        report: of that file.
        foreign: why another user than the server's may be unable to read a secret; empty: this is the server.
        read: reads a secret's file.

    """
    before = report.errors
    found: dict[str, bytes | None] = {}
    for name, least in (("password", 1), ("secret", MIN_SECRET)):
        path: Path | None = getattr(keys, f"{name}_file")
        at = node.items[f"{name}_file"][1] if isinstance(node, Mapping) and path is not None else node
        found[name] = None if path is None else _secret(folder / path, at, least, report, foreign, read)
    if keys.secret_file is None and not parse_url(keys.url).near:
        report.warn(
            node,
            "`shared` without secret_file: whoever may write to that Redis can take hosts out",
            "write secret_file, and the same secret on all servers of the group",
        )
    if report.errors > before:
        return None
    return SharedSettings(url=keys.url, group=keys.group, agree=keys.agree, **found)


def _secret(
    file: Path, at: YamlNode, least: int, report: Report, foreign: str, read: ReadFile
) -> bytes | None:
    try:
        text = read(file)
    except OSError as error:
        if foreign and isinstance(error, PermissionError):
            report.warn(at, f"{file} was not looked at: {foreign}")
        else:
            report.error(at, f"{file} cannot be read ({error.strerror})", _SECRET_HOW)
        return None
    secret = text.strip()
    if len(text) > MAX_SECRET or b"\n" in secret or b"\0" in secret:
        report.error(at, f"{file} has more than one line", _SECRET_HOW)
    elif not secret:
        report.error(at, f"{file} is empty", _SECRET_HOW)
    elif len(secret) < least:
        report.error(at, f"{file} has fewer than {least} bytes", _SECRET_HOW)
    return secret
