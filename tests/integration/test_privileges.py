"""A server that root starts and that is root no more: who its processes are, and what they must reach."""

import os
import pwd
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import geodns
from tests.integration.cluster import Server, serving, starting
from tests.integration.mailhosts import wait_until
from tests.integration.test_bad_days_start import GOOD, ZONE, refused
from tests.unprivileged import NOBODY, open_to_all

USER = pwd.getpwuid(NOBODY).pw_name
root_only = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root becomes another user: run the tests as root"
)

PATHS = [Path(sys.base_prefix), Path(geodns.__file__).parents[1], Path(click.__file__).parents[4]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that nobody can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        folder.chmod(0o755)
        (folder / "zones").mkdir()
        (folder / "zones" / f"{ZONE}.yaml").write_text(GOOD)
        yield folder


@pytest.fixture
def prefix(folder: Path) -> tuple[str, ...]:
    return open_to_all(PATHS, folder / "hold")


def identity(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def processes(server: Server) -> list[int]:
    return [server.process.pid, *server.children()]


@root_only
def test_every_process_is_the_user_those_of_a_restart_too(folder: Path, prefix: tuple[str, ...]) -> None:
    (folder / "token").write_text("s3cret")
    (folder / "token").chmod(0o400)  # read before root is given up
    (folder / "geodns.yaml").write_text(f"user: {USER}\ntoken_file: token\n")
    with serving(folder, prefix=prefix, workers=2, listen=("127.0.0.1:0", "0.0.0.0:0")) as server:
        before = processes(server)
        assert len(before) == 5
        for pid in before[1:]:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(before[1:]) & set(server.children()), what="all are dead")
        wait_until(lambda: len(processes(server)) == 5, what="all are back")
        wait_until(lambda: server.values(ZONE) == ["192.0.2.1"], what="it answers")
        group = str(pwd.getpwuid(NOBODY).pw_gid)
        for pid in processes(server):
            status = identity(pid)
            assert status["Uid"] == [str(NOBODY)] * 4
            assert status["Gid"] == [group] * 4
            assert status["Groups"] == [group]
            assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == 0
            assert status["NoNewPrivs"] == ["1"]
        wait_until((server.state / "geodns.db").exists, what="the state is kept")
        for path in (server.state, *server.state.iterdir()):
            found = path.stat()
            assert (found.st_uid, found.st_mode & 0o077) == (NOBODY, 0), path
        assert "running as root" not in server.log()


def roots_port() -> int:
    """A free port that only root may open."""
    for port in range(1023, 511, -1):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.skip("no port below 1024 is free")


@root_only
def test_a_port_of_roots(folder: Path, prefix: tuple[str, ...]) -> None:
    listen = (f"127.0.0.1:{roots_port()}",)
    with serving(folder, prefix=prefix, listen=listen, arguments=("--user", USER)) as server:
        assert server.values(ZONE) == ["192.0.2.1"]
        assert identity(server.process.pid)["Uid"] == [str(NOBODY)] * 4


@root_only
def test_parents_of_the_state_stay_roots(folder: Path, prefix: tuple[str, ...]) -> None:
    state = folder / "var" / "lib" / "geodns"
    with serving(folder, prefix=prefix, arguments=("--user", USER, "--state", str(state))):
        assert state.stat().st_uid == NOBODY
        assert [(path.stat().st_uid, path.stat().st_mode & 0o777) for path in state.parents[:2]] == [
            (0, 0o755)
        ] * 2


@root_only
def test_root_that_stays_root_is_told(folder: Path) -> None:
    with serving(folder) as server:
        wait_until(lambda: "running as root: `user: geodns`" in server.log(), what="a warning")


@root_only
@pytest.mark.parametrize("what", ["zones", "secret", "state", "state/old"])
def test_what_the_user_may_not_touch_is_named(folder: Path, prefix: tuple[str, ...], what: str) -> None:
    (folder / "state").mkdir()
    os.chown(folder / "state", NOBODY, NOBODY)
    if what == "secret":
        (folder / what).write_text("0123456789abcdef" * 2)
        (folder / "geodns.yaml").write_text("cookie_secret_file: secret")
    if what == "state/old":
        (folder / what).touch(mode=0o600)  # from a start as root
    else:
        os.chown(folder / what, 0, 0)
        (folder / what).chmod(0o700)
    line = refused(folder, "--user", USER, prefix=prefix)
    says = "written by" if "state" in what else "read by"
    assert line.startswith(f"{what} cannot be {says} user {USER}: ")


@root_only
@pytest.mark.parametrize(
    ("what", "path", "says"),
    [
        ("cookie_secret_file", "closed/secret", "read"),
        ("cookie_secret_file", "closed/none", "read"),
        ("zones", "closed/zones", "read"),
        ("state", "closed/state", "reached"),
        ("state", "closed/in/state", "reached"),
    ],
    ids=["secret", "no-secret", "zones", "state", "deeper"],
)
def test_what_lies_where_the_user_may_not_enter_is_named(
    folder: Path, prefix: tuple[str, ...], what: str, path: str, says: str
) -> None:
    (folder / "closed" / "state").mkdir(parents=True)
    (folder / "closed" / "zones").mkdir()
    (folder / "closed" / "in" / "state").mkdir(parents=True)
    for state in (folder / "closed" / "state", folder / "closed" / "in" / "state"):
        os.chown(state, NOBODY, NOBODY)
    (folder / "closed" / "secret").write_text("0123456789abcdef" * 2)
    (folder / "closed").chmod(0o700)
    (folder / "geodns.yaml").write_text(f"user: {USER}\n{what}: {path}\n")
    flags = () if what == "cookie_secret_file" else (f"--{what}", path)
    assert refused(folder, *flags, prefix=prefix).startswith(
        f"{path} cannot be {says} by user {USER}: let it "
    )


@root_only
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--user", "no-such-user"), "there is no user no-such-user on this machine: give --user another"),
        (("--user", USER, "--group", "no-such-group"), "there is no group no-such-group on this machine"),
        (("--group", "root"), "group root without a user: give --user as well"),
    ],
    ids=["user", "group", "group-alone"],
)
def test_nobody_to_become(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    assert refused(folder, *arguments).startswith(says)
    assert not (folder / "state").exists()


@root_only
def test_who_is_not_root_becomes_nobody_else(folder: Path, prefix: tuple[str, ...]) -> None:
    (folder / "mine").mkdir()
    os.chown(folder / "mine", NOBODY, NOBODY)
    gid = pwd.getpwuid(NOBODY).pw_gid
    plain = (*prefix, "setpriv", f"--reuid={NOBODY}", f"--regid={gid}", "--clear-groups")
    line = refused(folder, "--user", "daemon", "--state", "mine/state", prefix=plain)
    assert line == (
        "only root can become daemon: start geodns as root or as daemon, or take --user and --group out"
    )
    with starting(
        folder, prefix=plain, arguments=("--user", USER, "--state", str(folder / "mine" / "state"))
    ) as server:
        server.wait_ready()  # it is that user already
        assert server.values(ZONE) == ["192.0.2.1"]


@root_only
def test_the_routes_worker_is_the_user_and_so_is_its_socket(folder: Path, prefix: tuple[str, ...]) -> None:
    """Nobody but root may write in the folder: the socket is made before root is given up."""
    (folder / "run").mkdir(mode=0o755)
    (folder / "geodns.yaml").write_text(
        f'user: {USER}\nroutes_listen: {{listen: "unix:run/routes", mode: "0600"}}\n'
    )
    zone = folder / "zones" / f"{ZONE}.yaml"
    zone.write_text(GOOD + "routes: [{use: '@'}]\n")
    with serving(folder, prefix=prefix) as server:
        for pid in processes(server):
            assert identity(pid)["Uid"] == [str(NOBODY)] * 4
        made = (folder / "run" / "routes").stat()
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (NOBODY, 0o600)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "run" / "routes"))
            client.settimeout(10)
            client.sendall(b"get a@b.example\n")
            assert client.makefile().readline() == f"200 relay:[{ZONE}]:25\n"
    with serving(folder, prefix=prefix):  # what it could not take away is replaced
        pass
