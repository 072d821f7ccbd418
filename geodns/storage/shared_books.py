"""Remembers what a hash in Redis holds, in a few bytes a field, so that only what changed is read again."""

import hashlib
from collections.abc import Collection, Iterable, Mapping

from geodns.storage.shared_messages import MAX_FIELDS, BadValueError, field_name

MAX_NAMES = 50_000
DIGEST_BITS = 64
_DIGEST = (1 << DIGEST_BITS) - 1
MANY = f"more than {MAX_FIELDS} fields"
MAX_NUMBER = 2**51
"""What is above is none that a server reaches: what is not signed may not drive ours out of bounds."""


class Book:
    """What is known of a hash: a digest of each field, and of all together.

    Attributes:
        epoch: of the server that writes it.
        number: of its last writing.
        fields: digests by field, below the number of its vote where it is one.
        withdrawn: the numbers up to which votes of fields that ended do not come back.
        all: the digests of all fields together.

    """

    __slots__ = ("all", "epoch", "fields", "number", "withdrawn")

    def __init__(self, epoch: int = 0, number: int = 0) -> None:
        self.epoch = epoch
        self.number = number
        self.fields: dict[bytes, int] = {}
        self.withdrawn: dict[bytes, int] = {}
        self.all = 0

    @property
    def digest(self) -> str:
        """The same wherever the same fields have the same values."""
        return f"{self.all:016x}"

    def put(self, field: bytes, raw: bytes) -> bool:
        """Note a field's value; return whether it is another than before."""
        return self.note(field, digest_of(field, raw))

    def note(self, field: bytes, digest: int) -> bool:
        """Note the digest of a field's value; return whether it is another than before."""
        if self.digest_of(field) == digest:
            return False
        self.enter(field, digest)
        return True

    def enter(self, field: bytes, digest: int, seq: int = 0) -> None:
        """Note the digest of a field's value, and the number of its vote."""
        self.all ^= digest ^ self.digest_of(field)
        self.fields[field] = seq << DIGEST_BITS | digest

    def digest_of(self, field: bytes) -> int:
        """Return the digest of a field's value; 0 where it is not known."""
        return self.fields.get(field, 0) & _DIGEST

    def seq(self, field: bytes) -> int:
        """Return the number of a field's vote; 0 where it has none."""
        return self.fields.get(field, 0) >> DIGEST_BITS

    def full(self, field: bytes) -> bool:
        """Say whether there is no room for a field that is not known."""
        return len(self.fields) >= MAX_FIELDS and field not in self.fields

    def drop(self, field: bytes) -> bool:
        """Forget a field; return whether it was known."""
        before = self.fields.pop(field, None)
        self.all ^= (before or 0) & _DIGEST
        return before is not None

    def withdraw(self, field: bytes, seq: int) -> bool:
        """Forget a field, and refuse what was said of it up to a number; return whether it was known."""
        self.withdrawn[field] = max(seq, self.withdrawn.pop(field, 0))
        if len(self.withdrawn) > MAX_FIELDS:
            del self.withdrawn[next(iter(self.withdrawn))]
        return self.drop(field)

    def without(self, fields: Iterable[bytes]) -> str:
        """Return the digest that would be left without some fields."""
        left = self.all
        for field in fields:
            left ^= self.digest_of(field)
        return f"{left:016x}"

    def only(self, fields: Collection[bytes]) -> "Book":
        """Forget all fields but these; return itself."""
        for field in self.fields.keys() - fields:
            self.drop(field)
        return self

    def differing(self, other: "Book") -> list[bytes]:
        """Return the fields that are missing in another, or have other values there."""
        return [field for field in self.fields if other.digest_of(field) != self.digest_of(field)]


def digest_of(field: bytes, raw: bytes) -> int:
    """Return the digest of a field and its value; those of a whole hash are put together by exclusive or."""
    text = b"%d " % len(field) + field + raw
    return int.from_bytes(hashlib.blake2b(text, digest_size=DIGEST_BITS // 8).digest(), "big")


class Names:
    """Names of fields, each once: many servers have votes on the same addresses."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def known(self, field: bytes) -> bytes:
        """Return the field as it came first, if it is a name; else as it is."""
        known = self._known.get(field)
        if known is not None:
            return known
        try:
            field_name(field)
        except BadValueError:
            return field
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[field] = field
        return field


def number_of(raw: bytes | None) -> int:
    """Return a number that Redis keeps as text; 0 where it is none."""
    found = int(raw) if raw and len(raw) <= 16 and raw.isdigit() else 0
    return found if found <= MAX_NUMBER else 0


def place_in_log(raw: bytes) -> tuple[int, int]:
    """Return the milliseconds and the number of a stream's ID."""
    first, _, second = raw.partition(b"-")
    return number_of(first), number_of(second)


def text_fields(entry: Mapping[bytes, bytes], *names: bytes) -> list[bytes]:
    """Return the fields of an entry of the log that must be there.

    Raises:
        BadValueError: one is not.

    """
    try:
        return [entry[name] for name in names]
    except KeyError:
        raise BadValueError("an entry of the log that geodns did not write") from None
