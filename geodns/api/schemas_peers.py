"""The types of what name servers of the same zones tell one another."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Count, PeerZoneJson
from geodns.model.state import HealthState

Seconds = Annotated[float, Field(description="Since the epoch.")]


class HostListJson(TypedDict):
    """The last list of a source of `hosts_from`."""

    hosts: Count
    digest: str


class PeerJson(TypedDict):
    """What a server says of itself to the others."""

    node: str
    version: str
    clock: Seconds
    started: Annotated[float, Field(description="Of the control process: two with one name are two servers.")]
    ready: bool
    zones: dict[str, PeerZoneJson]
    orders: Annotated[str, Field(description="A digest of all orders.")]
    verdicts: Annotated[dict[str, str], Field(description="By zone, a digest of the hosts that are down.")]
    hosts_from: Annotated[dict[str, dict[str, HostListJson]], Field(description="By zone and source.")]


class PeerStatesJson(TypedDict):
    """The states of hosts by their probes, by zone and host; zones that are not served are left out."""

    states: dict[str, dict[str, HealthState]]


class SharedVersionJson(TypedDict):
    """Orders the versions of an override: the higher pair wins."""

    counter: Count
    id: Annotated[str, Field(description="32 hex digits.")]


class SharedOrderJson(TypedDict):
    """The last order for an override of a host; content null: it has ended."""

    zone: str
    host: str
    kind: Annotated[str, Field(description="state or weight; later versions may have others.")]
    version: SharedVersionJson
    node: Annotated[str, Field(description="The server that took it.")]
    at: Seconds
    content: dict[str, Any] | None
    more: dict[str, Any]


class PeerOrdersJson(TypedDict):
    """Every order that a server holds, the ends of overrides included."""

    node: str
    orders: list[SharedOrderJson]
