"""`geodns follow` as a process: standard input, the journal, KumoMTA's webhook, maildirs, a bounded spool."""

import json
import os
import signal
import socket
import stat
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.follow.lines import record
from tests.cli.follow.signal_server import SignalServer, signal_server
from tests.cli.follow.test_feedback import report
from tests.integration import template
from tests.integration.cluster import free_port, geodns
from tests.integration.mailhosts import wait_until
from tests.integration.test_follow import SHORT, refusal, text

OWN = "192.0.2.5"


class Follower:
    """The command, in a copy of the template.

    Attributes:
        status: its exit status, once it has ended.

    """

    def __init__(self, folder: Path, *arguments: str, path: Path | None = None) -> None:
        words = ["follow", "--state", str(folder / "state"), "--egress", OWN, *arguments]
        env = {} if path is None else {"PATH": f"{path}:{os.environ['PATH']}"}
        self.status: int | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it has been read
        theirs, ours = os.pipe()
        with open(theirs, "rb") as stdin:  # noqa: PTH123 - a descriptor
            self._process = template.start(
                "main",
                words,
                stdin=stdin.fileno(),
                stdout=self._errors.fileno(),
                stderr=self._errors.fileno(),
                env=env,
                constants=SHORT,
            )
        self._stdin = open(ours, "wb")  # noqa: PTH123, SIM115 - closed when all is written

    def end(self, number: int | None = None, *, given: bytes = b"") -> str:
        """Give it all of standard input, or a signal; return what it has said when it has ended."""
        if number is not None:
            self._process.send_signal(number)
        with suppress(BrokenPipeError), self._stdin:
            self._stdin.write(given)
        with self._process, self._errors:
            self.status = self._process.wait(60)
            self._errors.seek(0)
            said = self._errors.read().decode()
        print(said)  # noqa: T201
        assert "Traceback" not in said
        return said


def count(server: SignalServer, event: str) -> int:
    return sum(one.get("count", 1) for one in server.signals() if one["event"] == event)


def test_standard_input_ends_with_everything_posted(tmp_path: Path) -> None:
    with signal_server() as server:
        server.trouble = [503, "lost"]
        process = Follower(tmp_path, "-", "--server", server.url)
        lines = "".join(refusal(number) for number in range(1, 3001)).encode()
        errors = process.end(given=lines[:-1])
        assert process.status == 0, errors
        assert server.texts() == {text(number): 1 for number in range(1, 3001)}


def test_what_no_server_took_is_posted_by_the_next_run(tmp_path: Path) -> None:
    with signal_server() as server:
        server.trouble = [503] * 1000
        process = Follower(tmp_path, "-", "--server", server.url)
        errors = process.end(given=refusal(1).encode())
        assert process.status == 1
        assert "no server has taken 1 batches: they are kept in" in errors
        server.trouble = []
        process = Follower(tmp_path, "-", "--server", server.url)
        errors = process.end(given=refusal(2).encode())
        assert process.status == 0, errors
        assert server.texts() == {text(1): 1, text(2): 1}


JOURNALCTL = """\
#!{python}
# Stands in for journalctl: the entries of a file, from a cursor on, and then those that are added.
import os, sys, time, pathlib
arguments = sys.argv[1:]
assert arguments[:3] == ["--output=json", "--follow", "--no-pager"], arguments
assert arguments[-1] == "SYSLOG_FACILITY=2", arguments
after = [int(one.partition("=")[2]) for one in arguments if one.startswith("--after-cursor=")]
shown = after[0] if after else 0
parent = os.getppid()
while os.getppid() == parent:  # the real one ends when it writes to nobody
    lines = pathlib.Path("{entries}").read_text().splitlines(keepends=True)
    for line in lines[shown:]:
        if line.endswith("\\n"):
            print(line, end="", flush=True)
            shown += 1
    time.sleep(0.05)
"""


def test_the_journal_is_read_on_from_its_cursor(tmp_path: Path) -> None:
    entries = tmp_path / "entries"
    written = 0

    def write(lines: int) -> None:
        nonlocal written
        with entries.open("a") as file:
            for _ in range(lines):
                written += 1
                said = refusal(written).rstrip().partition("]: ")[2]
                at = str(time.time_ns() // 1000)
                entry = {"__CURSOR": str(written), "__REALTIME_TIMESTAMP": at, "MESSAGE": said}
                file.write(json.dumps(entry | {"SYSLOG_IDENTIFIER": "postfix/smtp"}) + "\n")

    write(5)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "journalctl"
    program.write_text(JOURNALCTL.format(python=sys.executable, entries=entries))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with signal_server() as server:
        arguments = ("--journal", "--server", server.url)
        process = Follower(tmp_path, *arguments, path=tmp_path / "bin")
        wait_until(lambda: count(server, "bounced") == 5, what="the first five")
        for _ in range(3):
            process.end(signal.SIGKILL)
            write(20)
            process = Follower(tmp_path, *arguments, path=tmp_path / "bin")
            wait_until(lambda: sum(server.texts().values()) >= written, what=f"{written} entries")
        write(1)
        wait_until(lambda: sum(server.texts().values()) >= written, what=f"{written} entries")
        assert server.texts() == {text(number): 1 for number in range(1, written + 1)}
        process.end(signal.SIGTERM)


def test_kumomtas_webhook(tmp_path: Path) -> None:
    port = free_port()

    def post(body: str) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/hook", body.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    with signal_server() as server:
        process = Follower(tmp_path, "--webhook", f"127.0.0.1:{port}", "--server", server.url)
        one = record("Delivery", id="1")
        wait_until(lambda: _listens(lambda: post(one)), what="the webhook listens")
        assert post(one) == 200  # repeated, as if the answer had been lost
        assert post(f"[{record('Delivery', id='2')}, {record('Delivery', id='3')}]") == 200
        assert post(f"{record('Delivery', id='4')}\n{record('Reception')}\n") == 200
        assert post("no record") == 200  # a line that is nothing's
        assert post("{}") == 400
        wait_until(lambda: count(server, "delivered") >= 4, what="four deliveries")
        assert count(server, "delivered") == 4
        assert {given["egress"] for given in server.signals()} == {OWN}
        process.end(signal.SIGTERM)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, signal_server() as server:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Follower(tmp_path, "--webhook", where, "--server", server.url)
        errors = process.end()
        assert process.status == 1
        assert errors.startswith(f"geodns: --webhook {where}: ")


def _listens(ask: object) -> bool:
    try:
        return ask() == 200  # type: ignore[operator,no-any-return]
    except OSError:
        return False


def test_feedback_reports_come_by_a_maildir_or_one_by_one(tmp_path: Path) -> None:
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    (tmp_path / "mail/new/1").write_bytes(report())
    (tmp_path / "mail/new/2").write_bytes(b"Subject: hello\n\n")
    with signal_server() as server:
        process = Follower(tmp_path, "--arf", str(tmp_path / "mail"), "--server", server.url)
        wait_until(lambda: not list((tmp_path / "mail/new").iterdir()), what="both were read")
        wait_until(lambda: count(server, "complaint") == 1, what="a complaint")
        assert sorted(path.name for path in (tmp_path / "mail/cur").iterdir()) == ["1:2,S", "2:2,S"]
        assert server.signals()[0]["provider"] == "yahoo"
        # One by one beside the service, on the same state; a report that comes again is known.
        for _ in range(2):
            alone = Follower(tmp_path, "--arf", "-", "--server", server.url)
            errors = alone.end(given=report(("Version: 1", "Version: 1\nIncidents: 2")))
            assert alone.status == 0, errors
        wait_until(lambda: count(server, "complaint") == 3, what="three complaints")
        process.end(signal.SIGTERM)
        assert count(server, "complaint") == 3
    alone = Follower(tmp_path, "--arf", "-", "--server", "http://127.0.0.1:9")
    errors = alone.end(given=b"no report")
    assert alone.status == 1
    assert "the mail is left out: it has no part message/feedback-report" in errors


def test_a_dry_run_prints_complaints_and_moves_nothing(tmp_path: Path) -> None:
    for name in ("new", "cur"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    (tmp_path / "mail/new/1").write_bytes(report())
    done = geodns("follow", "--dry-run", "--arf", str(tmp_path / "mail"), cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["event"] == "complaint"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["1"]


def test_mail_to_the_zones_own_hosts_is_not_counted(tmp_path: Path) -> None:
    lines = [
        refusal(1),
        refusal(2).replace("203.0.113.27", "192.0.2.1"),
        refusal(3).replace("203.0.113.27", "10.1.1.1"),
    ]
    with signal_server() as server:
        process = Follower(tmp_path, "-", "--inside", "10.0.0.0/8", "--server", server.url)
        process.end(given="".join(lines).encode())
        assert server.texts() == {text(1): 1}


def test_files_are_left_unread_until_a_server_says_what_is_the_zones_own(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(refusal(1) + refusal(2).replace("203.0.113.27", "192.0.2.1"))
    with signal_server() as server:
        hosts, server.hosts = server.hosts, {}  # it has just started
        process = Follower(tmp_path, str(tmp_path / "log"), "--server", server.url)
        wait_until(lambda: server.asked > 5, what="it asks again")
        assert server.posts == 0
        server.hosts = hosts
        wait_until(server.texts, what="a signal")
        assert server.texts() == {text(1): 1}
        process.end(signal.SIGKILL)
        server.hosts = {}  # what was said before is kept
        with (tmp_path / "log").open("a") as file:
            file.write(refusal(3).replace("203.0.113.27", "192.0.2.1") + refusal(4))
        process = Follower(tmp_path, str(tmp_path / "log"), "--server", server.url)
        wait_until(lambda: len(server.texts()) > 1, what="another signal")
        assert server.texts() == {text(1): 1, text(4): 1}
        process.end(signal.SIGTERM)


def test_what_a_server_refuses_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    with signal_server() as server:
        server.trouble = [400] * 100
        process = Follower(tmp_path, "-", "--server", server.url)
        errors = process.end(given=refusal(1).encode())
        assert process.status == 0
        assert "refused a batch of 1 events, which are lost: {'error': 'not now'}" in errors
        assert not server.texts()
        server.trouble = []
        server.remarks = {"rejected": [{"index": 0, "error": "no host has it"}], "strangers": [OWN]}
        process = Follower(tmp_path, str(tmp_path / "log"), "--server", server.url)
        (tmp_path / "log").write_text(refusal(2))
        wait_until(lambda: server.texts() and server.alive, what="a batch and a heartbeat")
        errors = process.end(signal.SIGTERM)
        assert "refused 1 signals, the first: no host has it" in errors
        assert f"no host of a zone is, or sends from: {OWN}" in errors


def test_a_server_that_does_not_let_read_is_no_reason_to_wait(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(refusal(1))
    with signal_server() as server:
        server.status = 403
        process = Follower(tmp_path, str(tmp_path / "log"), "--server", server.url)
        wait_until(server.texts, what="a signal")
        errors = process.end(signal.SIGTERM)
        assert "/status: status 403: name the zone's own hosts by --inside" in errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "nothing to follow"),
        (["-", "--egress", "192.0.2.6"], "there is one already"),
        (["-", "--egress", "b=x"], "is no address"),
        (["-", "--inside", "x"], "is no network"),
        (["--webhook", "192.0.2.1:80"], "write a loopback address and a port"),
        (["-", "--token-file", "/nowhere"], "cannot be read"),
        (["-", "--arf", "-"], "goes with no other input"),
        (["--journal", "--dry-run"], "--dry-run reads what is there now"),
        (["--arf", "/nowhere"], "that is no maildir"),
        (["--arf", "/nowhere", "--dry-run"], "that is no maildir"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], expected: str) -> None:
    process = Follower(tmp_path, *arguments)
    errors = process.end()
    assert process.status == 2
    assert expected in errors
