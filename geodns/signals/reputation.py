"""Turns signs against hosts into factors, bars and quarantines, and gives these back. No clock.

A sign comes of a rule (`reputation_rules`) or a block list. What it asks for stands while the sign lasts,
then the weight comes back by doubling. A cause that would take more of a pool than `max_out` is not the
hosts' doing: it takes nobody.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from geodns.model.reputation import ReputationAction
from geodns.model.zone import Pool
from geodns.signals.quarantine_limit import most_out
from geodns.signals.reputation_rules import Sign

LEAST = Fraction(1, 16)
"""A host that reputation alone lowers keeps this much; where it begins again after a quarantine."""
DOUBLES = 1800.0
"""Seconds from one doubling to the next."""
TOGETHER = 3600.0
"""Seconds within which hosts are hit by one cause."""


class Cause(NamedTuple):
    """What can hit several hosts at once: a rule and a provider, or a block list."""

    rule: str
    provider: str | None

    def __str__(self) -> str:
        return (
            self.rule
            if self.provider is None or self.provider in self.rule
            else f"{self.rule} ({self.provider})"
        )


class StandingKey(NamedTuple):
    """Against whom something stands, and for what."""

    host: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands against a host; times in seconds since the epoch.

    Attributes:
        share: of the host's mail that goes to the cause's provider, when it began.
        until: when it ends unless the sign comes again; 0: as soon as the sign is gone.
        ended: since when it is given back; None: it stands.

    """

    action: ReputationAction
    why: str
    badness: float
    share: float
    since: float
    until: float
    ended: float | None = None

    @property
    def factor(self) -> Fraction:
        """What it leaves of the weight while it stands."""
        if self.action.kind == "bar":
            left = 1 - Fraction(self.share).limit_denominator(1000)
        elif self.action.kind == "reduce":
            left = 1 - Fraction(self.action.percent).limit_denominator(100) / 100
        else:
            left = Fraction(0) if self.action.kind == "quarantine" else Fraction(1)
        return max(left, LEAST)

    def factor_at(self, now: float) -> Fraction:
        """Return what it leaves of the weight: after its end twice as much every half hour."""
        if self.ended is None:
            return Fraction(1) if self.action.kind == "quarantine" else self.factor
        doubled = min(10, max(0, int((now - self.ended) // DOUBLES)))  # ten: more than LEAST needs
        return min(Fraction(1), self.factor * (1 << doubled))


class Standings:
    """What stands against the hosts of one zone.

    Attributes:
        known: by host and cause.
        common: causes that hit too many of a pool, and the hosts that they hit.

    """

    def __init__(self, known: Mapping[StandingKey, Standing]) -> None:
        self.known = dict(known)
        self.common: dict[Cause, frozenset[str]] = {}

    def since(self, host: str, rule: str, provider: str | None) -> float:
        """Return when what stands, or was given back last, began; 0: nothing is known."""
        one = self.known.get(StandingKey(host, Cause(rule, provider)))
        return 0.0 if one is None else one.since

    def review(
        self,
        signs: Iterable[Sign],
        pools: Collection[Pool],
        now: float,
        share: Callable[[str, str], float],
        is_ignored: Callable[[str, str], bool],
    ) -> None:
        """Take the signs of now: begin, go on, end, forget.

        Args:
            signs: all that there are; what no longer has one ends when its time is over.
            pools: the zone's, those that send.
            now: seconds since the epoch.
            share: returns the part of a host's mail that goes to a provider.
            is_ignored: whether somebody on call overrules a rule for a host.

        """
        self._look_over(now, is_ignored)
        seen = {
            StandingKey(sign.host, Cause(sign.rule, sign.provider))
            for sign in signs
            if not is_ignored(sign.host, sign.rule) and self._take(sign, now, share)
        }
        self._note_common(pools, now)
        for key, one in list(self.known.items()):
            over = one.until <= now and key not in seen
            if one.ended is not None:
                if key not in seen and one.factor_at(now) == 1:
                    del self.known[key]
            elif key.cause in self.common:
                # What has just begun has taken nothing yet, so nothing is given back.
                self.known[key] = replace(one, ended=0.0 if one.since == now else now)
            elif over:
                self.known[key] = replace(one, ended=now)

    def _look_over(self, now: float, is_ignored: Callable[[str, str], bool]) -> None:
        """Forget what is overruled; mend times in the future, since the clock may have been set back."""
        for key, one in list(self.known.items()):
            if one.since > now:
                self.known[key] = replace(one, since=now, until=min(one.until, now + DOUBLES))
            if is_ignored(key.host, key.cause.rule):
                del self.known[key]

    def _take(self, sign: Sign, now: float, share: Callable[[str, str], float]) -> bool:
        """Begin or extend what a sign asks for; return whether the sign keeps it."""
        key = StandingKey(sign.host, Cause(sign.rule, sign.provider))
        one = self.known.get(key)
        until = now + sign.lasts if sign.lasts else 0.0
        same = one is not None and one.action.kind == sign.action.kind
        if one is not None and not same and sign.action.kind == "alert":
            return False  # what has become the same for all does not keep what was taken for one
        if one is not None and same and (one.ended is None or key.cause in self.common):
            self.known[key] = replace(
                one, action=sign.action, why=sign.why, badness=sign.badness, until=max(one.until, until)
            )
        else:
            part = share(sign.host, sign.provider) if sign.provider else 0.0
            self.known[key] = Standing(sign.action, sign.why, sign.badness, part, now, until)
        return True

    def _note_common(self, pools: Collection[Pool], now: float) -> None:
        """Find the causes that hit more than `max_out` of a pool within an hour; they last while signs do."""
        hit: dict[Cause, set[str]] = {}
        for key, one in self.known.items():
            recent = now - one.since < TOGETHER or key.cause in self.common
            if one.action.kind != "alert" and recent:
                hit.setdefault(key.cause, set()).add(key.host)
        found: dict[Cause, frozenset[str]] = {}
        for cause, hosts in hit.items():
            for pool in pools:
                members = {member.host for member in pool.members if member.weight}
                struck = members & hosts
                if len(struck) > max(1, most_out(pool, len(members))):
                    found[cause] = found.get(cause, frozenset()) | struck
        self.common = found

    def factor(self, host: str, now: float) -> Fraction:
        """Return what all that stands leaves of a host's weight; never less than `LEAST`."""
        others = Fraction(1)
        providers: dict[str | None, Fraction] = {}
        for key, one in self.known.items():
            if key.host != host:
                continue
            left = one.factor_at(now)
            if one.action.kind == "bar":
                provider = key.cause.provider
                providers[provider] = max(providers.get(provider, Fraction(0)), 1 - left)
            else:
                others = min(others, left)
        bars = sum(providers.values(), Fraction(0))
        return max(LEAST, (1 - min(bars, Fraction(1))) * others)

    def barred(self, host: str) -> dict[str, float]:
        """Return the providers that a host is barred for, and until when."""
        found: dict[str, float] = {}
        for key, one in self.known.items():
            provider = key.cause.provider
            if key.host == host and provider and one.action.kind == "bar" and one.ended is None:
                found[provider] = max(one.until, found.get(provider, 0.0))
        return found

    def quarantines(self) -> dict[str, tuple[Cause, Standing]]:
        """Return the hosts that should be in quarantine, each with the worst of what says so."""
        found: dict[str, tuple[Cause, Standing]] = {}
        for key, one in self.known.items():
            if one.action.kind != "quarantine" or one.ended is not None:
                continue
            worst = found.get(key.host)
            if worst is None or one.badness > worst[1].badness:
                found[key.host] = key.cause, one
        return found

    def quarantining(self, host: str) -> tuple[str, ...]:
        """Return the rules and block lists that say that a host should be in quarantine."""
        found = (
            key.cause.rule
            for key, one in self.known.items()
            if key.host == host and one.action.kind == "quarantine" and one.ended is None
        )
        return tuple(dict.fromkeys(found))
