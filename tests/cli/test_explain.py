"""``geodns explain``: the reasons as an operator reads them."""

import json

import pytest
from click.testing import CliRunner, Result

from geodns.api.explain import explain
from geodns.cli import main
from geodns.model.state import Forced
from tests.answering import Answering, answering
from tests.api.test_explain import CHAIN
from tests.api.test_status import cluster_of
from tests.sample_zones import DOWN, NAME, zone


def run(*arguments: str, name: str = NAME, rtype: str = "A", **forced: Forced) -> tuple[Result, Answering]:
    with answering() as fake:
        cluster = cluster_of(zone(CHAIN), {"mta1": DOWN}, **forced)
        fake.give("GET /api/v1/explain", explain(cluster, name, rtype))
        environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
        return CliRunner(env=environment).invoke(main.geodns, ["explain", name, rtype, *arguments]), fake


def test_it_reads_like_an_answer_to_why() -> None:
    result, _ = run(mta2=Forced.DRAINED)
    assert result.exit_code == 0, result.output
    for part in (
        f"{NAME}. A  zone {NAME}, serial ",
        "pool main: dealt from main and reserve",
        "pool main: 1 of 4 hosts live, 10% of its weight; below min_live 50% pool reserve joins",
        "pool reserve: 1 of 1 host live, 100% of its weight",
        "TTL 20 s: 60 s lowered while the fallback serves",
        "one cached answer: for 20 s all that its clients send may go to one host",
        "the next answers (every worker is at a place of its own in the cycle):",
        "  TTL 20  (",
    ):
        assert part in result.output
    rows = {line.split()[0]: " ".join(line.split()) for line in result.output.splitlines() if line.strip()}
    assert rows["mta1"] == "mta1 down 0 of 70 0.0% 0.0% down"
    assert rows["mta2"].endswith("drained by ann@127.0.0.1: disk")
    assert "helps out as a host of reserve" in rows["spare"]


def test_names_without_a_pool_are_told_so() -> None:
    result, _ = run(name=f"mta1.{NAME}")
    assert "no pool is behind it" in result.output
    assert "192.0.2.11  TTL 3600  (mta1)" in result.output


def test_who_would_ask_is_passed_on_and_json_is_what_the_server_gave() -> None:
    result, fake = run("--client", "192.0.2.7", "--ecs", "192.0.2.0/24", "--json")
    assert json.loads(result.output)["type"] == "A"
    ((_, path, _, _),) = fake.asked
    assert "client=192.0.2.7" in path
    assert "ecs=192.0.2.0/24" in path.replace("%2F", "/")


@pytest.mark.parametrize("option", ["--client", "--ecs"])
def test_options_need_a_value(option: str) -> None:
    assert CliRunner().invoke(main.geodns, ["explain", NAME, option]).exit_code == 2
