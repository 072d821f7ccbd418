"""Turns what servers of a group share into bytes and back: strict JSON, bounded, signed with a secret.

A value is a JSON object, after 32 hexadecimal digits of a signature where it has one. The signature is over
the key, the field and the object, which together hold the node, the epoch and the number of what is said.
Reading raises `BadValueError` and nothing else.
"""

import hashlib
import hmac
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import Field, JsonValue, ValidationError
from pydantic_core import from_json, to_json

from geodns.errors import printable
from geodns.model.base import Frozen
from geodns.model.shared import MAX_COUNTER, AddressVote, Heartbeat, SharedOrder

MAX_VALUE = 64 << 10
"""Bytes of a value."""
MAX_FIELDS = 20_000
"""Fields of a hash that are read, and orders that are written."""
MAX_FIELD = 1024
"""Bytes of a field's name."""
MAX_SHOWN = 300
MOST_KEPT, MAX_KEPT = 500, 300
"""Votes whose text is known, and its bytes at most."""
KNOWN_KINDS = frozenset({"state", "weight"})
SIGNATURE = 32
WITHDRAWN = b"-"
"""The begin of a value of the log that ends a vote; it is in no hash."""

_PREFIX = re.compile(rb"([0-9a-f]{16}) ([0-9]{1,16})\n")
_VERSION = re.compile(rb"([0-9]{1,16}) ([0-9a-f]{32})\n")
_HEX = re.compile(rb"[0-9a-f]{32}")
T = TypeVar("T", bound=Frozen)


class BadValueError(ValueError):
    """A value that is skipped; the text is the reason, one of a few that can be counted by."""


TOO_LONG = f"longer than {MAX_VALUE >> 10} KB"
UNSIGNED = "not signed, as by a server without secret_file"
FORGED = "wrongly signed, as by a server with another secret_file"
NO_JSON = "not the JSON that geodns writes"
BAD_NAME = "a name that is none"
MISPLACED = "written for another key"


class BadValues:
    """Counts what was skipped.

    Attributes:
        counts: by reason.
        last: the last one, printable and bounded.

    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last = ""

    def note(self, key: bytes, field: bytes, error: BadValueError) -> None:
        self.counts[str(error)] += 1
        where = " ".join(_shown(one) for one in (key, field) if one)
        self.last = f"{where}: {error}"


def _shown(name: bytes) -> str:
    return printable(name[:MAX_SHOWN].decode("utf-8", "backslashreplace"))[:MAX_SHOWN]


class _Vote(Frozen):
    """A vote with its epoch, in few bytes."""

    e: int = Field(ge=0, le=MAX_COUNTER)
    c: AddressVote


class _Withdrawal(Frozen):
    """The end of a vote, and the number of the server's last vote then."""

    e: int = Field(ge=0, le=MAX_COUNTER)
    q: int = Field(ge=0, le=MAX_COUNTER)


class _Sum(Frozen):
    """A sum with its epoch and the number of its writing."""

    e: int = Field(ge=0, le=MAX_COUNTER)
    q: int = Field(ge=0, le=MAX_COUNTER)
    c: Any


class _Claim(Frozen):
    """A claim; `n`: of how many signals, once they are counted."""

    node: str = Field(max_length=63)
    n: int | None = Field(default=None, ge=0, le=MAX_COUNTER)


_ORDER_FIELDS = SharedOrder.model_fields.keys() - {"more"}


class Beat(NamedTuple):
    """A heartbeat, the process that sent it, and its number since that began."""

    heartbeat: Heartbeat
    token: str
    number: int


class Messages:
    """Writes and reads the values of a group."""

    def __init__(self, group: str, secret: bytes | None) -> None:
        self.prefix = f"{{geodns:{group}}}:".encode("ascii")
        self._votes: dict[bytes, tuple[int, AddressVote]] = {}
        """Votes read last: those of one moment say the same of many addresses."""
        self._mac = None
        if secret is not None:
            key = hashlib.blake2b(secret, person=b"geodns shared").digest()
            self._mac = hashlib.blake2b(key=key, digest_size=SIGNATURE // 2)

    def key(self, kind: str, name: str = "") -> bytes:
        """Return the key of something in the store, as ``votes`` of a node."""
        return self.prefix + (f"{kind}:{name}" if name else kind).encode()

    # ----- heartbeats

    def seal_beat(self, beat: Beat) -> bytes:
        """Return a heartbeat; its first line is for the script that compares the token.

        Raises:
            BadValueError: it is too long, and nobody would read it.

        """
        line = f"{beat.token} {beat.number}".encode("ascii")
        body = beat.heartbeat.model_dump_json(exclude_defaults=True).encode()
        value = line + b"\n" + self._seal(self.key("node", beat.heartbeat.node), line, body)
        _bound(value)
        return value

    def open_beat(self, node: str, raw: bytes) -> Beat:
        _bound(raw)
        head = _PREFIX.match(raw)
        if head is None:
            raise BadValueError(NO_JSON)
        body = self._open(self.key("node", node), head[0][:-1], raw[head.end() :])
        heartbeat = _parsed(Heartbeat, _cleaned(body))
        if heartbeat.node != node:
            raise BadValueError(MISPLACED)
        for name in (node, *heartbeat.heard, *heartbeat.zones):
            _name(name)
        return Beat(heartbeat, head[1].decode("ascii"), int(head[2]))

    # ----- votes

    @staticmethod
    def vote_body(epoch: int, vote: AddressVote) -> bytes:
        """Return a vote as it is written on any address, but for the signature."""
        return _Vote(e=epoch, c=vote).model_dump_json(exclude_defaults=True).encode()

    def seal_vote(self, key: bytes, field: bytes, body: bytes) -> bytes:
        """Return a vote on the address that the field names."""
        return self._seal(key, field, body)

    def open_vote(self, key: bytes, field: bytes, raw: bytes) -> tuple[int, AddressVote]:
        """Return the epoch and the vote."""
        body = self._open(key, field, raw)
        found = self._votes.get(body)
        if found is None:
            vote = _parsed(_Vote, _cleaned(body))
            found = vote.e, vote.c
            if len(body) <= MAX_KEPT:
                if len(self._votes) >= MOST_KEPT:
                    self._votes.clear()
                self._votes[body] = found
        return found

    def seal_withdrawal(self, key: bytes, field: bytes, epoch: int, seq: int) -> bytes:
        """Return what ends a vote in the log: those of this epoch up to a number do not come back."""
        return WITHDRAWN + self._seal(key, field, _Withdrawal(e=epoch, q=seq).model_dump_json().encode())

    def open_withdrawal(self, key: bytes, field: bytes, raw: bytes) -> tuple[int, int]:
        """Return the epoch and the number."""
        one = _parsed(_Withdrawal, self._open(key, field, raw.removeprefix(WITHDRAWN)))
        return one.e, one.q

    # ----- orders

    def seal_order(self, order: SharedOrder) -> bytes:
        """Return an order with all its fields; its first line is the version, for the script's eyes.

        Raises:
            BadValueError: it is too long, and cannot be shared.

        """
        known = order.model_dump(mode="json", exclude={"more"})
        body = to_json({**order.more, **known})
        version = f"{order.version.counter} {order.version.id}\n".encode("ascii")
        value = version + self._seal(self.key("orders"), order_field(order), body)
        _bound(value)
        return value

    def open_order(self, field: bytes, raw: bytes) -> SharedOrder:
        _bound(raw)
        head = _VERSION.match(raw)
        if head is None:
            raise BadValueError(NO_JSON)
        body = self._open(self.key("orders"), field, raw[head.end() :])
        try:
            fields = from_json(body, allow_inf_nan=False)
            if not isinstance(fields, dict) or not _is_finite(fields):
                raise BadValueError(NO_JSON)
            known = {name: fields[name] for name in fields if name in _ORDER_FIELDS}
            if known.get("kind") in KNOWN_KINDS:
                known = _without_controls(known)
            version = known.get("version")
            if isinstance(version, dict):  # later versions may say more of it
                known["version"] = {name: version.get(name) for name in ("counter", "id")}
            more = {name: fields[name] for name in fields if name not in _ORDER_FIELDS}
            order = SharedOrder.model_validate({**known, "more": more}, strict=True)
        except (ValueError, RecursionError) as error:
            raise _reason(error) from None
        for name in (*order.key, order.node):
            _name(name)
        if order_field(order) != field or head[0] != b"%d %s\n" % (
            order.version.counter,
            order.version.id.encode("ascii"),
        ):
            raise BadValueError(MISPLACED)
        return order

    # ----- sums and claims

    def seal_sum(self, key: bytes, field: bytes, epoch: int, number: int, content: JsonValue) -> bytes:
        """Return a sum.

        Args:
            key: of the node's sums.
            field: of the sum.
            epoch: of the node.
            number: of the writing.
            content: of the sum.

        Raises:
            BadValueError: it is too long, and cannot be shared.

        """
        value = self._seal(key, field, to_json({"e": epoch, "q": number, "c": content}))
        _bound(value)
        return value

    def open_sum(self, key: bytes, field: bytes, raw: bytes) -> JsonValue:
        try:
            fields = _without_controls(from_json(self._open(key, field, raw), allow_inf_nan=False))
            if not _is_finite(fields):
                raise BadValueError(NO_JSON)
            content: JsonValue = _Sum.model_validate(fields, strict=True, extra="ignore").c
        except (ValueError, RecursionError) as error:
            raise _reason(error) from None
        return content

    def seal_claim(self, key: bytes, node: str, accepted: int | None = None) -> bytes:
        """Return a claim; `accepted`: signals that are counted, None while they are not."""
        return self._seal(key, b"", _Claim(node=node, n=accepted).model_dump_json(exclude_none=True).encode())

    def open_claim(self, key: bytes, raw: bytes) -> tuple[str, int | None]:
        """Return whose claim it is, and what of it is counted."""
        claim = _parsed(_Claim, _cleaned(self._open(key, b"", raw)))
        return _name(claim.node), claim.n

    # ----- signatures

    def _seal(self, key: bytes, field: bytes, body: bytes) -> bytes:
        return self._signature(key, field, body) + body if self._mac else body

    def _open(self, key: bytes, field: bytes, raw: bytes) -> bytes:
        _bound(raw)
        if len(field) > MAX_FIELD:
            raise BadValueError(BAD_NAME)
        if raw[:1] == b"{":
            if self._mac:
                raise BadValueError(UNSIGNED)
            return raw
        signature, body = raw[:SIGNATURE], raw[SIGNATURE:]
        if not _HEX.fullmatch(signature) or body[:1] != b"{":
            raise BadValueError(NO_JSON)
        if self._mac and not hmac.compare_digest(signature, self._signature(key, field, body)):
            raise BadValueError(FORGED)
        return body

    def _signature(self, key: bytes, field: bytes, body: bytes) -> bytes:
        assert self._mac
        mac = self._mac.copy()
        mac.update(b"%d %d " % (len(key), len(field)) + key + field + body)
        return mac.hexdigest().encode("ascii")


def order_field(order: SharedOrder) -> bytes:
    """Return the field of the hash of orders that an order is kept in."""
    return "/".join(order.key).encode()


def field_name(field: bytes) -> str:
    """Return the text of a field, as the key of an address."""
    if len(field) > MAX_FIELD:
        raise BadValueError(BAD_NAME)
    try:
        return _name(field.decode())
    except UnicodeDecodeError:
        raise BadValueError(BAD_NAME) from None


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise BadValueError(BAD_NAME)
    return text


def _reason(error: Exception) -> BadValueError:
    return error if isinstance(error, BadValueError) else BadValueError(NO_JSON)


def _is_finite(value: Any) -> bool:
    """Say whether no number in it is infinite, as 1e999 is."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def _bound(raw: bytes) -> None:
    if len(raw) > MAX_VALUE:
        raise BadValueError(TOO_LONG)


def _parsed(model: type[T], body: bytes) -> T:
    try:
        return model.model_validate_json(body, strict=True, extra="ignore")
    except (ValidationError, RecursionError):
        raise BadValueError(NO_JSON) from None


def _cleaned(body: bytes) -> bytes:
    """Take control characters out of all texts; where nothing is escaped there are none."""
    if b"\\" not in body and body.isascii() and b"\x7f" not in body:
        return body
    try:
        return to_json(_without_controls(from_json(body)))
    except (ValueError, RecursionError):
        raise BadValueError(NO_JSON) from None


def _without_controls(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else "".join(filter(str.isprintable, value))
    if isinstance(value, list):
        return [_without_controls(one) for one in value]
    if isinstance(value, Mapping):
        return {_without_controls(name): _without_controls(one) for name, one in value.items()}
    return value
