"""Rules of reputation, and the signs that they find in the counts of hosts' mail. No clock."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from geodns.model.mail import About, MailCounts, MailEvent, MailTally
from geodns.model.providers import OTHER
from geodns.model.reputation import ReputationAction, ReputationRule
from geodns.model.zone import Pool, Zone

HOUR = 3600.0
DAY = 86400.0

_SES = "https://docs.aws.amazon.com/ses/latest/dg/reputationdashboard-messages.html"
BUILT_IN = (
    ReputationRule(
        name="yahoo ip",
        provider="yahoo",
        action=ReputationAction(kind="bar", seconds=2 * HOUR),
        source="https://senders.yahooinc.com/smtp-error-codes/",
    ),
    ReputationRule(
        name="any ip",
        action=ReputationAction(kind="bar", seconds=HOUR),
        source="https://github.com/KumoCorp/kumomta/blob/main/assets/community/shaping.toml",
    ),
    ReputationRule(
        name="any netblock",
        about="netblock",
        action=ReputationAction(kind="alert"),  # the neighbours share it
        source="https://support.google.com/a/answer/3726730",
    ),
    ReputationRule(
        name="bounces over 5%",
        of="bounced",
        min=1000,
        events=20,
        above=0.05,
        action=ReputationAction(kind="reduce", percent=50),
        lasts=12 * HOUR,
        source=_SES,
    ),
    ReputationRule(
        name="bounces over 10%",
        of="bounced",
        min=1000,
        events=20,
        above=0.10,
        action=ReputationAction(kind="quarantine"),
        lasts=12 * HOUR,
        source=_SES,
    ),
    ReputationRule(
        name="complaints over 0.1%",
        of="complaint",
        min=1000,
        events=5,
        above=0.001,
        action=ReputationAction(kind="reduce", percent=50),
        lasts=12 * HOUR,
        source="https://support.google.com/a/answer/81126",
    ),
    ReputationRule(
        name="complaints over 0.3%",
        of="complaint",
        min=1000,
        events=5,
        above=0.003,
        action=ReputationAction(kind="quarantine"),
        lasts=12 * HOUR,
        source="https://support.google.com/a/answer/81126",
    ),
)
"""Those of bounces and complaints measure the list more than the host: hence only beyond twice the others."""

ALERT = ReputationAction(kind="alert")
MAX_BADNESS = 79.0
"""Of a rule: what a list says goes before it."""
PEER_MIN = 5
"""A host is one to compare with from this part of the rule's `min` on: one fifth."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What speaks against a host just now.

    Attributes:
        rule: the name of a rule or a block list.
        provider: of whose mail it speaks; None: of all.
        action: what it asks for.
        badness: which of several hosts go first, where not all may.
        why: for people.
        lasts: seconds that it holds after its last appearance; 0: no longer than it appears.

    """

    host: str
    rule: str
    provider: str | None
    action: ReputationAction
    badness: float
    why: str
    lasts: float = 0.0


@dataclass(frozen=True, slots=True)
class _Rate:
    """How many of how many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else 0.0


Rates = dict[str | None, _Rate]
"""The rates of a host by provider; None: over all."""


class Judging:
    """The built-in rules and a zone's own, over what became of its hosts' mail.

    First every host is read, since each is compared with the others, and then each is judged. Both are steps
    of a few milliseconds, between which a caller can do other things.

    Args:
        zone: whose hosts they are.
        pools: by whose hosts mail leaves; others are left alone.
        counts: what became of the mail.
        since: when what was done to a host by a rule and a provider began; 0 where nothing was. Mail that
            came in before says nothing of the time after.
        now: seconds since the epoch.

    Attributes:
        hosts: those that are judged.

    """

    def __init__(
        self,
        zone: Zone,
        pools: Collection[Pool],
        counts: MailCounts,
        since: Callable[[str, str, str | None], float],
        now: float,
    ) -> None:
        own = zone.reputation.rules if zone.reputation else ()
        self._rules = (*own, *(one for one in BUILT_IN if one.name not in {mine.name for mine in own}))
        self._own = {(rule.provider, rule.about) for rule in self._rules if rule.provider and not rule.text}
        """Providers that have a rule of their own: the one for any provider leaves them to it."""
        self._zone = zone.name
        self._peers = _peers(pools)
        self._counts = counts
        self._since = since
        self._now = now
        self._tallies: dict[tuple[str, float], Mapping[str, MailTally]] = {}
        """By host and start: most rules ask for the same."""
        self._telling: set[str] = set()
        """Providers that tell of complaints: elsewhere none do not mean that there are none."""
        self._whole: dict[tuple[str, str], Rates] = {}
        """The rates of the whole hour or day, by host and rule."""
        self.hosts = tuple(sorted(self._peers))

    def read(self, host: str) -> None:
        """Read what became of a host's mail."""
        for window in (HOUR, DAY):
            tallies = self._tallied(host, self._now - window)
            self._telling |= {name for name, tally in tallies.items() if tally[MailEvent.COMPLAINT]}

    def signs(self, host: str) -> Iterator[Sign]:
        """Yield what speaks against a host, once all are read."""
        for rule in self._rules:
            begin = self._now - _window(rule)
            for provider, whole in self._whole_rates(host, rule).items():
                start = max(begin, self._since(host, rule.name, provider))
                rate: _Rate | None = whole
                if start > begin:
                    few = whole.of < rule.min or whole.count < max(rule.events, rule.min * rule.above)
                    rate = None if few else self._rates(host, rule, start).get(provider)
                if rate is not None and _enough(rule, rate):
                    yield self._sign(host, rule, provider, rate)

    def _sign(self, host: str, rule: ReputationRule, provider: str | None, rate: _Rate) -> Sign:
        known = [
            one.value
            for other in self._peers[host]
            for one in (self._whole_rates(other, rule).get(provider),)
            if one is not None and one.of * PEER_MIN >= rule.min
        ]
        middle = median(known) if known else None
        apart = middle is not None and rate.value > rule.times_others * middle
        return Sign(
            host,
            rule.name,
            provider,
            rule.action if apart else ALERT,
            min(MAX_BADNESS, 100 * rate.value),
            _why(rule, provider, rate, middle),
            rule.action.seconds or rule.lasts,
        )

    def _whole_rates(self, host: str, rule: ReputationRule) -> Rates:
        known = self._whole.get((host, rule.name))
        if known is None:
            known = self._whole[host, rule.name] = self._rates(host, rule, self._now - _window(rule))
        return known

    def _rates(self, host: str, rule: ReputationRule, start: float) -> Rates:
        """Return what a rule counts, of what, by provider; bounces and complaints over all of them."""
        tallies = self._tallied(host, start)
        if rule.of == "refused":
            return {
                provider: _Rate(_refused(rule, tally), tally.first)
                for provider, tally in tallies.items()
                if (provider == rule.provider or (rule.provider is None and self._is_for(rule, provider)))
            }
        if rule.of == "complaint":
            telling = [tally for name, tally in tallies.items() if name in self._telling]
            return {None: _sum(telling, lambda tally: tally[MailEvent.COMPLAINT])}
        return {None: _sum(tallies.values(), lambda tally: tally[MailEvent.BOUNCED])}

    def _is_for(self, rule: ReputationRule, provider: str) -> bool:
        """Whether a rule for any provider is for this one."""
        return provider != OTHER and (rule.text is not None or (provider, rule.about) not in self._own)

    def _tallied(self, host: str, start: float) -> Mapping[str, MailTally]:
        known = self._tallies.get((host, start))
        if known is None:
            known = self._counts.by_provider((self._zone, host), start, self._now)
            self._tallies[host, start] = known
        return known


def _window(rule: ReputationRule) -> float:
    return HOUR if rule.of == "refused" else DAY


def _peers(pools: Collection[Pool]) -> dict[str, frozenset[str]]:
    """Return the hosts that share a pool with each host."""
    found: dict[str, set[str]] = {}
    for pool in pools:
        hosts = {member.host for member in pool.members}
        for host in hosts:
            found.setdefault(host, set()).update(hosts - {host})
    return {host: frozenset(others) for host, others in found.items()}


def _enough(rule: ReputationRule, rate: _Rate) -> bool:
    return rate.of >= rule.min and rate.count >= rule.events and rate.value >= rule.above


def _sum(tallies: Iterable[MailTally], count: Callable[[MailTally], int]) -> _Rate:
    found = list(tallies)
    return _Rate(sum(count(tally) for tally in found), sum(tally.first for tally in found))


def _refused(rule: ReputationRule, tally: MailTally) -> int:
    if rule.text is not None:
        return tally.marked.get(rule.name, 0)
    about = About(rule.about)
    rate = tally.refused.get(About.RATE, 0) if about is About.PASSING else 0
    return tally.refused.get(about, 0) + rate


_COUNTED = {"refused": "refused", "bounced": "bounced", "complaint": "complained of"}


def _why(rule: ReputationRule, provider: str | None, rate: _Rate, middle: float | None) -> str:
    which = f"messages to {provider}" if provider else "messages"
    about = f" for the {rule.about}" if rule.of == "refused" and rule.text is None else ""
    text = f" with {rule.text!r}" if rule.text else ""
    span = "hour" if rule.of == "refused" else "day"
    others = (
        "no other host of its pools sends enough to compare"
        if middle is None
        else f"of the others {middle:.2%}"
    )
    return (
        f"{rate.count} of {rate.of} {which} were {_COUNTED[rule.of]}{about}{text} within the {span} "
        f"({rate.value:.2%}; {others})"
    )
