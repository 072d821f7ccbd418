"""What is in deploy/ for Prometheus and Grafana speaks of metrics that there are, and works."""

import json
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.control.test_metrics import NAMES, TEXT, all_used, families
from tests.servicing import Rig

DEPLOY = Path(__file__).parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "geodns.rules.yaml"
RULES_TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yaml"))
DASHBOARD = DEPLOY / "grafana" / "geodns.json"
RUNBOOK = DEPLOY.parent / "docs" / "runbook.md"
PROMTOOL = shutil.which("promtool") or shutil.which("/opt/geodns-tests/prometheus/usr/bin/promtool")
OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool: apt-get install prometheus, or run .ci/run"
)


def promtool(*arguments: str, given: bytes = b"") -> str:
    assert PROMTOOL is not None
    run = subprocess.run(
        [PROMTOOL, *arguments], input=given, capture_output=True, timeout=60, check=False, cwd=RULES.parent
    )
    return f"{run.returncode} {run.stdout.decode()} {run.stderr.decode()}"


def alerts() -> dict[str, Any]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def labels_of(name: str) -> set[str]:
    """The labels that samples of a metric have, as far as they were used, and those that a scrape adds."""
    found = {"instance", "job", "le"}
    for sample_name, labels in samples():
        if sample_name == name:
            found |= labels
    return found


@cache
def samples() -> list[tuple[str, frozenset[str]]]:
    """Return the names and labels of all samples of a server to which everything has happened."""
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), TEXT)
        shown = families(all_used(rig))
        rig.close()
    return [(sample.name, frozenset(sample.labels)) for family in shown.values() for sample in family.samples]


def metrics_in(expression: str) -> dict[str, set[str]]:
    """The metrics of an expression, with the labels that it asks of each."""
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"\b((?:geodns|process)_\w+|up)\b(?:\{([^}]*)\})?", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers))
    return found


def known(name: str) -> bool:
    return name in OTHERS or name in NAMES or re.sub("_(bucket|sum|count)$", "", name) in NAMES


@needs_promtool
def test_metrics_follow_the_conventions(tmp_path: Path) -> None:
    rig = Rig(tmp_path, TEXT)
    shown = all_used(rig).expose()
    rig.close()
    assert promtool("check", "metrics", given=shown).startswith("0 ")


@needs_promtool
def test_rules_are_rules_and_each_does_what_it_says() -> None:
    every = [path.name for path in RULES.parent.glob("*.yaml")]  # as `promtool check rules *.yaml`
    assert promtool("check", "rules", *every).startswith("0 ")
    assert promtool("test", "rules", *map(str, RULES_TESTS)).startswith("0 ")


@needs_promtool
def test_the_tests_of_the_rules_see_those_that_never_fire(tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = f"({rule['expr']}) > Inf"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    (tmp_path / "tests").mkdir()
    copies = [str(shutil.copy(one, tmp_path / "tests")) for one in RULES_TESTS]
    told = promtool("test", "rules", *copies)
    assert told.startswith("1 ")
    assert set(re.findall(r"alertname: ?(\w+)", told)) == alerts().keys()


def rule_tests() -> list[Any]:
    return [test for file in RULES_TESTS for test in yaml.safe_load(file.read_text())["tests"]]


def test_every_alert_is_tested() -> None:
    assert {one["alertname"] for test in rule_tests() for one in test["alert_rule_test"]} == alerts().keys()


@pytest.mark.parametrize("name", alerts())
def test_alerts_speak_of_metrics_that_there_are(name: str) -> None:
    rule = alerts()[name]
    asked = metrics_in(rule["expr"])
    assert asked
    for metric, labels in asked.items():
        assert known(metric), metric
        assert metric in OTHERS or labels <= labels_of(metric)
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}


@pytest.mark.parametrize("name", alerts())
def test_every_alert_is_in_the_runbook(name: str) -> None:
    base = """{{ or $externalLabels.geodns_docs "docs" }}"""
    assert alerts()[name]["annotations"]["runbook"] == f"{base}/runbook.md#{name.lower()}"
    text = RUNBOOK.read_text()
    (part,) = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    assert "geodns " in part, "what to type"


def test_the_runbook_speaks_of_no_other_alerts() -> None:
    assert set(re.findall(r"\bGeodns[A-Z]\w+", RUNBOOK.read_text())) == alerts().keys()


def panels() -> list[Any]:
    found: list[Any] = json.loads(DASHBOARD.read_text())["panels"]
    return found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panels_speak_of_metrics_that_there_are(panel: Any) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        asked = metrics_in(target["expr"])
        assert asked
        for metric, labels in asked.items():
            assert known(metric), metric
            assert metric in OTHERS or labels <= labels_of(metric)
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label == "instance" or any(label in labels_of(one) for one in asked if one not in OTHERS)


@needs_promtool
def test_panels_ask_what_prometheus_understands(tmp_path: Path) -> None:
    asked = [
        target["expr"].replace("$__rate_interval", "5m") for one in panels() for target in one["targets"]
    ]
    rules = [{"record": f"panel:{at}", "expr": expression} for at, expression in enumerate(asked)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert promtool("check", "rules", str(file)).startswith("0 ")


@needs_promtool
@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("Host states", 3),
        ("Hosts down", 1),
        ("Hosts forced", 1),
        ("Pools in the last resort", 1),
        ("Live hosts, by pool", 2),
        ("Effective weight, by host", 50),
        ("What reputation leaves of weights", 0.5),
        ("Listed hosts, by block list", 1),
        ("Block lists that are believed", 0),
        ("Warm-up: sent today, and the cap", 400),
    ],
)
def test_two_servers_that_see_the_same_are_no_two_hosts(tmp_path: Path, title: str, value: float) -> None:
    (panel,) = [one for one in panels() if one["title"] == title]
    series = {
        'geodns_host_state{host="a",state="up"': 1,
        'geodns_host_state{host="a",state="shedding"': 0,
        'geodns_host_state{host="a",state="unknown"': 0,
        'geodns_host_state{host="b",state="down"': 1,
        'geodns_host_forced{host="b",forced="drained"': 1,
        'geodns_pool_last_resort{pool="main"': 1,
        'geodns_pool_live_hosts{pool="main"': 2,
        'geodns_host_effective_weight{host="a"': 50,
        'geodns_host_reputation_ratio{host="a"': 0.5,
        'geodns_host_listed{host="a",list="bl"': 1,
        'geodns_dnsbl_believed{list="bl"': 0,
        'geodns_warmup_sent_messages{host="a"': 400,
    }
    given = [
        {"series": f'{name},instance="{server}",zone="z"}}', "values": str(number)}
        for name, number in series.items()
        for server in ("ns1", "ns2")
    ]
    asked = panel["targets"][0]["expr"].replace("$instance", ".*").replace("$zone", ".*")
    # How it is labelled does not matter here: the largest of what is there.
    tests = [
        {
            "input_series": given,
            "promql_expr_test": [
                {
                    "expr": f"max({asked})",
                    "eval_time": "0s",
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
            ],
        }
    ]
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    assert promtool("test", "rules", str(tmp_path / "test.yaml")).startswith("0 ")


@needs_promtool
def test_links_to_the_runbook_are_absolute_where_a_label_says_so(tmp_path: Path) -> None:
    (test,) = [one for one in rule_tests() if one["name"] == "GeodnsDown"]
    test["external_labels"] = {"geodns_docs": "https://git.example.net/docs"}
    annotations = test["alert_rule_test"][0]["exp_alerts"][0]["exp_annotations"]
    annotations["runbook"] = "https://git.example.net/docs/runbook.md#geodnsdown"
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}))
    told = promtool("test", "rules", str(file))
    assert told.startswith("0 "), told


def test_the_dashboard_fits_together() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["title"] == "geodns"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    used_ = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text())) - {"__rate_interval", "__all"}
    assert used_ == names
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    for at, one in enumerate(places):
        assert one["x"] + one["w"] <= 24
        for other in places[at + 1 :]:
            apart = (
                one["x"] + one["w"] <= other["x"]
                or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"]
                or other["y"] + other["h"] <= one["y"]
            )
            assert apart, (one, other)
