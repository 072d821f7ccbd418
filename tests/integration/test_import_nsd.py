"""A zone file that NSD serves, and the zone that it becomes here: the same answers to the same questions."""

import shutil
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import pytest

from bench.servers import Server, nsd_command, running
from geodns.cli.convert.bind import read_bind
from geodns.cli.convert.draft import zone_file
from geodns.zonefile.reader import parse_zone
from tests.cli.convert.masters import ODD, RICH, rrsets_of
from tests.sample_zones import TCP, Worker

pytestmark = pytest.mark.skipif(shutil.which("nsd") is None, reason="NSD is not installed")

ORIGIN = "example.com."
QUERY = dns.message.make_query(ORIGIN, "SOA").to_wire()


def shown(answer: dns.message.Message, unlike: str) -> tuple[object, ...]:
    """Return what must be the same: not the TTLs of a name that has several, nor the SOA's serial."""
    return (
        answer.rcode(),
        answer.flags,
        {
            (
                rrset.name,
                0 if rrset.name.to_text() == unlike else rrset.ttl,
                rrset.rdtype,
                frozenset(one.to_wire() for one in rrset),
            )
            for rrset in answer.answer
            if rrset.rdtype != dns.rdatatype.SOA
        },
    )


@pytest.mark.parametrize(
    ("text", "unlike"),
    [(RICH, ""), (ODD.replace("www.example.net. A 192.0.2.1\n", ""), f"a.{ORIGIN}")],
    ids=["rich", "odd"],
)
def test_an_imported_zone_gives_the_answers_of_nsd(text: str, unlike: str, tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(text)
    server = Server("NSD", "nsd", "nsd", partial(nsd_command, zones={"example.com": text}))
    parsed = parse_zone("example.com", zone_file(read_bind(path, None)).encode(), "zone.yaml")
    assert parsed.zone is not None
    worker = Worker(parsed.zone)
    signing = {"RRSIG", "NSEC", "NSEC3PARAM"}
    owners, types = map(set, zip(*rrsets_of(text, ORIGIN), strict=True))
    few = {"A", "MX", "TYPE65300"}  # for names that the zone does not have
    asked = 0
    with running(server, tmp_path / "nsd", QUERY) as found:
        for owner in sorted(owners | {f"x.{owner}" for owner in owners} | {f"nothing.{ORIGIN}"}):
            for rtype in sorted((types - signing) | few if owner in owners else few):
                query = dns.message.make_query(owner, rtype, use_edns=False)
                theirs = dns.query.tcp(query, "127.0.0.1", port=found.port, timeout=5)
                ours = worker.send(query.to_wire(), TCP)
                assert shown(ours, unlike) == shown(theirs, unlike), (owner, rtype)
                asked += 1
    assert asked > 250
