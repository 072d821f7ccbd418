"""The key `load` of a host → models, one for each host of a range."""

from typing import Any

from geodns import yamltext
from geodns.model import Load
from geodns.report import Report, quoted
from geodns.scalars import read_keys
from geodns.selectors import METRIC_EXAMPLE
from geodns.yamltext import Node, Scalar
from geodns.zonefile import patterns
from geodns.zonefile.keys import LOAD
from geodns.zonefile.loadkinds import url_problem

_ASKED = ("metric", "json", "interval", "timeout")
"""What only has a meaning where somebody is asked."""


def read_loads(node: Node, count: int, report: Report) -> list[Load] | None:
    """Read how busy so many hosts may be; what is wrong is reported, and None returned.

    Args:
        node: what stands under `load`.
        count: how many hosts it is for; a range in the URL must have as many.
        report: takes the problems.

    """
    before = report.errors
    given = read_keys(node, report, LOAD, "a load")
    if not isinstance(node, yamltext.Mapping):
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
    kept = {word: given[word] for word in ("full", "floor", "metric") if word in given}
    return [Load(url=url, path=given.get("json", ()), **kept, **times) for url in urls]


def _check_source(node: yamltext.Mapping, report: Report) -> None:
    found = [word for word in ("metric", "json") if word in node.items]
    if not found:
        instead = f"write `metric: '{METRIC_EXAMPLE}'`, or `json: queues.active`"
        report.error(node.place("url"), "`url` without `metric` or `json`", instead)
    elif len(found) > 1:
        report.error(node.place("json"), "`json` beside `metric`", "take one of the two out")


def _times(node: yamltext.Mapping, given: dict[str, Any], report: Report) -> dict[str, float]:
    """Return the times; those that are not given go with those that are."""
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
    try:
        texts = patterns.expand(node.text)
    except ValueError as error:
        what, _, instead = str(error).rpartition(": ")
        report.error(node, what, instead)
        return ()
    if count and len(texts) != count:
        what = f"{quoted(node.text)} stands for {len(texts)} of {count} hosts' URLs"
        instead = (
            f"write as many as there are hosts: {count}, as in http://mx[01-04].example.net:9154/metrics"
        )
        report.error(node, what, instead)
        return ()
    for text in texts:
        problem = url_problem(text)
        if problem is not None:
            report.error(node, *problem)
            break
    return texts
