"""Writes orders as JSON for other servers, and reads them: what a later version adds is kept and given on."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from geodns.control.order_versions import STATE, WEIGHT, first_order
from geodns.model.shared import SharedOrder
from geodns.storage import state_rows

KNOWN = frozenset(SharedOrder.model_fields) - {"more"}


def order_json(order: SharedOrder) -> dict[str, Any]:
    """Return an order as other servers read it, with the fields that only later versions know."""
    return {**order.more, **order.model_dump(mode="json", exclude={"more"})}


def order_of(value: Any) -> SharedOrder:
    """Return the order that an object says.

    Raises:
        ValueError: it is none.

    """
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - as everything that makes no sense
    known = {key: one for key, one in value.items() if key in KNOWN}
    more = {key: one for key, one in value.items() if key not in KNOWN}
    return SharedOrder.model_validate({**known, "more": more})


def orders_of(values: Iterable[Any]) -> tuple[list[SharedOrder], int]:
    """Return the orders of a list, and how many entries of it make no sense."""
    found, wrong = [], 0
    for value in values:
        try:
            found.append(order_of(value))
        except (ValueError, RecursionError):
            wrong += 1
    return found, wrong


def orders_of_state(state: Mapping[str, Any]) -> tuple[list[SharedOrder], int]:
    """Return what a server holds by its ``GET /api/v1/state``, and how many entries make no sense.

    An earlier version says no orders; then they are made from the overrides.
    """
    held = state.get("orders")
    if held is not None:
        return orders_of(held if isinstance(held, list) else [held])
    found, wrong = [], 0
    for kind, name in ((STATE, "forced"), (WEIGHT, "weights")):
        entries = state.get(name)
        for entry in entries if isinstance(entries, list) else []:
            try:
                found.append(_first(kind, entry))
            except (ValueError, TypeError, LookupError, AttributeError):
                wrong += 1
    return found, wrong


def _first(kind: str, entry: Mapping[str, Any]) -> SharedOrder:
    host = (entry["zone"], entry["host"])
    until = entry.get("until")
    whose = (
        entry.get("reason", ""),
        entry.get("author", ""),
        _seconds(entry["since"]),
        None if until is None else _seconds(until),
    )
    if kind == STATE:
        key, state = state_rows.forced(*host, entry["forced"], *whose, entry.get("badness"))
        return first_order((*key, kind), state)
    key, weight = state_rows.forced_weight(*host, entry["weight"], *whose, "", None)
    return first_order((*key, kind), weight)


def _seconds(moment: str) -> float:
    found = datetime.fromisoformat(moment)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found.timestamp()
