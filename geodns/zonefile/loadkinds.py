"""Kinds of values that only a host's load has: where it is asked, and which number of the answer it is."""

import math
import re
from urllib.parse import urlsplit

from geodns.model import Metric
from geodns.report import Report, quoted
from geodns.scalars import Kind, text_of
from geodns.selectors import METRIC_EXAMPLE, PATH_EXAMPLE, parse_metric, parse_path
from geodns.yamltext import Node

URL_EXAMPLE = "http://mta1.example.net:9154/metrics"
MAX_URL = 2000
"""Characters."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?|\.[0-9]{1,9}")


def url_problem(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a URL and what to write instead; None when it can be asked."""
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


def _read_url(node: Node, report: Report) -> Node | None:
    # As it stands: it may have a range, and is looked at when that is written out.
    return None if text_of(node, report, "a URL", f"write one as {URL_EXAMPLE}") is None else node


URL = Kind(_read_url, {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"})


def _read_metric(node: Node, report: Report) -> Metric | None:
    instead = f"write a metric's name and labels, as {METRIC_EXAMPLE}"
    text = text_of(node, report, "a metric", instead)
    if text is None:
        return None
    try:
        return parse_metric(text)
    except ValueError as error:
        report.error(node, f"{quoted(text)} is no metric: {error}", instead)
        return None


METRIC = Kind(_read_metric, {"type": "string", "pattern": r"^[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{.*\})?\s*$"})


def _read_path(node: Node, report: Report) -> tuple[str | int, ...] | None:
    instead = f"write keys and indexes, as {PATH_EXAMPLE}"
    text = text_of(node, report, "a path in JSON", instead)
    if text is None:
        return None
    try:
        return parse_path(text)
    except ValueError as error:
        report.error(node, f"{quoted(text)} is no path in JSON: {error}", instead)
        return None


JSON_PATH = Kind(_read_path, {"type": ["string", "integer"]})


def _read_full(node: Node, report: Report) -> float | None:
    instead = "write the value at which the host has as much as it can bear, as 2000 or 0.8"
    text = text_of(node, report, "a number", instead)
    if text is None:
        return None
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not number > 0:
        report.error(node, f"{quoted(text)} is no number over 0", instead)
        return None
    return number


FULL = Kind(_read_full, {"type": "number", "exclusiveMinimum": 0, "maximum": 1e15})
