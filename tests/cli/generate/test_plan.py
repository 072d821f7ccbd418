"""What of a zone's rules can be written once and for all."""

import pytest

from geodns.cli.generate.plan import Asked, numbered, plan_of
from geodns.config.server_keys import Listen
from geodns.model.routes import RouteRule
from tests.cli.generate.plans import BULK, FAST, LAST, ON_PORT, planned
from tests.sample_zones import zone


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([1], "rule 1"),
        ([12], "rule 12"),
        ([1, 2], "rules 1 and 2"),
        ([1, 3], "rules 1 and 3"),
        ([2, 3, 4], "rules 2 to 4"),
        ([1, 3, 4, 5, 8], "rules 1, 3 to 5 and 8"),
    ],
)
def test_numbers_of_rules(rules: list[int], text: str) -> None:
    assert numbered(rules) == text


def test_classes_by_the_first_rule_for_them_alone() -> None:
    plan = planned()
    assert [(one.name, one.rule, str(one.hop)) for one in plan.classes] == [
        ("transactional", 4, "[fast.out.example.com]:25"),
        ("bulk", 6, "[bulk.out.example.com]:587"),
    ]
    assert plan.left_out == (("odd", "no rule is for it"),)
    assert str(plan.static) == "[out.example.com]:25"


@pytest.mark.parametrize(
    ("use", "host", "leads_home"),
    [
        (FAST, "mta1", True),
        (FAST, "mta3", False),
        (BULK, "mta3", True),
        (LAST, "mta2", True),
    ],
)
def test_a_way_back_to_this_machine_is_none(use: str, host: str, leads_home: bool) -> None:
    assert (planned(RouteRule(use=use), asked=ON_PORT._replace(self_host=host)).static is None) == leads_home


def test_pools_that_only_some_clients_get_may_lead_back_too() -> None:
    one = zone(
        """
        hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
        pools: {main: {hosts: [mta1], check: none}, near: {hosts: [mta2], check: none}}
        records:
          "@": {A: {pool: [{subnets: [10.0.0.0/8], use: near}, main]}, MX: {pool: main, preference: 10}}
        routes: [{use: "@"}]
        """
    )
    assert plan_of(one, ON_PORT).static is not None
    for host in ("mta1", "mta2"):
        assert plan_of(one, Asked(Listen("127.0.0.1", 5310), self_host=host)).static is None
