"""What happened, from a running server: over restarts of it, of its control process, and kill -9."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration import template
from tests.integration.cluster import Server, is_gone, serving, zone_text
from tests.integration.mailhosts import mail_hosts, wait_until

ZONE = "out.example.com"


class Follower:
    """A `geodns events --follow --json` that runs.

    Attributes:
        events: what it has printed.
        said: its stderr.

    """

    def __init__(self, process: template.Process) -> None:
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(process,)),
            threading.Thread(target=self._hear, args=(process,)),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, process: template.Process) -> None:
        assert process.stdout is not None
        self.events.extend(map(json.loads, process.stdout))

    def _hear(self, process: template.Process) -> None:
        assert process.stderr is not None
        self.said.extend(process.stderr)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)

    def texts(self, kind: str = "") -> list[str]:
        return [one["text"] for one in self.events if kind in {"", one["kind"]}]

    def wait_for(self, text: str, number: int = 1) -> None:
        wait_until(
            lambda: sum(text in one for one in self.texts()) >= number,
            what=f"{text}: {self.texts()} {self.said}",
        )


@contextlib.contextmanager
def following(server: Server, *arguments: str) -> Iterator[Follower]:
    command = ["events", "--follow", "--json", "--server", server.http, *arguments]
    with template.start("main", command) as process:
        follower = Follower(process)
        try:
            yield follower
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) in {130, -signal.SIGINT}  # the latter while it still starts
            follower.join()


def test_nothing_is_missed_over_restarts_and_kills(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts:
        text = zone_text(hosts)
        with serving(tmp_path, {ZONE: text}) as server, following(server, "--since", "1h") as follower:
            follower.wait_for("the server is started")
            hosts["mta1"].close()
            follower.wait_for(f"host mta1.{ZONE}: up → down")
            server.order("mta2", "drain", ZONE, reason="disk swap")
            server.write(ZONE, text + "min_ttl: 2s\n")
            follower.wait_for(f"zone {ZONE}: min_ttl 5 → 2")
            server.write(ZONE, "ttl: x\n")
            follower.wait_for("a zone without name servers")
            server.write(ZONE, text)
            follower.wait_for(f"zone {ZONE}: min_ttl 2 → 5")

            worker = server.workers()[0]  # in the order of their start
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: is_gone(worker), what="the worker is gone")
            follower.wait_for(f"worker udp0 (pid {worker}) was killed by SIGKILL")
            follower.wait_for("worker udp0 is back (pid ")

            control = server.control()
            time.sleep(1.0)  # what is older is on disk, whatever comes
            os.kill(control, signal.SIGKILL)
            follower.wait_for(f"started again, the one before (pid {control}) was killed by SIGKILL: geodns")

            http = server.http.removeprefix("http://")
            assert server.stop() == 0
            with serving(tmp_path, http=http) as again:
                follower.wait_for("the server is started", 2)
                again.order("mta2", "undrain", ZONE)
                follower.wait_for("no longer drained")
                follower.wait_for("somebody is live again")  # the last that happens
                listed = again.get("/api/v1/events?after=0&limit=1000")["events"]
                assert follower.events == listed, "each once, in order, and none is missing"
                shown = again.command("events", "--since", "1h")
                assert shown.returncode == 0
                assert [one[9:] for one in shown.stdout.splitlines()] == [one["text"] for one in listed]
        ids = [one["id"] for one in listed]
        assert ids == sorted(set(ids))
        (stopping,) = (one for one in listed if one["text"] == "the server stops")
        assert stopping["kind"] == "server"
        down, *pools = (one for one in listed if one["kind"] == "state")
        assert f"pool main of {ZONE}: nobody is live, last resort: down" in [one["text"] for one in pools]
        assert down["text"] == f"host mta1.{ZONE}: up → down (connection refused)"
        (drained, _) = (one for one in listed if one["kind"] == "forced")
        assert (drained["host"], drained["reason"]) == ("mta2", "disk swap")
    assert [one.split("(")[0] for one in follower.said[:4]] == [
        "geodns: the server is gone ",
        "geodns: the server is back\n",
        "geodns: the server is gone ",
        "geodns: the server is back\n",
    ]


def test_it_works_in_a_pipe_that_ends(tmp_path: Path) -> None:
    with mail_hosts("mta1") as hosts, serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        command = f"{sys.executable} -m geodns events --follow --since 1h | head -n 1"
        done = subprocess.run(
            ["bash", "-c", command],
            env=template.environment({"GEODNS_SERVER": server.http}),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert f"zone {ZONE} is served" in done.stdout
        assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_check_says_what_a_reload_would_change(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts, serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        done = server.command("check", "--diff", str(server.zones))
        assert "nothing changes" in done.stdout.splitlines(), done.stderr
        draft = tmp_path / "draft"
        draft.mkdir()
        (draft / f"{ZONE}.yaml").write_text(zone_text(hosts, weights={"mta1": 3}, ttl=7))
        done = server.command("check", "--diff", str(draft))
        assert done.returncode == 0
        assert done.stdout.splitlines()[1:3] == [
            f"{ZONE}: ttl 5 → 7",
            f"{ZONE}: main: weights 1/1 → 3/1 (mta1, mta2)",
        ]


def test_a_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        mail_hosts("mta1") as hosts,
        serving(tmp_path, {ZONE: zone_text(hosts)}) as server,
        contextlib.ExitStack() as stack,
    ):
        followers = [stack.enter_context(following(server, "--since", "1h")) for _ in range(3)]
        for follower in followers:
            follower.wait_for("the server is started")
        time.sleep(0.5)  # from the list to the stream
        assert server.stop() == 0
        assert "killed" not in server.log()
