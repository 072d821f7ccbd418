"""``POST /api/v1/simulate``: what is served, with hosts down, for clients that are given."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from geodns.api import simulate
from geodns.api.app import make_app
from geodns.api.connections import SIMULATE
from geodns.api.schemas import seconds_of
from geodns.api.simulate import MAX_CLIENTS
from geodns.config.tokens import token_of
from geodns.control.simulation_plan import run_simulation
from geodns.model.state import Forced, ForcedState
from tests.api.test_app import Client, serve
from tests.sample_zones import NAME
from tests.servicing import NOW, FakeServices

TEXT = """\
ttl: 5
hosts:
  mta1: {address: 192.0.2.11, weight: 50}
  mta2: {address: 192.0.2.12, weight: 50}
  near1: 192.0.2.21
  near2: 192.0.2.22
  new1: {address: 192.0.2.15, weight: 50, warmup: {plan: [1000, 2000], start: 2026-12-01}}
pools:
  main: {hosts: [mta1, mta2, new1], volume: 10000, max_out: 1}
  near: {hosts: "near*", pick: client}
records:
  "@": {A: {pool: [{subnets: [198.51.100.0/24], use: near}, main]}, MX: {pool: main, preference: 10}}
"""
CLIENTS = [{"client": "198.51.100.7", "count": 3}, {"client": "192.0.2.200", "ecs": "203.0.113.0/24"}]


def served(
    body: Any, prepare: Callable[[FakeServices], None] = lambda _: None, **options: Any
) -> tuple[int, Any]:
    """Ask once; return the status and the answer."""
    fake = FakeServices(TEXT)
    fake.rig.services.warmup.look()
    prepare(fake)
    found: list[tuple[int, Any]] = []

    async def talk(client: Client) -> None:
        async with client.post(SIMULATE, json=body, **options) as response:
            found.append((response.status, await response.json()))

    serve(fake, talk)
    return found[0]


def first(shown: Any, number: int = 0) -> dict[str, float]:
    return {host["host"]: host["first"] for host in shown["names"][number]["hosts"]}


def test_what_is_served_is_dealt() -> None:
    status, shown = served({"name": f"{NAME}.", "clients": CLIENTS})
    assert status == 200
    assert [(one["name"], one["type"], one["queries"]) for one in shown["names"]] == [
        (f"{NAME}.", "A", 4),
        (f"{NAME}.", "MX", 4),
    ]
    found = shown["names"][0]
    assert [(rule["rule"], rule["share"]) for rule in found["rules"]] == [(1, 0.75), (2, 0.25)]
    assert sum(first(shown).values()) == 1
    assert (shown["clients"], found["sample"], shown["remarks"]) == (2, None, [])
    assert abs(time.time() - seconds_of(shown["at"])) < 60
    assert served({})[1]["names"][0]["sample"] == {"ranges": 4, "taken": 4}


def test_hosts_down_and_weights_change_nothing_that_is_served() -> None:
    fakes: list[FakeServices] = []
    wish = {"clients": CLIENTS, "type": "A", "down": ["near1", "mta1"], "weights": {"mta2": 7}}
    status, shown = served(wish, fakes.append)
    assert status == 200
    assert first(shown) == {"near2": 0.75, "mta2": 0.25}
    cluster = fakes[0].rig.services.cluster
    assert (dict(cluster.weights), cluster.held_back) == ({}, {})
    assert len(cluster.compiled.choices[NAME, "main"].hosts) == 2, "new1 waits for its start"


def test_another_time_has_other_ceilings() -> None:
    at = "2026-12-02T12:00:00Z"
    _, shown = served({"type": "MX", "at": at})
    assert shown["at"] == at
    (ceiling,) = shown["names"][0]["ceilings"]
    assert ceiling["ceiling"] == 0.2
    assert 0 <= ceiling["within"] < 0.01
    _, now = served({"type": "MX"})
    assert (now["names"][0]["ceilings"][0]["ceiling"], "new1" in first(now)) == (0, False)


def test_a_quarantine_that_a_program_gave_waits_while_all_others_are_down() -> None:
    def quarantine(fake: FakeServices) -> None:
        state = ForcedState(Forced.QUARANTINED, "", "program", NOW, badness=50.0)
        fake.rig.services.cluster.force((NAME, "mta2"), state)

    assert first(served({"type": "MX"}, quarantine)[1]) == {"mta1": 1}
    down = {"type": "MX", "down": ["mta1", "new1"]}
    assert first(served(down, quarantine)[1]) == {"mta2": 1}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"name": "www.example.org"}, 404, "www.example.org. is in no zone here"),
        ({"name": f"mta1.{NAME}"}, 404, "no pool is behind"),
        ({"down": ["mta9"]}, 404, "no host mta9"),
        ({"weights": {"mta1": 2, "192.0.2.11": 3}}, 400, "two weights"),
        ({"weights": {"mta1": -1}}, 400, "`weights.mta1`: -1: write at least 0"),
        ({"type": "TXT"}, 400, "`type`: 'TXT': write"),
        ({"clients": [{"client": "x"}]}, 400, "`clients[0].client`: 'x' is no address"),
        ({"clients": [{"client": "fe80::1%eth0"}]}, 400, "is no address"),
        ({"clients": [{"client": "192.0.2.1", "ecs": "192.0.2.1/24"}]}, 400, "write 192.0.2.0/24"),
        ({"clients": [{"client": "192.0.2.1", "count": 0}]}, 400, "write at least 1"),
        ({"clients": [{"client": "192.0.2.1"}] * (MAX_CLIENTS + 1)}, 400, "write at most 20000"),
        ({"at": "tomorrow"}, 400, "`at`: 'tomorrow' is no time: write it as 2026-11-25T03:00:00Z"),
        ({"host": "mta1"}, 400, "`host`: not known here"),
    ],
)
def test_one_clear_error_each(body: Any, status: int, text: str) -> None:
    found, answer = served(body)
    assert (found, text in answer["error"]) == (status, True), answer


def test_there_is_one_at_a_time_and_no_more_than_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return run_simulation(*arguments)

    monkeypatch.setattr(simulate, "run_simulation", slow)
    fake = FakeServices(TEXT)

    async def talk(client: Client) -> None:
        one = asyncio.create_task(client.post(SIMULATE, json={}))
        assert await asyncio.to_thread(begun.wait, 20)
        async with client.post(SIMULATE, json={}) as response:
            refused = response.status, await response.json()
        assert refused[0] == 503
        assert "one at a time: ask again in a moment" in refused[1]["error"]
        go.set()
        assert (await one).status == 200
        monkeypatch.setattr(simulate, "TIME_LIMIT", -1.0)
        async with client.post(SIMULATE, json={"clients": CLIENTS}) as response:
            assert response.status == 503
            assert "takes too long" in (await response.json())["error"]
        async with client.post(SIMULATE, json={"type": "MX"}) as response:
            assert response.status == 200

    serve(fake, talk)


def test_a_token_for_reading_is_enough_and_foreign_pages_have_none() -> None:
    fake = FakeServices(TEXT)

    async def talk(client: Client) -> None:
        async with client.post(SIMULATE, json={}, headers={"Origin": "http://evil.example"}) as response:
            assert response.status == 403

    serve(fake, talk)
    fake = FakeServices(TEXT)
    tokens = (token_of("r", "read"), token_of("c", "control"), token_of("s", "signals"))

    async def run() -> None:
        app = make_app(fake.services(), tokens)
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            for token, status in (("r", 200), ("c", 200), ("s", 403), ("x", 401), (None, 401)):
                headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                async with client.post(SIMULATE, json={"type": "A"}, headers=headers) as response:
                    assert (token, response.status) == (token, status)

    try:
        asyncio.run(run())
    finally:
        fake.close()
