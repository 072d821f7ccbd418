"""The types of what the HTTP side answers of reputation."""

from typing import Literal

from typing_extensions import TypedDict

from geodns.api.schemas import Amount, Count, Moment, Share


class ListedJson(TypedDict):
    """A block list that has an address."""

    list: str
    code: str
    text: str
    since: Moment


class EgressJson(TypedDict):
    """What is known of an address that mail leaves from."""

    listed: list[ListedJson]


class TallyJson(TypedDict):
    """Counts of message-recipients by when the mail came in.

    `first`: first attempts, what rates are of; `undated`: events of mail of which it is not known when it
    came in.
    """

    first: Count
    delivered: Count
    deferred: Count
    retried: Count
    bounced: Count
    expired: Count
    complaint: Count
    inbox: Count
    spam: Count
    opened: Count
    clicked: Count
    refused: dict[str, Count]
    undated: Count


class ProviderTallyJson(TallyJson):
    """The same for one provider, and how long delivery took; null: nothing was delivered."""

    delay_p50_s: Amount | None
    delay_p95_s: Amount | None


class HoursJson(TypedDict):
    """The last 24 hours of the clock, each by its first attempts and those of them that were refused."""

    since: Moment
    first: list[Count]
    refused: list[Count]


class ActionJson(TypedDict):
    """What stands against a host.

    `took` is the part of the weight that it takes now; `until` null: for as long as it is seen; `ended`:
    since when it is given back.
    """

    rule: str
    provider: str | None
    action: str
    since: Moment
    until: Moment | None
    ended: Moment | None
    in_force: bool
    took: Share
    why: str


class ReputationHostJson(TypedDict):
    """A host; `factor` is what reputation leaves of its weight."""

    factor: Share
    barred: dict[str, Moment]
    egress: dict[str, EgressJson]
    totals: dict[str, TallyJson]
    providers: dict[str, dict[str, ProviderTallyJson]]
    hours: HoursJson
    actions: list[ActionJson]


class IgnoredJson(TypedDict):
    """A rule or list (null: all) that somebody overrules for a host."""

    host: str
    rule: str | None
    until: Moment
    author: str
    reason: str


class ReputationZoneJson(TypedDict):
    """A zone whose file has `reputation`.

    `mode_until`: the mode is an order's until then; `lists`: the block lists that it asks.
    """

    mode: Literal["observe", "act"]
    mode_until: Moment | None
    lists: list[str]
    common: dict[str, list[str]]
    ignored: list[IgnoredJson]
    hosts: dict[str, ReputationHostJson]


class ListJson(TypedDict):
    """Whether a block list is believed; `at` null: it was not asked yet."""

    ok: bool
    why: str
    at: Moment | None


class UnknownReplyJson(TypedDict):
    """A shape of replies that no rule knows: digits and addresses are blanked."""

    text: str
    count: Count


class ReputationJson(TypedDict):
    """What is known of the reputation of hosts; `unknown_replies`: the ten commonest since the start."""

    zones: dict[str, ReputationZoneJson]
    lists: dict[str, ListJson]
    unknown_replies: list[UnknownReplyJson]
