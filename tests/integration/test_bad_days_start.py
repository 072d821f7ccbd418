"""Starts that go wrong: each ends with one line that says what to do, or goes on and says what is amiss."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dns.rcode
import pytest

from tests.integration import product
from tests.integration.cluster import Server, free_port, geodns, serving, starting, zone_text
from tests.integration.mailhosts import mail_hosts, silent, wait_until

ZONE = "lab.example"
GOOD = """\
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.1}
pools: {main: {hosts: [a], check: none}}
records: {"@": {A: {pool: main}, MX: {pool: main, preference: 10}}}
"""
"""Without a check: the host is up, and the start waits for nobody."""


def mortal() -> tuple[str, ...]:
    """What to put before a command so that permissions hold for it, for whoever runs the tests as root."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything: setpriv is needed (apt-get install util-linux)")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


def refused(folder: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """Start a server that cannot start; return the only line it says."""
    command = ["serve", "--workers", "1"]
    defaults = {"--zones": "zones", "--state": "state", "--listen": "127.0.0.1:0", "--http": "127.0.0.1:0"}
    for flag, value in defaults.items():
        if flag not in arguments:
            command += [flag, value]
    done = geodns(*command, *arguments, cwd=folder, prefix=prefix)
    assert done.stdout == ""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("geodns: ")
    return line.removeprefix("geodns: ")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / f"{ZONE}.yaml").write_text(GOOD)
    return tmp_path


# --- ports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "flag", "says"),
    [
        pytest.param(socket.SOCK_DGRAM, "--listen", "port taken (UDP): another name server?", id="UDP"),
        pytest.param(socket.SOCK_STREAM, "--listen", "port taken (TCP): another name server?", id="TCP"),
        pytest.param(socket.SOCK_STREAM, "--http", "port taken (HTTP): another server?", id="HTTP"),
    ],
)
def test_port_taken(folder: Path, kind: socket.SocketKind, flag: str, says: str) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        at = f"127.0.0.1:{other.getsockname()[1]}"
        assert refused(folder, flag, at) == f"{at}: {says} give {flag} another port"


def test_a_second_server_takes_neither_the_ports_nor_the_state(folder: Path) -> None:
    with serving(folder) as server:
        at = "{}:{}".format(*server.listen[0])
        http = server.http.removeprefix("http://")
        assert "port taken" in refused(folder, "--listen", at, "--http", http, "--state", "another")
        assert "port taken (HTTP)" in refused(folder, "--http", http, "--state", "another")
        line = refused(folder)
        assert f"state is in use by process {server.process.pid}" in line
        assert "give this one its own --state" in line
        assert server.values(ZONE) == ["192.0.2.1"]


def test_the_state_is_free_again_after_the_worst_end(folder: Path) -> None:
    with serving(folder) as server:
        server.kill()
    with serving(folder) as server:
        assert server.values(ZONE) == ["192.0.2.1"]


def test_an_address_of_another_machine(folder: Path) -> None:
    line = refused(folder, "--listen", "192.0.2.53:5300")
    assert line == "192.0.2.53:5300: not an address of this machine (UDP): give --listen one that is"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network without IPv6")
def test_ipv6_disabled(folder: Path) -> None:
    off = 'ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$@"'
    prefix = ("unshare", "--net", "--", "sh", "-c", off, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own to be had here, or no ip (apt-get install iproute2)")
    line = refused(folder, "--listen", "[::1]:0", prefix=prefix)
    assert line == "[::1]:0: not an address of this machine (UDP): give --listen one that is"


# --- zones ---------------------------------------------------------------------------------------------


def test_no_zones(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    assert refused(tmp_path) == "no zones in zones/: `geodns init NAME ADDRESS…` writes the first"


def test_what_the_line_says_to_do_helps(tmp_path: Path) -> None:
    assert "geodns init" in refused(tmp_path)
    assert geodns("init", ZONE, "192.0.2.1", cwd=tmp_path).returncode == 0
    with starting(tmp_path, {}) as server:
        server.wait_ready()
        assert server.ask(ZONE, "SOA").rcode() == 0


@pytest.mark.parametrize(
    ("zones", "why"),
    [
        pytest.param("nowhere", "No such file or directory", id="missing"),
        pytest.param(f"zones/{ZONE}.yaml", "Not a directory", id="a file"),
    ],
)
def test_no_folder_of_zones(folder: Path, zones: str, why: str) -> None:
    assert refused(folder, "--zones", zones) == (
        f"no zones: the folder {zones} cannot be read ({why}): give another with --zones, "
        "or write the first zone with `geodns init NAME ADDRESS…`"
    )


def test_a_folder_that_may_not_be_read(folder: Path) -> None:
    (folder / "zones").chmod(0)
    try:
        assert "the folder zones cannot be read (Permission denied)" in refused(folder, prefix=mortal())
    finally:
        (folder / "zones").chmod(0o700)


def test_only_files_with_errors(folder: Path) -> None:
    (folder / "zones" / f"{ZONE}.yaml").write_text("hosts: {a: nonsense}\n")
    with starting(folder) as server:
        assert server.process.wait(30) == 1
        problems = server.log().splitlines()
        assert all(f"zones/{ZONE}.yaml:1:" in problem for problem in problems), problems
        assert any("nonsense" in problem for problem in problems)


SPOILT: dict[str, Callable[[Path], object]] = {
    "mistake.example": lambda path: path.write_text("hosts: {a: nonsense}\n"),
    "yaml.example": lambda path: path.write_text("{{{"),
    "text.example": lambda path: path.write_bytes(b"\xff\xfe\0\0"),
    "empty.example": lambda path: path.write_text(""),
    "forbidden.example": lambda path: path.touch(mode=0),
    "queue.example": os.mkfifo,
    "loop.example": lambda path: path.symlink_to(path.name),
}


def test_bad_files_beside_a_good_one(folder: Path) -> None:
    for zone, spoil in SPOILT.items():
        spoil(folder / "zones" / f"{zone}.yaml")
    (folder / "zones" / "old.yaml").mkdir()
    (folder / "zones" / "dangling.yaml").symlink_to("nowhere")
    with serving(folder, prefix=mortal()) as server:
        assert server.values(ZONE) == ["192.0.2.1"]
        shown = server.status()
        assert shown["ready"] is True
        assert {zone for zone, about in shown["zones"].items() if about["error"]} == SPOILT.keys()
        assert shown["zones"].keys() == {ZONE, *SPOILT}
        assert len(shown["warnings"]) == len(SPOILT)
        for zone in SPOILT:
            assert server.ask(zone).rcode() == dns.rcode.REFUSED
            assert f"{zone}.yaml" in shown["zones"][zone]["error"]
            assert any(f"{zone}.yaml" in warning for warning in shown["warnings"])
            assert f"{zone}.yaml" in server.log()
            assert server.metric("geodns_zone_load_errors_total", zone=zone) == 1
        assert all(warning.endswith("(the zone is not served)") for warning in shown["warnings"])
        for zone in SPOILT:
            server.write(zone, GOOD)
        for zone in SPOILT:
            wait_until(lambda: server.values(zone) == ["192.0.2.1"], what=zone)  # noqa: B023 - at once
        assert server.status()["warnings"] == []


def test_names_of_files_that_are_no_text(folder: Path) -> None:
    """What an editor or an archive leaves about may be called anything; status, metrics and log bear it."""
    zones = os.fsencode(folder / "zones")
    for name in (b"\xff\xfe.yaml", b"two\nlines.yaml", b"\x1b[2J.yaml"):
        with open(zones + b"/" + name, "w") as file:  # noqa: PTH123 - a path of bytes
            file.write(GOOD)
    with serving(folder) as server:
        assert server.values(ZONE) == ["192.0.2.1"]
        assert len(server.status()["warnings"]) == 3
        assert server.metric("geodns_zone_load_errors_total") == 3
        log = server.log()
        assert "\x1b" not in log
        assert all(line.startswith("20") for line in log.splitlines()), log
    done = geodns("check", str(folder / "zones"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


# --- state ---------------------------------------------------------------------------------------------


def test_a_file_in_place_of_the_state(folder: Path) -> None:
    (folder / "state").write_text("")
    assert refused(folder) == (
        "the state directory state cannot be used (File exists): make it a directory that this user can "
        "write, or give another with --state"
    )


@pytest.mark.parametrize("kind", ["the directory", "its parent", "the state file"])
def test_state_that_may_not_be_written(folder: Path, kind: str) -> None:
    prefix = mortal()
    state = folder / "home" / "state"
    state.mkdir(parents=True)
    if kind == "the state file":
        (state / "geodns.db").touch()
        closed = state / "geodns.db"
    elif kind == "its parent":
        state.rmdir()
        closed = folder / "home"
    else:
        closed = state
    mode = closed.stat().st_mode
    closed.chmod(0o400 if kind == "the state file" else 0o500)
    try:
        line = refused(folder, "--state", str(state), prefix=prefix)
    finally:
        closed.chmod(mode)
    assert str(state) in line
    assert "writ" in line


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\x89PNG" + os.urandom(9000)),
    "cut short": lambda path: os.truncate(path, 5000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_file_is_set_aside(folder: Path, damage: Callable[[Path], object]) -> None:
    with serving(folder) as server:
        server.order("a", "drain", ZONE)
    damage(folder / "state" / "geodns.db")
    with serving(folder) as server:
        assert server.values(ZONE) == ["192.0.2.1"]
        (aside,) = (folder / "state").glob("geodns.db.corrupt-*Z")
        (warning,) = server.status()["warnings"]
        assert f"set aside as {aside.name}" in warning
        assert "hosts that were drained or forced must be so again" in warning
        assert warning in server.log()
        assert server.host("a")["forced"] is None


# --- settings ------------------------------------------------------------------------------------------


def test_bad_settings_are_told_all_at_once(folder: Path) -> None:
    (folder / "geodns.yaml").write_text("listen: [bogus]\nworkers: many\nzonez: here\n")
    done = geodns("serve", "--workers", "-1", env={"GEODNS_HTTP": "nope"}, cwd=folder)
    assert done.returncode == 2, "a flag is among them: wrong usage"
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    places = [line.removeprefix("geodns: ").partition(": ")[0] for line in lines]
    assert places == ["geodns.yaml:1:10", "geodns.yaml:2:10", "geodns.yaml:3:1", "GEODNS_HTTP", "--workers"]


def test_a_flag_that_is_none_is_wrong_usage(folder: Path) -> None:
    done = geodns("serve", "--zonez", "zones", cwd=folder)
    assert done.returncode == 2
    assert "--zones" in done.stderr


# --- the process's own surroundings --------------------------------------------------------------------


OUTPUTS = {
    "nobody reads it": """import os, sys
read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
os.execv(sys.argv[1], sys.argv[1:])""",
    "the disk is full": """import os, sys
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
os.dup2(1, 2)
os.execv(sys.argv[1], sys.argv[1:])""",
    "closed": """import os, sys
os.closerange(0, 3)
os.execv(sys.argv[1], sys.argv[1:])""",
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_output_that_goes_nowhere(folder: Path, output: str) -> None:
    port = free_port()
    http = free_port()
    with starting(
        folder,
        listen=(f"127.0.0.1:{port}",),
        http=f"127.0.0.1:{http}",
        prefix=(sys.executable, "-c", output),
    ) as server:
        server.listen, server.http = [("127.0.0.1", port)], f"http://127.0.0.1:{http}"
        wait_until(lambda: is_ready(server), 30, "ready")
        before = server.control()
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.metric("geodns_worker_restarts_total") == 2, what="the workers are back")
        assert server.values(ZONE) == ["192.0.2.1"]
        assert server.control() == before
        assert server.stop() == 0
        assert "Traceback" not in server.log()


def is_ready(server: Server) -> bool:
    assert server.process.poll() is None, server.log()
    with contextlib.suppress(OSError):
        return server.request("/readyz")[0] == 200
    return False


@pytest.mark.parametrize("control_is_there", [False, True], ids=["at once", "in the first round of probes"])
def test_told_to_end_while_it_starts(tmp_path: Path, control_is_there: bool) -> None:
    with mail_hosts("mta1") as hosts:
        hosts["mta1"].manners = silent
        text = zone_text(hosts).replace("greeting_timeout: 2s", "greeting_timeout: 25s")
        never = {product.FIRST_ROUND: 3600.0}
        with starting(tmp_path, {ZONE: text}, constants=never) as server:
            if control_is_there:
                wait_until(lambda: hosts["mta1"].connections, 30, "the first probe")
            else:
                wait_until(server.children, 30, "a process")
            assert server.stop() == 0  # whatever the first round of probes would have taken
            assert "killed" not in server.log()
            assert server.process.stdout is not None
            assert server.process.stdout.read() == ""


def test_no_descriptors_left(folder: Path) -> None:
    """The server goes on with what it has, and starts what is missing once there is room again."""
    with serving(folder) as server:
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        udp, tcp = server.workers()
        os.kill(tcp, signal.SIGKILL)
        wait_until(lambda: "cannot be started: Too many open files" in server.log(), what="said so")
        assert server.values(ZONE) == ["192.0.2.1"]
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (256, hard))
        wait_until(lambda: len(server.children()) == 3, what="the worker is back")
        assert server.values(ZONE, tcp=True) == ["192.0.2.1"]
        assert udp in server.children()
