"""``geodns serve`` up to where the processes begin: flags, settings, the lock, the plan."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main, serve
from geodns.errors import GeodnsError, SettingsError, StartError
from geodns.serve.plan import ServePlan, TcpLimits
from geodns.storage.lock import lock_state


class Run:
    """What the supervisor was told to run, in its place."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.plan: ServePlan | None = None
        self.log: tuple[str, ...] = ()
        self.locked = False
        self.state = Path("state")

    def __call__(self, plan: ServePlan) -> int:
        self.plan = plan
        try:
            lock_state(self.state).close()
        except GeodnsError:
            self.locked = True
        return self.status


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    found = Run()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("geodns.serve.supervisor.run", found)
    monkeypatch.setattr("geodns.logs.configure", lambda *given: setattr(found, "log", given))
    for name in os.environ:
        if name.startswith("GEODNS_"):
            monkeypatch.delenv(name)
    return found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["serve", *arguments])


def test_without_flags_it_serves_as_the_design_says(supervisor: Run) -> None:
    assert run().exit_code == 0
    assert supervisor.plan is not None
    assert supervisor.plan.listen == (("127.0.0.1", 5300),)
    assert supervisor.plan.http == ("127.0.0.1", 8053)
    assert supervisor.plan.workers == len(os.sched_getaffinity(0))
    assert supervisor.locked, "the state directory is locked while it runs"
    lock_state(Path("state")).close()


def test_flags_say_otherwise(supervisor: Run) -> None:
    supervisor.state = Path("kept")
    arguments = ["--listen", "127.0.0.2:5301", "--listen", "[::1]:0", "--http", "[::1]:80", "--workers", "3"]
    assert run(*arguments, "--state", "kept", "--zones", "z").exit_code == 0
    assert supervisor.plan is not None
    assert supervisor.plan.listen == (("127.0.0.2", 5301), ("::1", 0))
    assert (supervisor.plan.http, supervisor.plan.workers) == (("::1", 80), 3)
    assert supervisor.locked


def test_a_file_says_otherwise_too(supervisor: Run, tmp_path: Path) -> None:
    (tmp_path / "geodns.yaml").write_text("workers: 5\nhttp: 127.0.0.1:99\ntcp: {idle: 5s}\n")
    assert run("--http", "127.0.0.1:98").exit_code == 0
    assert supervisor.plan is not None
    assert (supervisor.plan.http, supervisor.plan.workers) == (("127.0.0.1", 98), 5)
    assert supervisor.plan.tcp == TcpLimits(1000, 100, 5.0)


def test_the_log_is_as_the_settings_say(supervisor: Run) -> None:
    run()
    assert supervisor.log == ("text", "info")
    run("--log-format", "json", "--log-level", "debug")
    assert supervisor.log == ("json", "debug")


def test_what_is_written_is_for_nobody_else(supervisor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(plan: ServePlan) -> int:
        del plan
        Path("state/written").touch()
        return 0

    monkeypatch.setattr("geodns.serve.supervisor.run", write)
    before = os.umask(0o022)
    try:
        assert run().exit_code == 0
        Path("later").touch()
    finally:
        os.umask(before)
    assert Path("state/written").stat().st_mode & 0o777 == 0o600
    assert Path("later").stat().st_mode & 0o777 == 0o644
    assert supervisor.plan is None


def test_what_systemd_gives_is_taken(supervisor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nowhere")
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    monkeypatch.setenv("LISTEN_PID", "1")  # somebody else's
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert run().exit_code == 0
    assert supervisor.plan is not None
    assert supervisor.plan.given == ()
    assert supervisor.plan.notifier.every == 2.0
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS"} & os.environ.keys()


@pytest.mark.parametrize("status", [0, 1])
def test_its_exit_status_is_the_supervisors(supervisor: Run, status: int) -> None:
    supervisor.status = status
    assert run().exit_code == status


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--listen", "ns1:53"], id="a name to listen on"),
        pytest.param(["--workers", "0"], id="no worker"),
        pytest.param(["--http", "127.0.0.1"], id="no port"),
        pytest.param(["--config", "missing.yaml"], id="no such file"),
    ],
)
def test_wrong_settings_start_nothing(supervisor: Run, arguments: list[str]) -> None:
    assert isinstance(run(*arguments).exception, SettingsError)
    assert supervisor.plan is None
    assert not Path("state").exists()


def test_a_second_server_on_the_same_state_does_not_start(supervisor: Run) -> None:
    lock = lock_state(Path("state"))
    try:
        result = run()
    finally:
        lock.close()
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("geodns: ")
    assert supervisor.plan is None


def test_the_lock_is_let_go_when_it_cannot_start(supervisor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(plan: ServePlan) -> int:
        del plan
        raise StartError("the port is taken")

    monkeypatch.setattr("geodns.serve.supervisor.run", fail)
    result = run()
    assert (result.exit_code, result.stderr) == (1, "geodns: the port is taken\n")
    assert supervisor.plan is None
    lock_state(Path("state")).close()


def test_the_control_process_gets_the_settings(supervisor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def control(*arguments: Any) -> int:
        given.extend(arguments)
        return 7

    monkeypatch.setattr("geodns.daemon.control", control)
    run("--zones", "z")
    assert supervisor.plan is not None
    seat: Any = object()
    assert supervisor.plan.control(seat) == 7
    assert (given[0].zones, given[1]) == (Path("z"), seat)


def test_closed_standard_streams_do_not_become_sockets() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(3):
            os.close(number)
        serve._open_standard_streams()
        os.write(writer, bytes(str(all(os.isatty(n) or os.fstat(n) for n in range(3))), "ascii"))
        os._exit(0)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100) == b"True"
    os.close(reader)


@pytest.mark.parametrize(
    ("address", "told"), [("0.0.0.0:5310", True), ("127.0.0.1:5310", False), ("unix:a", False)]
)
def test_routes_that_others_may_ask_for_are_told(
    supervisor: Run, caplog: pytest.LogCaptureFixture, address: str, told: bool
) -> None:
    Path("geodns.yaml").write_text(f"routes_listen: {address}\n")
    assert run().exit_code == 0
    assert supervisor.plan is not None
    text = f"routes_listen: whoever reaches {address} may ask there: let only your MTAs"
    assert (text in caplog.messages) == told
