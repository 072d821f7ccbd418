"""Writes the sums of mail that a server has counted as the group's store keeps them, and reads them.

A field holds the hosts of one bucket in one step: ``300/1795417200/17``. Steps are told so that no count is
twice in what others add up: five minutes as they happen; an hour when it is over for a while, and then in
place of its five minutes; a day likewise. When hosts were heard stands in ``heard/17``.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from geodns.model.mail import MailKey
from geodns.model.providers import OTHER
from geodns.model.shared import MAX_COUNTER
from geodns.model.state import HostKey
from geodns.storage.signal_file import DAY, FIVE, HOUR
from geodns.storage.signal_rows import Counts, counts_of, nested_counts

BUCKETS = 128
"""Fields of a step: 95 steps are shared, and 20,000 fields are read."""
SHARED: Mapping[int, int] = {FIVE: 3 * HOUR, HOUR: 26 * HOUR, DAY: 31 * DAY}
"""Seconds after its end that a step is shared."""
OVER = HOUR
"""Seconds after its end from when on an hour or a day is told as a whole."""
AHEAD = HOUR
"""Seconds that a step may begin after our own clock's time."""
MAX_TEXT = 60 << 10
"""Characters of a value; beyond, providers of which little came are told as other."""
NAMED = (20, 5, 0)
"""Providers of a host that are named then, at most."""

Marks = Mapping[tuple[str, str], int]
"""Refusals by provider and rule whose text is found in them."""
_Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Short = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNTER)]
_Time = Annotated[float, Field(ge=0, le=2**33, allow_inf_nan=False)]
_COUNTS = TypeAdapter(dict[_Name, dict[_Name, dict[_Short, dict[_Short, dict[_Short, _Count]]]]])
_MARKS = TypeAdapter(dict[_Name, dict[_Name, dict[_Short, dict[_Name, _Count]]]])
_HEARD = TypeAdapter(dict[_Name, dict[_Name, _Time]])


class StepSums(NamedTuple):
    """What a server has counted in a step, for some hosts."""

    step: int
    at: int
    counts: Mapping[HostKey, Counts]
    marks: Mapping[HostKey, Marks]


def bucket_of(host: HostKey) -> int:
    """Return the bucket of a host, the same on every server."""
    return zlib.crc32("/".join(host).encode()) % BUCKETS


def field_of(step: int, at: int, bucket: int) -> str:
    """Return the field of a bucket in a step."""
    return f"{step}/{at}/{bucket}"


def heard_field(bucket: int) -> str:
    """Return the field of when the hosts of a bucket were heard."""
    return f"heard/{bucket}"


def step_of(field: str) -> tuple[int, int] | None:
    """Return the step of a field and its begin; None: it is none of a step."""
    parts = field.split("/")
    if len(parts) != 3 or not all(one.isascii() and one.isdigit() and len(one) < 12 for one in parts):
        return None
    step, at = int(parts[0]), int(parts[1])
    return (step, at) if step in SHARED and at % step == 0 else None


def is_shared(step: int, at: int, now: float) -> bool:
    """Say whether a step is told now."""
    over = step == FIVE or at + step <= now - OVER
    return over and at + step > now - SHARED[step]


def steps_for(at: int, now: float) -> Iterator[tuple[int, int]]:
    """Return the steps to tell anew when something is counted in the five minutes that begin at a time."""
    for step in SHARED:
        begin = at // step * step
        if is_shared(step, begin, now):
            yield step, begin


def ended(since: float, now: float) -> Iterator[tuple[int, int]]:
    """Return the hours and days that are told as a whole from after a time on until now."""
    for step in (HOUR, DAY):
        first = max(since - OVER, now - SHARED[step] - step)
        for at in range(int(first // step) * step, int(now), step):
            if is_shared(step, at, now) and not is_shared(step, at, since):
                yield step, at


def sums_json(counts: Mapping[HostKey, Counts], marks: Mapping[HostKey, Marks]) -> JsonValue:
    """Return the value of a field; where it would be too long, with fewer providers."""
    value = _json(counts, marks)
    for named in NAMED:
        if len(str(value)) <= MAX_TEXT:  # at least as long as the JSON
            break
        value = _json({host: _fewer(some, named) for host, some in counts.items()}, {})
    return value


def _json(counts: Mapping[HostKey, Counts], marks: Mapping[HostKey, Marks]) -> JsonValue:
    value: dict[str, JsonValue] = {
        "c": _by_zone({host: nested_counts(some) for host, some in counts.items()})
    }
    if marks:
        nested: dict[HostKey, dict[str, dict[str, int]]] = {}
        for host, some in marks.items():
            for (provider, rule), number in some.items():
                nested.setdefault(host, {}).setdefault(provider, {})[rule] = number
        value["m"] = _by_zone(nested)
    return value


def _by_zone(values: Mapping[HostKey, object]) -> JsonValue:
    found: dict[str, JsonValue] = {}
    for (zone, host), value in values.items():
        of = found.setdefault(zone, {})
        assert isinstance(of, dict)
        of[host] = value  # type: ignore[assignment] # made of texts and numbers alone
    return found


def _fewer(counts: Counts, named: int) -> Counts:
    """Return counts in which all but so many providers, those of most mail, are other, of any address."""
    totals: dict[str, int] = {}
    for (_, provider, _), number in counts.items():
        totals[provider] = totals.get(provider, 0) + number
    kept = set(sorted(totals, key=lambda one: (-totals[one], one))[:named])
    found: dict[MailKey, int] = {}
    for (_, provider, kind), number in counts.items():
        key = "", provider if provider in kept else OTHER, kind
        found[key] = found.get(key, 0) + number
    return found


def heard_json(heard: Mapping[HostKey, float]) -> JsonValue:
    """Return the value of such a field."""
    return {"h": _by_zone({host: round(at, 1) for host, at in heard.items()})}


def read_sums(field: str, content: JsonValue, now: float) -> StepSums | None:
    """Return what a field of a step says; None: nothing that is of use now.

    Raises:
        ValueError: it is not what geodns writes.

    """
    found = step_of(field)
    if found is None or found[1] > now + AHEAD:
        return None
    if not isinstance(content, Mapping):
        raise ValueError("no sums")  # noqa: TRY004 - all that is wrong with input is
    try:
        counts = _COUNTS.validate_python(content.get("c", {}), strict=True)
        marks = _MARKS.validate_python(content.get("m", {}), strict=True)
    except ValidationError as error:
        raise ValueError("no sums") from error
    return StepSums(
        *found,
        {(zone, host): counts_of(nested) for zone, of in counts.items() for host, nested in of.items()},
        {
            (zone, host): {(provider, rule): n for provider, by in nested.items() for rule, n in by.items()}
            for zone, of in marks.items()
            for host, nested in of.items()
        },
    )


def read_heard(content: JsonValue) -> dict[HostKey, float]:
    """Return when hosts were heard of.

    Raises:
        ValueError: it is not what geodns writes.

    """
    if not isinstance(content, Mapping):
        raise ValueError("no times")  # noqa: TRY004 - as above
    try:
        heard = _HEARD.validate_python(content.get("h", {}), strict=True)
    except ValidationError as error:
        raise ValueError("no times") from error
    return {(zone, host): at for zone, of in heard.items() for host, at in of.items()}
