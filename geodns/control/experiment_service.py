"""Counts what the arms of experiments are asked and dealt, and finds what became of their mail."""

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from geodns.compiler.choice import Choice, own_using
from geodns.control.cluster import Cluster
from geodns.control.experiment_epochs import DAY, Epoch, ExperimentKey, epochs_of, row_of, terms_of, text_of
from geodns.control.experiment_mail import (
    ArmsMail,
    client_steps,
    clients_mail,
    hosts_by_arm,
    hosts_of,
    open_slots,
    slots_mail,
    steps_of,
)
from geodns.control.experiments import Findings, effective, judge
from geodns.control.persistence import Persistence
from geodns.control.signal_service import SignalService
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError
from geodns.model.experiments import Experiment
from geodns.model.zone import Zone
from geodns.serve.frames import CountsReport, Message
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

NOTE = "experiments"
"""Name of the note that keeps all this over a restart."""
LOOK_EVERY = 5.0
SAVE_EVERY = 60.0
REVIEW_EVERY = 600.0
"""Seconds after which a verdict is looked at though nobody asks."""
SHARE = 50
"""Findings are good for so many times as long as they took: whoever asks takes 2 % of a core."""
SETTLED = 6 * DAY
"""Seconds after which a slot's mail counts as told: counts by five minutes are kept for little longer."""


class Reviewed(NamedTuple):
    """The findings of an epoch.

    Attributes:
        undated: events by arm of mail that came in nobody knows when; they count when they happened.
        until: by the monotonic clock, for how long it is new.

    """

    epoch: int
    findings: Findings
    undated: Mapping[str, int]
    until: float


class ExperimentService:
    """The experiments of all zones.

    Attributes:
        epochs: what is counted since nothing of an experiment was changed.

    """

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        persistence: Persistence,
        events: EventLog,
        signals: SignalService,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._persistence = persistence
        self._events = events
        self._signals = signals
        self.epochs: dict[ExperimentKey, Epoch] = epochs_of(persistence.note(NOTE))
        self._rows: dict[ExperimentKey, str] = {}
        self._placed: dict[ExperimentKey, Zone] = {}
        """The zone by which the hosts of arms were noted last."""
        self._changed: set[ExperimentKey] = set()
        self._reviews: dict[ExperimentKey, Reviewed] = {}
        self._reviewing = asyncio.Lock()
        self._asked: dict[ExperimentKey, asyncio.Future[Reviewed | None]] = {}
        """Reviews that somebody waits for, or has given up waiting for: one each, however many ask."""
        self._desk = ThreadPoolExecutor(1, "experiments")
        workers.subscribe(self._on_message)

    # --- counting ---------------------------------------------------------------------------------------

    def held(self) -> dict[ExperimentKey, tuple[Zone, Experiment]]:
        """Return the experiments of the zones that are served."""
        return {
            (name, one.name): (zone, one)
            for name, zone in self._cluster.zones.items()
            for one in zone.experiments
        }

    def _on_message(self, message: Message) -> None:
        if not isinstance(message, CountsReport) or not self.epochs:
            return
        for (zone, key, seat), number in message.counts.networks.items():
            experiment, _, arm = key.partition("/")
            epoch = self.epochs.get((zone, experiment))
            counts = epoch.counts.get(arm) if epoch is not None else None  # None: of an epoch before
            if counts is not None:
                counts.queries += number
                counts.seats[seat] = counts.seats.get(seat, 0) + number
                self._changed.add((zone, experiment))
        for (uid, part, _), number in message.counts.dealt.items():
            rotation = self._workers.rotation(uid) if part == 0 else None
            if rotation is None or not rotation.key.arm:
                continue
            experiment, _, arm = rotation.key.arm.partition("/")
            epoch = self.epochs.get((rotation.key.zone, experiment))
            counts = epoch.counts.get(arm) if epoch is not None else None
            if epoch is not None and counts is not None:
                counts.answers += number
                self._changed.add((rotation.key.zone, experiment))
                if rotation.failover:
                    counts.failovers += number
                    epoch.leave_out(time.time())

    def look(self, now: float) -> None:
        """Begin epochs, end those of experiments that are gone, and note which arms are on a fallback."""
        if not self._cluster.sources:
            return  # no zone is read yet
        held = self.held()
        for key in self.epochs.keys() - held.keys():
            del self.epochs[key]
            self._rows.pop(key, None)
            self._placed.pop(key, None)
            self._reviews.pop(key, None)
            self._tell(key, f"experiment {key[1]} of {key[0]} is over: it is no longer in the zone file")
            self._changed.add(key)
        for key, (zone, experiment) in held.items():
            self._look(key, zone, experiment, now)

    def _look(self, key: ExperimentKey, zone: Zone, experiment: Experiment, now: float) -> None:
        epoch = self.epochs.get(key)
        if epoch is None or self._placed.get(key) is not zone:
            epoch = self._follow(key, zone, experiment, now)
        if experiment.by == "time":
            epoch.look(now)
            self._changed.add(key)
        choices = self._cluster.compiled.choices
        if any(_falls_back(zone, choices.get((key[0], arm.pool))) for arm in experiment.arms):
            epoch.leave_out(now)
            self._changed.add(key)

    def _follow(self, key: ExperimentKey, zone: Zone, experiment: Experiment, now: float) -> Epoch:
        """Take up that a zone has changed; return the experiment's epoch, which may be a new one."""
        self._placed[key] = zone
        epoch, terms = self.epochs.get(key), terms_of(experiment)
        hosts = hosts_of(zone, experiment) if experiment.by == "client" else {}
        moved = epoch is not None and next(
            (host for host, arm in hosts.items() if epoch.hosts.get(host, arm) != arm), None
        )
        if epoch is None or epoch.terms != terms or moved:
            number = epoch.number + 1 if epoch else 1
            why = (
                "it begins"
                if epoch is None
                else f"host {moved} changed its arm"
                if moved
                else "the zone file changes it"
            )
            epoch = self.epochs[key] = Epoch(number, now, terms)
            self._reviews.pop(key, None)
            self._tell(key, f"experiment {key[1]} of {key[0]}: epoch {number}, counted anew: {why}")
            self._changed.add(key)
        for arm in experiment.arms:
            epoch.of(arm.name)
        if epoch.note_hosts(hosts, now):
            self._changed.add(key)
        return epoch

    def _tell(self, key: ExperimentKey, text: str) -> None:
        self._events.tell("experiment", text, level=logging.INFO, zone=key[0], data={"experiment": key[1]})

    # --- running ----------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look, review and save, for ever."""
        saved, reviewed = time.monotonic(), float("-inf")
        while True:
            self.look(time.time())
            if time.monotonic() - reviewed >= REVIEW_EVERY:
                reviewed = time.monotonic()
                for key in list(self.held()):
                    await self.review(key)
            if time.monotonic() - saved >= SAVE_EVERY:
                saved = time.monotonic()
                await self.save()
            await asyncio.sleep(LOOK_EVERY)

    async def save(self) -> None:
        """Keep what has changed."""
        if not self._changed:
            return
        changed, self._changed = self._changed, set()
        try:
            for key in changed:
                if key in self.epochs:
                    self.epochs[key].prune(time.time())
                    self._rows[key] = row_of(key, self.epochs[key])
                    await asyncio.sleep(0)  # many experiments take long, and probes do not wait
        except asyncio.CancelledError:
            self._changed |= changed  # `close` saves them
            raise
        for key in self.epochs.keys() - self._rows.keys():
            self._rows[key] = row_of(key, self.epochs[key])
        self._persistence.keep_note(
            NOTE, text_of(self._rows[key] for key in self.epochs if key in self._rows)
        )

    async def close(self) -> None:
        await self.save()
        self._desk.shutdown(wait=False, cancel_futures=True)

    # --- what is found ----------------------------------------------------------------------------------

    def known(self, key: ExperimentKey) -> Reviewed | None:
        """Return what was found last."""
        return self._reviews.get(key)

    async def soon(self, key: ExperimentKey, seconds: float) -> Reviewed | None:
        """Return what `review` does if it takes no longer than this, else what was found last."""
        work = self._asked.get(key)
        if work is None:
            work = self._asked[key] = asyncio.ensure_future(self.review(key))
            work.add_done_callback(lambda _: self._asked.pop(key, None))
        try:
            return await asyncio.wait_for(asyncio.shield(work), seconds)
        except TimeoutError:
            return self.known(key)

    async def review(self, key: ExperimentKey) -> Reviewed | None:
        """Return what is found, a little old where finding it takes long; None: it is not held, or not read.

        That counts cannot be read is an alert of `SignalService`.
        """
        async with self._reviewing:
            held, epoch = self.held().get(key), self.epochs.get(key)
            if held is None or epoch is None:
                return None
            known = self._reviews.get(key)
            if known is not None and known.epoch == epoch.number and time.monotonic() < known.until:
                return known
            try:
                return await self._review(key, *held, epoch)
            except StoreError as error:
                log.warning("experiment %s of %s is not reviewed: %s", key[1], key[0], error)
                return known

    async def _review(self, key: ExperimentKey, zone: Zone, experiment: Experiment, epoch: Epoch) -> Reviewed:
        # In a thread: weeks of mail take a second, and places in Latin squares some milliseconds each.
        begun, now = time.monotonic(), time.time()
        thread = partial(asyncio.get_running_loop().run_in_executor, self._desk)
        if experiment.by == "client":
            hosts = list(epoch.hosts)
            steps = await self._signals.steps(key[0], hosts, list(client_steps(epoch, experiment, now)))
            found = await thread(clients_mail, epoch, steps)
        else:
            slots = await thread(open_slots, epoch, experiment, _ttl_of(zone, experiment), now)
            spans = [step for _, parts in slots.values() for part in parts for step in steps_of(part)]
            members = hosts_by_arm(zone, experiment)
            steps = await self._signals.steps(key[0], list(set().union(*members.values())), spans)
            found = await thread(slots_mail, epoch, experiment, members, slots, steps)
            self._settle(key, epoch, found, experiment, now)
        networks = {arm.name: effective(epoch.of(arm.name).seats) for arm in experiment.arms}
        numbers = {arm: len(some) for arm, some in found.hosts.items()}
        findings = await thread(judge, experiment, found.mail, numbers, networks, epoch.since, now)
        took = time.monotonic() - begun
        until = time.monotonic() + SHARE * took * len(self.held())
        reviewed = Reviewed(epoch.number, findings, found.undated, until)
        if self.epochs.get(key) is epoch:
            self._reviews[key] = reviewed
            self._tell_enough(key, epoch, findings)
        return reviewed

    def _settle(
        self, key: ExperimentKey, epoch: Epoch, found: ArmsMail, experiment: Experiment, now: float
    ) -> None:
        for at, slot in found.settled.items():
            if at + experiment.slot < now - SETTLED and at not in epoch.slots:
                epoch.slots[at] = slot
                self._changed.add(key)
        epoch.slot_hosts = {arm: sorted(hosts) for arm, hosts in found.hosts.items()}

    def _tell_enough(self, key: ExperimentKey, epoch: Epoch, findings: Findings) -> None:
        verdict = findings.verdict
        if verdict.enough and not epoch.enough:
            text = f"experiment {key[1]} of {key[0]} can be judged by {verdict.of.metric}: {verdict.why}"
            self._tell(key, text)
        if verdict.enough != epoch.enough:
            epoch.enough = verdict.enough
            self._changed.add(key)


def _falls_back(zone: Zone, choice: Choice | None) -> bool:
    """Say whether a pool deals hosts of its fallback or of the last resort."""
    if choice is None:
        return False
    return choice.last_resort is not None or own_using(zone, choice) != (choice.pool,)


def _ttl_of(zone: Zone, experiment: Experiment) -> int:
    return max((rule.ttl for rule in zone.rules_of(experiment)), default=zone.ttl)
