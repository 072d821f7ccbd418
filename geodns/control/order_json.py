"""Writes orders as JSON for other servers, and reads them: what a later version adds is kept and given on."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from geodns.control.order_versions import MAX_KEPT, STATE, WEIGHT, first_order
from geodns.model.shared import SharedOrder
from geodns.storage import state_rows

KNOWN = frozenset(SharedOrder.model_fields) - {"more"}
MOST_ENTRY = 64 * 1024
"""Characters of one entry of a state: an order with the longest content and names, and some."""
MOST_ENTRIES = 3 * MAX_KEPT
"""Entries of a state: orders, and what they impose."""


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


def read_state(body: bytes) -> dict[str, Any]:
    """Return the object that is a server's state, read one entry at a time.

    The reader of JSON lets no other thread run: tens of megabytes at once would hold up all of them for
    seconds.

    Raises:
        ValueError: it is none, or beyond all bounds.

    """
    pieces = _Pieces(body.decode())
    found = dict(pieces.members(_Pieces.entries))
    pieces.end()
    return found


class _Pieces:
    """A text of JSON, read from its beginning; what is not as expected is a ValueError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._count = 0

    def _next(self) -> str:
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()
        return self._text[self._at : self._at + 1]

    def _take(self, sign: str) -> None:
        if self._next() != sign:
            raise ValueError(f"no {sign} where one belongs")
        self._at += 1

    def _value(self) -> Any:
        self._count += 1
        if self._count > MOST_ENTRIES:
            raise ValueError("too many entries")
        self._next()
        try:
            value, length = _DECODER.raw_decode(self._text[self._at : self._at + MOST_ENTRY])
        except RecursionError as error:
            raise ValueError("too deep") from error
        self._at += length
        return value

    def members(self, read: Callable[["_Pieces"], Any]) -> Iterator[tuple[str, Any]]:
        """Yield the keys of an object, and what `read` makes of their values."""
        for _ in self._parts("{", "}"):
            key = self._value()
            if not isinstance(key, str):
                raise ValueError("a key that is no text")  # noqa: TRY004 - the text is wrong, not the call
            self._take(":")
            yield key, read(self)

    def end(self) -> None:
        """Refuse what stands behind the last value."""
        if self._next():
            raise ValueError("more behind the end")

    def entries(self) -> Any:
        """Return a value; what a list or an object holds is read one by one."""
        match self._next():
            case "[":
                return [self._value() for _ in self._parts("[", "]")]
            case "{":
                return dict(self.members(_Pieces._value))
        return self._value()

    def _parts(self, begin: str, end: str) -> Iterator[None]:
        """Yield before each part of a list or an object, which is to be read then."""
        self._take(begin)
        first = True
        while self._next() != end:
            if not first:
                self._take(",")
            first = False
            yield
        self._take(end)


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


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
