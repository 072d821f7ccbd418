import copy
from typing import Any

import pytest

from geodns.cli.status_differences import Difference, differences
from tests.answering import NAME, host, pool, status

ONE = status("mta1", "mta2")


def changed(**more: Any) -> dict[str, Any]:
    return copy.deepcopy(ONE) | more


def found(*others: dict[str, Any]) -> list[Difference]:
    return differences({f"http://ns{number}": one for number, one in enumerate((ONE, *others), 1)})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(changed(), id="the same"),
        pytest.param(changed(node="ns2", uptime_s=1.0, warnings=["x"]), id="what is each server's own"),
        pytest.param(
            changed(hosts={NAME: {"mta1": host(effective_weight=49, since=None), "mta2": host(checks=[])}}),
            id="what moves",
        ),
        pytest.param(
            changed(
                pools={
                    NAME: {
                        "main": pool(
                            "mta1",
                            "mta2",
                            families={
                                "A": {"live": ["mta1", "mta2"], "share": {"mta1": 0.51, "mta2": 0.49}},
                                "AAAA": {"live": [], "share": {}},
                            },
                        )
                    }
                }
            ),
            id="shares that are near",
        ),
        pytest.param(
            changed(zones={NAME: {"serial": 7, "digest": "a" * 32, "file": "", "error": None}}), id="serial"
        ),
        pytest.param(
            changed(
                version="9.9", zones={NAME: {"serial": 7, "digest": "b" * 32, "file": "", "error": None}}
            ),
            id="another version, whose digests are others",
        ),
    ],
)
def test_servers_that_agree(other: dict[str, Any]) -> None:
    assert found(other) == []


UNEVEN = pool("mta1", "mta2")
UNEVEN["families"] = {
    "A": {"live": ["mta1", "mta2"], "share": {"mta1": 0.9, "mta2": 0.1}},
    "AAAA": {"live": [], "share": {}},
}
SAME = {"serial": 2026112301, "digest": "a" * 32, "file": "", "error": None}
WEIGHT = {"weight": 5, "file_weight": 50, "reason": "", "author": "ops", "until": None, "hides": None}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(
            changed(zones={NAME: {"serial": 2026112301, "digest": "b" * 32, "file": "", "error": None}}),
            [Difference(f"zone {NAME}", ("served, content aaaaaaaa", "served, content bbbbbbbb"))],
            id="content",
        ),
        pytest.param(
            changed(zones={NAME: {**SAME, "error": "f:1:2: what"}}),
            [
                Difference(
                    f"zone {NAME}",
                    ("served, content aaaaaaaa", "served, file refused, content aaaaaaaa"),
                )
            ],
            id="refused",
        ),
        pytest.param(
            changed(zones={NAME: {"serial": None, "digest": None, "file": "", "error": "f:1:2: what"}}),
            [Difference(f"zone {NAME}", ("served, content aaaaaaaa", "not served, file refused"))],
            id="not served",
        ),
        pytest.param(
            changed(hosts={NAME: {"mta1": host(state="down"), "mta2": host()}}),
            [Difference(f"host mta1.{NAME}", ("up", "down"))],
            id="state",
        ),
        pytest.param(
            changed(hosts={NAME: {"mta1": host(forced="drained", author="ops"), "mta2": host()}}),
            [Difference(f"host mta1.{NAME}", ("up", "up (drained by ops)"))],
            id="forced",
        ),
        pytest.param(
            changed(hosts={NAME: {"mta1": host(forced_weight=WEIGHT), "mta2": host()}}),
            [Difference(f"host mta1.{NAME}", ("up", "up, weight 5 (forced by ops; the file says 50)"))],
            id="weight",
        ),
        pytest.param(
            changed(hosts={NAME: {"mta1": host(), "mta3": host()}}),
            [Difference(f"host mta2.{NAME}", ("up", "-")), Difference(f"host mta3.{NAME}", ("-", "up"))],
            id="other hosts",
        ),
        pytest.param(
            changed(pools={NAME: {"main": pool("mta1")}}),
            [Difference(f"pool main of {NAME}", ("from main; live: mta1, mta2", "from main; live: mta1"))],
            id="live",
        ),
        pytest.param(
            changed(pools={NAME: {"main": pool("mta1", "mta2", last_resort="down", live=[])}}),
            [
                Difference(
                    f"pool main of {NAME}",
                    ("from main; live: mta1, mta2", "from main (last resort: down); live: nobody"),
                )
            ],
            id="last resort",
        ),
        pytest.param(
            changed(pools={NAME: {"main": UNEVEN}}),
            [
                Difference(
                    f"A shares of pool main of {NAME}",
                    ("mta1 50.0%, mta2 50.0%", "mta1 90.0%, mta2 10.0%"),
                )
            ],
            id="shares",
        ),
    ],
)
def test_what_they_disagree_on(other: dict[str, Any], expected: list[Difference]) -> None:
    assert found(other) == expected


def test_a_zone_that_only_one_has_is_not_served_by_the_other() -> None:
    other = changed(zones={}, hosts={}, pools={})
    assert found(other)[0] == Difference(f"zone {NAME}", ("served, content aaaaaaaa", "-"))
    assert len(found(other)) == 4


def test_three_servers_stand_beside_each_other() -> None:
    (one,) = found(changed(), changed(hosts={NAME: {"mta1": host(state="down"), "mta2": host()}}))
    assert one.says == ("up", "up", "down")
