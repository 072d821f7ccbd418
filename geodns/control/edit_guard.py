"""Finds what an edit would take away that may be a slip: such an edit waits for an operator's yes."""

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction

from geodns.model.zone import Zone

MAX_LOST = Fraction(3, 10)
"""The part of a pool's hosts that an edit may take out; one host may always go while another stays."""
USED_FOR = 86400.0
"""Seconds after its last query for which a name counts as used."""
MAX_NAMED = 5
"""Hosts or names in one reason."""


def large_losses(
    before: Zone,
    after: Zone | None,
    last_queried: Mapping[str, float],
    now: float,
    trusted: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the reasons why an edit should wait; empty: it need not.

    Args:
        before: the zone that is served.
        after: the edited one; None: the zone would be gone.
        last_queried: by absolute name, in seconds since the epoch.
        now: the same.
        trusted: hosts of sources that may take out as many as they like.

    """
    pools = () if after is None else tuple(_pool_losses(before, after, trusted))
    used = {name for name, at in last_queried.items() if now - at <= USED_FOR}
    return (*pools, *_name_losses(before, after, used))


def _pool_losses(before: Zone, after: Zone, trusted: Collection[str]) -> Iterable[str]:
    for pool in before.pools:
        other = after.pool_by_name.get(pool.name)
        if other is None:
            continue  # its names use another pool now, or are gone: `_name_losses` finds those
        had = [member.host for member in pool.members if member.weight]
        left = {member.host for member in other.members if member.weight}
        gone = [host for host in had if host not in left and host not in trusted]
        if not gone or (len(gone) == 1 and left) or Fraction(len(gone), len(had)) <= MAX_LOST:
            continue
        yield f"pool {pool.name} would lose {len(gone)} of its {len(had)} hosts ({some(gone)})"


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
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(name.removesuffix(".") for name in names[:MAX_NAMED]) + more
