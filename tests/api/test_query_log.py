"""The query log over HTTP: what may be asked for, what is shown, and who may ask."""

import asyncio
import json
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import make_app
from geodns.config.tokens import token_of
from tests.servicing import FakeServices


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
    assert after == (200, {**shown, "written": 0, "dropped": 0})
    assert on == (200, {**after[1], "kept": True})
    assert off == (200, {**before[1], "kept": True})
    assert wrong[0] == nonsense[0] == 400
    assert wrong[1]["error"].startswith("`sample`: 'x' is no part")
    assert nonsense[1]["error"].startswith("the body: no JSON")
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
