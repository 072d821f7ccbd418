"""``delegation --verify``: ask the parent's name servers what they say of a zone, and its own for it."""

import errno
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.message import Message

from geodns.cli.parent_records import UNREACHABLE, Delegation, ParentSays, ServerSays
from geodns.config.server_keys import Listen
from geodns.errors import ServerError
from geodns.model.base import Address

PATIENCE = 3.0
"""Seconds that a server has for an answer."""
PORT = 53
AT_ONCE = 16
"""Servers that are asked side by side."""
MOST = 64
"""Addresses that are asked at most: a zone may have any number."""
NOWHERE = "it has no address"
_OUR_OWN = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_TRANSPORTS: Mapping[str, Callable[..., Message]] = {"UDP": dns.query.udp, "TCP": dns.query.tcp}
_OTHERS = ("CNAME", "A", "AAAA", "MX", "TXT")


class Inquiry:
    """Questions about one zone.

    Args:
        wanted: what its parent should say.
        resolver: where to look names up; None: where this machine does.

    """

    def __init__(self, wanted: Delegation, resolver: Listen | None) -> None:
        self._wanted = wanted
        self._zone = dns.name.from_text(wanted.zone)
        if resolver is None:
            try:
                self._resolver = dns.resolver.Resolver()
            except dns.exception.DNSException as error:
                raise ServerError(f"no resolver: {error}: name one with --resolver ADDR:PORT") from error
        else:
            self._resolver = dns.resolver.Resolver(configure=False)
            self._resolver.nameservers = [resolver.host]
            self._resolver.port = resolver.port
        self._resolver.lifetime = 2 * PATIENCE

    def parent(self) -> str:
        """Find the zone that the delegation belongs in.

        Raises:
            ServerError: nobody could be asked.

        """
        try:
            found = dns.resolver.zone_for_name(self._zone.parent(), resolver=self._resolver)
        except (dns.exception.DNSException, OSError) as error:
            raise ServerError(
                f"the zone above {self._wanted.zone} was not found ({error}): name a resolver with "
                "--resolver ADDR:PORT"
            ) from error
        return found.to_text()

    def parents(self, parent: str) -> list[ParentSays]:
        places = {name: self._addresses(name) for name in self._texts(parent, "NS")}
        lost = [ParentSays(name, trouble=NOWHERE) for name, addresses in places.items() if not addresses]
        return [*lost, *_at_once(self._parent, places)]

    def servers(self) -> list[ServerSays]:
        places = {name: glue or self._addresses(name) for name, glue in self._wanted.servers.items()}
        lost = [ServerSays(name, {"UDP": NOWHERE}) for name, addresses in places.items() if not addresses]
        return [*lost, *_at_once(self._server, places)]

    def _texts(self, name: str, rtype: str) -> list[str]:
        try:
            answer = self._resolver.resolve(name, rtype, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError):
            return []
        return [] if answer.rrset is None else [record.to_text() for record in answer.rrset]

    def _addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(ip_address(text) for rtype in ("A", "AAAA") for text in self._texts(name, rtype))

    def _parent(self, server: str, address: str) -> ParentSays:
        asked = self._query("NS")
        try:
            answer, _ = dns.query.udp_with_fallback(asked, address, PATIENCE, PORT)
            signed = self._is_signed(address)
            authority = [one for one in answer.authority if one.rdtype == dns.rdatatype.NS]
            referral = next((one for one in authority if one.name == self._zone), None)
            if referral is not None:
                names = frozenset(record.to_text().lower() for record in referral)
                glue = {name: _glue(answer, name) for name in names}
                return ParentSays(server, names=names, glue=glue, ttl=referral.ttl, signed=signed)
            if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
                return ParentSays(server, trouble=f"it answers {dns.rcode.to_text(answer.rcode())}")
            if not answer.flags & dns.flags.AA:
                return ParentSays(server, trouble="it does not serve that zone (no AA in its answer)")
            if any(one.rdtype == dns.rdatatype.NS and one.name == self._zone for one in answer.answer):
                return ParentSays(server, own=True, signed=signed)
            # An alias that leads nowhere is NXDOMAIN too, with the alias in its answer (RFC 6604 section 3).
            missing = answer.rcode() == dns.rcode.NXDOMAIN and not answer.answer
            other = () if missing else self._others(address)
        except (dns.exception.DNSException, OSError) as error:
            return ParentSays(server, trouble=_why(error))
        return ParentSays(server, missing=missing, other=other, signed=signed)

    def _query(self, rtype: str) -> Message:
        query = dns.message.make_query(self._zone, rtype, use_edns=0, payload=1232)
        query.flags &= ~dns.flags.RD
        return query

    def _is_signed(self, address: str) -> bool:
        answer, _ = dns.query.udp_with_fallback(self._query("DS"), address, PATIENCE, PORT)
        return any(one.rdtype == dns.rdatatype.DS for one in answer.answer)

    def _others(self, address: str) -> tuple[str, ...]:
        """Return the types of other records at the name."""
        found: dict[str, None] = {}
        for rtype in _OTHERS:
            answer, _ = dns.query.udp_with_fallback(self._query(rtype), address, PATIENCE, PORT)
            found |= {
                dns.rdatatype.to_text(one.rdtype): None for one in answer.answer if one.name == self._zone
            }
        return tuple(found)

    def _server(self, server: str, address: str) -> ServerSays:
        trouble: dict[str, str] = {}
        serial: int | None = None
        for transport, ask in _TRANSPORTS.items():
            try:
                answer = ask(self._query("SOA"), address, PATIENCE, PORT)
            except (dns.exception.DNSException, OSError) as error:
                trouble[transport] = _why(error)
                continue
            soa = next((one for one in answer.answer if one.rdtype == dns.rdatatype.SOA), None)
            if answer.rcode() != dns.rcode.NOERROR or soa is None:
                trouble[transport] = f"it answers {dns.rcode.to_text(answer.rcode())}, and no SOA"
            elif not answer.flags & dns.flags.AA:
                trouble[transport] = "its answer is not authoritative: it is a resolver"
            else:
                serial = soa[0].serial
        return ServerSays(server, trouble, serial)


Said = TypeVar("Said")


def _at_once(ask: Callable[[str, str], Said], places: Mapping[str, Iterable[Address]]) -> list[Said]:
    each = [(f"{name} {address}", str(address)) for name, some in places.items() for address in some]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda one: ask(*one), each[:MOST]))


def _glue(answer: Message, name: str) -> frozenset[Address]:
    wanted = dns.name.from_text(name)
    return frozenset(
        ip_address(record.to_text())
        for one in answer.additional
        if one.name == wanted and one.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}
        for record in one
    )


def _why(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return f"no answer within {PATIENCE:g} s: is it running, and port {PORT} open for UDP and TCP?"
    if isinstance(error, OSError) and error.errno in _OUR_OWN:
        return UNREACHABLE
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens on port {PORT} there"
    return f"no answer: {error}"
