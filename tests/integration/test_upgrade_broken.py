"""New versions that are broken in one way each: a server refuses or leaves every one, and loses no query."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import geodns
from geodns.serve.rehearsal import PASSED
from geodns.storage.formats import FORMATS
from tests.integration.cluster import Server, serving
from tests.integration.serving import Load
from tests.integration.test_upgrade_versions import NAME, ZONE
from tests.integration.upgrading import write_program

WITHIN = 20
"""Seconds that the running version gives a rehearsal; the real 30 are for large zones."""
FORMAT = FORMATS["geodns.db"]
CONTROL_BEGINS = "    gc.set_threshold(50_000, 20, 10)\n"
WORKER_BEGINS = "        self.tell(TableApplied(name, number))\n"
SERVICES_BEGIN = "    events = EventLog(settings.state)\n"
STATE_FORMAT = f'"geodns.db": {FORMAT + 1}'

Change = tuple[str, str, str]
"""A file of the package, and what of it is written otherwise."""


@dataclass(frozen=True)
class Broken:
    """A version that is broken.

    Attributes:
        name: of the way.
        step: at which it fails; empty: the command itself refuses it.
        words: in the one sentence about it.
        changes: to the package.
        first: lines of the program before anything of the package is loaded.
        text: of the program, instead of a whole one; {python}, {folder} and {first} stand for what they say.
        rehearsal: False: the program says that it went well, without one.
        mode: of the program's file.
        status: of the command.

    """

    name: str
    step: str
    words: str
    changes: tuple[Change, ...] = ()
    first: str = ""
    text: str = (
        "#!{python}\nimport os, sys, time\nsys.path.insert(0, {folder!r})\n{first}\n"
        "from geodns.cli.main import main\nmain()\n"
    )
    rehearsal: bool = True
    mode: int = 0o755
    status: int = 1


REHEARSAL, HANDOVER, CONTROL, WORKERS = "rehearsal", "handover", "new control", "new workers"

TABLE = (
    # --- the program ---
    Broken("not executable", "", "is no program: write the path", mode=0o644, status=2),
    Broken("no program", REHEARSAL, "cannot be started: Exec format error", text="It is better now.\n"),
    Broken("no such Python", REHEARSAL, "cannot be started: No such file", text="#!/nowhere/python3\n"),
    Broken("nothing", REHEARSAL, "cannot be started: Exec format error", text=""),
    Broken(
        "Python without libraries",
        REHEARSAL,
        "(status 1): ModuleNotFoundError: No module named 'click'",
        text="#!{python} -IS\nimport sys\nsys.path.insert(0, {folder!r})\nimport geodns.cli.main\n",
    ),
    Broken("never begins", REHEARSAL, f"not through within {WITHIN} s", first="time.sleep(600)"),
    Broken(
        "says too much",
        REHEARSAL,
        "the rehearsal failed (status 7): too much",
        first="print('too much\\n' * 5_000, 'x' * 3_000_000, '\\ntoo much', sep='')\nsys.exit(7)",
    ),
    Broken("says nothing", REHEARSAL, "the rehearsal failed (status 9)", first="sys.exit(9)"),
    Broken("dies", REHEARSAL, "the rehearsal failed (SIGKILL)", first="os.kill(os.getpid(), 9)"),
    Broken(
        "goes away",
        HANDOVER,
        "cannot be started: No such file",
        first="os.unlink(sys.argv[0])",
        rehearsal=False,
    ),
    # --- the package ---
    Broken(
        "import",
        REHEARSAL,
        "No module named 'geodns.nowhere'",
        (("cli/serve.py", "from geodns import logs\n", "import geodns.nowhere\n"),),
    ),
    Broken(
        "library",
        REHEARSAL,
        "this program is not whole: import of aiohttp halted",
        first="sys.modules['aiohttp'] = None",
    ),
    Broken(
        "syntax",
        REHEARSAL,
        "this program is not whole",
        (("control/gauges.py", "class Gauges", "clas Gauges"),),
    ),
    Broken(
        "services",
        REHEARSAL,
        "while it was making its services: ZeroDivisionError",
        (("daemon.py", SERVICES_BEGIN, "    1 / 0\n"),),
    ),
    Broken(
        "services hang",
        REHEARSAL,
        "it took more than 2 s, and was then ",
        (
            ("daemon.py", SERVICES_BEGIN, "    time.sleep(600)\n"),
            ("cli/rehearsal.py", "LIMIT = 25.0", "LIMIT = 2.0"),
        ),
    ),
    Broken(
        "worker",
        REHEARSAL,
        "worker udp0",
        (("serve/worker.py", WORKER_BEGINS, f"        if name == 'udp0': os.abort()\n{WORKER_BEGINS}"),),
    ),
    Broken(
        "no answers",
        REHEARSAL,
        "is missing: timed out",
        (
            ("serve/udp.py", "if answer is not None", "if answer is None"),
            ("serve/trial_queries.py", "WITHIN = 3.0", "WITHIN = 0.2"),
        ),
    ),
    Broken(
        "handover's format",
        REHEARSAL,
        "the handover has format 1; this program knows up to 0",
        (("serve/handover.py", "FORMAT = 1\n", "FORMAT = 0\n"),),
    ),
    Broken(
        "state's format",
        REHEARSAL,
        "geodns.db",
        (("storage/formats.py", STATE_FORMAT, f'"geodns.db": {FORMAT}'),),
    ),
    # --- zones and settings ---
    Broken(
        "settings",
        REHEARSAL,
        "--log-format: 'sung' is not known here",
        first="sys.argv += ['--log-format', 'sung']",
    ),
    Broken(
        "sockets",
        REHEARSAL,
        "restart to change listen: listen says 127.0.0.1:0, 127.0.0.2:0, the server runs with 127.0.0.1:0",
        first="sys.argv += ['--listen', '127.0.0.2:0']",
    ),
    Broken(
        "zone",
        REHEARSAL,
        "lab.example.yaml:4",
        (("zonefile/reader.py", "report, ZONE, ", "report, {k: ZONE[k] for k in ('ns', 'hosts')}, "),),
    ),
    # --- what no rehearsal shows ---
    Broken(
        "disk",
        CONTROL,
        "No space left on device",
        (("cli/serve.py", "    os.umask(0o077)\n", "    raise OSError(28, 'No space left on device')\n"),),
        rehearsal=False,
    ),
    Broken(
        "supervisor",
        CONTROL,
        "ZeroDivisionError: division by zero",
        (("serve/supervisor.py", "            self._take_over(plan.handover)\n", "            1 / 0\n"),),
        rehearsal=False,
    ),
    Broken(
        "control dies later",
        CONTROL,
        "was killed by SIGABRT",
        (("daemon.py", CONTROL_BEGINS, "    import os; os.abort()\n"),),
        rehearsal=False,
    ),
    Broken(
        "control hangs later",
        CONTROL,
        "did not answer within 1 s",
        (
            ("daemon.py", CONTROL_BEGINS, "    time.sleep(600)\n"),
            ("serve/arrival.py", "TIME = 30.0", "TIME = 1.0"),
        ),
        rehearsal=False,
    ),
    Broken(
        "worker dies later",
        WORKERS,
        "was killed by SIGABRT",
        (("serve/worker.py", WORKER_BEGINS, f"{WORKER_BEGINS}        os.abort()\n"),),
        rehearsal=False,
    ),
)


@dataclass
class Running:
    """The server of all cases, which is never started again.

    Attributes:
        server: itself.
        load: on it.
        package: its own files.

    """

    server: Server
    load: Load
    package: Path


def install(package: Path, folder: Path, broken: Broken) -> str:
    """Install a version whose unchanged files are those of another; return its program."""
    shutil.copytree(package, folder / "geodns", copy_function=os.link)
    version = ("__init__.py", f'"{geodns.__version__}"', '"9.9"')
    for file, before, after in (version, *broken.changes):
        path = folder / "geodns" / file
        text = path.read_text()
        assert before in text, file
        path.unlink()  # the other's file stays as it is
        path.write_text(text.replace(before, after, 1))
    first = (
        broken.first
        if broken.rehearsal
        else f"if '--rehearse' in sys.argv:\n    {broken.first or 'pass'}\n    import os\n"
        f"    print('{PASSED}%d' % os.getpid())\n    sys.exit(0)"
    )
    (folder / "bin").mkdir()
    text = broken.text.format(python=sys.executable, folder=str(folder), first=first)
    program = write_program(folder / "bin", text)
    Path(program).chmod(broken.mode)
    return program


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server under load, of a version whose state has a newer format than a version before."""
    folder = tmp_path_factory.mktemp("running")
    shutil.copytree(Path(geodns.__file__).parent, folder / "source")
    changes = (
        ("storage/formats.py", f'"geodns.db": {FORMAT}', STATE_FORMAT),
        ("serve/rehearsal.py", "TIME = 30.0", f"TIME = {WITHIN}.0"),
        ("__init__.py", '"9.9"', f'"{geodns.__version__}"'),
    )
    program = install(folder / "source", folder / "old", Broken("", "", "", changes))
    become = ("/bin/sh", "-c", 'shift 3; exec "$0" "$@"', program)
    with (
        serving(folder, {NAME: ZONE}, workers=2, prefix=become) as server,
        Load(server.listen[0], clients=2, pause=0.05) as load,
    ):
        assert load.wait_for_more()
        yield Running(server, load, folder / "old/geodns")


def upgraded(running: Running, program: str) -> "tuple[int, str, str]":
    """Ask for an upgrade; return the command's status, what it printed, and its last word."""
    done = running.server.command(
        "upgrade", "--state", str(running.server.state), "--program", program, timeout=100
    )
    print(f"status {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}")  # noqa: T201 - shown where it fails
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("broken", TABLE, ids=lambda one: one.name)
def test_a_broken_version_is_named_and_left(running: Running, tmp_path: Path, broken: Broken) -> None:
    before = running.server.process.pid, running.server.status()["version"]
    status, _, stderr = upgraded(running, install(running.package, tmp_path, broken))
    *said, last = stderr.splitlines()
    assert status == broken.status
    assert last.startswith(f"geodns: not upgraded ({broken.step}): " if broken.step else "geodns: ")
    assert broken.words in last
    assert not broken.step or last.endswith(f": geodns {geodns.__version__} goes on")
    assert all(line.startswith("  ") for line in said)
    assert len(said) <= 201
    goes_on(running)
    assert (running.server.process.pid, running.server.status()["version"]) == before


def goes_on(running: Running) -> None:
    """Require that the server answers, and has all the time."""
    assert running.load.wait_for_more()
    assert running.server.values(f"n.{NAME}") == ["192.0.2.1"]
    assert running.load.lost == 0


def test_a_version_that_was_changed_in_place_is_left_for_no_other(running: Running, tmp_path: Path) -> None:
    added = running.package / "added.py"
    program = install(running.package, tmp_path, Broken("", "", ""))
    added.touch()
    try:
        status, _, stderr = upgraded(running, program)
    finally:
        added.unlink()
    assert status == 1
    assert "the files of the running version were changed in place" in stderr
    goes_on(running)


@pytest.mark.parametrize(("path", "words"), [("", "is a directory"), ("geodns", "is not there")])
def test_a_path_without_a_program(running: Running, tmp_path: Path, path: str, words: str) -> None:
    status, _, stderr = upgraded(running, str(tmp_path / path))
    assert (status, words in stderr) == (2, True)
    goes_on(running)


def test_after_all_of_them_a_whole_version_takes_over(running: Running, tmp_path: Path) -> None:
    program = install(running.package, tmp_path, Broken("", "", ""))
    status, stdout, _ = upgraded(running, program)
    assert status == 0
    assert f"upgraded from {geodns.__version__} to 9.9" in stdout
    assert running.server.status()["version"] == "9.9"
    goes_on(running)
