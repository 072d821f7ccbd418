"""The key `check` of a pool: which checks judge its hosts, and how many of these must pass."""

from collections.abc import Collection
from typing import NamedTuple

from geodns.config import yaml_nodes
from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, items_of, one_or_more, text_of, whole
from geodns.config.yaml_nodes import YamlNode

MAX_CHECKS = 16
"""Checks that one pool may name."""

NO_CHECK = "none"
"""The word for no check at all; no check may be called so."""

_FORMS = "write a name, [a, b] when all must pass, {any_of: [a, b]}, {need: 2, of: [a, b, c]}, or none"
_NEED = whole(1, MAX_CHECKS, "need")
_NAMES: Schema = one_or_more({"type": "string"}, minItems=1, maxItems=MAX_CHECKS)

CHECK_POLICY_SCHEMA: Schema = {
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


class ChecksByName(NamedTuple):
    """The checks of a pool by name, and how many of them must pass."""

    checks: tuple[str, ...]
    need: int


def read_check_policy(node: YamlNode, report: Report, known: Collection[str]) -> ChecksByName | None:
    """Read which of the known checks judge a pool's hosts; None when the report says why not."""
    if isinstance(node, yaml_nodes.Mapping):
        return _read_forms(node, report, known)
    if isinstance(node, yaml_nodes.Scalar) and node.text == NO_CHECK:
        return ChecksByName((), 1)
    names = _names(node, report, known)
    return None if names is None else ChecksByName(names, len(names))


def _read_forms(node: yaml_nodes.Mapping, report: Report, known: Collection[str]) -> ChecksByName | None:
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
        return None if names is None else ChecksByName(names, 1)
    elif need is None or of is None:
        what = "which checks a pool needs is not said" if of is None else "`of` without `need`"
        report.error(node, what, _FORMS)
    else:
        number, names = _NEED.read(need, report), _names(of, report, known)
        if number is None or names is None:
            return None
        if number <= len(names):
            return ChecksByName(names, number)
        report.error(need, f"need {number} of {len(names)} checks", f"write at most {len(names)}")
    return None


def _names(node: YamlNode, report: Report, known: Collection[str]) -> tuple[str, ...] | None:
    before = report.errors
    names: dict[str, None] = {}
    items = items_of(node)
    if not items:
        report.error(node, "a pool's `check` without a check", _FORMS)
    if len(items) > MAX_CHECKS:
        report.error(node, f"{len(items)} checks for one pool", f"name at most {MAX_CHECKS}")
        return None
    for item in items:
        text = text_of(item, report, "a check's name", _FORMS)
        if text is None:
            continue
        if text == NO_CHECK:
            report.error(item, "`none` among checks", "write `check: none`, or the checks alone")
        elif text not in known:
            report.unknown(item, "no check is called", text, known)
        if text in names:
            report.error(item, f"check {quoted(text)} is named twice", "take one out")
        names[text] = None
    return tuple(names) if report.errors == before else None
