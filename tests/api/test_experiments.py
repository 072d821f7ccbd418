"""Experiments over HTTP: the shape that programs read, also where nothing is known."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from geodns.api.experiments import experiments_json
from geodns.api.schemas_experiments import ExperimentsJson
from geodns.errors import StoreError
from tests.control.test_experiment_service import KEY, Held
from tests.sample_zones import NAME


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    one = Held(tmp_path)
    yield one
    one.rig.close()


def shown(held: Held) -> ExperimentsJson:
    async def read() -> ExperimentsJson:
        await held.rig.services.signals.begin(5.0)
        return await experiments_json(held.rig.services)

    found = asyncio.run(read())
    TypeAdapter(ExperimentsJson).validate_python(found)
    return found


def test_an_experiment_that_has_just_begun(held: Held) -> None:
    assert shown(held) == {"experiments": {}}
    held.service.look(1_795_417_200.0)
    for number in range(3):
        held.report("new-mta/trial", queries={8000 + number: 1}, answers=1)
    held.report("new-mta/control", queries={1: 9}, answers=9)
    one = shown(held)["experiments"][NAME]["new-mta"]
    assert (one["name"], one["by"], one["since"], one["epoch"]) == (NAME, "client", "2026-11-23T07:00:00Z", 1)
    assert one["horizon"] == "2026-11-23T16:00:00Z"
    assert (one["networks"], one["effective_networks"]) == (4, 1.7)
    assert list(one["arms"]) == ["control", "trial"]
    trial = one["arms"]["trial"]
    assert (trial["share"], trial["realised"], trial["pool"]) == (0.2, 0.25, "trial")
    assert (trial["queries"], trial["answers"], trial["failovers"]) == (3, 3, 0)
    assert (trial["networks"], trial["effective_networks"]) == (3, 3.0)
    assert trial["rates"]["deferred"] == {"value": 0.0, "low": None, "high": None, "n": 0}
    verdict = one["verdict"]
    assert (verdict["metric"], verdict["difference"], verdict["enough"]) == ("deferred", None, False)
    assert verdict["why"]


def test_one_whose_mail_cannot_be_read_has_its_counts_and_says_so(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        await asyncio.sleep(0)
        raise StoreError("the disk is gone")

    held.service.look(1_795_417_200.0)
    monkeypatch.setattr(held.rig.services.signals, "steps", broken)
    held.report("new-mta/control", queries={1: 9}, answers=9)
    one = shown(held)["experiments"][NAME]["new-mta"]
    assert one["arms"]["control"]["queries"] == 9
    assert one["arms"]["trial"]["rates"]["deferred"]["n"] == 0
    assert (one["verdict"]["enough"], one["verdict"]["why"].split(":")[0]) == (
        False,
        "its mail is not read yet",
    )
    assert held.service.known(KEY) is None
