"""Keeps what is counted of an experiment in one epoch, and reads and writes it as JSON text."""

import base64
import json
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from geodns.model.experiments import SEATS, Experiment
from geodns.model.mail import MailEvent, MailTally

FIVE, HOUR, DAY = 300, 3600, 86400
KEPT = 90 * DAY
"""Seconds for which slots and what is left out are kept, as counts of mail are."""

ExperimentKey = tuple[str, str]
"""Zone and name."""
Span = tuple[int, int]
"""Begin and end in seconds since the epoch, whole five minutes; the end is exclusive."""
Stay = tuple[float, float | None]
MAX_STAYS = 20
"""Of a host; of one that comes and goes, the last ones count."""


@dataclass(slots=True)
class ArmCounts:
    """Queries and answers of an arm.

    Attributes:
        failovers: answers in which nobody of the arm was live, and the first arm's hosts were dealt.
        seats: queries by the number that the client's network hashes to.

    """

    queries: int = 0
    answers: int = 0
    failovers: int = 0
    seats: dict[int, int] = field(default_factory=dict)


class SettledSlot(NamedTuple):
    """A slot so long ago that its mail changes no more.

    Attributes:
        undated: events of mail of which it is not known when it came in.

    """

    tally: MailTally
    undated: int


@dataclass(slots=True)
class Epoch:
    """An experiment as long as nothing of it is changed.

    Attributes:
        number: from 1.
        since: seconds since the epoch.
        terms: what it is that must not change.
        hosts: by client, which arm each host was in first.
        stays: when it was in it; the end is None for one that lasts.
        left_out: when an arm was on a fallback, or by time the control process away; sorted, apart from one
            another.
        slots: by time, those that are settled, by begin.
        slot_hosts: by time, the hosts that had mail, by arm.
        enough: whether that there is enough was told.
        looked: by time, when the control process last saw to it that the slot's arm is dealt; 0: never.

    """

    number: int
    since: float
    terms: str
    counts: dict[str, ArmCounts] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    stays: dict[str, list[Stay]] = field(default_factory=dict)
    left_out: list[Span] = field(default_factory=list)
    slots: dict[int, SettledSlot] = field(default_factory=dict)
    slot_hosts: dict[str, list[str]] = field(default_factory=dict)
    enough: bool = False
    looked: float = 0.0

    def of(self, arm: str) -> ArmCounts:
        return self.counts.setdefault(arm, ArmCounts())

    def note_hosts(self, hosts: Mapping[str, str], now: float) -> bool:
        """Note which arm each host is in now; say whether any has come or gone."""
        changed = False
        for host in hosts.keys() | self.stays.keys():
            stays = self.stays.setdefault(host, [])
            stays_now = bool(stays) and stays[-1][1] is None
            if host in hosts and not stays_now:
                self.hosts[host] = hosts[host]
                self.stays[host] = [*stays, (now, None)][-MAX_STAYS:]
            elif host not in hosts and stays_now:
                stays[-1] = stays[-1][0], now
            else:
                continue
            changed = True
        return changed

    def has(self, host: str, at: float) -> bool:
        """Say whether mail that came in within five minutes from a time was sent for the host's arm."""
        return any(
            begin // FIVE * FIVE <= at and (end is None or at < end)
            for begin, end in self.stays.get(host, ())
        )

    def leave_out(self, now: float, since: float | None = None) -> None:
        """Leave out the five minutes that a time falls into, and all since an earlier one."""
        begin, end = _five(now if since is None else since), _five(now) + FIVE
        if self.left_out and self.left_out[-1][1] >= begin:
            first, last = self.left_out[-1]
            self.left_out[-1] = first, max(last, end)
        else:
            self.left_out.append((begin, end))

    def look(self, now: float) -> None:
        """Leave out the time since the last look if it was long: workers kept to the arm of the slot then."""
        if now < self.looked:  # the clock was set back, and what is left out ahead of it is not known
            end = _five(now) + FIVE
            self.left_out = [(first, min(last, end)) for first, last in self.left_out if first < end]
        elif self.looked and now - self.looked > FIVE:
            self.leave_out(now, self.looked)
        self.looked = now

    def prune(self, now: float) -> None:
        """Drop what is older than counts of mail are kept."""
        self.left_out = [span for span in self.left_out if span[1] > now - KEPT]
        self.slots = {at: one for at, one in self.slots.items() if at > now - KEPT}


def _five(at: float) -> int:
    """Return when the five minutes of a time began."""
    return int(at // FIVE) * FIVE


def terms_of(experiment: Experiment) -> str:
    """Return what may not change within an epoch, as text."""
    slot = experiment.slot if experiment.by == "time" else 0
    arms = [[arm.name, arm.share, arm.pool] for arm in experiment.arms]
    return json.dumps([experiment.owner, experiment.pool, arms, experiment.by, slot, experiment.salt])


# ----- as text


def text_of(rows: Iterable[str]) -> str:
    """Return the text to keep, of rows by `row_of`."""
    return f"[{','.join(rows)}]"


def row_of(key: ExperimentKey, one: Epoch) -> str:
    """Return an epoch as text; takes a millisecond an arm."""
    return json.dumps(_row(key, one), separators=(",", ":"))


def _row(key: ExperimentKey, one: Epoch) -> dict[str, Any]:
    return {
        "zone": key[0],
        "name": key[1],
        "number": one.number,
        "since": one.since,
        "terms": one.terms,
        "counts": {
            arm: [some.queries, some.answers, some.failovers, _packed(some.seats)]
            for arm, some in one.counts.items()
        },
        "hosts": one.hosts,
        "stays": one.stays,
        "left_out": one.left_out,
        "slots": {at: _slot_row(slot) for at, slot in one.slots.items()},
        "slot_hosts": one.slot_hosts,
        "enough": one.enough,
        "looked": one.looked,
    }


def _slot_row(slot: SettledSlot) -> list[Any]:
    return [
        slot.tally.first,
        slot.undated,
        {str(event): number for event, number in slot.tally.events.items()},
    ]


def epochs_of(text: str | None) -> dict[ExperimentKey, Epoch]:
    """Return what `text_of` wrote; an epoch that makes no sense is left out."""
    found = {}
    try:
        rows = json.loads(text or "[]")
    except ValueError:
        rows = []
    for row in rows if isinstance(rows, list) else ():
        try:
            found[str(row["zone"]), str(row["name"])] = _epoch(row)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _epoch(row: dict[str, Any]) -> Epoch:
    return Epoch(
        number=int(row["number"]),
        since=float(row["since"]),
        terms=str(row["terms"]),
        counts={
            str(arm): ArmCounts(int(queries), int(answers), int(failovers), _unpacked(seats))
            for arm, (queries, answers, failovers, seats) in row["counts"].items()
        },
        hosts={str(host): str(arm) for host, arm in row["hosts"].items()},
        stays={
            str(host): [(float(begin), None if end is None else float(end)) for begin, end in stays]
            for host, stays in row["stays"].items()
        },
        left_out=[(int(begin), int(end)) for begin, end in row["left_out"]],
        slots={int(at): _slot(*slot) for at, slot in row["slots"].items()},
        slot_hosts={str(arm): [str(host) for host in hosts] for arm, hosts in row["slot_hosts"].items()},
        enough=bool(row["enough"]),
        looked=float(row["looked"]),
    )


def _slot(first: int, undated: int, events: Mapping[str, int]) -> SettledSlot:
    tally = MailTally(int(first), {MailEvent(event): int(number) for event, number in events.items()})
    return SettledSlot(tally, int(undated))


def _packed(seats: Mapping[int, int]) -> str:
    """Return queries by seat as text: a number for each seat takes less than seats and numbers."""
    row = array("Q", bytes(8 * SEATS))
    for seat, number in seats.items():
        row[seat] = number
    return base64.b64encode(zlib.compress(row.tobytes())).decode()


def _unpacked(text: str) -> dict[int, int]:
    try:
        unpacking = zlib.decompressobj()
        row = array("Q", unpacking.decompress(base64.b64decode(text), 8 * SEATS))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(row) != SEATS:
        raise ValueError("queries by seat are cut short")
    return {seat: number for seat, number in enumerate(row) if number}
