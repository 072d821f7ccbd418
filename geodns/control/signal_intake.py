"""Judges a batch of signals: whose mail each speaks of, and when and as what it counts."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from geodns.config.report import quoted
from geodns.config.value_types import parse_address
from geodns.errors import BadNameError, NotFoundError
from geodns.model.mail import About, MailEvent, MailKind
from geodns.model.providers import OTHER, PROVIDERS
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.signals.delays import bin_of
from geodns.signals.mail_window import DAY, FIRST, FIVE, REFUSALS, Mark, begin_of
from geodns.signals.text_rules import TextRules
from geodns.storage.signal_file import Five
from geodns.storage.signal_rows import Rejected
from geodns.wire.idn import to_ascii

AHEAD = 300.0
"""Seconds that a signal's time may be ahead of ours."""
LATE = 3600.0
"""Seconds after which a signal is only counted."""
OLDEST = 89 * DAY
"""Seconds after which a signal stands in nothing that is kept."""
PER_HOST = 100
"""Providers of a host in a day that are counted apart, beside those that have a name here."""
IN_ALL = 10_000
"""Those of all hosts together."""
FORGOTTEN = DAY
"""Seconds after which a provider that was not seen gives its place to another."""

Classify = Callable[[int, str, str, str], About]
"""Says whom a reply speaks of: its code, enhanced code, text, and the provider."""

_REPLIES = frozenset({MailEvent.DEFERRED, MailEvent.RETRIED, MailEvent.BOUNCED, MailEvent.EXPIRED})
"""Events that a reply of the receiver's has caused."""
_NAMED = frozenset(provider.name for provider in PROVIDERS) | {OTHER}


class Signal(NamedTuple):
    """What became of the mail of some message-recipients, as a client says; times since the epoch.

    Attributes:
        place: in the batch, from 0.
        code: the SMTP code; 0: not known.
        enhanced: such as 5.7.1; empty: not known.
        at: when it happened; None: now.
        queued: when the mail came in; None: not known.
        number: of message-recipients.
        attempt: which one it was, from 1.

    """

    place: int
    zone: str | None
    host: str | None
    egress: str | None
    event: MailEvent
    provider: str
    code: int
    enhanced: str
    text: str
    delay: float | None
    number: int
    at: float | None
    queued: float | None
    attempt: int


class Batch(NamedTuple):
    """What a client has sent.

    Attributes:
        rejected: signals whose form was wrong.
        alive: hosts or addresses whose senders are being read.

    """

    id: str
    signals: Sequence[Signal]
    rejected: Sequence[Rejected] = ()
    alive: Sequence[str] = ()


class HostIndex:
    """Finds hosts of the zones by name, or by the address that their mail leaves from."""

    def __init__(self, zones: Mapping[str, Zone]) -> None:
        self._zones = frozenset(zones)
        self._names: dict[str, list[HostKey]] = {}
        self._sources: dict[str, list[HostKey]] = {}
        for zone in zones.values():
            for host in zone.hosts:
                key = zone.name, host.name
                self._names.setdefault(host.name, []).append(key)
                self._names.setdefault(f"{host.name}.{zone.name}", []).append(key)
                for address in host.sources:
                    self._sources.setdefault(str(address), []).append(key)

    def find(self, zone: str | None, host: str | None, egress: str | None) -> tuple[HostKey, str]:
        """Return a host, and the address its mail left from; empty where the host has no such address.

        Raises:
            NotFoundError: there is none, or there are several.

        """
        address = None
        if egress is not None:
            address = parse_address(egress)
            if address is None:
                raise NotFoundError(f"egress: {quoted(egress)} is no address")
        if zone is not None:
            zone = _plain(zone)
            if zone not in self._zones:
                raise NotFoundError(f"no zone {quoted(zone)} is served")
        senders = self._sources.get(str(address), [])
        if host is not None:
            keys = self._names.get(_plain(host), [])
            key = _one([one for one in keys if one in senders] or keys, zone, f"host {quoted(host)}")
            return key, str(address) if key in senders else ""
        if address is None:
            raise NotFoundError("whose mail was it? write `host` or `egress`")
        return _one(senders, zone, f"host with egress {address}"), str(address)

    def find_alive(self, text: str) -> list[HostKey]:
        """Return the hosts of a name or an address, of all zones."""
        address = parse_address(text)
        return self._names.get(_plain(text), []) if address is None else self._sources.get(str(address), [])


def _plain(name: str) -> str:
    try:
        return to_ascii(name).lower().rstrip(".")
    except BadNameError:
        return name


def _one(found: Iterable[HostKey], zone: str | None, what: str) -> HostKey:
    keys = [key for key in found if zone in {None, key[0]}]
    if not keys:
        raise NotFoundError(f"zone {zone} has no {what}" if zone else f"no {what} is served")
    if len(keys) > 1:
        names = ", ".join(f"{host}.{zone}" for zone, host in keys[:3])
        raise NotFoundError(f"it is not clear which {what} it was ({names}): write `zone` and `host`")
    return keys[0]


class ProviderPlaces:
    """Bounds the providers that are counted apart: others count as `other`.

    Providers with a name here always have a place. Of those that come in one batch, the largest come first.
    """

    def __init__(self) -> None:
        self._seen: dict[HostKey, dict[str, float]] = {}
        self._full: dict[HostKey, float] = {}
        self._swept = 0.0

    def note(self, host: HostKey, providers: Iterable[str], at: float) -> None:
        """Give places to providers that were counted apart at a time before."""
        places = self._seen.setdefault(host, {})
        for provider in providers:
            if provider not in _NAMED:
                places[provider] = max(at, places.get(provider, at))

    def admit(self, host: HostKey, counts: Mapping[str, int], now: float) -> dict[str, str]:
        """Return for each provider of a batch what it counts as."""
        if self._taken() >= IN_ALL and self._swept != now:
            self._swept = now  # once a batch: hosts that send no more must not keep their places
            for other in list(self._seen):
                self._forget(other, now)
        self._forget(host, now)
        places = self._seen.setdefault(host, {})
        taken = self._taken()
        found = {}
        for provider in sorted(counts, key=lambda one: (one not in places, -counts[one], one)):
            found[provider] = provider
            if provider in _NAMED:
                continue
            if provider not in places:
                if len(places) >= PER_HOST or taken >= IN_ALL:
                    found[provider] = OTHER
                    self._full[host] = now
                    continue
                taken += 1
            places[provider] = now
        return found

    def _taken(self) -> int:
        return sum(map(len, self._seen.values()))

    def _forget(self, host: HostKey, now: float) -> None:
        known = self._seen.pop(host, {})
        recent = {provider: at for provider, at in known.items() if now - at <= FORGOTTEN}
        if recent:
            self._seen[host] = recent

    def full(self, now: float) -> list[HostKey]:
        """Return the hosts some of whose providers had no place within the last day."""
        self._full = {host: at for host, at in self._full.items() if now - at <= DAY}
        return sorted(self._full)


class Judged(NamedTuple):
    """What a batch comes to.

    Attributes:
        accepted: signals, whatever they count.
        marked: refusals whose text a rule looks for, by host and the five minutes that the mail came in.
        unknown: texts of replies of which nobody knows whom they speak of, and how often they came.
        hosts: whom the batch speaks of.
        strangers: what is said to be alive, and is not known here.

    """

    accepted: int
    rejected: tuple[Rejected, ...]
    fives: dict[tuple[HostKey, int], Five]
    marked: Mapping[tuple[HostKey, int], Mapping[Mark, int]]
    unknown: Counter[str]
    hosts: frozenset[HostKey]
    strangers: tuple[str, ...]


_Kept = tuple[Signal, HostKey, str, MailKind, float]
"""A signal, whose it is, the address the mail left from, what it counts as, and when the mail came in."""


def judge(
    batch: Batch,
    hosts: HostIndex,
    texts: TextRules,
    places: ProviderPlaces,
    classify: Classify,
    now: float,
) -> Judged:
    """Return what a batch comes to at a time; the arguments are not changed, but for `places`."""
    rejected = list(batch.rejected)
    kept: list[_Kept] = []
    unknown: Counter[str] = Counter()
    known: dict[tuple[int, str, str, str], About] = {}
    sent: dict[HostKey, Counter[str]] = defaultdict(Counter)
    found: dict[tuple[str | None, str | None, str | None], tuple[HostKey, str]] = {}
    for one in batch.signals:
        whose = one.zone, one.host, one.egress
        try:
            if whose not in found:
                found[whose] = hosts.find(*whose)
            host, egress = found[whose]
            at, queued = _times(one, now)
        except (NotFoundError, ValueError) as error:
            rejected.append(Rejected(one.place, str(error)))
            continue
        about = None
        if one.event in _REPLIES:
            reply = one.code, one.enhanced, one.text, one.provider
            about = known.get(reply)
            if about is None:
                about = known[reply] = classify(*reply)
            if about is About.UNKNOWN and one.text:
                unknown[one.text] += one.number
        first = one.event in FIRST and one.attempt == 1
        kind = MailKind(one.event, about, first, now - at > LATE, one.queued is not None)
        kept.append((one, host, egress, kind, queued))
        sent[host][one.provider] += one.number
    shown = {host: places.admit(host, counts, now) for host, counts in sent.items()}
    fives: dict[tuple[HostKey, int], Five] = {}
    for one, host, egress, kind, queued in kept:
        provider = shown[host][one.provider]
        slot = host, begin_of(FIVE, queued)
        five = fives.get(slot)
        if five is None:
            five = fives[slot] = Five()
        key = egress, provider, kind
        five.counts[key] = five.counts.get(key, 0) + one.number
        if one.delay is not None and kind.event is MailEvent.DELIVERED:
            bins = five.delays.setdefault(provider, {})
            place = bin_of(one.delay)
            bins[place] = bins.get(place, 0) + one.number
    alive = {text: hosts.find_alive(text) for text in batch.alive}
    return Judged(
        len(kept),
        tuple(sorted(rejected)),
        fives,
        _marked(kept, texts),
        unknown,
        frozenset(sent).union(*alive.values()),
        tuple(text for text, keys in alive.items() if not keys),
    )


def _marked(kept: Iterable[_Kept], texts: TextRules) -> dict[tuple[HostKey, int], Counter[Mark]]:
    """Return the refusals of first attempts whose text a rule looks for."""
    found: dict[tuple[HostKey, int], Counter[Mark]] = {}
    for one, host, _, kind, queued in kept:
        if kind.first and kind.event in REFUSALS and not kind.late:
            for rule in texts.fitting(host[0], one.provider, one.text):
                found.setdefault((host, begin_of(FIVE, queued)), Counter())[one.provider, rule] += one.number
    return found


def _times(one: Signal, now: float) -> tuple[float, float]:
    """Return when it happened and when the mail came in; raise ValueError where that cannot be."""
    at = now if one.at is None else one.at
    for name, given in (("at", at), ("queued", one.queued if one.queued is not None else at)):
        if given > now + AHEAD:
            raise ValueError(f"`{name}` is {given - now:,.0f} s ahead of this server's clock")
        if given < now - OLDEST:
            raise ValueError(f"`{name}` is more than {OLDEST // DAY} days ago")
    at = min(at, now)  # clocks differ a little: nothing has come to pass in the future
    return at, at if one.queued is None else min(one.queued, at)
