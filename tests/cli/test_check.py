"""`geodns check`: what it prints, and with which status it ends."""

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli.zonefiles import check
from geodns.errors import GeodnsError
from geodns.model.hosts import Host, HostSource
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone, read_zone
from geodns.zonefile.sources import SourcedHost, SourceResult
from tests.answering import Answering, answering
from tests.zonetexts import LONG, NS, SHORT

GOOD = SHORT + 'records: {"@": {MX: {pool: main}}}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zones").mkdir()
    return tmp_path / "zones"


def test_a_good_tree_is_one_line(folder: Path) -> None:
    (folder / "out.example.com.yaml").write_text(GOOD)
    (folder / "in.example.com.yaml").write_text(GOOD)
    result = CliRunner().invoke(check, [])
    assert (result.exit_code, result.output) == (0, "zones 2, hosts 6, pools 2, names 10\n")


def test_a_thousand_problems_are_printed_and_the_rest_counted(folder: Path) -> None:
    lines = "".join(f"  h{number}: {{XX{number}: y}}\n" for number in range(3_000))
    for name in ("a", "b"):
        (folder / f"{name}.example.yaml").write_text(f"{NS}records:\n{lines}")
    result = CliRunner().invoke(check, [])
    printed = result.output.splitlines()
    assert (result.exit_code, len(printed)) == (1, 1_001)
    assert printed[999].startswith("zones/a.example.yaml:1002:")
    assert printed[1_000] == "and 5,000 more: mend these first, or check fewer files at once"
    result = CliRunner().invoke(check, ["zones/a.example.yaml"])
    assert result.output.splitlines()[1_000].startswith("and 2,000 more: ")


def test_no_warning_takes_an_errors_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodns.cli.zonefiles.MAX_SHOWN", 1)
    (folder / "a.example.yaml").write_text(f"{SHORT}records: {{x: {{pool: main}}}}\n")
    (folder / "b.example.yaml").write_text(f"{SHORT}record: {{}}\n")
    first, more = CliRunner().invoke(check, []).output.splitlines()
    assert first.startswith("zones/b.example.yaml:")
    assert "'record'" in first
    assert more.startswith("and ")


def test_warnings_come_before_the_summary(folder: Path) -> None:
    (folder / "out.example.com.yaml").write_text(LONG)
    result = CliRunner().invoke(check, ["zones"])
    warning, summary = result.output.splitlines()
    assert warning.startswith(
        "zones/out.example.com.yaml:25:12: warning: bulk.out.example.com. has pool addresses"
    )
    assert summary == "zones 1, hosts 7, pools 2, names 13"
    assert result.exit_code == 0


def test_every_problem_of_every_file_is_printed(folder: Path) -> None:
    (folder / "a.example.yaml").write_text(NS + "ttl: x\nhost: {}\n")
    (folder / "b.example.yaml").write_text(GOOD)
    (folder / "c.example.yaml").write_text("")
    result = CliRunner().invoke(check, ["zones", "zones/d.example.yaml"])
    assert result.exit_code == 1
    assert [line.partition(": ")[0] for line in result.output.splitlines()] == [
        "zones/a.example.yaml:2:6",
        "zones/a.example.yaml:3:1",
        "zones/c.example.yaml",
        "zones/d.example.yaml",
    ]


@pytest.mark.parametrize("arguments", [[], ["zones"], ["nowhere"]])
def test_no_file_names_init(arguments: list[str], folder: Path) -> None:
    if not arguments:
        folder.rmdir()
    result = CliRunner().invoke(check, arguments)
    if arguments == ["nowhere"]:
        assert "cannot be read" in result.output
        assert result.exit_code == 1
    else:
        assert isinstance(result.exception, GeodnsError)
        assert str(result.exception) == "no zone file in zones: write one with `geodns init NAME ADDRESS…`"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("htpp: 127.0.0.1:8053\n", "geodns.yaml:1:1: unknown key 'htpp': did you mean 'http'?"),
        ("reply_patterns: no.toml\n", "no.toml: cannot be read: No such file or directory"),
        (
            "reply_patterns: zones/bad.toml\n",
            "zones/bad.toml:2: there is no class 'colour': known here: ip, ",
        ),
        (
            "geoip: zones/bad.toml\n",
            "geodns.yaml: zones/bad.toml is no MaxMind DB file, or not all of it: download it again\n",
        ),
        ("geoip: no.mmdb\n", "geodns.yaml: no.mmdb cannot be read (No such file or directory): put a Coun"),
        ("workers: many\n", "geodns.yaml:1:10: the number of workers 'many' is no whole number"),
        ("token: a\ntoken_file: b\n", "geodns.yaml:2:13: both token and token_file: take one of them out"),
        ("token_file: none\n", "geodns.yaml:1:13: none cannot be read (No such file or directory)"),
        (
            "read_token_file: zones/out.example.com.yaml\n",
            "geodns.yaml:1:18: zones/out.example.com.yaml: line ",
        ),
        ("http_tls: {cert: none.pem}\n", "geodns.yaml: http_tls: none.pem cannot be used (No such file"),
        ("cookie_secret_file: none\n", "geodns.yaml: none: there is no such file: write one"),
        ("group: mail\n", "geodns.yaml: group mail without a user"),
    ],
)
def test_the_settings_are_checked_too(folder: Path, settings: str, problem: str) -> None:
    (folder / "out.example.com.yaml").write_text(GOOD)
    (folder.parent / "geodns.yaml").write_text(settings)
    (folder / "bad.toml").write_text("[rules]\ncolour = ['red']\n")
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 1
    assert problem in result.output


def test_what_another_user_alone_may_read_is_a_warning(folder: Path) -> None:
    (folder / "out.example.com.yaml").write_text(GOOD)
    for name in ("token", "cookies"):
        (folder.parent / name).touch(0o000)
    (folder.parent / "geodns.yaml").write_text("token_file: token\ncookie_secret_file: cookies\n")
    before = os.geteuid()
    for above in (folder, *folder.parents[:3]):
        above.chmod(0o755)
    if before == 0:
        os.seteuid(65534)
    try:
        result = CliRunner().invoke(check, [])
    finally:
        os.seteuid(before)
    assert result.exit_code == 0
    first, second, _ = result.output.splitlines()
    assert (
        first
        == "geodns.yaml: warning: cookies was not looked at: this user may not read it, the server's may"
    )
    assert second.startswith("geodns.yaml:1:13: warning: token was not looked at: ")


def test_the_settings_name_the_folder(folder: Path) -> None:
    (folder.parent / "etc").mkdir()
    folder.rename(folder.parent / "etc" / "zones.d")
    (folder.parent / "etc" / "zones.d" / "out.example.com.yaml").write_text(GOOD)
    (folder.parent / "etc" / "geodns.yaml").write_text("zones: zones.d\n")
    result = CliRunner().invoke(check, ["--config", "etc/geodns.yaml"])
    assert (result.exit_code, result.output) == (0, "zones 1, hosts 3, pools 1, names 5\n")


def test_what_would_wait_is_said(folder: Path, fake: Answering) -> None:
    file = folder / "out.example.com.yaml"
    before = GOOD.replace("records: {", "records: {old: {A: 192.0.2.9}, ")
    file.write_text(before)
    serves(fake, read(file))
    file.write_text(
        GOOD.replace("mta2: 192.0.2.12, mta3: 192.0.2.13", "").replace("192.0.2.11, ", "192.0.2.11")
    )
    output = CliRunner().invoke(check, ["--diff", "--server", fake.url]).output
    wait = "out.example.com: this edit will wait for `geodns reload --yes`"
    assert f"{wait}: pool main would have 67% of its weight out (mta2, mta3)" in output
    assert f"{wait} if one of these names was asked for within a day: old.out.example.com" in output


def test_what_would_wait_counts_in_who_is_out_already(folder: Path, fake: Answering) -> None:
    file = folder / "out.example.com.yaml"
    file.write_text(GOOD)
    serves(fake, read(file))
    file.write_text(GOOD.replace(", mta3: 192.0.2.13", ""))
    asked = ["--diff", "--server", fake.url]
    assert "will wait" not in CliRunner().invoke(check, asked).output, "one host may go"
    for state, forced, held, weight, waits in (
        ("down", None, None, None, True),
        ("up", "drained", None, None, True),
        ("down", "up", None, None, False),
        ("up", "quarantined", "too many are out", None, False),
        ("up", None, None, 0, True),
        ("up", None, None, 5, False),
    ):
        own = None if weight is None else {"weight": weight}
        host = {"state": state, "forced": forced, "held_back": held, "forced_weight": own}
        fake.give("GET /status", {"hosts": {"out.example.com": {"mta1": host}}})
        output = CliRunner().invoke(check, asked).output
        assert ("this edit will wait" in output) is waits, host


def test_hosts_of_sources_that_are_trusted_make_nobody_wait(folder: Path, fake: Answering) -> None:
    text = NS + "hosts_from: [{file: hosts.d/fleet.yaml, trust: TRUST}]\nrecords: {'@': {MX: {pool: main}}}\n"
    file, fleet = folder / "a.example.yaml", folder / "hosts.d" / "fleet.yaml"
    fleet.parent.mkdir()
    for trust, waits in (("false", True), ("true", False)):
        file.write_text(text.replace("TRUST", trust))
        fleet.write_text("mx1: 192.0.2.1\nmx2: 192.0.2.2\nmx3: 192.0.2.3\n")
        served = read_zone(file).zone
        assert served is not None
        serves(fake, served)
        fleet.write_text("mx1: 192.0.2.1\n")
        output = CliRunner().invoke(check, ["--diff", "--server", fake.url]).output
        assert "mx2" in output
        assert ("this edit will wait for `geodns reload --yes`: pool" in output) is waits, trust


def test_hosts_in_files_are_checked_and_none_are_looked_up(folder: Path) -> None:
    text = NS + "hosts_from: [{dns: mta.internal.example}, {file: 'hosts.d/*.yaml'}]\n"
    (folder / "out.example.com.yaml").write_text(text + "records: {'@': {MX: {pool: main}}}\n")
    (folder / "hosts.d").mkdir()
    (folder / "hosts.d" / "a.yaml").write_text("a1: 192.0.2.1\n")
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "out.example.com: dns mta.internal.example is looked up while the server runs, not here",
        "zones 1, hosts 1, pools 1, names 3",
    ]
    (folder / "hosts.d" / "b.yaml").write_text("b1: nonsense\n")
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 1
    assert result.output.startswith("zones/hosts.d/b.yaml:1:5: 'nonsense' is no address: write it as")


# --- what would change ----------------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def serves(fake: Answering, *zones: Zone) -> None:
    fake.give("GET /status", {"hosts": {}})
    fake.give("GET /api/v1/zones", {"zones": {one.name: {"digest": one.digest} for one in zones}})
    for one in zones:
        fake.give(f"GET /api/v1/zones/{one.name}", {"zone": json.loads(one.model_dump_json())})
    fake.give("GET /status", {"hosts": {}})


def read(file: Path) -> Zone:
    found = parse_zone(file.stem, file.read_bytes(), file.name).zone
    assert found is not None
    return found


def test_what_would_change_is_said_zone_by_zone(folder: Path, fake: Answering) -> None:
    for name in ("a", "b", "c"):
        (folder / f"{name}.example.yaml").write_text(GOOD)
    serves(fake, *(read(folder / f"{name}.example.yaml") for name in ("a", "b", "c")))
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert result.output == "nothing changes\nzones 3, hosts 9, pools 3, names 15\n"
    assert result.exit_code == 0

    (folder / "a.example.yaml").write_text(GOOD.replace("192.0.2.12", "192.0.2.112") + "ttl: 40\n")
    (folder / "c.example.yaml").unlink()
    (folder / "d.example.yaml").write_text(GOOD)
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert result.output.splitlines() == [
        "a.example: ttl 30 → 40",
        "a.example: host mta2: addresses 192.0.2.12 → 192.0.2.112",
        "d.example: new: hosts 3, pools 1, names 5",
        "c.example: is served, and has no file here that is good",
        "zones 3, hosts 9, pools 3, names 15",
    ]
    assert result.exit_code == 0, "to differ is no problem"


def test_one_file_says_nothing_of_the_others(folder: Path, fake: Answering) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.example.yaml").write_text(GOOD)
    serves(fake, *(read(folder / f"{name}.example.yaml") for name in ("a", "b")))
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url, "zones/a.example.yaml"])
    assert result.output.splitlines()[0] == "nothing changes"


def test_problems_are_problems_and_the_good_files_are_compared(folder: Path, fake: Answering) -> None:
    (folder / "a.example.yaml").write_text(GOOD)
    serves(fake, read(folder / "a.example.yaml"))
    (folder / "a.example.yaml").write_text(GOOD + "ttl: 40\n")
    (folder / "b.example.yaml").write_text("ttl: x\n")
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert result.exit_code == 1
    assert "'x' is no duration" in result.output
    assert result.output.splitlines()[-1] == "a.example: ttl 30 → 40"


def test_hosts_that_the_server_has_looked_up_are_no_change(folder: Path, fake: Answering) -> None:
    text = NS + "hosts_from: [{dns: mta.internal.example}]\nrecords: {'@': {MX: {pool: main}}}\n"
    file = folder / "a.example.yaml"
    file.write_text(text)
    host = Host(name="mta-192-0-2-7", addresses=(IPv4Address("192.0.2.7"),))

    def find(zone: str, source: HostSource) -> SourceResult:
        del zone
        return SourceResult((SourcedHost(host, source.title),))

    served = read_zone(file, find).zone
    assert served is not None
    assert served.hosts == (host,)
    serves(fake, served)
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert result.output.splitlines()[0] == "nothing changes"
    file.write_text("ttl: 40\n" + text)
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert result.output.splitlines()[0] == "a.example: ttl 30 → 40"


def test_a_server_of_another_version_is_said(folder: Path, fake: Answering) -> None:
    (folder / "a.example.yaml").write_text(GOOD)
    fake.give("GET /status", {"hosts": {}})
    fake.give("GET /api/v1/zones", {"zones": {"a.example": {"digest": "0"}}})
    fake.give("GET /api/v1/zones/a.example", {"zone": {"name": "a.example", "new": 1}})
    result = CliRunner().invoke(check, ["--diff", "--server", fake.url])
    assert isinstance(result.exception, GeodnsError)
    assert "it is of another version" in str(result.exception)


def test_places_need_geoip_files(folder: Path) -> None:
    zone = folder / "out.example.com.yaml"
    rules = 'records: {"@": {MX: {pool: [{countries: DE, use: main}, main]}}}\n'
    zone.write_text(SHORT + rules)
    good = "zones 1, hosts 3, pools 1, names 5\n"
    assert CliRunner().invoke(check, []).output == good  # nobody knows the settings
    (folder.parent / "geodns.yaml").write_text("zones: zones\n")
    result = CliRunner().invoke(check, [])
    assert (result.exit_code, result.output) == (
        0,
        (
            "geodns.yaml: warning: rules of out.example.com name countries, continents or networks' owners, "
            f"and `geoip` is not set: they match nobody: write `geoip: [/var/lib/GeoIP/country.mmdb]`\n{good}"
        ),
    )
    zone.write_text(SHORT + rules.replace("countries: DE", "subnets: 10.0.0.0/8"))
    assert CliRunner().invoke(check, []).output == good
