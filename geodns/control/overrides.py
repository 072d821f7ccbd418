"""Describes forced states and weights of a host, and the weights in the file that they hide."""

import json
from typing import NamedTuple

from geodns.config.times import timestamp
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.model.zone import Zone

_WORDS = {
    Forced.DRAINED: "drained",
    Forced.QUARANTINED: "quarantined",
    Forced.UP: "forced up",
    Forced.DOWN: "forced down",
}


class Overrides(NamedTuple):
    """The overrides of one host."""

    state: ForcedState | None = None
    weight: ForcedWeight | None = None

    def only(self, kind: str) -> "Overrides":
        """Return the one of a kind: ``state`` or ``weight``."""
        return Overrides(self.state if kind == "state" else None, self.weight if kind == "weight" else None)


def describe_state(state: ForcedState) -> str:
    """Describe a forced state: ``drained by ops (new disk) until 2026-11-25T14:00:00Z``."""
    return f"{_WORDS[state.forced]}{_whose(state)}"


def describe_weight(weight: ForcedWeight) -> str:
    """Describe a forced weight: ``weight forced to 5 by ops (slow disk)``."""
    return f"weight forced to {weight.weight}{_whose(weight)}"


def _whose(one: ForcedState | ForcedWeight) -> str:
    return f" by {one.author} ({one.reason or 'no reason'}){_until(one.until)}"


def _until(seconds: float | None) -> str:
    return "" if seconds is None else f" until {timestamp(seconds)}"


def describe_change(before: Overrides, after: Overrides) -> str:
    """Describe how a host's overrides have changed."""
    parts = []
    if after.state is not None and after.state != before.state:
        parts.append(_WORDS[after.state.forced] + _until(after.state.until))
    elif before.state is not None and after.state is None:
        parts.append(f"no longer {_WORDS[before.state.forced]}")
    if after.weight is not None and after.weight != before.weight:
        parts.append(f"weight forced to {after.weight.weight}{_until(after.weight.until)}")
    elif before.weight is not None and after.weight is None:
        parts.append(f"weight no longer forced to {before.weight.weight}")
    return ", ".join(parts)


# --- weights that files give ---------------------------------------------------------------------------


def file_weights(zone: Zone, host: str) -> str:
    """Return the weights that a zone's file gives a host, its own and by pool, as one line of JSON."""
    own = zone.host_by_name[host].weight
    return json.dumps([own, zone.weights_by_host.get(host, {})], sort_keys=True)


def hidden(forced: ForcedWeight, zone: Zone, host: str) -> str | None:
    """Return the weights that the file has given a host since its weight was forced; None: no others."""
    if forced.file in {"", file_weights(zone, host)}:
        return None
    own, pools = json.loads(file_weights(zone, host))
    before = json.loads(forced.file)
    if set(pools.values()) == {forced.weight}:
        return None  # the file says now what is forced
    changed = {pool: weight for pool, weight in pools.items() if weight != before[1].get(pool)}
    if not changed:
        return str(own) if not pools and own != before[0] else None
    if set(changed.values()) == {own}:
        return str(own)
    return ", ".join(f"{weight} in pool {pool}" for pool, weight in changed.items())
