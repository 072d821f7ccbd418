"""The query log's switch: what may be asked for, what is shown, and how lines come into the log."""

import asyncio
import json
import logging
import time
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import make_app
from geodns.api.query_log import FOR, read_wish
from geodns.config.answer_keys import MAX_ITEMS
from geodns.config.tokens import token_of
from geodns.control.query_log_service import MOST, QueryLogService
from geodns.errors import UsageError
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import Noted
from geodns.wire.names import name_to_wire
from tests.api.test_app import FakeBackend

NOW = 5000.0


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"on": False}, None),
        ({"on": True}, QueryLog(until=NOW + FOR)),
        ({"on": True, "for": "unlimited"}, QueryLog()),
        ({"on": True, "for": 30}, QueryLog(until=NOW + 30)),
        (
            {
                "on": True,
                "zones": ["Out.Example.com", "."],
                "clients": ["192.0.2.0/24", "2001:db8::1"],
                "sample": "1%",
                "for": "2h",
            },
            QueryLog(
                (name_to_wire("out.example.com."), b"\0"),
                (ip_network("192.0.2.0/24"), ip_network("2001:db8::1")),
                0.01,
                NOW + 7200,
            ),
        ),
        ({"on": True, "sample": 0.5, "for": "1s"}, QueryLog(sample=0.5, until=NOW + 1)),
        ({"on": True, "sample": 0.00001, "for": 0.5}, QueryLog(sample=0.00001, until=NOW + 0.5)),
        (
            {"on": True, "zones": ["Bücher.example。"], "for": 1e3},
            QueryLog((name_to_wire("xn--bcher-kva.example."),), until=NOW + 1000),
        ),
    ],
)
def test_wishes(body: Any, wanted: QueryLog | None) -> None:
    assert read_wish(body, NOW) == wanted


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (None, "`on` is true or false"),
        ([], "`on` is true or false"),
        ({}, '`on` is true or false: write {"on": true'),
        ({"on": 1}, "`on` is true or false"),
        ({"on": True, "zone": "x"}, "'zone' is not known here"),
        ({"on": False, "zones": []}, "with `on` false nothing else has a meaning"),
        ({"on": True, "zones": "x"}, "`zones` is a list of texts"),
        ({"on": True, "zones": [1]}, "`zones` is a list of texts"),
        ({"on": True, "zones": ["a..b"]}, "`zones`: "),
        ({"on": True, "zones": ["x"] * (MAX_ITEMS + 1)}, "at most 64"),
        ({"on": True, "clients": ["mta1"]}, "`clients`: 'mta1' is no network: write an address"),
        ({"on": True, "sample": 0}, "`sample` '0' is no part of the queries: write 1 for all"),
        ({"on": True, "sample": True}, "`sample` 'True' is no part"),
        ({"on": True, "sample": "10"}, "`sample` '10' is no part"),
        ({"on": True, "for": "soon"}, "`for` 'soon' is no duration: write a number and its unit"),
        ({"on": True, "for": "2"}, "`for` '2' has no unit: write 2h or 2m"),
        ({"on": True, "for": 0}, "`for` '0' is no duration"),
        ({"on": True, "zones": ["a..ü"]}, "`zones`: "),
        ({"on": True, "sample": float("nan")}, "`sample` 'nan' is no part"),
        ({"on": True, "sample": ["1%"]}, "is no part"),
        ({"on": True, "for": "9999999w"}, "`for` '9999999w' is over ten years: write unlimited"),
        ({"on": True, "for": 10**400}, "is over ten years: write unlimited"),
        ({"on": True, "for": float("nan")}, "`for` 'nan' is no duration"),
        ({"on": True, "for": True}, "no duration"),
        ({"on": True, "for": None}, "no duration"),
    ],
)
def test_wishes_that_cannot_be_granted(body: Any, says: str) -> None:
    with pytest.raises(UsageError) as error:
        read_wish(body, NOW)
    assert says in str(error.value)


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
    assert wrong[1]["error"].startswith("`sample` 'x' is no part")
    assert nonsense[1]["error"].startswith("the body is no JSON")
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
