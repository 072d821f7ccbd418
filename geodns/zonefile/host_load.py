"""The key `load` of a host: its keys, selectors of metrics, paths in JSON, and their reading."""

import math
import re
from typing import Any, cast
from urllib.parse import urlsplit

from geodns.config import regex, yaml_nodes
from geodns.config.keys import keys_of, read_keys
from geodns.config.report import Report, quoted
from geodns.config.value_types import ValueType, duration, part, text_of
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.model.hosts import Load, Matcher, Metric
from geodns.zonefile.sections import written_out

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
    """Return the selector of a text: a name, and perhaps matchers of labels in braces; raises ValueError."""
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
        wrong = regex.trouble(value)
        if wrong is not None:
            raise ValueError(": ".join(wrong))
    return Matcher(label=label, op=cast(Any, op), value=value)


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the keys and indexes of a path in JSON; raises ValueError."""
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


URL_EXAMPLE = "http://mta1.example.net:9154/metrics"
MAX_URL = 2000
"""Characters."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?|\.[0-9]{1,9}")


def url_problem(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a URL and what to write instead; None when it is good."""
    write = f"write one as {URL_EXAMPLE}"
    if _URL.fullmatch(text) is None or len(text) > MAX_URL:
        return f"{quoted(text)} is no URL of http or https", write
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"{quoted(text)} is no URL: {error}", write
    if not host or port == 0:
        return f"{quoted(text)} names no {'host' if not host else 'port'}", write
    if "@" in parts.netloc:
        return "a URL with a password", "the status would show it: let this machine ask without one"
    if parts.fragment:
        return f"a URL with the fragment {quoted(parts.fragment)}", "servers never see it: take it out"
    return None


def _read_full(node: YamlNode, report: Report) -> float | None:
    instead = "write the value at which the host has as much as it can bear, as 2000 or 0.8"
    text = text_of(node, report, "a number", instead)
    if text is None:
        return None
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not number > 0:
        report.error(node, f"{quoted(text)} is no number over 0", instead)
        return None
    return number


FULL = ValueType(_read_full, {"type": "number", "exclusiveMinimum": 0, "maximum": 1e15})


def _read_absent(node: YamlNode, report: Report) -> float | None:
    instead = "write the value that an answer without it stands for, as 0"
    text = text_of(node, report, "a number", instead)
    if text is not None and _NUMBER.fullmatch(text) is None:
        report.error(node, f"{quoted(text)} is no number from 0 on", instead)
        return None
    return None if text is None else float(text)


ABSENT = ValueType(
    _read_absent, {"type": "number", "minimum": 0, "maximum": 1e15}, "number", lambda value: f"{value:g}"
)


def _read_path(node: YamlNode, report: Report) -> tuple[str | int, ...] | None:
    instead = f"write keys and indexes, as {PATH_EXAMPLE}"
    text = text_of(node, report, "a path in JSON", instead)
    if text is None:
        return None
    try:
        return parse_path(text)
    except ValueError as error:
        report.error(node, f"{quoted(text)} is no path in JSON: {error}", instead)
        return None


JSON_PATH = ValueType(_read_path, {"type": ["string", "integer"]})


def _read_metric(node: YamlNode, report: Report) -> Metric | None:
    instead = f"write a metric's name and labels, as {METRIC_EXAMPLE}"
    text = text_of(node, report, "a metric", instead)
    if text is None:
        return None
    try:
        return parse_metric(text)
    except ValueError as error:
        report.error(node, f"{quoted(text)} is no metric: {error}", instead)
        return None


METRIC = ValueType(_read_metric, {"type": "string", "pattern": r"^[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{.*\})?\s*$"})


def _read_url(node: YamlNode, report: Report) -> YamlNode | None:
    # As it stands: it may have a range, and is looked at when that is written out.
    return None if text_of(node, report, "a URL", f"write one as {URL_EXAMPLE}") is None else node


URL = ValueType(_read_url, {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"})

LOAD = keys_of(
    Load,
    {
        "url": URL,
        "metric": METRIC,
        "json": JSON_PATH,
        "absent": ABSENT,
        "full": FULL,
        "floor": part,
        "interval": duration,
        "timeout": duration,
        "stale": duration,
    },
    fields={"json": "path"},
    defaults={"absent": "no value: after `stale` a warning"},
)

_ASKED = ("metric", "json", "absent", "interval", "timeout")
"""Keys that need a `url`."""


def read_loads(node: YamlNode, count: int, report: Report) -> list[Load] | None:
    """Read a load for so many hosts, a range in its URL written out; None where the report says why not."""
    before = report.errors
    given = read_keys(node, report, LOAD, "a load")
    if not isinstance(node, yaml_nodes.Mapping):
        if report.errors == before:
            report.error(node, "an empty load", "write {url: …, metric: …, full: …}")
        return None
    if "full" not in node.items:
        what = "a load without `full`"
        report.error(node, what, "write the value at which the host has as much as it can bear")
    asked = "url" in node.items
    if asked:
        _check_source(node, report)
    for word in _ASKED:
        if word in node.items and not asked:
            instead = "give the URL as well; without one the load is pushed, as a number"
            report.error(node.place(word), f"`{word}` without `url`", instead)
    times = _times(node, given, report)
    urls: tuple[str | None, ...] = (None,) * count
    if "url" in given:
        urls = _urls(given["url"], count, report)
    if report.errors > before:
        return None
    kept = {word: given[word] for word in ("full", "floor", "metric", "absent") if word in given}
    return [Load(url=url, path=given.get("json", ()), **kept, **times) for url in urls]


def _check_source(node: yaml_nodes.Mapping, report: Report) -> None:
    found = [word for word in ("metric", "json") if word in node.items]
    if not found:
        instead = f"write `metric: '{METRIC_EXAMPLE}'`, or `json: queues.active`"
        report.error(node.place("url"), "`url` without `metric` or `json`", instead)
    elif len(found) > 1:
        report.error(node.place("json"), "`json` beside `metric`", "take one of the two out")


def _times(node: yaml_nodes.Mapping, given: dict[str, Any], report: Report) -> dict[str, float]:
    """Return the times; those that are not given fit those that are."""
    plain = Load(full=1)
    interval = given.get("interval", plain.interval)
    timeout = given.get("timeout", min(plain.timeout, interval))
    stale = given.get("stale", max(plain.stale, 3 * interval))
    if timeout > interval:
        what = f"timeout {timeout:g}s is over interval {interval:g}s"
        report.error(node.place("timeout"), what, f"write at most {interval:g}s")
    if "stale" in given and "url" in given and stale <= interval:
        what = f"stale {stale:g}s is not over interval {interval:g}s"
        report.error(node.place("stale"), what, f"no value would last to the next: write {3 * interval:g}s")
    return {"interval": interval, "timeout": timeout, "stale": stale}


def _urls(node: Scalar, count: int, report: Report) -> tuple[str | None, ...]:
    """Return each host's URL; a range is written out."""
    example = "http://mx[01-04].example.net:9154/metrics"
    shared = "{host}" in node.text or "{address}" in node.text
    texts = written_out(node.text, node, 0 if shared else count, "URLs", example, report) or ()
    if shared and len(texts) > 1:
        report.error(node, "a range beside {host} or {address}", "take one of the two: each host has its own")
        return ()
    if shared:
        texts = texts * count
    for text in texts:
        problem = url_problem(text)
        if problem is not None:
            report.error(node, *problem)
            break
    return texts
