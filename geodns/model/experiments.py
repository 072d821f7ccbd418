"""Experiments: a pool at one name is replaced by arms, each with its share of clients or of time."""

import math
import random
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from pydantic import Field

from geodns.model.base import Frozen

SEATS = 10_000
"""Numbers that clients hash to; each arm has a run of them, in the order of the file."""

METRICS = ("deferred", "delivered", "bounced", "expired", "complaint")
"""Metrics: events of `MailEvent`, each as a part of the first attempts."""
PROMPT_METRICS = ("deferred", "delivered")
"""Those known so soon that an arm may be judged by time; the rest come hours and days after the slot."""

_WEEK = 7 * 86400
_MONDAY = 4 * 86400
"""The first Monday since the epoch."""
_MOST_SLOTS = 10_000
"""More than there are in a week."""


@lru_cache(maxsize=16)  # slots are asked for one after another, and a wide square takes 10 ms
def _latin_square(name: str, size: int) -> tuple[list[int], list[int], list[int]]:
    """Return the orders of a square's rows, columns and arms, drawn by its name.

    Seeded by text, they are the same in every version of Python.
    """
    rng = random.Random(name)  # noqa: S311 - an order, no secret
    rows, columns, order = rng.sample(range(size), size), rng.sample(range(size), size), [*range(size)]
    rng.shuffle(order)
    return rows, columns, order


class Arm(Frozen):
    """One of the policies that are compared; shares are in proportion to the sum over the arms."""

    name: str
    share: int = Field(ge=1, le=SEATS, description="Its part of the clients or of the time.")
    pool: str = Field(description="The pool that it deals.")


class ArmPlace(NamedTuple):
    """A slot of an experiment by time.

    Attributes:
        square: the number of the Latin square that it is in.
        row: of the square.
        column: of the square.
        begin: seconds since the epoch.
        end: likewise; exclusive.

    """

    arm: Arm
    square: int
    row: int
    column: int
    begin: int
    end: int


class Experiment(Frozen):
    """A comparison of pools at one owner name.

    Attributes:
        owner: absolute.
        slot: seconds, as `horizon`.

    """

    name: str
    owner: str = Field(description="The name where it is held, relative to the zone.")
    pool: str = Field(description="The pool there that the arms replace.")
    arms: tuple[Arm, ...] = Field(description="What is compared: two or more, each with a pool of its own.")
    by: Literal["client", "time"] = Field(
        default="client", description="client: a network keeps its arm. time: all get one arm, then another."
    )
    slot: int = Field(
        default=3600,
        ge=300,
        le=7 * 86400,
        description="Where `by` is time: how long an arm is dealt; four times the TTL or more.",
    )
    salt: int = Field(
        default=0,
        ge=0,
        le=2**64 - 1,
        description="Another number divides clients, or orders slots, in another way.",
    )
    metric: str = Field(default="deferred", description="What the verdict is about.")
    horizon: float = Field(
        default=14 * 86400.0, ge=300, le=366 * 86400, description="There is no verdict before this."
    )

    @property
    def bounds(self) -> tuple[int, ...]:
        """The seat behind each arm's last, of `SEATS`; the last arm's is `SEATS`."""
        total, run, found = sum(arm.share for arm in self.arms), 0, []
        for arm in self.arms:
            run += arm.share
            found.append(run * SEATS // total)
        return tuple(found)

    @cached_property
    def turns(self) -> tuple[Arm, ...]:
        """The arms of a row of a Latin square, each as often as its share; each square has its own order."""
        divisor = math.gcd(*(arm.share for arm in self.arms))
        return tuple(arm for arm in self.arms for _ in range(arm.share // divisor))

    def place_at(self, now: float) -> ArmPlace:
        """Return which arm's slot it is at a time, in seconds since the epoch.

        Slots begin anew each Monday, UTC. Weeks by slots of the week are divided into random Latin squares,
        as wide as the smallest whole shares make: each arm has its share of every run of a square's slots,
        and of every run of its weeks at the same hour of the same day.
        """
        week, second = divmod(int(now) - _MONDAY, _WEEK)
        slot = second // self.slot
        turns = self.turns
        size = len(turns)
        square, row = divmod(week, size)
        block, column = divmod(slot, size)
        rows, columns, order = _latin_square(f"{self.salt}/{square}/{block}", size)
        monday = week * _WEEK + _MONDAY
        return ArmPlace(
            turns[order[(rows[row] + columns[column]) % size]],
            square * _MOST_SLOTS + block,
            row,
            column,
            monday + slot * self.slot,
            monday + min((slot + 1) * self.slot, _WEEK),
        )

    def arm_at(self, now: float) -> tuple[Arm, float]:
        """Return the arm whose slot it is, and when the slot ends; seconds since the epoch."""
        place = self.place_at(now)
        return place.arm, float(place.end)
