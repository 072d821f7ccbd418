"""A DNS block list in a thread of the test: it lists what it is told, and can be broken in every way."""

import contextlib
from collections.abc import Iterator
from ipaddress import ip_address

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.signals.udp_server import udp_server

TESTS = {"127.0.0.2": ["127.0.0.2"], "::ffff:7f00:2": ["127.0.0.2"]}


class BlockList:
    """Zones of block lists.

    Attributes:
        zones: by zone, codes by address; the test entries come with each unless `tests` says otherwise.
        tests: the entries that each zone has of its own, by address.
        texts: by zone, what TXT says.
        rcode: of all answers.
        silent: whether there are none.
        port: where it listens.
        asked: the names it was asked for.

    """

    def __init__(self, port: int) -> None:
        self.zones: dict[str, dict[str, list[str]]] = {}
        self.tests: dict[str, dict[str, list[str]]] = {}
        self.texts: dict[str, str] = {}
        self.rcode = dns.rcode.NOERROR
        self.silent = False
        self.port = port
        self.asked: list[str] = []

    def answer(self, packet: bytes) -> bytes | None:
        query = dns.message.from_wire(packet)
        reply = dns.message.make_response(query)
        (question,) = query.question
        name = question.name.to_text().lower()
        self.asked.append(name)
        if self.silent:
            return None
        reply.set_rcode(self.rcode)
        zone = next((one for one in self.zones if name.endswith(f".{one}.")), None)
        if self.rcode != dns.rcode.NOERROR or zone is None:
            reply.set_rcode(self.rcode or dns.rcode.REFUSED)
            return reply.to_wire()
        address = _address(name.removesuffix(f".{zone}."))
        codes = {**self.tests.get(zone, TESTS), **self.zones[zone]}
        known = {str(ip_address(one)): values for one, values in codes.items()}.get(address)
        if known is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, 5, "IN", "A", *known))
        elif question.rdtype == dns.rdatatype.TXT and zone in self.texts:
            reply.answer.append(dns.rrset.from_text(question.name, 5, "IN", "TXT", f'"{self.texts[zone]}"'))
        return reply.to_wire()


def _address(reverse: str) -> str:
    labels = reverse.split(".")[::-1]
    if len(labels) == 4:
        return ".".join(labels)
    digits = "".join(labels)
    return str(ip_address(":".join(digits[at : at + 4] for at in range(0, 32, 4))))


@contextlib.contextmanager
def block_list() -> Iterator[BlockList]:
    """Run the lists on a free port of loopback until the block ends."""
    with udp_server(BlockList) as server:
        yield server
