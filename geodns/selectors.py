"""Which number of a text is a host's load: selectors of metrics, paths in JSON, and what they find.

The words are those that operators know: a selector of PromQL, and keys and indexes as in JavaScript.
"""

import json
import math
import re
from functools import cached_property
from typing import Any, cast

from prometheus_client.samples import Sample

from geodns import expressions
from geodns.model import Load, Matcher, Metric
from geodns.report import quoted

METRIC_EXAMPLE = 'postfix_queue_length{queue="active"}'
PATH_EXAMPLE = "queues.active or queues[0].size"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")  # the data model of Prometheus, without UTF-8 names
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*"""
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n"}
_STEP = re.compile(r"\[([0-9]{1,6})\]|([^.\[\]]{1,200})")


def parse_metric(text: str) -> Metric:
    """Return the selector that a text is: a name, and perhaps matchers of labels in braces.

    Raises:
        ValueError: it is none; says where it goes wrong.

    """
    name = _NAME.match(text)
    if name is None:
        raise ValueError("it does not begin with a metric's name")
    rest = text[name.end() :].strip()
    if not rest:
        return Metric(name=name[0])
    if not rest.startswith("{") or not rest.endswith("}"):
        raise ValueError(f"{quoted(rest)} after the name is no list of matchers")
    inner, at = rest[1:-1], 0
    matchers: list[Matcher] = []
    while inner[at:].strip():
        found = _MATCHER.match(inner, at)
        if found is None or inner[found.end() : found.end() + 1] not in {"", ","}:
            raise ValueError(f"{quoted(inner[at:].strip())} is no matcher")
        matchers.append(_matcher(found[1], found[2], found[3][1:-1]))
        at = found.end() + 1
    return Metric(name=name[0], matchers=tuple(matchers))


def _matcher(label: str, op: str, raw: str) -> Matcher:
    def meant(found: re.Match[str]) -> str:
        if found[1] in _ESCAPES:
            return _ESCAPES[found[1]]
        raise ValueError(f"{quoted(found[0])} stands for nothing in a value: for a backslash write two")

    value = _ESCAPE.sub(meant, raw)
    if op.endswith("~"):
        wrong = expressions.trouble(value)
        if wrong is not None:
            raise ValueError(": ".join(wrong))
    return Matcher(label=label, op=cast(Any, op), value=value)


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the keys and indexes that a path in JSON is made of.

    Raises:
        ValueError: it is none; says where it goes wrong.

    """
    steps: list[str | int] = []
    at = 0
    while at < len(text) or not steps:
        if steps and text[at] == "." and text[at + 1 : at + 2] != "[":
            at += 1
        elif steps and text[at] != "[":
            raise ValueError(f"{quoted(text[at:])} follows without a dot")
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"{quoted(text[at:])} is no key and no index" if text[at:] else "it ends early")
        steps.append(int(found[1]) if found[1] is not None else found[2])
        at = found.end()
    return tuple(steps)


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a path as it is written."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".")


def as_load(value: object) -> float:
    """Return a value that a load can have.

    Raises:
        ValueError: it is no number, not finite, or below 0.

    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} is no number")  # noqa: TRY004 - the text was wrong, not the call
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number} is no load: it must be finite")
    if number < 0:
        raise ValueError(f"{number:g} is no load: it must not be below 0")
    return number + 0.0  # -0.0 is 0


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


class Answer:
    """What a source has answered; however many loads are read from it, each part of it is read once.

    Args:
        body: its text.

    """

    def __init__(self, body: str) -> None:
        self._body = body
        self._samples: dict[str, list[Sample]] = {}

    def value(self, load: Load) -> float:
        """Return the load that it tells.

        Raises:
            ValueError: it tells none; says why.

        """
        return self._number(load.path) if load.metric is None else self._sum(load.metric)

    def _sum(self, metric: Metric) -> float:
        samples = self._samples.get(metric.name)
        if samples is None:
            samples = self._samples[metric.name] = _samples(self._body, metric.name)
        values = [
            as_load(float(sample.value))
            for sample in samples
            if all(_fits(one, sample.labels) for one in metric.matchers)
        ]
        if not values:
            raise ValueError(f"no sample matches {metric}")
        return as_load(sum(values))

    @cached_property
    def _json(self) -> Any:
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from error

    def _number(self, path: tuple[str | int, ...]) -> float:
        node = self._json
        for number, step in enumerate(path, 1):
            if isinstance(step, int):
                there = isinstance(node, list) and step < len(node)
            else:
                there = isinstance(node, dict) and step in node
            if not there:
                raise ValueError(f"the JSON has no {path_text(path[:number])}")
            node = node[step]
        try:
            return as_load(node)
        except ValueError as error:
            raise ValueError(f"{path_text(path)}: {error}") from error


def _samples(body: str, name: str) -> list[Sample]:
    """Return a metric's samples."""
    # Whoever reads a zone file needs none of it, and it takes long to load.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - see above

    # The rest of the text is none of our business: it may be large, and reading it is not cheap.
    lines = (line.lstrip(" \t") for line in body.split("\n") if name in line)
    meant = "\n".join(line for line in lines if line.startswith(name)) + "\n"
    try:
        families = list(text_string_to_metric_families(meant))
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"no text in Prometheus' format: {error}") from error
    return [sample for family in families for sample in family.samples if sample.name == name]


def _fits(matcher: Matcher, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.label, "")
    if matcher.op.endswith("~"):
        try:
            return expressions.fits(matcher.value, value) is (matcher.op == "=~")
        except TimeoutError:
            shown = f"{matcher.label}{matcher.op}{quoted(matcher.value)}"
            raise ValueError(f"it takes too long to tell whether {shown}: {expressions.SLOWLY}") from None
    return (value == matcher.value) is (matcher.op == "=")
