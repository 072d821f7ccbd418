"""The README's commands, run as they stand there; only addresses and ports become free ones of loopback."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import END, READY, Server, free_port, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until

ROOT = Path(__file__).parents[2]
ZONE = "out.example.com"

BLOCKS = [
    found[1].splitlines()
    for found in re.finditer(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
]


def block(first_line: str) -> list[str]:
    """The shell block that begins with a line."""
    return next(lines for lines in BLOCKS if lines[0].startswith(first_line))


def shell(line: str, cwd: Path, **env: str) -> str:
    """Run a line as a shell does, with our command on its path; return what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        line,
        shell=True,
        cwd=cwd,
        env=os.environ | {"PATH": path} | env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{line}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as found:
        yield found


def test_every_block_is_run_by_a_test_here() -> None:
    known = [
        "make run",
        "dig @",
        "python3 -m venv",
        "geodns init",
        "geodns import",
        "geodns delegation",
        "geodns status",
        "geodns drain",
        "geodns querylog",
        "geodns events --since 7d",
    ]
    assert [next((one for one in known if lines[0].startswith(one)), lines[0]) for lines in BLOCKS] == known


@pytest.mark.skipif(not shutil.which("dig"), reason="needs dig: apt-get install bind9-dnsutils")
@pytest.mark.skipif(not shutil.which("make"), reason="needs make: apt-get install make")
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl: apt-get install curl")
def test_try_it(tmp_path: Path) -> None:
    """`make run` with the sample zone, then what the README tells to type in another terminal."""
    sample = (ROOT / f"zones/{ZONE}.yaml").read_text()
    for port in ("2511", "2512", "2513"):
        sample = sample.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (tmp_path / f"{ZONE}.yaml").write_text(sample)
    dns, http = free_port(), free_port()
    options = f"--zones {tmp_path} --listen 127.0.0.1:{dns} --http 127.0.0.1:{http}"
    (line,) = block("make run")
    process = subprocess.Popen(
        [
            *shlex.split(line),
            f"OPTIONS={options}",
            f"READY={sys.executable}",
            f"BIN={Path(sys.executable).parent}",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            text = process.stdout.readline()
            assert text, f"it ended early: {printed}"
            printed += text
        assert f"dig @127.0.0.1 -p {dns} {ZONE} A +short" in printed
        answers = []
        for command in block("dig @"):
            moved = command.replace("5300", str(dns)).replace("8053", str(http))
            moved = moved.replace(".venv/bin/geodns", "geodns")
            answers.append(shell(moved, ROOT, GEODNS_SERVER=f"http://127.0.0.1:{http}"))
        assert {"192.0.2.11", "192.0.2.12", "192.0.2.13"} & set(answers[0].split())
        assert f"mta1.{ZONE}." in answers[1] or f"mta2.{ZONE}." in answers[1]
        assert '"pools"' in answers[2]
        assert "mta3" in answers[3]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(END * 2)
        if process.stdout is not None:
            process.stdout.close()


def test_install(tmp_path: Path) -> None:
    """What is installed, not what lies in the checkout, has every part of itself."""
    # What it depends on is taken from here: to load it all once more takes minutes and shows nothing.
    dependencies = str(Path(pytest.__file__).parents[1])
    # A copy: a build leaves its traces where it runs.
    shutil.copytree(
        ROOT / "geodns", tmp_path / "checkout/geodns", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    for line in block("python3 -m venv"):
        moved = line.replace("/opt/geodns", str(tmp_path / "geodns")).replace("python3", sys.executable)
        shell(
            moved.replace("pip install", "pip install --quiet --disable-pip-version-check --no-deps"),
            tmp_path / "checkout",
        )
    help_text = shell(f"{tmp_path}/geodns/bin/geodns --help", tmp_path, PYTHONPATH=dependencies)
    assert "serve" in help_text
    installed = next((tmp_path / "geodns").glob("lib/python*/site-packages/geodns"))
    ours = {path.relative_to(ROOT / "geodns") for path in (ROOT / "geodns").rglob("*.py")}
    assert {path.relative_to(installed) for path in installed.rglob("*.py")} == ours


def test_first_zone(tmp_path: Path) -> None:
    with mail_hosts("mta1") as one:
        init, check, probe, serve = (line.replace("192.0.2.", "127.0.0.") for line in block("geodns init"))
        assert "written" in shell(init, tmp_path)
        assert "zones 1, hosts 3" in shell(check, tmp_path)
        assert "220" in shell(probe.replace("127.0.0.11", one["mta1"].endpoint), tmp_path)
        ready = serve.replace("127.0.0.53:53", "127.0.0.1:0") + " --http 127.0.0.1:0 --workers 1"
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(ready)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready: dns 127.0.0.1:")
            process.terminate()
            assert process.wait(END) == 0


def test_from_and_to_other_servers(tmp_path: Path) -> None:
    (tmp_path / "db.example.com").write_text(
        "$ORIGIN example.com.\n$TTL 1h\n@ SOA ns1 hostmaster 7 1h 10m 7d 30\n@ NS ns1\n"
        "ns1 A 192.0.2.53\n$GENERATE 1-2 mta$ A 192.0.2.$\n@ MX 10 mta1\n"
    )
    (tmp_path / "example.org.yaml").write_text(
        "'': {type: NS, values: [ns1.example.com.]}\n"
        "mail:\n  type: A\n  values: [192.0.2.9]\n  octodns: {healthcheck: {protocol: TCP, port: 25}}\n"
        "  dynamic:\n    pools: {main: {values: [{value: 192.0.2.1, weight: 3}, {value: 192.0.2.2}]}}\n"
        "    rules: [{pool: main}]\n"
    )
    (tmp_path / "zones").mkdir()
    bind, octodns, export = block("geodns import")
    shell(bind, tmp_path)
    shell(octodns, tmp_path)
    assert "zones 2" in shell("geodns check", tmp_path)
    assert "mta2.example.com. 3600 IN A 192.0.2.2" in " ".join(shell(export, tmp_path).split())


def test_a_host_that_misbehaves(tmp_path: Path, hosts: dict[str, MailHost]) -> None:
    with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
        wait_until(lambda: server.state_of("mta2") == "up", READY)
        said = {
            line: _run(line, server, tmp_path)
            for first in ("geodns status", "geodns drain", "geodns querylog on", "geodns events --since 7d")
            for line in block(first)
        }
    assert "mta2" in said["geodns status"]
    assert "pool main" in said[f"geodns query {ZONE} A"]
    assert "220" in said["geodns probe mta2"]
    assert "nothing was changed" in said['geodns drain mta2 --reason "disk is full" --for 2h --dry-run']
    assert "dealt no more" in said['geodns drain mta2 --reason "disk is full" --for 2h']
    assert "A 33.3% → " in said['geodns weight mta2 5 --reason "slow disk"']
    assert "quarantined until" in said['geodns quarantine mta2 --for 2h --reason "listed"']
    assert "dealt by main" in said["geodns clear mta2"]
    assert "dealt by main" in said["geodns undrain mta2"]
    assert "1%" in said["geodns querylog"]
    assert "off" in said["geodns querylog off"]
    assert "pool main: dealt from main" in said[f"geodns explain {ZONE}"]
    assert "drained by" in said["geodns events --since 7d --kind state --kind forced"]
    assert "nothing changes" in said["geodns check --diff zones"]
    assert "zones are served as their files say: 1" in said["geodns reload"]
    assert "mta2" in (tmp_path / "report.html").read_text()


def test_what_belongs_at_the_parent(tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    shutil.copy(ROOT / f"zones/{ZONE}.yaml", tmp_path / "zones")
    plain, verify = block("geodns delegation")
    assert f"ns1.{ZONE}.  3600  IN  A     192.0.2.53" in shell(plain, tmp_path)
    # Nobody is at that address here; what is found at one is in test_delegation.
    moved = verify.replace("192.0.2.1:53", "127.0.53.66:53")
    with pytest.raises(AssertionError, match="name a resolver with --resolver ADDR:PORT"):
        shell(moved, tmp_path)


def _run(line: str, server: Server, cwd: Path) -> str:
    return shell(line, cwd, GEODNS_SERVER=server.http, COLUMNS="200")
