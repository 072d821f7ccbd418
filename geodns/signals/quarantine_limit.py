"""Bounds how many hosts programs may quarantine in a pool (`max_out`).

A program that reads block lists or bounces does not look at the rest of the pool, and what it takes out comes
on top of what is down already. So the worst hosts go first, and the others wait until there is room.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from geodns.model.state import HostKey
from geodns.model.zone import Pool, Zone


class QuarantineRequest(NamedTuple):
    """A quarantine that a program asks for.

    Attributes:
        badness: how bad the host is; the worst go first.
        since: seconds since the epoch; of equals the first goes first.
        sending: whether pools that receive have nothing to do with it.

    """

    badness: float
    since: float
    sending: bool = False


def most_out(pool: Pool, hosts: int) -> int:
    """Return how many of a pool's hosts `max_out` lets be out, those that are down included."""
    return pool.max_out.amount * hosts // 100 if pool.max_out.percent else pool.max_out.amount


@dataclass(slots=True)
class _Room:
    pool: Pool
    hosts: frozenset[str]
    out: int
    taken: int = 0

    @property
    def most(self) -> int:
        return most_out(self.pool, len(self.hosts))

    @property
    def has_room(self) -> bool:
        """Whether one more may go; one always may while another stays."""
        out = self.out + self.taken
        return out < self.most or (not self.taken and out + 1 < len(self.hosts))

    def __str__(self) -> str:
        bound = self.pool.max_out
        shown = f"{bound.amount}%" if bound.percent else str(bound.amount)
        return (
            f"{self.out + self.taken} of the {len(self.hosts)} hosts of pool {self.pool.name} are out, "
            f"and max_out is {shown}"
        )


def held_back(
    zones: Mapping[str, Zone], wanted: Mapping[HostKey, QuarantineRequest], is_out: Callable[[HostKey], bool]
) -> dict[HostKey, str]:
    """Return the quarantines that must wait, and what keeps each back.

    Args:
        zones: those served, by name.
        wanted: may name hosts that are gone.
        is_out: whether a host is not dealt for another reason: it is down, or an operator took it out.

    """
    rooms: dict[HostKey, list[_Room]] = {}
    for name in {host[0] for host in wanted} & zones.keys():
        for pool in zones[name].pools:
            hosts = frozenset(member.host for member in pool.members if member.weight)
            mine = [
                (name, host)
                for host in hosts
                if (name, host) in wanted and not (pool.mail == "in" and wanted[name, host].sending)
            ]
            if mine:
                room = _Room(pool, hosts, sum(is_out((name, host)) for host in hosts))
                for key in mine:
                    rooms.setdefault(key, []).append(room)
    found: dict[HostKey, str] = {}
    for key in sorted(wanted, key=lambda one: (-wanted[one].badness, wanted[one].since, one)):
        if is_out(key):
            continue  # it takes nobody's place
        around = rooms.get(key, [])
        full = next((room for room in around if not room.has_room), None)
        if full is not None:
            found[key] = str(full)
            continue
        for room in around:
            room.taken += 1
    return found
