"""How hosts fared over time: a zone's points of a day or of ninety, and the last half hour of everything."""

import time

from aiohttp import web

from geodns.api.parts import BACKEND
from geodns.errors import NotFoundError, UsageError
from geodns.history import HOUR, KEPT, MINUTE
from geodns.recording import Recording
from geodns.report import quoted
from geodns.when import precise, since_asked

STEPS = {"1m": MINUTE, "1h": HOUR}


class HistoryRoutes:
    """What the HTTP side answers for the history.

    Args:
        recording: of this server.

    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def routes(self) -> list[web.RouteDef]:
        """Return where all of it is."""
        return [
            web.get("/api/v1/history", self._zone),
            web.get("/api/v1/history/recent", self._recent),
        ]

    async def _zone(self, request: web.Request) -> web.Response:
        now = time.time()
        zones = request.app[BACKEND].zones()
        zone = request.query.get("zone", next(iter(zones), "") if len(zones) == 1 else "")
        zone = zone.lower().rstrip(".")
        if not zone:
            raise UsageError("say which zone: /api/v1/history?zone=out.example.com&since=24h")
        if zone not in zones:
            raise NotFoundError(f"no zone {zone} is served; there are {', '.join(zones) or 'none'}")
        since = since_asked(request.query.get("since", "24h"), now)
        asked = request.query.get("step")
        if asked is not None and asked not in STEPS:
            raise UsageError(f"`step` {quoted(asked)} is none: write 1m or 1h")
        step = STEPS[asked] if asked else MINUTE if since >= now - KEPT[MINUTE] - HOUR else HOUR
        host = request.query.get("host")
        host = None if host is None else host.lower().rstrip(".").removesuffix(f".{zone}")
        hosts = await self._recording.history(zone, host, since, step)
        return web.json_response({"step_s": step, "zone": zone, "from": precise(since), "hosts": hosts})

    async def _recent(self, request: web.Request) -> web.Response:  # noqa: ARG002 - all there is
        return web.json_response({"step_s": MINUTE, "zones": self._recording.recent()})
