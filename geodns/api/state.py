"""Everything that is imposed on hosts, to be taken to another server and back."""

import json
from typing import Any, Protocol

from aiohttp import web

from geodns.api.orders import answer, author_of, unconfirmed
from geodns.api.parts import RefusedError
from geodns.errors import UsageError
from geodns.orders import Ordered
from geodns.shown import Json

MAX_STATE = 32 * 1024 * 1024
"""Bytes of a state: every host of the largest zones, and a long reason for each."""


class Imposing(Protocol):
    """What the HTTP side asks of what is imposed."""

    def export(self, node: str) -> Json:
        """Return all of it."""

    async def bring(self, body: Any, author: str, *, dry_run: bool, yes: bool) -> tuple[Ordered, Json]:
        """Take an export up; return what has become of it, and its entries by kind."""


class StateRoutes:
    """What the HTTP side answers for it.

    Args:
        node: this server's name.
        imposing: what is imposed.

    """

    def __init__(self, node: str, imposing: Imposing) -> None:
        self._node = node
        self._imposing = imposing

    def routes(self) -> list[web.RouteDef]:
        """Return where all of it is."""
        return [web.get("/api/v1/state", self._get), web.post("/api/v1/state", self._post)]

    async def _get(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._imposing.export(self._node))

    async def _post(self, request: web.Request) -> web.Response:
        dry_run, yes = _flag(request, "dry_run"), _flag(request, "yes")
        try:
            body: Any = json.loads(await request.clone(client_max_size=MAX_STATE).read())
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the body is no JSON ({error}): send what export-state has written") from error
        ordered, told = await self._imposing.bring(body, author_of(request), dry_run=dry_run, yes=yes)
        if ordered.refused and not dry_run and not yes:
            return unconfirmed(ordered)
        return answer(request, ordered, dry_run=dry_run, **told)


def _flag(request: web.Request, name: str) -> bool:
    given = request.query.get(name, "false")
    if given not in {"true", "false"}:
        raise RefusedError(400, f"`{name}` is true or false")
    return given == "true"
