"""The types of what name servers of the same zones tell one another."""

from typing import Annotated

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
