"""GeoIP files read by a process of their own: what it tells, what it keeps, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.address_ranges import AddressRanges, ranges_of
from geodns.zones import geoip_reading
from geodns.zones.geoip_frames import (
    GeoipBuild,
    GeoipFileReport,
    GeoipReport,
    GeoipRequest,
    Named,
    read_report,
    read_request,
    write_report,
    write_request,
)
from geodns.zones.geoip_reader import copy_of, read_files
from geodns.zones.geoip_reading import GeoipReadError, read_apart
from tests.zones.mmdb import maxmind, system, write_mmdb

DE: Named = ("countries", "DE")


def request(folder: Path, *files: str) -> GeoipRequest:
    names: list[Named] = [DE, ("asns", 64500)]
    return GeoipRequest(tuple(folder / file for file in files), folder / "copies", frozenset(names))


def country(folder: Path, network: str = "10.0.0.0/8") -> Path:
    return write_mmdb(folder / "country.mmdb", [(network, maxmind("DE"))], version=4)


def networks(text: str) -> AddressRanges:
    return ranges_of([ip_network(text)])


BUILD = GeoipBuild("GeoLite2-Country", 1_795_417_200)
BOUNDS = st.sets(st.integers(0, 2**128), max_size=6).filter(lambda some: len(some) % 2 == 0).map(sorted)


@given(ipv4=BOUNDS.map(lambda some: [one >> 96 for one in some]), ipv6=BOUNDS)
def test_a_report_comes_as_it_was_sent(ipv4: list[int], ipv6: list[int]) -> None:
    files = (GeoipFileReport(BUILD), GeoipFileReport(error="x.mmdb: is empty", unkept="full"))
    sent = GeoipReport(
        files,
        frozenset({"countries", "asns"}),
        {DE: AddressRanges(ipv4, ipv6[:-2]), ("asns", 1): AddressRanges(ipv4[2:], ipv6)},
    )
    data = b"".join(write_report(sent))
    got = read_report(data)
    assert (got.files, got.kinds) == (sent.files, sent.kinds)
    assert {name: (list(one.ipv4), list(one.ipv6)) for name, one in got.ranges.items()} == {
        name: (list(one.ipv4), list(one.ipv6)) for name, one in sent.ranges.items()
    }
    if ipv6:
        with pytest.raises(ValueError, match="not all"):
            read_report(data[:-8])


def test_a_request_comes_as_it_was_sent(tmp_path: Path) -> None:
    sent = request(tmp_path, "a.mmdb", os.fsdecode(b"\xff.mmdb"))
    assert read_request(write_request(sent)) == sent


def test_another_process_reads(tmp_path: Path) -> None:
    country(tmp_path)
    write_mmdb(tmp_path / "asn.mmdb", [("10.1.0.0/16", system(64500))], "GeoLite2-ASN")
    report = asyncio.run(read_apart(request(tmp_path, "country.mmdb", "asn.mmdb", "none.mmdb")))
    assert report.ranges == {DE: networks("10.0.0.0/8"), ("asns", 64500): networks("10.1.0.0/16")}
    assert report.kinds == {"countries", "continents", "asns"}
    assert [one.build and one.build.kind for one in report.files] == [
        "GeoLite2-Country",
        "GeoLite2-ASN",
        None,
    ]
    assert report.files[2].error.startswith(f"{tmp_path}/none.mmdb: cannot be read (No such file")


def test_a_copy_stands_in_for_a_file_that_is_damaged_or_gone(tmp_path: Path) -> None:
    asked = request(tmp_path, "country.mmdb")
    path = country(tmp_path)
    good = read_files(asked)
    for fault in (b"", b"nonsense", None):
        if fault is None:
            path.unlink()
        else:
            path.write_bytes(fault)
        report = read_files(asked)
        assert report.ranges == good.ranges
        assert report.files[0].build == good.files[0].build
        assert str(path) in report.files[0].error
    country(tmp_path, "11.0.0.0/8")
    assert read_files(asked).ranges == {DE: networks("11.0.0.0/8")}
    path.unlink()
    assert read_files(asked).ranges == {DE: networks("11.0.0.0/8")}


def test_copies_of_other_files_go(tmp_path: Path) -> None:
    path = country(tmp_path)
    read_files(request(tmp_path, "country.mmdb"))
    assert [one.name for one in (tmp_path / "copies").iterdir()] == [copy_of(path, tmp_path).name]
    path.rename(tmp_path / "other.mmdb")
    read_files(request(tmp_path, "other.mmdb"))
    assert list((tmp_path / "copies").iterdir()) == [copy_of(tmp_path / "other.mmdb", tmp_path / "copies")]


def test_no_copy_is_no_fault_of_the_file(tmp_path: Path) -> None:
    country(tmp_path)
    (tmp_path / "copies").touch()
    report = read_files(request(tmp_path, "country.mmdb"))
    assert report.ranges == {DE: networks("10.0.0.0/8")}
    assert report.files[0].error == ""
    assert "Not a directory" in report.files[0].unkept


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("import time; time.sleep(60)", "takes longer than 0 s"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with status -9"),
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("print('hello')", "wrote no report"),
    ],
)
def test_a_process_that_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, wrong: str
) -> None:
    monkeypatch.setattr(geoip_reading, "_COMMAND", (sys.executable, "-c", script))
    if "sleep" in script:
        monkeypatch.setattr(geoip_reading, "TIME_LIMIT", 0.2)
    with pytest.raises(GeoipReadError, match=wrong):
        asyncio.run(read_apart(request(tmp_path)))


def test_a_process_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geoip_reading, "_COMMAND", (str(tmp_path / "none"),))
    with pytest.raises(GeoipReadError, match=r"no process can be started \(No such file"):
        asyncio.run(read_apart(request(tmp_path)))


def test_the_process_ends_with_control(tmp_path: Path) -> None:
    """Control is killed while the process waits for a disk."""
    script = (
        "import os, threading, time\n"
        "from geodns.zones import geoip_reader\n"
        "geoip_reader.read_files = lambda request: (print(os.getpid(), flush=True), time.sleep(60))\n"
        "geoip_reader.main()\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {script!r}], stdin=subprocess.PIPE)\n"
        f"child.stdin.write({write_request(request(tmp_path))!r})\n"
        "child.stdin.flush()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as control:
        assert control.stdout is not None
        pid = int(control.stdout.readline())
        os.kill(pid, 0)
        control.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break  # nobody waits for it here
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{pid}/stat").exists()
