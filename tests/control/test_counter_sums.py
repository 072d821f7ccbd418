"""Counters that go on in another process."""

import json
import logging
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from geodns.control import counter_sums
from geodns.control.counter_sums import CarriedRegistry, dump


class Process:
    """What one control process counts."""

    def __init__(self, before: bytes = b"", buckets: Iterable[float] = (0.1, 1.0)) -> None:
        self.registry = CarriedRegistry()
        self.asked = Counter("asked", "x", ["zone", "type"], registry=self.registry)
        self.plain = Counter("plain", "x", registry=self.registry)
        self.seconds = Histogram("seconds", "x", ["check"], buckets=tuple(buckets), registry=self.registry)
        self.up = Gauge("up", "x", registry=self.registry)
        self.registry.carry(before)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_counters_and_histograms_go_on_and_nothing_else_does() -> None:
    first = Process()
    first.asked.labels("a.example", "A").inc(3)
    first.asked.labels('b"\n.example', "MX").inc()
    first.plain.inc(2.5)
    first.seconds.labels("smtp").observe(0.05)
    first.seconds.labels("smtp").observe(7)
    first.up.set(4)
    second = Process(dump(first.registry))
    assert second.value("asked_total", zone="a.example", type="A") == 3, "nobody has counted it here yet"
    second.asked.labels("a.example", "A").inc()
    second.seconds.labels("smtp").observe(0.5)
    third = Process(dump(second.registry))
    third.plain.inc()
    assert third.value("asked_total", zone="a.example", type="A") == 4
    assert third.value("asked_total", zone='b"\n.example', type="MX") == 1
    assert third.value("plain_total") == 3.5
    buckets = [third.value("seconds_bucket", check="smtp", le=bound) for bound in ("0.1", "1.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert third.value("seconds_count", check="smtp") == 3
    assert third.value("seconds_sum", check="smtp") == pytest.approx(7.55)
    assert third.value("up") == 0
    assert third.value("plain_created") == first.value("plain_created"), "that is when counting began"
    text = generate_latest(third.registry).decode()
    assert {one.name for one in text_string_to_metric_families(text)} >= {"asked", "plain", "seconds", "up"}


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=5), max_size=5))
def test_nothing_is_lost_over_any_number_of_processes(lives: list[list[tuple[str, int]]]) -> None:
    data = b""
    sums: dict[str, int] = {}
    for life in lives:
        process = Process(data)
        for zone, number in life:
            process.asked.labels(zone, "A").inc(number)
            sums[zone] = sums.get(zone, 0) + number
        assert {zone: process.value("asked_total", zone=zone, type="A") for zone in sums} == sums
        data = dump(process.registry)


def test_what_collectors_count_themselves_goes_on_too() -> None:
    class Own(Collector):
        number = 0

        def collect(self) -> Iterable[Metric]:
            family = CounterMetricFamily("nuisances", "x", labels=["kind"])
            if self.number:
                family.add_metric(["rude"], self.number)
            yield family

    first, second = CarriedRegistry(), CarriedRegistry()
    own = Own()
    for one in (first, second):
        one.register(own)
    own.number = 5
    second.carry(dump(first))
    assert second.get_sample_value("nuisances_total", {"kind": "rude"}) == 10
    own.number = 0
    assert second.get_sample_value("nuisances_total", {"kind": "rude"}) == 5


def test_what_the_next_version_does_not_know_is_dropped() -> None:
    first = CarriedRegistry()
    Counter("gone", "x", registry=first).inc()
    Counter("asked", "x", ["zone"], registry=first).labels("a").inc()
    Gauge("plain", "x", registry=first).set(9)
    ProcessCollector(registry=first)
    data = dump(first)
    assert b"process_" not in zlib.decompress(data)
    second = Process(data)
    second.asked.labels("b", "A").inc()
    assert second.value("gone_total") is None
    assert second.value("asked_total", zone="a") is None, "labels of other names"
    assert second.value("plain_total") == 0


def test_other_buckets_begin_anew() -> None:
    first = Process()
    first.seconds.labels("smtp").observe(0.5)
    second = Process(dump(first.registry), buckets=(0.2, 2.0))
    second.seconds.labels("smtp").observe(0.5)
    assert second.value("seconds_count", check="smtp") == 1


def _packed(what: Any) -> bytes:
    return zlib.compress(json.dumps(what).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"no zlib",
        zlib.compress(b"no json"),
        _packed([1]),
        _packed({"plain": 3}),
        _packed({"plain": [["plain_total", {}, "many"]]}),
        _packed({"plain": [["plain_total", None, 1]]}),
        _packed({"plain": [1]}),
        _packed({"plain": []})[:-2],
    ],
)
def test_what_cannot_be_read_is_said_and_counts_from_nought(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(data)
    assert process.value("plain_total") == 0
    assert "counters begin anew" in caplog.text


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(counter_sums, "MOST", 10)
    process = Process()
    for number in range(20):
        process.asked.labels(str(number), "A").inc()
    process.plain.inc()
    with caplog.at_level(logging.WARNING):
        after = Process(dump(process.registry))
    assert after.value("plain_total") == 1
    assert after.value("asked_total", zone="1", type="A") is None
    assert "those of asked begin anew" in caplog.text
    monkeypatch.setattr(counter_sums, "MAX_BYTES", 10)
    assert Process(dump(process.registry)).value("plain_total") == 0
