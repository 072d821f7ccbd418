"""What the HTTP side may ask: put together from parts of which each is real, but for probes and workers."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from geodns import __version__
from geodns.api.status import status
from geodns.config.route_keys import RoutesListen
from geodns.health.mass_failure import Suspect
from geodns.health.outcome import Certificate, Encryption, ProbeOutcome, ProbeResult
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.serve.control_link import Worker
from geodns.serve.frames import RouteKey
from tests.api.test_status import DESIGNED_HOST, DESIGNED_POOL, holds
from tests.routing import answered, route
from tests.sample_zones import NAME, SERIAL
from tests.servicing import GOOD, NOW, Rig

BAD = "hosts: {mta1: nonsense}\n"

DESIGNED = {
    "node": "ns1",
    "version": "…",
    "backend": "python",
    "uptime_s": 12.3,
    "ready": True,
    "warnings": [],
    "zones": {NAME: {"serial": SERIAL, "digest": "…", "file": "zones/out.example.com.yaml", "error": None}},
    "hosts": {NAME: {"mta1": DESIGNED_HOST}},
    "pools": {NAME: {"main": DESIGNED_POOL}},
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path)
    yield found
    found.close()


def test_the_status_has_the_fields_of_the_design(rig: Rig) -> None:
    rig.serve()
    rig.seen["192.0.2.11"] = ProbeOutcome(ProbeResult.OK, "220 mta1 ESMTP", 0.0019)
    shown = json.loads(json.dumps(status(rig.services)))
    holds(shown, DESIGNED | {"hosts": {}, "pools": {}, "zones": {}}, "status")
    holds(shown["zones"][NAME], cast(Any, DESIGNED["zones"])[NAME], "zone")
    holds(shown["hosts"][NAME]["mta1"], DESIGNED_HOST, "host")
    holds(shown["pools"][NAME]["main"], DESIGNED_POOL, "pool")
    assert (shown["node"], shown["version"], shown["backend"]) == ("ns1", __version__, "python")
    assert shown["processes"] == {
        "supervisor": os.getppid(),
        "control": os.getpid(),
        "udp0": 100,
        "tcp": None,
    }
    assert shown["listen"] == ["127.0.0.1:5300", "[::1]:5300"]
    digest = rig.services.cluster.zone(NAME).digest
    assert shown["zones"][NAME] == {
        "serial": SERIAL,
        "digest": digest,
        "file": str(rig.file),
        "error": None,
    }
    assert shown["hosts"][NAME]["mta1"]["checks"][0]["detail"] == "220 mta1 ESMTP"
    assert shown["ready"] is True


TLS = """\
ns: {ns1: 192.0.2.53}
checks: {tls: {starttls: offered, cert_warning: 7d}}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
pools: {main: {hosts: "*", check: tls}}
"""


def test_a_zone_with_routes_says_how_much_they_are_asked(rig: Rig) -> None:
    rig.serve()
    shown = status(rig.services)
    assert ("routes" in shown["zones"][NAME], "routes_listen" in shown) == (False, False)
    route(rig)
    answers = {RouteKey(NAME, "any", "name", "line"): 3, RouteKey(NAME, "", "none", "line"): 4}
    answered(rig.services.routes, time.time(), answers)
    rig.services.routes.listeners = (RoutesListen(listen=Path("/run/routes")),)
    shown = status(rig.services)
    assert shown["zones"][NAME]["routes"] == {"rules": 4, "looked_up": 7}
    assert shown["routes_listen"] == ["unix:/run/routes"]


def test_certificates_are_shown_measured_and_warned_of(rig: Rig) -> None:
    rig.file.write_text(TLS)
    rig.serve()
    until = time.time() + 3.1 * 86400
    old = Certificate(f"mta1.{NAME}", "Someone", 0.0, until)
    rig.seen["192.0.2.11"] = ProbeOutcome(
        ProbeResult.OK, "220 mta1", 0.1, tls=Encryption("TLSv1.3", "AES", old)
    )
    rig.seen["192.0.2.12"] = ProbeOutcome(
        ProbeResult.OK, "220 mta2", 0.1, tls=Encryption("TLSv1.3", "AES", replace(old, not_after=until + 1e6))
    )
    shown: Any = status(rig.services)
    (check,) = shown["hosts"][NAME]["mta1"]["checks"]
    assert check["certificate"]["days_left"] == 3.1
    assert check["certificate"]["subject"] == f"mta1.{NAME}"
    assert check["certificate"]["problem"] is None
    warned = [one for one in shown["warnings"] if "certificate" in one]
    assert warned == [f"certificate of mta1.{NAME} at [192.0.2.11]:25 expires in 3 days: renew it"]
    labels = {"check": "tls", "server_name": f"mta1.{NAME}", "address": "192.0.2.11", "port": "25"}
    assert rig.metric("geodns_certificate_not_after_timestamp_seconds", **labels) == until
    del rig.seen["192.0.2.11"]
    assert status(rig.services)["hosts"][NAME]["mta1"]["checks"][0]["certificate"] is None


def test_before_the_first_answer_it_is_not_ready_and_says_why(rig: Rig) -> None:
    assert rig.services.watchdog.unready() == "starting: the first probes are not done"
    assert status(rig.services)["ready"] is False
    assert rig.metric("geodns_ready") == 0


def test_without_zones_or_workers_it_is_not_ready(rig: Rig) -> None:
    rig.services.watchdog.ready = True
    assert rig.services.watchdog.unready() == "no zone is served"
    rig.serve()
    assert rig.services.watchdog.unready() is None
    rig.workers["udp0"] = Worker(None, 1, 2)
    assert rig.services.watchdog.unready() == "no worker is alive"


def test_refused_files_and_late_probes_are_warnings_and_do_not_make_it_unready(rig: Rig) -> None:
    rig.serve()
    rig.file.write_text(BAD)
    rig.file.with_name("new.example.yaml").write_text(BAD)
    rig.services.zones._folder.read_all()
    rig.late = 7.4
    rig.look()
    shown: Any = status(rig.services)
    assert shown["ready"] is True
    assert shown["warnings"][0] == "the state file was set aside"
    assert any("(the zone it had is served)" in one for one in shown["warnings"])
    assert any("(the zone is not served)" in one for one in shown["warnings"])
    assert "probes are late by 7 s: the prober is overloaded" in shown["warnings"]
    assert f"{rig.file}:1:" in shown["zones"][NAME]["error"]
    assert shown["zones"]["new.example"]["serial"] is None
    assert "new.example" not in shown["hosts"]
    refused = [rig.metric("geodns_zone_file_refused", zone=zone) for zone in (NAME, "new.example")]
    assert refused == [1, 1]
    assert (rig.metric("geodns_probe_lateness_seconds"), rig.metric("geodns_ready")) == (7.4, 1)


def test_a_prober_in_doubt_is_a_warning_a_field_and_a_metric(rig: Rig) -> None:
    rig.serve()
    assert status(rig.services)["pools"][NAME]["main"]["prober_suspect"] is False
    assert rig.metric("geodns_prober_suspect", zone=NAME, pool="main") == 0
    rig.suspects[NAME, "main"] = Suspect(5, 6, 12.0)
    rig.hint = "2 addresses refuse the prober"
    shown: Any = status(rig.services)
    told = f"pool main of {NAME}: 5 of 6 hosts fell silent at once, the prober itself may be cut off"
    assert f"{told} (prober_suspect): their verdicts are held for 12 s more" in shown["warnings"]
    assert "2 addresses refuse the prober" in shown["warnings"]
    pool = shown["pools"][NAME]["main"]
    assert pool["prober_suspect"] is True
    assert pool["held_until"].endswith("Z")
    assert rig.metric("geodns_prober_suspect", zone=NAME, pool="main") == 1
    rig.suspects[NAME, "main"] = Suspect(5, 6, None)
    shown = status(rig.services)
    assert f"{told} (prober_suspect): they count as failures by now" in shown["warnings"]
    assert shown["pools"][NAME]["main"]["held_until"] is None


@pytest.mark.parametrize(("late", "warned"), [(0.0, False), (4.9, False), (5.1, True)])
def test_a_little_late_is_no_warning(rig: Rig, late: float, *, warned: bool) -> None:
    rig.serve()
    rig.late = late
    rig.look()
    assert any("late" in one for one in status(rig.services)["warnings"]) is warned


def test_trouble_with_the_disk_is_a_warning(rig: Rig) -> None:
    rig.serve()
    rig.services.persistence.trouble = "the disk is full"
    assert "the disk is full" in status(rig.services)["warnings"]


def test_gauges_are_of_every_host_served(rig: Rig) -> None:
    rig.serve()
    rig.services.cluster.force((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", NOW))
    one = {"zone": NAME, "host": "mta1"}
    assert rig.metric("geodns_host_state", **one, state="unknown") == 1
    assert rig.metric("geodns_host_forced", **one, forced="drained") == 1
    assert rig.metric("geodns_host_effective_weight", **one) == 0
    assert rig.metric("geodns_host_effective_weight", zone=NAME, host="mta2") == 1
    assert rig.metric("geodns_zone_serial", zone=NAME) == SERIAL
    assert [rig.metric("geodns_worker_restarts_total", worker=one) for one in ("udp0", "tcp")] == [2, 0]


def test_the_weights_that_are_forced_are_those_that_are_measured(rig: Rig) -> None:
    rig.serve()
    before = rig.metric("geodns_pool_hosts", zone=NAME, pool="main")
    rig.services.cluster.override(
        {},
        {(NAME, host): ForcedWeight(weight, "", "ann", NOW) for host, weight in (("mta1", 0), ("mta2", 7))},
    )
    weights = [rig.metric("geodns_host_effective_weight", zone=NAME, host=host) for host in ("mta1", "mta2")]
    assert weights == [0, 7]
    assert (before, rig.metric("geodns_pool_hosts", zone=NAME, pool="main")) == (2, 1)


def test_a_file_name_of_any_bytes_can_be_shown(rig: Rig) -> None:
    rig.serve()
    (rig.file.parent / "caf\udce9.yaml").write_text(GOOD)
    rig.services.zones._folder.read_all()
    json.dumps(status(rig.services)).encode()
    rig.services.metrics.expose()


def test_many_hosts_in_many_pools_are_shown_without_a_long_pause(rig: Rig) -> None:
    # The loop that shows is the one that probes: looking for each host in every pool took seconds.
    hosts = "".join(f"  h{number}: 192.0.{number // 250}.{1 + number % 250}\n" for number in range(2000))
    pools = "".join(f"  p{number}: {{hosts: '*', check: smtp}}\n" for number in range(10))
    rig.file.write_text(f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}pools:\n{pools}")
    rig.serve()
    began = time.process_time()
    assert rig.metric("geodns_host_effective_weight", zone=NAME, host="h1999") == 1
    assert time.process_time() - began < 0.8


def test_trouble_of_the_probers_own_is_a_warning(rig: Rig) -> None:
    """Else a server whose probes all fail for want of descriptors would look well."""
    rig.serve()
    rig.seen["192.0.2.11"] = ProbeOutcome(ProbeResult.FAILURE, "connection refused")
    assert not [text for text in status(rig.services)["warnings"] if "prober" in text]
    rig.seen["192.0.2.12"] = ProbeOutcome(ProbeResult.UNKNOWN, "too many open files")
    (warning,) = [text for text in status(rig.services)["warnings"] if "prober" in text]
    assert "too many open files" in warning


def test_a_pool_without_a_live_host_is_a_warning(rig: Rig) -> None:
    rig.serve()
    for host in ("mta1", "mta2"):
        assert not [text for text in status(rig.services)["warnings"] if "last resort" in text]
        rig.services.cluster.force((NAME, host), ForcedState(Forced.DRAINED, "", "me", NOW))
    (warning,) = [text for text in status(rig.services)["warnings"] if "last resort" in text]
    assert warning == f"pool main of {NAME}: nobody is live, last resort: drained"


def loads(rig: Rig) -> tuple[float | None, float | None]:
    one = {"zone": NAME, "host": "mta1"}
    return rig.metric("geodns_host_load_ratio", **one), rig.metric("geodns_host_load_stale", **one)


def test_loads_are_gauges_where_they_count(rig: Rig) -> None:
    rig.file.write_text(
        "ns: {ns1: 192.0.2.53}\nhosts: {mta1: {address: 192.0.2.11, load: {full: 2000}}, mta2: 192.0.2.12}\n"
    )
    rig.serve()
    assert loads(rig) == (None, 0)
    rig.services.cluster.loads.took((NAME, "mta1"), 3000, 100.0, NOW)
    assert loads(rig) == (1.5, 0)
    rig.services.cluster.advance_weights(NOW, 200.0)
    assert loads(rig) == (None, 1)
