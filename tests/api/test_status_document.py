"""What the HTTP side may ask: put together from parts of which each is real, but for probes and workers."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from geodns import __version__
from geodns.api.responses import Asking
from geodns.api.status import View
from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.config.server_keys import Listen
from geodns.control.gauges import LoadGauge
from geodns.control.persistence import Persistence
from geodns.control.watchdog import Vitals
from geodns.health.mass_failure import Suspect
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, Encryption, ProbeOutcome, ProbeResult
from geodns.model.checks import Target
from geodns.model.state import Forced, ForcedState, ForcedWeight, HealthState
from geodns.serve.control_link import ControlLink, Worker
from geodns.storage.state_file import StateFile
from geodns.zones.discovery import Discovery
from geodns.zones.folder import Folder
from tests.api.test_status import DESIGNED_HOST, DESIGNED_POOL, holds
from tests.sample_zones import NAME, SERIAL

NOW = 1_795_417_200.0
GOOD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: {address: 192.0.2.11, weight: 50}, mta2: 192.0.2.12}\n"
BAD = "hosts: {mta1: nonsense}\n"

DESIGNED = {
    "node": "ns1",
    "version": "…",
    "backend": "python",
    "uptime_s": 12.3,
    "ready": True,
    "warnings": [],
    "zones": {NAME: {"serial": SERIAL, "file": "zones/out.example.com.yaml", "error": None}},
    "hosts": {NAME: {"mta1": DESIGNED_HOST}},
    "pools": {NAME: {"main": DESIGNED_POOL}},
}


class Rig:
    """A view and what it looks at."""

    def __init__(self, folder: Path, store: StateFile) -> None:
        self.file = folder / f"{NAME}.yaml"
        self.file.write_text(GOOD)
        self.folder = Folder(folder)
        self.keeper = Persistence(store)
        self.cluster = self.keeper.cluster()
        self.workers = {"udp0": Worker(100, 1, 2), "tcp": Worker()}
        self.late = 0.0
        self.seen: dict[str, ProbeOutcome] = {}
        self.hint: str | None = None
        self.suspects: dict[tuple[str, str], Suspect] = {}
        self.view = View(
            "ns1",
            [Listen("127.0.0.1", 5300), Listen("::1", 5300)],
            lambda: ["the state file was set aside"],
            self.cluster,
            self.folder,
            self.keeper,
            cast(Monitor, self),
            cast(ControlLink, SimpleNamespace(workers=self.workers)),
            lambda: Vitals(lateness=self.late),
            Discovery(folder, self.keeper.found, print),
        )

    def last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        found = self.seen.get(str(target.address))
        return None if found is None else (found, NOW)

    def certificate(self, target: Target) -> Certificate | None:
        found = self.seen.get(str(target.address))
        return None if found is None else found.certificate

    def serve(self) -> None:
        edit = self.folder.read_all()
        sources = {name: Source(one, SERIAL) for name, one in edit.zones.items()}
        self.cluster.serve_zones(compile_zones(self.cluster.compiled, sources, self.cluster.live()), NOW)
        self.view.ready = True


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    folder = tmp_path / "zones"
    folder.mkdir()
    store, _ = StateFile.open(tmp_path / "state", NOW)
    yield Rig(folder, store)
    store.close()


def test_the_status_has_the_fields_of_the_design(rig: Rig) -> None:
    rig.serve()
    rig.seen["192.0.2.11"] = ProbeOutcome(ProbeResult.OK, "220 mta1 ESMTP", 0.0019)
    shown = json.loads(json.dumps(rig.view.status()))
    holds(shown, DESIGNED | {"hosts": {}, "pools": {}, "zones": {}}, "status")
    holds(shown["zones"][NAME], cast(Any, DESIGNED["zones"])[NAME], "zone")
    holds(shown["hosts"][NAME]["mta1"], DESIGNED_HOST, "host")
    holds(shown["pools"][NAME]["main"], DESIGNED_POOL, "pool")
    assert (shown["node"], shown["version"], shown["backend"]) == ("ns1", __version__, "python")
    assert shown["listen"] == ["127.0.0.1:5300", "[::1]:5300"]
    assert shown["zones"][NAME] == {"serial": SERIAL, "file": str(rig.file), "error": None}
    assert shown["hosts"][NAME]["mta1"]["checks"][0]["detail"] == "220 mta1 ESMTP"
    assert shown["ready"] is True


TLS = """\
ns: {ns1: 192.0.2.53}
checks: {tls: {starttls: offered, cert_warning: 7d}}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
pools: {main: {hosts: "*", check: tls}}
"""


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
    shown: Any = rig.view.status()
    (check,) = shown["hosts"][NAME]["mta1"]["checks"]
    assert check["certificate"]["days_left"] == 3.1
    assert check["certificate"]["subject"] == f"mta1.{NAME}"
    assert check["certificate"]["problem"] is None
    warned = [one for one in shown["warnings"] if "certificate" in one]
    assert warned == [f"certificate of mta1.{NAME} at [192.0.2.11]:25 expires in 3 days: renew it"]
    ends = rig.view.gauges().certificates
    assert ends["tls", f"mta1.{NAME}", "192.0.2.11", "25"] == until
    del rig.seen["192.0.2.11"]
    assert rig.view.status()["hosts"][NAME]["mta1"]["checks"][0]["certificate"] is None


def test_before_the_first_answer_it_is_not_ready_and_says_why(rig: Rig) -> None:
    assert rig.view.unready() == "starting: the first probes are not done"
    assert rig.view.status()["ready"] is False
    assert rig.view.gauges().ready is False


def test_without_zones_or_workers_it_is_not_ready(rig: Rig) -> None:
    rig.view.ready = True
    assert rig.view.unready() == "no zone is served"
    rig.serve()
    assert rig.view.unready() is None
    rig.workers["udp0"] = Worker(None, 1, 2)
    assert rig.view.unready() == "no worker is alive"


def test_refused_files_and_late_probes_are_warnings_and_do_not_make_it_unready(rig: Rig) -> None:
    rig.serve()
    rig.file.write_text(BAD)
    rig.file.with_name("new.example.yaml").write_text(BAD)
    rig.folder.read_all()
    rig.late = 7.4
    shown: Any = rig.view.status()
    assert shown["ready"] is True
    assert shown["warnings"][0] == "the state file was set aside"
    assert any("(the zone it had is served)" in one for one in shown["warnings"])
    assert any("(the zone is not served)" in one for one in shown["warnings"])
    assert "probes are late by 7 s: the prober is overloaded" in shown["warnings"]
    assert f"{rig.file}:1:" in shown["zones"][NAME]["error"]
    assert shown["zones"]["new.example"]["serial"] is None
    assert "new.example" not in shown["hosts"]
    gauges = rig.view.gauges()
    assert gauges.refused_files == {NAME: True, "new.example": True}
    assert (gauges.vitals.lateness, gauges.ready) == (7.4, True)


def test_a_prober_in_doubt_is_a_warning_a_field_and_a_metric(rig: Rig) -> None:
    rig.serve()
    assert rig.view.status()["pools"][NAME]["main"]["prober_suspect"] is False
    assert rig.view.gauges().prober_suspect == {(NAME, "main"): False}
    rig.suspects[NAME, "main"] = Suspect(5, 6, 12.0)
    rig.hint = "2 addresses refuse the prober"
    shown: Any = rig.view.status()
    told = f"pool main of {NAME}: 5 of 6 hosts began to fail at once, the prober itself may be cut off"
    assert f"{told} (prober_suspect): their verdicts are held for 12 s more" in shown["warnings"]
    assert "2 addresses refuse the prober" in shown["warnings"]
    pool = shown["pools"][NAME]["main"]
    assert pool["prober_suspect"] is True
    assert pool["held_until"].endswith("Z")
    assert rig.view.gauges().prober_suspect == {(NAME, "main"): True}
    rig.suspects[NAME, "main"] = Suspect(5, 6, None)
    shown = rig.view.status()
    assert f"{told} (prober_suspect): they count as failures by now" in shown["warnings"]
    assert shown["pools"][NAME]["main"]["held_until"] is None


@pytest.mark.parametrize(("late", "warned"), [(0.0, False), (4.9, False), (5.1, True)])
def test_a_little_late_is_no_warning(rig: Rig, late: float, *, warned: bool) -> None:
    rig.serve()
    rig.late = late
    assert any("late" in one for one in rig.view.status()["warnings"]) is warned


def test_trouble_with_the_disk_is_a_warning(rig: Rig) -> None:
    rig.serve()
    rig.keeper.trouble = "the disk is full"
    assert "the disk is full" in rig.view.status()["warnings"]


def test_gauges_are_of_every_host_served(rig: Rig) -> None:
    rig.serve()
    rig.cluster.force((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", NOW))
    gauges = rig.view.gauges()
    one = gauges.hosts[NAME, "mta1"]
    assert (one.state, one.forced, one.effective_weight) == (HealthState.UNKNOWN, "drained", 0)
    assert gauges.hosts[NAME, "mta2"].effective_weight == 1
    assert gauges.serials == {NAME: SERIAL}
    assert gauges.restarts == {"udp0": 2, "tcp": 0}


def test_the_weights_that_are_forced_are_those_that_are_measured(rig: Rig) -> None:
    rig.serve()
    before = rig.view.gauges()
    rig.cluster.impose(
        {},
        {(NAME, host): ForcedWeight(weight, "", "ann", NOW) for host, weight in (("mta1", 0), ("mta2", 7))},
    )
    after = rig.view.gauges()
    assert [after.hosts[NAME, host].effective_weight for host in ("mta1", "mta2")] == [0, 7]
    assert after.pools[NAME, "main"].hosts == before.pools[NAME, "main"].hosts - 1


def test_a_file_name_of_any_bytes_can_be_shown(rig: Rig) -> None:
    rig.serve()
    (rig.file.parent / "caf\udce9.yaml").write_text(GOOD)
    rig.folder.read_all()
    json.dumps(rig.view.status()).encode()
    " ".join(rig.view.gauges().refused_files).encode()


def test_it_shows_zones_hosts_and_explanations(rig: Rig) -> None:
    rig.serve()
    assert list(rig.view.zones()) == [NAME]
    assert rig.view.host((NAME, "mta1"))["weight"] == 50
    assert rig.view.explain(NAME, "A", Asking())["tiers"][0]["pool"] == "main"


def test_many_hosts_in_many_pools_are_shown_without_a_long_pause(rig: Rig) -> None:
    # The loop that shows is the one that probes: looking for each host in every pool took seconds.
    hosts = "".join(f"  h{number}: 192.0.{number // 250}.{1 + number % 250}\n" for number in range(2000))
    pools = "".join(f"  p{number}: {{hosts: '*', check: smtp}}\n" for number in range(25))
    rig.file.write_text(f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}pools:\n{pools}")
    rig.serve()
    began = time.perf_counter()
    assert len(rig.view.gauges().hosts) == 2000
    assert time.perf_counter() - began < 2


def test_trouble_of_the_probers_own_is_a_warning(rig: Rig) -> None:
    """Else a server whose probes all fail for want of descriptors would look well."""
    rig.serve()
    rig.seen["192.0.2.11"] = ProbeOutcome(ProbeResult.FAILURE, "connection refused")
    assert not [text for text in rig.view.status()["warnings"] if "prober" in text]
    rig.seen["192.0.2.12"] = ProbeOutcome(ProbeResult.UNKNOWN, "too many open files")
    (warning,) = [text for text in rig.view.status()["warnings"] if "prober" in text]
    assert "too many open files" in warning


def test_a_pool_without_a_live_host_is_a_warning(rig: Rig) -> None:
    rig.serve()
    for host in ("mta1", "mta2"):
        assert not [text for text in rig.view.status()["warnings"] if "last resort" in text]
        rig.cluster.force((NAME, host), ForcedState(Forced.DRAINED, "", "me", NOW))
    (warning,) = [text for text in rig.view.status()["warnings"] if "last resort" in text]
    assert warning == f"pool main of {NAME}: nobody is live, last resort: drained"


def test_loads_are_gauges_where_they_count(rig: Rig) -> None:
    rig.file.write_text(
        "ns: {ns1: 192.0.2.53}\nhosts: {mta1: {address: 192.0.2.11, load: {full: 2000}}, mta2: 192.0.2.12}\n"
    )
    rig.serve()
    assert rig.view.gauges().loads == {(NAME, "mta1"): LoadGauge(None, stale=False)}
    rig.cluster.loads.took((NAME, "mta1"), 3000, 100.0, NOW)
    assert rig.view.gauges().loads == {(NAME, "mta1"): LoadGauge(1.5, stale=False)}
    rig.cluster.advance_weights(NOW, 200.0)
    assert rig.view.gauges().loads == {(NAME, "mta1"): LoadGauge(None, stale=True)}
