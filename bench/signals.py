"""What signals of mail cost: taking them, the answers meanwhile, and what months of them take on disk."""

import json
import random
import tempfile
import threading
import time
import tracemalloc
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from bench import load
from bench.figures import Figure, spread
from bench.processes import cpu_seconds, memory, pinned, two_cores
from geodns.model.mail import About, MailEvent, MailKey, MailKind
from geodns.signals.delays import bin_of
from geodns.signals.mail_window import DAY, FIVE, HOUR, KEPT, STEPS, MailWindow
from geodns.storage.signal_file import BATCHES_KEPT, COUNTS_KEPT, Five, SignalFile, Taken
from tests.integration.cluster import Server, serving

ZONE = "out.example.com"
HOSTS = 50
PROVIDERS = ("google", "microsoft", "yahoo", "other", *(f"provider-{number}" for number in range(36)))
BATCHES = (10_000, 500)
"""Signals in a batch: the most that may be, and what a busy host has gathered in a few seconds."""
RATES = {0.0: "no signals", 1_000.0: "1,000 signals a second", 1e9: "as many signals as are taken"}
"""Signals a second."""
A_DAY = 20_000
"""Messages that a host sends to its largest provider; to the next half as many, then a third …"""
POSTS_A_MINUTE = 1
"""Batches of each host."""
_REFUSALS = (
    "421 4.7.0 try again later, {} is sending too much",
    "550 5.1.1 <user{}@example.net>: no such user here",
    "451 4.3.0 mail server {} temporarily rejected message",
    "554 5.7.1 message {} looks like spam",
)


def zone_text() -> str:
    """A zone of so many hosts that are not probed."""
    hosts = "".join(f"  h{at}: 10.0.0.{at + 1}\n" for at in range(HOSTS))
    return (
        f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}pools: {{main: {{hosts: 'h*', check: none}}}}\n"
        'records: {"@": {pool: main, MX: {pool: main, preference: 10}}}\n'
    )


def rows(number: int, rng: random.Random) -> list[dict[str, object]]:
    """Signals as a host's log gives them: one in ten is refused, each with words of its own."""
    now = time.time()
    found: list[dict[str, object]] = []
    for _ in range(number):
        row: dict[str, object] = {
            "host": f"h{rng.randrange(3)}",
            "egress": "10.0.0.1",
            "event": "delivered",
            "provider": PROVIDERS[min(int(rng.expovariate(0.2)), len(PROVIDERS) - 1)],
            "at": now - rng.random() * 5,
            "queued": now - rng.expovariate(1 / 60),
            "delay_s": rng.lognormvariate(1, 1.5),
            "dsn": "2.0.0",
        }
        if rng.random() < 0.1:
            row |= {
                "event": rng.choice(["deferred", "bounced"]),
                "text": rng.choice(_REFUSALS).format(rng.randrange(10**6)),
                "dsn": "5.0.0",
            }
        found.append(row)
    return found


class Posted(NamedTuple):
    """What a client got rid of."""

    signals: int
    seconds: float


def post(server: Server, size: int, seconds: float) -> Posted:
    """Post batches of one size, each as soon as the one before is acknowledged."""
    bodies = [json.dumps(rows(size, random.Random(number))) for number in range(8)]
    begun, taken, number = time.monotonic(), 0, 0
    while not number or time.monotonic() - begun < seconds:
        batch = f'{{"batch": "{time.monotonic_ns()}", "signals": {bodies[number % 8]}}}'.encode()
        request = urllib.request.Request(f"{server.http}/api/v1/signals", batch)
        with urllib.request.urlopen(request, timeout=30) as response:
            taken += json.load(response)["accepted"]
        number += 1
    return Posted(taken, time.monotonic() - begun)


@contextmanager
def posting(server: Server, rate: float) -> Iterator[None]:
    """Post so many signals a second within the block."""
    over = threading.Event()

    def work() -> None:
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            due += post(server, BATCHES[1], 0.0).signals / rate

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(seconds: float, rounds: int, days: int = 90) -> list[Figure]:
    """Take signals beside answers, then fill a file with days of them."""
    ours, theirs = two_cores()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, pinned(ours):
        server_there = serving(Path(folder), {ZONE: zone_text()}, workers=1, fresh=True)
        with server_there as server, pinned(theirs):
            for size in BATCHES:
                found += _taken(server, size, seconds, rounds)
            found += _answers(server, theirs, seconds, rounds)
    return found + filled(days)


def _taken(server: Server, size: int, seconds: float, rounds: int) -> list[Figure]:
    control = server.control()
    rates, costs = [], []
    post(server, size, 0.5)
    for _ in range(rounds):
        before = cpu_seconds(control)
        got = post(server, size, seconds)
        rates.append(got.signals / got.seconds)
        costs.append((cpu_seconds(control) - before) / got.signals * 1e6)
    what = f"signals, {size:,} in a batch"
    return [
        Figure(f"{what}: taken", f"{spread(rates, 0)} /s", "one client, each batch on disk first"),
        Figure(f"{what}: CPU", f"{spread(costs)} µs each", f"control: {memory(control):.0f} MiB"),
    ]


def _answers(server: Server, core: int, seconds: float, rounds: int) -> list[Figure]:
    """CPU of the worker for an answer, and answers a second, by turns without signals and with more."""
    port, worker = server.listen[0][1], server.workers()[0]
    costs: dict[float, list[float]] = {rate: [] for rate in RATES}
    answers: dict[float, list[float]] = {rate: [] for rate in RATES}
    for _ in range(rounds):
        for rate in RATES:
            before = cpu_seconds(worker)
            with posting(server, rate) if rate else nullcontext():
                got = load.ask(port, seconds, core)
            costs[rate].append((cpu_seconds(worker) - before) / max(1, got.answers) * 1e6)
            answers[rate].append(got.answers / got.seconds)
    beside = "control and its one worker on one core"
    return [
        figure
        for rate, what in RATES.items()
        for figure in (
            Figure(f"CPU an answer, {what}", f"{spread(costs[rate], 2)} µs", beside),
            Figure(f"answers, {what}", f"{spread(answers[rate], 0)} /s", beside),
        )
    ]


# --- months of signals ----------------------------------------------------------------------------------

KINDS = (
    (MailKind(MailEvent.DELIVERED, first=True), 1.0),
    (MailKind(MailEvent.DEFERRED, About.PASSING, first=True), 0.05),
    (MailKind(MailEvent.RETRIED, About.PASSING), 0.08),
    (MailKind(MailEvent.BOUNCED, About.RECIPIENT, first=True), 0.02),
)
"""What comes of mail, and how often."""
TEMPLATES = 32


def mail(seconds: int, egress: str, rng: random.Random) -> Five:
    """A host's mail within so many seconds."""
    five = Five()
    for rank, provider in enumerate(PROVIDERS, 1):
        sent = A_DAY / rank * seconds / DAY
        for kind, part in KINDS:
            number = int(sent * part + rng.random())
            if number:
                key: MailKey = (egress, provider, kind)
                five.counts[key] = number
        bins: dict[int, int] = {}
        for _ in range(int(sent + rng.random())):
            place = bin_of(rng.lognormvariate(1, 1.5))
            bins[place] = bins.get(place, 0) + 1
        if bins:
            five.delays[provider] = bins
    return five


def filled(days: int) -> list[Figure]:
    """Fill a file and the counts in memory with so many days of all hosts' mail."""
    rng = random.Random(12)
    end = 1_795_478_400
    some = {step: [mail(step, "10.0.0.1", rng) for _ in range(TEMPLATES)] for step in (FIVE, HOUR)}
    with tempfile.TemporaryDirectory() as folder:
        file, _ = SignalFile.open(Path(folder), end)
        for day in range(end - days * DAY, end, DAY):
            step = FIVE if day >= end - COUNTS_KEPT[FIVE] else HOUR
            fives = {
                ((ZONE, f"h{host}"), at): rng.choice(some[step])
                for host in range(HOSTS)
                for at in range(day, day + DAY, step)
            }
            file.take(f"{day}", Taken(0), fives, end)
        if days * DAY >= BATCHES_KEPT:
            number = HOSTS * POSTS_A_MINUTE * BATCHES_KEPT // 60
            ids = ((rng.randbytes(16), end - BATCHES_KEPT + one, 50, b"") for one in range(number))
            file._write("NORMAL", "INSERT INTO batch VALUES (?, ?, ?, ?)", list(ids))  # noqa: SLF001 - ours
        file._read("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001 - likewise
        size = file.size()
        sizes = [
            file._read(f"SELECT avg(length(packed)) FROM {table} WHERE step = {step}")[0][0] or 0  # noqa: SLF001
            for table, step in (("counts", FIVE), ("counts", HOUR), ("delays", HOUR), ("delays", DAY))
        ]
        began = time.monotonic()
        window = _read(file, end)
        took = time.monotonic() - began
        began = time.monotonic()
        for one in range(HOSTS):
            window.by_provider((ZONE, f"h{one}"), end - HOUR, end)
        looked = (time.monotonic() - began) / HOSTS
        tracemalloc.start()
        window = _read(file, end)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        file.close()
    what = f"{days} days of {HOSTS} hosts, {len(PROVIDERS)} providers"
    return [
        Figure(
            f"{what}: signals.db", f"{size / 2**20:,.1f} MiB", f"{POSTS_A_MINUTE} batch a host and minute"
        ),
        Figure(
            f"{what}: a row",
            f"{sizes[0]:,.0f} / {sizes[1]:,.0f} bytes",
            f"of 5 min / 1 h; delays {sizes[2]:,.0f} / {sizes[3]:,.0f} of 1 h / 1 d, all providers",
        ),
        Figure(f"{what}: in memory", f"{grown / 2**20:,.0f} MiB", f"read in {took:.1f} s at the start"),
        Figure("a host's last hour, for rules", f"{looked * 1e6:,.0f} µs", "by provider, from memory"),
    ]


def _read(file: SignalFile, end: int) -> MailWindow:
    """Read what is kept in memory, as a start does."""
    window = MailWindow()
    for step in STEPS:
        for host, at, counts in file.counts(step, end - KEPT[step], end):
            window.add(host, step, at, counts)
    return window
