"""Ready answers: what the caches deal from, and a name's place in it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from geodns.responder.table import Rotation
from geodns.wire import codes
from geodns.wire.message import Answer, heads


class CountKey:
    """Zone, type and RCODE that a cached answer counts for; a key by identity: that hash is the cheapest."""

    __slots__ = ("dealt", "query")

    def __init__(self, zone: str, qtype: int, dealt: tuple[bytes, int, int] | None) -> None:
        self.query = (zone, qtype, codes.NOERROR)
        self.dealt = dealt


FEW = 64
"""Answers that are made ready at once; of more, each is when it is dealt first: workers wait for none."""

V = TypeVar("V")


class LazyAnswers(dict[int, V]):
    """Answers by position, each made when it is asked for first."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[int], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, position: int) -> V:
        found = self[position] = self._make(position)
        return found


def _by_position(number: int, make: "Callable[[int], V]") -> "list[V] | LazyAnswers[V]":
    """Return so many answers by position: a list where they are few, which is faster."""
    return [make(position) for position in range(number)] if number <= FEW else LazyAnswers(make)


class ReadyRotation:
    """A rotation of one part, or a fixed answer, made ready for the caches.

    Args:
        plain: the distinct answers.
        index: the cycle, as positions in these.
        count_key: returns what an answer counts for, by its position.
        seed: of the hash by which clients get their answers; empty: answers are dealt in turn.

    Attributes:
        answers: by position.
        error: an extended error's option (RFC 8914); empty: none.
        questions: that deal from it.

    """

    __slots__ = (
        "_number",
        "_packed",
        "answers",
        "error",
        "index",
        "longest",
        "questions",
        "rotation",
        "seed",
        "size",
    )

    def __init__(
        self,
        plain: Sequence[Answer],
        index: Sequence[int],
        count_key: Callable[[int], CountKey],
        seed: bytes = b"",
    ) -> None:
        def make(position: int) -> ReadyAnswer:
            answer = plain[position]
            return heads(answer), answer.body + b"".join(answer.extra), count_key(position)

        self._number = len(plain)
        self.answers = _by_position(self._number, make)
        self.index = index
        self.seed = seed
        self.size = len(index)
        self.longest = max([len(one.body) + (len(b"".join(one.extra)) if one.extra else 0) for one in plain])
        self.rotation: Rotation | None = None
        self.error = b""
        self.questions: set[bytes] = set()
        self._packed: dict[tuple[int, bytes], PackedAnswers] = {}

    def packed(self, variant: int, opt: bytes) -> "PackedAnswers":
        """Return the answers as all packets get them whose header and OPT record ask for the same."""
        packed = self._packed.get((variant, opt))
        if packed is None:
            answers = self.answers

            def make(position: int) -> PackedAnswer:
                heads, body, count_key = answers[position]
                return heads[variant], body + opt, count_key

            packed = self._packed[variant, opt] = _by_position(self._number, make)
        return packed


ReadyAnswer = tuple[tuple[bytes, ...], bytes, CountKey]
"""The headers of `message.heads`; the records; what it counts for."""

PackedAnswer = tuple[bytes, bytes, CountKey]
"""The bytes between ID and question; the bytes behind the question; what it counts for."""

PackedAnswers = list[PackedAnswer] | LazyAnswers[PackedAnswer]
"""By position."""


class Cursor:
    """The place of one name and type in a rotation, and the answer's kind for the rate limit."""

    __slots__ = ("at", "kind", "ready")

    def __init__(self, ready: ReadyRotation, at: int, kind: bytes) -> None:
        self.ready = ready
        self.at = at
        self.kind = kind


KnownPacket = tuple[Cursor, int, PackedAnswers]
"""The cursor of a packet that came before, where its question ends, and its answers."""
