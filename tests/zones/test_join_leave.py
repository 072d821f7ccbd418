"""Hosts that join and leave in any order, and go up and down meanwhile: what is dealt, and what answers."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.compile import compile_zones
from geodns.control.cluster import Cluster, source_of
from geodns.control.zone_changes import retire
from geodns.model.hosts import DnsSource, HostSource
from geodns.model.state import HealthState, Verdict
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.sources import SourcedHost, SourceResult
from geodns.zones.listing import NEVER, Listing, hosts_of
from tests.sample_zones import DOWN, NAME, UP

RETIRE = 3600
TEXT = f"""\
retire: {RETIRE}s
ns: {{ns1: 192.0.2.53}}
hosts_from: {{dns: mta.internal.example}}
pools: {{main: {{hosts: "mta-*", check: smtp, answers: 3}}}}
records: {{"@": {{pool: main, MX: {{pool: main}}}}}}
"""


class Life:
    """A zone whose hosts a source gives, and the cluster that serves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.listing = NEVER
        self.cluster = Cluster({}, {}, {}, {})
        self.serial = 0
        self.gone: dict[str, float] = {}
        self.apply()

    def read(self) -> Zone:
        def find(_: str, source: HostSource) -> SourceResult:
            assert isinstance(source, DnsSource)
            addresses = tuple(address for host in self.listing.hosts for address in host.addresses)
            return SourceResult(
                tuple(SourcedHost(host, source.title) for host in hosts_of(source, addresses))
            )

        parsed = parse_zone(NAME, TEXT.encode(), "zone.yaml", find)
        assert parsed.zone is not None
        return parsed.zone

    def apply(self) -> None:
        """Serve the zone anew as the daemon does."""
        zone, before = self.read(), self.cluster.sources.get(NAME)
        retired = self.cluster.retired
        if before is not None:
            if before.zone.digest == zone.digest:
                return
            retired = retire(before.zone, zone, retired, self.now)
        self.serial += 1
        sources = {NAME: source_of(zone, self.serial, retired)}
        compiled = compile_zones(self.cluster.compiled, sources, self.cluster.live())
        self.cluster.retired = retired
        self.cluster.serve_zones(compiled, self.now)

    def give(self, numbers: frozenset[int]) -> None:
        source = DnsSource(dns="mta.internal.example", label="mta")
        addresses = tuple(ip_address(f"192.0.2.{number}") for number in numbers)
        if not numbers:
            self.listing = self.listing.failed("no address", self.now)
        else:
            before = {host.name for host in self.listing.hosts}
            self.listing = Listing.gave(self.listing, {"": hosts_of(source, addresses)}, self.now)
            after = {host.name for host in self.listing.hosts}
            self.gone |= dict.fromkeys(before - after, self.now)
            self.gone = {name: at for name, at in self.gone.items() if name not in after}
        self.apply()

    def judge(self, number: int, verdict: Verdict) -> None:
        targets = [one for one in self.cluster.targets if str(one.address) == f"192.0.2.{number}"]
        self.cluster.apply_verdicts(dict.fromkeys(targets, verdict), self.now)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.frozensets(st.integers(1, 5), max_size=5)),
        st.tuples(st.just("judge"), st.integers(1, 5), st.sampled_from((UP, DOWN))),
        st.tuples(st.just("pass"), st.integers(1, RETIRE)),
    ),
    max_size=20,
)


@given(STEPS)
def test_whoever_joins_and_leaves(steps: list[tuple[object, ...]]) -> None:
    life = Life()
    for step in steps:
        if step[0] == "pass":
            life.now += float(str(step[1]))
        else:
            getattr(life, str(step[0]))(*step[1:])
        zone = life.cluster.zone(NAME)
        listed = {host.name for host in life.listing.hosts}
        assert {host.name for host in zone.hosts} == listed, "the last list, whatever failed since"
        choice = life.cluster.compiled.choices[NAME, "main"]
        assert set(choice.hosts) <= listed, "who has left is not dealt"
        assert bool(choice.hosts) == bool(listed), "while there is a host, somebody is dealt"
        states = {host: life.cluster.state_of((NAME, host)) for host in listed}
        fit = {host for host, state in states.items() if state is HealthState.UP}
        if fit:
            assert set(choice.hosts) >= fit
            waiting = {host for _, host in life.cluster.newcomers}
            assert not set(choice.hosts) & waiting, "who has joined waits for its first good probe"
            assert not {host for host in choice.hosts if states[host] is HealthState.DOWN}
        answering = {host.name for host in life.cluster.sources[NAME].retired}
        young = {name for name, at in life.gone.items() if at + RETIRE > life.now}
        assert young <= answering, "who has left goes on answering for its own name"
        for key in life.cluster.compiled.keys[NAME, "main"]:
            rotation = life.cluster.compiled.table.rotations[key]
            assert rotation.servfail is not bool(rotation.parts)
            if key.type != "AAAA":
                assert rotation.servfail is not bool(listed)
        types = {key.type for key in life.cluster.compiled.keys[NAME, "main"]}
        assert types == ({"A", "MX"} if listed else {"A", "AAAA", "MX"}), (
            "never 'no address' for want of hosts"
        )
