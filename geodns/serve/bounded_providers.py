"""Keeps who runs the mail of domains, of a bounded number of them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Generic, Protocol, TypeVar

MOST_NAMED = 15_000
"""Domains of providers that are kept."""
MOST_OTHERS = 5_000
"""Domains of nobody known: forged recipients must not push out those of providers."""


class _HasProvider(Protocol):
    @property
    def provider(self) -> str: ...


P = TypeVar("P", bound=_HasProvider)


class BoundedProviders(Generic[P]):
    """Values by domain; those that were asked for or put in last are kept."""

    def __init__(self, known: Mapping[str, P]) -> None:
        """Begin with what was kept before, the last at the end."""
        self._named: OrderedDict[str, P] = OrderedDict()
        self._others: OrderedDict[str, P] = OrderedDict()
        for domain, one in known.items():
            self.put(domain, one)

    def __len__(self) -> int:
        return len(self._named) + len(self._others)

    def items(self) -> Iterator[tuple[str, P]]:
        """Yield all, those of nobody known first."""
        return chain(self._others.items(), self._named.items())

    def get(self, domain: str) -> P | None:
        for kept in (self._named, self._others):
            found = kept.get(domain)
            if found is not None:
                kept.move_to_end(domain)
                return found
        return None

    def put(self, domain: str, one: P) -> None:
        kept, other, most = self._named, self._others, MOST_NAMED
        if not one.provider:
            kept, other, most = self._others, self._named, MOST_OTHERS
        other.pop(domain, None)
        kept[domain] = one
        kept.move_to_end(domain)
        if len(kept) > most:
            kept.popitem(last=False)

    def drop(self, domain: str) -> None:
        self._named.pop(domain, None)
        self._others.pop(domain, None)
