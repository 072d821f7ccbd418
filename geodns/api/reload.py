"""Reading the zone files anew by order, also what would wait."""

import json
from typing import Any, Protocol

from aiohttp import web

from geodns.errors import UsageError


class Reloading(Protocol):
    """What can be told to read everything anew."""

    waiting: dict[str, tuple[str, ...]]

    async def reload(self, *, yes: bool = False) -> None:
        """Serve what the files say now; with yes also what would wait."""


class ReloadRoutes:
    """What the HTTP side answers for reloads.

    Args:
        edits: that are read anew.

    """

    def __init__(self, edits: Reloading) -> None:
        self._edits = edits

    def routes(self) -> list[web.RouteDef]:
        """Return where all of it is."""
        return [web.post("/api/v1/reload", self._reload)]

    async def _reload(self, request: web.Request) -> web.Response:
        content = await request.read()
        try:
            body: Any = json.loads(content) if content.strip() else {}
        except (ValueError, RecursionError) as error:
            raise UsageError(f'the body is no JSON ({error}): write {{"yes": true}}') from error
        if not isinstance(body, dict) or not body.keys() <= {"yes"}:
            raise UsageError('the body takes {"yes": true} and nothing else')
        yes = body.get("yes", False)
        if not isinstance(yes, bool):
            raise UsageError("`yes` is true or false")
        await self._edits.reload(yes=yes)
        waiting = {zone: list(why) for zone, why in self._edits.waiting.items()}
        return web.json_response({"waiting": waiting})
