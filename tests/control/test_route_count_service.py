"""What MTAs were answered, counted: the last hour, days over a restart, metrics, what is asked in vain."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from geodns.config.route_keys import RoutesListen
from geodns.config.server_keys import Listen
from geodns.control import route_metrics
from geodns.control.history_service import HistoryService
from geodns.control.metrics import Metrics
from geodns.control.route_count_service import RouteCountService
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.serve.frames import ROUTE_SECONDS, RouteCounts, RouteKey
from geodns.storage.route_rows import DAY, FIVE, HOUR, RULES_KEPT, RuleTimes

ZONE = "out.example.com"
NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z
ANY = CompiledRule(1, "any", (), (), (), (), (), (), None, ZONE, by_host=False, port=25)
BULK = ANY._replace(digest="bulk", mail_class=("bulk",), name=f"bulk.{ZONE}")
MATCHED = {RouteKey(ZONE, "bulk", "name", "policy"): 3}


class World:
    """A service over a folder, with a cluster that has what it looks at."""

    def __init__(self, folder: Path, *rules: CompiledRule) -> None:
        self.cluster = SimpleNamespace(zones={ZONE: None}, sources={ZONE: None})
        self.rules(*rules)
        self.metrics = Metrics()
        anything = cast(Any, SimpleNamespace(subscribe=id))
        self.history = HistoryService(folder, anything, anything, anything)
        self.service = RouteCountService((), cast(Any, self.cluster), anything, self.history, self.metrics)

    def rules(self, *rules: CompiledRule) -> None:
        numbered = tuple(rule._replace(number=number) for number, rule in enumerate(rules, 1))
        routes = {ZONE: ZoneRoutes(ZONE, (), numbered)} if rules else {}
        self.cluster.compiled = SimpleNamespace(table=SimpleNamespace(routes=routes))

    def take(self, answers: Mapping[RouteKey, int], now: float, **more: Any) -> None:
        buckets = more.get("buckets", (0,) * (len(ROUTE_SECONDS) + 1))
        counts = RouteCounts("routes", dict(answers), more.get("looked_up", {}), buckets, 0.5, NOON)
        self.service.take(counts, now)

    def since(self, since: float, now: float) -> dict[Any, int]:
        return dict(asyncio.run(self.service.since(ZONE, since, now)).sums.answers)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def alerts(self, now: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setattr(time, "time", lambda: now)
        return [one.text for one in self.service.alerts()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, BULK, ANY)


def test_the_last_hour_has_what_is_not_over_and_forgets_what_is_older(world: World) -> None:
    world.take({**MATCHED, RouteKey(ZONE, "bulk", "name", "policy"): 1}, NOON)
    world.take({RouteKey(ZONE, "bulk", "name", "policy"): 2}, NOON + 70)
    world.take(MATCHED, NOON + FIVE, looked_up={(ZONE, "mta1", "google"): 2})
    hour = asyncio.run(world.service.since(ZONE, NOON + FIVE - HOUR, NOON + FIVE))
    assert hour.since == NOON + FIVE - HOUR
    assert hour.sums.answers == {("bulk", "name", "policy"): 6}
    assert hour.sums.looked_up == {("mta1", "google"): 2}
    assert world.since(NOON + DAY, NOON + FIVE) == {}, "of a time that has not come"
    world.service.close_step(NOON + 2 * FIVE)
    assert [world.service.last_hour(ZONE, NOON + at) for at in (FIVE, FIVE + HOUR, 2 * FIVE + HOUR)] == [
        6,
        3,
        0,
    ]


def test_counts_and_times_survive_a_restart_and_a_move_of_the_rule(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOON + FIVE + 2)
    world.service.look(NOON)
    world.take(MATCHED, NOON + 1)
    world.service.close_step(NOON + FIVE)
    world.service.write(NOON + FIVE)
    world.take(MATCHED, NOON + FIVE + 1)
    assert world.since(NOON - DAY, NOON + HOUR) == {("bulk", "name", "policy"): 6}
    asyncio.run(world.service.close())
    asyncio.run(world.history.close())
    fresh = World(tmp_path, ANY, BULK)
    fresh.service._take_up(fresh.service._read(NOON + HOUR / 2))
    fresh.service.look(NOON + HOUR / 2)
    assert fresh.service.last_hour(ZONE, NOON + HOUR / 2) == 6
    assert fresh.since(NOON - DAY, NOON + DAY) == {("bulk", "name", "policy"): 6}
    assert fresh.since(NOON + HOUR, NOON + DAY) == {}
    assert fresh.service.times(ZONE, "bulk") == RuleTimes(NOON, NOON + FIVE + 1)
    assert fresh.service.times(ZONE, "any") == RuleTimes(NOON)


def test_look_ups_of_a_host_are_known_over_a_restart(world: World, tmp_path: Path) -> None:
    def found(service: RouteCountService, since: float) -> dict[str, int]:
        return dict(service.looked_up(ZONE, "mta1", since))

    of_google, of_other = (ZONE, "mta1", "google"), (ZONE, "mta2", "google")
    world.take(MATCHED, NOON + 10, looked_up={of_google: 2, of_other: 9})
    world.take(MATCHED, NOON + 2 * FIVE, looked_up={of_google: 1, (ZONE, "mta1", ""): 4})
    assert found(world.service, NOON + 100) == {"google": 3, "": 4}, "of the whole step"
    assert found(world.service, NOON + FIVE) == {"google": 1, "": 4}
    world.service.close_step(NOON + 3 * FIVE)
    world.service.write(NOON + 3 * FIVE)
    fresh = World(tmp_path, BULK, ANY)
    fresh.service._take_up(fresh.service._read(NOON + 3 * FIVE))
    assert found(fresh.service, NOON + 100) == {"google": 3, "": 4}


def test_a_rule_is_known_from_when_it_is_in_the_file_and_forgotten_long_after(world: World) -> None:
    world.service.look(NOON)
    world.rules(ANY)
    world.service.look(NOON + 5)
    assert world.service.times(ZONE, "bulk") == RuleTimes(NOON)
    world.rules(ANY, ANY._replace(digest="new"))
    world.service.look(NOON + RULES_KEPT + 5)
    assert world.service.times(ZONE, "bulk") is None
    assert world.service.times(ZONE, "any") == RuleTimes(NOON)
    assert world.service.times(ZONE, "new") == RuleTimes(NOON + RULES_KEPT + 5)


def test_metrics_name_the_rule_by_its_number_and_its_name(world: World) -> None:
    world.take(
        {
            **MATCHED,
            RouteKey(ZONE, "", "local", "line"): 2,
            RouteKey(ZONE, "gone", "name", "http"): 1,
            RouteKey("", "", "malformed", "http"): 4,
        },
        NOON,
        looked_up={(ZONE, "mta1", ""): 7},
        buckets=(1, 2, *(0,) * (len(ROUTE_SECONDS) - 2), 3),
    )
    name = "geodns_route_answers_total"
    rule = {"rule": "1", "use": f"bulk.{ZONE}"}
    assert world.metric(name, zone=ZONE, outcome="name", protocol="policy", **rule) == 3
    none = {"rule": "", "use": ""}
    assert world.metric(name, zone=ZONE, outcome="local", protocol="line", **none) == 2
    assert world.metric(name, zone="", outcome="malformed", protocol="http", **none) == 4
    other = {"rule": "other", "use": ""}
    assert world.metric(name, zone=ZONE, outcome="name", protocol="http", **other) == 1
    assert world.metric("geodns_route_looked_up_total", zone=ZONE, host="mta1", provider="") == 7
    assert world.metric("geodns_route_seconds_bucket", le="0.00025") == 3
    assert world.metric("geodns_route_seconds_bucket", le="+Inf") == 6
    assert world.metric("geodns_route_seconds_count") == 6
    assert world.metric("geodns_route_seconds_sum") == 0.5


def test_many_rules_have_no_more_than_a_bound_of_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route_metrics, "MOST_RULES", 10)
    monkeypatch.setattr(route_metrics, "MOST_LOOKED_UP", 10)
    some = [ANY._replace(digest=str(number)) for number in range(100)]
    world = World(tmp_path, *some)
    world.take(
        {RouteKey(ZONE, rule.digest, "name", "policy"): 1 for rule in some},
        NOON,
        looked_up={(ZONE, f"mta{number}", "google"): 1 for number in range(100)},
    )
    labels = {"outcome": "name", "protocol": "policy"}
    other = {"zone": ZONE, "rule": "other", "use": ""}
    assert world.metric("geodns_route_answers_total", **other, **labels) == 90
    assert world.metric("geodns_route_looked_up_total", zone=ZONE, host="other", provider="") == 90
    text = world.metrics.expose().decode()
    assert text.count("geodns_route_answers_total{") == 11
    assert text.count("geodns_route_looked_up_total{") == 11


def test_zones_that_are_asked_in_vain_are_an_alert_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.alerts(NOON, monkeypatch) == []
    names = "z998.example, z999.example, out.exmaple.com"
    there = f"zones with routes: {ZONE}"
    how = "see what they send as zone or policy_context"
    world.take({RouteKey("", "", "unserved", "line"): 1}, NOON)
    assert world.alerts(NOON, monkeypatch) == [f"MTAs ask for routes of a zone that has none: {how}; {there}"]
    for name in ("out.exmaple.com", *(f"z{number}.example" for number in range(1000)), "out.exmaple.com"):
        world.take({RouteKey(name, "", "unserved", "policy"): 1}, NOON)
    assert world.alerts(NOON, monkeypatch) == [
        f"MTAs ask for routes of {names}, which is not served: {how}; {there}"
    ]
    listener = RoutesListen(listen=Listen("127.0.0.1", 5310), zone="out.exmaple.com")
    world.service.listeners = (listener,)
    at = "MTAs ask for routes at 127.0.0.1:5310, whose zone"
    assert world.alerts(NOON, monkeypatch) == [
        f"{at} out.exmaple.com is not served: see `routes_listen`; {there}"
    ]
    world.cluster.zones["out.exmaple.com"] = None
    assert world.alerts(NOON, monkeypatch) == [
        f"{at} out.exmaple.com has none: write `routes` in its file; {there}"
    ]
    assert set(world.service._open) == {""}, "no more is kept than there are zones"
    world.service.close_step(NOON + FIVE)
    assert world.alerts(NOON + 2 * FIVE, monkeypatch)
    assert world.alerts(NOON + 4 * FIVE, monkeypatch) == []


def test_a_zone_without_routes_that_is_asked_for_them_is_an_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.take({RouteKey(ZONE, "", "unserved", "policy"): 1}, NOON)
    assert world.alerts(NOON, monkeypatch) == [
        "MTAs ask for routes of out.example.com, which has none: write `routes` in its file"
    ]


def test_a_disk_that_fails_loses_nothing_within_the_hour(world: World, tmp_path: Path) -> None:
    world.service.look(NOON)
    world.take(MATCHED, NOON)
    world.service.close_step(NOON + FIVE)
    (tmp_path / "history.db").mkdir()
    world.service.write(NOON + FIVE)
    assert world.since(NOON - DAY, NOON + HOUR) == {}, "it cannot be read either"
    assert world.service.last_hour(ZONE, NOON + FIVE) == 3
    (tmp_path / "history.db").rmdir()
    world.service.write(NOON + 2 * FIVE)
    assert world.since(NOON - DAY, NOON + HOUR) == {("bulk", "name", "policy"): 3}


def test_a_listener_whose_own_host_is_in_no_zone_is_an_alert(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its MTA would be told to send to itself, and bounce: "loops back to myself"."""
    zone = SimpleNamespace(host_by_name={"mta1": None}, sources=())
    world.cluster.zones = {ZONE: zone}
    where = Listen("127.0.0.1", 5310)
    for named in (ZONE, None):
        world.service.listeners = (
            RoutesListen(listen=where, zone=named, self_host="mta1"),
            RoutesListen(listen=where, zone="other.example", self_host="mta9"),
            RoutesListen(listen=where),
        )
        assert world.alerts(NOON, monkeypatch) == []
        world.service.listeners += (RoutesListen(listen=where, zone=named, self_host="mta9"),)
        (text,) = world.alerts(NOON, monkeypatch)
        assert text.startswith(f"routes_listen {where}: `self` is mta9, and zone {ZONE} has no such host: ")
    zone.sources = ("docker",)
    assert world.alerts(NOON, monkeypatch) == []
