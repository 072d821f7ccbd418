"""Asks DNS block lists about addresses: their test entries first, then each address (RFC 5782)."""

import asyncio
import re
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.rcode
import dns.resolver

from geodns.errors import printable
from geodns.model.base import Address
from geodns.model.reputation import Dnsbl, Reputation
from geodns.signals.listings import TEST_LISTED, TEST_NOT_LISTED, ListingError, codes_of, query_name

LIFETIME = 5.0
"""Seconds that a look-up may take."""
UNLISTED = "its test entry"
"""Begins the text that a list lacks a family."""
TOGETHER = 10
"""Look-ups of one round that are asked side by side."""
_KEY = re.compile(r"(?=.*[0-9]).{6,}|.{12,}")
"""A label that may be a key where it is not the first: few names have digits, or are as long."""
_ZONE = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+\.?")

Answers = Mapping[Address, tuple[frozenset[IPv4Address], str] | None]


def zone_of(dnsbl: Dnsbl) -> str:
    """Return a list's zone, from its file if it has a key in it; raises ListingError without naming it."""
    if dnsbl.zone:
        return dnsbl.zone
    try:
        lines = Path(dnsbl.zone_file).read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no plain text"
        raise ListingError(f"{dnsbl.zone_file} cannot be read: {why}") from error
    if len(lines) != 1 or _ZONE.fullmatch(lines[0]) is None or len(lines[0]) > 200:
        raise ListingError(f"{dnsbl.zone_file} must hold one line: the name of the list's zone")
    return lines[0]


class ListAnswers(NamedTuple):
    """A list's answers.

    Attributes:
        answers: None for addresses whose look-up failed.
        why: what went wrong in part.
        lacks: see `ListState`.

    """

    answers: Answers
    why: str
    lacks: str


async def ask(reputation: Reputation, dnsbl: Dnsbl, addresses: Collection[Address]) -> ListAnswers:
    """Ask a list about addresses.

    Raises:
        ListingError: the list cannot be believed now; its zone is never named.

    """
    zone = await asyncio.to_thread(zone_of, dnsbl)
    try:
        resolver = dns.asyncresolver.Resolver(configure=reputation.resolver is None)
    except (dns.exception.DNSException, OSError) as error:
        raise ListingError("/etc/resolv.conf names no resolver: name one as `resolver`") from error
    if reputation.resolver is not None:
        resolver.nameservers = [str(reputation.resolver)]
        resolver.port = reputation.port
    believed, why, lacks = await _believed(resolver, zone, {address.version for address in addresses})
    gate = asyncio.Semaphore(TOGETHER)

    failed: list[str] = []

    async def one(address: Address) -> tuple[frozenset[IPv4Address], str] | None:
        async with gate:
            try:
                codes = await _codes(resolver, address, zone)
                text = await _text(resolver, address, zone) if codes else ""
                return codes, _without_key(text, zone) if dnsbl.zone_file else text
            except ListingError as error:
                failed.append(f"{address}: {error}")
                return None

    asked = [address for address in addresses if address.version in believed]
    found = await asyncio.gather(*(one(address) for address in asked))
    answers = dict(zip(asked, found, strict=True))
    if failed:
        why = f"{len(failed)} of {len(asked)} look-ups failed: {failed[0]}"
    if asked and len(failed) == len(asked):
        raise ListingError(why)
    return ListAnswers(answers, why, lacks)


def _without_key(text: str, zone: str) -> str:
    """Return a text without the list's zone and any label of it that may be the key."""
    whole = zone.removesuffix(".")
    first, *others = whole.split(".")
    for secret in (whole, first, *filter(_KEY.fullmatch, others)):
        text = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
    return text


async def _believed(
    resolver: dns.asyncresolver.Resolver, zone: str, versions: Collection[int]
) -> tuple[set[int], str, str]:
    """Return the families (4, 6) whose test entries are right; what is wrong with the other; what is lacking.

    Raises:
        ListingError: neither is right.

    """
    found: set[int] = set()
    wrong: dict[str, str] = {}
    for listed, not_listed in zip(TEST_LISTED, TEST_NOT_LISTED, strict=True):
        if listed.version in versions:
            why = await _test(resolver, zone, listed, not_listed)
            if why is None:
                found.add(listed.version)
            else:
                wrong[f"IPv{listed.version}"] = why
    if versions and not found and len(set(wrong.values())) == 1:
        raise ListingError(next(iter(wrong.values())))
    text = "; ".join(f"{family}: {why}" for family, why in wrong.items())
    if versions and not found:
        raise ListingError(text)
    is_lacking = all(why.startswith(UNLISTED) for why in wrong.values())
    return (found, "", text) if is_lacking else (found, text, "")


async def _test(
    resolver: dns.asyncresolver.Resolver, zone: str, listed: Address, not_listed: Address
) -> str | None:
    try:
        if not await _codes(resolver, listed, zone):
            return f"{UNLISTED} {listed} is not listed, as it must be"
        if await _codes(resolver, not_listed, zone):
            return f"{not_listed} is listed, as it must never be: it may list everything"
    except ListingError as error:
        return str(error)
    return None


async def _codes(resolver: dns.asyncresolver.Resolver, address: Address, zone: str) -> frozenset[IPv4Address]:
    return codes_of(await _resolve(resolver, query_name(address, zone), "A"))


async def _text(resolver: dns.asyncresolver.Resolver, address: Address, zone: str) -> str:
    try:
        found = await _resolve(resolver, query_name(address, zone), "TXT")
    except ListingError:
        return ""
    return printable(" ".join(one.strip('"') for one in found))


async def _resolve(resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> list[str]:
    """Return the data of a name's records, none where there are none; errors do not name it."""
    try:
        answer = await resolver.resolve(name, kind, raise_on_no_answer=False, lifetime=LIFETIME, search=False)
    except dns.resolver.NXDOMAIN:
        return []
    except dns.resolver.NoNameservers as error:
        tried = error.kwargs.get("errors") or []
        response = tried[-1][-1] if tried else None
        code = "nothing usable" if response is None else dns.rcode.to_text(response.rcode())
        raise ListingError(f"the resolver answers {code}") from None
    except dns.exception.Timeout:
        raise ListingError(f"no answer within {LIFETIME:g} s") from None
    except (dns.exception.DNSException, OSError) as error:
        raise ListingError(f"it cannot be looked up: {type(error).__name__}") from None
    return [one.to_text() for one in answer.rrset or ()]
