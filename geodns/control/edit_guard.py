"""Finds what an edit or an order would take away that may be a slip: it needs an operator's yes."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction

from geodns.config.report import first_and_count
from geodns.model.zone import Zone

MAX_LOST = Fraction(3, 10)
"""The part of a pool's weight that may be out; one host may always go while nobody else is out."""
USED_FOR = 86400.0
"""Seconds after its last query for which a name counts as used."""
MAX_NAMED = 5
"""Hosts or names in one reason."""


def large_losses(
    before: Zone,
    after: Zone | None,
    last_queried: Mapping[str, float],
    now: float,
    out: Collection[str] = (),
    trusted: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the reasons why an edit should wait; empty: it need not.

    Args:
        before: the zone that is served.
        after: the edited one; None: the zone would be gone.
        last_queried: by absolute name, in seconds since the epoch.
        now: the same.
        out: the hosts that are down or taken out by hand already.
        trusted: hosts of sources that may take out as many as they like.

    """
    pools = () if after is None else tuple(_pool_losses(before, after, out, trusted))
    used = {name for name, at in last_queried.items() if now - at <= USED_FOR}
    return (*pools, *_name_losses(before, after, used))


def edits_digest(edits: Mapping[str, str]) -> str:
    """Return a digest of edits by the digest of each zone, empty where it would be gone; of none: empty."""
    text = json.dumps(sorted(edits.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16] if edits else ""


def _pool_losses(before: Zone, after: Zone, out: Collection[str], trusted: Collection[str]) -> Iterable[str]:
    for pool in before.pools:
        other = after.pool_by_name.get(pool.name)
        if other is None:
            continue  # its names use another pool now, or are gone: `_name_losses` finds those
        weights = {member.host: member.weight for member in pool.members if member.weight}
        kept = {member.host for member in other.members if member.weight}
        left = {host: weight for host, weight in weights.items() if host not in out}
        after_it = {host: one for host, one in left.items() if host in kept or host in trusted}
        why = weight_lost(weights, left, after_it, others=bool(kept - weights.keys()))
        if why is not None:
            yield f"pool {pool.name} {why}"


def weight_lost(
    weights: Mapping[str, int], before: Mapping[str, int], after: Mapping[str, int], *, others: bool = False
) -> str | None:
    """Say what part of a pool's weight would be out; None: no more than may be, or no more than is out.

    Args:
        weights: of the pool's hosts, by the file.
        before: what is left of them; hosts that are out may be missing.
        after: the same, once it is done.
        others: whether the pool has got hosts besides these.

    """
    lost = {host: weight - min(weight, after.get(host, 0)) for host, weight in weights.items()}
    was = {host: weight - min(weight, before.get(host, 0)) for host, weight in weights.items()}
    gone = [host for host in weights if lost[host] > was[host]]
    alone = len(gone) == 1 and not any(was.values()) and (others or any(map(after.get, weights)))
    total = sum(weights.values())
    if not gone or alone or Fraction(sum(lost.values()), total) <= MAX_LOST:
        return None
    out = [host for host in weights if lost[host]]
    return f"would have {sum(lost.values()) / total:.0%} of its weight out ({some(out)})"


def _name_losses(before: Zone, after: Zone | None, used: Iterable[str]) -> Iterable[str]:
    gone = gone_names(before, after, used)
    if gone:
        what = "name that was" if len(gone) == 1 else "names that were"
        yield f"{len(gone)} {what} asked for within a day would be gone ({some(gone)})"


def gone_names(before: Zone, after: Zone | None, names: Iterable[str]) -> list[str]:
    """Return the owners that answer for some names before an edit, and that nothing answers for after it."""
    had, left = owners(before), frozenset[str]() if after is None else owners(after)
    # Retired hosts go on answering for their own names.
    retired = {before.host_name(host.name) for host in before.hosts} if after is not None else set[str]()
    return sorted(
        {
            owner
            for name in names
            if (owner := _covered(name, had)) is not None
            and owner not in retired
            and _covered(name, left) is None
        }
    )


def owners(zone: Zone) -> frozenset[str]:
    """Return the names that have records or pools."""
    return frozenset([*(one.owner for one in zone.records), *(one.owner for one in zone.rules)])


def _covered(name: str, names: frozenset[str]) -> str | None:
    """Return the owner that answers for a name: itself, or the wildcard above it."""
    if name in names:
        return name
    rest = name
    while rest:
        rest = rest.partition(".")[2]
        if f"*.{rest}" in names:
            return f"*.{rest}"
        if rest in names:
            return None
    return None


def some(names: list[str]) -> str:
    """Return the first of some names."""
    return first_and_count([name.removesuffix(".") for name in names], MAX_NAMED)
