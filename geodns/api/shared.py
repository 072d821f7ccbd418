"""Shows in the status the servers that this one shares verdicts and orders with."""

from typing import TYPE_CHECKING

from geodns.api.schemas_peers import LoneJson, SharedJson
from geodns.config.times import timestamp

if TYPE_CHECKING:  # loaded where the setting `shared` is there alone
    from geodns.control.shared_service import SharedService
    from geodns.control.shared_view import Lone


def shared_json(shared: "SharedService") -> SharedJson:
    """Return how things stand in the group."""
    view = shared.view()
    return {
        "connected": view.connected,
        "since": timestamp(view.since),
        "why": view.why,
        "group": view.group,
        "agree": view.agree,
        "store": view.store,
        "heard": list(view.heard),
        "known": view.known,
        "mode": view.mode,
        "alone": [_lone(one) for one in view.alone],
        "alone_count": view.alone_count,
        "tied": view.tied,
        "skipped": dict(view.bad),
        "signals": {
            node: {"told": None if one.told is None else timestamp(one.told), "today": max(0, one.today)}
            for node, one in view.signals.items()
        },
        "programs": view.programs,
        "pending": list(view.pending),
        "http": dict(view.http),
    }


def _lone(one: "Lone") -> LoneJson:
    return {
        "server": one.node,
        "says": one.says,
        "hosts": [f"{host}.{zone}" for zone, host in one.hosts],
        "check": one.check,
        "address": one.address,
        "why": one.why,
    }
