"""Works out figures of hosts' mail from the file of signals, of all servers that count together."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from geodns.model.mail import MailKind, MailTally
from geodns.signals import delays
from geodns.signals.mail_window import DAY, begin_of, spans, tally
from geodns.storage.signal_file import COUNTS_KEPT, DELAYS_KEPT, SignalFile


class Figures(NamedTuple):
    """What became of a host's mail to one provider.

    Attributes:
        undated: events of mail of which it is not known when it came in.
        delay_p50: seconds within which half of the mail was delivered; None: not known.
        delay_p95: seconds within which nearly all was.

    """

    tally: MailTally
    undated: int
    delay_p50: float | None
    delay_p95: float | None


class MailStep(NamedTuple):
    """What became of a host's mail that came in within a step of so many seconds that begins at a time.

    Attributes:
        undated: events of mail of which it is not known when it came in.

    """

    host: str
    step: int
    at: int
    tally: MailTally
    undated: int


ZoneFigures = Mapping[str, Mapping[str, Figures]]
"""By host and provider."""


def figures_of(
    file: SignalFile, zone: str, start: float, end: float, now: float
) -> dict[str, dict[str, Figures]]:
    """Return what a file knows of a zone's mail, by host and provider; see `SignalService.figures`."""
    counts: dict[tuple[str, str], list[tuple[MailKind, int]]] = {}
    for step, begin, last in spans(start, end, COUNTS_KEPT, now):
        for (_, host), _, some in file.all_counts(step, begin, last, zone):
            for (_, provider, kind), number in some.items():
                counts.setdefault((host, provider), []).append((kind, number))
    bins: dict[tuple[str, str], list[delays.Bins]] = {}
    kept = DELAYS_KEPT if end - start <= 2 * DAY else {DAY: DELAYS_KEPT[DAY]}
    for step, begin, last in spans(begin_of(min(kept), start), end, kept, now):
        for (_, host), _, found in file.delays(step, begin, last, zone):
            for provider, one in found.items():
                bins.setdefault((host, provider), []).append(one)
    figures: dict[str, dict[str, Figures]] = {}
    for (host, provider), some_kinds in counts.items():
        took = delays.quantiles(delays.merged(bins.get((host, provider), ())), 0.5, 0.95)
        undated = sum(number for kind, number in some_kinds if not kind.dated)
        figures.setdefault(host, {})[provider] = Figures(tally(some_kinds), undated, *took)
    return figures


def steps_of(
    file: SignalFile, zone: str, hosts: Collection[str], over: Sequence[tuple[int, int, int]]
) -> list[MailStep]:
    """Return the mail of hosts by step; see `SignalService.steps`."""
    kinds: dict[tuple[str, int, int], list[tuple[MailKind, int]]] = {}
    for step, begin, end in over:
        for (_, host), at, some in file.all_counts(step, begin, end, zone, hosts):
            of = kinds.setdefault((host, step, at), [])
            of += [(kind, number) for (_, _, kind), number in some.items()]
    return [
        MailStep(*key, tally(some), sum(number for kind, number in some if not kind.dated))
        for key, some in kinds.items()
    ]
