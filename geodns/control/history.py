"""Sums up how hosts fare: answers dealt and intended, latency, time up.

Points are sums, so that those of a minute add up to those of an hour.
"""

from collections.abc import Callable, Iterable, Mapping

from geodns.compiler.choice import Choice, picks_by_chance
from geodns.model.state import HostKey, PoolKey
from geodns.responder.table import Rotation
from geodns.responder.worker_state import Counts
from geodns.storage.history_file import DAY, HOUR, KEPT, SHOWN, Point

MOST = 100_000
"""Points in one response: they take most of a second to make, and some megabytes."""


def step_for(seconds: float, hosts: int) -> int:
    """Return the finest step that shows so many hosts over so many seconds in at most `MOST` points."""
    steps = [step for step, made_of in SHOWN.items() if seconds <= KEPT[made_of] + HOUR] or [DAY]
    return next((step for step in steps if points_of(seconds, hosts, step) <= MOST), steps[-1])


def points_of(seconds: float, hosts: int, step: int) -> float:
    """Return how many points so many hosts have, given how long each step is kept."""
    return hosts * min(seconds, KEPT[SHOWN[step]]) / step


class Tally:
    """The points of the current step."""

    def __init__(self) -> None:
        self._points: dict[HostKey, list[float]] = {}
        self._intended: dict[tuple[str, str, str], tuple[Choice, dict[str, float]]] = {}

    def _point(self, host: HostKey) -> list[float]:
        return self._points.setdefault(host, [0.0, 0.0, 0, 0.0, 0, 0, 0])

    def add_answers(
        self,
        counts: Counts,
        rotations: Callable[[bytes], Rotation | None],
        choices: Mapping[PoolKey, Choice],
    ) -> None:
        """Add the answers that a worker has dealt.

        Args:
            counts: since its last report.
            rotations: finds a rotation by its uid.
            choices: of now; the intended shares follow from them.

        """
        totals: dict[tuple[str, str, str], int] = {}
        for (uid, part, chosen), number in counts.dealt.items():
            rotation = rotations(uid)
            if rotation is None:
                continue
            key, dealt = rotation.key, rotation.parts[part]
            hosts = dealt.sets[chosen]
            place = key.zone, dealt.pool, key.type
            # Of an SRV's hosts clients choose by the weights in it.
            parts = (
                self._shares(place, choices) if key.type == "SRV" else dict.fromkeys(hosts, 1 / len(hosts))
            )
            for host, portion in parts.items():
                self._point((key.zone, host))[0] += number * portion
            totals[place] = totals.get(place, 0) + number
        for place, number in totals.items():
            for host, share in self._shares(place, choices).items():
                self._point((place[0], host))[1] += number * share

    def _shares(self, place: tuple[str, str, str], choices: Mapping[PoolKey, Choice]) -> dict[str, float]:
        zone, pool, rtype = place
        choice = choices.get((zone, pool))
        if choice is None:  # the pool is gone
            return {}
        known = self._intended.get(place)
        if known is None or known[0] is not choice:
            parts = picks_by_chance(choice.of(rtype))
            known = choice, {host: float(part) for host, part in parts.items()}
            self._intended[place] = known
        return known[1]

    def add_probe(self, hosts: Iterable[HostKey], seconds: float | None) -> None:
        """Add a probe's duration to all hosts that it was for; None: it timed out."""
        for host in hosts:
            point = self._point(host)
            if seconds is None:
                point[6] += 1
                continue
            point[2] += 1
            point[3] += seconds

    def add_states(self, states: Mapping[HostKey, bool]) -> None:
        """Add a sample of which hosts are up."""
        for host, is_up in states.items():
            point = self._point(host)
            point[4] += 1
            point[5] += is_up

    def close(self) -> dict[str, dict[str, Point]]:
        """Return the points by zone, and begin anew."""
        found: dict[str, dict[str, Point]] = {}
        for (zone, host), (picks, intended, probes, rtt, *counts) in self._points.items():
            point = Point(picks, intended, int(probes), rtt, *map(int, counts))
            found.setdefault(zone, {})[host] = point
        self._points = {}
        return found
