"""When views are compiled: for edits, as hours and slots turn, as GeoIP files change; never undone."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from geodns.compiler.compile import compile_zones
from geodns.compiler.views import ZoneViews, compile_views
from geodns.control import view_service, zone_service
from geodns.control.alert_service import Alert
from geodns.model.address_ranges import ranges_of
from geodns.model.views import GeoNetworks
from geodns.responder.lookup import deal_for, rrset_of
from geodns.responder.table import ViewKey
from geodns.responder.views import ClientNetwork
from geodns.wire.names import name_to_wire
from tests.sample_zones import NAME, ORIGIN
from tests.servicing import Rig

MONDAY = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
HOUR = 3600.0
TEXT = """\
ns: {ns1: 192.0.2.53}
ttl: 30
hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3}
pools: {main: {hosts: [a], check: none}, day: {hosts: [b], check: none}, eu: {hosts: [c], check: none}}
records:
  "@": {A: {pool: [{subnets: 10.0.0.0/8, use: eu}, {countries: DE, use: eu},
                   {hours: "Mon-Fri 08:00-18:00", use: day}, main]}}
"""
GERMANY = GeoNetworks({"DE": ranges_of([ip_network("198.51.100.0/24")])})


class Turning:
    """Services whose clock a test turns; places are what it says.

    Attributes:
        wanted: names of places that the service wanted, one set a call.

    """

    def __init__(self, folder: Path) -> None:
        self.now = MONDAY + 7 * HOUR
        self.rig = Rig(folder, TEXT)
        self.service = self.rig.services.views
        self.service._wall = lambda: self.now
        self.wanted: list[set[str]] = []
        self.geoip = self.rig.services.geoip
        self.geoip.want = self._want  # type: ignore[method-assign]

    async def _want(self, rules: Any) -> None:
        await asyncio.sleep(0)
        self.wanted.append({one for rule in rules for one in rule.countries})

    def places(self, networks: GeoNetworks) -> None:
        self.geoip.networks = networks
        for on_change in self.geoip._subscribers:
            on_change()

    async def edit(self, text: str | None = None) -> None:
        if text is not None:
            self.rig.file.write_text(text)
        zones = self.rig.services.zones
        await zones.apply(zones._folder.read_all(), yes=True)

    async def at(self, now: float) -> str:
        """Return the pool of a client without a place at a moment."""
        self.now = now
        await self.service.look()
        return self.pool("203.0.113.1")

    def pool(self, client: str, name: str = ORIGIN) -> str:
        table = self.rig.services.cluster.compiled.table
        key = rrset_of(table, name_to_wire(name), 1)
        if isinstance(key, ViewKey):
            key = deal_for(table, key, ClientNetwork(ipv6=False, address=int(ip_address(client)))).key
        assert key is not None
        return key.tiers[0][0]

    @property
    def views(self) -> ZoneViews:
        return self.rig.services.cluster.compiled.views[NAME]

    def alerts(self) -> list[Alert]:
        return list(self.service.alerts())


@pytest.fixture
def turning(tmp_path: Path) -> Iterator[Turning]:
    one = Turning(tmp_path)
    yield one
    one.rig.close()


def shown(turning: Turning) -> dict[int, float | None]:
    rules = turning.service.rules(turning.rig.services.cluster.zones[NAME])
    return {one.row.number: one.since for one in rules}


def test_the_first_table_of_an_edit_has_its_views(turning: Turning) -> None:
    turning.places(GERMANY)
    asyncio.run(turning.edit())
    found = [turning.pool(one) for one in ("10.1.2.3", "198.51.100.7", "203.0.113.1")]
    assert found == ["eu", "eu", "main"]
    assert turning.wanted == [{"DE"}]
    assert len(turning.rig.published) == 1


def test_hours_begin_and_end_by_the_wall_clock(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        await turning.edit()
        begin, end = MONDAY + 8 * HOUR, MONDAY + 18 * HOUR
        assert turning.views.until == begin - 30
        assert await turning.at(begin - 31) == "main"
        assert await turning.at(begin - 30) == "main"
        key = next(iter(turning.views.views.values())).views[0].keys[0]
        assert key is not None
        assert key.ttl == 5, "so that resolvers ask again by then"
        assert await turning.at(begin - 0.1) == "main"
        assert shown(turning)[3] is None
        assert await turning.at(begin) == "day"
        assert shown(turning) == {1: MONDAY + 7 * HOUR, 2: MONDAY + 7 * HOUR, 3: begin, 4: MONDAY + 7 * HOUR}
        published = len(turning.rig.published)
        assert await turning.at(begin + HOUR) == "day"
        assert len(turning.rig.published) == published, "nothing was due"
        assert await turning.at(end) == "main"
        assert await turning.at(end + 14 * HOUR) == "day"

    asyncio.run(test())
    told = [one.getMessage() for one in caplog.records if "rule 3" in one.getMessage()]
    assert told[0] == (f"zone {NAME}: rule 3 of A {NAME} (hours Mon-Fri 08:00-18:00, UTC) begins: pool day")
    assert [one.rpartition(":")[0].split()[-1] for one in told] == ["begins", "ends", "begins"]


def test_a_clock_that_was_just_set_turns_nothing(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    steady = [True]
    monkeypatch.setattr(type(turning.rig.services.clock), "steady", property(lambda _: steady[0]))

    async def test() -> None:
        await turning.edit()
        steady[0] = False
        assert await turning.at(MONDAY + 12 * HOUR) == "main"
        steady[0] = True
        assert await turning.at(MONDAY + 12 * HOUR) == "day"
        # It was wrong after all, and is set back: what it turned was from the future.
        assert await turning.at(MONDAY + 7 * HOUR) == "main"
        assert await turning.at(MONDAY + 8 * HOUR) == "day"

    asyncio.run(test())


def test_what_files_say_of_places_changes_views_and_sends_no_more_than_that(turning: Turning) -> None:
    async def test() -> None:
        await turning.edit()
        assert turning.pool("198.51.100.7") == "main"
        turning.places(GERMANY)
        await turning.service.look()
        assert turning.pool("198.51.100.7") == "eu"
        before = turning.views
        turning.places(GeoNetworks(dict(GERMANY.countries)))
        await turning.service.look()
        assert turning.views is not before
        (one,), (other,) = before.views.values(), turning.views.views.values()
        assert one is other
        assert all(turning.views.partitions[key] is known for key, known in before.partitions.items())

    asyncio.run(test())


def test_names_of_places_are_wanted_once_and_let_go_with_their_rules(turning: Turning) -> None:
    async def test() -> None:
        await turning.edit()
        await turning.edit(TEXT.replace("ttl: 30", "ttl: 31"))
        assert turning.wanted == [{"DE"}]
        await turning.edit(TEXT.replace("countries: DE", "countries: FR"))
        assert turning.wanted == [{"DE"}, {"DE", "FR"}, {"FR"}]

    asyncio.run(test())


def test_an_edit_does_not_wait_for_ever_for_places(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_service, "PLACES_WITHIN", 0.01)

    async def test() -> None:
        there = asyncio.Event()

        async def want(rules: Any) -> None:
            del rules
            await there.wait()
            turning.places(GERMANY)

        turning.geoip.want = want  # type: ignore[method-assign]
        await turning.edit()
        assert turning.pool("198.51.100.7") == "main"
        there.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await turning.service.look()
        assert turning.pool("198.51.100.7") == "eu"

    asyncio.run(test())


# --- edits and turns at once ------------------------------------------------------------------------------


def test_an_edit_that_comes_while_views_are_compiled_is_not_undone(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        await turning.edit()
        real = turning.service._compile

        async def compile_then_edit(*arguments: Any) -> ZoneViews:
            made = await real(*arguments)
            monkeypatch.setattr(turning.service, "_compile", real)
            await turning.edit(TEXT.replace("use: day", "use: eu"))
            return made

        monkeypatch.setattr(turning.service, "_compile", compile_then_edit)
        assert await turning.at(MONDAY + 9 * HOUR) == "eu"

    asyncio.run(test())


def test_views_that_turn_while_an_edit_is_compiled_are_not_undone(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "in.example.net"

    async def test() -> None:
        await turning.edit()
        loop = asyncio.get_running_loop()

        def compile_slowly(*arguments: Any) -> Any:
            found = compile_zones(*arguments)
            # The other zone's clients turn after the thread has taken their views.
            asyncio.run_coroutine_threadsafe(turning.at(MONDAY + 9 * HOUR), loop).result()
            return found

        monkeypatch.setattr(zone_service, "compile_zones", compile_slowly)
        (turning.rig.file.parent / f"{other}.yaml").write_text("ns: {ns1: 192.0.2.53}\nhosts: {a: 192.0.2.1}")
        await turning.edit()
        assert other in turning.rig.services.cluster.zones
        assert turning.pool("203.0.113.1") == "day"
        assert turning.views.until == MONDAY + 18 * HOUR - 30

    asyncio.run(test())


def test_views_that_turn_while_their_own_edit_is_compiled_turn_again(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        await turning.edit()
        loop = asyncio.get_running_loop()

        def compile_slowly(*arguments: Any) -> Any:
            found = compile_zones(*arguments)
            asyncio.run_coroutine_threadsafe(turning.at(MONDAY + 9 * HOUR), loop).result()
            return found

        monkeypatch.setattr(zone_service, "compile_zones", compile_slowly)
        await turning.edit(TEXT.replace("subnets: 10.0.0.0/8", "subnets: 10.0.0.0/9"))
        assert await turning.at(MONDAY + 9 * HOUR) == "day"
        assert turning.pool("10.200.0.0") == "day"
        assert turning.pool("10.100.0.0") == "eu"

    asyncio.run(test())


def test_the_end_of_a_retirement_leaves_views_as_they_are(turning: Turning) -> None:
    async def test() -> None:
        turning.places(GERMANY)
        await turning.edit(TEXT.replace("c: 192.0.2.3}", "c: 192.0.2.3, d: 192.0.2.4}"))
        await turning.edit(TEXT)
        assert turning.rig.services.cluster.retired
        await turning.rig.services.zones.end_retirements(float("inf"))
        assert not turning.rig.services.cluster.retired
        assert turning.pool("198.51.100.7") == "eu"

    asyncio.run(test())


# --- trouble ----------------------------------------------------------------------------------------------


def test_views_that_fail_leave_those_of_before_and_an_alert(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        await turning.edit()
        with monkeypatch.context() as broken:
            broken.setattr(view_service, "compile_views", _broken)
            assert await turning.at(MONDAY + 9 * HOUR) == "main"
            (alert,) = turning.alerts()
            assert "RuntimeError: a bug" in alert.text
            assert "2026-11-30T07:00:00Z stays in use" in alert.text
            await turning.edit(TEXT.replace("use: day", "use: eu"))
            assert turning.pool("203.0.113.1") == "main"
            assert len(turning.alerts()) == 1
        monkeypatch.setattr(view_service, "TRY_EVERY", 0.0)
        await turning.edit(TEXT.replace("use: day", "use: eu"))
        assert turning.pool("203.0.113.1") == "eu"
        assert not turning.alerts()

    asyncio.run(test())


def _broken(*_: object) -> ZoneViews:
    raise RuntimeError("a bug")


def _many(number: int) -> str:
    return ", ".join(f"10.{one // 256}.{one % 256}.0/24" for one in range(0, 2 * number, 2))


@pytest.mark.parametrize("module", ["geodns.control.view_compiler", "geodns.control.none"])
def test_many_networks_are_compiled_apart_or_else_within_control(
    turning: Turning, module: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(view_service, "MANY", 100)
    within: list[float] = []

    def compile_within(*arguments: Any) -> ZoneViews:
        within.append(0)
        return compile_views(*arguments)

    monkeypatch.setattr(view_service, "compile_views", compile_within)
    monkeypatch.setattr(view_service, "COMPILER", module)
    turning.places(GERMANY)
    asyncio.run(turning.edit(TEXT.replace("subnets: 10.0.0.0/8", f"subnets: [{_many(200)}]")))
    found = [turning.pool(one) for one in ("10.0.2.1", "10.0.3.1", "198.51.100.7")]
    assert found == ["eu", "main", "eu"]
    assert bool(within) == (module == "geodns.control.none")
    assert ("compiled by control itself" in caplog.text) == bool(within)


def test_many_zones_turn_at_once(turning: Turning) -> None:
    async def test() -> None:
        for number in range(20):
            (turning.rig.file.parent / f"z{number}.example.yaml").write_text(TEXT)
        await turning.edit()
        published = len(turning.rig.published)
        assert await turning.at(MONDAY + 9 * HOUR) == "day"
        assert {turning.pool("203.0.113.1", f"z{number}.example.") for number in range(20)} == {"day"}
        assert len(turning.rig.published) - published < 10

    asyncio.run(test())


# --- over restarts ----------------------------------------------------------------------------------------


def test_since_when_rules_are_in_force_is_known_over_restarts(turning: Turning) -> None:
    def again(now: Callable[[], float]) -> dict[int, float | None]:
        services = turning.rig.services
        service = view_service.ViewService(
            services.cluster,
            services.workers,
            services.geoip,
            services.persistence,
            services.events,
            services.clock,
            now,
        )
        asyncio.run(service.follow())
        return {one.row.number: one.since for one in service.rules(services.cluster.zones[NAME])}

    asyncio.run(turning.edit())
    asyncio.run(turning.at(MONDAY + 9 * HOUR))
    before = shown(turning)
    assert again(lambda: MONDAY + 10 * HOUR) == before
    # The hours ended and began again while nobody looked.
    tuesday = MONDAY + 33 * HOUR
    assert again(lambda: tuesday) == before | {3: tuesday}
