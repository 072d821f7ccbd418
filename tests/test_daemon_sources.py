"""The control process with sources of hosts: they join and leave as by an edit, and all that tells of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.rcode

from geodns.control.zone_service import TEXT_OF
from geodns.health.outcome import ProbeResult
from geodns.storage.state_file import StateFile
from tests.controlling import NAME, TEXT, Control, Running, ready, until
from tests.zones.nameserver import NAME as LOOKED_UP
from tests.zones.nameserver import NameServer, name_server

__all__ = ["ready"]

MTA1, MTA2, MTA3 = (f"mta-192-0-2-1{number}" for number in (1, 2, 3))
TITLE = f"dns {LOOKED_UP}"


def text_with(server: NameServer, *, more: str = "", options: str = "") -> str:
    source = f'hosts_from: {{dns: {LOOKED_UP}, resolver: "127.0.0.1:{server.port}", interval: 1s{options}}}'
    return TEXT.replace("hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}", source + more)


def run(ready: Control, test: Any) -> None:
    """Run a test beside a daemon whose hosts a name server gives."""

    @contextlib.asynccontextmanager
    async def beside() -> AsyncIterator[NameServer]:
        async with name_server() as server:
            server.has("192.0.2.11", "192.0.2.12")
            ready.file.write_text(text_with(server))
            yield server

    async def whole() -> None:
        async with beside() as server, ready._running() as running:
            await until(lambda: running.daemon.services.watchdog.ready or running.ended.done())
            await test(running, server)

    asyncio.run(whole())


async def source_of(running: Running) -> dict[str, Any]:
    (found,) = (await running.get("/status"))["zones"][NAME]["sources"]
    return dict(found)


def test_hosts_join_after_their_first_good_probe_and_leave_into_retirement(ready: Control) -> None:
    async def test(running: Running, server: NameServer) -> None:
        assert running.supervisor.dealt() == {MTA1, MTA2}, "from the first answer on"
        before = (await running.get("/status"))["zones"][NAME]
        assert before["sources"][0] | {"at": ""} == {
            "source": TITLE,
            "hosts": 2,
            "at": "",
            "error": None,
            "since": None,
        }
        ready.finds["192.0.2.13"] = ProbeResult.FAILURE
        server.has("192.0.2.11", "192.0.2.12", "192.0.2.13")
        await until(lambda: MTA3 in running.daemon.services.cluster.zone(NAME).host_by_name)
        after = await running.get("/status")
        assert after["zones"][NAME]["serial"] > before["serial"]
        assert after["hosts"][NAME][MTA3]["source"] == TITLE
        assert running.supervisor.dealt() == {MTA1, MTA2}
        del ready.finds["192.0.2.13"]
        await running.dealt(MTA1, MTA2, MTA3)

        server.has("192.0.2.12", "192.0.2.13")
        await running.dealt(MTA2, MTA3)
        await until(lambda: (NAME, MTA1) in running.store.load_retired())
        told = [one["text"] for one in (await running.get("/api/v1/events?kind=source"))["events"]]
        assert any(f"{TITLE} gives 2 hosts, left: {MTA1}" in one for one in told)

    run(ready, test)


def test_a_failure_is_an_event_and_keeps_the_list_over_a_restart(ready: Control) -> None:
    async def first(running: Running, server: NameServer) -> None:
        await until(running.store.load_found)
        server.rcode = dns.rcode.SERVFAIL
        await until(lambda: running.daemon.services.zones._discovery.listing(NAME, _source(running)).error)
        shown = await source_of(running)
        assert shown["hosts"] == 2
        assert shown["error"].endswith("answers SERVFAIL")
        assert shown["since"] >= shown["at"]
        warnings = (await running.get("/status"))["warnings"]
        assert [one for one in warnings if "its last list is kept (2 hosts), since " in one]
        metrics = await running.get("/metrics")
        assert f'geodns_host_source_up{{source="{TITLE}",zone="{NAME}"}} 0.0' in metrics
        assert f'geodns_host_source_hosts{{source="{TITLE}",zone="{NAME}"}} 2.0' in metrics
        assert running.supervisor.dealt() == {MTA1, MTA2}

    async def second(running: Running, server: NameServer) -> None:
        assert running.supervisor.dealt() == {MTA1, MTA2}
        server.silent = True
        ready.file.write_text(text_with(server).replace("interval: 200ms", "interval: 300ms"))
        await until(lambda: running.daemon.services.cluster.zone(NAME).checks[0].interval == 0.3)
        assert running.supervisor.dealt() == {MTA1, MTA2}, "an edit of something else keeps it too"

    run(ready, first)
    run(ready, second)


def test_a_source_that_an_edit_brings_is_looked_up_before_the_edit_is_served(ready: Control) -> None:
    async def test(running: Running, server: NameServer) -> None:
        for text in (TEXT, text_with(server)):
            ready.file.write_text(text)
            # It takes all hosts away that there are, and brings others.
            await until(lambda: NAME in running.daemon.services.zones.waiting)
            await running.daemon.services.zones.reload(yes=True)
            if text is TEXT:
                await running.dealt("mta1", "mta2", "mta3")
        assert running.daemon.services.cluster.zone(NAME).sources
        assert set(running.daemon.services.cluster.zone(NAME).host_by_name) == {MTA1, MTA2}
        await running.dealt(MTA1, MTA2)

    run(ready, test)


def test_a_source_that_loses_much_at_once_waits(ready: Control) -> None:
    five = [f"192.0.2.{number}" for number in range(11, 16)]

    async def test(running: Running, server: NameServer) -> None:
        zones = running.daemon.services.zones
        server.has(*five)
        await until(lambda: len(running.daemon.services.cluster.zone(NAME).hosts) == 5)
        server.has("192.0.2.99", *five[:2])
        await until(lambda: NAME in zones.waiting)
        assert len(running.daemon.services.cluster.zone(NAME).hosts) == 5
        warnings = (await running.get("/status"))["warnings"]
        assert any("would have 60% of its weight out" in one and "reload --yes" in one for one in warnings)
        server.has(*five)
        await until(lambda: NAME not in zones.waiting)
        server.has(*five[:2])
        await until(lambda: NAME in zones.waiting)
        await zones.reload(yes=True)
        await until(lambda: len(running.daemon.services.cluster.zone(NAME).hosts) == 2)
        server.has(*five)
        await until(lambda: len(running.daemon.services.cluster.zone(NAME).hosts) == 5)
        ready.file.write_text(text_with(server, options=", trust: true"))
        await until(lambda: running.daemon.services.cluster.zone(NAME).sources[0].trust)
        server.has(*five[:1])
        await until(lambda: len(running.daemon.services.cluster.zone(NAME).hosts) == 1)
        assert not zones.waiting

    run(ready, test)


def test_hosts_come_and_go_while_the_file_is_broken(ready: Control) -> None:
    async def test(running: Running, server: NameServer) -> None:
        ready.file.write_text("hosts: 5\n")
        await until(lambda: running.daemon.services.zones._folder.refused)
        server.has("192.0.2.12", "192.0.2.13")
        await running.dealt(MTA2, MTA3)
        assert running.daemon.services.zones._folder.refused

    run(ready, test)


def test_hosts_come_and_go_though_the_file_was_broken_at_the_start(ready: Control) -> None:
    async def first(running: Running, server: NameServer) -> None:
        assert server.asked
        assert running.supervisor.dealt() == {MTA1, MTA2}

    async def second() -> None:
        async with name_server() as server:
            # The file is broken, and what it said has the port of a name server that is gone.
            server.has("192.0.2.12", "192.0.2.13")
            text = ready.file.read_text()
            before = text.split('resolver: "')[1].split('"')[0]
            ready.file.write_text("hosts: 5\n")
            store, _ = StateFile.open(ready.state, 0.0)
            note = store.load_notes()[f"{TEXT_OF}{NAME}"]
            assert note == text
            store.save_note(f"{TEXT_OF}{NAME}", note.replace(before, f"127.0.0.1:{server.port}"))
            store.close()
            async with ready._running() as running:
                await until(lambda: running.daemon.services.watchdog.ready or running.ended.done())
                await running.dealt(MTA2, MTA3)
                assert running.daemon.services.zones._folder.refused

    run(ready, first)
    asyncio.run(second())


def _source(running: Running) -> Any:
    return running.daemon.services.cluster.zone(NAME).sources[0]
