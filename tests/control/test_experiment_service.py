"""The experiments of a control process: epochs, counts, and what became of mail, over restarts."""

import asyncio
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.control import experiment_service
from geodns.control.experiment_service import NOTE, ExperimentService
from geodns.control.signal_intake import Batch, Signal
from geodns.model.experiments import Arm
from geodns.model.mail import MailEvent
from geodns.model.state import HealthState, Verdict
from geodns.model.zone import Zone
from geodns.responder.worker_state import Counts
from geodns.serve.frames import CountsReport
from tests.sample_zones import NAME, SERIAL
from tests.servicing import Rig

KEY = NAME, "new-mta"
TEXT = """\
ns: {ns1: 192.0.2.53}
hosts: {c1: 192.0.2.1, c2: 192.0.2.2, c3: 192.0.2.3, t1: 192.0.2.11, t2: 192.0.2.12, t3: 192.0.2.13}
pools: {main: {hosts: "c*"}, trial: {hosts: "t*"}}
records: {"@": {pool: main}}
experiments:
  new-mta: {name: "@", arms: {control: {share: 80, pool: main}, trial: {share: 20, pool: trial}}, horizon: 9h}
"""


class Held:
    """The service of a rig whose hosts are all up."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder, TEXT)
        self.rig.serve()
        self.rig.all_are_up()
        self.service = self.rig.services.experiments
        asyncio.run(self.rig.services.workers.publish())

    def edit(self, **changes: Any) -> None:
        """Serve the zone with its experiment changed, or with none."""
        cluster = self.rig.services.cluster
        zone = cluster.zones[NAME]
        held = tuple(one.model_copy(update=changes) for one in zone.experiments) if changes else ()
        fields = {name: getattr(zone, name) for name in Zone.model_fields}
        sources = {NAME: Source(Zone.model_construct(**{**fields, "experiments": held}), SERIAL)}
        cluster.serve_zones(compile_zones(cluster.compiled, sources, cluster.live()), time.time())

    def again(self) -> ExperimentService:
        """Make the service as the next process does."""
        asyncio.run(self.service.save())
        some = self.rig.services
        return ExperimentService(some.cluster, some.workers, some.persistence, some.events, some.signals)

    def told(self) -> list[str]:
        return [one.text for one in self.rig.services.events._memory if one.kind == "experiment"]

    def report(self, arm: str, *, queries: dict[int, int], answers: int = 0) -> None:
        table = self.rig.services.cluster.compiled.table
        uid = next(one.uid for key, one in table.rotations.items() if key.arm == arm and key.type == "A")
        counts = Counts(
            {}, {(uid, 0, 0): answers}, networks={(NAME, arm, at): n for at, n in queries.items()}
        )
        self.rig.services.workers._on_message(CountsReport("udp0", "udp", counts))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    one = Held(tmp_path)
    yield one
    one.rig.close()


def test_an_epoch_begins_and_any_change_begins_another(held: Held) -> None:
    held.service.look(100.0)
    epoch = held.service.epochs[KEY]
    assert (epoch.number, epoch.since) == (1, 100.0)
    assert held.told() == [f"experiment new-mta of {NAME}: epoch 1, counted anew: it begins"]
    held.report("new-mta/trial", queries={9000: 1})
    held.edit(metric="bounced")
    held.service.look(200.0)
    assert held.service.epochs[KEY] is epoch

    arms = (Arm(name="control", share=70, pool="main"), Arm(name="trial", share=30, pool="trial"))
    held.edit(arms=arms)
    held.service.look(300.0)
    epoch = held.service.epochs[KEY]
    assert (epoch.number, epoch.since) == (2, 300.0)
    assert not any(counts.queries for counts in epoch.counts.values())
    assert held.told()[-1].endswith("epoch 2, counted anew: the zone file changes it")

    held.edit()
    held.service.look(400.0)
    assert KEY not in held.service.epochs
    assert "is over" in held.told()[-1]


def test_a_host_that_changes_its_arm_begins_another_epoch(held: Held) -> None:
    held.service.look(100.0)
    held.service.epochs[KEY].hosts["t1"] = "control"
    held.edit(metric="bounced")
    held.service.look(200.0)
    assert held.service.epochs[KEY].number == 2
    assert held.told()[-1].endswith("host t1 changed its arm")
    assert held.service.epochs[KEY].hosts["t1"] == "trial"


def test_queries_networks_and_answers_count_by_arm_also_after_a_restart(held: Held) -> None:
    held.service.look(100.0)
    held.report("new-mta/trial", queries={8001: 3, 9000: 1}, answers=4)
    held.report("new-mta/control", queries={1: 5}, answers=5)
    held.report("new-mta/trial", queries={8001: 1}, answers=1)
    for service in (held.service, held.again()):
        trial, control = (service.epochs[KEY].of(arm) for arm in ("trial", "control"))
        assert (trial.queries, trial.answers, trial.seats) == (5, 5, {8001: 4, 9000: 1})
        assert (control.queries, control.answers, control.failovers) == (5, 5, 0)
    assert held.rig.services.persistence.note(NOTE)


def test_what_workers_report_of_arms_that_are_gone_counts_for_none(held: Held) -> None:
    held.service.look(100.0)
    arms = (Arm(name="control", share=80, pool="main"), Arm(name="other", share=20, pool="trial"))
    held.edit(arms=arms)
    held.service.look(200.0)
    held.report("new-mta/control", queries={1: 2}, answers=2)
    uids = held.rig.services.workers._rotations.items()
    gone = next(uid for uid, one in uids if one.key.arm == "new-mta/trial" and one.key.type == "A")
    counts = Counts({}, {(gone, 0, 0): 3}, networks={(NAME, "new-mta/trial", 9000): 3})
    held.rig.services.workers._on_message(CountsReport("udp0", "udp", counts))
    counted = held.service.epochs[KEY].counts
    assert {arm: (one.queries, one.answers) for arm, one in counted.items()} == {
        "control": (2, 2),
        "other": (0, 0),
    }


def test_by_time_a_while_without_the_control_process_is_left_out(held: Held) -> None:
    held.edit(by="time", slot=3600)
    held.service.look(36_000.0)
    again = held.again()
    again.look(36_200.0)
    assert again.epochs[KEY].left_out == []
    again.look(43_000.0)
    assert again.epochs[KEY].left_out == [(36_000, 43_200)], "workers kept to the arm of 10 o'clock"


def test_no_zone_is_no_end_of_experiments(held: Held, tmp_path: Path) -> None:
    held.service.look(100.0)
    service = held.again()
    service._cluster = Rig(_fresh(tmp_path)).services.cluster  # no zone is read yet
    service.look(200.0)
    assert service.epochs.keys() == {KEY}


def _fresh(folder: Path) -> Path:
    (folder / "other").mkdir()
    return folder / "other"


def test_an_arm_with_nobody_live_counts_failovers_and_the_time_is_left_out(held: Held) -> None:
    cluster = held.rig.services.cluster
    held.service.look(100.0)
    assert held.service.epochs[KEY].left_out == []
    trial = {one for one in cluster.targets if one.address in ip_network("192.0.2.8/29")}
    begin = int(time.time()) // 300 * 300 - 3600
    cluster.apply_verdicts({one: Verdict(HealthState.DOWN) for one in trial}, begin)
    asyncio.run(held.rig.services.workers.publish())
    held.service.look(begin + 100.0)
    held.service.look(begin + 400.0)
    held.report("new-mta/trial", queries={9000: 2}, answers=2)
    epoch = held.service.epochs[KEY]
    assert epoch.left_out[0] == (begin, begin + 600)
    assert epoch.left_out[1][0] > time.time() - 600, "an answer in between two looks tells as well"
    assert epoch.of("trial").failovers == 2
    assert held.again().epochs[KEY].left_out == epoch.left_out


def test_mail_is_put_to_arms_and_enough_is_told_once(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_service, "SHARE", 0)
    now = time.time()
    held.service.look(now - 10 * 3600)
    for arm, first in (("control", 0), ("trial", 8000)):
        held.report(f"new-mta/{arm}", queries={first + number: 2 for number in range(30)})

    async def test() -> None:
        signals, service = held.rig.services.signals, held.service
        await signals.begin(5.0)
        assert service.known(KEY) is None
        some = [
            Signal(0, None, host, None, event, "google", 0, "", "", None, number, now - 3600 * hour, at, 1)
            for host in ("c1", "c2", "c3", "t1", "t2", "t3")
            for hour in range(10)
            for at in (now - 3600 * hour - 60, *([None] if hour == 2 else []))
            for event, number in (
                (MailEvent.DELIVERED, 90),
                (MailEvent.DEFERRED, 10 if host.startswith("c") else 30),
            )
        ]
        with signals.room():
            await signals.take(lambda: Batch("one", some))
        found = await service.review(KEY)
        assert found is not None
        rates = {arm: rate["deferred"] for arm, rate in found.findings.rates.items()}
        assert rates["control"].value == pytest.approx(0.1)
        assert rates["trial"].value == pytest.approx(0.25)
        assert rates["trial"].of >= 120 * 3 * 8
        assert found.undated == {"control": 300, "trial": 360}
        assert found.findings.verdict.enough
        assert await service.review(KEY) is not None
        assert service.known(KEY) is not None
        await service.close()

    asyncio.run(test())
    told = [text for text in held.told() if "can be judged" in text]
    assert len(told) == 1
    assert "trial is" in told[0]
    assert "points above control" in told[0]
    assert held.rig.metric("geodns_experiment_enough", zone=NAME, experiment="new-mta") == 1
    labels = {"zone": NAME, "experiment": "new-mta", "arm": "trial"}
    assert held.rig.metric("geodns_experiment_queries_total", **labels) == 60
    assert held.rig.metric("geodns_experiment_rate_ratio", **labels, metric="deferred") == pytest.approx(0.25)


def test_an_experiment_by_time_has_its_slots_settled(held: Held) -> None:
    now = time.time()
    held.edit(by="time", slot=3600, horizon=14 * 86400.0)
    held.service.look(now - 8 * 86400)

    async def test() -> None:
        signals = held.rig.services.signals
        assert await held.service.review(KEY) is None, (
            "signals are not read yet: no slot is settled without mail"
        )
        assert held.service.epochs[KEY].slots == {}
        await signals.begin(5.0)
        found = await held.service.review(KEY)
        assert found is not None
        assert not found.findings.verdict.enough
        await held.service.close()

    asyncio.run(test())
    slots = held.service.epochs[KEY].slots
    assert 47 <= len(slots) <= 48
    assert held.again().epochs[KEY].slots == slots


def test_nothing_is_said_of_what_is_not_held(held: Held) -> None:
    assert asyncio.run(held.service.review((NAME, "none"))) is None
    held.report("new-mta/trial", queries={1: 1})
    assert held.service.epochs == {}


def test_a_save_that_is_cut_short_is_made_up_for(held: Held) -> None:
    held.service.look(100.0)
    held.report("new-mta/trial", queries={9000: 5})

    async def cut_short() -> None:
        saving = asyncio.create_task(held.service.save())
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving

    asyncio.run(cut_short())
    assert held.again().epochs[KEY].of("trial").queries == 5


def test_whoever_asks_meanwhile_waits_for_the_review_that_is_under_way(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0

    async def asked() -> None:
        ends = asyncio.Event()

        async def review(_: object) -> None:
            nonlocal begun
            begun += 1
            await ends.wait()

        monkeypatch.setattr(held.service, "review", review)
        for _ in range(3):
            assert await held.service.soon(KEY, 0.001) is None
        last = asyncio.create_task(held.service.soon(KEY, 60.0))
        ends.set()
        await last

    asyncio.run(asked())
    assert begun == 1
