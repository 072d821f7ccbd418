"""Discovery as it runs: who waits for a first list, what is told, kept and looked at anew."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.rcode
import pytest

from geodns.model.base import Address
from geodns.model.hosts import DnsSource, FileSource, HostSource
from geodns.model.zone import Zone
from geodns.zones import discovery
from geodns.zones.discovery import Discovery
from geodns.zones.listing import Listing, hosts_of
from tests.sample_zones import NAME, zone
from tests.zones.nameserver import NAME as LOOKED_UP
from tests.zones.nameserver import NameServer, name_server

FILES = FileSource(file="hosts.d/*.yaml")
SOON = 10.0


def zone_with(*sources: HostSource) -> Zone:
    return zone("hosts: {own: 192.0.2.200}").model_copy(update={"sources": sources})


class Rig:
    """A discovery, the name server it asks, and what it told."""

    def __init__(self, folder: Path, server: NameServer, stored: Mapping[tuple[str, str], str]) -> None:
        self.server = server
        self.told: list[str] = []
        self.discovery = Discovery(folder, stored, self._tell)
        self.source = DnsSource(
            dns=LOOKED_UP, label="mta", resolver=ip_address("127.0.0.1"), port=server.port, interval=1
        )
        self.zone = zone_with(self.source)

    def _tell(self, zone: str, text: str, level: int, data: Mapping[str, Any]) -> None:
        assert zone == NAME
        assert data["source"] in text
        self.told.append(text)
        del level

    def hosts(self, source: HostSource | None = None) -> list[str]:
        return [one.host.name for one in self.discovery.find(NAME, source or self.source).hosts]

    async def changed(self) -> frozenset[str]:
        """Wait for a change of hosts; what is only to be kept is passed over."""
        async with asyncio.timeout(SOON):
            while not (names := await self.discovery.changed()):
                pass
        return names

    async def noted(self) -> None:
        async with asyncio.timeout(SOON):
            assert not await self.discovery.changed()


def run(
    folder: Path, test: Callable[[Rig], Awaitable[None]], stored: Mapping[tuple[str, str], str] | None = None
) -> None:
    async def beside() -> None:
        async with name_server() as server:
            server.has("192.0.2.1", "192.0.2.2")
            rig = Rig(folder, server, stored or {})
            try:
                await test(rig)
            finally:
                await rig.discovery.close()

    asyncio.run(beside())


def test_the_first_list_is_waited_for(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        assert rig.hosts() == []
        assert await rig.discovery.first([rig.zone]) == {NAME}
        assert rig.hosts() == ["mta-192-0-2-1", "mta-192-0-2-2"]
        assert await rig.discovery.first([rig.zone]) == frozenset(), "once"
        assert rig.told == [
            f"zone {NAME}: dns {LOOKED_UP} gives 2 hosts, joined: mta-192-0-2-1, mta-192-0-2-2"
        ]

    run(tmp_path, test)


def test_one_that_fails_is_waited_for_but_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "FIRST_WAIT", 0.2)

    async def test(rig: Rig) -> None:
        rig.server.silent = True
        assert await rig.discovery.first([rig.zone]) == frozenset()
        began = asyncio.get_running_loop().time()
        assert await rig.discovery.first([rig.zone]) == frozenset()
        assert asyncio.get_running_loop().time() - began < 0.1

    run(tmp_path, test)


def test_hosts_join_leave_and_are_kept(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        await rig.discovery.first([rig.zone])
        rig.discovery.follow([rig.zone])
        await rig.noted()
        rig.server.has("192.0.2.2", "192.0.2.3", "2001:db8::3")
        rig.discovery.look_up_now()
        assert await rig.changed() == {NAME}
        assert rig.hosts() == ["mta-192-0-2-2", "mta-192-0-2-3", "mta-2001-db8-0-0-0-0-0-3"]
        rig.server.rcode = dns.rcode.SERVFAIL
        rig.discovery.look_up_now()
        await rig.noted()
        known = rig.discovery.listing(NAME, rig.source)
        assert (len(known.hosts), known.error is None, known.since is None) == (3, False, False)
        assert "its last list is kept (3 hosts)" in rig.told[-1]
        rig.server.rcode = dns.rcode.NOERROR
        rig.server.has("192.0.2.3")
        assert await rig.changed() == {NAME}
        assert rig.told[-2] == f"zone {NAME}: dns {LOOKED_UP} gives hosts again"
        assert rig.told[-1].endswith(
            "gives 1 host, left (most of them): mta-192-0-2-2, mta-2001-db8-0-0-0-0-0-3"
        )

    run(tmp_path, test)


def test_lists_outlive_a_restart_and_sources_that_are_gone_do_not(tmp_path: Path) -> None:
    kept: dict[tuple[str, str], str] = {}

    async def first(rig: Rig) -> None:
        await rig.discovery.first([rig.zone])
        rig.discovery.follow([rig.zone])
        kept.update(rig.discovery.stored())

    async def second(rig: Rig) -> None:
        rig.server.silent = True
        assert await rig.discovery.first([rig.zone]) == frozenset(), "nobody waits where there is a list"
        assert rig.hosts() == ["mta-192-0-2-1", "mta-192-0-2-2"]
        heavier = rig.source.model_copy(update={"weight": 9, "label": "mx", "port": rig.source.port})
        found = rig.discovery.find(NAME, heavier).hosts
        assert [one.host.name for one in found] == ["mx-192-0-2-1", "mx-192-0-2-2"]
        assert {one.host.weight for one in found} == {9}
        rig.discovery.follow([zone_with()])
        assert (rig.hosts(), rig.discovery.stored()) == ([], {})

    run(tmp_path, first)
    run(tmp_path, second, kept)


def test_a_family_that_does_not_answer_keeps_its_last_list(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        rig.server.has("192.0.2.1", "2001:db8::1")
        await rig.discovery.first([rig.zone])
        rig.discovery.follow([rig.zone])
        await rig.noted()
        for code, error in ((dns.rcode.NXDOMAIN, None), (dns.rcode.SERVFAIL, "AAAA: ")):
            rig.server.rcodes["AAAA"] = code
            rig.server.has("192.0.2.2" if error else "192.0.2.3")
            rig.discovery.look_up_now()
            assert await rig.changed() == {NAME}
            listing = rig.discovery.listing(NAME, rig.source)
            assert [str(one.addresses[0]) for one in listing.hosts][1:] == ["2001:db8::1"]
            assert (listing.error or "").startswith(error or "")
            assert (listing.error is None) == (error is None)

    run(tmp_path, test)


def test_a_source_that_comes_back_tells_again_what_it_leaves_out(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        rig.server.has("192.0.2.1", "127.0.0.1")
        for _ in range(2):
            await rig.discovery.first([rig.zone])
            assert "127.0.0.1 left out: " in rig.told[0]
            rig.told.clear()
            rig.discovery.follow([zone_with()])

    run(tmp_path, test)


def test_look_ups_go_on_after_there_were_no_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(address: Address) -> bool:
        del address
        raise OSError(errno.EMFILE, "Too many open files")

    async def test(rig: Rig) -> None:
        rig.discovery._own = {("0.0.0.0", 25)}
        monkeypatch.setattr(discovery, "_is_local", exhausted)
        await rig.discovery.first([rig.zone])
        assert rig.hosts() == []
        monkeypatch.setattr(discovery, "_is_local", lambda _: False)
        rig.discovery.look_up_now()
        assert await rig.changed() == {NAME}
        assert rig.hosts() == ["mta-192-0-2-1", "mta-192-0-2-2"]

    run(tmp_path, test)


def test_this_server_itself_is_no_host_where_a_check_would_find_it_well(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        zone_of_checks = zone(
            "checks: {near: {type: tcp, port: 5300}}\npools: {main: {hosts: own, check: near}}\n"
            "hosts: {own: 192.0.2.200}\nrecords: {'@': {pool: main}}"
        )
        watched = zone_of_checks.model_copy(update={"sources": (rig.source,)})
        rig.discovery._own = {("192.0.2.1", 5300), ("192.0.2.2", 53)}
        await rig.discovery.first([watched])
        assert rig.hosts() == ["mta-192-0-2-2"]
        assert "192.0.2.1 left out: " in rig.told[0]
        rig.server.has("192.0.2.1")
        rig.discovery.follow([watched])
        await rig.noted()
        rig.discovery.look_up_now()
        await rig.noted()
        assert rig.hosts() == ["mta-192-0-2-2"]
        assert "this server's own addresses alone: its last list is kept" in rig.told[-1]

    run(tmp_path, test)


def test_what_a_list_from_before_has_and_the_source_does_not_take_is_no_host(tmp_path: Path) -> None:
    key = (NAME, f"dns {LOOKED_UP}")
    kept = Listing(
        {"": hosts_of(DnsSource(dns=LOOKED_UP, label="mta"), (ip_address("127.0.0.1"),))}, 1.0
    ).text()

    async def test(rig: Rig) -> None:
        assert rig.hosts() == []

    run(tmp_path, test, {key: kept})


def test_other_options_are_heeded_at_once(tmp_path: Path) -> None:
    async def test(rig: Rig) -> None:
        seldom = rig.source.model_copy(update={"interval": 3600.0})
        await rig.discovery.first([zone_with(seldom)])
        rig.discovery.follow([zone_with(seldom)])
        await rig.noted()
        rig.server.has("192.0.2.9")
        rig.discovery.follow([rig.zone])
        assert await rig.changed() == {NAME}
        assert rig.hosts() == ["mta-192-0-2-9"]

    run(tmp_path, test)


def test_a_fault_of_ours_does_not_end_the_look_ups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(source: DnsSource) -> None:
        raise RuntimeError(source.title)

    async def test(rig: Rig) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(discovery, "look_up", fails)
            await rig.discovery.first([rig.zone])
        assert "a fault of geodns itself" in (rig.discovery.listing(NAME, rig.source).error or "")
        assert await rig.changed() == {NAME}
        assert rig.hosts() == ["mta-192-0-2-1", "mta-192-0-2-2"]

    run(tmp_path, test)


def test_files_are_read_when_they_are_asked_for_and_watched_from_then(tmp_path: Path) -> None:
    folder = tmp_path / "hosts.d"
    folder.mkdir()
    (folder / "b.yaml").write_text("b1: 192.0.2.2\n")

    async def test(rig: Rig) -> None:
        files = zone_with(FILES)
        assert rig.hosts(FILES) == ["b1"]
        rig.discovery.follow([files])
        await rig.noted()
        (folder / "a.yaml").write_text("a1: {address: 192.0.2.1, weight: 4}\n")
        assert await rig.changed() == {NAME}
        found = rig.discovery.find(NAME, FILES).hosts
        assert [(one.host.name, one.host.weight, one.source) for one in found] == [
            ("a1", 4, "file hosts.d/a.yaml"),
            ("b1", 1, "file hosts.d/b.yaml"),
        ]
        (folder / "c.yaml").write_text("c1: 192.0.2.3\n")
        await asyncio.to_thread(rig.discovery.renew)
        assert rig.hosts(FILES) == ["a1", "b1", "c1"], "at once, as an operator asks for"
        assert await rig.changed() == {NAME}, "for zones whose own file is refused just now"
        assert set(rig.discovery.stored()) == {(NAME, FILES.title)}

    run(tmp_path, test)
