"""A report's figures of reputation, from the API's JSON: mail, listings, what stands and what happened."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from geodns.cli.client import Json

SPANS = ("1d", "7d")
EVENTS = ("delivered", "deferred", "bounced", "complaint")
MOST = 200
"""Events that a report shows; the command `events` has all."""


@dataclass(frozen=True, slots=True)
class MailFigures:
    """What became of a host's mail in a span; parts are of the first attempts, None where there were none.

    Attributes:
        provider: empty: all of them.
        delays: seconds within which half of the mail was delivered, and 95 % of it; None: not known.

    """

    host: str
    provider: str
    span: str
    first: int
    delivered: float | None
    deferred: float | None
    bounced: float | None
    complaints: float | None
    delays: tuple[float | None, float | None] = (None, None)


class ListedAddress(NamedTuple):
    """A block list that has an address."""

    host: str
    address: str
    list: str
    code: str
    text: str
    since: str


class StandingRow(NamedTuple):
    """What stands against a host; `until` empty: while it is seen."""

    host: str
    rule: str
    does: str
    took: float | None
    since: str
    until: str
    why: str


@dataclass(frozen=True, slots=True)
class ZoneReputation:
    """A zone whose hosts are judged.

    Attributes:
        common: sentences about causes that hit many hosts.
        happened: events, the latest first: when, and the text.
        more: events that are left out.

    """

    name: str
    mode: str
    common: tuple[str, ...]
    mail: tuple[MailFigures, ...]
    listed: tuple[ListedAddress, ...]
    standing: tuple[StandingRow, ...]
    happened: tuple[tuple[str, str], ...]
    more: int


def reputations_of(reputation: Json, events: Iterable[Json]) -> list[ZoneReputation]:
    """Gather what ``/api/v1/reputation`` says of each zone, and what happened there."""
    told: dict[str, list[tuple[str, str]]] = {}
    for event in events:
        ours = event.get("kind") == "forced" and event.get("author") == "reputation"
        if event["zone"] is not None and (ours or event.get("kind") == "reputation"):
            told.setdefault(event["zone"], []).append((event["at"], event["text"]))
    return [
        _zone(name, zone, sorted(told.get(name, ()), reverse=True))
        for name, zone in reputation.get("zones", {}).items()
    ]


def _zone(name: str, zone: Json, happened: list[tuple[str, str]]) -> ZoneReputation:
    return ZoneReputation(
        name,
        zone["mode"],
        tuple(f"{cause} hits {', '.join(hosts)} at once" for cause, hosts in zone["common"].items()),
        tuple(one for host, about in zone["hosts"].items() for one in _mail(host, about)),
        tuple(
            ListedAddress(host, address, one["list"], one["code"], one["text"], one["since"])
            for host, about in zone["hosts"].items()
            for address, known in about["egress"].items()
            for one in known["listed"]
        ),
        tuple(_standing(host, one) for host, about in zone["hosts"].items() for one in about["actions"]),
        tuple(happened[:MOST]),
        max(0, len(happened) - MOST),
    )


def _mail(host: str, about: Json) -> Iterator[MailFigures]:
    for span in SPANS:
        yield _figures(host, "", span, about["totals"][span])
        spans = {name: known[span] for name, known in about["providers"].items() if span in known}
        for provider, one in sorted(spans.items(), key=lambda entry: (-entry[1]["first"], entry[0])):
            yield _figures(host, provider, span, one)


def _figures(host: str, provider: str, span: str, one: Json) -> MailFigures:
    first = one["first"]
    part = {event: one[event] / first if first else None for event in EVENTS}
    return MailFigures(
        host,
        provider,
        span,
        first,
        part["delivered"],
        part["deferred"],
        part["bounced"],
        part["complaint"],
        (one.get("delay_p50_s"), one.get("delay_p95_s")),
    )


def _standing(host: str, one: Json) -> StandingRow:
    rule = (
        one["rule"]
        if one["provider"] in {None, *one["rule"].split()}
        else f"{one['rule']} ({one['provider']})"
    )
    does = one["action"] if one["in_force"] or one["action"] == "alert" else f"would {one['action']}"
    until = one["until"] or ""
    if one["ended"]:
        until = f"given back since {one['ended']}"
    return StandingRow(
        host, rule, does, one["took"] if one["in_force"] else None, one["since"], until, one["why"]
    )
