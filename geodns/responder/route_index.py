"""Finds the few rules that may fit a message, by what its addresses, class, provider, client or user are.

A rule is kept under the keys of that one of its conditions whose keys the fewest rules share. Whoever looks
up gets all rules that fit, and some that do not: each is tried.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain
from typing import NamedTuple, cast

from geodns.responder.route_patterns import (
    PatternSet,
    domain_below,
    is_plain,
    set_of_addresses,
    set_of_domains,
    set_of_users,
)

Network = tuple[int, int, bool]
"""First and last address of a network as numbers, and whether they are of IPv6."""


class Conditions(NamedTuple):
    """Those of a rule that a look-up may have keys for."""

    recipient: tuple[str, ...]
    sender: tuple[str, ...]
    mail_class: tuple[str, ...]
    provider: tuple[str, ...]
    client: tuple[Network, ...]
    sasl: tuple[str, ...]


RECIPIENT, SENDER, CLASS, PROVIDER, CLIENT, USER = PLACES = range(6)
"""Places in `Conditions`."""

MANY = 8
"""Patterns of one condition from which on they are tried as a set."""
_FEW = 32
"""Rules that are sorted at once; the first of more is looked for one by one."""

Positions = tuple[int, ...]
_Network = tuple[int, bool]
"""Addresses in a network, and whether it is of IPv6."""


class AddressIndex(NamedTuple):
    """Positions of rules by parts of an address.

    Attributes:
        whole: by addresses, and the null sender.
        domains: by the domain alone.
        below: by a domain that the address's lies below.
        locals: by the local part alone.

    """

    whole: Mapping[str, Positions]
    domains: Mapping[str, Positions]
    below: Mapping[str, Positions]
    locals: Mapping[str, Positions]

    def find(self, address: str, found: list[Positions]) -> None:
        """Add the positions of rules that may fit an address."""
        if self.whole and (some := self.whole.get(address)):
            found.append(some)
        local, _, domain = address.rpartition("@")
        if self.domains and (some := self.domains.get(domain)):
            found.append(some)
        if self.locals and (some := self.locals.get(local)):
            found.append(some)
        if self.below:
            at = domain.find(".")
            while at >= 0:
                if some := self.below.get(domain[at + 1 :]):
                    found.append(some)
                at = domain.find(".", at + 1)


class RuleIndex(NamedTuple):
    """The rules that one kind of protocol can meet.

    Attributes:
        clients: by size and family of networks, then by the first address of one.
        asking: all in `providers`: where nobody looked the provider up, each of them may fit.
        rest: the rules that no key was found for, and the first that asks for nothing.

    """

    recipients: AddressIndex
    senders: AddressIndex
    users: AddressIndex
    classes: Mapping[str, Positions]
    providers: Mapping[str, Positions]
    clients: Mapping[_Network, Mapping[int, Positions]]
    asking: Positions
    rest: Positions

    def candidates(
        self,
        recipient: str | None,
        sender: str | None,
        mail_class: str | None,
        provider: str | None,
        client: tuple[int, bool] | None,
        user: str | None,
    ) -> Iterable[int]:
        """Return the positions of rules that may fit, in order, one perhaps twice; None: not told.

        Args:
            recipient: a normal address.
            sender: likewise.
            mail_class: of the message.
            provider: of the recipient's domain; None: any.
            client: its address as a number, and whether it is of IPv6.
            user: in lower case.

        """
        found = [self.rest] if self.rest else []
        if recipient is not None:
            self.recipients.find(recipient, found)
        if sender is not None:
            self.senders.find(sender, found)
        if user is not None:
            self.users.find(user, found)
        if self.classes and mail_class is not None and (some := self.classes.get(mail_class)):
            found.append(some)
        if some := self.asking if provider is None else self.providers.get(provider):
            found.append(some)
        if client is not None:
            self._find_client(*client, found)
        return _in_order(found)

    def _find_client(self, number: int, ipv6: bool, found: list[Positions]) -> None:
        for (size, of_ipv6), firsts in self.clients.items():
            if ipv6 == of_ipv6 and (some := firsts.get(number - number % size)):
                found.append(some)


def _in_order(found: Sequence[Positions]) -> Iterable[int]:
    if len(found) < 2:
        return found[0] if found else ()
    if sum(map(len, found)) <= _FEW:
        return sorted(chain.from_iterable(found))
    return merge(*found)


class RouteIndex(NamedTuple):
    """All that is looked up instead of reading a zone's rules one by one.

    Attributes:
        full: for protocols that tell everything.
        by_recipient: for maps that tell the recipient, and so the provider.
        by_sender: for maps that tell the sender.
        local: the domains of recipients that are never routed.
        sets: of addresses or users, by a rule's position and the place of a condition of `MANY`.
        networks: likewise of clients: first addresses by size and family.

    """

    full: RuleIndex
    by_recipient: RuleIndex
    by_sender: RuleIndex
    local: PatternSet
    sets: Mapping[tuple[int, int], PatternSet]
    networks: Mapping[int, Mapping[_Network, frozenset[int]]]


def index_of(rules: Sequence[tuple[Conditions, bool]], local: Iterable[str]) -> RouteIndex:
    """Return the index of a zone's rules.

    Args:
        rules: the conditions of each, and whether it has others.
        local: patterns of domains.

    """
    full = _rule_index(rules, PLACES)
    return RouteIndex(
        full,
        _part(rules, (RECIPIENT, PROVIDER), full),
        _part(rules, (SENDER,), full),
        set_of_domains(local),
        dict(_sets(rules)),
        {
            position: _by_size(conditions.client)
            for position, (conditions, _) in enumerate(rules)
            if len(conditions.client) >= MANY
        },
    )


def _part(rules: Sequence[tuple[Conditions, bool]], places: Collection[int], full: RuleIndex) -> RuleIndex:
    """Return the index by some conditions alone: the same one where there are no others."""
    others = set(PLACES) - set(places)
    if any(more or any(conditions[place] for place in others) for conditions, more in rules):
        return _rule_index(rules, places)
    return full


def _sets(rules: Sequence[tuple[Conditions, bool]]) -> Iterator[tuple[tuple[int, int], PatternSet]]:
    for position, (conditions, _) in enumerate(rules):
        for place, patterns in ((RECIPIENT, conditions.recipient), (SENDER, conditions.sender)):
            if len(patterns) >= MANY:
                yield (position, place), set_of_addresses(patterns)
        if len(conditions.sasl) >= MANY:
            yield (position, USER), set_of_users(conditions.sasl)


def _by_size(networks: Iterable[Network]) -> dict[_Network, frozenset[int]]:
    found: dict[_Network, set[int]] = {}
    for first, last, ipv6 in networks:
        found.setdefault((last - first + 1, ipv6), set()).add(first)
    return {key: frozenset(firsts) for key, firsts in found.items()}


# --- keys -----------------------------------------------------------------------------------------------

_Key = tuple[str, Hashable]
"""What of a message is looked up, and what it must be."""


def _rule_index(rules: Sequence[tuple[Conditions, bool]], places: Collection[int]) -> RuleIndex:
    """Keep each rule under the keys of one condition; those behind one that always holds are never met."""
    keys: list[dict[int, list[list[_Key]]]] = []
    for conditions, more in rules:
        keys.append({place: _keys(place, conditions[place]) for place in places if conditions[place]})
        known_here = any(conditions[place] for place in places)
        others = more and len(places) == len(PLACES)  # a map that tells one thing stops there
        if not known_here and not others:
            break
    shared = Counter(key for rule in keys for patterns in rule.values() for some in patterns for key in some)
    kept: dict[str, dict[Hashable, list[int]]] = {}
    rest: list[int] = []
    for position, rule in enumerate(keys):
        chosen = _rarest(rule, shared)
        if chosen is None:
            rest.append(position)
        for what, key in dict.fromkeys(chosen or ()):
            kept.setdefault(what, {}).setdefault(key, []).append(position)
    return _filled(kept, tuple(rest))


def _rarest(rule: Mapping[int, list[list[_Key]]], shared: Mapping[_Key, int]) -> list[_Key] | None:
    """Return the keys of the condition that the fewest rules have; None: none has a key for each pattern."""
    best: list[_Key] | None = None
    least = 0
    for patterns in rule.values():
        if not all(patterns):
            continue
        keys = [min(some, key=shared.__getitem__) for some in patterns]
        others = sum(map(shared.__getitem__, keys))
        if best is None or others < least:
            best, least = keys, others
    return best


def _keys(place: int, condition: Sequence[str] | Sequence[Network]) -> list[list[_Key]]:
    """Return the keys of each pattern of a condition, any of which is enough; none: it fits anything."""
    return [_KEYS[place](one) for one in condition]


def _of_address(name: str) -> Callable[[str], list[_Key]]:
    def keys(pattern: str) -> list[_Key]:
        local, _, domain = pattern.rpartition("@")
        if is_plain(pattern):
            return [(f"{name} whole", pattern)]
        if is_plain(domain):
            return [(f"{name} domain", domain)]
        below = domain_below(domain)
        found: list[_Key] = [(f"{name} below", below)] if below else []
        return [*found, (f"{name} local", local)] if is_plain(local) else found

    return keys


def _of_user(pattern: str) -> list[_Key]:
    if is_plain(pattern):
        return [("user whole", pattern)]
    # The wildcards may stand for an @ as well: what is behind the last one is of the last domain.
    _, at, domain = pattern.rpartition("@")
    return [("user domain", domain)] if at and is_plain(domain) else []


def _of_client(network: Network) -> list[_Key]:
    first, last, ipv6 = network
    return [("client", (last - first + 1, ipv6, first))]


_KEYS: tuple[Callable[..., list[_Key]], ...] = (
    _of_address("recipient"),
    _of_address("sender"),
    lambda name: [("class", name)],
    lambda name: [("provider", name)],
    _of_client,
    _of_user,
)


def _filled(kept: Mapping[str, Mapping[Hashable, Iterable[int]]], rest: Positions) -> RuleIndex:
    def by(what: str) -> dict[str, Positions]:
        return {str(key): tuple(some) for key, some in kept.get(what, {}).items()}

    def addresses(name: str) -> AddressIndex:
        return AddressIndex(*(by(f"{name} {part}") for part in ("whole", "domain", "below", "local")))

    clients: dict[_Network, dict[int, Positions]] = {}
    for key, some in kept.get("client", {}).items():
        size, ipv6, first = cast("tuple[int, bool, int]", key)
        clients.setdefault((size, ipv6), {})[first] = tuple(some)
    providers = by("provider")
    asking = tuple(sorted({one for some in providers.values() for one in some}))
    return RuleIndex(
        addresses("recipient"),
        addresses("sender"),
        addresses("user"),
        by("class"),
        providers,
        clients,
        asking,
        rest,
    )
