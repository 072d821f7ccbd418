"""Polls the URLs that give the load of hosts, and reads Prometheus' text or JSON from the answers.

A URL is asked once for all hosts and metrics that it gives. The poller has its own connections, its own
threads for names and for reading answers, and its own bound on questions at once: no probe or order ever
waits for it. A failure is reported, and changes no weight by itself.
"""

import asyncio
import json
import logging
import math
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple, TextIO, cast

from prometheus_client.samples import Sample

from geodns.config import regex
from geodns.config.report import quoted
from geodns.health.outcome import one_line
from geodns.model.hosts import Load, Matcher, Metric, path_text
from geodns.signals.http_client import HttpClient, UnreadError

log = logging.getLogger(__name__)

MAX_LINE = 4096
"""Characters of a sample's line; reading one costs the square of that."""
MAX_LABELS = 64
"""Of a sample."""
MAX_SAMPLES = 10_000
"""Of a metric."""
MAX_TIME = 0.25
"""Seconds of computing for one answer: nothing else computes in Python meanwhile."""
CONCURRENCY = 64
"""Questions at once; where many hosts do not answer, the others must not wait long for them."""
JITTER = 0.1
"""The part of its interval by which a question comes earlier or later, so that not all come together."""

_HEADERS = {"Accept": "text/plain;version=0.0.4, application/json;q=0.9, */*;q=0.1"}


class PollPlan(NamedTuple):
    """The polling of one URL.

    Attributes:
        interval: seconds from one question to the next: the shortest that a host wants.
        timeout: seconds for a whole answer: the longest that a host allows, within the interval.
        loads: those that each answer gives.

    """

    interval: float
    timeout: float
    loads: frozenset[Load]


def plans(loads: Iterable[Load]) -> dict[str, PollPlan]:
    """Return the plan of each URL; loads without one are pushed, not polled."""
    by_url: dict[str, set[Load]] = {}
    for load in loads:
        if load.url is not None:
            by_url.setdefault(load.url, set()).add(load)
    found = {}
    for url, some in by_url.items():
        interval = min(load.interval for load in some)
        found[url] = PollPlan(interval, min(interval, max(load.timeout for load in some)), frozenset(some))
    return found


class LoadSources:
    """The URLs that are polled.

    Args:
        took: takes a value.
        failed: takes why there is none.
        rng: spreads the questions.

    """

    def __init__(
        self, took: Callable[[Load, float], None], failed: Callable[[Load, str], None], rng: random.Random
    ) -> None:
        self._took = took
        self._failed = failed
        self._rng = rng
        self._plans: dict[str, PollPlan] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: set[asyncio.Task[None]] = set()
        self._client = HttpClient(CONCURRENCY, "load-names")
        self._room = asyncio.Semaphore(CONCURRENCY)
        self._reader = ThreadPoolExecutor(1, "load-answers")
        """One thread: several would only take turns."""

    def follow(self, loads: Collection[Load]) -> None:
        """Poll for these loads and no others; a URL whose plan stays the same is not disturbed."""
        wanted = plans(loads)
        for url in self._plans.keys() - wanted.keys():
            self._end(url)
        for url, plan in wanted.items():
            if self._plans.get(url) != plan:
                self._end(url)
                self._tasks[url] = asyncio.get_running_loop().create_task(self._go_on(url, plan))
        self._plans = wanted

    def _end(self, url: str) -> None:
        task = self._tasks.pop(url, None)
        if task is not None:
            task.cancel()
            self._ended.add(task)
            task.add_done_callback(self._ended.discard)

    async def close(self) -> None:
        for url in list(self._tasks):
            self._end(url)
        await asyncio.gather(*self._ended, return_exceptions=True)
        self._plans = {}
        await self._client.close()
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def _go_on(self, url: str, plan: PollPlan) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._rng.uniform(0, plan.interval))
        while True:
            begun = loop.time()
            async with self._room:
                try:
                    body = (await self._client.get(url, plan.timeout, _HEADERS)).decode("utf-8", "replace")
                    found = await loop.run_in_executor(self._reader, _read, body, plan.loads)
                except UnreadError as error:
                    found = dict.fromkeys(plan.loads, str(error))
                except Exception:
                    log.exception("a load could not be asked for")
                    found = dict.fromkeys(plan.loads, "a fault of the server's own: its log says more")
            for load, result in found.items():
                if isinstance(result, str):
                    self._failed(load, result)
                else:
                    self._took(load, result)
            pause = plan.interval * self._rng.uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(max(0.0, begun + pause - loop.time()))


# --- reading an answer ----------------------------------------------------------------------------------


def _read(body: str, loads: Iterable[Load]) -> dict[Load, float | str]:
    """Return each load that an answer gives, or why it gives none."""
    answer = LoadDocument(body)
    found: dict[Load, float | str] = {}
    for load in loads:
        try:
            found[load] = answer.value(load)
        except ValueError as error:
            found[load] = one_line(str(error))
    return found


def as_load(value: object) -> float:
    """Return a value as a load, or raise ValueError: it is no number, not finite, or below 0."""
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


_SAMPLE = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{|[ \t]+[-+.0-9NI])")
"""The beginning of a line with a sample."""


class _AbsentError(ValueError):
    """An answer that can be read lacks the value."""


class LoadDocument:
    """An answer; each part of its text is parsed once, however many loads are read from it."""

    def __init__(self, body: str) -> None:
        self._body = body
        self._samples: dict[str, list[Sample]] = {}
        self._groups: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], list[Sample]]] = {}
        """Samples of a name by some of their labels: many hosts read one answer, each by its own label."""
        self._end = time.thread_time() + MAX_TIME

    def value(self, load: Load) -> float:
        """Return a load, or raise ValueError: the answer does not give it."""
        try:
            return self._number(load.path) if load.metric is None else self._sum(load.metric)
        except _AbsentError:
            if load.absent is None:
                raise
            return load.absent

    def _sum(self, metric: Metric) -> float:
        same = {one.label: one.value for one in metric.matchers if one.op == "="}
        samples = self._grouped(metric.name, tuple(same)).get(tuple(same.values()), ())
        values = [as_load(float(sample.value)) for sample in samples if self._fits(metric, sample)]
        if not values:
            self._expect_samples()
            raise _AbsentError(f"no sample matches {metric}")
        return as_load(sum(values))

    def _grouped(self, name: str, labels: tuple[str, ...]) -> dict[tuple[str, ...], list[Sample]]:
        """Return the samples of a name by their values of these labels."""
        found = self._groups.get((name, labels))
        if found is not None:
            return found
        if name not in self._samples:
            self._samples[name] = self._read(name)
        found = self._groups[name, labels] = {}
        for sample in self._samples[name]:
            self._look_at_clock()
            found.setdefault(tuple(sample.labels.get(label, "") for label in labels), []).append(sample)
        return found

    def _expect_samples(self) -> None:
        """Raise ValueError if the first line is no sample: an error page must not pass for an empty queue."""
        stripped = (line.strip() for line in self._body.split("\n"))
        first = next((line for line in stripped if line and not line.startswith("#")), "")
        if first and _SAMPLE.match(first) is None:
            raise ValueError(f"no text in Prometheus' format: {quoted(first[:80])}")

    def _fits(self, metric: Metric, sample: Sample) -> bool:
        self._look_at_clock()
        return all(_fits(one, sample.labels) for one in metric.matchers)

    def _look_at_clock(self) -> None:
        if time.thread_time() > self._end:
            raise ValueError(f"the answer takes more than {MAX_TIME:g} s to read: let the URL give less")

    def _read(self, name: str) -> list[Sample]:
        # It takes long to load, and who reads a zone file needs none of it.
        from prometheus_client.parser import text_fd_to_metric_families  # noqa: PLC0415 - see above

        try:
            families = list(text_fd_to_metric_families(cast("TextIO", self._lines(name))))
        except (ValueError, IndexError, KeyError) as error:
            raise ValueError(f"no text in Prometheus' format: {error}") from error
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        if any(len(sample.labels) > MAX_LABELS for sample in samples):
            raise ValueError(f"a sample of {name} has more than {MAX_LABELS} labels")
        return samples

    def _lines(self, name: str) -> Iterator[str]:
        """Return the lines of a metric: there may be many others, and parsing is not cheap."""
        number = 0
        for raw in self._body.split("\n"):
            if name not in raw or not (line := raw.lstrip(" \t")).startswith(name):
                continue
            number += 1
            if number > MAX_SAMPLES:
                raise ValueError(f"more than {MAX_SAMPLES:,} lines of {name}")
            if len(line) > MAX_LINE:
                raise ValueError(f"a line of {name} is longer than {MAX_LINE} characters")
            self._look_at_clock()
            yield line

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
                raise _AbsentError(f"the JSON has no {path_text(path[:number])}")
            node = node[step]
        try:
            return as_load(node)
        except ValueError as error:
            raise ValueError(f"{path_text(path)}: {error}") from error


def _fits(matcher: Matcher, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.label, "")
    if matcher.op.endswith("~"):
        try:
            return regex.fits(matcher.value, value) is (matcher.op == "=~")
        except TimeoutError:
            shown = f"{matcher.label}{matcher.op}{quoted(matcher.value)}"
            raise ValueError(f"it takes too long to tell whether {shown}: {regex.SLOWLY}") from None
    return (value == matcher.value) is (matcher.op == "=")
