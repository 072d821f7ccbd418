"""Counts deliveries by bins of their delay, which add up over hosts and times, and finds quantiles.

The bins are a DDSketch's (https://www.vldb.org/pvldb/vol12/p2195-masson.pdf): a quantile is right to 5 % of
its value. The library says which bin a delay falls into and finds the quantiles. Only bins that are not empty
are kept, for its own sketch takes 3 KB each in memory.
"""

from collections.abc import Iterable, Mapping

from ddsketch.ddsketch import BaseDDSketch
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import DenseStore

Bins = Mapping[int, int]
"""Deliveries by bin: 195 at most."""

SHORTEST = 0.01
"""Seconds; what is shorter counts as this long."""
LONGEST = 30 * 86400.0
"""Seconds; nothing is delivered later."""
ACCURACY = 0.05

_MAPPING = LogarithmicMapping(ACCURACY)


def bin_of(seconds: float) -> int:
    """Return the bin that a delay falls into."""
    return int(_MAPPING.key(min(max(seconds, SHORTEST), LONGEST)))


def merged(some: Iterable[Bins]) -> dict[int, int]:
    """Add up the bins of several hosts or times."""
    found: dict[int, int] = {}
    for bins in some:
        for key, number in bins.items():
            found[key] = found.get(key, 0) + number
    return found


def quantiles(bins: Bins, *wanted: float) -> tuple[float | None, ...]:
    """Return the seconds within which such parts of the mail were delivered; None where nothing was."""
    if not bins:
        return (None,) * len(wanted)
    store = DenseStore()
    for key, number in bins.items():
        store.add(key, number)
    sketch = BaseDDSketch(_MAPPING, store, DenseStore(), 0.0)
    return tuple(sketch.get_quantile_value(part) for part in wanted)
