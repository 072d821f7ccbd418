"""The types of what the HTTP side answers to orders."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Count, ErrorJson, Kept, Share
from geodns.api.schemas_status import HostJson
from geodns.compiler.choice import LastResort

OrderId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["4f1d5a0c9e8b7766554433221100ffee"])]


Revisions = Annotated[
    dict[str, str], Field(description="By zone: a digest of the versions of its orders, after this.")
]


class FamilySharesJson(TypedDict):
    """Each host's part of the answers, by their type."""

    A: dict[str, Share]
    AAAA: dict[str, Share]


class FamilyResortsJson(TypedDict):
    """What a pool deals where nobody in its chain is live, by the type of the answers."""

    A: LastResort | None
    AAAA: LastResort | None


class DealtJson(TypedDict):
    """The hosts that a pool deals, with their shares; `last_resort` is the worse of both families'."""

    shares: FamilySharesJson
    using: list[str]
    last_resort: LastResort | None
    last_resorts: FamilyResortsJson
    live: list[str]


class PoolChangeJson(TypedDict):
    """A pool before an order, and after it."""

    before: DealtJson
    after: DealtJson


Changes = dict[str, dict[str, PoolChangeJson]]
"""By zone and pool."""


class UnconfirmedJson(ErrorJson):
    """Why an order needs a `yes`, and what the pools would deal."""

    confirm: Literal[True]
    why: Annotated[str, Field(description="What would be lost: the part of `error` that is to be confirmed.")]
    pools: Changes
    revision: Annotated[
        dict[str, str], Field(description="Of the orders by which it would be so: a `yes` may name it.")
    ]


class OutcomeJson(TypedDict):
    """The result of an order; see OrderedJson."""

    pools: Changes
    pending: list[str]
    notes: list[str]
    left: list[str]
    kept: Kept
    dry_run: bool
    confirm: str | None
    id: OrderId | None
    revision: Revisions
    shared: bool
    peers: list[str]
    unasked: list[str]


class OrderedJson(OutcomeJson):
    """The result of an order; hosts by zone and name.

    `pending` names the workers that have not taken it yet, `left` the hosts that are not as was ordered,
    `confirm` what would need a `yes`, `cached_s` for how many seconds caches may hold a host's addresses.
    With `shared` the other servers take it from this one: `peers` names those that have not confirmed it
    yet, `unasked` those that could not be asked whether they know of a later order.
    """

    hosts: dict[str, dict[str, HostJson]]
    dealt_by: dict[str, dict[str, list[str]]]
    cached_s: dict[str, dict[str, Count]]


class ImportedJson(OrderedJson):
    """The result of an import; entries that are over, or about hosts not served here, change nothing."""

    imposed: list[str]
    expired: list[str]
    unknown: list[str]


class HostOutcomeJson(TypedDict, total=False):
    """The result of an order for one host; see OrderedJson."""

    pools: Changes
    pending: list[str]
    notes: list[str]
    left: list[str]
    kept: Kept
    dry_run: bool
    confirm: str | None
    id: OrderId | None
    revision: Revisions
    shared: bool
    peers: list[str]
    unasked: list[str]


class OrderedHostJson(HostJson, HostOutcomeJson):
    """A host, and what has become of the order for it; see Ordered."""
