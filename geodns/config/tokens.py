"""Tokens that let HTTP clients in: their scopes, and the files they stand in."""

import re
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from geodns.config.settings_files import ReadFile, read_whole
from geodns.model.base import Frozen

Scope = Literal["read", "control", "signals"]
"""The rights of a token; ``control`` includes the others, ``signals`` is for telling what became of mail."""

_TOKEN = re.compile("[!-~]+")
_NAME = re.compile("[A-Za-z0-9._-]{1,32}")

HOW = "write one word of letters and digits, as `openssl rand -hex 32` makes"


class Token(Frozen):
    """A secret that lets its bearer in; `name` is whose it is, for the log of events."""

    scope: Scope
    secret: SecretStr
    name: str | None = None


def token_of(text: str, scope: Scope, name: str | None = None) -> Token:
    """Return a token; raises ValueError, without the secret in it, for what cannot stand in a header."""
    if _TOKEN.fullmatch(text) is None:
        raise ValueError("a token that is empty, has spaces or is not ASCII")
    return Token(scope=scope, secret=SecretStr(text), name=name)


def parse_tokens(text: str, scope: Scope) -> tuple[Token, ...]:
    """Read a file of tokens: one a line, each alone or after its name; empty lines and ``#`` are skipped.

    Several at once let an operator change tokens: add the new one, let the clients follow, remove the old.

    Raises:
        ValueError: what is wrong in which line, without the secret.

    """
    found: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name = words[0] if len(words) == 2 else None
        if len(words) > 2 or (name is not None and _NAME.fullmatch(name) is None):
            raise ValueError(f"line {number} is no token, and no name and token")
        try:
            found.append(token_of(words[-1], scope, name))
        except ValueError as error:
            raise ValueError(f"line {number} has {error}") from None
    if not found:
        raise ValueError("a token that is empty")
    return tuple(found)


def read_tokens(file: Path, scope: Scope, read: ReadFile = read_whole) -> tuple[Token, ...]:
    """Read a file of tokens.

    Raises:
        OSError: it cannot be read.
        ValueError: as `parse_tokens`.

    """
    try:
        text = read(file).decode()
    except UnicodeDecodeError as error:
        raise OSError(0, "not text") from error
    return parse_tokens(text, scope)
