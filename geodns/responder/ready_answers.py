"""Ready answers: what the caches deal from, and a name's place in it."""

from collections.abc import Sequence

from geodns.responder.table import Rotation
from geodns.wire import codes
from geodns.wire.message import Answer, heads


class CountKey:
    """Zone, type and RCODE that a cached answer counts for; a key by identity: that hash is the cheapest."""

    __slots__ = ("dealt", "query")

    def __init__(self, zone: str, qtype: int, dealt: tuple[bytes, int, int] | None) -> None:
        self.query = (zone, qtype, codes.NOERROR)
        self.dealt = dealt


class ReadyRotation:
    """A rotation of one part, or a fixed answer, made ready for the caches.

    Attributes:
        seed: of the hash by which clients get their answers; empty: answers are dealt in turn.
        error: an extended error's option (RFC 8914); empty: none.
        questions: that deal from it.

    """

    __slots__ = ("_packed", "answers", "error", "index", "longest", "questions", "rotation", "seed", "size")

    def __init__(self, answers: "list[ReadyAnswer]", index: Sequence[int], seed: bytes = b"") -> None:
        self.answers = answers
        self.index = index
        self.seed = seed
        self.size = len(index)
        self.longest = max(len(body) for _, body, _ in answers)
        self.rotation: Rotation | None = None
        self.error = b""
        self.questions: set[bytes] = set()
        self._packed: dict[tuple[int, bytes], list[PackedAnswer]] = {}

    def packed(self, variant: int, opt: bytes) -> "list[PackedAnswer]":
        """Return the answers as all packets get them whose header and OPT record ask for the same."""
        packed = self._packed.get((variant, opt))
        if packed is None:
            packed = [(heads[variant], body + opt, count_key) for heads, body, count_key in self.answers]
            self._packed[variant, opt] = packed
        return packed


ReadyAnswer = tuple[tuple[bytes, ...], bytes, CountKey]
"""The headers of `message.heads`; the records; what it counts for."""

PackedAnswer = tuple[bytes, bytes, CountKey]
"""The bytes between ID and question; the bytes behind the question; what it counts for."""


class Cursor:
    """The place of one name and type in a rotation, and the answer's kind for the rate limit."""

    __slots__ = ("at", "kind", "ready")

    def __init__(self, ready: ReadyRotation, at: int, kind: bytes) -> None:
        self.ready = ready
        self.at = at
        self.kind = kind


KnownPacket = tuple[Cursor, int, list[PackedAnswer]]
"""The cursor of a packet that came before, where its question ends, and its answers."""


def ready_answer(answer: Answer, count_key: CountKey) -> ReadyAnswer:
    """Return an answer made ready, with all its additional records."""
    return heads(answer), answer.body + b"".join(answer.extra), count_key
