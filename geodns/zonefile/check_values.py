"""Types of values that only checks have: keywords, patterns, mailboxes, status codes."""

import re

from geodns.config import regex, yaml_nodes
from geodns.config.report import Report, quoted
from geodns.config.value_types import ValueType, items_of, one_or_more, text_of
from geodns.config.yaml_nodes import Scalar, YamlNode

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")  # RFC 5321 section 4.1.1.1: ehlo-keyword
_MAILBOX = re.compile(r"[!-;=?-~]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}|postmaster", re.IGNORECASE)
_PATH = re.compile(r"/[!-~]*")
_STATUS = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110 section 5.1: token


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


KEYWORDS = ValueType(_read_keywords, one_or_more({"type": ["string", "integer"]}, minItems=1))


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


MAX_SENT = 1000
"""Bytes to an agent."""


def _read_sent(node: YamlNode, report: Report) -> str | None:
    instead = 'write a text, as "mta1\\n" with quotation marks where it has a line end'
    text = text_of(node, report, "a text", instead)
    if text is not None and not 0 < len(text.encode()) <= MAX_SENT:
        report.error(node, f"{quoted(text)} has not 1 to {MAX_SENT} bytes", instead)
        return None
    return text


SENT = ValueType(_read_sent, {"type": "string", "minLength": 1, "maxLength": MAX_SENT})


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


STATUS = ValueType(
    _read_status,
    one_or_more({"type": ["string", "integer"]}, minItems=1),
    "status or list",
    lambda codes: ", ".join(f"{first}-{last}" for first, last in codes),
)
