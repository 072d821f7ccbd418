"""What octoDNS's files include and merge."""

from pathlib import Path

import pytest

from geodns.errors import GeodnsError
from tests.cli.convert.octozones import NS, imported
from tests.zonetexts import NAME


def test_merges_and_includes(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.yaml").write_text("type: A\nttl: 60\n")
    (tmp_path / "more" / "names.yaml").write_text("c: {type: TXT, value: c}\nd: !include base.yaml\n")
    (tmp_path / "e.yaml").write_text("[192.0.2.3, 192.0.2.4]")
    zone, remarks = imported(
        f"{NS}<<: !include more/names.yaml\n"
        "a: &a {type: A, ttl: 30, value: 192.0.2.1}\n"
        "b: {<<: *a, value: 192.0.2.2}\n"
        "d: {type: TXT, value: own}\n"
        "e: {<<: !include more/base.yaml, values: !include e.yaml}\n",
        tmp_path,
    )
    found = {one.owner.removesuffix(f".{NAME}."): (one.type, one.ttl, one.values) for one in zone.records}
    assert found["b"] == ("A", 30, (("192.0.2.2",),))
    assert found["c"] == ("TXT", 3600, (("c",),))
    assert found["d"] == ("TXT", 3600, (("own",),))
    assert found["e"] == ("A", 60, (("192.0.2.3",), ("192.0.2.4",)))
    assert remarks == []


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeodnsError, match="does one include itself"):
        imported(f"a: !include {NAME}.yaml\n", tmp_path)


def test_an_include_below_the_home_of_nobody_is_told(tmp_path: Path) -> None:
    with pytest.raises(GeodnsError, match=r":1:4: ~no\.such\.user/a\.yaml: no such user's home folder"):
        imported("a: !include ~no.such.user/a.yaml\n", tmp_path)
