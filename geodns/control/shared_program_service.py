"""Says which server of a group gives the orders of programs, and shares where hosts stand in their warm-ups.

The heard server with the lowest node gives them. While the group's store is away each does so for itself.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from geodns.control.program_orders import Effect
from geodns.model.base import Frozen
from geodns.model.limits import MAX_AUTHOR, MAX_REASON
from geodns.model.state import HostKey
from geodns.model.warmup import MAX_DAYS, WarmupStage
from geodns.storage.shared_sums import bucket_of

TELL_EVERY = 30.0
"""Seconds from one telling of what was dealt to the next; of days and holds at once."""
PARTS = 10_000
ORDER_LASTS = 60.0
"""Seconds that an operator's order is looked at: by then the server that moves days has taken it over."""
STAGES, ORDERED, EFFECTS = "warmup/", "ordered/", "reputation/"
"""Beginnings of the fields of stages, orders and effects."""

_Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Date = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
_Seconds = Annotated[float, Field(ge=0, le=2**33, allow_inf_nan=False)]


class _Stage(Frozen):
    """A stage as JSON has it."""

    start: _Date
    day: int = Field(ge=0, le=MAX_DAYS + 1)
    date: _Date
    begun: bool
    dealt: float = Field(ge=0, allow_inf_nan=False)
    active: _Seconds
    held: str | None = Field(default=None, max_length=MAX_REASON)
    author: str = Field(default="", max_length=MAX_AUTHOR)


class _Order(Frozen):
    at: _Seconds
    zone: _Name
    host: _Name
    stage: _Stage


class _Effect(Frozen):
    """What reputation leaves of a host's weight, in `PARTS`, and until when it is barred for providers."""

    factor: int = Field(ge=0, le=PARTS)
    bars: dict[_Name, _Seconds] = Field(default_factory=dict)


_EFFECTS = TypeAdapter(dict[_Name, dict[_Name, _Effect]])
_STAGES = TypeAdapter(dict[_Name, dict[_Name, _Stage]])


class _Ordered(NamedTuple):
    at: float
    stage: WarmupStage


class SharedPrograms:
    """What programs here know of the other servers; it is a `Leading`.

    Args:
        node: this server's.
        nodes: the other servers that are heard.
        connected: whether the group's store is there.
        publish: writes fields of this server soon; returns False where it cannot yet.

    """

    def __init__(
        self,
        node: str,
        nodes: Callable[[], tuple[str, ...]],
        connected: Callable[[], bool],
        publish: Callable[[Mapping[str, JsonValue]], bool],
    ) -> None:
        self._node = node
        self._nodes = nodes
        self._connected = connected
        self._publish = publish
        self._stages: dict[str, dict[int, dict[HostKey, WarmupStage]]] = {}
        """By node and bucket."""
        self._orders: dict[HostKey, _Ordered] = {}
        self._mine: dict[str, float] = {}
        """Fields of orders given here, and when."""
        self._told: dict[HostKey, WarmupStage] = {}
        self._told_at = float("-inf")
        self._effects: dict[str, dict[int, dict[HostKey, Effect]]] = {}
        """By node and bucket."""
        self._effects_told: dict[str, JsonValue] = {}

    @property
    def leader(self) -> str:
        """The node of the server that gives orders."""
        return min((self._node, *(self._nodes() if self._connected() else ())))

    @property
    def leads(self) -> bool:
        """Whether that is this server."""
        return self.leader == self._node

    # --- reputation -------------------------------------------------------------------------------------

    def effects(self) -> Mapping[HostKey, Effect] | None:
        """Return what reputation does as the server says that gives orders; None: it has said nothing."""
        known = self._effects.get(self.leader)
        if known is None:
            return None
        now, found = time.time(), {}
        for some in known.values():
            for host, one in some.items():
                bars = {provider: until for provider, until in one.bars.items() if until > now}
                found[host] = Effect(one.factor, bars)
        return found

    def tell_effects(self, effects: Mapping[HostKey, Effect]) -> None:
        """Tell the others what reputation does; what is over is told as nothing."""
        fields: dict[str, dict[str, dict[str, JsonValue]]] = {f"{EFFECTS}0": {}}
        fields |= {field: {} for field in self._effects_told}
        for host, one in effects.items():
            bars: dict[str, JsonValue] = {provider: round(until, 1) for provider, until in one.bars.items()}
            shown: JsonValue = {"factor": int(one.factor * PARTS), "bars": bars}
            fields.setdefault(f"{EFFECTS}{bucket_of(host)}", {}).setdefault(host[0], {})[host[1]] = shown
        told: dict[str, JsonValue] = {field: {**some} for field, some in fields.items()}
        changed = {field: some for field, some in told.items() if self._effects_told.get(field) != some}
        if changed and self._publish(changed):
            self._effects_told = told

    # --- warm-up ----------------------------------------------------------------------------------------

    def stages(self) -> Mapping[HostKey, WarmupStage]:
        """Return where hosts stand as the server says that gives orders."""
        found: dict[HostKey, WarmupStage] = {}
        for some in self._stages.get(self.leader, {}).values():
            found |= some
        return found

    def tell_stages(self, stages: Mapping[HostKey, WarmupStage]) -> None:
        """Tell the others where hosts stand."""
        due = time.monotonic() >= self._told_at + TELL_EVERY
        changed = {bucket_of(host) for host, stage in stages.items() if self._is_news(host, stage, due)}
        if not changed:
            return
        by: dict[int, dict[str, dict[str, JsonValue]]] = {}
        for host, stage in stages.items():
            if bucket_of(host) in changed:
                by.setdefault(bucket_of(host), {}).setdefault(host[0], {})[host[1]] = _json(stage)
        fields: dict[str, JsonValue] = {f"{STAGES}{bucket}": {**some} for bucket, some in by.items()}
        if self._publish(fields):
            self._told = dict(stages)
            self._told_at = time.monotonic() if due else self._told_at

    def _is_news(self, host: HostKey, stage: WarmupStage, due: bool) -> bool:
        known = self._told.get(host)
        return known is None or (known != stage if due else _key(known) != _key(stage))

    def tell_order(self, host: HostKey, stage: WarmupStage) -> None:
        """Tell the others where an order has put a host."""
        now = time.time()
        self._orders[host] = _Ordered(now, stage)
        field = f"{ORDERED}{bucket_of(host)}/{'/'.join(host)}"
        self._mine[field] = now
        self._publish({field: {"at": now, "zone": host[0], "host": host[1], "stage": _json(stage)}})

    def ordered(self, host: HostKey) -> WarmupStage | None:
        """Return where an order at any server has put a host, if that was a moment ago."""
        now = time.time()
        old = [field for field, at in self._mine.items() if abs(now - at) > ORDER_LASTS]
        if old:
            for field in old:
                del self._mine[field]
            self._publish(dict.fromkeys(old))
        found = self._orders.get(host)
        if found is None:
            return None
        if abs(now - found.at) > ORDER_LASTS:
            del self._orders[host]
            return None
        return found.stage

    # --- what others tell -------------------------------------------------------------------------------

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """Take what is for programs of what the store has."""
        for field, content in changes.items():
            if node == self._node:  # of before a start: to be told anew, or taken away
                if field.startswith(EFFECTS):
                    self._effects_told.setdefault(field, content)
                elif field.startswith(ORDERED):
                    self._mine.setdefault(field, 0.0)
                continue
            try:
                if field.startswith(STAGES):
                    self._take_stages(node, field, content)
                elif field.startswith(EFFECTS):
                    self._take_effects(node, field, content)
                elif field.startswith(ORDERED):
                    self._take_order(content)
            except (ValidationError, ValueError):
                continue  # a later version's, or nothing of ours

    def _take_stages(self, node: str, field: str, content: JsonValue) -> None:
        found = _STAGES.validate_python(content, strict=True)
        stages = {(zone, host): _stage(one) for zone, of in found.items() for host, one in of.items()}
        bucket = field.removeprefix(STAGES)
        if bucket.isascii() and bucket.isdigit():
            self._stages.setdefault(node, {})[int(bucket)] = stages

    def _take_effects(self, node: str, field: str, content: JsonValue) -> None:
        found = _EFFECTS.validate_python(content, strict=True)
        bucket = field.removeprefix(EFFECTS)
        if bucket.isascii() and bucket.isdigit():
            self._effects.setdefault(node, {})[int(bucket)] = {
                (zone, host): Effect(Fraction(one.factor, PARTS), one.bars)
                for zone, of in found.items()
                for host, one in of.items()
            }

    def _take_order(self, content: JsonValue) -> None:
        order = _Order.model_validate(content, strict=True)
        host, now = (order.zone, order.host), time.time()
        known = self._orders.get(host)
        if abs(now - order.at) <= ORDER_LASTS and (known is None or known.at < order.at):
            self._orders[host] = _Ordered(order.at, _stage(order.stage))


def _key(stage: WarmupStage) -> tuple[object, ...]:
    return stage.start, stage.day, stage.date, stage.begun, stage.held, stage.author


def _json(stage: WarmupStage) -> dict[str, JsonValue]:
    return {
        "start": stage.start.isoformat(),
        "day": stage.day,
        "date": stage.date.isoformat(),
        "begun": stage.begun,
        "dealt": round(stage.dealt, 3),
        "active": round(stage.active, 3),
        "held": stage.held,
        "author": stage.author,
    }


def _stage(one: _Stage) -> WarmupStage:
    return WarmupStage(
        dt.date.fromisoformat(one.start),
        one.day,
        dt.date.fromisoformat(one.date),
        one.begun,
        one.dealt,
        one.active,
        one.held,
        one.author,
    )
