"""gdnsd's configuration and zones → our YAML: pools, checks and fallbacks, with a remark for what is lost."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.cli import main
from geodns.cli.convert.draft import zone_file
from geodns.cli.convert.gdnsd import read_gdnsd
from geodns.errors import GeodnsError, UsageError
from geodns.zonefile.reader import parse_zone
from tests.cli.convert.gdnsdzones import CONFIG, NAME, imported, written
from tests.cli.convert.test_gdnsd_resources import POOLS


def test_the_zone_file_s_own_ways(tmp_path: Path) -> None:
    written(tmp_path, "")
    (tmp_path / "zones" / "inc").mkdir()
    (tmp_path / "zones" / "inc" / "foo").write_text(
        "$TTL 5\n$ORIGIN bar\nasdf A 192.0.2.1\n$ORIGIN baz.@F\nasdf A 192.0.2.2\n"
        "$ORIGIN quux.@Z\nasdf A 192.0.2.3\n"
    )
    zone, told = imported(
        tmp_path,
        "$INCLUDE inc/foo foo\n"
        f'long TXT "{"x" * 300}"\n'
        "mx MX 10 mail.@Z\n  300/30 DYNA weighted!out\nAPP 5m IN DYNA weighted!out\n"
        "$TTL 7\nno-ttl DYNA weighted!out\n",
    )
    found = {one.owner.removesuffix(f".{NAME}."): one for one in zone.records}
    assert {"asdf.bar.foo", "asdf.baz.foo", "asdf.quux"} <= found.keys()
    assert (found["asdf.quux"].ttl, found["long"].ttl) == (5, 86400), "an include's $TTL ends with it"
    assert found["long"].values == (("x" * 255, "x" * 45),)
    assert found["mx"].values == (("10", f"mail.{NAME}."),)
    assert {rule.owner.removesuffix(f".{NAME}."): rule.ttl for rule in zone.rules} == {
        "mx": 300,
        "app": 300,
        "no-ttl": 7,
    }
    assert len(zone.pools) == 1, "one resource is one pool"
    assert told == ["the lower TTLs of DYNA (300/30) have no counterpart: `min_ttl` is the zone's"]


def test_the_configuration_says_the_default_ttl(tmp_path: Path) -> None:
    zone, _ = imported(tmp_path, "a A 192.0.2.1\n", "options => { zones_default_ttl => 77 }")
    assert {one.ttl for one in zone.records if one.owner.startswith("a.")} == {77}


def test_what_is_included_is_searched_beside_the_file_that_includes_it(tmp_path: Path) -> None:
    inner = tmp_path / "zones" / "sub" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "one").write_text("one A 192.0.2.1\n$INCLUDE inner/two\n")
    (inner / "two").write_text(f"two TXT {'x' * 300}\n")
    zone, remarks = imported(tmp_path, "$INCLUDE sub/one\n", "")
    assert remarks == []
    assert {one.owner: one.type for one in zone.records}["one.example.com."] == "A"
    assert {one.owner: one.values for one in zone.records}["two.example.com."] == (("x" * 255, "x" * 45),)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, len(CONFIG)), st.integers(0, 40), st.text('{}[]=>,"\\ a1\n', max_size=4))
def test_any_configuration_is_read_or_refused(tmp_path: Path, at: int, length: int, put: str) -> None:
    path = written(
        tmp_path, "www DYNA weighted!out\nw DYNA multifo!both\n", CONFIG[:at] + put + CONFIG[at + length :]
    )
    try:
        draft = read_gdnsd(path, None)
    except GeodnsError:
        return
    parse_zone(NAME, zone_file(draft).encode(), "zone.yaml")


@pytest.mark.skipif(shutil.which("gdnsd") is None, reason="no gdnsd here: apt-get install gdnsd")
def test_gdnsd_takes_these_files_too(tmp_path: Path) -> None:
    records = "".join(f"w{number} 300 DYNA {row[0]}\n" for number, row in enumerate(POOLS.values()))
    written(tmp_path, f"{records}alias 300 DYNC weighted!alias\nfixed 300 DYNA static!one\n")
    done = subprocess.run(
        ["gdnsd", "-c", str(tmp_path), "checkconf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["import", *arguments])


def test_the_command_knows_gdnsd_s_folders(tmp_path: Path) -> None:
    path = written(tmp_path, "www 300 DYNA weighted!out\n")
    done = run(str(path))
    assert done.exit_code == 0, done.output
    assert "www: {ttl: 5m, A: {pool: out}}" in done.stdout
    written(tmp_path, "a A 192.0.2.1\n", name="example.org")
    out = tmp_path / "out"
    done = run(str(tmp_path), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert sorted(one.name for one in out.iterdir()) == ["example.com.yaml", "example.org.yaml"]
    written(tmp_path, "a TYPO x\n", name="example.net")
    done = run(str(tmp_path), "--out", str(tmp_path / "again"))
    assert "1 of " in str(done.exception)
    assert f"{tmp_path}/zones/example.net:5: " in done.stderr
    assert len(list((tmp_path / "again").iterdir())) == 2, "one that is bad holds up no other"
    (tmp_path / "config").write_text("$include{nowhere}")
    done = run(str(tmp_path), "--out", str(tmp_path / "never"))
    assert (
        str(done.exception)
        == f"{tmp_path}/config:1: {tmp_path}/nowhere is included here: No such file or directory"
    )
    assert done.stderr == "", "told once, not for each zone"
    assert isinstance(run(str(tmp_path)).exception, UsageError)
    assert isinstance(run(str(tmp_path), "--format", "bind", "--out", str(out)).exception, UsageError)
