"""The commands of README and docs/, run as they stand there; only addresses and ports become loopback's.

One `make run` answers all that talk to a server; one `geodns serve` is started as a first zone's is.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from geodns.cli import main, parent_check
from tests.integration.cluster import END, free_port, serving
from tests.integration.mailhosts import mail_hosts
from tests.integration.test_follow import refusal
from tests.integration.test_follow import text as refused_with
from tests.signals.blocklist import BlockList, block_list

ROOT = Path(__file__).parents[2]
ZONE = "out.example.com"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """The commands of one shell block, and where it stands."""

    place: str
    lines: list[str]


BLOCKS = [
    Block(f"{document.name}:{text[: found.start()].count(chr(10)) + 1}", found[1].splitlines())
    for document in DOCUMENTS
    for text in (document.read_text(),)
    for found in re.finditer(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
]
APART = (
    "make run",
    f"dig @127.0.0.1 -p 5300 {ZONE} A +short",
    "python3 -m venv",
    "geodns init",
    "geodns import",
    "geodns delegation",
    "geodns follow",
    "geodns simulate out.example.com --zones",
    "geodns generate",
    "geodns route",
    "curl -s http://127.0.0.1:5310",
    "geodns check zones",
    "git -C /etc/geodns",
    "/opt/geodns-2/bin/geodns upgrade",
)
"""Blocks that have a test of their own below, or in `test_upgrade_versions`, by how they begin."""
NOT_RUN = ("make check", "install -m", "podman", "kubectl")
"""For a checkout, a machine or a cluster of one's own: `test_docs`, `test_container` and `test_kubernetes`
look at what they name, and `test_demo` runs `make run-two`."""
NOBODY_THERE = "dig mta.internal.example A"
"""The only line that is not run beside its neighbours: it would ask this machine's resolver."""

FOR_A_SERVER = [block for block in BLOCKS if not block.lines[0].startswith(APART + NOT_RUN)]

SAYS = {
    "geodns shared acl out": "~{geodns:out}:*",
    "geodns shared status": "shares nothing",
    "geodns status": "mta2",
    "geodns probe mta2": "220",
    f"geodns query {ZONE} A": "pool main",
    f"geodns explain {ZONE}": "pool main: dealt from main",
    'geodns drain mta2 --reason "disk is full" --for 2h --dry-run': "nothing was changed",
    'geodns drain mta2 --reason "disk is full" --for 2h': "dealt no more",
    'geodns weight mta2 5 --reason "slow disk"': "A 30.0% → ",
    'geodns quarantine mta2 --for 2h --reason "listed"': "quarantined until",
    "geodns undrain mta2": "dealt by main",
    "geodns clear mta2": "dealt by main",
    "geodns querylog": "1%",
    "geodns querylog off": "off",
    "geodns simulate": "share  dealt from",
    "geodns simulate out.example.com --down mta1 --down mta2": "mta3",
    "geodns simulate --zones zones": "for each name a sample of the ranges",
    "geodns warmup": "sendgrid",
    'geodns warmup skip-to 5 new1 --reason "known IP"': "day 5 of 42, 1,848 messages today",
    "geodns reputation": "block list zen.spamhaus.org: ",
    "geodns reputation mta1": "provider",
    'geodns reputation ignore mta1 --for 1d --reason "a test"': "mta1: reputation is ignored for 1d",
    "geodns reputation mode observe --for 0": f"reputation mode of the zone file again: {ZONE}",
    "geodns experiments": "no experiment is under way: ",
    "geodns events --since 7d --kind state --kind forced": "drained by",
    "geodns check --diff zones": "nothing changes",
    "curl -s http://127.0.0.1:8053/api/v1/signals -d "
    """'{"batch": "try-1", "signals": [{"host": "mta1", "event": "delivered"}]}'""": '"accepted": 1',
    "geodns reload": "zones are served as their files say: 1",
}
"""What is on the screen after some of them; the others have to end well."""


def block(first_line: str) -> list[str]:
    """The shell block that begins with a line."""
    return next(one.lines for one in BLOCKS if one.lines[0].startswith(first_line))


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


def geodns(line: str, status: int = 0) -> str:
    """Run a command of ours in this process; return what it prints."""
    words = shlex.split(line, comments=True)
    assert words.pop(0) == "geodns"
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.raises(SystemExit) as ended,
    ):
        main.main(words)
    assert (ended.value.code or 0) == status, f"{line}: status {ended.value.code}\n{printed.getvalue()}"
    return printed.getvalue()


# --- a server, and what is said to it -------------------------------------------------------------------


NEW_HOSTS = """\
  old1: 192.0.2.14
  new1: {address: 192.0.2.15, warmup: {plan: sendgrid, start: 2099-01-01}}
"""
JUDGED = 'reputation: {mode: act, resolver: "127.0.0.1:PORT", dnsbl: [zen.spamhaus.org]}\n'
NEW_POOL = "  cold: {hosts: [old1, new1], check: none, volume: 200000}\n"


class Demo(NamedTuple):
    """What `make run` has started.

    Attributes:
        folder: has its zones.
        dns: its port.
        http: likewise.

    """

    folder: Path
    dns: int
    http: int


@pytest.fixture(scope="module")
def block_lists() -> Iterator[BlockList]:
    with block_list() as found:
        found.zones["zen.spamhaus.org"] = {}
        yield found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, block_lists: BlockList) -> Iterator[Demo]:
    """Run `make run` with the sample zone, on other ports."""
    _needs("make")
    folder = tmp_path_factory.mktemp("demo")
    (folder / "zones").mkdir()
    sample = (ROOT / f"zones/{ZONE}.yaml").read_text()
    # A host that warms up has a pool of its own: the shares of the others stay as they are.
    sample = sample.replace("\npools:\n", f"{NEW_HOSTS}\npools:\n{NEW_POOL}")
    sample += JUDGED.replace("PORT", str(block_lists.port))
    for port in ("2511", "2512", "2513"):
        sample = sample.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (folder / f"zones/{ZONE}.yaml").write_text(sample)
    dns, http = free_port(), free_port()
    options = f"--zones {folder / 'zones'} --listen 127.0.0.1:{dns} --http 127.0.0.1:{http}"
    process = subprocess.Popen(
        [
            *shlex.split(block("make run")[0]),
            f"OPTIONS={options}",
            "--old-file=pyproject.toml",  # else make would install anew after an edit of it
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
        yield Demo(folder, dns, http)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(END * 2)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def at_the_demo(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """Stand in the demo's folder, where nothing is forced, and the plan of new1 has not begun."""
    monkeypatch.chdir(demo.folder)
    monkeypatch.setenv("GEODNS_SERVER", f"http://127.0.0.1:{demo.http}")
    monkeypatch.setenv("COLUMNS", "200")
    geodns("geodns clear 'mta*' --yes")
    geodns("geodns warmup resume new1")
    geodns("geodns warmup restart new1")
    return demo


def _needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: .ci/run installs it")


def _run(line: str, demo: Demo) -> str:
    if line.startswith("geodns "):
        return geodns(line)
    if not line.startswith(".venv/"):
        _needs(line.split(maxsplit=1)[0])
    moved = line.replace("5300", str(demo.dns)).replace("8053", str(demo.http))
    return shell(moved.replace(".venv/bin/geodns", "geodns"), ROOT)


@pytest.mark.parametrize("lines", [pytest.param(one.lines, id=one.place) for one in FOR_A_SERVER])
def test_what_is_said_to_a_server(lines: list[str], at_the_demo: Demo) -> None:
    for line in lines:
        if line == NOBODY_THERE:
            continue
        printed = _run(line, at_the_demo)
        assert SAYS.get(line.partition("  #")[0].rstrip(), "") in printed, line
        for file in re.findall(r" -o (\S+)", line):
            assert "mta2" in Path(file).read_text()


def test_every_expectation_is_of_a_line_that_is_run() -> None:
    run = {line.partition("  #")[0].rstrip() for one in FOR_A_SERVER for line in one.lines}
    assert SAYS.keys() <= run


def test_try_it(at_the_demo: Demo) -> None:
    a, mx, curl, status = (_run(line, at_the_demo) for line in block(APART[1]))
    assert {"192.0.2.11", "192.0.2.12", "192.0.2.13"} & set(a.split())
    assert f"mta1.{ZONE}." in mx or f"mta2.{ZONE}." in mx
    assert '"pools"' in curl
    assert "mta3" in status


# --- what needs no server, or one of its own ------------------------------------------------------------


VENV = f"{sys.executable} -m venv --without-pip"
PIP = f"{sys.executable} -m pip --python /opt/geodns install --quiet --disable-pip-version-check --no-deps"


@pytest.mark.skipif(
    os.environ.get("CI") != "true", reason="builds the package, which takes long: set CI=true"
)
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
        # A pip of its own, and what is compiled ahead, would take most of the time and show nothing of ours.
        moved = line.replace("/opt/geodns/bin/pip install", PIP).replace("python3 -m venv", VENV)
        shell(
            moved.replace("/opt/geodns", str(tmp_path / "geodns")), tmp_path / "checkout", PIP_NO_COMPILE="1"
        )
    help_text = shell(f"{tmp_path}/geodns/bin/geodns --help", tmp_path, PYTHONPATH=dependencies)
    assert "serve" in help_text
    installed = next((tmp_path / "geodns").glob("lib/python*/site-packages/geodns"))
    for kind in ("*.py", "*.js", "*.lua", "*.html"):
        ours = {path.relative_to(ROOT / "geodns") for path in (ROOT / "geodns").rglob(kind)}
        assert {path.relative_to(installed) for path in installed.rglob(kind)} == ours


def test_first_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with mail_hosts("mta1") as one:
        init, check, probe, serve = (line.replace("192.0.2.", "127.0.0.") for line in block("geodns init"))
        assert "written" in geodns(init)
        assert "zones 1, hosts 3" in geodns(check)
        assert "220" in geodns(probe.replace("127.0.0.11", one["mta1"].endpoint))
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


def test_files_are_kept_in_step_by_git(tmp_path: Path) -> None:
    origin, clone = tmp_path / "zones.git", tmp_path / "clone"
    shutil.copytree(ROOT / "zones", origin / "zones")
    git = "git -c user.name=ops -c user.email=ops@example.com -c init.defaultBranch=main"
    shell(f"{git} init -q && {git} add zones && {git} commit -qm first", origin)
    shell(f"git clone -q {origin} {clone}", tmp_path)
    (origin / "zones" / "new.example.org.yaml").write_text("hosts: {mta1: 192.0.2.11}\n")
    shell(f"{git} add zones && {git} commit -qm more", origin)
    (line,) = block("git -C /etc/geodns")
    shell(line.replace("/etc/geodns", str(clone)), tmp_path)
    assert (clone / "zones" / "new.example.org.yaml").exists()


@pytest.mark.skipif(shutil.which("rsync") is None, reason="no rsync here: apt-get install rsync")
def test_files_are_kept_in_step_by_rsync(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "zones", tmp_path / "zones")
    for node in ("ns1", "ns2"):
        (tmp_path / node / "zones").mkdir(parents=True)
        (tmp_path / node / "zones" / "gone.example.org.yaml").touch()
    for line in block("geodns check zones"):
        shell(line.replace(":/etc/geodns", ""), tmp_path)
    wanted = sorted(path.name for path in (tmp_path / "zones").iterdir())
    for node in ("ns1", "ns2"):
        assert sorted(path.name for path in (tmp_path / node / "zones").iterdir()) == wanted


def test_from_and_to_other_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
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
    theirs = tmp_path / "gdnsd"
    (theirs / "zones").mkdir(parents=True)
    (theirs / "config").write_text("plugins => { multifo => { mx => { a => 192.0.2.1, b => 192.0.2.2 } } }\n")
    (theirs / "zones" / "example.net").write_text(
        "@ SOA ns1 hostmaster ( 1 2h 30M 3D 900 )\n@ NS ns1\nns1 A 192.0.2.53\nout DYNA multifo!mx\n"
    )
    (tmp_path / "zones").mkdir()
    bind, octodns, gdnsd, export = block("geodns import")
    geodns(bind)
    geodns(octodns)
    geodns(gdnsd.replace("/etc/gdnsd", str(theirs)))
    assert "zones 3" in geodns("geodns check")
    assert "mta2.example.com. 3600 IN A 192.0.2.2" in " ".join(geodns(export).split())


def test_who_would_be_dealt_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/simulate.md").read_text()
    found = re.search(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    (tmp_path / "clients.txt").write_text(found[1])
    (tmp_path / "geodns.log").write_text(
        f"2026-12-01 08:00:00 INFO control: client 192.0.2.7#53 udp: {ZONE} A IN + → NOERROR AA 2 answers\n"
    )
    (tmp_path / "zones").mkdir()
    shutil.copy(ROOT / f"zones/{ZONE}.yaml", tmp_path / "zones")
    listed, logged = map(geodns, block("geodns simulate out.example.com --zones"))
    assert "clients 3" in listed
    assert "queries 321" in listed
    assert "clients 1" in logged


@pytest.mark.usefixtures("at_the_demo")
def test_what_would_be_told_of_a_log(tmp_path: Path) -> None:
    (line,) = block("geodns follow")
    (tmp_path / "mail.log").write_text(refusal(1))
    printed = geodns(line.replace("/var/log", str(tmp_path)))
    assert '"egress": "192.0.2.11", "event": "bounced", "provider": "google"' in printed
    assert f'"text": "{refused_with(1)}"' in printed


def test_what_belongs_at_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parent_check, "PATIENCE", 0.2)
    (tmp_path / "zones").mkdir()
    shutil.copy(ROOT / f"zones/{ZONE}.yaml", tmp_path / "zones")
    plain, verify = block("geodns delegation")
    assert f"ns1.{ZONE}.  3600  IN  A     192.0.2.53" in geodns(plain)
    # Nobody is at that address here; what is found at one is in test_delegation.
    moved = verify.replace("192.0.2.1:53", "127.0.53.66:53")
    assert "name a resolver with --resolver ADDR:PORT" in geodns(moved, status=1)


ROUTES = (ROOT / "docs/routes.md").read_text()


def routes_page(language: str, number: int = 0) -> str:
    """A block of a language on the page about routes."""
    return re.findall(rf"^```{language}\n(.*?)^```", ROUTES, re.DOTALL | re.MULTILINE)[number]  # type: ignore[no-any-return]


def test_lines_for_mail_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's zone gives each of them its lines, and the page shows those for Postfix as they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zones").mkdir()
    (tmp_path / f"zones/{ZONE}.yaml").write_text(routes_page("yaml"))
    (tmp_path / "geodns.yaml").write_text(routes_page("yaml", 1))
    policy, by_map, exim, haraka, kumomta = map(geodns, block("geodns generate"))
    for setting in routes_page("postfix").splitlines():
        name, _, value = setting.partition(" = ")
        printed = re.sub(r"\n +", " ", policy).replace("$geodns_routes", "").splitlines()
        assert any(value in line for line in printed), (name, value)
    assert "socketmap:inet:127.0.0.1:5310:recipient" in by_map
    assert "readsocket{inet:127.0.0.1:5310}" in exim
    assert '"port": 5310' in haraka
    assert "http://127.0.0.1:5310/route" in kumomta


def test_routes_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    (tmp_path / "geodns.yaml").write_text(routes_page("yaml", 1).replace("5310", port))
    with serving(
        tmp_path,
        {ZONE: routes_page("yaml")},
        arguments=("--config", str(tmp_path / "geodns.yaml")),
    ) as server:
        monkeypatch.setenv("GEODNS_SERVER", server.http)
        by_sender, by_recipient, counts = block("geodns route")
        assert "rule 2" in geodns(by_sender)
        assert "rule 1" in geodns(by_recipient)
        geodns(counts)
        asked, looked_up = (line.replace("5310", port) for line in block("curl -s http://127.0.0.1:5310"))
        answer = json.loads(shell(asked, tmp_path))
        assert (answer["rule"], answer["transport"]) == (6, f"relay:[{ZONE}]:25")
        if shutil.which("postmap"):
            assert shell(looked_up, tmp_path) == f"relay:[fast.{ZONE}]:25\n"
