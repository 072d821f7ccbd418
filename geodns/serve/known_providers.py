"""Keeps a bounded copy of who runs which domain's mail, for the routes worker and for its successors."""

from collections import OrderedDict
from collections.abc import Mapping

from geodns.responder.route_table import KnownProvider

MOST_NAMED = 15_000
"""Domains of providers that are kept."""
MOST_OTHERS = 5_000
"""Domains of nobody known: forged recipients must not push out those of providers."""


class KnownProviders:
    """What control said of domains; those that were asked for or told last are kept."""

    def __init__(self, known: Mapping[str, KnownProvider] | None = None) -> None:
        self._named: OrderedDict[str, KnownProvider] = OrderedDict()
        self._others: OrderedDict[str, KnownProvider] = OrderedDict()
        for domain, one in (known or {}).items():
            self._put(domain, one)

    def __len__(self) -> int:
        return len(self._named) + len(self._others)

    def take(self, news: Mapping[str, KnownProvider], now: float) -> None:
        """Take what control says.

        Where it learned nothing of a domain (see `KnownProvider.learned`), what is known of it stays in use.

        Args:
            news: by domain.
            now: seconds since the epoch.

        """
        for domain, one in news.items():
            known = self.get(domain, now)
            if known is not None and known.learned and not one.learned:
                one = known._replace(fresh=one.fresh)  # noqa: PLW2901 - the same, not to be asked for yet
            self._put(domain, one)

    def get(self, domain: str, now: float) -> KnownProvider | None:
        """Return what may be used of a domain; after its `fresh`, control should be asked again."""
        for kept in (self._named, self._others):
            found = kept.get(domain)
            if found is not None:
                if now >= found.until:
                    del kept[domain]
                    return None
                kept.move_to_end(domain)
                return found
        return None

    def _put(self, domain: str, one: KnownProvider) -> None:
        kept, other, most = (
            (self._named, self._others, MOST_NAMED)
            if one.provider
            else (self._others, self._named, MOST_OTHERS)
        )
        other.pop(domain, None)
        kept[domain] = one
        kept.move_to_end(domain)
        if len(kept) > most:
            kept.popitem(last=False)
