"""Knows which targets are one address to the servers that share verdicts, and whose probes count for it."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from geodns.health.quorum_standing import QuorumTarget
from geodns.model.checks import Target


class SharedTargets:
    """The targets by their shared keys.

    Checks that differ only in their names, or in the address they connect from, probe one address several
    times: the probes of the first by its key are the ones that count.

    Attributes:
        targets: as the servers share them, by key.

    """

    def __init__(self, zones: Mapping[Target, AbstractSet[str]] | None = None) -> None:
        """Take the targets, each with the zones that have it."""
        self._by_key: dict[str, tuple[Target, ...]] = {}
        found: dict[str, list[Target]] = {}
        for target in zones or {}:
            found.setdefault(target.shared_key, []).append(target)
        self.targets: dict[str, QuorumTarget] = {}
        same: dict[frozenset[str], frozenset[str]] = {}
        for key, some in found.items():
            first, *others = some
            of = frozenset((zones or {})[first])
            if others:
                of = of.union(*((zones or {})[one] for one in others))
                some.sort(key=lambda one: one.key)
            self._by_key[key] = tuple(some)
            self.targets[key] = QuorumTarget(same.setdefault(of, of), some[0].check)

    def __getitem__(self, key: str) -> tuple[Target, ...]:
        """Return the targets of a key; none of one that is not probed here."""
        return self._by_key.get(key, ())

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def counts(self, target: Target) -> bool:
        """Tell whether a target's probes are those that count for its key."""
        some = self._by_key.get(target.shared_key)
        return some is not None and (len(some) == 1 or some[0] == target)

    def first(self, keys: Iterable[str]) -> list[Target]:
        """Return the targets whose probes count."""
        return [self._by_key[key][0] for key in keys if key in self._by_key]

    def all(self, keys: Iterable[str]) -> Iterator[Target]:
        return (target for key in keys for target in self[key])
