"""Computes the rates of an experiment's arms, and says whether they differ beyond chance."""

import importlib.util
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from geodns.config.times import duration_text, timestamp
from geodns.model.experiments import METRICS, PROMPT_METRICS, ArmPlace, Experiment
from geodns.model.mail import MailEvent, MailTally

if TYPE_CHECKING:
    from geodns.control.experiment_intervals import ArmSlot, Comparison, HostHour

NETWORKS, HOSTS, BLOCKS = 20, 3, 20
"""The fewest effective networks, hosts and blocks of an arm for a verdict."""
INSTALL = "install numpy for intervals: pip install 'geodns[experiments]'"

UNREAD = "its mail is not read yet: ask again in a moment, and look for alerts"


class ArmMail(NamedTuple):
    """The fate of an arm's mail that came in within one hour at a host, or within one slot.

    Attributes:
        host: empty by time.
        at: when the hour or slot began, in seconds since the epoch.

    """

    arm: str
    host: str
    at: int
    tally: MailTally


class ArmRate(NamedTuple):
    """A part of the first attempts, with its interval of 95 %; None: too little is known for one."""

    value: float
    low: float | None
    high: float | None
    of: int


class ArmDifference(NamedTuple):
    """By how much an arm's rate is above the first arm's.

    Attributes:
        low: of the interval of 95 %; wider where several are told, so that it leaves 0 out only where a
            difference is left after Holm's correction.

    """

    metric: str
    arm: str
    against: str
    difference: float | None
    low: float | None = None
    high: float | None = None


class ArmVerdict(NamedTuple):
    """The verdict on the second arm by the primary metric.

    Attributes:
        enough: whether the difference may be acted on, whatever it is.
        why: one sentence.

    """

    of: ArmDifference
    enough: bool
    why: str


class Findings(NamedTuple):
    """Rates and differences of the arms; `others`: by further metrics and arms, none of them decides."""

    rates: Mapping[str, Mapping[str, ArmRate]]
    verdict: ArmVerdict
    others: tuple[ArmDifference, ...] = ()


def effective(queries: Mapping[int, int]) -> float:
    """Return how many networks of equal size would be as many: one over the sum of squared shares."""
    total, squares = sum(queries.values()), sum(number**2 for number in queries.values())
    return total**2 / squares if squares else 0.0


def unread(experiment: Experiment) -> Findings:
    """Return findings of an experiment whose mail could not be read yet."""
    first, second = (arm.name for arm in experiment.arms[:2])
    nothing = dict.fromkeys(METRICS, ArmRate(0.0, None, None, 0))
    verdict = ArmVerdict(ArmDifference(experiment.metric, second, first, None), False, UNREAD)
    return Findings({arm.name: nothing for arm in experiment.arms}, verdict)


def judge(
    experiment: Experiment,
    mail: Sequence[ArmMail],
    hosts: Mapping[str, int],
    networks: Mapping[str, float],
    since: float,
    now: float,
    seed: int = 1,
) -> Findings:
    """Say what an experiment's mail tells; takes a second for weeks of it by time.

    Args:
        experiment: of one epoch.
        mail: what counts of it.
        hosts: that had mail, by arm.
        networks: effective ones, by arm.
        since: when the epoch began, in seconds since the epoch.
        now: likewise.
        seed: of what is drawn.

    """
    able = importlib.util.find_spec("numpy") is not None
    by_arm: dict[str, list[ArmMail]] = defaultdict(list)
    for one in mail:
        by_arm[one.arm].append(one)
    counted = {metric: _counted(mail, metric) for metric in METRICS}
    judging = _Judging(experiment, counted, seed) if able else None
    rates = {
        arm.name: {metric: _rate(counted[metric], arm.name, metric, judging) for metric in METRICS}
        for arm in experiment.arms
    }
    first, *rest = (arm.name for arm in experiment.arms)
    pairs = [(metric, arm) for arm in rest for metric in _told(experiment)]
    found = _differences(pairs, first, rates, judging)
    # One alone decides: what is told beside it is corrected for its number, and the one is not.
    primary = (experiment.metric, rest[0])
    plain = _differences([primary], first, rates, judging)[0]
    why = _lacking(experiment, by_arm, hosts, networks, since, now) if able else INSTALL
    if not why and plain.low is None:
        why = "there is too little mail for an interval"
    verdict = ArmVerdict(plain, not why, why or _said(plain))
    return Findings(rates, verdict, tuple(one for one in found if (one.metric, one.arm) != primary))


def _told(experiment: Experiment) -> tuple[str, ...]:
    return METRICS if experiment.by == "client" else PROMPT_METRICS


class _Counted(NamedTuple):
    """An arm's mail of an hour or slot, as one metric counts it: a part `number` of the first attempts."""

    arm: str
    host: str
    at: int
    number: int
    of: int


def _counted(mail: Sequence[ArmMail], metric: str) -> list[_Counted]:
    event = MailEvent(metric)
    return [
        # Without the time it came in, an event of later attempts may count elsewhere than the first.
        _Counted(
            one.arm, one.host, one.at, min(one.tally.events.get(event, 0), one.tally.first), one.tally.first
        )
        for one in mail
    ]


class _Judging:
    """Counts by metric, and their comparison by numpy; made only where numpy is."""

    def __init__(self, experiment: Experiment, counted: Mapping[str, Sequence[_Counted]], seed: int) -> None:
        from geodns.control import experiment_intervals  # noqa: PLC0415 - numpy is not loaded at start

        self._intervals = experiment_intervals
        self._experiment = experiment
        self._seed = seed
        self._known: dict[tuple[str, str, str], Comparison | None] = {}
        self._hours: dict[str, list[HostHour]] = {}
        self._slots: dict[str, list[ArmSlot]] = {}
        self._places: dict[int, ArmPlace] = {}
        for metric, some in counted.items():
            if experiment.by == "client":
                self._hours[metric] = [experiment_intervals.HostHour(*one) for one in some]
            else:
                self._slots[metric] = [self._slot(one) for one in some]

    def _slot(self, one: _Counted) -> "ArmSlot":
        place = self._places.get(one.at)
        if place is None:
            place = self._places[one.at] = self._experiment.place_at(one.at)
        return self._intervals.ArmSlot(
            one.arm, place.square, place.row, place.column, one.at, one.number, one.of
        )

    def rate(self, arm: str, metric: str) -> tuple[float, float] | None:
        if self._experiment.by == "time":
            slots = [one for one in self._slots[metric] if one.arm == arm]
            return self._intervals.slot_rate_interval(slots, self._seed)
        hours = [one for one in self._hours[metric] if one.arm == arm]
        return self._intervals.host_rate_interval(hours, self._seed)

    def differences(
        self, pairs: Sequence[tuple[str, str]], against: str
    ) -> dict[tuple[str, str], tuple[float, tuple[float, float] | None]]:
        """Return the difference and its interval of each metric and arm of which something is known."""
        compared = {pair: self._compared(*pair, against) for pair in pairs}
        known = {pair: one for pair, one in compared.items() if one is not None}
        corrected = self._intervals.holm([one.p for one in known.values()])
        return {
            pair: (one.difference, one.interval(self._intervals.ALPHA * one.p / p))
            for (pair, one), p in zip(known.items(), corrected, strict=True)
        }

    def _compared(self, metric: str, arm: str, against: str) -> "Comparison | None":
        key = metric, arm, against
        if key not in self._known:
            self._known[key] = self._compare(*key)
        return self._known[key]

    def _compare(self, metric: str, arm: str, against: str) -> "Comparison | None":
        if self._experiment.by == "client":
            return self._intervals.compare_clients(self._hours[metric], arm, against, self._seed)
        turns = [one.name for one in self._experiment.turns]
        return self._intervals.compare_times(self._slots[metric], turns, arm, against, self._seed)


def _rate(counted: Sequence[_Counted], arm: str, metric: str, judging: _Judging | None) -> ArmRate:
    number = sum(one.number for one in counted if one.arm == arm)
    of = sum(one.of for one in counted if one.arm == arm)
    low, high = (judging and judging.rate(arm, metric)) or (None, None)
    return ArmRate(number / of if of else 0.0, low, high, of)


def _differences(
    pairs: Sequence[tuple[str, str]],
    against: str,
    rates: Mapping[str, Mapping[str, ArmRate]],
    judging: _Judging | None,
) -> list[ArmDifference]:
    known = judging.differences(pairs, against) if judging is not None else {}
    found = []
    for metric, arm in pairs:
        mine, yours = rates[arm][metric], rates[against][metric]
        plain = mine.value - yours.value if mine.of and yours.of else None
        difference, interval = known.get((metric, arm), (plain, None))
        found.append(ArmDifference(metric, arm, against, difference, *(interval or (None, None))))
    return found


def _lacking(
    experiment: Experiment,
    by_arm: Mapping[str, Sequence[ArmMail]],
    hosts: Mapping[str, int],
    networks: Mapping[str, float],
    since: float,
    now: float,
) -> str:
    """Return what a verdict lacks; empty: nothing."""
    if experiment.metric not in _told(experiment):
        return f"{experiment.metric} gets no verdict by time: it is known too late to be one arm's"
    end = since + experiment.horizon
    if now < end:
        horizon = duration_text(experiment.horizon)
        return (
            f"the horizon of {horizon} is over at {timestamp(end)}: who looks earlier finds what is not there"
        )
    for arm in experiment.arms[:2]:
        had = networks.get(arm.name, 0.0)
        if experiment.by == "client" and had < NETWORKS:
            return f"{arm.name} has {had:.1f} effective networks, under {NETWORKS}: a few resolvers decide"
        if (some := hosts.get(arm.name, 0)) < HOSTS:
            return f"{arm.name} has mail of {some} hosts, under {HOSTS}: what one of them does decides"
        blocks = sum(one.tally.first > 0 for one in by_arm.get(arm.name, ()))
        if blocks < BLOCKS:
            what = "slots" if experiment.by == "time" else "hours of hosts"
            return f"{arm.name} has mail of {blocks} {what}, under {BLOCKS}"
    return ""


def _said(one: ArmDifference) -> str:
    assert one.low is not None and one.high is not None  # noqa: PT018 - both or none
    if one.low <= 0 <= one.high:
        return f"{one.arm} and {one.against} do not differ beyond chance"
    side = "above" if one.low > 0 else "below"
    low, high = sorted((abs(one.low), abs(one.high)))
    return f"{one.arm} is {100 * low:.2g} to {100 * high:.2g} points {side} {one.against}"
