"""Everything that is imposed on hosts, to be taken to another server and back."""

import json
import time
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, NamedTuple

from aiohttp import web

from geodns.api.json_types import Json
from geodns.api.order_answers import answer, unconfirmed
from geodns.api.responses import SERVICES, RefusedError, author_of
from geodns.api.schemas import FORMAT
from geodns.config.report import quoted
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.orders import OverridePlan, describe_state, describe_weight, file_weights
from geodns.errors import UsageError
from geodns.model.limits import MAX_AUTHOR, MAX_REASON, MAX_WEIGHT
from geodns.model.state import Forced, ForcedState, ForcedWeight, HostKey

MAX_STATE = 32 * 1024 * 1024
"""Bytes of a state: every host of the largest zones, and a long reason for each."""


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/state", _get), web.post("/api/v1/state", _post)]


async def _get(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    return web.json_response(export(services.cluster, services.node, time.time()))


async def _post(request: web.Request) -> web.Response:
    dry_run, yes = _flag(request, "dry_run"), _flag(request, "yes")
    try:
        body: Any = json.loads(await request.clone(client_max_size=MAX_STATE).read())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON ({error}): send what export-state has written") from error
    services = request.app[SERVICES]
    found = read(body, services.cluster, time.time())
    ordered = await services.orders.apply(
        found.plan, author_of(request), "import-state", dry_run=dry_run, yes=yes
    )
    if ordered.refused and not dry_run and not yes:
        return unconfirmed(ordered)
    told = {"imposed": _lines(found.plan), "expired": list(found.expired), "unknown": list(found.unknown)}
    return answer(request, ordered, dry_run=dry_run, **told)


def _lines(what: OverridePlan) -> list[str]:
    """Say what is forced on which hosts, a line each."""
    states = [(host, describe_state(one)) for host, one in what.forced.items() if one is not None]
    weights = [(host, describe_weight(one)) for host, one in what.weights.items() if one is not None]
    return sorted(f"{host[1]}.{host[0]}: {text}" for host, text in [*states, *weights])


def _flag(request: web.Request, name: str) -> bool:
    given = request.query.get(name, "false")
    if given not in {"true", "false"}:
        raise RefusedError(400, f"`{name}` is true or false")
    return given == "true"


_SHARED = {"zone", "host", "reason", "author", "since", "until"}
_LATEST = 4_000_000_000.0
"""A moment in the year 2096: later ones are typing errors."""


def export(cluster: Cluster, node: str, now: float) -> Json:
    """Return everything that is imposed, also on hosts that are in no file just now."""
    return {
        "geodns_state": FORMAT,
        "node": node,
        "at": timestamp(now),
        "forced": [
            {"zone": zone, "host": host, "forced": str(one.forced), **_shared(one), "badness": one.badness}
            for (zone, host), one in sorted(cluster.forced.items())
        ],
        "weights": [
            {"zone": zone, "host": host, "weight": one.weight, **_shared(one)}
            for (zone, host), one in sorted(cluster.weights.items())
        ],
    }


def _shared(one: ForcedState | ForcedWeight) -> Json:
    return {
        "reason": one.reason,
        "author": one.author,
        "since": timestamp(one.since),
        "until": None if one.until is None else timestamp(one.until),
    }


class Imported(NamedTuple):
    """What an export comes to here.

    Attributes:
        plan: what it imposes.
        expired: entries whose time is over, a line each.
        unknown: entries about hosts that are not served here, a line each.

    """

    plan: OverridePlan
    expired: tuple[str, ...]
    unknown: tuple[str, ...]


def read(body: Any, cluster: Cluster, now: float) -> Imported:
    """Read an export; all of it is good, or an error.

    Args:
        body: as JSON has it.
        cluster: the zones it is for.
        now: seconds since the epoch.

    Raises:
        UsageError: says which entry is wrong, and what is wrong with it.

    """
    if not isinstance(body, dict) or body.get("geodns_state") != FORMAT:
        raise UsageError(
            f'this is no state of geodns: {{"geodns_state": {FORMAT}, …}} is what export-state writes'
        )
    unknown_keys = body.keys() - {"geodns_state", "node", "at", "forced", "weights"}
    if unknown_keys:
        raise UsageError(f"{quoted(min(unknown_keys))} is not known in a state of geodns")
    forced: dict[HostKey, ForcedState | None] = {}
    weights: dict[HostKey, ForcedWeight | None] = {}
    expired: list[str] = []
    unknown: list[str] = []
    for where, entry in _entries(body, "forced", {"forced"}, {"badness"}):
        try:
            what = Forced(entry["forced"])
        except ValueError as error:
            words = ", ".join(Forced)
            raise UsageError(
                f"{where}: `forced` {quoted(str(entry['forced']))}: write one of {words}"
            ) from error
        state = ForcedState(what, *_whose(where, entry), _badness(where, entry.get("badness")))
        if (host := _known(entry, state.until, cluster, now, expired, unknown)) is not None:
            forced[host] = state
    for where, entry in _entries(body, "weights", {"weight"}):
        weight = entry["weight"]
        if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= MAX_WEIGHT:
            raise UsageError(f"{where}: `weight` is a whole number from 0 to {MAX_WEIGHT}")
        one = ForcedWeight(weight, *_whose(where, entry))
        if (host := _known(entry, one.until, cluster, now, expired, unknown)) is not None:
            file = file_weights(cluster.zone(host[0]), host[1])
            weights[host] = ForcedWeight(weight, one.reason, one.author, one.since, one.until, file)
    return Imported(OverridePlan(forced, weights), tuple(expired), tuple(unknown))


def _entries(
    body: Json, key: str, own: set[str], more: AbstractSet[str] = frozenset()
) -> list[tuple[str, Json]]:
    given = body.get(key, [])
    if not isinstance(given, list):
        raise UsageError(f"`{key}` is a list")
    found = []
    for number, entry in enumerate(given):
        where = f"{key}[{number}]"
        if not isinstance(entry, dict):
            raise UsageError(f"{where} is no object")
        missing = {"zone", "host", *own} - entry.keys()
        if missing:
            raise UsageError(f"{where} has no `{min(missing)}`")
        if strange := entry.keys() - own - more - _SHARED:
            raise UsageError(f"{where}: {quoted(min(strange))} is not known here")
        for name in ("zone", "host"):
            if not isinstance(entry[name], str):
                raise UsageError(f"{where}: `{name}` is a text")
        found.append((where, entry))
    return found


def _whose(where: str, entry: Json) -> tuple[str, str, float, float | None]:
    reason = _line(where, "reason", entry.get("reason", ""), MAX_REASON)
    author = _line(where, "author", entry.get("author", ""), MAX_AUTHOR)
    since = _moment(where, "since", entry.get("since"))
    if since is None:
        raise UsageError(f"{where}: `since` is missing: when it began, as 2026-11-25T03:00:00Z")
    return reason, author, since, _moment(where, "until", entry.get("until"))


def _badness(where: str, given: Any) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given <= 100:
        raise UsageError(f"{where}: `badness` is a number from 0 to 100, or null")
    return float(given)


def _line(where: str, key: str, given: Any, longest: int) -> str:
    if not isinstance(given, str) or len(given) > longest or not given.isprintable():
        raise UsageError(f"{where}: `{key}` is one line of at most {longest} characters")
    return given


def _moment(where: str, key: str, given: Any) -> float | None:
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
        seconds = found.timestamp() if found.tzinfo is not None else -1.0
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= _LATEST:
        raise UsageError(
            f"{where}: `{key}` {quoted(str(given))} is no time: write it as 2026-11-25T03:00:00Z"
        )
    return seconds


def _known(
    entry: Json, until: float | None, cluster: Cluster, now: float, expired: list[str], unknown: list[str]
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
