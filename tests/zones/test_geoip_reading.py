"""GeoIP files read by a process of their own: what it tells and what it keeps."""

import asyncio
import os
import pickle
from array import array
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.address_ranges import AddressRanges, ranges_of
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
from geodns.zones.geoip_reading import read_apart
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
    assert got.ranges == {
        name: AddressRanges(array("Q", one.ipv4), tuple(one.ipv6)) for name, one in sent.ranges.items()
    }
    assert got.ranges == read_report(data).ranges
    for name, one in sent.ranges.items():
        packed = got.ranges[name].ipv6
        assert [packed[at] for at in range(-len(packed), len(packed))] == [*one.ipv6, *one.ipv6]
        assert packed[1:] == tuple(one.ipv6[1:])
        assert pickle.loads(pickle.dumps(packed)) == tuple(one.ipv6)
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
