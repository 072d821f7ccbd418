"""Request bodies: what a client may send, and the values that the services take."""

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Literal, NotRequired, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from geodns.api.schemas import PRINTABLE, Amount, Badness, Moment, Reason, Weight
from geodns.api.schemas_orders import OrderId
from geodns.config.answer_keys import MAX_ITEMS, zone_on_wire
from geodns.config.report import quoted
from geodns.config.times import MAX_FOR, overruled_asked, seconds_asked
from geodns.config.value_types import HOW_MANY, parse_share
from geodns.control.orders import Order, Verb
from geodns.errors import GeodnsError, UsageError
from geodns.model.base import Frozen
from geodns.model.limits import MAX_AUTHOR
from geodns.model.state import Forced
from geodns.model.warmup import MAX_DAYS
from geodns.responder.answer_policy import QueryLog
from geodns.signals.host_load_poller import as_load
from geodns.signals.warmup import WarmupVerb
from geodns.wire.networks import parse_network

MAX_HOSTS = 1_000
"""Names, addresses and globs in one order."""
MAX_NAME = 300
"""Characters of each."""
FOR = 600.0
"""Seconds after which a query log that an operator switched on ends by itself, unless told otherwise."""


def _duration(forever: str) -> Callable[[Any], float]:
    return _read_for(partial(seconds_asked, forever=forever))


def _read_for(asked: Callable[[Any], float]) -> Callable[[Any], float]:
    def read(given: Any) -> float:
        try:
            return asked(given)
        except UsageError as error:
            raise ValueError(str(error).removeprefix("`for` ")) from error

    return read


def _end(given: Any) -> float | None:
    return None if given == "unlimited" else _duration("write unlimited")(given)


def _share(given: Any) -> float:
    share: float | None = None
    if isinstance(given, str):
        share = parse_share(given)
    elif isinstance(given, int | float) and given is not True and 0 < given <= 1:
        share = given  # as text 0.00001 is 1e-05, which nobody writes
    if share is None:
        raise ValueError(f"{shown(given)} is no part of the queries: {HOW_MANY}")
    return share


def _zone(text: str) -> str:
    try:
        zone_on_wire(text)
    except GeodnsError as error:
        raise ValueError(str(error)) from error
    return text


def _network(text: str) -> str:
    try:
        parse_network(text)
    except ValueError as error:
        raise ValueError(": ".join(error.args)) from error
    return text


_FOR = WithJsonSchema(
    {
        "description": "How long, as 30m, 2h, 1d, or in seconds.",
        "oneOf": [
            {"type": "string", "minLength": 2, "examples": ["2h"]},
            {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_FOR},
        ],
    }
)
_SAMPLE = WithJsonSchema(
    {"oneOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
)
_HostName = Annotated[str, Field(min_length=1, max_length=MAX_NAME), PRINTABLE]
_Items = Field(max_length=MAX_ITEMS)


class Body(Frozen):
    """A request body: a key that is not known is an error, and nothing is taken for what it is not."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class HostOrderBody(Body):
    """An order for the host in the path; `for` null: until somebody ends it."""

    reason: Reason = ""
    seconds: (
        Annotated[float, PlainValidator(_duration("leave it out: it holds until it is ended")), _FOR] | None
    ) = Field(None, alias="for")
    weight: Weight | None = None
    badness: Badness | None = None
    dry_run: bool = False
    yes: bool = Field(default=False, description="Even if a pool is left without a live host.")
    id: OrderId | None = Field(
        default=None, description="Made by the client; the same one again is the same order."
    )
    revision: dict[_HostName, Annotated[str, Field(max_length=64)]] = Field(
        default_factory=dict,
        max_length=MAX_HOSTS,
        description="By zone, of the orders that it was planned by: a `yes` holds for these alone.",
    )


class OrderBody(HostOrderBody):
    """An order for any number of hosts: names, addresses or globs."""

    verb: Verb
    hosts: Annotated[list[_HostName], Field(min_length=1, max_length=MAX_HOSTS)]
    zone: _HostName | None = None


class WarmupOrderBody(Body):
    """An order for the warm-up of the host in the path; `day` is of skip-to alone."""

    order: WarmupVerb
    day: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None
    reason: Reason = ""


class LoadBody(Body):
    """A load that a host reports."""

    value: Annotated[Amount, AfterValidator(as_load)]


class QueryLogWish(Body):
    """Queries to log from now on; empty lists mean all."""

    on: bool
    zones: Annotated[tuple[Annotated[str, AfterValidator(_zone)], ...], _Items] = ()
    clients: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], _Items] = ()
    sample: Annotated[float, PlainValidator(_share), _SAMPLE] = 1.0
    seconds: Annotated[float | None, PlainValidator(_end), _FOR] = Field(FOR, alias="for")


_Lasts = Annotated[
    float,
    PlainValidator(_read_for(overruled_asked)),
    WithJsonSchema(
        {
            "description": "How long, as 30m, 12h, 1d, or in seconds; 0 ends it.",
            "oneOf": [
                {"type": "string", "examples": ["12h"]},
                {"type": "number", "minimum": 0, "maximum": MAX_FOR},
            ],
        }
    ),
]


class IgnoreBody(Body):
    """A rule or block list of reputation (null: all) to overrule for one host."""

    host: _HostName
    seconds: _Lasts = Field(alias="for")
    rule: str | None = Field(default=None, min_length=1, max_length=MAX_NAME)
    zone: _HostName | None = None
    reason: Reason = ""


class ModeBody(Body):
    """The mode of reputation for a while, in one zone or all."""

    mode: Literal["observe", "act"]
    seconds: _Lasts = Field(alias="for")
    zone: _HostName | None = None
    reason: Reason = ""


class ReloadBody(Body):
    """A reload; with `yes` also of edits that would take much away: of all, or of those with this digest."""

    yes: bool | Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")] = False


FORMAT: Final = 1
_exact = with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))


class ForcedByJson(TypedDict):
    """Author, reason and time of an override; `until` null: until somebody ends it."""

    reason: NotRequired[Reason]
    author: NotRequired[Annotated[str, Field(max_length=MAX_AUTHOR), PRINTABLE]]
    since: Moment
    until: NotRequired[Moment | None]


class OverrideJson(ForcedByJson):
    """An override of a host."""

    zone: str
    host: str


@_exact
class ForcedEntryJson(OverrideJson):
    """A state by an override."""

    forced: Forced
    badness: NotRequired[Badness | None]


@_exact
class WeightEntryJson(OverrideJson):
    """A weight by an override."""

    weight: Weight


@_exact
class StateJson(TypedDict):
    """All overrides, as a server exports them and takes them up again."""

    geodns_state: Literal[1]
    # Both only tell people where a file comes from: whatever stands there is taken.
    node: NotRequired[Annotated[Any, WithJsonSchema({"type": "string"})]]
    at: NotRequired[Annotated[Any, WithJsonSchema({"type": "string", "format": "date-time"})]]
    # Of many wrong entries the first is told: a list may have a million.
    forced: NotRequired[Annotated[list[ForcedEntryJson], FailFast()]]
    weights: NotRequired[Annotated[list[WeightEntryJson], FailFast()]]
    orders: NotRequired[
        Annotated[
            list[dict[str, Any]],
            Field(description="The last order of every override with its version; `content` null ended one."),
        ]
    ]
    revision: NotRequired[Annotated[dict[str, str], Field(description="Of each zone's orders: a digest.")]]


# --- from bytes -----------------------------------------------------------------------------------------

T = TypeVar("T")

MOST = 10
"""Problems in one error."""
COUNTED = 1_000
"""Problems past which none is looked at: a state of 32 MiB may have millions."""

_SAYS = {
    "json_invalid": "no JSON ({error})",
    "missing": "missing",
    "extra_forbidden": "not known here",
    "model_type": "{given} is no object",
    "dict_type": "{given} is no object",
    "list_type": "{given} is no list: write one",
    "tuple_type": "{given} is no list: write one",
    "string_type": "{given} is no text: write one",
    "bool_type": "{given} is neither true nor false: write one of them",
    "int_type": "{given} is no whole number: write one",
    "float_type": "{given} is no number: write one",
    "finite_number": "{given} is not finite: write a number",
    "enum": "{given}: write {expected}",
    "literal_error": "{given}: write {expected}",
    "greater_than_equal": "{given}: write at least {ge}",
    "less_than_equal": "{given}: write at most {le}",
    "string_pattern_mismatch": "{given}: write what fits {pattern}",
    "string_too_short": "{given}: write {min_length} or more characters",
    "string_too_long": "{given}: write at most {max_length} characters",
    "too_short": "{given}: write at least {min_length}",
    "too_long": "{given}: write at most {max_length}",
    "value_error": "{error}",
}
"""Our words for pydantic's types of errors."""
_EXAMPLE_HELPS = {"json_invalid", "missing", "extra_forbidden", "model_type", "dict_type"}
"""Of these the words say what is wrong, and an example what to write."""


def read_body(content: bytes, kind: type[T], example: str) -> T:
    """Return what a body says; an empty one is an empty object.

    Args:
        content: the body.
        kind: a model, or a TypedDict.
        example: what to write instead of one that is wrong.

    Raises:
        UsageError: names what is wrong, at most ten problems, where, and what to write instead, in one line.

    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_json(content.strip() or b"{}")
    except ValidationError as error:
        if error.error_count() > COUNTED:
            raise UsageError(f"the body: {error.error_count()} problems: write {example}") from error
        found = error.errors(include_url=False)
        says = problems_of(found)
        if any(one["type"] == "extra_forbidden" and len(one["loc"]) == 1 for one in found):
            says += f" (known: {', '.join(adapter.json_schema()['properties'])})"
        if any(one["type"] in _EXAMPLE_HELPS for one in found):
            says += f": write {example}"
        raise UsageError(says) from error


def problems_of(found: list[ErrorDetails]) -> str:
    """Return the first problems as one line: ``loc: what: write …``."""
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(map(_problem, found[:MOST])) + more


def _problem(one: ErrorDetails) -> str:
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in one["loc"])
    says = _SAYS.get(one["type"]) or one["msg"].replace("{", "{{").replace("}", "}}")
    about = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in one.get("ctx", {}).items()
    }
    what = says.format(given=shown(one["input"]), **about)
    return f"`{place.removeprefix('.')}`: {what}" if place else f"the body: {what}"


def _key(text: str) -> str:
    """Return a key of the body as it is, if that is one short word."""
    return text if text.isidentifier() and len(text) <= MAX_NAME else quoted(text)


def shown(given: Any) -> str:
    match given:
        case str():
            return quoted(given)
        case None | bool() | float():
            return json.dumps(given)
        case int():
            return str(given) if given.bit_length() < 64 else "a huge number"
        case list():
            return f"a list of {len(given)}"
        case _:
            return "an object"


# --- to values ------------------------------------------------------------------------------------------

_ENDING = {Verb.UNDRAIN, Verb.CLEAR}
"""These end something, so they have no end themselves."""


def order_of(verb: Verb, body: HostOrderBody, author: str) -> Order:
    """Return what is ordered.

    Raises:
        UsageError: a key that the verb gives no meaning, or lacks.

    """
    if body.seconds is not None and verb in _ENDING:
        raise UsageError(f"`for` has no meaning here: {verb} ends something at once")
    if body.badness is not None and verb is not Verb.QUARANTINE:
        raise UsageError("`badness` has no meaning here: a program gives it with a quarantine")
    if body.weight is not None and verb is not Verb.WEIGHT:
        raise UsageError(f"`weight` has no meaning here: {verb} leaves weights as they are")
    if body.weight is None and verb is Verb.WEIGHT:
        raise UsageError("`weight`: missing: write a whole number, 0 for a host that is never dealt")
    return Order(verb, body.reason, author, body.seconds, body.weight, body.badness)


def query_log_of(wish: QueryLogWish, now: float) -> QueryLog | None:
    """Return which queries to log; None: none.

    Args:
        wish: of an operator.
        now: seconds of the monotonic clock.

    Raises:
        UsageError: it is off, and says more.

    """
    if not wish.on:
        if len(wish.model_fields_set) > 1:
            raise UsageError("with `on` false nothing else has a meaning")
        return None
    return QueryLog(
        tuple(map(zone_on_wire, wish.zones)),
        tuple(map(parse_network, wish.clients)),
        wish.sample,
        None if wish.seconds is None else now + wish.seconds,
    )
