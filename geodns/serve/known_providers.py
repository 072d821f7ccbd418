"""Keeps a bounded copy of who runs which domain's mail, for the routes worker and for its successors."""

from collections.abc import Mapping

from geodns.responder.route_table import KnownProvider
from geodns.serve.bounded_providers import BoundedProviders


class KnownProviders:
    """What control said of domains."""

    def __init__(self, known: Mapping[str, KnownProvider] | None = None) -> None:
        self._kept = BoundedProviders(known or {})

    def __len__(self) -> int:
        return len(self._kept)

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
            self._kept.put(domain, one)

    def get(self, domain: str, now: float) -> KnownProvider | None:
        """Return what may be used of a domain; after its `fresh`, control should be asked again."""
        found = self._kept.get(domain)
        if found is not None and now >= found.until:
            self._kept.drop(domain)
            return None
        return found
