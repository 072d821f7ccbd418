"""Looks up the A and AAAA records of a source's name, by the source's resolver or the system's."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.rcode
import dns.resolver

from geodns.config.value_types import no_machine_has
from geodns.errors import SourceError
from geodns.model.base import Address, Family
from geodns.model.hosts import DnsSource

LIFETIME = 8.0
"""Seconds that a look-up may take, half of them over TCP."""
MAX_FOUND = 1000
"""Addresses of a name, at most: more is a mistake."""


class Addresses(NamedTuple):
    """The addresses of a name.

    Attributes:
        addresses: those that the source takes, of the families that answered.
        refused: the others.
        ttl: the least, aliases on the way included.
        silent: families that gave no answer, whose last list holds.
        error: why not; None: they say NXDOMAIN, as Consul does of a family without addresses.

    """

    addresses: tuple[Address, ...]
    refused: tuple[Address, ...]
    ttl: float
    silent: frozenset[Family] = frozenset()
    error: str | None = None


async def look_up(source: DnsSource) -> Addresses:
    """Look a source's name up.

    Raises:
        SourceError: no family has an address, or none could be looked up.

    """
    name = source.dns
    try:
        found = await _ask(_resolver(source), f"{name}.", source.families)
    except (dns.exception.DNSException, OSError) as error:
        raise SourceError(_why(error, name)) from error
    answers = {family: one for family, one in found.items() if isinstance(one, dns.resolver.Answer)}
    failed = {family: one for family, one in found.items() if not isinstance(one, dns.resolver.Answer)}
    for one in failed.values():
        if not isinstance(one, dns.exception.DNSException | OSError):
            raise one  # a bug
        if not answers:
            raise SourceError(_why(one, name)) from one
    trouble = [
        f"{family}: {_why(one, name)}"
        for family, one in failed.items()
        if not isinstance(one, dns.resolver.NXDOMAIN)
    ]
    rrsets = [(one.rrset, one.chaining_result.minimum_ttl) for one in answers.values() if one.rrset]
    given = dict.fromkeys(ip_address(str(one)) for rrset, _ in rrsets for one in rrset or ())
    refused = tuple(one for one in given if no_machine_has(one) or not source.takes(one))
    addresses = tuple(one for one in given if one not in refused)
    if not addresses and trouble:
        raise SourceError("; ".join(trouble))
    if not addresses:
        only = " that may become a host: no machine's, or outside `networks`" if refused else ""
        raise SourceError(f"{name} has no address{only}")
    if len(addresses) > MAX_FOUND:
        raise SourceError(f"{name} has {len(addresses):,} addresses: at most {MAX_FOUND:,} are taken")
    ttl = min(ttl for _, ttl in rrsets)
    return Addresses(addresses, refused, ttl, frozenset(failed), "; ".join(trouble) or None)


def _why(error: BaseException, name: str) -> str:
    if isinstance(error, dns.resolver.NXDOMAIN):
        return f"there is no name {name} (NXDOMAIN)"
    if isinstance(error, dns.resolver.NoNameservers):
        return _refusal(error)
    if isinstance(error, dns.exception.Timeout):
        return f"no answer within {LIFETIME / 2:g} s"
    return f"cannot be looked up: {' '.join(str(error).split()) or type(error).__name__}"


_Found = dict[Family, dns.resolver.Answer | BaseException]


async def _ask(resolver: dns.asyncresolver.Resolver, name: str, families: Sequence[Family]) -> _Found:
    """Ask for the families; over UDP only where TCP does not work.

    Over UDP some servers (Consul) give a few of many addresses, others each time, and do not set TC: hosts
    would join and leave all the time.
    """
    found = await _ask_over(resolver, name, families, tcp=True)
    again = [
        family
        for family, one in found.items()
        if isinstance(one, dns.resolver.NoNameservers | dns.exception.Timeout)
    ]
    return found | await _ask_over(resolver, name, again, tcp=False) if again else found


async def _ask_over(
    resolver: dns.asyncresolver.Resolver, name: str, families: Sequence[Family], *, tcp: bool
) -> _Found:
    answers = await asyncio.gather(
        *(
            resolver.resolve(
                name, family, tcp=tcp, raise_on_no_answer=False, lifetime=LIFETIME / 2, search=False
            )
            for family in families
        ),
        return_exceptions=True,
    )
    return dict(zip(families, answers, strict=True))


def _resolver(source: DnsSource) -> dns.asyncresolver.Resolver:
    # A new one each time: /etc/resolv.conf may change while the server runs.
    resolver = dns.asyncresolver.Resolver(configure=source.resolver is None)
    if source.resolver is not None:
        resolver.nameservers = [str(source.resolver)]
        resolver.port = source.port
    return resolver


def _refusal(error: dns.resolver.NoNameservers) -> str:
    """Return the answer of the last server that was asked, or why it could not be asked."""
    tried = error.kwargs.get("errors") or []
    if not tried:
        return "no resolver could be asked"
    server, _, port, why, response = tried[-1]
    what = dns.rcode.to_text(response.rcode()) if response is not None else str(why) or type(why).__name__
    return f"{server} port {port} answers {what}" if response is not None else f"{server} port {port}: {what}"
