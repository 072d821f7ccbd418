"""Deals hosts to messages by their weights, and writes where the MTA shall send them."""

import math
from collections.abc import Collection, Mapping
from heapq import nlargest
from operator import add
from random import Random
from typing import NamedTuple

from geodns.responder.route_table import Allowance, CompiledRule, RouteTarget, TargetKey

MOST_LISTED = 8
"""Hosts in an answer that lists those beside the asking MTA."""
MOST_TURNS = 10_000
"""Rotations that are known at once: of names, providers and the MTAs that ask."""

CACHED = 3600.0
"""Seconds for which resolvers may give a name's addresses as they were."""

_LONG_OVER = 3600.0
"""Seconds before the end of new allowances at which those of others have ended, whatever the clocks do."""
_MESSAGE = 1 << 32
"""What a message counts in shares and credits: in these all rotations are alike, whatever their weights."""


class Route(NamedTuple):
    """An answer; `host` is empty where no single host is dealt."""

    transport: str
    host: str = ""


def by_name(rule: CompiledRule) -> Route:
    """Return the answer that names the rule's name."""
    return Route(f"relay:[{rule.name}]:{rule.port}")


class _Turn:
    """A rotation: the hosts that may be dealt, by chance that makes good what each is owed.

    Attributes:
        target: that it was made of.
        capped: the hosts of those that get so many messages and no more.
        seen: the dealer's `_changes` when these were looked for.
        until: when they may be others, by the monotonic clock.
        hosts: that may be dealt.
        owed: to each of them.

    """

    __slots__ = ("_shares", "capped", "hosts", "owed", "seen", "target", "until")

    def __init__(
        self, target: RouteTarget, capped: frozenset[str], weights: Mapping[str, int], before: "_Turn | None"
    ) -> None:
        self.target = target
        self.capped = capped
        self.seen = -1
        self.until = 0.0
        self.hosts = tuple(weights)
        total = sum(weights.values())
        self._shares = [weight * _MESSAGE // total for weight in weights.values()]
        if self.hosts:
            self._shares[0] += _MESSAGE - sum(self._shares)
        self.owed = [0] * len(self.hosts)
        if before is not None:
            self._go_on(dict(zip(before.hosts, before.owed, strict=True)))

    def _go_on(self, known: Mapping[str, int]) -> None:
        """Owe hosts what they were owed: else the heaviest would be the next after each change.

        What was owed to those that left is shared out, so that all of it together is nothing again.
        """
        owed = [known.get(host, 0) for host in self.hosts]
        over = sum(owed)
        self.owed = [
            max(-_MESSAGE, min(_MESSAGE, one - over * share // _MESSAGE))
            for one, share in zip(owed, self._shares, strict=True)
        ]

    def take(self, rng: Random) -> str:
        """Return the next host: at random by the shares, and by what is owed, so that nobody gets far ahead.

        By strict turns, of two hosts one would get all the mail of a Postfix that asks twice for each message
        and goes by the second answer.
        """
        owed = list(map(add, self.owed, self._shares))
        # A fourth of what is owed is made good with each look-up: shares are right to a few messages.
        chances = [max(0, share + before // 4) for share, before in zip(self._shares, self.owed, strict=True)]
        place = rng.choices(range(len(owed)), chances)[0] if any(chances) else owed.index(max(owed))
        owed[place] -= _MESSAGE
        self.owed = owed
        return self.hosts[place]

    def next(self, number: int, without: Collection[str]) -> list[str]:
        """Return the hosts that are owed most, without taking them."""
        places = (place for place, host in enumerate(self.hosts) if host not in without)
        return [self.hosts[place] for place in nlargest(number, places, key=self.owed.__getitem__)]


class Dealer:
    """Places in the rotations of targets, apart for each provider, and what warming hosts may still get.

    Args:
        rng: deals.

    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._turns: dict[tuple[str, str, str | None, str], _Turn] = {}
        """By zone, name, provider and the host that asks."""
        self._left: dict[tuple[str, str], dict[str, int]] = {}
        self._until: dict[tuple[str, str], float] = {}
        self._changes = 0
        """Of who has something left."""
        self._names: frozenset[TargetKey] = frozenset()
        self._among: dict[tuple[str, str, str], float] = {}
        """When names were last seen to have the host that asks, by zone, name and host."""

    def allow(self, allowances: Mapping[tuple[str, str], Allowance]) -> None:
        """Take what hosts may be dealt from now on; what was dealt before is in it."""
        for host, allowance in allowances.items():
            self._until[host] = allowance.until
            self._left.setdefault(host, {}).update(allowance.left)
        oldest = min((one.until for one in allowances.values()), default=0.0) - _LONG_OVER
        for host in [host for host, until in self._until.items() if until < oldest]:
            del self._until[host], self._left[host]
        self._changes += 1

    def keep(self, targets: Mapping[TargetKey, RouteTarget]) -> None:
        """Forget the places in rotations of all other targets."""
        if targets.keys() != self._names:
            self._names = frozenset(targets)
            self._turns = {key: one for key, one in self._turns.items() if key[:2] in targets}
            self._among = {key: at for key, at in self._among.items() if key[:2] in targets}

    def lists(self, target: RouteTarget, self_host: str, now: float) -> bool:
        """Say whether hosts are named instead of the name, since that may lead back to the host that asks.

        Resolvers may give its address for a while after it was taken out of the pool.
        """
        if not self_host:
            return False
        key = target.zone, target.name, self_host
        if self_host in target.hosts:
            self._among[key] = now
            return True
        return key in self._among and now - self._among[key] < CACHED

    def route(
        self,
        rule: CompiledRule,
        target: RouteTarget,
        provider: str | None,
        now: float,
        self_host: str = "",
        *,
        single: bool = True,
    ) -> Route | None:
        """Return where a message goes.

        Args:
            rule: that fits it.
            target: of the rule's name.
            provider: of the recipient's domain; empty: nobody known; None: not looked up, so that no host is
                dealt that any provider bars or caps.
            now: seconds of the monotonic clock.
            self_host: the host that asks; it is never answered.
            single: whether one host may be named, with the name after it or nobody; not where the answer is
                kept with the message for days.

        Returns:
            None where there is no host but the one that asks, or just one, and that may not be named alone.

        """
        if self.lists(target, self_host, now):
            return self._others(rule, target, provider, now, self_host, single=single)
        host = self._take(self._turn(target, provider, now), provider) if rule.by_host and single else ""
        if not host:
            return by_name(rule)
        return Route(f"relay:[{host}.{target.zone}]:{rule.port}, [{rule.name}]:{rule.port}", host)

    def _others(
        self,
        rule: CompiledRule,
        target: RouteTarget,
        provider: str | None,
        now: float,
        self_host: str,
        *,
        single: bool,
    ) -> Route | None:
        """Return the hosts beside the one that asks: the next in turn first, then those owed most.

        Where their provider bars all, or their caps are reached, mail must still go somewhere.
        """
        turn = self._turn(target, provider, now, self_host)
        if not turn.hosts:
            turn = self._turn(target, "", now, self_host)
        first = self._take(turn, provider)
        if not first:
            return None
        # What comes second may be sent as well: it is not counted, so it is nobody with a cap.
        listed = [first, *turn.next(MOST_LISTED - 1, {first, *turn.capped})]
        if len(listed) == 1 and not single:
            return None
        places = (f"[{host}.{target.zone}]:{rule.port}" for host in listed)
        dealt = rule.by_host and single and first in target.weights
        return Route("relay:" + ", ".join(places), first if dealt else "")

    def _turn(self, target: RouteTarget, provider: str | None, now: float, without: str = "") -> _Turn:
        """Return a rotation; where hosts or weights are others than before, it goes on with those."""
        key = target.zone, target.name, provider, without
        turn = self._turns.get(key)
        if turn is not None and turn.target is target and turn.seen == self._changes and now < turn.until:
            return turn
        capped = _of(target.capped, provider)
        left = frozenset(
            host for host in capped if provider and self._has_left(target.zone, host, provider, now)
        )
        if turn is None or turn.target is not target or turn.capped != left:
            if turn is None and len(self._turns) >= MOST_TURNS:
                del self._turns[next(iter(self._turns))]
            weights = _weights(target, provider, without, capped - left)
            turn = self._turns[key] = _Turn(target, left, weights, turn)
        turn.seen = self._changes
        turn.until = min((self._until[target.zone, host] for host in left), default=math.inf)
        return turn

    def _take(self, turn: _Turn, provider: str | None) -> str:
        """Return the next host, and count it where it may not get all; empty: there is none."""
        if not turn.hosts:
            return ""
        host = turn.take(self._rng)
        if provider and host in turn.capped:
            left = self._left[turn.target.zone, host]
            left[provider] -= 1
            self._changes += not left[provider]
        return host

    def _has_left(self, zone: str, host: str, provider: str, now: float) -> bool:
        left = self._left.get((zone, host))
        return left is not None and left.get(provider, 0) > 0 and now < self._until[zone, host]


def _of(hosts: Mapping[str, frozenset[str]], provider: str | None) -> frozenset[str]:
    """Return the hosts that a provider bars or caps; those of any where it is not known."""
    return frozenset[str]().union(*hosts.values()) if provider is None else hosts.get(provider, frozenset())


def _weights(
    target: RouteTarget, provider: str | None, without: str, spent: Collection[str]
) -> dict[str, int]:
    """Return the weights of the hosts that may be dealt.

    An MTA that is a host itself must send the mail somewhere while nobody else is live.
    """
    live = {host: one for host, one in target.weights.items() if one > 0 and host != without}
    if without and provider == "" and not live:
        return {host: 1 for host in target.hosts if host != without}
    barred = _of(target.barred, provider)
    return {host: one for host, one in live.items() if host not in barred and host not in spent}
