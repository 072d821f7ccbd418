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
from geodns.model.base import FAMILIES, Address
from geodns.model.hosts import DnsSource

LIFETIME = 8.0
"""Seconds that a look-up may take, half of them over TCP."""
MAX_FOUND = 1000
"""Addresses of a name, at most: more is a mistake."""


class Addresses(NamedTuple):
    """The addresses of a name.

    Attributes:
        addresses: those that a machine can have, of both families.
        refused: the others.
        ttl: the least, aliases on the way included.

    """

    addresses: tuple[Address, ...]
    refused: tuple[Address, ...]
    ttl: float


async def look_up(source: DnsSource) -> Addresses:
    """Look a source's name up.

    Raises:
        SourceError: it has no address, or only one family could be looked up: the list would be a part.

    """
    name = source.dns
    try:
        answers = await _ask(_resolver(source), f"{name}.")
    except dns.resolver.NXDOMAIN as error:
        raise SourceError(f"there is no name {name} (NXDOMAIN)") from error
    except dns.resolver.NoNameservers as error:
        raise SourceError(_refusal(error)) from error
    except dns.exception.Timeout as error:
        raise SourceError(f"no answer within {LIFETIME / 2:g} s") from error
    except (dns.exception.DNSException, OSError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"cannot be looked up: {why}") from error
    rrsets = [(one.rrset, one.chaining_result.minimum_ttl) for one in answers if one.rrset]
    found = dict.fromkeys(ip_address(str(one)) for rrset, _ in rrsets for one in rrset or ())
    refused = tuple(address for address in found if no_machine_has(address))
    addresses = tuple(address for address in found if address not in refused)
    if not addresses:
        raise SourceError(f"{name} has no address" + (" that a machine can have" if refused else ""))
    if len(addresses) > MAX_FOUND:
        raise SourceError(f"{name} has {len(addresses):,} addresses: at most {MAX_FOUND:,} are taken")
    return Addresses(addresses, refused, min(ttl for _, ttl in rrsets))


async def _ask(resolver: dns.asyncresolver.Resolver, name: str) -> Sequence[dns.resolver.Answer]:
    """Ask for both families; over UDP only where TCP does not work.

    Over UDP some servers (Consul) give a few of many addresses, others each time, and do not set TC: hosts
    would join and leave all the time.
    """
    try:
        return await _ask_over(resolver, name, tcp=True)
    except (dns.resolver.NoNameservers, dns.exception.Timeout):
        return await _ask_over(resolver, name, tcp=False)


async def _ask_over(
    resolver: dns.asyncresolver.Resolver, name: str, *, tcp: bool
) -> Sequence[dns.resolver.Answer]:
    return await asyncio.gather(
        *(
            resolver.resolve(
                name, family, tcp=tcp, raise_on_no_answer=False, lifetime=LIFETIME / 2, search=False
            )
            for family in FAMILIES
        )
    )


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
