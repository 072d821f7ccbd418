"""The rules of names in the status: numbered, by list, with what they ask for."""

from pathlib import Path

from geodns.api.status import status
from tests.sample_zones import NAME, ORIGIN
from tests.servicing import Rig

TEXT = """\
ns: {ns1: 192.0.2.53}
hosts: {a: [192.0.2.1, "2001:db8::1"], b: [192.0.2.2, "2001:db8::2"]}
pools: {main: {hosts: [a]}, eu: {hosts: [b]}}
records:
  "@":
    A: {pool: [{countries: DE, use: eu}, main]}
    AAAA: {pool: [{countries: DE, use: eu}, main]}
    MX: [{pool: [{countries: FR, use: eu}, main], preference: 10}, {pool: eu, preference: 20}]
  many: {A: {pool: [{subnets: [%s], use: eu}, main]}}
  plain: {A: {pool: main}}
"""


def test_rules_are_shown_by_name_and_list(tmp_path: Path) -> None:
    networks = ", ".join(f"10.{number}.0.0/16" for number in range(0, 24, 2))
    rig = Rig(tmp_path, TEXT % networks)
    rig.serve()
    shown = status(rig.services)
    rig.close()
    views = shown["views"][NAME]
    assert list(views) == [ORIGIN, f"many.{ORIGIN}"]
    assert views[ORIGIN] == [
        {"rule": 1, "types": ["A", "AAAA"], "when": "countries DE", "pool": "eu", "since": None},
        {"rule": 2, "types": ["A", "AAAA"], "when": "", "pool": "main", "since": None},
        {"rule": 1, "types": ["MX"], "when": "countries FR", "pool": "eu", "since": None, "preference": 10},
        {"rule": 2, "types": ["MX"], "when": "", "pool": "main", "since": None, "preference": 10},
    ]
    assert views[f"many.{ORIGIN}"][0]["when"].endswith(", 10.14.0.0/16 and 4 more")
    assert shown["zones"][NAME]["views_until"] is None
    assert shown["zones"][NAME]["views_at"] == "1970-01-01T00:00:00Z", "nobody has compiled them for a moment"


def test_a_zone_without_rules_has_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.serve()
    shown = status(rig.services)
    rig.close()
    assert shown["views"] == {}
    assert "views_at" not in shown["zones"][NAME]
