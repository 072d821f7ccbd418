"""The description has every route there is, and no other."""

import re
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import validate

from geodns import daemon
from geodns.api.openapi import OPERATIONS, document
from geodns.orders import Verb
from tests.controlling import Control, Running, ready

__all__ = ["ready"]


def test_it_is_valid() -> None:
    validate(document())


def test_every_route_is_described_and_every_description_has_a_route(
    ready: Control,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[web.Application] = []
    make = daemon.make_app  # type: ignore[attr-defined]  # what it has under that name is what it calls

    def making(*arguments: Any) -> web.Application:
        made.append(make(*arguments))
        return made[-1]

    async def nothing(_: Running) -> None:
        """It has started, and so made its application."""

    monkeypatch.setattr(daemon, "make_app", making)
    ready.run(nothing)
    found = {
        (route.method.lower(), re.sub(r"\{verb[^}]*\}", str(verb), route.resource.canonical))
        for route in made[0].router.routes()
        if route.resource is not None and route.method != "HEAD"
        for verb in Verb
    }
    page = {(method, path) for method, path in found if path == "/" or path.startswith("/assets/")}
    assert found - page == {(one.method, one.path) for one in OPERATIONS}
