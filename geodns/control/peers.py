"""Compares what the name servers of the same zones serve, impose and believe; time is an argument."""

import hashlib
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from statistics import median_high, median_low
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field

from geodns.config.report import first_names
from geodns.control.cluster import Cluster
from geodns.errors import printable
from geodns.model.base import Frozen
from geodns.model.hosts import HostSource
from geodns.model.shared import ZoneContent
from geodns.model.state import HealthState
from geodns.model.zone import Zone
from geodns.zones.listing import Listing

MAX_ZONES = 20_000
"""Zones of a peer's report."""
MAX_HOSTS = 200_000
"""Hosts of one zone in it."""
MOST_NAMED = 5
"""Hosts or zones that one text names."""

FILES_FOLLOW = 15.0
"""Seconds that servers may differ while files, orders and clocks follow: copying takes its time."""
PROBES_FOLLOW = 30.0
"""Seconds that probes of different servers may find different things."""
MAX_OFFSET = 5.0
"""Seconds that the clocks of two servers may be apart."""


# --- what a server says of itself -----------------------------------------------------------------------


_Short = Annotated[str, Field(max_length=64), AfterValidator(printable)]
_Node = Annotated[str, Field(min_length=1, max_length=63), AfterValidator(printable)]
_Name = Annotated[str, Field(max_length=255), AfterValidator(printable)]
_Title = Annotated[str, Field(max_length=1000), AfterValidator(printable)]


class _Heard(Frozen):
    """Read from another server, which may be of a later version: what is not known is left out."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class HostList(_Heard):
    """The last list of a source of `hosts_from`."""

    hosts: int = Field(ge=0)
    digest: _Short


class PeerReport(_Heard):
    """What a server says of itself to the others.

    Attributes:
        clock: seconds since the epoch.
        started: when its control process was, likewise: two with one name are two servers.
        ready: whether it answers; before that what it serves says nothing.
        orders: a digest of all orders.
        verdicts: by zone, a digest of the hosts that are down.
        hosts_from: by zone and source.

    """

    node: _Node
    version: _Short
    clock: float
    started: float
    ready: bool
    zones: Annotated[dict[_Name, ZoneContent], Field(max_length=MAX_ZONES)]
    orders: _Short
    verdicts: Annotated[dict[_Name, _Short], Field(max_length=MAX_ZONES, default_factory=dict)]
    hosts_from: Annotated[
        dict[_Name, dict[_Title, HostList]], Field(max_length=MAX_ZONES, default_factory=dict)
    ]


class PeerStates(_Heard):
    """The states of the hosts of some zones, by zone and host."""

    states: dict[_Name, Annotated[dict[_Name, _Short], Field(max_length=MAX_HOSTS)]]


def report_of(
    node: str,
    version: str,
    clock: float,
    started: float,
    cluster: Cluster,
    sources: Iterable[tuple[Zone, HostSource, Listing]],
    orders: str,
    *,
    ready: bool,
) -> PeerReport:
    """Return what this server says of itself; arguments are as the attributes of the report."""
    down: dict[str, list[str]] = {name: [] for name in cluster.sources}
    for (zone, host), known in cluster.since.items():
        if known.state is HealthState.DOWN and zone in down:
            down[zone].append(host)
    lists: dict[str, dict[str, HostList]] = {}
    for served, source, listing in sources:
        lines = sorted(f"{host.name} {' '.join(map(str, host.addresses))}" for host in listing.hosts)
        lists.setdefault(served.name, {})[source.title] = HostList(hosts=len(lines), digest=_digest(lines))
    return PeerReport(
        node=node,
        version=version,
        clock=clock,
        started=started,
        ready=ready,
        zones={
            name: ZoneContent(digest=source.zone.digest, serial=source.serial)
            for name, source in cluster.sources.items()
        },
        orders=orders,
        verdicts={zone: _digest(sorted(hosts)) for zone, hosts in down.items()},
        hosts_from=lists,
    )


def _digest(lines: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def states_of(cluster: Cluster, zones: Collection[str]) -> dict[str, dict[str, HealthState]]:
    """Return the states of the hosts of some zones by their probes alone, by zone and host."""
    found: dict[str, dict[str, HealthState]] = {zone: {} for zone in zones if zone in cluster.sources}
    for (zone, host), known in cluster.since.items():
        if zone in found:
            found[zone][host] = known.state
    return found


def differing_verdicts(own: PeerReport, other: PeerReport) -> list[str]:
    """Return the zones whose hosts' states are to be compared."""
    return [zone for zone, digest in own.verdicts.items() if other.verdicts.get(zone, digest) != digest]


# --- where two differ -----------------------------------------------------------------------------------


class Topic(StrEnum):
    """What two servers can differ in."""

    CONTENT = "content"
    HOSTS_FROM = "hosts_from"
    ORDERS = "orders"
    VERDICTS = "verdicts"
    CLOCK = "clock"


class PeerDifference(NamedTuple):
    """Something in which this server and a peer differ.

    Attributes:
        text: in which, and how; without since when.
        host: that one alone is meant.
        how: in which way zones or hosts do, as it reads of several.

    """

    topic: Topic
    zone: str | None
    text: str
    host: str | None = None
    how: str = ""

    @property
    def key(self) -> tuple[Topic, str | None, str | None]:
        return self.topic, self.zone, self.host


def differences(
    own: PeerReport,
    other: PeerReport,
    offset: float,
    own_states: Mapping[str, Mapping[str, str]],
    states: Mapping[str, Mapping[str, str]],
) -> Iterator[PeerDifference]:
    """Find where two servers differ.

    Args:
        own: what this server says.
        other: what the peer says.
        offset: seconds that the peer's clock is ahead.
        own_states: of the hosts of the zones that `differing_verdicts` names.
        states: the peer's likewise.

    """
    if abs(offset) > MAX_OFFSET:
        way = "ahead of" if offset > 0 else "behind"
        yield PeerDifference(
            Topic.CLOCK,
            None,
            f"the clock of {other.node} is {abs(offset):,.0f} s {way} that of {own.node}: let NTP set both",
        )
    if not (own.ready and other.ready):
        return
    if own.orders != other.orders:
        text = f"{own.node} and {other.node} hold different orders: `geodns status` of each shows its own"
        yield PeerDifference(Topic.ORDERS, None, text)
    yield from _contents(own, other)
    for zone in own_states:
        yield from _verdicts(own.node, other.node, zone, own_states[zone], states.get(zone, {}))


def _contents(own: PeerReport, other: PeerReport) -> Iterator[PeerDifference]:
    both = f"{own.node} and {other.node}"
    for zone in sorted(own.zones.keys() | other.zones.keys()):
        here, there = own.zones.get(zone), other.zones.get(zone)
        if here is None or there is None:
            has, lacks = (own, other) if there is None else (other, own)
            how = f"served by {has.node} and not by {lacks.node}"
            yield PeerDifference(Topic.CONTENT, zone, f"zone {zone} is {how}", how=f"are {how}")
            continue
        # What a digest is made of changes with the version.
        if here.digest == there.digest or own.version != other.version:
            continue
        lists = list(_lists(own, other, zone))
        if lists:
            text = f"zone {zone}: `hosts_from` gives {both} different hosts: {'; '.join(lists)}"
            how = f"get different hosts by `hosts_from` at {both}"
            yield PeerDifference(Topic.HOSTS_FROM, zone, text, how=how)
        else:
            contents = f"{own.node} (content {here.digest[:8]}) and {other.node} (content {there.digest[:8]})"
            text = f"zone {zone} differs at {contents}: bring their files in step"
            yield PeerDifference(Topic.CONTENT, zone, text, how=f"differ at {both}")


def _lists(own: PeerReport, other: PeerReport, zone: str) -> Iterator[str]:
    here, there = own.hosts_from.get(zone, {}), other.hosts_from.get(zone, {})
    for title in sorted(here.keys() & there.keys()):
        if here[title].digest != there[title].digest:
            yield (
                f"{title} has {here[title].hosts:,} at {own.node} and {there[title].hosts:,} at {other.node}"
            )


def _verdicts(
    own: str, other: str, zone: str, here: Mapping[str, str], there: Mapping[str, str]
) -> Iterator[PeerDifference]:
    up, down = str(HealthState.UP), str(HealthState.DOWN)
    # Of ten thousand hosts nearly all are alike: those are passed over first.
    unlike = {host: (mine, there[host]) for host, mine in here.items() if there.get(host, mine) != mine}
    for host, pair in sorted(unlike.items()):
        if pair in {(up, down), (down, up)}:
            first, second = (own, other) if pair[0] == up else (other, own)
            how = f"up at {first} and down at {second}"
            text = f"host {host}.{zone} is {how}"
            yield PeerDifference(Topic.VERDICTS, zone, text, host, f"are {how}")


class ConditionAges:
    """Since when conditions stand; the clock is the caller's."""

    def __init__(self) -> None:
        self.since: dict[Hashable, float] = {}

    def look(self, keys: Iterable[Hashable], now: float) -> None:
        """Take the conditions that there are now; others have ended."""
        self.since = {key: self.since.get(key, now) for key in keys}

    def lasted(self, key: Hashable, now: float, seconds: float) -> bool:
        """Tell whether a condition has stood for so long."""
        return key in self.since and now - self.since[key] >= seconds


def allowed(topic: Topic) -> float:
    """Return for how many seconds servers may differ."""
    return PROBES_FOLLOW if topic is Topic.VERDICTS else FILES_FOLLOW


class StandingDifference(NamedTuple):
    """Something in which two servers have differed for longer than they may.

    Attributes:
        zone: that it is about; None: all of them, or several.
        which: tells two of one topic apart.
        since: seconds of the clock of `ConditionAges`.
        number: of the zones, or hosts, that it is about.

    """

    topic: Topic
    zone: str | None
    which: str
    text: str
    since: float
    number: int


def standing(
    found: Iterable[PeerDifference], since: Callable[[PeerDifference], float], now: float
) -> list[StandingDifference]:
    """Return the differences that have lasted too long; those in many zones, or hosts of a zone, as one."""
    groups: dict[tuple[Topic, str | None, str], list[tuple[PeerDifference, float]]] = {}
    for one in found:
        if now - (begun := since(one)) >= allowed(one.topic):
            group = (one.topic, None if one.host is None else one.zone, one.how)
            groups.setdefault(group, []).append((one, begun))
    return [_as_one(zone, how, members) for (_, zone, how), members in groups.items()]


def _as_one(
    zone: str | None, how: str, members: Sequence[tuple[PeerDifference, float]]
) -> StandingDifference:
    first, begun = members[0][0], min(begun for _, begun in members)
    which = how if zone is None else f"{zone} {how}"
    if len(members) == 1:
        return StandingDifference(first.topic, first.zone, which, first.text, begun, 1)
    what = "zones" if zone is None else f"hosts of {zone}"
    names = first_names([str(one.zone if zone is None else one.host) for one, _ in members], MOST_NAMED)
    text = f"{len(members):,} {what} {how}: {names}"
    return StandingDifference(first.topic, zone, which, text, begun, len(members))


def clock_offset(peers: Iterable[float]) -> float:
    """Return how far the own clock is ahead of what most servers say; 0 where no majority says otherwise.

    Args:
        peers: seconds that each peer's clock is ahead of the own.

    """
    known = [0.0, *peers]
    low, high = median_low(known), median_high(known)
    return 0.0 if low <= 0.0 <= high else -low
