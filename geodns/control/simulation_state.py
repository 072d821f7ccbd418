"""Finds verdicts and ceilings as they would be with hosts down, or at another time."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType

from geodns.model.checks import Target
from geodns.model.state import Forced, HealthState, HostKey, Verdict
from geodns.model.warmup import WarmupStage, peak_of
from geodns.model.zone import Zone
from geodns.signals.warmup import Sending, ceiling_of, first_stage, utc_date

DOWN = Verdict(HealthState.DOWN)


def found_down(zones: Mapping[str, Zone], hosts: Iterable[HostKey]) -> dict[Target, Verdict]:
    """Return what probes would find if hosts were down."""
    return {
        target: DOWN
        for zone, host in hosts
        for targets in zones[zone].targets_by_host[host].values()
        for target in targets
    }


def remarks(
    zones: Mapping[str, Zone], down: Collection[HostKey], forced: Mapping[HostKey, Forced]
) -> Iterator[str]:
    """Say which hosts would not be found down, and which ones would be beside those that are meant."""
    for key in down:
        of, host = key
        if host in zones[of].unchecked:
            yield f"{host}.{of} has no check: no probe finds it down, it is dealt as if it were up"
        elif forced.get(key) is Forced.UP:
            yield f"{host}.{of} is forced up: it is dealt whatever probes find"
    found = found_down(zones, down)
    for zone in zones.values():
        for name, addresses in zone.targets_by_host.items():
            shared = any(target in found for targets in addresses.values() for target in targets)
            if shared and (zone.name, name) not in down:
                yield f"{name}.{zone.name} has an address of a host that is down: the same probes judge it"


def ceilings_at(
    zones: Iterable[Zone],
    now: float,
    known: Mapping[HostKey, tuple[WarmupStage, Sending]] = MappingProxyType({}),
) -> dict[HostKey, Fraction]:
    """Return the largest shares of hosts that warm up at a moment, if nothing holds them until then.

    Args:
        zones: of the hosts.
        now: seconds since the epoch.
        known: where hosts stand today; without, the first day of a plan is its `start`.

    """
    found: dict[HostKey, Fraction] = {}
    for zone in zones:
        for name, pools in zone.sending_pools_of.items():
            plan = zone.host_by_name[name].warmup
            if plan is None or not pools:
                continue
            peak = sum((peak_of(pool.volume) for pool in pools if pool.volume), Fraction(0))
            seen = Sending(zone.volume_of(name), peak, zone.dealt_ttl_of(name))
            stage, seen = known.get((zone.name, name)) or (first_stage(plan, 0.0), seen)
            # What was sent today says nothing of another day.
            found[zone.name, name] = ceiling_of(
                plan, _stage_at(stage, plan.start.toordinal(), now), replace(seen, heard=None), now
            ).share
    return found


def _stage_at(stage: WarmupStage, start: int, now: float) -> WarmupStage:
    """Return where a host stands once the days until a moment have passed; a hold lets none pass."""
    today = utc_date(now)
    days = max(0, today.toordinal() - stage.date.toordinal())
    if stage.day == 0:
        return replace(stage, day=max(0, today.toordinal() - start + 1), date=today)
    return stage if stage.held is not None else replace(stage, day=stage.day + days, date=today)
