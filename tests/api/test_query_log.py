"""The query log over HTTP: what may be asked for, what is shown, and who may ask."""

import asyncio
import json
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import make_app
from geodns.api.query_log import FOR, read_wish
from geodns.config.answer_keys import MAX_ITEMS
from geodns.config.tokens import token_of
from geodns.errors import UsageError
from geodns.responder.answer_policy import QueryLog
from geodns.wire.names import name_to_wire
from tests.servicing import FakeServices

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


def talk(fake: FakeServices, *asked: tuple[str, Any]) -> list[tuple[int, Any]]:
    """Ask over HTTP."""

    async def run() -> list[tuple[int, Any]]:
        app = make_app(fake.services(), ())
        async with TestClient[web.Request, web.Application](TestServer(app, host="127.0.0.1")) as client:
            found = []
            for method, body in asked:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                async with client.request(method, "/api/v1/querylog", data=data) as response:
                    found.append((response.status, await response.json()))
            return found

    try:
        return asyncio.run(run())
    finally:
        fake.close()


def test_over_http() -> None:
    fake = FakeServices()
    before, on, after, off, wrong, nonsense = talk(
        fake,
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
    logged = [table.policy.query_log for table in fake.rig.published]
    assert [one and one.sample for one in logged] == [0.25, None]


def test_workers_that_are_late_are_named() -> None:
    fake = FakeServices()
    fake.rig.pending = ("udp1",)
    ((status, shown),) = talk(fake, ("POST", {"on": True}))
    assert (status, shown["pending"], shown["on"]) == (202, ["udp1"], True)
    assert shown["until"].endswith("Z")


def test_from_elsewhere_it_needs_the_token() -> None:
    fake = FakeServices()

    async def run() -> int:
        app = make_app(fake.services(), (token_of("s3cret", "control"),))
        server = TestServer(app, host="127.0.0.1")
        async with (
            TestClient[web.Request, web.Application](server) as client,
            client.post("/api/v1/querylog", json={"on": True}) as response,
        ):
            return response.status

    assert asyncio.run(run()) == 401
    fake.close()
