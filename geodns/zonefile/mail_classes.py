"""The section `classes` of a zone file: its keys and their reading."""

import re

from geodns.config.keys import keys_of, objects, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, ValueType, entries_of, items_of, one_or_more, text_of
from geodns.config.yaml_nodes import YamlNode
from geodns.model.routes import HeaderSign, MailClass
from geodns.zonefile.sections import check_short_name

MAX_CLASSES = 100
MAX_SIGNS = 100
"""Headers of a class."""

_HEADER = re.compile("[!-9;-~]{1,100}")
"""A field's name (RFC 5322 section 3.6.8)."""
_VALUE = re.compile(r"[A-Za-z0-9_-]+(\|[A-Za-z0-9_-]+)*")
_MAX_VALUE = 500
_HOW = "write headers, as [{header: List-Unsubscribe}, {header: Precedence, value: bulk|list}]"


def _read_header(node: YamlNode, report: Report) -> str | None:
    instead = "write the header's name alone, as List-Unsubscribe"
    text = text_of(node, report, "a header's name", instead)
    if text is not None and _HEADER.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} is no header's name", instead)
        return None
    return text


def _read_value(node: YamlNode, report: Report) -> str | None:
    instead = "write words of letters, digits, - and _ with | between, as bulk|list: the whole value is one"
    text = text_of(node, report, "a header's value", instead)
    if text is not None and (len(text) > _MAX_VALUE or _VALUE.fullmatch(text) is None):
        report.error(node, f"{quoted(text)} is no value that every MTA can look for", instead)
        return None
    return text


HEADER_SIGN = keys_of(
    HeaderSign,
    {
        "header": ValueType(_read_header, {"type": "string", "pattern": "^[!-9;-~]+$"}),
        "value": ValueType(
            _read_value, {"type": "string", "pattern": f"^{_VALUE.pattern}$"}, "words with `|`"
        ),
    },
)
CLASS_SCHEMA: Schema = one_or_more(objects(HEADER_SIGN, "header"), minItems=1)


def read_classes(node: YamlNode | None, report: Report) -> tuple[MailClass, ...]:
    """Read the section; what is wrong with a class is reported, and it is left out."""
    entries = {} if node is None else entries_of(node, report, "classes", "write `bulk: [{header: …}]`")
    if node is not None and len(entries) > MAX_CLASSES:
        report.error(node, f"{len(entries)} classes", f"write at most {MAX_CLASSES}")
        return ()
    found: list[MailClass] = []
    first: dict[tuple[str, str | None], str] = {}
    for name, (key, body) in entries.items():
        check_short_name(key, report, "class")
        items = items_of(body)
        if not 0 < len(items) <= MAX_SIGNS:
            what = f"class {quoted(name)} with {len(items) or 'no'} headers"
            report.error(key, what, f"write at most {MAX_SIGNS}" if items else _HOW)
            continue
        signs: list[HeaderSign] = []
        for item in items:
            sign = _read_sign(item, report)
            if sign is None:
                continue
            told_by = _told_by(sign)
            if told_by in first:
                what = f"{_shown(sign)} is a sign of class {quoted(first[told_by])} already"
                report.warn(item, what, "take one out: the first class that fits counts")
            first.setdefault(told_by, name)
            signs.append(sign)
        if signs:
            found.append(MailClass(name=name, signs=tuple(signs)))
    return tuple(found)


def _read_sign(node: YamlNode, report: Report) -> HeaderSign | None:
    before = report.errors
    given = read_keys(node, report, HEADER_SIGN, "a header")
    if report.errors == before and "header" not in given:
        report.error(node, "a sign without `header`", "write {header: Precedence, value: bulk}")
    return HeaderSign(**given) if report.errors == before else None


def _told_by(sign: HeaderSign) -> tuple[str, str | None]:
    """Return a sign as MTAs compare it: case is nothing."""
    return sign.header.lower(), None if sign.value is None else sign.value.lower()


def _shown(sign: HeaderSign) -> str:
    return f"header {quoted(sign.header)}" + ("" if sign.value is None else f" with {quoted(sign.value)}")
