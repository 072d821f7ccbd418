"""Sums of what MTAs were answered by routes, as the rows of history.db keep them."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

FIVE, HOUR, DAY = 300, 3600, 86400
ROUTES_KEPT: Mapping[int, int] = {FIVE: 2 * HOUR, HOUR: 15 * DAY}
"""Seconds that sums of each step are kept; every answer stands in both."""
RULES_KEPT = ROUTES_KEPT[HOUR]
"""Seconds after which a rule is forgotten that is not in its file and matches nothing: as its sums are."""
MOST = 10**15
"""No count is as large."""
MAX_UNPACKED = 64 << 20
"""Bytes of a row."""

AnswerKey = tuple[str, str, str]
"""The digest of the rule that answered (empty: none), the outcome and the protocol."""


class RouteSums(NamedTuple):
    """What a zone's routes answered in a span of time.

    Attributes:
        answers: by rule, outcome and protocol.
        looked_up: answers that named a host, by host and provider (empty: not known).

    """

    answers: Mapping[AnswerKey, int]
    looked_up: Mapping[tuple[str, str], int]


class RuleTimes(NamedTuple):
    """When a rule was first known, and when it matched last, in seconds since the epoch; 0: never."""

    since: float
    last: float = 0.0


NO_SUMS = RouteSums({}, {})


def summed(*some: RouteSums) -> RouteSums:
    """Add up the sums of several spans."""
    answers: dict[AnswerKey, int] = {}
    looked_up: dict[tuple[str, str], int] = {}
    for one in some:
        for key, number in one.answers.items():
            answers[key] = answers.get(key, 0) + number
        for place, number in one.looked_up.items():
            looked_up[place] = looked_up.get(place, 0) + number
    return RouteSums(answers, looked_up)


def packed_sums(sums: RouteSums) -> bytes:
    """Return sums as bytes for `unpacked_sums`."""
    answers: dict[str, dict[str, int]] = {}
    for (rule, outcome, protocol), number in sums.answers.items():
        answers.setdefault(rule, {})[f"{outcome} {protocol}"] = number
    looked_up: dict[str, dict[str, int]] = {}
    for (host, provider), number in sums.looked_up.items():
        looked_up.setdefault(host, {})[provider] = number
    return zlib.compress(json.dumps([answers, looked_up], separators=(",", ":")).encode())


def unpacked_sums(data: bytes) -> RouteSums:
    """Return what `packed_sums` packed, or raise ValueError."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(data, MAX_UNPACKED)
        if not unpacking.eof:
            raise ValueError("no sums of routes: they are cut short")
        answers, looked_up = json.loads(text)
        return RouteSums(
            {
                (rule, *_outcome(words)): _count(number)
                for rule, some in answers.items()
                for words, number in some.items()
            },
            {
                (host, provider): _count(number)
                for host, some in looked_up.items()
                for provider, number in some.items()
            },
        )
    except (zlib.error, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no sums of routes: {error}") from error


def _outcome(words: str) -> tuple[str, str]:
    outcome, protocol = words.split(" ")
    return outcome, protocol


def _count(number: Any) -> int:
    if not isinstance(number, int) or not 0 <= number < MOST:
        raise ValueError("no sums of routes: there is no such number")
    return number
