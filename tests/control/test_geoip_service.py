"""GeoIP files in a control process: read for what rules name, and again when they are replaced."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from geodns.config.settings import Settings
from geodns.control import geoip_service
from geodns.control.geoip_service import GeoipService
from geodns.model.address_ranges import AddressRanges, ranges_of
from geodns.model.views import NO_NETWORKS, GeoNetworks, PoolRule
from geodns.storage.event_log import EventLog
from geodns.zones.apart import ApartError
from geodns.zones.geoip_frames import GeoipReport, GeoipRequest
from geodns.zones.geoip_reader import read_files
from tests.zones.mmdb import Rows, maxmind, system, write_mmdb

GERMANY = PoolRule(use="eu", countries=("DE",))
PEER = PoolRule(use="peer", asns=(64500,))


def networks(*texts: str) -> AddressRanges:
    return ranges_of(ip_network(text) for text in texts)


class Files:
    """A service, its files, and what it told.

    Attributes:
        reads: how often files were read.
        fails: why reading fails; empty: it does not.
        changes: how often subscribers were called.

    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.names = names
        self.reads = self.changes = 0
        self.fails = ""
        self.told: list[tuple[str, Any]] = []
        self.begin()

    def begin(self) -> None:
        """Begin anew, as a control process that is started again."""
        (self.folder / "state").mkdir(exist_ok=True)
        settings = Settings(state=self.folder / "state", geoip=tuple(self.folder / one for one in self.names))
        self.service = GeoipService(settings, cast(EventLog, SimpleNamespace(tell=self._tell)))
        self.service.subscribe(self._count)

    def _tell(self, _: str, text: str, **more: Any) -> None:
        self.told.append((text, more["data"]))

    def _count(self) -> None:
        self.changes += 1

    async def read(self, request: GeoipRequest) -> GeoipReport:
        self.reads += 1
        if self.fails:
            raise ApartError(self.fails)
        return read_files(request)

    def country(self, *rows: tuple[str, str]) -> Path:
        said: Rows = [(network, maxmind(country)) for network, country in rows]
        return write_mmdb(self.folder / "country.mmdb", said, version=4)

    def alerts(self) -> list[str]:
        return [one.text for one in self.service.alerts()]

    def want(self, *rules: PoolRule) -> GeoNetworks:
        asyncio.run(self.service.want(rules))
        return self.service.networks

    def watching(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run work while the files are watched."""

        async def run() -> None:
            watch = asyncio.ensure_future(self.service.watch())
            try:
                await asyncio.wait_for(work(), 30)
            finally:
                watch.cancel()

        asyncio.run(run())


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - what it waits for tells nobody
        await asyncio.sleep(0.005)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path, "country.mmdb", "asn.mmdb")
    write_mmdb(tmp_path / "asn.mmdb", [("10.1.0.0/16", system(64500))], "GeoLite2-ASN", version=4)
    made.country(("10.0.0.0/8", "DE"), ("11.0.0.0/8", "FR"))
    for name, seconds in (("LOOK_EVERY", 0.005), ("QUIET", 0.02), ("BELIEVED_MISSING", 0.05)):
        monkeypatch.setattr(geoip_service, name, seconds)
    # As the process reads them, which tests/zones/test_geoip_reading.py starts.
    monkeypatch.setattr(geoip_service, "read_apart", made.read)
    return made


def test_only_what_rules_name_is_read(files: Files) -> None:
    hours_alone = PoolRule(use="day")
    assert files.want(hours_alone) == NO_NETWORKS
    assert files.reads == 0
    assert files.want(GERMANY, hours_alone).countries == {"DE": networks("10.0.0.0/8")}
    assert files.want(GERMANY).continents == {}
    assert (files.reads, files.changes) == (1, 1)
    found = files.want(GERMANY, PEER, PoolRule(use="eu", continents=("EU",)))
    assert (files.reads, files.changes) == (2, 2)
    assert found.asns == {64500: networks("10.1.0.0/16")}
    assert found.continents == {"EU": networks("10.0.0.0/7")}
    assert files.service.counts() == {"countries": 1, "continents": 1, "asns": 1}
    files.want(PEER)
    assert (files.reads, files.alerts()) == (2, [])


def test_a_replaced_file_is_read_and_told(files: Files) -> None:
    files.want(GERMANY)
    first = files.service.describe()[0]
    assert first.build is not None
    assert files.told[0] == (
        f"{first.path}: {first.text} is in use",
        {"file": str(first.path), "type": "GeoLite2-Country", "built": first.build.built},
    )

    async def replace() -> None:
        write_mmdb(first.path, [("12.0.0.0/8", maxmind("DE"))], "DBIP-Country-Lite", version=4)
        await until(lambda: files.changes == 2)

    files.watching(replace)
    assert files.service.networks.countries == {"DE": networks("12.0.0.0/8")}
    assert "DBIP-Country-Lite of " in files.told[-1][0]
    now = files.service.describe()[0]
    assert now.read_at is not None
    assert first.read_at is not None
    assert now.read_at >= first.read_at


def test_a_file_that_only_looks_new_changes_nothing(files: Files) -> None:
    files.want(GERMANY)
    told = list(files.told)

    async def touch() -> None:
        os.utime(files.folder / "country.mmdb", (1, 1))
        await until(lambda: files.reads == 2)

    files.watching(touch)
    assert (files.changes, files.told, files.alerts()) == (1, told, [])


@pytest.mark.parametrize("fault", ["damaged", "gone"])
def test_a_bad_file_changes_nothing_even_over_a_restart(files: Files, fault: str) -> None:
    before = files.want(GERMANY)
    path = files.folder / "country.mmdb"

    async def spoil() -> None:
        if fault == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:200])
        await until(files.alerts)

    files.watching(spoil)
    assert files.changes == 1
    for _ in range(2):
        assert files.service.networks == before
        [text] = files.alerts()
        assert text.startswith(f"{path}: ")
        assert "GeoLite2-Country of 20" in text
        assert text.endswith(" stays in use")
        files.begin()
        files.want(GERMANY)
    # What is named anew comes from the copy as well.
    assert files.want(GERMANY, PoolRule(use="fr", countries=("FR",))).countries["FR"] == networks(
        "11.0.0.0/8"
    )

    async def mend() -> None:
        files.country(("12.0.0.0/8", "DE"))
        await until(lambda: not files.service.describe()[0].error)

    files.watching(mend)
    assert files.service.networks.countries["DE"] == networks("12.0.0.0/8")


def test_without_a_copy_all_stays_as_it_was(files: Files) -> None:
    (files.folder / "state" / "geoip").touch()
    before = files.want(GERMANY)
    assert [text.partition(",")[0] for text in files.alerts()] == [
        f"there is no copy of {files.folder / name} to go on with" for name in files.names
    ]

    async def spoil() -> None:
        (files.folder / "country.mmdb").write_bytes(b"")
        await until(lambda: files.service.describe()[0].error)

    files.watching(spoil)
    assert files.service.networks == before
    assert "is empty: download it again: until then GeoLite2-Country of" in files.alerts()[0]


def test_a_file_that_was_never_there(files: Files) -> None:
    path = files.folder / "country.mmdb"
    path.unlink()
    assert files.want(GERMANY, PEER).asns == {64500: networks("10.1.0.0/16")}
    [text] = files.alerts()
    assert text == (
        f"{path}: cannot be read (No such file or directory): put a Country, City or ASN file (.mmdb) "
        "there: until then rules that need it match nobody"
    )

    async def put() -> None:
        files.country(("10.0.0.0/8", "DE"))
        await until(lambda: not files.alerts())

    files.watching(put)
    assert files.service.networks.countries == {"DE": networks("10.0.0.0/8")}


def test_names_that_no_file_knows(files: Files) -> None:
    files.want(PoolRule(use="eu", countries=("DE", "XX", "UK"), asns=(7, 64500)))
    [text] = files.alerts()
    assert text == (
        "no GeoIP file knows AS number 7, country UK, country XX: rules by these match nobody: correct or "
        "remove them"
    )
    files.want(GERMANY)
    assert files.alerts() == []


def test_kinds_that_no_file_knows(files: Files) -> None:
    files.names = ("asn.mmdb",)
    files.begin()
    files.want(GERMANY, PEER)
    [text] = files.alerts()
    assert text == (
        "no file of `geoip` has countries: rules by `countries` match nobody: name a file that has them "
        "under `geoip` in geodns.yaml"
    )


def test_rules_without_any_file(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert files.want(GERMANY, PEER) == NO_NETWORKS
    [text] = files.alerts()
    assert text == (
        "rules need countries and AS numbers, and there is no GeoIP file: rules by `countries`, `asns` match "
        "nobody: name a file that has them under `geoip` in geodns.yaml"
    )
    assert files.service.describe() == ()


def test_a_reading_that_fails_is_tried_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.want(GERMANY)
    files.fails = "it takes longer than 120 s"
    monkeypatch.setattr(geoip_service, "TRY_EVERY", 0.05)
    before = files.service.networks
    assert files.want(GERMANY, PEER) == before
    assert files.alerts() == [
        "GeoIP files are not read: it takes longer than 120 s: what was read before stays in use"
    ]

    async def work() -> None:
        await until(lambda: files.reads >= 4)
        files.fails = ""
        await until(lambda: not files.alerts())

    files.watching(work)
    assert files.service.networks.asns == {64500: networks("10.1.0.0/16")}
