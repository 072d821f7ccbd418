"""Fifty thousand packets that are no proper queries: none stops a worker, fattens it or amplifies."""

import contextlib
import random
import socket
from collections.abc import Iterator

import pytest

from geodns.wire.names import name_to_wire
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.integration.storms import resident, storm, talk

ZONE = "lab.example"
SEED = 20261123
HOST, ADDRESS = f"mx07.{ZONE}", "192.0.2.107"
GROWTH = 4 << 20
"""Bytes that a worker may grow by in a second storm: what is filled once was filled by the first."""

TEXT = f"""\
ns: {{ns1: 192.0.2.53, ns2: "2001:db8::53"}}
hosts: {{"mx[01-40]": {{address: ["192.0.2.[101-140]", "2001:db8::[101-140]"]}}}}
pools: {{main: {{hosts: ["mx*"], check: none, answers: 32}}}}
records:
  "@": {{A: {{pool: main}}, AAAA: {{pool: main}}, MX: {{pool: main, preference: 10}}}}
  long: {{TXT: [{", ".join(f'"{number:02}{"x" * 240}"' for number in range(40))}]}}
  "*.wild": {{A: 192.0.2.9}}
  alias: {{CNAME: long}}
  "a.b.c.d": {{A: 192.0.2.8}}
  sub: {{NS: ns.sub}}
  ns.sub: {{A: 192.0.2.7}}
"""


NAMES = [
    name_to_wire(f"{text}.")
    for text in (
        ZONE,
        f"mx01.{ZONE}",
        f"long.{ZONE}",
        f"x.wild.{ZONE}",
        f"alias.{ZONE}",
        f"c.d.{ZONE}",
        f"nobody.{ZONE}",
        "example.org",
    )
] + [b"\0"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("packets"), {ZONE: TEXT}, workers=2) as one:
        yield one


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """Expect every worker to come out of it as it went in."""
    before = {pid: resident(pid) for pid in server.workers()}
    yield
    for tcp in (False, True):
        for _ in range(8):
            assert server.values(HOST, tcp=tcp) == [ADDRESS]
    assert set(server.workers()) == before.keys()
    assert server.metric("geodns_worker_restarts_total") == 0
    assert "Traceback" not in server.log()
    assert server.status()["ready"]
    grown = {pid: resident(pid) - size for pid, size in before.items()}
    assert max(grown.values()) < GROWTH, grown


def test_datagrams(server: Server) -> None:
    rng = random.Random(SEED)
    for _ in range(3):  # fills what is filled once; which worker gets how much is the kernel's choice
        storm(server.listen[0], rng, NAMES, 10_000)
    with unharmed(server):
        answers = storm(server.listen[0], rng, NAMES, 30_000)
    # Most are answered, if only by an error; without this the test could be of packets that never arrive.
    assert answers > 5_000


def test_streams(server: Server) -> None:
    """Twenty thousand messages over connections that are cut, mixed up, or never say what they promised."""
    rng = random.Random(SEED + 1)
    answers = sum(talk(server.listen[0], rng, NAMES) for _ in range(200))
    with unharmed(server):
        answers += sum(talk(server.listen[0], rng, NAMES) for _ in range(250))
    assert answers > 2_000


def test_connections_that_are_half_open(server: Server) -> None:
    """Who holds as many connections as he gets, and says nothing, keeps nobody from asking."""
    with unharmed(server), contextlib.ExitStack() as stack:
        held = []
        for number in range(1200):
            one = stack.enter_context(socket.socket())
            one.bind((f"127.0.{1 + number // 90}.1", 0))
            one.settimeout(10)
            one.connect(server.listen[0])
            one.sendall(beginning(number))
            held.append(one)
        assert server.values(HOST, tcp=True) == [ADDRESS]
        assert server.values(HOST) == [ADDRESS]
    wait_until(lambda: server.values(HOST, tcp=True) == [ADDRESS], what="answers once they are gone")


def beginning(number: int) -> bytes:
    """The beginning of a message: nothing, half a length, a length, or some of what it promises."""
    return (b"", b"\0", b"\xff\xff", b"\xff\xff" + b"x" * 1000)[number % 4]
