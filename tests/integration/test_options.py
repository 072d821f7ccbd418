"""EDNS options of a running server as dig sees them, and cookie secrets that change while it runs."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.integration.test_bad_days_processes import is_back

pytestmark = pytest.mark.skipif(not shutil.which("dig"), reason="needs dig: apt-get install bind9-dnsutils")

ZONE = "out.example.com"
TEXT = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\npools: {main: {hosts: [mta1], check: none}}\n"
RECORDS = 'records: {"@": {A: {pool: main}}}\n'
OLD, NEW = "0123456789abcdef" * 2, "fedcba9876543210" * 2


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "cookies"
    path.write_text(f"{OLD}\n")
    return path


@contextmanager
def serving_named(folder: Path, secrets: Path, name: str) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "geodns.yaml"
    config.write_text(f"node: {name}\nversion: a name server\ncookie_secret_file: {secrets}\n")
    with serving(folder, {ZONE: TEXT + RECORDS}, workers=2, arguments=("--config", str(config))) as server:
        yield server


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, secrets: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that share their secrets, each with two workers."""
    folder = tmp_path_factory.mktemp("options")
    with (
        serving_named(folder / "a", secrets, "ns1") as first,
        serving_named(folder / "b", secrets, "ns2") as second,
    ):
        yield first, second


def dig(server: Server, *arguments: str) -> str:
    host, port = server.listen[0]
    command = ["dig", f"@{host}", "-p", str(port), "+norec", "+tries=1", "+time=5", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def cookie(server: Server, sent: str = "0011223344556677") -> tuple[str, str]:
    """Send a cookie; return the one that comes back, and what dig thinks of it."""
    found = re.search(r"; COOKIE: ([0-9a-f]+) \((\w+)\)", dig(server, f"+cookie={sent}", ZONE))
    assert found
    return found[1], found[2]


def test_dig_knows_its_cookie_again(two: tuple[Server, Server]) -> None:
    """Whichever worker is asked, and whichever of the servers."""
    first, verdict = cookie(two[0])
    assert verdict == "good"
    assert len(first) == 48
    assert first.startswith("001122334455667701000000")
    for server in two * 4:
        assert cookie(server, first) == (first, "good"), "given back as it is while it is fresh"


def test_what_is_no_cookie(two: tuple[Server, Server]) -> None:
    assert "status: FORMERR" in dig(two[0], "+ednsopt=10:0011", "+nocookie", ZONE)
    forged = "0011223344556677" + "00" * 16
    assert cookie(two[0], forged)[0] != forged
    assert "status: BADCOOKIE" in dig(two[0], f"+cookie={forged}", "+header-only", "+nobadcookie", ZONE)
    assert "status: NOERROR" in dig(two[0], "+cookie=0011223344556677", "+header-only", ZONE)


def test_the_secret_changes_while_they_run(two: tuple[Server, Server], secrets: Path) -> None:
    """RFC 9018 section 5: the new one is known everywhere before it is used anywhere."""
    before, _ = cookie(two[0])
    secrets.write_text(f"{OLD}\n{NEW}\n")
    wait_until(lambda: all("cookie secrets are others now" in server.log() for server in two))
    assert all(cookie(server, before)[0] == before for server in two)
    secrets.write_text(f"{NEW}\n{OLD}\n")
    wait_until(lambda: all(cookie(server, before)[0] != before for server in two * 3), 10)
    after, _ = cookie(two[0], before)
    assert cookie(two[1], after) == (after, "good")
    secrets.write_text("oops\n")
    wait_until(lambda: any("no secret" in one for one in two[0].status()["warnings"]))
    assert cookie(two[0], after) == (after, "good"), "what is wrong changes nothing"
    secrets.write_text(f"{NEW}\n")
    wait_until(lambda: two[0].status()["warnings"] == [])


def test_a_file_that_is_spoilt_when_control_is_started_again(
    two: tuple[Server, Server], secrets: Path
) -> None:
    server = two[0]
    before, _ = cookie(server)
    secrets.write_text("oops\n")
    wait_until(lambda: server.status()["warnings"])
    control = server.control()
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: is_back(server, but=control), 30, "another control process")
    (warning,) = server.status()["warnings"]
    assert "no secret" in warning
    assert "until then the cookie secrets stay as they were" in warning
    assert cookie(server, before)[0] == before
    secrets.write_text(f"{NEW}\n")
    wait_until(lambda: server.status()["warnings"] == [])
    assert cookie(server, before)[0] == before


def test_who_we_are(two: tuple[Server, Server]) -> None:
    for server, name in zip(two, ("ns1", "ns2"), strict=True):
        assert f'NSID: {name.encode().hex(" ")} ("{name}")' in dig(server, "+nsid", ZONE)
        for asked in ("id.server", "hostname.bind"):
            assert dig(server, "+short", "CH", "TXT", asked) == f'"{name}"\n'
        assert dig(server, "+short", "CH", "TXT", "version.bind") == '"a name server"\n'


def test_a_subnet(two: tuple[Server, Server]) -> None:
    assert "; CLIENT-SUBNET: 192.0.2.0/24/0" in dig(two[0], "+subnet=192.0.2.0/24", ZONE)


def test_why_not(two: tuple[Server, Server]) -> None:
    assert "; EDE: 20 (Not Authoritative)" in dig(two[0], "example.net")


def test_a_connection_may_be_idle(two: tuple[Server, Server]) -> None:
    assert "; TCP KEEPALIVE: 10.0 secs" in dig(two[0], "+tcp", "+keepalive", ZONE)
    assert "KEEPALIVE" not in dig(two[0], "+keepalive", ZONE)


def test_a_server_of_its_own_keeps_its_secret_over_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path, {ZONE: TEXT + RECORDS}) as server:
        first, _ = cookie(server)
    with serving(tmp_path) as server:
        assert cookie(server, first) == (first, "good")
    assert (tmp_path / "state" / "cookie-secret").stat().st_mode & 0o777 == 0o600
