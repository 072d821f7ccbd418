"""Hosts that come and go: a name server that is changed and killed, files that a deploy tool drops in."""

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from bench import servers
from bench.servers import Running
from geodns.wire import codes
from geodns.wire.message import question
from geodns.wire.names import name_to_wire
from tests.integration import product
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "out.example.com"
INTERNAL = "internal.example"
NAMED = f"mta.{INTERNAL}"
TITLE = f"dns {NAMED}"

needs_nsd = pytest.mark.skipif(shutil.which("nsd") is None, reason="no nsd here: apt-get install nsd")


class Listeners:
    """Sockets that take connections at 127.0.0.x, all on one port that is free on each."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        first = stack.enter_context(socket.create_server(("127.0.0.11", 0), backlog=1024))
        self.port: int = first.getsockname()[1]

    def open(self, address: str) -> None:
        self._stack.enter_context(socket.create_server((address, self.port), backlog=1024))


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    with contextlib.ExitStack() as stack:
        found = Listeners(stack)
        found.open("127.0.0.12")
        yield found


class Internal:
    """The internal zone's server, which says which hosts there are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = servers.free_port()

    def text(self, *addresses: str) -> str:
        records = "".join(f"mta 1 {'AAAA' if ':' in one else 'A'} {one}\n" for one in addresses)
        own = "@ 60 SOA ns hostmaster 1 60 60 600 1\n@ 60 NS ns\nns 60 A 127.0.0.1\n"
        return f"$ORIGIN {INTERNAL}.\n{own}{records}"

    @contextlib.contextmanager
    def running(self, *addresses: str) -> Iterator[Running]:
        nsd = partial(servers.nsd_command, zones={INTERNAL: self.text(*addresses)})
        query = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0))
        query += question(name_to_wire(f"{INTERNAL}."), codes.SOA)
        with servers.running(servers.Server("NSD", "nsd", "nsd", nsd), self.folder, query, self.port) as one:
            yield one

    def change(self, running: Running, *addresses: str) -> None:
        file = self.folder / f"{INTERNAL}.zone"
        file.write_text(self.text(*addresses))
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 2_000_000_000))
        os.kill(running.pid, signal.SIGHUP)


def zone_text(source: str, port: int, more: str = "") -> str:
    return f"""\
ttl: 1
ns: {{ns1: 192.0.2.53}}
checks: {{tcp: {{type: tcp, port: {port}, interval: 1s, fast_interval: 200ms, rise: 1, fall: 2}}}}
hosts_from: [{source}]
{more}pools: {{main: {{hosts: "*", check: tcp}}}}
records: {{"@": {{A: {{pool: main}}, AAAA: {{pool: main}}, MX: {{pool: main, preference: 10}}}}}}
"""


def source_of(server: Server) -> dict[str, Any]:
    (found,) = server.status()["zones"][ZONE]["sources"]
    return dict(found)


@needs_nsd
def test_hosts_of_a_name_join_and_leave_and_outlive_its_server(tmp_path: Path, listeners: Listeners) -> None:
    internal = Internal(tmp_path / "nsd")
    options = "interval: 1s, weight: 3, networks: 127.0.0.0/8"
    source = f'{{dns: {NAMED}, resolver: "127.0.0.1:{internal.port}", {options}}}'
    zones = {ZONE: zone_text(source, listeners.port)}
    with contextlib.ExitStack() as stack:
        nsd = stack.enter_context(contextlib.ExitStack())
        upstream = nsd.enter_context(internal.running("127.0.0.11"))
        server = stack.enter_context(serving(tmp_path, zones))
        assert server.seen(ZONE) == {"127.0.0.11"}, "the first answer has what the first look-up gave"
        shown = server.host("mta-127-0-0-11")
        assert (shown["weight"], shown["source"], shown["state"]) == (3, TITLE, "up")
        serial = server.status()["zones"][ZONE]["serial"]

        internal.change(upstream, "127.0.0.11", "127.0.0.12", "127.0.0.13", "0.0.0.0")
        wait_until(lambda: server.seen(ZONE) == {"127.0.0.11", "127.0.0.12"}, what="a host joins")
        assert server.values(f"mta-127-0-0-13.{ZONE}") == ["127.0.0.13"]
        assert server.status()["zones"][ZONE]["serial"] > serial
        assert source_of(server)["hosts"] == 3
        assert "0.0.0.0 left out: no machine's" in server.log()
        # It is dealt after its first good probe, like a host that an edit adds.
        listeners.open("127.0.0.13")
        wait_until(lambda: "127.0.0.13" in server.seen(ZONE), what="the third joins")

        internal.change(upstream, "127.0.0.12", "127.0.0.13")
        wait_until(lambda: server.seen(ZONE) == {"127.0.0.12", "127.0.0.13"}, what="a host leaves")
        assert server.values(f"mta-127-0-0-11.{ZONE}") == ["127.0.0.11"], "it answers for its own name"

        internal.change(upstream)
        wait_until(lambda: source_of(server)["error"], what="an empty name is a failure")
        assert server.seen(ZONE) == {"127.0.0.12", "127.0.0.13"}
        nsd.close()
        wait_until(lambda: "no address" not in source_of(server)["error"], what="the name server is gone")
        assert server.seen(ZONE) == {"127.0.0.12", "127.0.0.13"}
        assert server.metric("geodns_host_source_up", source=TITLE) == 0
        assert server.metric("geodns_host_source_hosts", source=TITLE) == 2
        (warning,) = [one for one in server.status()["warnings"] if TITLE in one]
        assert "its last list is kept (2 hosts), since 20" in warning
        assert server.stop() == 0

        again = stack.enter_context(serving(tmp_path))
        assert again.seen(ZONE) == {"127.0.0.12", "127.0.0.13"}, "the list outlives both"
        wait_until(lambda: source_of(again)["error"], what="the look-up fails")
        with internal.running("127.0.0.11", "127.0.0.12"):
            wait_until(lambda: again.seen(ZONE) == {"127.0.0.11", "127.0.0.12"}, what="it is asked again")
            assert source_of(again)["error"] is None
            assert again.metric("geodns_host_source_up", source=TITLE) == 1


def test_files_of_hosts_join_leave_and_keep_what_they_said(tmp_path: Path, listeners: Listeners) -> None:
    folder = tmp_path / "zones" / "hosts.d"
    folder.mkdir(parents=True)
    listeners.open("127.0.0.13")
    (folder / "a.yaml").write_text("a1: 127.0.0.11\n")
    text = zone_text('{file: "hosts.d/*.yaml"}', listeners.port)
    sooner = {product.BELIEVED_MISSING: 1.0}
    with serving(tmp_path, {ZONE: text}, constants=sooner) as server:
        assert server.seen(ZONE) == {"127.0.0.11"}
        assert server.host("a1")["source"] == "file hosts.d/a.yaml"
        (folder / "b.yaml").write_text("b1: {address: 127.0.0.12, weight: 2}\n")
        wait_until(lambda: server.seen(ZONE) == {"127.0.0.11", "127.0.0.12"}, what="a file joins")

        (folder / "b.yaml").write_text("b1: {adress: 127.0.0.13}\n")
        (folder / "c.yaml").write_text("c1: 127.0.0.13\n")
        all_three = {"127.0.0.11", "127.0.0.12", "127.0.0.13"}
        wait_until(lambda: server.seen(ZONE) == all_three, what="a broken file keeps none back")
        wait_until(lambda: source_of(server)["error"], what="the broken file is shown")
        assert f"{folder}/b.yaml:1:5: a host without an address" in source_of(server)["error"]
        assert server.stop() == 0
    with serving(tmp_path, constants=sooner) as server:
        assert server.seen(ZONE) == all_three, "what the broken file said last outlives a restart"
        (folder / "b.yaml").unlink()
        wait_until(lambda: server.seen(ZONE) == {"127.0.0.11", "127.0.0.13"}, what="a file leaves")
        assert server.values(f"b1.{ZONE}") == ["127.0.0.12"], "it answers for its own name"
        assert source_of(server)["error"] is None
        (folder / "a.yaml").unlink()
        (folder / "c.yaml").unlink()
        wait_until(lambda: source_of(server)["error"], what="all are gone at once")
        assert server.seen(ZONE) == {"127.0.0.11", "127.0.0.13"}
        kept = "all its files are gone: its last list is kept (2 hosts)"
        assert any(kept in one for one in server.status()["warnings"])
        assert "hosts from file hosts.d/*.yaml: 2, last given " in server.command("status").stdout


@needs_nsd
def test_a_zone_without_any_host_answers_servfail_until_it_has_one(
    tmp_path: Path, listeners: Listeners
) -> None:
    internal = Internal(tmp_path / "nsd")
    source = f'{{dns: {NAMED}, resolver: "127.0.0.1:{internal.port}", networks: 127.0.0.0/8}}'
    check = f"{{type: tcp, port: {listeners.port}}}"
    text = f"ns: {{ns1: 192.0.2.53}}\nchecks: {{smtp: {check}}}\nhosts_from: {source}\n"
    with serving(tmp_path, {ZONE: text}) as server:
        for rtype in ("A", "AAAA"):
            answer = server.ask(ZONE, rtype)
            assert answer.rcode() == dns.rcode.SERVFAIL, "no address would make senders bounce"
        assert server.ask(ZONE, "SOA").rcode() == dns.rcode.NOERROR
        with internal.running("127.0.0.11"):
            wait_until(lambda: server.ask(ZONE).rcode() == dns.rcode.NOERROR, what="the first host")
            assert server.values(ZONE) == ["127.0.0.11"]
            assert server.values(ZONE, "AAAA") == []
