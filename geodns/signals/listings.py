"""Listings on DNS block lists: names to ask, what answers mean, when they count (RFC 5782). No clock."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from geodns.model.base import Address
from geodns.model.hosts import Host
from geodns.model.reputation import CODES, ERRORS, Dnsbl, Reputation, ReputationAction
from geodns.signals.reputation_rules import Sign

TEST_LISTED: tuple[Address, ...] = (IPv4Address("127.0.0.2"), IPv6Address("::ffff:7f00:2"))
TEST_NOT_LISTED: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::ffff:7f00:1"))
"""Entries by which every list is tested, by family (RFC 5782 section 5)."""
WORST = ("quarantine", "reduce", "alert", "ignore")
BADNESS = 80.0
"""Of a listing; each further list is one worse."""
MAX_TEXT = 200
MAX_CODES = 8
"""Of a listing that are shown; lists give one to three."""


def query_name(address: Address, zone: str) -> str:
    """Return the name to ask a list about an address, absolute."""
    if isinstance(address, IPv4Address):
        parts = str(address).split(".")
    else:
        parts = list(address.exploded.replace(":", ""))
    return f"{'.'.join(reversed(parts))}.{zone.removesuffix('.')}."


class ListingError(Exception):
    """A list gave no answer, or one that cannot be believed."""


def codes_of(answers: Collection[str]) -> frozenset[IPv4Address]:
    """Return the codes that an answer's addresses are; none: not listed.

    Raises:
        ListingError: an error code, or an address that no list gives.

    """
    codes = frozenset(one for text in answers if isinstance(one := ip_address(text), IPv4Address))
    wrong = sorted(one for one in codes if one not in CODES)
    if wrong:
        raise ListingError(f"the answer {wrong[0]} lies outside 127.0.0.0/8: is this list still run?")
    errors = sorted(one for one in codes if one in ERRORS)
    if errors:
        raise ListingError(_ERRORS.get(str(errors[0]), f"the list answers with the error {errors[0]}"))
    return codes


_ERRORS = {
    "127.255.255.252": "the list says that its zone's name is mistyped (127.255.255.252)",
    "127.255.255.254": "the list refuses public resolvers (127.255.255.254): name a `resolver` of your own",
    "127.255.255.255": "the list says that it is asked too often (127.255.255.255)",
}


def action_of(dnsbl: Dnsbl, codes: Collection[IPv4Address]) -> ReputationAction:
    """Return the gravest action that a list's codes ask for."""
    special = dict(dnsbl.codes)
    wanted = [special.get(code, dnsbl.action) for code in codes]
    return min(wanted, key=lambda action: (WORST.index(action.kind), -action.percent))


@dataclass(frozen=True, slots=True)
class BlockListing:
    """What a list says of an address.

    Attributes:
        codes: of the last answer that listed it.
        text: the list's reason, from its TXT record.
        since: of the first such answer, in seconds since the epoch.
        rounds: in a row that say other than what counts.
        counts: whether it is confirmed.

    """

    codes: frozenset[IPv4Address]
    text: str = ""
    since: float = 0.0
    rounds: int = 0
    counts: bool = False


ListingKey = tuple[str, Address]
"""A list's name and an address."""


@dataclass(frozen=True, slots=True)
class ListState:
    """How a list fares.

    Attributes:
        ok: whether it can be believed.
        why: what is wrong, with all of it or a part.
        at: of its last round, in seconds since the epoch.
        lacks: what it says nothing of, which is no fault: many lists have no IPv6.

    """

    ok: bool
    why: str = ""
    at: float = 0.0
    lacks: str = ""


@dataclass
class Listings:
    """The listings of one zone's addresses, and the state of its lists.

    Attributes:
        known: those that count, and those on their way in or out.
        lists: by name, as of the last round.

    """

    known: dict[ListingKey, BlockListing] = field(default_factory=dict)
    lists: dict[str, ListState] = field(default_factory=dict)

    def took_round(
        self,
        name: str,
        answers: Mapping[Address, tuple[frozenset[IPv4Address], str] | None],
        confirm: int,
        now: float,
    ) -> None:
        """Take a round's answers of one list: codes (none: not listed) and text, or None: it failed."""
        for address, answer in answers.items():
            if answer is None:
                continue
            codes, text = answer
            key = name, address
            one = self.known.get(key)
            if codes:
                one = one or BlockListing(codes, since=now)
                counts = one.counts or one.rounds + 1 >= confirm
                self.known[key] = replace(
                    one,
                    codes=codes,
                    text=text[:MAX_TEXT] or one.text,
                    rounds=0 if counts else one.rounds + 1,
                    counts=counts,
                )
            elif one is not None:
                rounds = one.rounds + 1
                if not one.counts or rounds >= confirm:
                    del self.known[key]
                else:
                    self.known[key] = replace(one, rounds=rounds)

    def keep(self, reputation: Reputation | None, addresses: Collection[Address]) -> None:
        """Forget lists and addresses that are gone from the file."""
        names = {one.name for one in reputation.dnsbl} if reputation else set()
        self.known = {key: one for key, one in self.known.items() if key[0] in names and key[1] in addresses}
        self.lists = {name: one for name, one in self.lists.items() if name in names}

    def of(self, host: Host, reputation: Reputation) -> Iterator[tuple[Dnsbl, Address, BlockListing]]:
        """Yield the listings of a host's egress addresses that count."""
        for dnsbl in reputation.dnsbl:
            for address in host.sources:
                one = self.known.get((dnsbl.name, address))
                if one is not None and one.counts:
                    yield dnsbl, address, one

    def signs(self, host: Host, reputation: Reputation) -> Iterator[Sign]:
        """Yield one sign for each list that has an egress address of a host."""
        by_list: dict[str, list[tuple[Dnsbl, Address, BlockListing]]] = {}
        for entry in self.of(host, reputation):
            by_list.setdefault(entry[0].name, []).append(entry)
        for name, entries in by_list.items():
            actions = [action_of(dnsbl, one.codes) for dnsbl, _, one in entries]
            action = min(actions, key=lambda action: (WORST.index(action.kind), -action.percent))
            if action.kind != "ignore":
                why = "; ".join(listed_text(name, address, one) for _, address, one in entries)
                yield Sign(host.name, name, None, action, BADNESS + min(19, len(by_list)), why)


def listed_text(name: str, address: Address, one: BlockListing) -> str:
    """Return a sentence about a listing."""
    return f"{address} is on {name} ({listed_codes(one)}{f': {one.text}' if one.text else ''})"


def listed_codes(one: BlockListing) -> str:
    """Return the codes of a listing as people read them; of very many the first."""
    more = f" and {len(one.codes) - MAX_CODES} more" if len(one.codes) > MAX_CODES else ""
    return ", ".join(str(code) for code in sorted(one.codes)[:MAX_CODES]) + more
