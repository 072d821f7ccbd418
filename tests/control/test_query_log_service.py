"""The query log's switch: what may be asked for, what is shown, and how lines come into the log."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import make_app
from geodns.config.tokens import token_of
from geodns.control.query_log_service import MOST, QueryLogService
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import Noted
from geodns.wire.names import name_to_wire
from tests.api.test_app import FakeBackend


class Published:
    """Where a switch publishes to."""

    def __init__(self, *pending: str) -> None:
        self.times = 0
        self.pending = pending

    async def __call__(self) -> tuple[str, ...]:
        await asyncio.sleep(0)
        self.times += 1
        return self.pending


def talk(switch: QueryLogService, *asked: tuple[str, Any]) -> list[tuple[int, Any]]:
    """Ask over HTTP."""

    async def run() -> list[tuple[int, Any]]:
        backend = FakeBackend()
        app = make_app(backend, bytes, backend.carry, (), switch.routes())
        async with TestClient[web.Request, web.Application](TestServer(app, host="127.0.0.1")) as client:
            found = []
            for method, body in asked:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                async with client.request(method, "/api/v1/querylog", data=data) as response:
                    found.append((response.status, await response.json()))
            return found

    return asyncio.run(run())


def test_over_http() -> None:
    published = Published()
    switch = QueryLogService(None, published)
    before, on, after, off, wrong, nonsense = talk(
        switch,
        ("GET", None),
        ("POST", {"on": True, "zones": ["out.example.com"], "sample": "25%", "for": "unlimited"}),
        ("GET", None),
        ("POST", {"on": False}),
        ("POST", {"on": True, "sample": "x"}),
        ("POST", b"{"),
    )
    assert before == (200, {"on": False, "written": 0, "dropped": 0})
    shown = {"on": True, "zones": ["out.example.com"], "clients": [], "sample": 0.25, "until": None}
    assert on == after == (200, {**shown, "written": 0, "dropped": 0})
    assert off == before
    assert wrong[0] == nonsense[0] == 400
    assert wrong[1]["error"].startswith("`sample`: 'x' is no part")
    assert nonsense[1]["error"].startswith("the body: no JSON")
    assert published.times == 2


def test_workers_that_are_late_are_named() -> None:
    ((status, shown),) = talk(QueryLogService(None, Published("udp1")), ("POST", {"on": True}))
    assert (status, shown["pending"], shown["on"]) == (202, ["udp1"], True)
    assert shown["until"].endswith("Z")


def test_from_elsewhere_it_needs_the_token() -> None:
    async def run() -> int:
        backend = FakeBackend()
        app = make_app(
            backend,
            bytes,
            backend.carry,
            (token_of("s3cret", "control"),),
            QueryLogService(None, Published()).routes(),
        )
        server = TestServer(app, host="127.0.0.1")
        async with (
            TestClient[web.Request, web.Application](server) as client,
            client.post("/api/v1/querylog", json={"on": True}) as response,
        ):
            return response.status

    assert asyncio.run(run()) == 401


def test_it_ends_when_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = time.monotonic()
    switch = QueryLogService(QueryLog(until=now + 100), Published())
    assert not switch.expired(now + 99)
    assert switch.expired(now + 100)
    assert switch.wanted is None
    assert not switch.expired(now + 101)
    assert [one.getMessage() for one in caplog.records] == [
        "the query log is off: its time is over (0 queries written, 0 dropped)"
    ]


def test_lines_have_the_time_of_the_query_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "geodns.querylog")
    switch = QueryLogService(QueryLog(), Published())
    packet = b"\0\1\1\0\0\1" + bytes(6) + name_to_wire("a.example.") + b"\0\1\0\1"
    noted = Noted(1_700_000_000.25, ("192.0.2.1", 5, "udp"), packet, b"\0\1\x81\5" + bytes(8), 12, "")
    assert switch.write([noted, noted], 3, (), 0.0) == (2, 3)
    assert (switch.show()["written"], switch.show()["dropped"]) == (2, 3)
    record, _ = caplog.records
    assert record.getMessage() == "client 192.0.2.1#5 udp: a.example A IN + → REFUSED 0 answers 12 bytes"
    assert (record.name, record.levelname, record.created) == ("geodns.querylog", "INFO", noted.at)
    assert record.msecs == pytest.approx(250)
    assert vars(record)["qname"] == "a.example"


def test_so_many_lines_a_second_and_no_more() -> None:
    """However many workers there are: the process that writes them also probes and obeys."""
    switch = QueryLogService(QueryLog(), Published())
    noted = Noted(0.0, ("192.0.2.1", 5, "udp"), bytes(12), b"", 0, "")
    assert switch.write([noted] * (MOST - 1), 0, (), 7.0) == (MOST - 1, 0)
    assert switch.write([noted] * 5, 2, (), 7.9) == (1, 6)
    assert switch.write([noted] * 5, 0, (), 8.0) == (5, 0)
    assert (switch.show()["written"], switch.show()["dropped"]) == (MOST + 5, 6)


def test_who_switches_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    switch = QueryLogService(None, Published())
    talk(
        switch,
        ("POST", {"on": True, "clients": ["192.0.2.1"], "sample": "1/8", "for": "5m"}),
        ("POST", {"on": False}),
        ("POST", {"on": False}),
    )
    assert [one.getMessage() for one in caplog.records if one.name == "geodns.querylog"] == [
        "the query log is on, by 127.0.0.1: all zones, 192.0.2.1/32, 12.5% of the queries, for 300 s",
        "the query log is off, by 127.0.0.1 (0 queries written, 0 dropped)",
    ]
