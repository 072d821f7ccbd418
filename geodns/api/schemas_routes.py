"""The types of what the HTTP side answers of rules; `responder/route_explained.py` has that of a message."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Count, Moment

Answered = Annotated[dict[str, dict[str, Count]], Field(description="By outcome and protocol.")]


class RouteRuleJson(TypedDict):
    """A rule of a zone, and what it answered; `last` is when it did last, `known` since when it is there."""

    rule: Annotated[int, Field(ge=1, description="Its number in the file.")]
    digest: Annotated[str, Field(description="Stays the same where the rule is moved.")]
    when: Annotated[dict[str, str], Field(description="Its conditions in words; none: every message.")]
    use: str
    deal: Literal["name", "host"]
    port: Annotated[int, Field(ge=1, le=65535)]
    matched: Count
    answers: Answered
    known: Moment | None
    last: Moment | None


class ZoneRoutesJson(TypedDict):
    """A zone's rules; counts are those from `since` on.

    `unused` counts rules that answered nothing, `left` those that are not shown; `unmatched` are the answers
    that no rule gave, `looked_up` those that named a host, by host and provider (empty: not known): an MTA
    asks for a message several times.
    """

    since: Moment
    rules: list[RouteRuleJson]
    unused: Count
    left: Count
    unmatched: Answered
    looked_up: dict[str, dict[str, Count]]


class RoutesJson(TypedDict):
    """Routes by zone; `no_zone`: answers to those who asked of no zone that has any."""

    listen: Annotated[list[str], Field(description="Where MTAs ask; none: `routes_listen` is empty.")]
    zones: dict[str, ZoneRoutesJson]
    no_zone: Answered
