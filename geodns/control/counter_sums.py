"""Carries counters over to another control process, so that none of them ever falls."""

import json
import logging
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

log = logging.getLogger(__name__)

MOST = 200_000
"""Samples that are carried."""
MAX_BYTES = 64 << 20
"""Bytes, unpacked."""

SUMMED = frozenset({"counter", "histogram"})
"""The types of metrics that only rise."""

OF_THE_PROCESS = "process_"
"""Begins the names of what each process counts of itself alone, beside the time of its start."""

KEPT_ELSEWHERE = frozenset(
    {"geodns_experiment_queries", "geodns_experiment_answers", "geodns_experiment_failovers"}
    | {"geodns_worker_restarts"}
)
"""Metrics whose sums the next process knows without this: from the state, and from the supervisor."""

_CREATED = "_created"
"""Ends the names of samples that say when counting began."""

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Series:
    """The samples of one set of labels, by name and bound of the bucket (empty: none)."""

    samples: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def counted(self) -> frozenset[tuple[str, str]]:
        return frozenset(key for key in self.samples if not key[0].endswith(_CREATED))

    def add(self, other: "_Series") -> None:
        """Add the sums of before, unless they were counted in other buckets."""
        if other.counted != self.counted:
            return
        for key in self.counted:
            self.samples[key] += other.samples[key]
        for key in self.samples.keys() & other.samples.keys() - self.counted:
            self.samples[key] = min(self.samples[key], other.samples[key])


Sums = Mapping[str, Mapping[Labels, _Series]]
"""By the metric's name."""


class CarriedRegistry(CollectorRegistry):
    """A registry whose counters go on from what an earlier process counted."""

    def __init__(self) -> None:
        super().__init__()
        self._carried: Sums = {}

    def carry(self, data: bytes) -> None:
        """Go on from what `dump` returned in an earlier process; what cannot be read counts from nought."""
        try:
            self._carried = _read(data) if data else {}
        except (ValueError, TypeError, AttributeError, zlib.error) as error:
            log.error("counters begin anew, what was carried over cannot be read: %s", error)  # noqa: TRY400 - no fault of the code's

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            carried = self._carried.get(metric.name)
            yield metric if not carried or metric.type not in SUMMED else _with(metric, carried)


def dump(registry: CollectorRegistry) -> bytes:
    """Return all sums, those carried from before among them, for the next process."""
    found: dict[str, list[Any]] = {}
    number = 0
    for metric in registry.collect():
        if metric.type not in SUMMED or _is_kept_elsewhere(metric.name):
            continue
        rows = [[one.name, one.labels, one.value] for one in metric.samples if math.isfinite(one.value)]
        number += len(rows)
        if number > MOST:
            log.warning("over %d samples of counters: those of %s begin anew", MOST, metric.name)
            number -= len(rows)
            continue
        found[metric.name] = rows
    return zlib.compress(json.dumps(found).encode(), 1)


def _is_kept_elsewhere(name: str) -> bool:
    return name in KEPT_ELSEWHERE or name.startswith(OF_THE_PROCESS)


def _read(data: bytes) -> Sums:
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(data, MAX_BYTES)
    if not unpacking.eof:
        raise ValueError(f"it is longer than {MAX_BYTES} bytes, or broken off")
    return {
        str(name): _series(Sample(str(sample), dict(labels), float(value)) for sample, labels, value in rows)
        for name, rows in json.loads(text).items()
        if not _is_kept_elsewhere(name)
    }


def _series(samples: Iterable[Sample]) -> dict[Labels, _Series]:
    found: dict[Labels, _Series] = {}
    for one in samples:
        labels = tuple(sorted((name, value) for name, value in one.labels.items() if name != "le"))
        found.setdefault(labels, _Series()).samples[one.name, one.labels.get("le", "")] = one.value
    return found


def _with(metric: Metric, carried: Mapping[Labels, _Series]) -> Metric:
    """Return a metric with the sums of before; those with labels of other names are left out."""
    found = _series(metric.samples)
    names = {tuple(name for name, _ in labels) for labels in found}
    for labels, series in carried.items():
        if labels in found:
            found[labels].add(series)
        elif not names or tuple(name for name, _ in labels) in names:
            found[labels] = replace(series, samples=dict(series.samples))
    summed = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    for labels, series in found.items():
        for (name, bound), value in series.samples.items():
            summed.add_sample(name, dict(labels) | ({"le": bound} if bound else {}), value)
    return summed
