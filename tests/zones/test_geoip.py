"""GeoIP files as the library of others writes them, against its own look at every network."""

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, cast

import maxminddb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.address_ranges import AddressRanges, ranges_of
from geodns.zones.geoip import GeoipError, GeoipSearch, known_of, open_file
from geodns.zones.geoip_frames import GeoipBuild, Named
from tests.zones.mmdb import maxmind, system, widen, write_mmdb

Network = IPv4Network | IPv6Network


def networks(*texts: str) -> AddressRanges:
    return ranges_of(ip_network(text) for text in texts)


def search(paths: list[Path], *names: Named) -> dict[Named, AddressRanges]:
    found = GeoipSearch(names)
    for path in paths:
        found.add(open_file(path))
    return dict(found.ranges())


@pytest.mark.parametrize(
    ("record", "known"),
    [
        pytest.param(maxmind("DE"), {"countries": "DE", "continents": "EU"}, id="maxmind-and-dbip"),
        pytest.param(system(64500), {"asns": 64500}, id="maxmind-asn"),
        pytest.param({"registered_country": {"iso_code": "AU"}}, {}, id="registered-alone"),
        pytest.param({"country": {"iso_code": "DE"}}, {"countries": "DE"}, id="no-continent"),
        pytest.param({"traits": {"autonomous_system_number": 174}}, {"asns": 174}, id="dbip-isp"),
        pytest.param(
            {"country": "Canada", "country_code": "CA", "continent": "North America", "continent_code": "NA"},
            {"countries": "CA", "continents": "NA"},
            id="ipinfo-lite",
        ),
        pytest.param({"asn": "AS174", "country": "us"}, {"asns": 174, "countries": "US"}, id="ipinfo"),
        pytest.param({"country_code": "ZZ", "asn": "AS0"}, {}, id="nobody-knows"),
        pytest.param({"country": {"iso_code": 7}, "asn": "none", "continent": []}, {}, id="other-types"),
        pytest.param({"isp": "Example", "organization": "Example"}, {}, id="isp"),
        pytest.param("DE", {}, id="no-mapping"),
    ],
)
def test_layouts(record: object, known: dict[str, Any]) -> None:
    assert known_of(record) == known


def test_networks_of_what_is_named(tmp_path: Path) -> None:
    file = write_mmdb(
        tmp_path / "country.mmdb",
        [
            ("10.0.0.0/25", maxmind("DE")),
            ("10.0.0.128/25", maxmind("FR")),
            ("10.0.1.0/24", maxmind("DE")),
            ("198.51.100.0/24", maxmind("US")),
            ("2001:db8::/33", maxmind("DE")),
            ("2001:db8:8000::/33", maxmind("DE")),
        ],
    )
    assert open_file(file).build.kind == "GeoLite2-Country"
    assert search([file], ("countries", "DE"), ("countries", "XX"), ("continents", "EU")) == {
        ("countries", "DE"): networks("10.0.0.0/25", "10.0.1.0/24", "2001:db8::/32"),
        ("continents", "EU"): networks("10.0.0.0/23", "2001:db8::/32"),
    }


@pytest.mark.parametrize("version", [4, 6])
def test_the_whole_address_space(tmp_path: Path, version: int) -> None:
    half = ("0.0.0.0/1", "128.0.0.0/1")
    file = write_mmdb(tmp_path / "a.mmdb", [(one, system(1)) for one in half], version=version)
    assert search([file], ("asns", 1)) == {("asns", 1): networks("0.0.0.0/0")}


def test_the_first_file_that_knows_wins(tmp_path: Path) -> None:
    rows = [
        [("10.0.0.0/24", maxmind("DE")), ("2001:db8::/48", maxmind("DE"))],
        [("10.0.0.0/22", maxmind("FR")), ("10.0.0.0/30", system(64500))],
        [("10.0.0.0/21", {"country_code": "DE", "asn": "AS64501"}), ("2001:db8::/47", maxmind("FR"))],
    ]
    files = [write_mmdb(tmp_path / f"{number}.mmdb", one) for number, one in enumerate(rows)]
    names: list[Named] = [("countries", "DE"), ("countries", "FR"), ("asns", 64500), ("asns", 64501)]
    found = search(files, *names)
    assert found[names[0]] == networks("10.0.0.0/24", "10.0.4.0/22", "2001:db8::/48")
    # Of 10.0.0.0/30 the second file knows the AS number alone, and of its country the first one has spoken.
    assert found[names[1]] == networks("10.0.1.0/24", "10.0.2.0/23", "2001:db8:1::/48")
    assert found[names[2]] == networks("10.0.0.0/30")
    rest = IPv4Network("10.0.0.0/21").address_exclude(IPv4Network("10.0.0.0/30"))
    assert found[names[3]] == ranges_of(rest)


def spots() -> st.SearchStrategy[Network]:
    def network(bits: int, value: int, length: int) -> Network:
        kind = IPv4Network if bits == 32 else IPv6Network
        return kind((value >> (bits - length) << (bits - length), length))

    return st.one_of(
        st.builds(network, st.just(32), st.integers(0, 2**32 - 1), st.integers(1, 32)),
        st.builds(
            network, st.just(128), st.integers(0x20010DB8 << 96, 0x20010DBA << 96), st.integers(28, 128)
        ),
    )


@settings(max_examples=20)
@given(
    rows=st.lists(st.tuples(spots(), st.sampled_from(["DE", "FR", "US"])), min_size=1, max_size=12),
    aliases=st.booleans(),
    size=st.sampled_from([24, 28, 32]),
)
def test_as_a_plain_look_at_every_network(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[Network, str]],
    aliases: bool,
    size: int,
) -> None:
    """The library reads the file network by network, and decodes each record."""
    path = tmp_path_factory.mktemp("mmdb") / "any.mmdb"
    write_mmdb(path, [(str(one), maxmind(country)) for one, country in rows], aliases=aliases)
    if size > 24:
        widen(path, size)
    names: list[Named] = [("countries", "DE"), ("countries", "FR"), ("continents", "EU")]
    plain: dict[Named, list[Network]] = {name: [] for name in names}
    with maxminddb.open_database(path) as reader:
        assert reader.metadata().record_size == size
        for network, record in reader:
            assert isinstance(record, dict)
            country = str(cast(Any, record)["country"]["iso_code"])
            for name in (("countries", country), ("continents", "EU" if country in {"DE", "FR"} else "")):
                if name in plain:
                    plain[name].append(network)
    found = search([path], *names)
    assert found == {name: ranges_of(some) for name, some in plain.items() if some}


def test_records_beyond_16_million(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "a.mmdb", [("10.0.0.0/9", maxmind("DE")), ("128.0.0.0/1", maxmind("DE"))])
    widen(path, 28, 1 << 25)
    assert search([path], ("countries", "DE")) == {("countries", "DE"): networks("10.0.0.0/9", "128.0.0.0/1")}


def damaged(folder: Path, what: str) -> Path:
    path = write_mmdb(folder / "a.mmdb", [("10.0.0.0/9", maxmind("DE"))], version=4)
    data = path.read_bytes()
    if what == "missing":
        path.unlink()
    elif what == "directory":
        path.unlink()
        path.mkdir()
    elif what == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif what == "other":
        write_mmdb(path, [("10.0.0.0/9", {"isp": "Example"})], "GeoIP2-ISP", version=4)
    else:
        nodes = open_file(path).nodes
        path.write_bytes(
            {
                "empty": b"",
                "text": b"<html>404 Not Found</html>\n" * 100,
                "truncated": data[: len(data) // 2],
                "beheaded": data[100:],
                "circle": bytes(6 * nodes) + data[6 * nodes :],
                "pointers": b"\xff" * 6 * nodes + data[6 * nodes :],
                "in the tree": nodes.to_bytes(3, "big")[:2] + bytes([nodes + 1]) + data[3:],
                "records": data[: 6 * nodes + 16] + b"\xff" * 80 + data[6 * nodes + 96 :],
            }[what]
        )
    return path


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("missing", r"cannot be read \(No such file or directory\): put a Country, City or ASN file"),
        ("directory", r"is no file: put a Country, City or ASN file \(.mmdb\) there"),
        ("pipe", r"is no file: put a Country, City or ASN file \(.mmdb\) there"),
        ("empty", "is empty: download it again"),
        ("text", "is no MaxMind DB file, or not all of it: download it again"),
        ("truncated", "is no MaxMind DB file, or not all of it: download it again"),
        ("beheaded", "is (damaged|no MaxMind DB file)"),
        ("circle", "is damaged: download it again"),
        ("pointers", "is damaged: download it again"),
        ("in the tree", "is damaged: download it again"),
        ("records", "is damaged: download it again"),
        ("other", r"\(GeoIP2-ISP\) has neither countries nor AS numbers: put a Country, City or ASN file"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, what: str, error: str) -> None:
    path = damaged(tmp_path, what)
    with pytest.raises(GeoipError, match=f"^{error}"):
        search([path], ("countries", "DE"))


@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=8))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("mmdb") / "a.mmdb"
    rows = [("10.0.0.0/9", maxmind("DE")), ("11.0.0.0/24", system(7)), ("12.0.0.0/24", maxmind("US"))]
    data = bytearray(write_mmdb(path, rows, version=4).read_bytes())
    for place, change in flips:
        data[place % len(data)] ^= change
    path.write_bytes(data)
    try:
        found = search([path], ("countries", "DE"))
    except GeoipError:
        return
    assert all(list(one.ipv4) == sorted(set(one.ipv4)) for one in found.values())


def test_a_file_with_a_fault_gives_nothing(tmp_path: Path) -> None:
    """What stood before its fault is not taken: its copy comes in its place."""
    good = write_mmdb(tmp_path / "good.mmdb", [("192.0.2.0/24", maxmind("DE"))], version=4)
    bad = write_mmdb(
        tmp_path / "bad.mmdb", [("10.0.0.0/9", maxmind("DE")), ("128.0.0.0/1", system(1))], version=4
    )
    data = bytearray(bad.read_bytes())
    data[3:6] = b"\xff" * 3  # 128.0.0.0/1
    bad.write_bytes(data)
    found = GeoipSearch([("countries", "DE")])
    with pytest.raises(GeoipError, match="is damaged"):
        found.add(open_file(bad))
    assert found.ranges() == {}
    found.add(open_file(good))
    assert found.ranges() == {("countries", "DE"): networks("192.0.2.0/24")}


def test_the_build(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "a.mmdb", [("10.0.0.0/9", system(1))], "DBIP-ASN-Lite")
    with maxminddb.open_database(path) as reader:
        built = reader.metadata().build_epoch
    assert open_file(path).build == GeoipBuild("DBIP-ASN-Lite", built)
