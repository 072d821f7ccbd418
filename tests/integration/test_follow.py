"""`geodns follow` as a process: files rotated and cut off, servers that fail, kill -9; nothing twice."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.follow.signal_server import SignalServer, signal_server
from tests.integration import product
from tests.integration.mailhosts import wait_until

SHORT = {
    product.FOLLOW_QUIET: 0.4,
    product.FOLLOW_PAUSE: 0.05,
    product.FOLLOW_LAST: 3.0,
    product.FOLLOW_AGAIN: (0.05, 0.2),
    product.FOLLOW_MISSED: 0.2,
    product.FOLLOW_HEARTBEAT: 1.0,
}
QUICK = f"""\
import sys
from importlib import import_module
for name, value in {SHORT!r}.items():
    module, _, attribute = name.rpartition(".")
    setattr(import_module({product.PACKAGE!r} + "." + module), attribute, value)
import_module({product.PROGRAM!r}).main(["follow", *sys.argv[1:]])
"""
"""The command, with shorter delays. No copy of the template, since it may stand in a network of its own."""


class Following:
    """The command, started, killed and started again over the same files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "mail.log"
        self.errors = folder / "errors"
        self._arguments = (str(self.log), "--state", str(folder / "state"), *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", QUICK, *self._arguments], stdin=subprocess.DEVNULL, stderr=errors
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(20)

    def said(self) -> str:
        return self.errors.read_text() if self.errors.exists() else ""


@contextmanager
def following(folder: Path, *arguments: str) -> Iterator[Following]:
    folder.mkdir(exist_ok=True)
    one = Following(folder, *arguments)
    one.start()
    try:
        yield one
    finally:
        print(one.said())  # noqa: T201
        one.kill()


class Writer:
    """Writes refusals, each with a text of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.written = 0

    def write(self, count: int, *, torn: bool = False) -> None:
        lines = []
        for _ in range(count):
            self.written += 1
            lines.append(refusal(self.written))
        data = "".join(lines).encode()
        with self.log.open("ab") as file:
            if torn:  # as a writer that is interrupted
                file.write(data[:-20])
                file.flush()
                time.sleep(0.1)
                file.write(data[-20:])
            else:
                file.write(data)

    def expected(self) -> Counter[str]:
        return Counter({text(number): 1 for number in range(1, self.written + 1)})


def text(number: int) -> str:
    return f"550 5.1.1 nobody {number}"


def refusal(number: int) -> str:
    at = time.strftime("%b %e %H:%M:%S", time.localtime())
    return (
        f"{at} mta1 postfix/smtp[77]: {number:08X}: to=<u{number}@gmail.com>, "
        "relay=gmail-smtp-in.l.google.com[203.0.113.27]:25, delay=0.4, delays=0.1/0/0.1/0.2, dsn=5.1.1, "
        f"status=bounced (host gmail-smtp-in.l.google.com[203.0.113.27] said: {text(number)} "
        "(in reply to RCPT TO command))\n"
    )


def all_there(server: SignalServer, writer: Writer) -> None:
    end = time.monotonic() + 20
    while sum(server.texts().values()) < writer.written and time.monotonic() < end:
        time.sleep(0.05)
    found, expected = server.texts(), writer.expected()
    assert (found - expected, expected - found) == ({}, {})  # doubled, lost


def test_rotation_truncation_failures_and_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(12)
    with (
        signal_server() as server,
        following(tmp_path, "--server", server.url, "--egress", "192.0.2.1") as one,
    ):
        writer = Writer(one.log)
        writer.write(3)
        all_there(server, writer)  # a first start begins with the file that is there
        for turn in range(24):
            writer.write(chance.randrange(1, 300), torn=turn % 3 == 0)
            if chance.random() < 0.6:
                with server.lock:
                    server.trouble += chance.choices([503, "lost", "closed", 500], k=chance.randrange(1, 4))
            time.sleep(chance.random() * 0.3)
            match turn % 6:
                case 1:
                    one.kill()
                    writer.write(5)
                    one.start()
                case 2:  # renamed, and its writer goes on for a moment
                    rotate(one.log)
                    late = Writer(one.log.with_name("mail.log.1"))
                    late.written = writer.written
                    late.write(3)
                    writer.written = late.written
                case 4:  # copied and cut off
                    rotate(one.log, copy=True)
                case 5:
                    one.kill()
                    rotate(one.log, copy=chance.random() < 0.5)
                    writer.write(7)
                    rotate(one.log, copy=chance.random() < 0.5)
                    writer.write(4)
                    one.start()
        all_there(server, writer)
        one.kill()
        one.start()  # a restart without anything new repeats nothing
        writer.write(1)
        all_there(server, writer)
        assert "missing" not in one.said()
        assert "Traceback" not in one.said()


def rotate(log: Path, *, copy: bool = False) -> None:
    """Do as logrotate does: number what is there, then rename or copy and cut off."""
    for number in range(30, 0, -1):
        old = log.with_name(f"{log.name}.{number}")
        if old.exists():
            old.rename(log.with_name(f"{log.name}.{number + 1}"))
    if copy:
        shutil.copy2(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
    else:
        log.rename(log.with_name(f"{log.name}.1"))


def test_the_next_server_is_asked_and_signals_wait_where_none_takes_them(tmp_path: Path) -> None:
    with signal_server() as first, signal_server() as second:
        first.trouble = [503] * 10_000
        urls = ("--server", first.url, "--server", second.url)
        with following(tmp_path, *urls, "--egress", "192.0.2.1", "--token-file", str(token(tmp_path))) as one:
            writer = Writer(one.log)
            writer.write(10)
            all_there(second, writer)
            assert not first.batches
            assert second.tokens == {"Bearer s3cret"}
            second.trouble = [500] * 10_000
            writer.write(10)
            wait_until(lambda: "no server takes signals, they are kept" in one.said(), what="trouble is told")
            assert one.kill(signal.SIGTERM) == 0
            second.trouble = []
            one.start()
            all_there(second, writer)
            wait_until(lambda: second.alive, what="a heartbeat")
            assert second.alive[-1] == ["192.0.2.1"]
            first.trouble = []
            wait_until(lambda: first.alive, what="the first server hears of it again")
            before = second.signals()
            writer.write(1)
            wait_until(lambda: first.texts() == {text(writer.written): 1}, what="it gets signals again")
            assert second.signals() == before


def token(folder: Path) -> Path:
    path = folder / "token"
    path.write_text("s3cret\n")
    return path
