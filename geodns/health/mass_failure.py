"""Holds the verdicts of a pool for a while when most of it is silent at once: the prober may be cut off.

A firewall rule or a broken uplink of the prober looks like the death of many hosts at once. So when more than
half of the hosts of a pool that could be reached fall silent (time-outs while connecting, "unreachable")
within one interval, such failures are held for the pool's `hold`; then they count, for it may be true.
Whatever shows that a host was reached (a refusal, a reply, a TLS fault, a connection that it took and never
answers) counts at once, and what has counted is not undone. Should our uplink go while a probe is in its
dialogue, that is one failure: the next one does not get as far. A pool goes round like this::

    NORMAL ─ most hosts fall silent within a window ─► HOLDING ─ `hold` is over ─► COUNTING
      ▲                                                  │                         │
      └──────────────── most are reached again ──────────┴─────────────────────────┘

No clock and no sockets: time is an argument, in seconds of any clock that does not go back.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.pool_watch import GuardStage, PoolWatch, WatchedPool
from geodns.health.refusals import PROBER_BLOCKED, refuses_client
from geodns.health.state_machine import DOWN, advance, forgive, withhold
from geodns.model.checks import Target
from geodns.model.state import HealthState, HostKey, PoolKey, Verdict

SEVERAL = 2
"""Addresses that must refuse the prober before there is a hint."""


def refuses_prober(detail: str) -> bool:
    """Tell whether a host's 4xx or 5xx text speaks of the client, not of the host's own state."""
    return refuses_client(detail.replace(PROBER_BLOCKED, ""))


class News(NamedTuple):
    """A pool whose stage has changed.

    Attributes:
        failing: its hosts that fell silent.
        hosts: how many it has.

    """

    pool: PoolKey
    stage: GuardStage
    failing: tuple[str, ...]
    hosts: int


class Suspect(NamedTuple):
    """A pool whose failures may be the prober's.

    Attributes:
        failing: how many of its hosts fell silent.
        hosts: how many it has.
        held_for: seconds that its verdicts are still held; None when the failures count by now.

    """

    failing: int
    hosts: int
    held_for: float | None


class GuardDecision(NamedTuple):
    """The consequences of an outcome, or of time.

    Attributes:
        verdicts: those that change.
        news: the pools whose stage has changed.

    """

    verdicts: dict[Target, Verdict]
    news: tuple[News, ...] = ()


class MassFailureGuard:
    """Judges outcomes, and holds the verdicts of pools whose failures may be the prober's.

    A target is held while any pool that has it is: a verdict is the same for all of them.

    Args:
        verdicts: a view; its owner applies each decision before it asks for the next.

    Attributes:
        held: the targets whose verdicts are held now.
        skip_slow_start: targets that went down while the prober was in doubt, or just before: if it was at
            fault, or if many come back at once, the others must not bear their load meanwhile.
        hint: a warning that several hosts refuse the prober; None while they do not.

    """

    def __init__(self, verdicts: Mapping[Target, Verdict]) -> None:
        self.held: frozenset[Target] = frozenset()
        self.skip_slow_start: set[Target] = set()
        self.hint: str | None = None
        self._verdicts = verdicts
        self._pools: dict[PoolKey, PoolWatch] = {}
        self._ignored: frozenset[HostKey] = frozenset()
        self._places: dict[Target, tuple[tuple[PoolWatch, str], ...]] = {}
        self._silent: dict[Target, HealthState] = {}
        """Targets whose last result that says anything was silence, and their states before it began."""
        self._heard: set[Target] = set()
        """Targets that have had a result: of others that are down nobody knows why."""
        self._withheld: set[Target] = set()
        """Targets that would be down by now if they were not, or had not been, held."""
        self._refusals: dict[Target, str] = {}

    def watch(self, pools: Mapping[PoolKey, WatchedPool]) -> None:
        """Watch these pools and no others; every target of theirs has a verdict by now."""
        self._silent = {target: one for target, one in self._silent.items() if target in self._verdicts}
        self._heard &= self._verdicts.keys()
        for target, verdict in self._verdicts.items():
            if verdict.state is HealthState.DOWN and target not in self._heard:
                self._silent.setdefault(target, verdict.state)
        before = self._pools
        self._pools = {
            key: before[key]
            if key in before and before[key].watched == watched
            else PoolWatch(key, watched, self._silent, self._ignored)
            for key, watched in pools.items()
        }
        for key, pool in self._pools.items():
            if key in before and before[key] is not pool:
                pool.take_over(before[key])
        places: dict[Target, list[tuple[PoolWatch, str]]] = {}
        for pool in self._pools.values():
            for host, addresses in pool.watched.hosts.items():
                for target in {target for some in addresses for target in some}:
                    places.setdefault(target, []).append((pool, host))
        self._places = {target: tuple(found) for target, found in places.items()}
        self._hold()
        self._withheld &= self.held
        self.skip_slow_start &= self._verdicts.keys()
        self._refusals = {target: one for target, one in self._refusals.items() if target in self._verdicts}
        self._give_hint()

    def ignore_hosts(self, hosts: Collection[HostKey]) -> None:
        """Count all hosts but these: whoever drains hosts may well stop them all at once."""
        ignored = frozenset(hosts)
        for zone, host in ignored ^ self._ignored:
            for pool in self._pools.values():
                if pool.key[0] == zone and host in pool.watched.hosts:
                    pool.ignore(host, self._silent, ignored=(zone, host) in ignored)
        self._ignored = ignored

    @property
    def end(self) -> float | None:
        """When the next pool's failures will count: call `advance` then."""
        ends = [pool.failures.end for pool in self._pools.values() if pool.failures.end is not None]
        return min(ends, default=None)

    def suspects(self, now: float) -> dict[PoolKey, Suspect]:
        return {
            key: Suspect(
                len(pool.failures.fresh),
                len(pool.watched.hosts),
                None if pool.failures.end is None else max(0.0, pool.failures.end - now),
            )
            for key, pool in self._pools.items()
            if pool.failures.stage is not GuardStage.NORMAL
        }

    def judge(self, target: Target, outcome: ProbeOutcome, now: float) -> GuardDecision:
        """Take an outcome; the target itself is always among the verdicts of the decision."""
        before = self._verdicts[target]
        self._note_refusal(target, outcome)
        touched: list[PoolWatch] = []
        if outcome.kind is not ProbeResult.UNKNOWN:
            self._heard.add(target)
            if outcome.silent != (target in self._silent):
                if outcome.silent:
                    self._silent[target] = before.state
                else:
                    del self._silent[target]
                for pool, host in self._places.get(target, ()):
                    pool.note(host, self._silent, now)
                    touched.append(pool)
        turned = self._turned(touched)
        after = advance(before, outcome.kind, target.check)
        if target in self.held and outcome.silent:
            if after.state is HealthState.DOWN and before.state is not HealthState.DOWN:
                self._withheld.add(target)
            after = withhold(before, target.check)
        elif target in self._withheld and outcome.kind is ProbeResult.FAILURE:
            self._withheld.remove(target)
        elif target in self._withheld and outcome.kind is ProbeResult.OK and target not in self.held:
            self._withheld.remove(target)
            after = forgive(after)
        if after.state is HealthState.DOWN and before.state is not HealthState.DOWN:
            doubted = outcome.silent and any(
                pool.failures.stage is not GuardStage.NORMAL for pool, _ in self._places.get(target, ())
            )
            (self.skip_slow_start.add if doubted else self.skip_slow_start.discard)(target)
        return self._decide({target: after}, turned)

    def advance(self, now: float) -> GuardDecision:
        """Take the time."""
        for pool in self._pools.values():
            pool.failures.advance(now)
        return self._decide({}, self._turned(self._pools.values()))

    def _turned(self, pools: Iterable[PoolWatch]) -> list[PoolWatch]:
        """Return the pools whose stage has changed since it was last acted upon."""
        turned = [pool for pool in pools if pool.failures.stage is not pool.seen]
        for pool in turned:
            pool.seen = pool.failures.stage
        if turned:
            self._hold()
        return turned

    def _hold(self) -> None:
        held = (pool.targets for pool in self._pools.values() if pool.failures.stage is GuardStage.HOLDING)
        self.held = frozenset().union(*held)

    def _decide(self, verdicts: dict[Target, Verdict], turned: list[PoolWatch]) -> GuardDecision:
        for pool in turned:
            if pool.seen is GuardStage.HOLDING:
                self._doubt(pool)
            else:
                self._release(pool, verdicts)
        news = (
            News(pool.key, pool.seen, tuple(pool.failures.fresh), len(pool.watched.hosts)) for pool in turned
        )
        return GuardDecision(verdicts, tuple(news))

    def _doubt(self, pool: PoolWatch) -> None:
        """Note which hosts have gone down just before the doubt began: what has counted is not undone."""
        for target in pool.failing_targets() & self._silent.keys():
            fell = self._silent[target] is not HealthState.DOWN
            if fell and self._verdicts[target].state is HealthState.DOWN:
                self.skip_slow_start.add(target)

    def _release(self, pool: PoolWatch, verdicts: dict[Target, Verdict]) -> None:
        """Let what was held count, or forget it when most of the pool is reached again.

        Of a target that has been silent since, the next outcome decides: `judge` forgives it, or takes it
        down.
        """
        for target in (self._withheld & pool.targets) - self.held:
            now = verdicts.get(target, self._verdicts[target])
            if pool.seen is GuardStage.COUNTING:
                self._withheld.remove(target)
                if target in self._silent:
                    verdicts[target] = DOWN
                    self.skip_slow_start.add(target)
            elif target not in self._silent:
                self._withheld.remove(target)
                if now.state is HealthState.UP:
                    verdicts[target] = forgive(now)

    def _note_refusal(self, target: Target, outcome: ProbeOutcome) -> None:
        if outcome.kind is ProbeResult.UNKNOWN:
            return
        refused = outcome.kind is not ProbeResult.OK and refuses_prober(outcome.detail)
        if refused != (target in self._refusals):
            if refused:
                self._refusals[target] = outcome.detail
            else:
                del self._refusals[target]
            self._give_hint()

    def _give_hint(self) -> None:
        places = {target.address for target in self._refusals}
        self.hint = None
        if len(places) >= SEVERAL:
            text = next(iter(self._refusals.values())).replace(PROBER_BLOCKED, "").strip()
            self.hint = (
                f"{len(places)} addresses refuse the prober ({text}): allow the prober's address there"
            )
