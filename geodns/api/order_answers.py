"""What has become of an order, as JSON."""

from collections.abc import Mapping
from typing import Any, TypeVar

from aiohttp import web

from geodns.api.json_types import Json
from geodns.api.responses import SERVICES
from geodns.api.status import host_status, resort_of
from geodns.compiler.choice import Choice, shares
from geodns.control.orders import OrderResult, PoolChange
from geodns.errors import NotFoundError
from geodns.model.base import FAMILIES
from geodns.model.state import HostKey, PoolKey

T = TypeVar("T")


def answer(request: web.Request, ordered: OrderResult, *, dry_run: bool, **more: Any) -> web.Response:
    """Return what has become of an order; 202 where some worker may still deal what was dealt before."""
    hosts, gone = {}, []
    for key in ordered.hosts:
        try:
            hosts[key] = host_status(request.app[SERVICES], key)
        except NotFoundError as error:  # an edit has taken it meanwhile
            gone.append(str(error))
    shown = {
        "hosts": _by_zone(hosts),
        **rest(ordered._replace(left=(*ordered.left, *gone)), dry_run=dry_run),
        "dealt_by": _by_zone(ordered.dealt_by),
        "cached_s": _by_zone(ordered.cached_s),
        **more,
    }
    return web.json_response(shown, status=202 if ordered.pending else 200)


def rest(ordered: OrderResult, *, dry_run: bool) -> Json:
    return {
        "pools": pools_json(ordered.changes),
        "pending": list(ordered.pending),
        "notes": list(ordered.notes),
        "left": list(ordered.left),
        "dry_run": dry_run,
        "confirm": ordered.refused or None,
    }


def _by_zone(hosts: Mapping[HostKey, T]) -> dict[str, dict[str, T]]:
    shown: dict[str, dict[str, T]] = {}
    for key, value in hosts.items():
        shown.setdefault(key[0], {})[key[1]] = value
    return shown


def unconfirmed(ordered: OrderResult) -> web.Response:
    """Return what somebody has to say yes to."""
    error = f"{ordered.refused}: nothing was changed; say yes (`--yes`) if that is meant"
    return web.json_response(
        {"error": error, "confirm": True, "pools": pools_json(ordered.changes)}, status=409
    )


def pools_json(changes: Mapping[PoolKey, PoolChange]) -> Json:
    """Return what pools deal before and after, by zone and pool."""
    shown: Json = {}
    for (zone, pool), change in changes.items():
        shown.setdefault(zone, {})[pool] = {
            "before": choice_json(change.before),
            "after": choice_json(change.after),
        }
    return shown


def choice_json(choice: Choice) -> Json:
    """Return what a pool deals."""
    return {
        "shares": {
            family: {host: float(share) for host, share in shares(choice.of(family)).items()}
            for family in FAMILIES
        },
        "using": list(choice.using),
        "last_resort": resort_of(choice.last_resort),
        "live": list(choice.live),
    }
