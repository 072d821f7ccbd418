"""Overrides of hosts over HTTP: exported, and taken up by another server."""

import time
from dataclasses import replace
from typing import NamedTuple

from aiohttp import web

from geodns.api.bodies import FORMAT, ForcedByJson, OverrideJson, StateJson, read_body
from geodns.api.connections import read_in_time
from geodns.api.order_answers import answer, unconfirmed
from geodns.api.responses import SERVICES, RefusedError, author_of
from geodns.api.schemas import seconds_of
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.orders import OverridePlan
from geodns.control.overrides import describe_state, describe_weight, file_weights
from geodns.model.state import ForcedState, ForcedWeight, HostKey

MAX_STATE = 32 * 1024 * 1024
"""Bytes of a state: every host of the largest zones, and a long reason for each."""


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/state", _get), web.post("/api/v1/state", _post)]


async def _get(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    return web.json_response(export(services.cluster, services.node, time.time()))


async def _post(request: web.Request) -> web.Response:
    dry_run, yes = _flag(request, "dry_run"), _flag(request, "yes")
    content = await read_in_time(request, MAX_STATE)
    body = read_body(content, StateJson, "what export-state has written")
    services = request.app[SERVICES]
    found = read(body, services.cluster, time.time())
    ordered = await services.orders.apply(
        found.plan, author_of(request), "import-state", dry_run=dry_run, yes=yes
    )
    if ordered.refused and not dry_run and not yes:
        return unconfirmed(ordered)
    entries = {"imposed": _lines(found.plan), "expired": list(found.expired), "unknown": list(found.unknown)}
    return answer(request, ordered, dry_run=dry_run, **entries)


def _lines(what: OverridePlan) -> list[str]:
    """Describe the overrides of hosts, a line each."""
    states = [(host, describe_state(one)) for host, one in what.forced.items() if one is not None]
    weights = [(host, describe_weight(one)) for host, one in what.weights.items() if one is not None]
    return sorted(f"{host[1]}.{host[0]}: {text}" for host, text in [*states, *weights])


def _flag(request: web.Request, name: str) -> bool:
    given = request.query.get(name, "false")
    if given not in {"true", "false"}:
        raise RefusedError(400, f"`{name}` is true or false")
    return given == "true"


def export(cluster: Cluster, node: str, now: float) -> StateJson:
    """Return all overrides, also those of hosts that are in no file just now."""
    return {
        "geodns_state": FORMAT,
        "node": node,
        "at": timestamp(now),
        "forced": [
            {"zone": zone, "host": host, "forced": one.forced, **_shared(one), "badness": one.badness}
            for (zone, host), one in sorted(cluster.forced.items())
        ],
        "weights": [
            {"zone": zone, "host": host, "weight": one.weight, **_shared(one)}
            for (zone, host), one in sorted(cluster.weights.items())
        ],
    }


def _shared(one: ForcedState | ForcedWeight) -> ForcedByJson:
    return {
        "reason": one.reason,
        "author": one.author,
        "since": timestamp(one.since),
        "until": None if one.until is None else timestamp(one.until),
    }


class Imported(NamedTuple):
    """The plan that an export makes here.

    Attributes:
        plan: the overrides.
        expired: entries whose time is over, a line each.
        unknown: entries about hosts that are not served here, a line each.

    """

    plan: OverridePlan
    expired: tuple[str, ...]
    unknown: tuple[str, ...]


def read(body: StateJson, cluster: Cluster, now: float) -> Imported:
    """Return what an export comes to in the zones of a cluster."""
    forced: dict[HostKey, ForcedState | None] = {}
    weights: dict[HostKey, ForcedWeight | None] = {}
    expired: list[str] = []
    unknown: list[str] = []
    for entry in body.get("forced", []):
        state = ForcedState(entry["forced"], *_whose(entry), entry.get("badness"))
        if (host := _known(entry, state.until, cluster, now, expired, unknown)) is not None:
            forced[host] = state
    for weight in body.get("weights", []):
        one = ForcedWeight(weight["weight"], *_whose(weight))
        if (host := _known(weight, one.until, cluster, now, expired, unknown)) is not None:
            weights[host] = replace(one, file=file_weights(cluster.zone(host[0]), host[1]))
    return Imported(OverridePlan(forced, weights), tuple(expired), tuple(unknown))


def _whose(entry: ForcedByJson) -> tuple[str, str, float, float | None]:
    until = entry.get("until")
    end = None if until is None else seconds_of(until)
    return entry.get("reason", ""), entry.get("author", ""), seconds_of(entry["since"]), end


def _known(
    entry: OverrideJson,
    until: float | None,
    cluster: Cluster,
    now: float,
    expired: list[str],
    unknown: list[str],
) -> HostKey | None:
    """Return whom an entry is about; None where it is not to be taken up, which is noted."""
    host = (entry["zone"].lower(), entry["host"].lower())
    name = f"{host[1]}.{host[0]}"
    if until is not None and until <= now:
        expired.append(f"{name}: its time was over at {timestamp(until)}")
        return None
    source = cluster.sources.get(host[0])
    if source is None or host[1] not in source.zone.host_by_name:
        unknown.append(f"{name}: no such host is served here")
        return None
    return host
