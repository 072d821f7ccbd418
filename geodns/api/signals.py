"""Signals of what became of mail over HTTP: read, checked one by one, and taken once."""

import re
from functools import partial
from typing import Annotated, Any

from aiohttp import web
from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from geodns.api.bodies import Body, problems_of, read_body, shown
from geodns.api.connections import SIGNALS, read_in_time
from geodns.api.responses import SERVICES, RefusedError
from geodns.api.schemas import SignalsTakenJson, seconds_of
from geodns.config.report import quoted
from geodns.control.signal_intake import Batch, Signal
from geodns.control.signal_sharing import AwayError, BusyError
from geodns.errors import StoreError
from geodns.model.mail import MailEvent
from geodns.model.providers import OTHER
from geodns.storage.signal_rows import Rejected

MAX_BODY = 4 << 20
"""Bytes of a batch, unpacked."""
MAX_SIGNALS = 10_000
AGAIN = 10
"""Seconds after which a client should come again while the group's store is away."""
MAX_ALIVE = 1_000
MAX_TEXT = 2_000
"""Characters of a reply that are looked at; the rest is left out."""
MAX_COUNT = 10**9
MAX_TIME = 10**11
"""Seconds since 1970: what is more is in milliseconds, or no time."""

_EXAMPLE = '{"batch": "mta1-1", "signals": [{"host": "mta1", "event": "delivered", "provider": "google"}]}'
_DSN = re.compile(r"(?:([2-5][0-9]{2})(?:[ -]|$))?(?:([245]\.[0-9]{1,3}\.[0-9]{1,3}))?")


def _dsn(text: str) -> str:
    if not text or _DSN.fullmatch(text.strip()) is None:
        raise ValueError(f'{quoted(text)}: write an enhanced code or an SMTP code and it, as "550 5.7.1"')
    return text.strip()


_Name = Annotated[str, Field(min_length=1, max_length=255)]


def _time(given: Any) -> float:
    if isinstance(given, str):
        return seconds_of(given)
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= MAX_TIME:
        return float(given)
    raise ValueError(f"{shown(given)} is no time: write it as 2026-11-25T03:00:00Z, or seconds since 1970")


_Time = Annotated[
    float,
    PlainValidator(_time),
    WithJsonSchema(
        {
            "description": "As 2026-12-01T03:00:00Z, or in seconds since 1970.",
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": 0, "maximum": MAX_TIME},
            ],
        }
    ),
]


class SignalBody(Body):
    """What became of the mail of some message-recipients; `host` or `egress` says whose it was."""

    event: Annotated[MailEvent, Field(strict=False)]
    zone: _Name | None = Field(None, description="May be left out where one zone alone has such a host.")
    host: _Name | None = None
    egress: _Name | None = Field(None, description="The address that the mail left from.")
    provider: Annotated[
        str, Field(pattern="^[a-z0-9-]{1,32}$", description="Who runs the recipient's mailbox.")
    ] = OTHER
    dsn: (
        Annotated[
            str,
            Field(max_length=20, description='The enhanced code, also after the SMTP code: "550 5.7.1".'),
            AfterValidator(_dsn),
        ]
        | None
    ) = None
    text: Annotated[str, Field(description="What the receiver replied.")] = ""
    delay_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="How long it took from when the mail came in."
    )
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    at: _Time | None = Field(None, description="When it happened; now, if left out.")
    queued: _Time | None = Field(None, description="When the mail came in; not known, if left out.")
    attempt: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1, description="Which attempt it was; `deferred` is always the first, `retried` never."
    )


_SIGNAL = TypeAdapter(SignalBody)


class _Row:
    """Anything: each signal is checked by itself, so that it rejects itself alone."""

    def __get_pydantic_json_schema__(
        self, _: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(SignalBody.__pydantic_core_schema__)


class SignalsBody(Body):
    """A batch of signals; one that was taken within a week is not counted again."""

    batch: Annotated[str, Field(min_length=1, max_length=200, description="Unique to this batch.")]
    signals: Annotated[list[Annotated[Any, _Row()]], Field(max_length=MAX_SIGNALS)] = Field(default=[])
    alive: Annotated[list[_Name], Field(max_length=MAX_ALIVE)] = Field(
        default=[], description="Hosts, or addresses mail leaves from, whose senders are being read."
    )


def routes() -> list[web.RouteDef]:
    return [web.post(SIGNALS, _post)]


async def _post(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    try:
        with services.signals.room():
            content = await read_in_time(request, MAX_BODY)
            taken, strangers = await services.signals.take(partial(read, content))
    except (BusyError, StoreError) as error:
        services.metrics.count_signal_batch("refused")
        again = AGAIN if isinstance(error, AwayError) else None
        raise RefusedError(503, str(error), again) from error
    answer = SignalsTakenJson(
        accepted=taken.accepted,
        rejected=[{"index": one.place, "error": one.error} for one in taken.rejected],
        duplicate=taken.duplicate,
    )
    if strangers:
        answer["strangers"] = list(strangers)
    return web.json_response(answer)


def read(content: bytes) -> Batch:
    """Return what a body says; raises UsageError where it is no batch. Wrong signals are left out."""
    body = read_body(content, SignalsBody, _EXAMPLE)
    signals: list[Signal] = []
    rejected: list[Rejected] = []
    for index, row in enumerate(body.signals):
        try:
            signals.append(_signal(index, _SIGNAL.validate_python(row)))
        except ValidationError as error:
            rejected.append(Rejected(index, problems_of(error.errors(include_url=False))))
        except ValueError as error:
            rejected.append(Rejected(index, str(error)))
    return Batch(body.batch, signals, rejected, body.alive)


def _signal(index: int, row: SignalBody) -> Signal:
    if row.attempt > 1 and row.event is MailEvent.DEFERRED:
        raise ValueError("`deferred` is of the first attempt: write retried for later ones")
    code, enhanced = _codes(row.dsn, row.text)
    return Signal(
        index,
        row.zone,
        row.host,
        row.egress,
        row.event,
        row.provider,
        code,
        enhanced,
        row.text[:MAX_TEXT],
        row.delay_s,
        row.count,
        row.at,
        row.queued,
        row.attempt,
    )


def _codes(dsn: str | None, text: str) -> tuple[int, str]:
    """Return the SMTP code, 0 where it is not known, and the enhanced code, from where they stand."""
    found = _DSN.match(dsn or text)
    code, enhanced = found.groups() if found else (None, None)
    return int(code or 0), enhanced or ""
