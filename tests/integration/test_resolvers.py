"""Real resolvers find what we answer: every name of several zones, where it leads, and what is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import pytest
from dns.rdatatype import RdataType

from bench.servers import free_port
from tests.integration import labzone, resolvers, richzone
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import mail_hosts
from tests.integration.resolvers import Resolver

TYPES = ("A", "AAAA", "MX", "TXT")
ZONES = (labzone.NAME, labzone.CHILD, richzone.NAME)
KNOWN = f"mail.{labzone.NAME}"
MANY_LINKS = 8
"""Aliases after which a resolver may well give up."""


class Expected(NamedTuple):
    """What a resolver must find.

    Attributes:
        rcode: of its answer.
        chain: the aliases in their order: owner and target.
        data: of the type asked for.
        ttls: of everything together, the least by owner and type.

    """

    rcode: int
    chain: list[tuple[dns.name.Name, dns.name.Name]]
    data: frozenset[str]
    ttls: dict[tuple[dns.name.Name, int], int]


@pytest.fixture(scope="module")
def bind_port() -> int:
    """Where BIND listens, and at another address we do."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bind_port: int) -> Iterator[Server]:
    with mail_hosts("mta") as hosts:
        folder = tmp_path_factory.mktemp("served")
        (folder / "zones").mkdir()
        labzone.import_all(folder / "zones")
        texts = {richzone.NAME: richzone.yaml(hosts["mta"].endpoint)}
        listen = ("127.0.0.1:0", f"127.0.0.2:{bind_port}")
        with serving(folder, texts, listen=listen) as running:
            yield running


@pytest.fixture(scope="module", params=resolvers.KINDS)
def resolver(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory, bind_port: int
) -> Iterator[Resolver]:
    name = str(request.param)
    port, at = (bind_port, 1) if name == "BIND" else (None, 0)
    one = resolvers.server(name, server.listen[at], ZONES)
    if not one.installed:
        pytest.skip(f"no {name} here: apt-get install {one.package}")
    folder: Path = tmp_path_factory.mktemp("resolver")
    with resolvers.resolving(name, folder, server.listen[at], ZONES, KNOWN, port) as running:
        yield running


def expected(server: Server, name: dns.name.Name, rtype: str) -> Expected | None:
    """Follow aliases from zone to zone by hand; None where they lead away, in circles or too far."""
    kind = dns.rdatatype.from_text(rtype)
    chain: list[tuple[dns.name.Name, dns.name.Name]] = []
    ttls: dict[tuple[dns.name.Name, int], int] = {}
    while True:
        answer = server.ask(str(name), rtype, tcp=True)
        if not answer.flags & dns.flags.AA or answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            return None
        links = {rrset.name: rrset[0].target for rrset in answer.answer if rrset.rdtype == RdataType.CNAME}
        ttls |= {(rrset.name, rrset.rdtype): rrset.ttl for rrset in answer.answer}
        while name in links:
            if len(chain) >= MANY_LINKS:
                return None
            chain.append((name, links[name]))
            name = links[name]
        if any(rrset.rdtype == RdataType.NS for rrset in answer.authority):
            return None  # a delegation to where there is nobody
        data = {
            str(one) for rrset in answer.answer if (rrset.name, rrset.rdtype) == (name, kind) for one in rrset
        }
        if data or answer.authority or not links:
            return Expected(answer.rcode(), chain, frozenset(data), ttls)


def names() -> list[dns.name.Name]:
    """Every name of the zones, and some below them."""
    zones = [*labzone.zones().values(), richzone.zone("7200 1800 1209600")]
    own = {name for zone in zones for name in labzone.own_names(zone)}
    below = {dns.name.Name((b"nope", *name.labels)) for name in own if len(name.labels) < 10}
    return sorted(own | below)


@pytest.fixture(scope="module")
def wanted(server: Server) -> dict[tuple[dns.name.Name, str], Expected]:
    """What is to be found for each name and type that leads somewhere."""
    found = {(name, rtype): expected(server, name, rtype) for name in names() for rtype in TYPES}
    return {asked: one for asked, one in found.items() if one is not None}


def test_every_name_is_found(resolver: Resolver, wanted: dict[tuple[dns.name.Name, str], Expected]) -> None:
    assert len(wanted) > 400
    for (name, rtype), one in wanted.items():
        found = resolver.ask(str(name), rtype)
        what = f"{name} {rtype}: {one}\n{found}"
        assert found.rcode() == one.rcode, what
        _holds(found, one, rtype, what, pooled=name.is_subdomain(richzone.ORIGIN))


def _holds(found: dns.message.Message, wanted: Expected, rtype: str, what: str, *, pooled: bool) -> None:
    kind = dns.rdatatype.from_text(rtype)
    links = [(rrset.name, rrset[0].target) for rrset in found.answer if rrset.rdtype == RdataType.CNAME]
    assert links == wanted.chain, what
    data = {str(one) for rrset in found.answer if rrset.rdtype == kind for one in rrset}
    if pooled and data:  # another of the pool's answers is as good
        assert len(data) == len(wanted.data), what
    else:
        assert data == wanted.data, what
    for rrset in found.answer:
        if (rrset.name, rrset.rdtype) in wanted.ttls:
            assert rrset.ttl <= wanted.ttls[rrset.name, rrset.rdtype], what
