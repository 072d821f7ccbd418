"""The description of the HTTP side has every route that there is and no other, and is OpenAPI."""

import re
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import validate

from geodns import daemon
from geodns.api.app import make_app
from geodns.api.openapi import document
from geodns.api.operations import OPERATIONS, PATH
from geodns.control.orders import Verb
from tests.api.test_app import ask
from tests.controlling import Control, Running, ready
from tests.servicing import FakeServices

__all__ = ["ready"]


def test_it_is_openapi() -> None:
    validate(document())


def test_it_is_served() -> None:
    status, shown, _ = ask("GET", PATH, FakeServices())
    assert (status, shown) == (200, document())


def _routes(app: web.Application) -> set[tuple[str, str]]:
    """Every method and path; the page, which is for people, and what browsers get of it left out."""
    found = set()
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        if route.method == "HEAD" or path == "/" or path.startswith("/assets"):
            continue
        for verb in Verb if "{verb}" in path else (None,):
            found.add((route.method.lower(), path.replace("{verb}", str(verb))))
    return found


def test_every_route_is_described_and_every_description_has_a_route(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = []

    def noted(*arguments: Any) -> web.Application:
        apps.append(make_app(*arguments))
        return apps[-1]

    monkeypatch.setattr(daemon, "make_app", noted)

    async def nothing(_: Running) -> None:
        pass

    ready.run(nothing)
    (app,) = apps
    assert _routes(app) == {(one.method, one.path) for one in OPERATIONS}
    fake = FakeServices()
    app = make_app(fake.services(), ())
    app.router.add_get("/api/v1/new", _none)
    fake.close()
    assert ("get", "/api/v1/new") in _routes(app)


async def _none(request: web.Request) -> web.Response:
    raise AssertionError(request)


def test_every_schema_is_used_and_every_operation_has_a_name_of_its_own() -> None:
    schemas = document()["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document())))
    assert used == schemas.keys()
    assert schemas.keys() >= {"Status", "Host", "Ordered", "Order", "State", "Load", "QueryLogWish", "Error"}
    names = [one["operationId"] for path in document()["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
