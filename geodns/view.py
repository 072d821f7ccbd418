"""What the HTTP side may ask of the running server: every reading of it in one place, and no change."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from geodns import __version__
from geodns.cluster import Cluster
from geodns.compiler import PoolKey
from geodns.discovery import Discovery
from geodns.errors import printable
from geodns.explain import Asking, explain
from geodns.folder import Folder
from geodns.gauges import Gauges, HostGauge, LoadGauge, PoolGauge, SourceGauge
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, Kind
from geodns.health.tls import certificate_json, name_for, warning_of
from geodns.keeper import Keeper
from geodns.live import HostKey, LiveSet
from geodns.liveness import Vitals, concerns
from geodns.model import HostSource, Target, Zone
from geodns.serve.link import Link
from geodns.settingskeys import Listen
from geodns.shown import Json
from geodns.status import Seen, effective_weight, host_of, hosts_of, pools_of, shares, timestamp
from geodns.zonefile.hostsfrom import zone_over

BACKEND = "python"
"""What deals the answers."""


class View:
    """The running server as it shows itself.

    Args:
        node: the server's name.
        listen: where DNS is answered.
        warnings: returns what else an operator should know.
        cluster: the zones and hosts.
        folder: the zone files.
        keeper: what is written down.
        monitor: the probes.
        link: the workers.
        vitals: returns what the watch over ourselves has seen.
        discovery: the hosts that come and go.
        waiting: returns why edits of zones wait, by zone.
        last_event: returns the id of what was told last.

    Attributes:
        ready: whether the first answers have been compiled and delivered.

    """

    def __init__(
        self,
        node: str,
        listen: Sequence[Listen],
        warnings: Callable[[], Sequence[str]],
        cluster: Cluster,
        folder: Folder,
        keeper: Keeper,
        monitor: Monitor,
        link: Link,
        vitals: Callable[[], Vitals],
        discovery: Discovery,
        *,
        waiting: Callable[[], Mapping[str, Sequence[str]]] = dict,
        last_event: Callable[[], int] = int,
    ) -> None:
        self.ready = False
        self._node = node
        self._listen = listen
        self._warnings = warnings
        self._cluster = cluster
        self._folder = folder
        self._keeper = keeper
        self._monitor = monitor
        self._link = link
        self._vitals = vitals
        self._discovery = discovery
        self._waiting = waiting
        self._last_event = last_event
        self._started = time.monotonic()

    def zones(self) -> dict[str, Zone]:
        """Return the zones served, by name."""
        return {name: source.zone for name, source in self._cluster.sources.items()}

    def mark(self) -> object:
        """Return what is another one once other answers are dealt, or something was told."""
        return self._cluster.compiled, self._last_event(), self.ready

    def unready(self) -> str | None:
        """Return why the server cannot answer; None when it can."""
        if not self.ready:
            return "starting: the first probes are not done"
        if not self._cluster.sources:
            return "no zone is served"
        if not any(worker.pid for worker in self._link.workers.values()):
            return "no worker is alive"
        return None

    def host(self, host: HostKey) -> Json:
        """Return a host's status."""
        return host_of(self._cluster, host, self.seen)

    def explain(self, name: str, rtype: str, asking: Asking) -> Json:
        """Return the pools and hosts behind a name, and why they are."""
        return explain(self._cluster, name, rtype, asking, self.seen)

    def status(self) -> Json:
        """Return everything that ``/status`` shows."""
        refused = dict(self._folder.refused)  # a copy: a thread may be reading files
        waiting = self._waiting()
        zones = {
            name: {
                "serial": source.serial,
                "file": printable(str(self._folder.files.get(name, ""))),
                "error": str(refused[name][0]) if name in refused else None,
            }
            | ({"waiting": list(waiting[name])} if name in waiting else {})
            | self._found_by(source.zone)
            for name, source in self._cluster.sources.items()
        }
        unserved = {
            name: {"serial": None, "file": printable(problems[0].file), "error": str(problems[0])}
            for name, problems in refused.items()
            if name not in zones
        }
        return {
            "node": self._node,
            "version": __version__,
            "backend": BACKEND,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "ready": self.unready() is None,
            "listen": [str(address) for address in self._listen],
            "warnings": self._all_warnings(),
            "zones": zones | unserved,
            "hosts": hosts_of(self._cluster, self.seen),
            "pools": pools_of(self._cluster, self._held_until()),
        }

    def _found_by(self, zone: Zone) -> Json:
        """Return what is told of a zone whose hosts come and go."""
        return {"sources": [self._source(zone, one) for one in zone.sources]} if zone.sources else {}

    def _source(self, zone: Zone, source: HostSource) -> Json:
        one = self._discovery.listing(zone.name, source)
        return {
            "source": source.title,
            "hosts": len(one.hosts),
            "at": None if one.at is None else timestamp(one.at),
            "error": one.error,
            "since": None if one.since is None else timestamp(one.since),
        }

    def _sources(self) -> Iterator[tuple[Zone, HostSource]]:
        for served in self._cluster.sources.values():
            for source in served.zone.sources:
                yield served.zone, source

    def _failing_sources(self) -> list[str]:
        """Name the sources of hosts that give none now, or that ask ourselves."""
        found = []
        for zone, source in self._sources():
            one = self._discovery.listing(zone.name, source)
            if one.since is not None:
                found.append(f"zone {zone.name}: {one.told(source.title)}, since {timestamp(one.since)}")
            over = zone_over(source, self._cluster.sources)
            if over is not None:
                found.append(
                    f"zone {zone.name}: {source.title} lies in zone {over}, which is served here: geodns may "
                    "ask itself: name a `resolver` that does not come back to it"
                )
        return found

    def _all_warnings(self) -> list[str]:
        disk = [self._keeper.trouble] if self._keeper.trouble else []
        return [
            *self._warnings(),
            *disk,
            *self._folder.warnings(self._cluster.sources),
            *self._failing_sources(),
            *concerns(self._vitals()).values(),
            *self._blind(),
            *self._suspicions(),
            *self._old_certificates(),
            *self._without_live_hosts(),
        ]

    def _without_live_hosts(self) -> list[str]:
        """Name the pools whose answers are a last resort: whoever is on call must hear of that first."""
        return [
            f"pool {pool} of {zone}: nobody is live, last resort: {choice.last_resort}"
            for (zone, pool), choice in self._cluster.compiled.choices.items()
            if choice.last_resort is not None
        ]

    def _blind(self) -> list[str]:
        """Say so when probes fail by trouble of our own: the states shown are old then."""
        last = [self._monitor.last(target) for target in self._cluster.targets]
        details = {one[0].detail for one in last if one is not None and one[0].kind is Kind.UNKNOWN}
        return [
            f"the prober has trouble of its own, host states may be old: {one}" for one in sorted(details)
        ]

    def _held_until(self) -> dict[PoolKey, float | None]:
        now = time.time()
        return {
            key: None if one.held_for is None else now + one.held_for
            for key, one in self._monitor.suspects.items()
        }

    def _suspicions(self) -> list[str]:
        """Name the pools that failed as one, and the hosts that refuse the prober alone."""
        found = [] if self._monitor.hint is None else [self._monitor.hint]
        for (zone, pool), one in self._monitor.suspects.items():
            until = (
                "they count as failures by now"
                if one.held_for is None
                else f"their verdicts are held for {one.held_for:.0f} s more"
            )
            found.append(
                f"pool {pool} of {zone}: {one.failing} of {one.hosts} hosts began to fail at once, "
                f"the prober itself may be cut off (prober_suspect): {until}"
            )
        return found

    def certificates(self) -> Iterator[tuple[Target, Certificate]]:
        """Return what hosts showed of themselves last."""
        for target in self._cluster.targets:
            shown = self._monitor.certificate(target) if target.check.encrypts else None
            if shown is not None:
                yield target, shown

    def _old_certificates(self) -> list[str]:
        now = time.time()
        told = (warning_of(target, certificate, now) for target, certificate in self.certificates())
        return sorted({one for one in told if one is not None})

    def seen(self, target: Target) -> Seen | None:
        """Return a target's last result."""
        last = self._monitor.last(target)
        if last is None:
            return None
        outcome, when = last
        shown = self._monitor.certificate(target)
        certificate = None if shown is None else certificate_json(shown, time.time())
        return Seen(str(outcome.kind), outcome.detail, outcome.rtt, when, outcome.ehlo_rtt, certificate)

    def gauges(self) -> Gauges:
        """Return what the metrics measure at a scrape."""
        live = self._cluster.live()
        hosts = {}
        for name, source in self._cluster.sources.items():
            for host in source.zone.hosts:
                forced = self._cluster.forced.get((name, host.name))
                hosts[name, host.name] = HostGauge(
                    live.host_state(source.zone, host),
                    None if forced is None else str(forced.forced),
                    float(effective_weight(live, source.zone, host)),
                )
        refused = {name: name in self._folder.refused for name in list(self._folder.files)}
        serials = {name: source.serial for name, source in self._cluster.sources.items()}
        restarts = {name: worker.restarts for name, worker in self._link.workers.items()}
        suspects = self._monitor.suspects
        suspect = {key: key in suspects for key in self._cluster.compiled.choices}
        ends = {
            (target.check.name, name_for(target), str(target.address), str(target.port)): one.not_after
            for target, one in self.certificates()
            if one.not_after
        }
        loads = {
            host: LoadGauge(
                None if one.value is None or one.stale else one.value / one.load.full,
                one.stale,
            )
            for host, one in self._cluster.loads.known.items()
        }
        return Gauges(
            hosts,
            serials,
            refused,
            self.unready() is None,
            restarts,
            suspect,
            ends,
            self._vitals(),
            self._keeper.trouble is None,
            self._pools(live),
            self._source_gauges(),
            loads,
        )

    def _pools(self, live: LiveSet) -> dict[PoolKey, PoolGauge]:
        return {
            (zone, name): PoolGauge(
                _dealable(live, self._cluster.zone(zone), name),
                len(choice.live),
                helped=choice.using != (name,) and choice.last_resort is None,
                last_resort=choice.last_resort is not None,
                shares={host: float(part) for host, part in shares(choice.dealt).items()},
            )
            for (zone, name), choice in self._cluster.compiled.choices.items()
        }

    def _source_gauges(self) -> dict[tuple[str, str], SourceGauge]:
        listings = {
            (zone.name, source.title): self._discovery.listing(zone.name, source)
            for zone, source in self._sources()
        }
        return {
            key: SourceGauge(one.at is not None and one.error is None, len(one.hosts), one.at)
            for key, one in listings.items()
        }


def _dealable(live: LiveSet, zone: Zone, pool: str) -> int:
    """Return how many hosts of a pool would be dealt if all were well."""
    members = zone.pool_by_name[pool].members
    return sum(live.weight(zone, member.host, member.weight) > 0 for member in members)
