"""Says which server's programs give orders, and names these so that two that act alone give the same one."""

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Protocol

from geodns.model.state import HostKey
from geodns.model.warmup import WarmupStage

HOUR = 3600


class Effect(NamedTuple):
    """What reputation does to a host, beside its quarantine.

    Attributes:
        factor: of its weight.
        bars: until when it gets no mail of a provider.

    """

    factor: Fraction
    bars: Mapping[str, float]


class Leading(Protocol):
    """What programs know of the other servers of a group."""

    @property
    def leads(self) -> bool:
        """Whether programs here give orders; those of other servers compute and show."""
        ...

    def effects(self) -> Mapping[HostKey, Effect] | None:
        """Return what reputation does as the server says that gives orders; None: it has said nothing."""
        ...

    def tell_effects(self, effects: Mapping[HostKey, Effect]) -> None:
        """Tell the others what reputation does, where this server gives orders."""

    def stages(self) -> Mapping[HostKey, WarmupStage]:
        """Return where hosts stand in their warm-ups as the server says that gives orders."""
        ...

    def tell_stages(self, stages: Mapping[HostKey, WarmupStage]) -> None:
        """Tell the others where hosts stand, where this server gives orders."""

    def tell_order(self, host: HostKey, stage: WarmupStage) -> None:
        """Tell the others where an operator's order has put a host just now."""

    def ordered(self, host: HostKey) -> WarmupStage | None:
        """Return where an order at any server has put a host, if that was a moment ago."""
        ...


def order_id(rule: str, host: HostKey, now: float, counter: int) -> str:
    """Return the id of a program's order: the same on each server that has the same reason in the same hour.

    Args:
        rule: that asks for it.
        host: that it is for.
        now: seconds since the epoch.
        counter: of the version that it takes the place of, so that an hour may have several.

    """
    text = f"{rule}\n{'/'.join(host)}\n{int(now // HOUR)}\n{counter}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
