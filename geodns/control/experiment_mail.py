"""Puts the mail of hosts to the arms of an experiment: by client the host tells the arm, by time the slot."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from geodns.control.experiment_epochs import FIVE, HOUR, KEPT, Epoch, SettledSlot, Span
from geodns.control.experiments import ArmMail
from geodns.control.signal_figures import MailStep
from geodns.model.experiments import Experiment
from geodns.model.mail import MailTally, summed
from geodns.model.zone import Zone


class ArmsMail(NamedTuple):
    """An epoch's mail as it counts, the hosts that had some, and the undated events by arm."""

    mail: list[ArmMail]
    hosts: Mapping[str, set[str]]
    undated: Mapping[str, int]
    settled: Mapping[int, SettledSlot]


def without(span: Span, left_out: Iterable[Span]) -> Iterator[Span]:
    """Yield what of a span remains when others are taken away; these are sorted."""
    begin, end = span
    for first, last in left_out:
        if last <= begin or first >= end:
            continue
        if first > begin:
            yield begin, first
        begin = last
    if begin < end:
        yield begin, end


def steps_of(span: Span) -> Iterator[tuple[int, int, int]]:
    """Cover a span by hours, and by five minutes at its ends: the step, and begin and end of several."""
    begin, end = span
    first, last = -(-begin // HOUR) * HOUR, end // HOUR * HOUR
    if first >= last:
        yield FIVE, begin, end
        return
    for step, one, other in ((FIVE, begin, first), (HOUR, first, last), (FIVE, last, end)):
        if one < other:
            yield step, one, other


def counted_slot(experiment: Experiment, at: int, ttl: int) -> tuple[str, Span]:
    """Return the arm of the slot that a time falls into, and what of it counts.

    For the TTL after a switch, and for five minutes at least, clients may still go where the slot before sent
    them: that is not counted.
    """
    place = experiment.place_at(at)
    begin = place.begin
    if experiment.place_at(begin - 1).arm.name != place.arm.name:
        begin += -(-max(ttl, FIVE) // FIVE) * FIVE
    return place.arm.name, (begin, place.end)


def hosts_by_arm(zone: Zone, experiment: Experiment) -> dict[str, frozenset[str]]:
    """Return the hosts that each arm's pool and those that help it out have."""
    return {arm.name: zone.hosts_reached[arm.pool] for arm in experiment.arms}


def hosts_of(zone: Zone, experiment: Experiment) -> dict[str, str]:
    """Return which arm each host is in; of several the first, as where a source has just found it."""
    found: dict[str, str] = {}
    for arm, hosts in hosts_by_arm(zone, experiment).items():
        found |= dict.fromkeys(sorted(hosts - found.keys()), arm)
    return found


# ----- by client: the host tells the arm


def client_steps(epoch: Epoch, experiment: Experiment, now: float) -> Iterator[tuple[int, int, int]]:
    """Return the steps to read: since the epoch began, but for when an arm was on a fallback.

    Mail after the horizon does not count: who looks again and again finds a difference sooner or later.
    """
    begin = -(-int(max(epoch.since, now - KEPT)) // FIVE) * FIVE
    end = int(min(now, epoch.since + experiment.horizon) // FIVE) * FIVE + FIVE
    for part in without((begin, end), epoch.left_out):
        yield from steps_of(part)


def clients_mail(epoch: Epoch, steps: Sequence[MailStep]) -> ArmsMail:
    """Put the mail of hosts to their arms, by hours."""
    tallies: dict[tuple[str, str, int], list[MailTally]] = defaultdict(list)
    hosts: dict[str, set[str]] = defaultdict(set)
    undated: dict[str, int] = defaultdict(int)
    for one in steps:
        arm = epoch.hosts.get(one.host)
        if arm is None or not epoch.has(one.host, one.at):
            continue
        tallies[arm, one.host, one.at // HOUR * HOUR].append(one.tally)
        undated[arm] += one.undated
        if one.tally.first:
            hosts[arm].add(one.host)
    mail = [ArmMail(*key, summed(some)) for key, some in tallies.items()]
    return ArmsMail(mail, hosts, undated, {})


# ----- by time: the slot tells the arm

CountedSlots = Mapping[int, tuple[str, list[Span]]]
"""By begin the arm, and what of the slot counts."""


def open_slots(epoch: Epoch, experiment: Experiment, ttl: int, now: float) -> CountedSlots:
    """Return the slots that are over, and not settled yet; none after the horizon."""
    last = min(now, epoch.since + experiment.horizon)
    found: dict[int, tuple[str, list[Span]]] = {}
    place = experiment.place_at(max(epoch.since, now - KEPT))
    at = place.begin if place.begin >= epoch.since else place.end
    while True:
        end = experiment.place_at(at).end
        if end > last:
            return found
        if at not in epoch.slots:
            arm, span = counted_slot(experiment, at, ttl)
            found[at] = arm, list(without(span, epoch.left_out))
        at = end


def slots_mail(
    epoch: Epoch,
    experiment: Experiment,
    members: Mapping[str, Collection[str]],
    slots: CountedSlots,
    steps: Sequence[MailStep],
) -> ArmsMail:
    """Put the mail of the hosts of a slot's arm to the slot."""
    begins = sorted(slots)
    tallies: dict[int, list[MailTally]] = defaultdict(list)
    late: dict[int, int] = defaultdict(int)
    hosts = defaultdict(set, {arm: set(some) for arm, some in epoch.slot_hosts.items()})
    for one in steps:
        at = begins[bisect_right(begins, one.at) - 1]
        arm = slots[at][0]
        if one.host in members[arm]:
            tallies[at].append(one.tally)
            late[at] += one.undated
            if one.tally.first:
                hosts[arm].add(one.host)
    fresh = {at: SettledSlot(summed(tallies[at]), late[at]) for at in begins}
    undated: dict[str, int] = defaultdict(int)
    mail = []
    for at, slot in sorted({**epoch.slots, **fresh}.items()):
        arm = experiment.place_at(at).arm.name
        mail.append(ArmMail(arm, "", at, slot.tally))
        undated[arm] += slot.undated
    return ArmsMail(mail, hosts, undated, fresh)
