"""Results of orders as JSON."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.api.schemas_orders import DealtJson, OutcomeJson, PoolChangeJson, UnconfirmedJson
from geodns.api.status import statuses
from geodns.compiler.choice import Choice, shares
from geodns.control.orders import OrderResult, PoolChange
from geodns.errors import NotFoundError
from geodns.model.base import Family
from geodns.model.state import HostKey, PoolKey

T = TypeVar("T")

AT_ONCE = 25
"""Hosts that are shown before others may have a turn."""


async def answer(request: web.Request, ordered: OrderResult, *, dry_run: bool, **more: Any) -> web.Response:
    """Return what has become of an order; 202 where some worker may still deal what was dealt before."""
    status = statuses(request.app[SERVICES])
    hosts: dict[HostKey, str] = {}
    gone: list[str] = []
    for number, key in enumerate(ordered.hosts):
        try:
            hosts[key] = json.dumps(status(key))
        except NotFoundError as error:  # an edit has taken it meanwhile
            gone.append(str(error))
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    ordered = ordered._replace(left=(*ordered.left, *gone))
    text = await asyncio.to_thread(_text, ordered, hosts, dry_run=dry_run, **more)
    return web.json_response(text=text, status=status_of(ordered))


def _text(ordered: OrderResult, hosts: Mapping[HostKey, str], *, dry_run: bool, **more: Any) -> str:
    """Write an answer part by part: all at once would hold up every other thread where hosts are many."""
    rest = {
        **outcome_json(ordered, dry_run=dry_run),
        "dealt_by": _by_zone(ordered.dealt_by),
        "cached_s": _by_zone(ordered.cached_s),
        **more,
    }
    zones = (
        f"{json.dumps(zone)}: {{{', '.join(f'{json.dumps(name)}: {one}' for name, one in some.items())}}}"
        for zone, some in _by_zone(hosts).items()
    )
    parts = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items())
    return f'{{"hosts": {{{", ".join(zones)}}}, {", ".join(parts)}}}'


def status_of(ordered: OrderResult) -> int:
    """Return 202 while a worker or another server may still deal what was dealt before."""
    return 202 if ordered.pending or ordered.peers else 200


def outcome_json(ordered: OrderResult, *, dry_run: bool) -> OutcomeJson:
    """Return what has become of an order, without its hosts."""
    return {
        "pools": pools_json(ordered.changes),
        "pending": list(ordered.pending),
        "notes": list(ordered.notes),
        "left": list(ordered.left),
        "kept": ordered.kept,
        "dry_run": dry_run,
        "confirm": ordered.refused or None,
        "id": ordered.id or None,
        "revision": dict(ordered.revision),
        "shared": ordered.shared,
        "peers": list(ordered.peers),
        "unasked": list(ordered.unasked),
    }


def _by_zone(hosts: Mapping[HostKey, T]) -> dict[str, dict[str, T]]:
    shown: dict[str, dict[str, T]] = {}
    for key, value in hosts.items():
        shown.setdefault(key[0], {})[key[1]] = value
    return shown


def unconfirmed(ordered: OrderResult) -> web.Response:
    """Return an order that waits for a yes, with its reason."""
    error = f"{ordered.refused}: nothing was changed; say yes (`--yes`) if that is meant"
    shown: UnconfirmedJson = {
        "error": error,
        "confirm": True,
        "why": ordered.refused,
        "pools": pools_json(ordered.changes),
        "revision": dict(ordered.revision),
    }
    return web.json_response(shown, status=409)


def pools_json(changes: Mapping[PoolKey, PoolChange]) -> dict[str, dict[str, PoolChangeJson]]:
    """Return what pools deal before and after, by zone and pool."""
    shown: dict[str, dict[str, PoolChangeJson]] = {}
    for (zone, pool), change in changes.items():
        shown.setdefault(zone, {})[pool] = {
            "before": choice_json(change.before),
            "after": choice_json(change.after),
        }
    return shown


def choice_json(choice: Choice) -> DealtJson:
    """Return what a pool deals."""
    return {
        "shares": {"A": _shares(choice, "A"), "AAAA": _shares(choice, "AAAA")},
        "using": list(choice.using),
        "last_resort": choice.last_resort,
        "last_resorts": {"A": choice.of("A").last_resort, "AAAA": choice.of("AAAA").last_resort},
        "live": list(choice.live),
    }


def _shares(choice: Choice, family: Family) -> dict[str, float]:
    return {host: float(share) for host, share in shares(choice.of(family).dealt).items()}
