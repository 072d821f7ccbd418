"""Asks the block lists of zones with `reputation`, each list once in an interval."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from geodns.model.base import Address
from geodns.model.reputation import Dnsbl, Reputation
from geodns.model.zone import Pool, Zone
from geodns.signals.dnsbl import ask
from geodns.signals.listings import ListingError, Listings, ListState

log = logging.getLogger(__name__)

JITTER = 0.1
"""The part of an interval by which rounds are spread."""


class _Round(NamedTuple):
    zone: str
    name: str


class BlockListService:
    """The rounds of look-ups that are due and under way.

    Args:
        zones: returns the zones that are judged.
        listings: by zone; rounds write what they hear there.
        on_change: awaited after each round that heard something new.

    """

    def __init__(
        self,
        zones: Callable[[], Mapping[str, Zone]],
        listings: dict[str, Listings],
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self._zones = zones
        self._listings = listings
        self._on_change = on_change
        self._rng = random.Random()  # noqa: S311 - spreads look-ups
        self._due: dict[_Round, float] = {}
        self._running: dict[_Round, asyncio.Task[None]] = {}

    async def close(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def start(self, now: float) -> None:
        """Start the rounds that are due; `now` is monotonic."""
        wanted = {
            _Round(name, dnsbl.name): (zone.reputation, dnsbl)
            for name, zone in self._zones().items()
            if zone.reputation is not None
            for dnsbl in zone.reputation.dnsbl
        }
        self._due = {key: at for key, at in self._due.items() if key in wanted}
        for key, (reputation, dnsbl) in wanted.items():
            if key in self._running or self._due.get(key, now) > now:
                continue
            self._due[key] = now + reputation.interval * (1 + self._rng.uniform(-JITTER, JITTER))
            task = self._running[key] = asyncio.create_task(self._round(key, reputation, dnsbl))
            task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: _Round, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _round(self, key: _Round, reputation: Reputation, dnsbl: Dnsbl) -> None:
        zone = self._zones().get(key.zone)
        if zone is None:
            return
        asked = sources_of(zone)
        listings = self._listings.setdefault(key.zone, Listings())
        before = dict(listings.known)
        try:
            answers, why, lacks = await ask(reputation, dnsbl, sorted(asked, key=str))
            state = ListState(ok=True, why=why, at=time.time(), lacks=lacks)
        except ListingError as error:
            answers, state = {}, ListState(ok=False, why=str(error), at=time.time())
        except Exception:
            log.exception("a fault of ours while asking block list %s", dnsbl.name)
            why = "a fault of geodns's own while asking it: the log says more"
            answers, state = {}, ListState(ok=False, why=why, at=time.time())
        listings.lists[dnsbl.name] = state
        listings.took_round(dnsbl.name, answers, reputation.confirm, time.time())
        if listings.known != before:
            await self._on_change()


def sending_pools(zone: Zone) -> tuple[Pool, ...]:
    """Return the pools by whose hosts mail leaves."""
    return tuple(pool for pool in zone.pools if pool.mail != "in")


def senders(zone: Zone) -> list[str]:
    """Return the hosts of these pools."""
    return sorted({member.host for pool in sending_pools(zone) for member in pool.members})


def sources_of(zone: Zone) -> set[Address]:
    """Return the addresses that the mail of these hosts leaves from."""
    return {address for host in senders(zone) for address in zone.host_by_name[host].sources}
