"""Tells what has been so for a while: short disagreements are how every change begins. Pure."""

from typing import Generic, TypeVar

Value = TypeVar("Value")

LASTING = 30.0
"""Seconds."""


class Lasting(Generic[Value]):
    """Values by key, and those of them that have lasted.

    Attributes:
        lasting: those; a live view for who reads.

    """

    def __init__(self) -> None:
        self.lasting: dict[str, Value] = {}
        self._since: dict[str, tuple[Value, float]] = {}

    def set(self, key: str, value: Value | None, now: float) -> tuple[bool, Value | None]:
        """Take a key's value; return whether it is a new one, and one that had lasted and is over."""
        before = self._since.get(key)
        if value is None:
            if before is not None:
                del self._since[key]
            return False, self.lasting.pop(key, None)
        if before is not None and before[0] == value:
            return False, None
        self._since[key] = value, now
        return True, self.lasting.pop(key, None)

    def get(self, key: str) -> Value | None:
        found = self._since.get(key)
        return None if found is None else found[0]

    def look(self, key: str, now: float) -> Value | None:
        """Return a key's value if it has lasted by now and was not told of yet."""
        found = self._since.get(key)
        if found is None or key in self.lasting or now - found[1] < LASTING:
            return None
        self.lasting[key] = found[0]
        return found[0]
