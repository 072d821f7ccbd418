"""The types of what the HTTP side says of warm-ups."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Amount, Count, Kept, Share

Date = Annotated[str, Field(json_schema_extra={"format": "date"})]


class WarmupDayJson(TypedDict):
    """A day that comes, if nothing holds the plan, and the messages that may be sent on it."""

    date: Date
    cap: Count


class WarmupProviderJson(TypedDict):
    """What a host may get of a provider's mail today, by routes with `deal: host` on this server."""

    cap: Annotated[Count, Field(description="Messages of the day.")]
    sent: Annotated[Count, Field(description="Messages today, by the last report that counted its mail.")]
    left: Annotated[
        Count, Field(description="Look-ups that may name it, from that report on; none without a recent one.")
    ]
    looked_up: Annotated[Count, Field(description="Look-ups that named it since.")]


class WarmupJson(TypedDict):
    """Where a host stands in its warm-up; dates and days are in UTC, caps in messages a day."""

    plan: Annotated[str, Field(description="sendgrid, sparkpost, or `own` where the file lists the days.")]
    days: Literal["calendar", "sending"]
    start: Date
    day: Annotated[Count, Field(description="Of the plan; 0 before its start.")]
    last: Annotated[Count, Field(description="Days of the plan.")]
    cap: Annotated[Count | None, Field(description="null: the warm-up is over.")]
    sent: Annotated[Amount, Field(description="Messages today.")]
    counted: Annotated[
        bool, Field(description="false: nobody counts what is sent; `sent` is its share of the volume.")
    ]
    volume: Annotated[Count, Field(description="Messages that its pools send a day.")]
    share: Annotated[Share, Field(description="What DNS deals it now of all that its pools send.")]
    ceiling: Annotated[Share | None, Field(description="The most that DNS may deal it; null: it is over.")]
    held: Annotated[str | None, Field(description="What holds it at its day, or keeps it from being dealt.")]
    overshoot: Annotated[
        Count, Field(description="Messages that one cached answer may still bring after its share fell to 0.")
    ]
    ahead: list[WarmupDayJson]
    providers: NotRequired[
        Annotated[dict[str, WarmupProviderJson], Field(description="By provider, where `caps` names any.")]
    ]
    pending: NotRequired[
        Annotated[list[str], Field(description="Of an order: workers that may still answer as before.")]
    ]
    kept: NotRequired[Kept]


class WarmupZoneJson(TypedDict):
    """The hosts of a zone that warm up."""

    hosts: dict[str, WarmupJson]


class WarmupsJson(TypedDict):
    """The zones in which hosts warm up."""

    zones: dict[str, WarmupZoneJson]
