"""Keeps who runs the mail of domains, for how long that holds, and when to ask again."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from geodns.model.providers import LookedUp, provider_of_domain
from geodns.responder.route_table import KnownProvider
from geodns.serve.bounded_providers import BoundedProviders

KEPT = 7 * 86400.0
"""Seconds after it was confirmed for which an answer may be used."""
TTL = (300.0, 86400.0)
"""Bounds of the seconds for which it is not asked for again."""
NOBODY_TTL = 3600.0
"""The upper bound where there are no mail servers."""
RETRY = (30.0, 600.0)
"""Seconds after a look-up that failed: at first, and at most after doubling."""
SOON = 10.0
"""Seconds for which an answer that is being looked up again stays in use unasked."""
DROPPED = 2.0
"""Seconds after which a domain is asked for again that found no room."""
MOST_FAILED = 5_000
"""Domains whose look-ups failed last that are kept."""
FOREVER = float("inf")


class _Failed(NamedTuple):
    times: int
    retry: float


class ProviderBook:
    """What is known of domains; times are seconds since the epoch, domains are by `mail_domain`."""

    def __init__(self, known: Mapping[str, LookedUp]) -> None:
        """Begin with what was kept, what was confirmed last at the end."""
        self.changed = False
        self._kept = BoundedProviders(known)
        self._failed: OrderedDict[str, _Failed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def domains(self) -> dict[str, LookedUp]:
        """A copy of what was looked up."""
        return dict(self._kept.items())

    def provider(self, domain: str, now: float) -> str | None:
        """Return who runs a domain's mail; empty: nobody who is known; None: not known, or too long ago."""
        if (own := provider_of_domain(domain)) is not None:
            return own
        found = self._kept.get(domain)
        return found.provider if found is not None and _is_usable(found, now) else None

    def told(self, domain: str, now: float) -> KnownProvider | None:
        """Return what the routes worker shall go by; None: nothing yet."""
        if (own := provider_of_domain(domain)) is not None:
            return KnownProvider(own, FOREVER, FOREVER)
        failed = self._failed.get(domain)
        found = self._kept.get(domain)
        if found is not None and _is_usable(found, now):
            again = max(now + SOON, failed.retry if failed is not None else 0.0)
            fresh = found.fresh if _is_fresh(found, now) else again
            return KnownProvider(found.provider, fresh, found.confirmed + KEPT)
        if failed is None or failed.retry <= now:
            return None
        return KnownProvider("", failed.retry, failed.retry)

    def wants(self, domain: str, now: float) -> bool:
        """Say whether a domain is to be looked up now; it is asked for."""
        if provider_of_domain(domain) is not None:
            return False
        found = self._kept.get(domain)
        if found is not None and _is_fresh(found, now):
            return False
        failed = self._failed.get(domain)
        # A clock that was set back must not put off for days what failed.
        return failed is None or not now < failed.retry <= now + RETRY[1]

    def learn(self, domain: str, provider: str, ttl: float, now: float, *, exists: bool) -> None:
        """Take what a look-up said.

        Args:
            domain: that was looked up.
            provider: empty: nobody who is known.
            ttl: seconds for which that holds, as the resolver says.
            now: seconds since the epoch.
            exists: whether the domain has mail servers at all.

        """
        most = TTL[1] if exists else NOBODY_TTL
        self._failed.pop(domain, None)
        self._kept.put(domain, LookedUp(provider, now, now + min(max(ttl, TTL[0]), most)))
        self.changed = True

    def fail(self, domain: str, now: float) -> None:
        """Take that a look-up failed: what was known stays."""
        times = self._failed.pop(domain, _Failed(0, 0.0)).times
        delay = min(RETRY[0] * 2.0 ** min(times, 16), RETRY[1])
        self._failed[domain] = _Failed(times + 1, now + delay)
        if len(self._failed) > MOST_FAILED:
            self._failed.popitem(last=False)

    def prune(self, now: float) -> None:
        """Drop what is too old, or of a time that has not come; `now` must be right."""
        for domain in [name for name, one in self._kept.items() if not _is_usable(one, now)]:
            self._kept.drop(domain)
            self.changed = True
        for domain in [name for name, one in self._failed.items() if one.retry + RETRY[1] < now]:
            del self._failed[domain]


def _is_usable(one: LookedUp, now: float) -> bool:
    return one.confirmed - TTL[1] < now < one.confirmed + KEPT


def _is_fresh(one: LookedUp, now: float) -> bool:
    return now < one.fresh <= now + TTL[1] and _is_usable(one, now)


class Outage(NamedTuple):
    """Look-ups that have failed one after another.

    Attributes:
        since: when the first of them did.
        last: when the last did.
        domains: some that they were for.

    """

    since: float
    last: float
    why: str
    domains: Collection[str]
    failed: int


OUTAGE_AFTER = 60.0
"""Seconds for which every look-up must have failed for it to be the resolver's doing."""
OUTAGE_DOMAINS = 5
"""Domains of which none could be looked up: a few are always broken."""
OUTAGE_OVER = 3600.0
"""Seconds without a look-up after which nobody knows whether it lasts."""


def after_failure(before: Outage | None, domain: str, why: str, now: float) -> Outage:
    """Return the outage with one more failure."""
    if before is None or now - before.last > OUTAGE_OVER:
        return Outage(now, now, why, frozenset({domain}), 1)
    domains = before.domains
    if len(domains) < OUTAGE_DOMAINS:
        domains = frozenset({*domains, domain})
    return Outage(before.since, now, why, domains, before.failed + 1)


def is_outage(one: Outage | None, now: float) -> bool:
    """Say whether look-ups fail altogether."""
    return (
        one is not None
        and len(one.domains) >= OUTAGE_DOMAINS
        and one.last - one.since >= OUTAGE_AFTER
        and now - one.last <= OUTAGE_OVER
    )
