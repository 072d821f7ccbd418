"""Kinds of values that only checks have: keywords, patterns, mailboxes, status codes."""

import re
from collections.abc import Collection
from typing import NamedTuple

from geodns.config import regex, yaml_nodes
from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, ValueType, items_of, text_of, whole
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.zonefile.names import is_host_label

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")  # RFC 5321 section 4.1.1.1: ehlo-keyword
_MAILBOX = re.compile(r"[!-;=?-~]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}|postmaster", re.IGNORECASE)
_PATH = re.compile(r"/[!-~]*")
_STATUS = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 section 5.1: token


def _read_name(node: YamlNode, report: Report) -> str | None:
    instead = "write a domain name, as mta1.example.net"
    text = text_of(node, report, "a name", instead)
    if text is None:
        return None
    name = text.removesuffix(".").lower()
    if len(name) > 253 or not all(map(is_host_label, name.split("."))):
        report.error(node, f"{quoted(text)} is no name of a host", instead)
        return None
    return name


NAME = ValueType(_read_name, {"type": "string"})


def _read_pattern(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a regular expression", "write one, as '^mta[0-9]+ ESMTP'")
    if text is not None and (wrong := regex.trouble(text)) is not None:
        report.error(node, *wrong)
        return None
    return text


PATTERN = ValueType(_read_pattern, {"type": "string", "format": "regex"})


def _read_patterns(node: YamlNode, report: Report) -> tuple[tuple[str, str], ...] | None:
    instead = "write names and regular expressions, as {Content-Type: ^application/json}"
    if not isinstance(node, yaml_nodes.Mapping) or not node.items:
        report.error(node, "no headers of a response", instead)
        return None
    found = []
    for key, value in node.items.values():
        if _HEADER.fullmatch(key.text) is None:
            report.error(key, f"{quoted(key.text)} is no name of a header", instead)
            continue
        pattern = _read_pattern(value, report)
        if pattern is not None:
            found.append((key.text.lower(), pattern))
    return tuple(found)


PATTERNS = ValueType(
    _read_patterns, {"type": "object", "additionalProperties": PATTERN.schema, "minProperties": 1}
)


def _list_of(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _read_keywords(node: YamlNode, report: Report) -> tuple[str, ...] | None:
    instead = "write EHLO keywords without their parameters, as [SIZE, STARTTLS, 8BITMIME]"
    found: dict[str, None] = {}
    for item in items_of(node):
        text = text_of(item, report, "an EHLO keyword", instead)
        if text is None:
            return None
        if _KEYWORD.fullmatch(text) is None:
            report.error(item, f"{quoted(text)} is no EHLO keyword", instead)
            return None
        found[text.upper()] = None
    if not found:
        report.error(node, "no keyword", instead)
        return None
    return tuple(found)


KEYWORDS = ValueType(_read_keywords, _list_of({"type": ["string", "integer"]}))


def _read_mailbox(node: YamlNode, report: Report) -> str | None:
    instead = "write a mailbox, as postmaster@example.net"
    if isinstance(node, Scalar) and node.text in {"", "<>"} and not node.plain:
        return ""
    text = text_of(node, report, "a mailbox", instead)
    if text is None:
        return None
    if _MAILBOX.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} is no mailbox", instead)
        return None
    return text


MAILBOX = ValueType(_read_mailbox, {"type": "string"})


def _read_path(node: YamlNode, report: Report) -> str | None:
    instead = "write it with its first slash, as /healthz"
    text = text_of(node, report, "a path", instead)
    if text is None:
        return None
    if _PATH.fullmatch(text) is None or "#" in text or len(text) > 2000:
        report.error(node, f"{quoted(text)} is no path", instead)
        return None
    return text


PATH = ValueType(_read_path, {"type": "string", "pattern": "^/[!-~]*$"})


def _read_status(node: YamlNode, report: Report) -> tuple[tuple[int, int], ...] | None:
    instead = "write 200, 2xx or 200-399, or a list of these"
    found = []
    for item in items_of(node):
        text = text_of(item, report, "a status code", instead)
        if text is None:
            return None
        code = _STATUS.fullmatch(text)
        if code is None or int(code[3] or 599) < int(code[2] or 0):
            report.error(item, f"{quoted(text)} is no HTTP status", instead)
            return None
        first = int(code[2] or f"{code[1]}00")
        found.append((first, int(code[3] or (code[2] or f"{code[1]}99"))))
    if not found:
        report.error(node, "no status code", instead)
        return None
    return tuple(found)


STATUS = ValueType(_read_status, _list_of({"type": ["string", "integer"]}))

MAX_CHECKS = 16
"""That one pool may name."""

_FORMS = "write a name, [a, b] when all must pass, {any_of: [a, b]}, or {need: 2, of: [a, b, c]}"
_NEED = whole(1, MAX_CHECKS, "need")
_NAMES: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_CHECKS},
    ]
}

JURY_SCHEMA: Schema = {
    "anyOf": [
        *_NAMES["anyOf"],
        {
            "type": "object",
            "properties": {"any_of": _NAMES},
            "required": ["any_of"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"need": _NEED.schema, "of": _NAMES},
            "required": ["need", "of"],
            "additionalProperties": False,
        },
    ]
}


class Named(NamedTuple):
    """The checks of a pool by name, and how many of them must pass."""

    checks: tuple[str, ...]
    need: int


def read_check_policy(node: YamlNode, report: Report, known: Collection[str]) -> Named | None:
    """Read which checks judge a pool's hosts.

    Args:
        node: what stands at `check`.
        report: takes the problems.
        known: the names of the checks there are.

    Returns:
        None when the report says why not.

    """
    if not isinstance(node, yaml_nodes.Mapping):
        names = _names(node, report, known)
        return None if names is None else Named(names, len(names))
    before = report.errors
    for word, (key, _) in node.items.items():
        if word not in {"any_of", "need", "of"}:
            report.unknown(key, "unknown key", word, ["any_of", "need", "of"])
    some, need, of = (node.get(word) for word in ("any_of", "need", "of"))
    if report.errors > before:
        return None
    if some is not None and (need is not None or of is not None):
        report.error(node, "`any_of` beside `need` and `of`", "take one out: any_of is a need of 1")
    elif some is not None:
        names = _names(some, report, known)
        return None if names is None else Named(names, 1)
    elif need is None or of is None:
        what = "which checks a pool needs is not said" if of is None else "`of` without `need`"
        report.error(node, what, _FORMS)
    else:
        number, names = _NEED.read(need, report), _names(of, report, known)
        if number is None or names is None:
            return None
        if number <= len(names):
            return Named(names, number)
        report.error(need, f"need {number} of {len(names)} checks", f"write at most {len(names)}")
    return None


def _names(node: YamlNode, report: Report, known: Collection[str]) -> tuple[str, ...] | None:
    before = report.errors
    names: dict[str, None] = {}
    items = items_of(node)
    if not items:
        report.error(node, "a pool's `check` without a check", f"{_FORMS}; or take it out")
    if len(items) > MAX_CHECKS:
        report.error(node, f"{len(items)} checks for one pool", f"name at most {MAX_CHECKS}")
        return None
    for item in items:
        text = text_of(item, report, "a check's name", _FORMS)
        if text is None:
            continue
        if text not in known:
            report.unknown(item, "no check is called", text, known)
        if text in names:
            report.error(item, f"check {quoted(text)} is named twice", "take one out")
        names[text] = None
    return tuple(names) if report.errors == before else None
