"""The routers for Exim: what they ask, and which static ones stand after them."""

import re
from pathlib import Path

from geodns.cli.generate.exim import exim
from geodns.cli.generate.plan import Asked, Plan, plan_of
from geodns.config.server_keys import Listen
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from tests.cli.generate.plans import BULK, LAST, ON_PORT, planned, routed


def text(plan: Plan) -> str:
    (section,) = exim(plan)
    return section.text


def routers(plan: Plan) -> dict[str, list[str]]:
    """The options of each router, in order."""
    found: dict[str, list[str]] = {}
    for line in text(plan).replace("\\\n", "").splitlines():
        if re.fullmatch(r"\w+:", line):
            found[line[:-1]] = []
        elif line.startswith("  "):
            found[[*found][-1]].append(line.strip())
    return found


def test_who_decides_in_what_order() -> None:
    found = routers(planned())
    assert [*found] == ["geodns_routes", "geodns_class_transactional", "geodns_class_bulk", "geodns_static"]
    assert {options[1] for options in found.values()} == {"domains = ! +local_domains : ! example.com"}
    assert found["geodns_static"][-1] == "route_list = * out.example.com::25 bydns"
    assert found["geodns_class_bulk"][-1] == "route_list = * bulk.out.example.com::587 bydns"
    assert "Class odd has no router here: no rule is for it." in text(planned())


def test_no_two_routers_have_one_name() -> None:
    """Exim would not start with these."""
    names = ("a-b", "a_b", "a-b_", "a_b_")
    classes = tuple(MailClass(name=name, signs=(HeaderSign(header=f"X-{name}"),)) for name in names)
    rules = (*(RouteRule(mail_class=(name,), use=BULK) for name in names), RouteRule(use=LAST))
    said = text(plan_of(routed(*rules, classes=classes), ON_PORT))
    found = re.findall(r"^(\w+):$", said, re.MULTILINE)
    assert len(found) == len({*found}) == len(names) + 2


def test_it_never_freezes_mail() -> None:
    for options in routers(planned()).values():
        assert "self = pass" in options
        assert any(one.startswith("host_find_failed = ") for one in options)


def test_where_it_asks() -> None:
    for address, written in (
        (Listen("127.0.0.1", 5310), "inet:127.0.0.1:5310"),
        (Listen("::", 5310), "inet:[::1]:5310"),
        (Path("/run/geodns/routes"), "/run/geodns/routes"),
    ):
        assert f"${{readsocket{{{written}}}{{" in text(planned(asked=Asked(address)))


def test_domains_of_our_own() -> None:
    said = text(planned(local=("example.com", "*.example.com", "b?d.example")))
    own = r": ! example.com : ! *.example.com : ! \N^b.d\.example$\N"
    assert f"domains = ! +local_domains {own}\n" in said
    assert "The zone has no `local`" in text(planned(local=()))


def test_no_static_way() -> None:
    rules = (RouteRule(sender=("news@*",), use=BULK),)
    assert [*routers(planned(*rules))] == ["geodns_routes"]
    assert "No router for all other mail: the list has no last rule" in text(planned(*rules))
    own = planned(RouteRule(use=LAST), asked=ON_PORT._replace(self_host="mta3"))
    assert "No router for all other mail: out.example.com (rule 1) may lead back" in text(own)
