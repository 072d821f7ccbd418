"""Makes metric families of rows."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

Row = tuple[tuple[str, ...], float]
"""The values of the labels, and the number."""


def gauge(name: str, text: str, labels: str, rows: Iterable[Row]) -> Metric:
    """Return a gauge; its labels are separated by spaces."""
    family = GaugeMetricFamily(name, text, labels=labels.split())
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


def single(name: str, text: str, number: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=float(number))
