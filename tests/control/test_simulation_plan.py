"""What an operator asks, as names, hosts and clients; and one clear error for each thing that is wrong."""

import pytest

from geodns.compiler.live_set import LiveSet
from geodns.control.simulation import SimulatedClient, compile_scenario
from geodns.control.simulation_plan import (
    MOST_NAMES,
    Simulation,
    SimulationPlan,
    SimulationWish,
    plan_simulation,
    run_simulation,
)
from geodns.errors import AmbiguousError, GeodnsError, NotFoundError, UsageError
from geodns.model.views import NO_NETWORKS
from tests.sample_zones import NAME, sources, zone

TEXT = """
    hosts: {mta1: 192.0.2.1, mta2: 192.0.2.2}
    records: {"@": {pool: main, MX: {pool: main, preference: 10}}, b: {A: {pool: main}}, fixed: {TXT: x}}
    pools: {main: {hosts: "mta*"}}
"""
OTHER = "in.example.net"
ZONES = sources(zone(TEXT), zone(TEXT.replace("mta2: ", "lone: ").replace('"mta*"', '"*"'), OTHER))


def plan(**wish: object) -> SimulationPlan:
    return plan_simulation(SimulationWish(**wish), ZONES)  # type: ignore[arg-type]


def run(made: SimulationPlan) -> Simulation:
    return run_simulation(made, compile_scenario(made.sources, LiveSet(), NO_NETWORKS, 0.0))


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        ({}, [f"{NAME}.", f"b.{NAME}.", f"{OTHER}.", f"b.{OTHER}."]),
        ({"type": "MX"}, [f"{NAME}.", f"{OTHER}."]),
        ({"name": f"B.{NAME.upper()}"}, [f"b.{NAME}."]),
        ({"name": f"{OTHER}."}, [f"{OTHER}."]),
        (
            {
                "clients": (
                    SimulatedClient("192.0.2.7", name=f"fixed.{NAME}."),
                    SimulatedClient("192.0.2.7", name="www.example.org."),
                    SimulatedClient("192.0.2.7", queries=5, name=f"b.{NAME}."),
                )
            },
            [f"b.{NAME}."],
        ),
    ],
)
def test_names(wish: dict[str, object], names: list[str]) -> None:
    found = run(plan(**wish))
    assert list(dict.fromkeys(one.name for one in found.names)) == names
    if "clients" in wish:
        assert (found.clients, found.skipped, found.names[0].queries) == (1, 2, 5)
    else:
        assert (found.clients, found.more) == (None, 0)


def test_there_is_room_for_some_names() -> None:
    text = TEXT.replace(
        "records: {", "records: {" + ", ".join(f"n{n}: {{A: {{pool: main}}}}" for n in range(30)) + ", "
    )
    found = run(plan_simulation(SimulationWish(type="A"), sources(zone(text))))
    assert (len(found.names), found.more) == (MOST_NAMES, 32 - MOST_NAMES)
    assert found.names[0].name == f"{NAME}.", "the zone's own comes first"


def test_hosts_by_name_address_or_glob() -> None:
    made = plan(name=NAME, down=("mta1", "192.0.2.2"), weights={"mta*": 7})
    assert made.down == ((NAME, "mta1"), (NAME, "mta2"))
    assert made.weights == {(NAME, "mta1"): 7, (NAME, "mta2"): 7}
    assert plan(down=(f"mta1.{OTHER}",)).down == ((OTHER, "mta1"),)


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"name": "www.example.org"}, NotFoundError, f"in no zone here; there are {NAME}, {OTHER}"),
        ({"down": ("mta9",)}, NotFoundError, "no host mta9"),
        ({"down": ("mta1",)}, AmbiguousError, "in several zones"),
        ({"name": NAME, "down": ("lone",)}, NotFoundError, f"lone.{OTHER}: no name of its zone is simulated"),
        ({"weights": {"mta2": 3, "mta2.out": 4}}, UsageError, f"mta2.{NAME} has two weights, 3 and 4"),
        (
            {"name": f"fixed.{NAME}"},
            NotFoundError,
            f"no pool is behind fixed.{NAME}. for A or AAAA or MX or SRV",
        ),
        ({"name": f"bb.{NAME}"}, NotFoundError, f"names that have one are b.{NAME}."),
        ({"type": "SRV"}, NotFoundError, "no pool is behind any name for SRV"),
        ({"name": "a..b"}, GeodnsError, "a..b"),
    ],
)
def test_what_is_wrong_is_told(wish: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as told:
        run(plan(**wish))
    assert text in str(told.value)
