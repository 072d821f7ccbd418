"""A zone file that NSD serves, and the zone that it becomes here: the same answers to the same questions."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import pytest

from geodns.convert.bind import read_bind
from geodns.convert.yamlout import zone_file
from geodns.zonefile import parse_zone
from tests.convert.masters import ODD, RICH, rrsets_of
from tests.integration.cluster import free_port
from tests.zones import TCP, Worker

pytestmark = pytest.mark.skipif(shutil.which("nsd") is None, reason="NSD is not installed")

ORIGIN = "example.com."
SETTINGS = """\
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/pid"
  logfile: "{folder}/log"
  xfrdfile: "{folder}/xfrd"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/list"
remote-control:
  control-enable: no
zone:
  name: {origin}
  zonefile: "{folder}/db.example.com"
"""


@contextmanager
def nsd(folder: Path) -> Iterator[int]:
    """Serve a folder's zone file by NSD; yield its port."""
    port = free_port()
    (folder / "nsd.conf").write_text(SETTINGS.format(port=port, folder=folder, origin=ORIGIN))
    server = subprocess.Popen(["nsd", "-d", "-c", str(folder / "nsd.conf")], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while True:
            try:
                dns.query.tcp(dns.message.make_query(ORIGIN, "SOA"), "127.0.0.1", port=port, timeout=1)
                break
            except (OSError, EOFError, dns.exception.Timeout):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, "NSD does not answer"
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)


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
    parsed = parse_zone("example.com", zone_file(read_bind(path, None)).encode(), "zone.yaml")
    assert parsed.zone is not None
    worker = Worker(parsed.zone)
    signing = {"RRSIG", "NSEC", "NSEC3PARAM"}
    owners, types = map(set, zip(*rrsets_of(text, ORIGIN), strict=True))
    asked = 0
    with nsd(tmp_path) as port:
        for owner in sorted(owners | {f"x.{owner}" for owner in owners} | {f"nothing.{ORIGIN}"}):
            for rtype in sorted((types - signing) | {"A", "TYPE65300"}):
                query = dns.message.make_query(owner, rtype, use_edns=False)
                theirs = dns.query.tcp(query, "127.0.0.1", port=port, timeout=5)
                ours = worker.send(query.to_wire(), TCP)
                assert shown(ours, unlike) == shown(theirs, unlike), (owner, rtype)
                asked += 1
    assert asked > 400
