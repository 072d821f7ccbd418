"""The metrics as Prometheus reads them."""

import random
import re
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dns.message
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from geodns import __version__
from geodns.control.gauges import Gauges
from geodns.control.geoip_alerts import GeoipFileState
from geodns.control.known_peers import KnownPeer
from geodns.control.metrics import Metrics
from geodns.control.shared_view import SharedView
from geodns.health.outcome import Certificate, Encryption, ProbeOutcome, ProbeResult
from geodns.model import reputation
from geodns.model.address_ranges import ranges_of
from geodns.model.mail import About, MailEvent, MailKind
from geodns.model.state import Forced, ForcedState, HealthState, Verdict
from geodns.responder.rate_limit import Action, Limited
from geodns.responder.table import Rotation
from geodns.responder.worker_state import OTHER_TYPE, Counts
from geodns.serve.frames import RouteCounts, RouteKey
from geodns.signals.listings import BlockListing, Listings, ListState
from geodns.signals.reputation import Cause, Standing, StandingKey, Standings
from geodns.storage.signal_file import Five
from geodns.zones.geoip_frames import GeoipBuild, GeoipReport
from tests.sample_zones import NAME, SERIAL, TCP, Worker, zone
from tests.servicing import NOW, Rig

NAMES = {
    "geodns_answers_total": "counter",
    "geodns_build_info": "gauge",
    "geodns_certificate_not_after_timestamp_seconds": "gauge",
    "geodns_geoip_file_build_timestamp_seconds": "gauge",
    "geodns_geoip_file_refused": "gauge",
    "geodns_geoip_ranges": "gauge",
    "geodns_experiment_answers_total": "counter",
    "geodns_experiment_effective_networks": "gauge",
    "geodns_experiment_enough": "gauge",
    "geodns_experiment_failovers_total": "counter",
    "geodns_experiment_queries_total": "counter",
    "geodns_experiment_rate_ratio": "gauge",
    "geodns_host_effective_weight": "gauge",
    "geodns_host_forced": "gauge",
    "geodns_host_load_ratio": "gauge",
    "geodns_host_load_stale": "gauge",
    "geodns_host_source_hosts": "gauge",
    "geodns_host_source_last_success_timestamp_seconds": "gauge",
    "geodns_host_source_up": "gauge",
    "geodns_address_live": "gauge",
    "geodns_host_reputation_ratio": "gauge",
    "geodns_host_barred": "gauge",
    "geodns_host_listed": "gauge",
    "geodns_dnsbl_believed": "gauge",
    "geodns_reputation_common_causes": "gauge",
    "geodns_host_state": "gauge",
    "geodns_host_transitions_total": "counter",
    "geodns_load_readings_total": "counter",
    "geodns_probe_duration_seconds": "histogram",
    "geodns_probe_lateness_seconds": "gauge",
    "geodns_probes_total": "counter",
    "geodns_loop_lag_seconds": "gauge",
    "geodns_mail_signal_batches_total": "counter",
    "geodns_mail_signals_last_heard_timestamp_seconds": "gauge",
    "geodns_mail_signals_rejected_total": "counter",
    "geodns_mail_signals_store_bytes": "gauge",
    "geodns_mail_signals_total": "counter",
    "geodns_mail_signals_written": "gauge",
    "geodns_provider_domains": "gauge",
    "geodns_provider_lookups_total": "counter",
    "geodns_provider_lookups_waiting": "gauge",
    "geodns_picks_total": "counter",
    "geodns_peer_clock_offset_seconds": "gauge",
    "geodns_peer_differences": "gauge",
    "geodns_peer_lag_seconds": "gauge",
    "geodns_peer_seen_timestamp_seconds": "gauge",
    "geodns_peer_up": "gauge",
    "geodns_pool_fallback": "gauge",
    "geodns_pool_hosts": "gauge",
    "geodns_pool_intended_share_ratio": "gauge",
    "geodns_pool_last_resort": "gauge",
    "geodns_pool_live_hosts": "gauge",
    "geodns_prober_suspect": "gauge",
    "geodns_queries_total": "counter",
    "geodns_query_log_total": "counter",
    "geodns_rate_limited_total": "counter",
    "geodns_ready": "gauge",
    "geodns_recompile_seconds": "histogram",
    "geodns_route_answers_total": "counter",
    "geodns_route_looked_up_total": "counter",
    "geodns_route_seconds": "histogram",
    "geodns_shared_bad_values_total": "counter",
    "geodns_shared_connected": "gauge",
    "geodns_shared_disagreements": "gauge",
    "geodns_shared_heard": "gauge",
    "geodns_shared_known": "gauge",
    "geodns_shared_lag_seconds": "gauge",
    "geodns_shared_mode": "gauge",
    "geodns_shared_ties": "gauge",
    "geodns_shared_votes": "gauge",
    "geodns_state_free_bytes": "gauge",
    "geodns_state_written": "gauge",
    "geodns_view_ranges": "gauge",
    "geodns_views_compiled_timestamp_seconds": "gauge",
    "geodns_warmup_cap_messages": "gauge",
    "geodns_warmup_ceiling_ratio": "gauge",
    "geodns_warmup_day": "gauge",
    "geodns_warmup_held": "gauge",
    "geodns_warmup_overshoot_messages": "gauge",
    "geodns_warmup_sent_messages": "gauge",
    "geodns_warmup_share_ratio": "gauge",
    "geodns_warmup_signals_silent": "gauge",
    "geodns_worker_restarts_total": "counter",
    "geodns_worker_silence_seconds": "gauge",
    "geodns_zone_file_refused": "gauge",
    "geodns_upgrades_total": "counter",
    "geodns_zone_load_errors_total": "counter",
    "geodns_zone_serial": "gauge",
}


TEXT = """
ns: {ns1: 192.0.2.53}
checks: {tls: {starttls: offered}}
hosts:
  mta1: {address: 192.0.2.11, load: {full: 2000}}
  mta2: 192.0.2.12
  mta3: 192.0.2.13
  new: {address: 192.0.2.14, warmup: {plan: sendgrid, start: 2020-01-01}}
hosts_from: [{file: "hosts.d/*.yaml"}]
pools:
  main: {hosts: [mta1, mta2], check: tls, min_live: 2, fallback: side}
  side: {hosts: [mta3], check: tls}
  cold: {hosts: [mta3, new], check: none, volume: 10000}
records: {"@": {A: {pool: main}, MX: {pool: main, preference: 10}}}
reputation: {mode: act, dnsbl: [bl.test]}
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path, TEXT)
    yield found
    found.close()


def metrics() -> Metrics:
    return Metrics()


def families(of: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(of.expose().decode())}


def value(of: Metrics, name: str, **labels: str) -> float | None:
    return of.registry.get_sample_value(name, labels)


NO_ROTATIONS: Mapping[bytes, Rotation] = {}


@pytest.fixture
def used(rig: Rig) -> Metrics:
    return all_used(rig)


def _judge(rig: Rig) -> None:
    """Let a block list have mta1, and bar mta3 for a provider."""
    service = rig.services.reputation
    listing = BlockListing(frozenset({IPv4Address("127.0.0.2")}), counts=True)
    service.listings[NAME] = Listings(
        {("bl.test", IPv4Address("192.0.2.11")): listing}, {"bl.test": ListState(ok=True)}
    )
    action = reputation.ReputationAction(kind="bar", seconds=7200)
    bar = Standing(action, "refused", 40, 0.25, NOW, NOW + 7200)
    service.standings[NAME] = Standings({StandingKey("mta3", Cause("yahoo ip", "yahoo")): bar})


def _share(rig: Rig) -> None:
    """Let the server be one of a group."""
    view = SharedView(
        connected=True,
        since=NOW,
        why="",
        group="out",
        agree="quorum",
        store="Redis 7.0.15",
        heard=("ns1", "ns2"),
        known=2,
        mode="quorum",
        alone=(),
        alone_count=0,
        tied=0,
        votes={"ns2": 3},
        lags={"ns2": 1.0},
        bad={"not signed": 1},
        signals={},
        programs="ns1",
    )
    shared = cast(Any, SimpleNamespace(view=lambda: view))
    for one in rig.services.metrics.registry._collector_to_names:
        if isinstance(one, Gauges):
            one._services = one._services._replace(shared=shared)


def all_used(rig: Rig) -> Metrics:
    """Return metrics to which everything has happened."""
    rig.serve()
    rig.seen["192.0.2.11"] = ProbeOutcome(
        ProbeResult.OK, "220", 0.1, tls=Encryption("TLSv1.3", "AES", Certificate("mta1", "ca", 0.0, 1.8e9))
    )
    rig.services.cluster.force((NAME, "mta2"), ForcedState(Forced.DRAINED, "", "ann", NOW))
    rig.services.cluster.loads.took((NAME, "mta1"), 2500.0, time.monotonic(), NOW)
    rig.services.watchdog._free = 1 << 30
    rig.services.warmup.look()
    _judge(rig)
    asn = GeoipFileState(Path("asn.mmdb"), GeoipBuild("GeoLite2-ASN", int(NOW)), NOW, "asn.mmdb: is empty")
    rig.services.geoip._files = (asn, GeoipFileState(Path("country.mmdb")))
    networks = ranges_of([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])
    rig.services.geoip._report = GeoipReport(ranges={("asns", 1): networks, ("asns", 2): networks})
    peers = rig.services.peers
    other = KnownPeer("http://192.0.2.54:8053")
    other.report, other.asked, other.seen = peers.report().model_copy(update={"node": "ns2"}), True, NOW
    peers.known.peers = [other]
    _share(rig)
    rig.look()
    found = rig.services.metrics
    found.count_answers(Counts({(NAME, 1, 0): 1}, {}), "udp", NO_ROTATIONS.get)
    found.count_probe("smtp", "ok", 0.01)
    found.count_transition((NAME, "mta1"), HealthState.DOWN)
    found.observe_recompile(0.002)
    found.count_refused_file("broken.example")
    worker = Worker(zone("hosts: {mta1: 192.0.2.11}"))
    worker.ask("@")
    table = worker.compiled.table
    by_uid = {one.uid: one for one in table.rotations.values()}
    found.count_answers(worker.state.take_counts(), "udp", by_uid.get)
    found.count_logged(3, 2)
    refused = MailKind(MailEvent.DEFERRED, About.IP, first=True)
    looked_up = {(NAME, "mta1", "google"): 2}
    counts = RouteCounts("routes", {RouteKey(NAME, "", "none", "policy"): 1}, looked_up, (1,), 0.1, NOW)
    rig.services.routes.take(counts, NOW)
    found.count_signals({((NAME, "mta1"), 0): Five({("", "google", refused): 7})}, 2)
    return found


def test_there_are_the_promised_metrics_and_no_others_of_ours(used: Metrics) -> None:
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in families(used).values()
        if family.name.startswith("geodns_")
    }
    assert {name: kind for name, kind in shown.items() if not name.endswith("_created")} == NAMES


def test_geoip_files(used: Metrics) -> None:
    built = "geodns_geoip_file_build_timestamp_seconds"
    assert (value(used, built, file="asn.mmdb"), value(used, built, file="country.mmdb")) == (NOW, None)
    refused = "geodns_geoip_file_refused"
    assert (value(used, refused, file="asn.mmdb"), value(used, refused, file="country.mmdb")) == (1, 0)
    assert value(used, "geodns_geoip_ranges", kind="asns") == 4


def test_names_and_units_follow_the_conventions(used: Metrics) -> None:
    for family in families(used).values():
        if family.name.endswith("_created"):
            continue
        assert re.fullmatch("(geodns|process)_[a-z0-9_]*[a-z0-9]", family.name)
        assert family.documentation, family.name
        assert family.type in {"counter", "gauge", "histogram"}, family.name
        assert not re.search("_(ms|millis|milliseconds|minutes|percent|kb|mb)(_|$)", family.name)
        assert not family.name.endswith(("_count", "_sum", "_bucket"))
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            assert all(re.fullmatch("[a-z_]+", label) for label in sample.labels)
            if family.type == "counter" and not sample.name.endswith("_created"):
                assert sample.name.endswith("_total"), sample.name


def test_an_overflow_is_no_fallback(tmp_path: Path) -> None:
    """A pool of which all hosts warm up deals from it while all is well."""
    text = TEXT.replace("cold: {hosts: [mta3, new],", "cold: {hosts: [new], overflow: side,")
    rig = Rig(tmp_path, text)
    rig.serve()
    rig.all_are_up()
    rig.services.warmup.look()
    assert rig.services.cluster.compiled.choices[NAME, "cold"].using == ("cold", "side")
    assert rig.metric("geodns_pool_fallback", zone=NAME, pool="cold") == 0
    assert rig.metric("geodns_pool_hosts", zone=NAME, pool="cold") == 1
    rig.services.cluster.bound({})
    assert rig.metric("geodns_pool_hosts", zone=NAME, pool="cold") == 0, "it waits, and nobody misses it"
    assert rig.metric("geodns_pool_live_hosts", zone=NAME, pool="cold") == 1
    rig.close()


def test_a_server_that_has_just_begun_can_be_scraped(rig: Rig) -> None:
    found = families(rig.services.metrics)
    assert [sample.value for sample in found["geodns_ready"].samples] == [0]
    (build,) = found["geodns_build_info"].samples
    assert (build.labels, build.value) == ({"version": __version__, "backend": "python"}, 1)


def test_what_is_so_at_a_scrape(rig: Rig) -> None:
    rig.serve()
    cluster = rig.services.cluster
    target = next(target for target in cluster.targets if str(target.address) == "192.0.2.12")
    cluster.apply_verdicts({target: Verdict(HealthState.UP, sheds=3, level=3, shed_out=True)}, NOW)
    cluster.force((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", NOW))
    rig.file.with_name("broken.example.yaml").write_text("hosts: {mta1: nonsense}\n")
    rig.services.zones._folder.read_all()
    rig.late = 1.5
    rig.look()
    states = {
        str(state): rig.metric("geodns_host_state", zone=NAME, host="mta2", state=str(state))
        for state in HealthState
    }
    assert states == {"up": 0, "down": 0, "unknown": 0, "shedding": 1}
    address = {"zone": NAME, "host": "mta2", "family": "A", "address": "192.0.2.12"}
    assert rig.metric("geodns_address_live", **address) == 0
    address |= {"host": "mta1", "address": "192.0.2.11"}
    assert rig.metric("geodns_address_live", **address) == 1
    assert rig.metric("geodns_host_forced", zone=NAME, host="mta1", forced="drained") == 1
    assert rig.metric("geodns_host_forced", zone=NAME, host="mta2", forced="drained") is None
    assert rig.metric("geodns_pool_hosts", zone=NAME, pool="main") == 2
    assert rig.metric("geodns_pool_live_hosts", zone=NAME, pool="main") == 1
    assert rig.metric("geodns_pool_fallback", zone=NAME, pool="main") == 1
    assert rig.metric("geodns_pool_fallback", zone=NAME, pool="side") == 0
    assert rig.metric("geodns_pool_last_resort", zone=NAME, pool="main") == 0
    share = {"zone": NAME, "pool": "main", "host": "mta3", "family": "A"}
    assert rig.metric("geodns_pool_intended_share_ratio", **share) == 1
    assert rig.metric("geodns_pool_intended_share_ratio", **{**share, "family": "AAAA"}) is None
    assert rig.metric("geodns_zone_serial", zone=NAME) == SERIAL
    assert rig.metric("geodns_zone_file_refused", zone="broken.example") == 1
    assert rig.metric("geodns_zone_file_refused", zone=NAME) == 0
    assert rig.metric("geodns_probe_lateness_seconds") == 1.5
    assert rig.metric("geodns_worker_restarts_total", worker="udp0") == 2
    assert rig.metric("geodns_ready") == 1


def test_sources_of_hosts_are_measured(rig: Rig) -> None:
    labels = {"zone": NAME, "source": "file hosts.d/*.yaml"}
    rig.serve()
    assert rig.metric("geodns_host_source_hosts", **labels) == 0
    (rig.file.parent / "hosts.d").mkdir()
    (rig.file.parent / "hosts.d" / "a.yaml").write_text("mta9: 192.0.2.19\n")
    rig.services.zones._discovery.renew()
    rig.serve()
    assert rig.metric("geodns_host_source_up", **labels) == 1
    assert rig.metric("geodns_host_source_hosts", **labels) == 1
    at = rig.metric("geodns_host_source_last_success_timestamp_seconds", **labels)
    assert at == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("qtype", "rcode", "labels"),
    [
        pytest.param(1, 0, ("A", "NOERROR"), id="A"),
        pytest.param(15, 3, ("MX", "NXDOMAIN"), id="MX"),
        pytest.param(255, 16, ("ANY", "BADVERS"), id="a long RCODE"),
        pytest.param(OTHER_TYPE, 5, ("other", "REFUSED"), id="any other type"),
        pytest.param(64, 2, ("SVCB", "SERVFAIL"), id="SVCB"),
    ],
)
def test_queries_are_counted_by_their_names(qtype: int, rcode: int, labels: tuple[str, str]) -> None:
    found = metrics()
    for transport, number in (("udp", 2), ("udp", 3), ("tcp", 7)):
        found.count_answers(Counts({(NAME, qtype, rcode): number}, {}), transport, NO_ROTATIONS.get)
    named = {"zone": NAME, "type": labels[0], "rcode": labels[1]}
    assert value(found, "geodns_queries_total", **named, transport="udp") == 5
    assert value(found, "geodns_queries_total", **named, transport="tcp") == 7


def test_answers_are_counted_for_each_host_that_they_named() -> None:
    worker = Worker(zone("hosts: {mta1: {address: 192.0.2.11, weight: 3}, mta2: 192.0.2.12}"))
    rotations = {one.uid: one for one in worker.compiled.table.rotations.values()}
    found = metrics()
    named: dict[str, int] = {"192.0.2.11": 0, "192.0.2.12": 0}
    for _ in range(4):
        for record in worker.ask("@").answer[0]:
            named[str(record)] += 1
    found.count_answers(worker.state.take_counts(), "udp", rotations.get)
    shown = [
        value(found, "geodns_answers_total", zone=NAME, pool="main", host=host) for host in ("mta1", "mta2")
    ]
    assert shown == list(named.values())
    assert sum(named.values()) > 4


def test_counts_of_a_rotation_that_nobody_knows_are_let_go() -> None:
    found = metrics()
    found.count_answers(Counts({}, {(b"gone", 0, 0): 4}), "udp", NO_ROTATIONS.get)
    assert not families(found)["geodns_answers"].samples


def test_whatever_clients_ask_the_series_are_bounded() -> None:
    found, worker, rng = metrics(), Worker(zone("hosts: {mta1: 192.0.2.11}")), random.Random(7)
    sizes = []
    for turn in range(2):
        for _ in range(1500):
            where = rng.choice((NAME, f"below.{NAME}", "elsewhere.example"))
            name = f"n{rng.getrandbits(40)}.{where}."
            query = bytearray(dns.message.make_query(name, "A", use_edns=False).to_wire())
            query[-4:-2] = rng.getrandbits(16).to_bytes(2, "big")
            query[2] = rng.choice((0, 1, 0x28, 0x78))
            worker.raw(bytes(query))
            worker.raw(bytes(query), TCP)
        found.count_answers(worker.state.take_counts(), "udp", NO_ROTATIONS.get)
        sizes.append(sum(len(family.samples) for family in families(found).values()))
        assert sizes[turn] < 300


def test_probes_are_counted_by_outcome_and_timed_where_they_took_time() -> None:
    found = metrics()
    found.count_probe("smtp", "ok", 0.004)
    found.count_probe("smtp", "failure", 3.0)
    found.count_probe("smtp", "unknown", None)
    outcomes: Mapping[str, float | None] = {
        outcome: value(found, "geodns_probes_total", check="smtp", outcome=outcome)
        for outcome in ("ok", "failure", "unknown", "shedding")
    }
    assert outcomes == {"ok": 1, "failure": 1, "unknown": 1, "shedding": None}
    assert value(found, "geodns_probe_duration_seconds_count", check="smtp") == 2
    assert value(found, "geodns_probe_duration_seconds_bucket", check="smtp", le="0.005") == 1


def test_events_are_counted(used: Metrics) -> None:
    found = used
    assert value(found, "geodns_host_transitions_total", zone=NAME, host="mta1", to="down") == 1
    assert value(found, "geodns_zone_load_errors_total", zone="broken.example") == 1
    assert value(found, "geodns_recompile_seconds_count") == 1


def test_an_answer_that_no_pool_gives_counts_for_no_host() -> None:
    worker = Worker(zone("hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}"))
    worker.ask("@", "TXT")
    found = metrics()
    found.count_answers(worker.state.take_counts(), "udp", NO_ROTATIONS.get)
    assert not families(found)["geodns_answers"].samples


def test_what_is_limited_and_logged_is_counted_from_zero() -> None:
    found = metrics()
    assert [value(found, "geodns_rate_limited_total", action=str(action)) for action in Action] == [0, 0, 0]
    for _ in range(2):
        limited = Limited({Action.DROPPED: 5, Action.BADCOOKIE: 1}, {"192.0.2.0/24": 6})
        found.count_answers(Counts({}, {}, limited), "udp", NO_ROTATIONS.get)
        found.count_logged(7, 1)
    assert value(found, "geodns_rate_limited_total", action="dropped") == 10
    assert value(found, "geodns_rate_limited_total", action="truncated") == 0
    assert value(found, "geodns_rate_limited_total", action="badcookie") == 2
    assert value(found, "geodns_query_log_total", outcome="written") == 14
    assert value(found, "geodns_query_log_total", outcome="dropped") == 2


def test_loads_are_measured_where_they_are_known_and_counted(rig: Rig) -> None:
    rig.serve()
    labels = {"zone": NAME, "host": "mta1"}
    assert rig.metric("geodns_host_load_ratio", **labels) is None
    assert rig.metric("geodns_host_load_stale", **labels) == 0
    rig.services.loads.push((NAME, "mta1"), 2500.0)
    assert rig.metric("geodns_host_load_ratio", **labels) == 1.25
    assert rig.metric("geodns_host_load_stale", zone=NAME, host="mta2") is None
    assert rig.metric("geodns_load_readings_total", outcome="ok") == 1
    assert rig.metric("geodns_load_readings_total", outcome="failure") == 0
    rig.services.metrics.count_load_reading("failure")
    assert rig.metric("geodns_load_readings_total", outcome="failure") == 1
