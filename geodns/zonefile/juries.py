"""A pool's `check`: one check's name, a list of which all must pass, or how many of several."""

from collections.abc import Collection
from typing import NamedTuple

from geodns import yamltext
from geodns.report import Report, quoted
from geodns.scalars import Schema, items_of, text_of, whole
from geodns.yamltext import Node

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


def read_jury(node: Node, report: Report, known: Collection[str]) -> Named | None:
    """Read which checks judge a pool's hosts.

    Args:
        node: what stands at `check`.
        report: takes the problems.
        known: the names of the checks there are.

    Returns:
        None when the report says why not.

    """
    if not isinstance(node, yamltext.Mapping):
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


def _names(node: Node, report: Report, known: Collection[str]) -> tuple[str, ...] | None:
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
