"""Experiments: a pool at one name is replaced by arms, each with its share of clients or of time."""

from typing import Literal

from pydantic import Field

from geodns.model.base import Frozen

SEATS = 10_000
"""Numbers that clients hash to; each arm has a run of them, in the order of the file."""


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
