"""Rules of reputation, and the signs that they find in the counts of hosts' mail. No clock."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from geodns.model.mail import About, MailCounts, MailEvent, Tally
from geodns.model.providers import OTHER
from geodns.model.reputation import Action, ReputationRule
from geodns.model.zone import Pool, Zone

HOUR = 3600.0
DAY = 86400.0

_SES = "https://docs.aws.amazon.com/ses/latest/dg/reputationdashboard-messages.html"
BUILT_IN = (
    ReputationRule(
        name="yahoo ip",
        provider="yahoo",
        action=Action(kind="bar", seconds=2 * HOUR),
        source="https://senders.yahooinc.com/smtp-error-codes/",
    ),
    ReputationRule(
        name="any ip",
        action=Action(kind="bar", seconds=HOUR),
        source="https://github.com/KumoCorp/kumomta/blob/main/assets/community/shaping.toml",
    ),
    ReputationRule(
        name="any netblock",
        about="netblock",
        action=Action(kind="alert"),  # the neighbours share it
        source="https://support.google.com/a/answer/3726730",
    ),
    ReputationRule(
        name="bounces over 5%",
        of="bounced",
        min=1000,
        events=20,
        above=0.05,
        action=Action(kind="reduce", percent=50),
        lasts=12 * HOUR,
        source=_SES,
    ),
    ReputationRule(
        name="bounces over 10%",
        of="bounced",
        min=1000,
        events=20,
        above=0.10,
        action=Action(kind="quarantine"),
        lasts=12 * HOUR,
        source=_SES,
    ),
    ReputationRule(
        name="complaints over 0.1%",
        of="complaint",
        min=1000,
        events=5,
        above=0.001,
        action=Action(kind="reduce", percent=50),
        lasts=12 * HOUR,
        source="https://support.google.com/a/answer/81126",
    ),
    ReputationRule(
        name="complaints over 0.3%",
        of="complaint",
        min=1000,
        events=5,
        above=0.003,
        action=Action(kind="quarantine"),
        lasts=12 * HOUR,
        source="https://support.google.com/a/answer/81126",
    ),
)
"""Those of bounces and complaints measure the list more than the host: hence only beyond twice the others."""

ALERT = Action(kind="alert")
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
    action: Action
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


_Read = Callable[[str, float], dict[str | None, _Rate]]
"""Returns the rates of a host from a time on, by provider; None: over all."""


def signs(
    zone: Zone,
    pools: Collection[Pool],
    counts: MailCounts,
    since: Callable[[str, str, str | None], float],
    now: float,
) -> Iterator[Sign]:
    """Yield what the built-in rules and the zone's own say of its hosts.

    Args:
        zone: whose hosts they are.
        pools: by whose hosts mail leaves; others are left alone.
        counts: what became of the mail.
        since: when what was done to a host by a rule and a provider began; 0 where nothing was. Mail that
            came in before says nothing of the time after.
        now: seconds since the epoch.

    """
    own = zone.reputation.rules if zone.reputation else ()
    peers = _peers(pools)
    for rule in (*own, *(one for one in BUILT_IN if one.name not in {mine.name for mine in own})):
        yield from _by_rule(zone, rule, peers, counts, since, now)


def _peers(pools: Collection[Pool]) -> dict[str, frozenset[str]]:
    """Return the hosts that share a pool with each host."""
    found: dict[str, set[str]] = {}
    for pool in pools:
        hosts = {member.host for member in pool.members}
        for host in hosts:
            found.setdefault(host, set()).update(hosts - {host})
    return {host: frozenset(others) for host, others in found.items()}


def _by_rule(
    zone: Zone,
    rule: ReputationRule,
    peers: Mapping[str, frozenset[str]],
    counts: MailCounts,
    since: Callable[[str, str, str | None], float],
    now: float,
) -> Iterator[Sign]:
    window = HOUR if rule.of == "refused" else DAY

    def rates(host: str, start: float) -> dict[str | None, _Rate]:
        return _rates(rule, counts.by_provider((zone.name, host), start, now))

    plain = {host: rates(host, now - window) for host in peers}
    for host, others in peers.items():
        for provider in plain[host]:
            start = max(now - window, since(host, rule.name, provider))
            rate = (plain[host] if start == now - window else rates(host, start)).get(provider)
            if rate is None or not _enough(rule, rate):
                continue
            known = [
                one.value
                for other in others
                for one in (plain[other].get(provider),)
                if one is not None and one.of * PEER_MIN >= rule.min
            ]
            middle = median(known) if known else None
            apart = middle is not None and rate.value > rule.times_others * middle
            yield Sign(
                host,
                rule.name,
                provider,
                rule.action if apart else ALERT,
                min(MAX_BADNESS, 100 * rate.value),
                _why(rule, provider, rate, middle),
                rule.action.seconds or rule.lasts,
            )


def _enough(rule: ReputationRule, rate: _Rate) -> bool:
    return rate.of >= rule.min and rate.count >= rule.events and rate.value >= rule.above


def _rates(rule: ReputationRule, tallies: Mapping[str, Tally]) -> dict[str | None, _Rate]:
    """Return what a rule counts, of what, by provider; bounces and complaints over all of them."""
    if rule.of == "refused":
        return {
            provider: _Rate(_refused(rule, tally), tally.first)
            for provider, tally in tallies.items()
            if (provider == rule.provider or (rule.provider is None and provider != OTHER))
        }
    if rule.of == "complaint":
        # Only where the provider tells of complaints do none mean that there are none.
        telling = [tally for tally in tallies.values() if tally[MailEvent.COMPLAINT]]
        return {None: _sum(telling, lambda tally: tally[MailEvent.COMPLAINT])}
    return {None: _sum(tallies.values(), lambda tally: tally[MailEvent.BOUNCED])}


def _sum(tallies: Iterable[Tally], count: Callable[[Tally], int]) -> _Rate:
    found = list(tallies)
    return _Rate(sum(count(tally) for tally in found), sum(tally.first for tally in found))


def _refused(rule: ReputationRule, tally: Tally) -> int:
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
