"""``geodns explain`` and ``geodns status`` of names with rules, as an operator reads them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.api.explain import Asking
from geodns.api.status import status
from geodns.cli import main
from geodns.control.cluster import Cluster
from tests.answering import answering
from tests.api.test_explain_clients import cluster, told
from tests.control.test_view_service import TEXT
from tests.sample_zones import NAME
from tests.servicing import Rig

__all__ = ["cluster"]


def output(cluster: Cluster, asking: Asking, name: str = NAME) -> str:
    ecs = None if asking.network is None else str(asking.network)
    with answering() as fake:
        fake.give("GET /api/v1/explain", told(cluster, asking.client, ecs, name))
        environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
        result = CliRunner(env=environment).invoke(main.geodns, ["explain", name])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_the_rule_that_applies_is_marked_and_each_says_why(cluster: Cluster) -> None:
    shown = output(cluster, Asking("203.0.113.9"))
    for part in (
        "client 203.0.113.9: it names no network, so its own address counts",
        "1 subnets 10.0.0.0/8 sticky it lies in none of the subnets",
        "→ 4 asns 64500; hours Mon-Fri 08:00-18:00, Europe/Berlin day it is Tue 10:00 in Europe/Berlin",
        "6 all others main rule 4 comes first",
        "warning: rule 2 never matches: all of its clients meet rule 1 before it",
        "pool day: dealt from day",
        "compiled for 2026-12-01T09:00:00Z",
    ):
        assert part in shown


def test_arms_and_buckets_are_said(cluster: Cluster) -> None:
    shown = output(cluster, Asking("192.0.2.7"), f"t.{NAME}")
    assert "experiment new by client: arm " in shown
    assert "new/old 60% main: a 50.0%, b 50.0%" in shown
    assert "pool sticky picks by client: bucket " in output(cluster, Asking("10.1.2.3"))


def test_without_a_client_it_says_how_to_name_one(cluster: Cluster) -> None:
    shown = output(cluster, Asking())
    assert "name one with --client or --ecs" in shown
    assert "3 100% eu: b 100.0%" in shown


@pytest.mark.parametrize("arguments", [[], ["--zone", NAME]])
def test_the_status_tabulates_rules(tmp_path: Path, arguments: list[str]) -> None:
    rig = Rig(tmp_path, TEXT)
    rig.serve()
    with answering() as fake:
        fake.give("GET /status", status(rig.services))
        environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
        result = CliRunner(env=environment).invoke(main.geodns, ["status", *arguments])
    rig.close()
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert f"{NAME} 1 subnets 10.0.0.0/8 eu not now" in lines
    assert "4 all others main not now" in lines
