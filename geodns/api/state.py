"""Overrides of hosts over HTTP: exported, and taken up by another server."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple, cast

from aiohttp import web
from pydantic import TypeAdapter

from geodns.api.bodies import FORMAT, ForcedByJson, OverrideJson, StateJson, read_body
from geodns.api.connections import read_in_time
from geodns.api.order_answers import answer, unconfirmed
from geodns.api.responses import SERVICES, RefusedError, author_of
from geodns.api.schemas import seconds_of
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.order_json import order_json, orders_of, read_state
from geodns.control.order_versions import KINDS, STATE, OrderKey, Orders, merge, override_of, unfit
from geodns.control.orders import OverridePlan
from geodns.control.overrides import describe_state, describe_weight, file_weights
from geodns.model.shared import SharedOrder
from geodns.model.state import ForcedState, ForcedWeight, HostKey

MAX_STATE = 32 * 1024 * 1024
"""Bytes of a state: every host of the largest zones, and a long reason for each."""


CHECKED_AT_ONCE = 200
"""Entries that are checked at once."""
_LISTS = ("forced", "weights", "orders")


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/state", _get), web.post("/api/v1/state", _post)]


async def _get(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    shown = export(services.cluster, services.node, time.time())
    shown["revision"] = dict(services.orders.revisions())
    orders = list(services.orders.held.values())
    return web.json_response(body=await asyncio.to_thread(_text, shown, orders))


def _text(shown: StateJson, orders: list[SharedOrder]) -> bytes:
    """Write a state with its orders, one at a time: all at once would hold up every other thread."""
    lines = [json.dumps(order_json(order)) for order in sorted(orders, key=lambda one: one.key)]
    return f'{json.dumps(shown)[:-1]}, "orders": [{", ".join(lines)}]}}'.encode()


async def _post(request: web.Request) -> web.Response:
    dry_run, yes = _flag(request, "dry_run"), _flag(request, "yes")
    content = await read_in_time(request, MAX_STATE)
    body, held, wrong = await asyncio.to_thread(_read, content)
    services = request.app[SERVICES]
    cluster, own = services.cluster.snapshot(), dict(services.orders.held)

    def plan() -> Imported:
        return with_orders(read(body, cluster, time.time()), held, own, cluster)

    found = await asyncio.to_thread(plan)
    ordered = await services.orders.apply(
        found.plan,
        author_of(request),
        "import-state",
        dry_run=dry_run,
        yes=yes,
        id=_id(request),
    )
    if ordered.refused and not dry_run:
        return unconfirmed(ordered)
    if not dry_run:  # those that impose nothing here, so that nobody brings back what they ended
        rest = [one for one in held if one.content is None or one.kind not in KINDS]
        await services.orders.shared_changed(rest, "import-state")
    unknown = [*found.unknown, *([f"{wrong} orders that make no sense here"] if wrong else [])]
    lines = await asyncio.to_thread(_lines, found.plan)
    entries = {"imposed": lines, "expired": list(found.expired), "unknown": unknown}
    return await answer(request, ordered, dry_run=dry_run, **entries)


def _read(content: bytes) -> tuple[StateJson, list[SharedOrder], int]:
    """Read a state and its orders, and count those that make no sense."""
    body = checked_state(content) or read_body(content, StateJson, "what export-state has written")
    held, wrong = orders_of(body.get("orders", []))
    return body, held, wrong


def checked_state(content: bytes) -> StateJson | None:
    """Return a state that is right, checked some entries at a time; None: it is not, or odd.

    All at once would hold up every other thread.
    """
    adapter = TypeAdapter(StateJson)
    try:
        given = read_state(content)
        lists = {key: given.pop(key) for key in _LISTS if isinstance(given.get(key), list)}
        found = adapter.validate_json(json.dumps(given))
        for key, entries in lists.items():
            checked: list[Any] = []
            for first in range(0, len(entries), CHECKED_AT_ONCE):
                some = {"geodns_state": FORMAT, key: entries[first : first + CHECKED_AT_ONCE]}
                checked += cast(Any, adapter.validate_json(json.dumps(some)))[key]
            cast(Any, found)[key] = checked
    except ValueError:
        return None
    return found


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


def _id(request: web.Request) -> str:
    given = request.query.get("id", "")
    if given and re.fullmatch("[0-9a-f]{32}", given) is None:
        raise RefusedError(400, "`id` is 32 digits from 0-9 and a-f")
    return given


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


def with_orders(found: Imported, orders: Iterable[SharedOrder], held: Orders, cluster: Cluster) -> Imported:
    """Return what an export comes to with the versions in it, and with the ends that are later than here.

    Args:
        found: by its overrides.
        orders: of the export.
        held: the own ones.
        cluster: whose overrides end.

    """
    forced, weights = dict(found.plan.forced), dict(found.plan.weights)
    known = {one.key: one for one in orders if one.kind in KINDS and unfit(one) is None}
    newer = merge(held, known.values()).changes
    taken: dict[OrderKey, SharedOrder] = {}
    for key, order in known.items():
        host, state = (key[0], key[1]), key[2] == STATE
        mine = cluster.forced.get(host) if state else cluster.weights.get(host)
        wanted = forced.get(host) if state else weights.get(host)
        override: ForcedState | ForcedWeight | None = None
        if order.content is None:
            if key not in newer or mine is None:
                continue
        elif key in newer or held.get(key) == order:  # else it is ordered anew, to win over what is here
            with contextlib.suppress(ValueError):
                override = mine if key not in newer else override_of(order)
            if override is None or wanted is None or not _says(override, wanted):
                continue
        else:
            continue
        taken[key] = order
        if isinstance(override, ForcedWeight):
            weights[host] = replace(override, file=file_weights(cluster.zone(host[0]), host[1]))
        elif state:
            forced[host] = override
        else:
            weights[host] = None
    return found._replace(plan=OverridePlan(forced, weights, orders=taken))


def _says(order: ForcedState | ForcedWeight, entry: ForcedState | ForcedWeight) -> bool:
    """Tell whether an entry is as its order, which knows the times better, and has not been edited since."""
    ends = order.until, entry.until
    near = ends[0] == ends[1] or (None not in ends and abs((ends[0] or 0) - (ends[1] or 0)) <= 1)
    return near and _without_times(order) == _without_times(entry)


def _without_times(one: ForcedState | ForcedWeight) -> ForcedState | ForcedWeight:
    if isinstance(one, ForcedState):
        return replace(one, since=0, until=None)
    return replace(one, since=0, until=None, file="", edited=None)
