"""Upgrades from this version to a copy of it that calls itself another."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import geodns
from geodns.storage.formats import FORMATS
from tests.integration.cluster import Server, serving
from tests.integration.serving import Load
from tests.integration.upgrading import write_program

ZONE = """
ns: {ns1: 127.0.0.1}
hosts: {mta1: 192.0.2.11}
records: {n: {A: 192.0.2.1}}
"""
NAME = "lab.example"
PAGE = (Path(__file__).parents[2] / "docs/upgrading.md").read_text()
UPGRADE, BACK = re.findall("^/opt/geodns-2/bin/geodns .*", PAGE, re.MULTILINE)
STEPS = [line.split(":")[0] for line in re.findall("^.* …$", PAGE, re.MULTILINE)]


def copy(folder: Path, version: str, broken: str = "") -> str:
    """Install this version under another name and with the next format of its state; return its program."""
    package = folder / "geodns"
    shutil.copytree(Path(geodns.__file__).parent, package)
    (package / "__init__.py").write_text(f'"""geodns."""\n\n__version__ = "{version}"\n')
    formats, number = package / "storage/formats.py", FORMATS["geodns.db"]
    text = formats.read_text().replace(f'"geodns.db": {number}', f'"geodns.db": {number + 1}')
    assert text != formats.read_text()
    formats.write_text(text)
    if broken:
        daemon = package / "daemon.py"
        text = daemon.read_text()
        begins = "    gc.set_threshold(50_000, 20, 10)\n"
        assert begins in text
        daemon.write_text(text.replace(begins, begins + broken))
    (folder / "bin").mkdir()
    return write_program(
        folder / "bin",
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from geodns.cli.main import main\nmain()\n",
    )


def asked(line: str, program: str, state: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line of the page on upgrades, with another program and state folder."""
    words = line.replace("/opt/geodns-2/bin/geodns", program).replace("/var/lib/geodns", str(state))
    return subprocess.run(shlex.split(words), capture_output=True, text=True, timeout=100, check=False)


def version(server: Server) -> str:
    found: str = server.status()["version"]
    return found


def test_another_version_takes_over_and_a_broken_one_does_not(tmp_path: Path) -> None:
    good = copy(tmp_path / "good", "9.0")
    broken = copy(tmp_path / "broken", "9.1", "    if context.upgraded_from: raise SystemExit(3)\n")
    with (
        serving(tmp_path, {NAME: ZONE}, workers=2, fresh=True) as server,
        Load(server.listen[0], pause=0.002) as load,
    ):
        assert load.wait_for_more()
        state = tmp_path / "state"
        counted = server.metric("geodns_queries_total", transport="udp")
        done = asked(UPGRADE, good, state)
        assert done.returncode == 0, done.stderr
        assert [line.split(":")[0] for line in done.stdout.splitlines()[:-1]] == STEPS
        assert version(server) == "9.0"
        assert server.metric("geodns_queries_total", transport="udp") >= counted
        failed = asked(UPGRADE, broken, state)
        assert failed.returncode == 1
        assert "ended with status 3" in failed.stderr + failed.stdout
        assert version(server) == "9.0"
        drained = server.command("drain", "mta1", "--yes")
        assert drained.returncode == 0, drained.stderr
        back = asked(BACK, good, state)
        assert back.returncode == 0, back.stderr
        assert "went back from 9.0" in back.stdout
        assert version(server) == geodns.__version__
        assert "drained" in str(server.status())
        assert (state / f"geodns.db.format-{FORMATS['geodns.db'] + 1}").exists()
        assert load.wait_for_more()
    assert load.lost == 0
