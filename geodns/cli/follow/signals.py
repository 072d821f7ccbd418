"""Turns lines into signals: provider, address of ours, attempt; nobody's mail address."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.said import Complaint, Delivery, Expired, Finished, Said
from geodns.model.mail import MailEvent
from geodns.model.providers import OTHER, provider_of_domain, provider_of_mx

MOST_SIGNALS = 5_000
MOST_BYTES = 3 << 20
"""In one batch: the server takes 10,000 signals, and 4 MB."""
LONGEST_TEXT = 1_000
BLANK = "<redacted>"

_ADDRESS = re.compile(
    r"""<?(?:"[^"\s]{0,64}"|[^\s<>()\[\],;:"'/]{1,256})(?:@|%40)[^\s<>()\[\],;:"'&/?=]{1,256}>?"""
)
_BARE = re.compile(r"""[<"'(]([^\s<>"'()]{1,64})[>"')]""")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_USER = re.compile(r"\b((?:user|mailbox|account|recipient)\b[\s:=]+)([^\s<>\"'()]{1,64})", re.IGNORECASE)
_DSN = re.compile(r"[2-5]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?|[245]\.\d{1,3}\.\d{1,3}")
_LATEST = 4e10
"""Seconds since the epoch that can be told as a date."""
_CACHED = 20_000


class LogSignal(NamedTuple):
    """One or more events that differ in nothing; their number is kept beside it."""

    who: str
    event: MailEvent
    provider: str
    at: float
    queued: float | None
    dsn: str = ""
    text: str = ""
    delay: float | None = None
    attempt: int = 1


class Sender(NamedTuple):
    """Whom signals are of: names in the zones.

    Attributes:
        zone: the zone that is meant; "": the name or address says it.
        host: of lines that tell no address; "": `egress` is told.
        egress: likewise, an address.
        named: the addresses of what logs name: syslog names, transports, egress sources, or local addresses.

    """

    zone: str = ""
    host: str = ""
    egress: str = ""
    named: Mapping[str, str] = {}

    def of(self, sender: str, local: str) -> str:
        """Return what tells where mail left from: an address, "" for `host`."""
        named = self.named.get(sender) or self.named.get(local)
        return named or local or self.egress

    def fields(self, who: str) -> dict[str, str]:
        """Return a signal's fields that say who."""
        found = {"zone": self.zone, "egress": who, "host": "" if who else self.host}
        return {name: value for name, value in found.items() if value}


class Collector:
    """Turns what lines say into signals, and counts them until they are taken.

    Attributes:
        heard: the addresses that mail was seen to leave from; "" for the host that is named.
        inside: deliveries that were to ourselves, and not counted.
        nameless: deliveries of which nobody can say what they left from.
        timeless: deliveries at no possible time.

    """

    def __init__(self, sender: Sender, attempts: Attempts, ours: "Ours") -> None:
        self._sender = sender
        self._attempts = attempts
        self.ours = ours
        self._providers: dict[tuple[str, str], str] = {}
        self._counts: Counter[LogSignal] = Counter()
        self.heard: set[str] = set()
        self.inside = 0
        self.nameless = 0
        self.timeless = 0
        self._learned: dict[str, str] = {}

    def add(self, said: Said | None) -> None:
        if said is None:
            return
        if type(said) is Delivery:
            self._delivery(said)
        elif type(said) is Finished:
            self._attempts.finish(said.message)
        elif type(said) is Expired:
            for one in self._attempts.expire(said.message):
                tries = one.tries + 1
                signal = LogSignal(
                    one.who, MailEvent.EXPIRED, one.provider, said.at, one.queued, attempt=tries
                )
                self._counts[signal] += 1
        elif type(said) is Complaint:
            who = self._sender.of("", said.local)
            provider = provider_of_reporter(said.reporters)
            self._counts[LogSignal(who, MailEvent.COMPLAINT, provider, said.at, said.queued)] += (
                said.incidents
            )

    def take(self) -> list[tuple[LogSignal, int]]:
        """Return the signals since the last time, with how many events each stands for."""
        counts, self._counts = self._counts, Counter()
        return list(counts.items())

    def _delivery(self, said: Delivery) -> None:
        if self.ours.has(said.address):
            self.inside += 1
            return
        if not 0 <= said.at < _LATEST or not said.queued >= 0:
            self.timeless += 1
            return
        who = self._sender.of(said.sender, said.local)
        if not who and not self._sender.host:
            # A connection that failed may say nothing: what the same sender used before, or for this message.
            who = self._learned.get(said.sender) or self._attempts.sender_of(said)
            if not who:
                self.nameless += 1
                return
        elif said.local and len(self._learned) < _CACHED:
            self._learned[said.sender] = who
        self.heard.add(who)
        provider = self._provider(said.recipient.rpartition("@")[2].lower(), said.server.lower())
        attempt = self._attempts.number(said, provider, who)
        event, at, queued = said.event, said.at // 1, min(said.queued, said.at) // 1
        if event is MailEvent.DELIVERED:
            # Two digits of the delay and the minutes are all that counts need: many are then alike.
            delay = float(f"{max(0.0, said.at - said.queued):.2g}")
            at, queued = at // 60 * 60, queued // 60 * 60
            signal = LogSignal(who, event, provider, at, queued, said.dsn, "", delay, attempt)
        else:
            if event is MailEvent.DEFERRED and (attempt > 1 or not said.tried):
                event = MailEvent.RETRIED
            text = blanked(said.text, said.recipient)
            signal = LogSignal(who, event, provider, at, queued, said.dsn, text, None, attempt)
        self._counts[signal] += 1

    def _provider(self, domain: str, server: str) -> str:
        key = domain, server
        found = self._providers.get(key)
        if found is None:
            if len(self._providers) > _CACHED:
                self._providers.clear()
            found = self._providers[key] = provider_of(domain, server)
        return found

    def body(self, batch: str, signals: list[tuple[LogSignal, int]]) -> bytes:
        """Return the request of a batch."""
        shown = [self.shown(one, count) for one, count in signals]
        return json.dumps({"batch": batch, "signals": shown}, ensure_ascii=False).encode("utf-8", "replace")

    def shown(self, signal: LogSignal, count: int) -> dict[str, Any]:
        """Return a signal as the server takes it."""
        found: dict[str, Any] = self._sender.fields(signal.who)
        found |= {"event": signal.event.value, "provider": signal.provider, "at": moment(signal.at)}
        if signal.queued is not None:
            found["queued"] = moment(signal.queued)
        if _DSN.fullmatch(signal.dsn):
            found["dsn"] = signal.dsn
        if signal.text:
            found["text"] = signal.text
        if signal.delay is not None:
            found["delay_s"] = signal.delay
        if signal.attempt > 1 and signal.event not in {MailEvent.DEFERRED, MailEvent.RETRIED}:
            found["attempt"] = signal.attempt
        if count > 1:
            found["count"] = count
        return found

    def alive(self) -> list[str]:
        """Return whose mail is read, as a heartbeat names them."""
        known = {self._sender.egress, self._sender.host, *self._sender.named.values(), *self.heard}
        return sorted(known - {""})


Network = IPv4Network | IPv6Network


class Ours:
    """Addresses that are ourselves: loopback, the zone's hosts, and what the operator names."""

    def __init__(self, networks: tuple[Network, ...] = (), hosts: frozenset[str] = frozenset()) -> None:
        self._networks = networks
        self._hosts = {_read(one) for one in hosts}
        self._known: dict[str, bool] = {}

    def has(self, text: str) -> bool:
        """Tell whether an address is ours; sockets (``private/filter``) are, no address at all is not."""
        found = self._known.get(text)
        if found is None:
            if len(self._known) > _CACHED:
                self._known.clear()
            found = self._known[text] = self._look(text)
        return found

    def _look(self, text: str) -> bool:
        if not text:
            return False
        address = _read(text)
        if address is None:
            return "/" in text
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        address = mapped or address
        return (
            address.is_loopback
            or address in self._hosts
            or any(address in network for network in self._networks if network.version == address.version)
        )


def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def provider_of(domain: str, server: str) -> str:
    """Return whose mailbox it is: by its domain, else by the name of its mail server."""
    return provider_of_domain(domain) or provider_of_mx(server) or OTHER


def provider_of_reporter(names: tuple[str, ...]) -> str:
    """Return who reports: the provider of the first name that is below a domain of one."""
    for name in names:
        labels = name.split(".")
        for start in range(len(labels) - 1):
            parent = ".".join(labels[start:])
            found = provider_of(parent, parent)
            if found != OTHER:
                return found
    return OTHER


def blanked(text: str, recipient: str = "") -> str:
    """Return a reply without mail addresses, and without the recipient's name where it stands alone."""
    text = _CONTROL.sub(" ", text)
    if "@" in text or "%40" in text:
        text = _ADDRESS.sub(BLANK, text)
    name = recipient.rpartition("@")[0].lower()
    if name and name in text.lower():
        text = _BARE.sub(lambda found: BLANK if found[1].lower() == name else found[0], text)
        text = _USER.sub(
            lambda found: found[1] + BLANK if found[2].lower().rstrip(".,;:") == name else found[0], text
        )
    return text[:LONGEST_TEXT]


@lru_cache(4096)
def moment(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def batches(signals: list[tuple[LogSignal, int]]) -> Iterator[list[tuple[LogSignal, int]]]:
    """Cut signals into what one request may hold."""
    some: list[tuple[LogSignal, int]] = []
    size = 0
    for one in signals:
        size += 300 + 3 * len(
            one[0].text
        )  # at most: letters that are no ASCII take three bytes, few take four
        if len(some) == MOST_SIGNALS or size > MOST_BYTES:
            yield some
            some, size = [], 300 + 3 * len(one[0].text)
        some.append(one)
    if some:
        yield some
