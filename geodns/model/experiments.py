"""Experiments: a pool at one name is replaced by arms, each with its share of clients or of time."""

import math
import random
from typing import Literal

from pydantic import Field

from geodns.model.base import Frozen

SEATS = 10_000
"""Numbers that clients hash to; each arm has a run of them, in the order of the file."""


_WEEK = 7 * 86400
_MONDAY = 4 * 86400
"""The first Monday since the epoch."""


class Arm(Frozen):
    """One of the policies that are compared; shares are in proportion to the sum over the arms."""

    name: str
    share: int = Field(ge=1)
    pool: str


class Experiment(Frozen):
    """What is compared at one owner name.

    Attributes:
        owner: the name where it is held, absolute.
        pool: the pool that the arms replace there.
        slot: seconds of one arm, where `by` is time.
        horizon: seconds until the primary metric may be judged.

    """

    name: str
    owner: str
    pool: str
    arms: tuple[Arm, ...]
    by: Literal["client", "time"] = "client"
    slot: int = Field(default=3600, ge=300)
    salt: int = Field(default=0, ge=0, le=2**64 - 1)
    metric: str = "deferred"
    horizon: float = Field(default=14 * 86400.0, gt=0)

    @property
    def bounds(self) -> tuple[int, ...]:
        """The seat behind each arm's last, of `SEATS`; the last arm's is `SEATS`."""
        total, run, found = sum(arm.share for arm in self.arms), 0, []
        for arm in self.arms:
            run += arm.share
            found.append(run * SEATS // total)
        return tuple(found)

    def arm_at(self, now: float) -> tuple[Arm, float]:
        """Return the arm whose slot it is, and when the slot ends; seconds since the epoch.

        Slots begin anew each Monday, UTC. Weeks by slots of the week are divided into random Latin squares,
        as wide as the smallest whole shares make: each arm has its share of every run of a square's slots,
        and of every run of its weeks at the same hour of the same day.
        """
        week, second = divmod(int(now) - _MONDAY, _WEEK)
        column = second // self.slot
        end = min((column + 1) * self.slot, _WEEK)
        divisor = math.gcd(*(arm.share for arm in self.arms))
        turns = [arm for arm in self.arms for _ in range(arm.share // divisor)]
        size = len(turns)
        square, row = divmod(week, size)
        block, place = divmod(column, size)
        # A name for each square: seeded by text, the order is the same in every version of Python.
        rng = random.Random(f"{self.salt}/{square}/{block}")  # noqa: S311 - an order, no secret
        rows, columns = rng.sample(range(size), size), rng.sample(range(size), size)
        rng.shuffle(turns)
        arm = turns[(rows[row] + columns[place]) % size]
        return arm, float(week * _WEEK + _MONDAY + end)
