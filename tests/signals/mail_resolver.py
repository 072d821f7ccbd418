"""A resolver in a thread of the test that says of each domain what it is told."""

import contextlib
from collections.abc import Iterator

import dns.message
import dns.rcode
import dns.rrset

from tests.signals.udp_server import udp_server

SOA = "ns.example. admin.example. 1 2 3 4 900"


class MailResolver:
    """Answers for MX.

    Attributes:
        domains: their MX records; none: it has none.
        ttl: of them.
        broken: domains that it cannot look up.
        soa: of what does not exist; empty: it tells none.
        silent: whether there are no answers.
        port: where it listens.
        asked: the names it was asked for.

    """

    def __init__(self, port: int) -> None:
        self.domains: dict[str, list[str]] = {}
        self.ttl = 7200
        self.broken: set[str] = set()
        self.soa = SOA
        self.silent = False
        self.port = port
        self.asked: list[str] = []

    def answer(self, packet: bytes) -> bytes | None:
        query = dns.message.from_wire(packet)
        reply = dns.message.make_response(query)
        (question,) = query.question
        name = question.name.to_text()
        domain = name.removesuffix(".")
        self.asked.append(domain)
        if self.silent:
            return None
        if domain in self.broken:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif self.domains.get(domain):
            reply.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "MX", *self.domains[domain]))
        else:
            if domain not in self.domains:
                reply.set_rcode(dns.rcode.NXDOMAIN)
            if self.soa:
                reply.authority.append(dns.rrset.from_text("example.", 1800, "IN", "SOA", self.soa))
        return reply.to_wire()


@contextlib.contextmanager
def mail_resolver() -> Iterator[MailResolver]:
    """Run it on a free port of loopback until the block ends."""
    with udp_server(MailResolver) as server:
        yield server
