"""The lines for Postfix say what its processes need, and what they cannot do."""

import re
from pathlib import Path

import pytest

from geodns.cli.generate.plan import Asked, Section, plan_of
from geodns.cli.generate.postfix import postfix
from geodns.config.server_keys import Listen
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from tests.cli.generate.plans import BULK, FAST, LAST, ON_PORT, below, planned, routed

QUEUE = Path("/var/spool/postfix")


def said(sections: tuple[Section, ...]) -> str:
    """Every remark in one line."""
    lines = [line for one in sections for line in one.text.splitlines() if line.startswith("#")]
    return " ".join(line.removeprefix("# ") for line in lines)


def lines(section: Section) -> list[str]:
    """The lines that are no remarks."""
    return [line for line in section.text.splitlines() if line and not line.startswith("#")]


def settings(section: Section) -> dict[str, str]:
    """What main.cf would have, continuation lines joined."""
    joined = re.sub(r"\n\s+", " ", "\n".join(lines(section)))
    return dict(line.split(" = ", 1) for line in joined.splitlines())


def test_a_policy_service_that_may_die() -> None:
    found = settings(postfix(planned())[0])
    assert found == {
        "geodns_routes": "check_policy_service { inet:127.0.0.1:5310, timeout=2s, try_limit=1, "
        "request_limit=1, default_action=DUNNO, policy_context=out.example.com }",
        "smtpd_recipient_restrictions": "$geodns_routes",
        "default_transport": "relay:[out.example.com]:25",
    }


def test_maps_that_make_mail_wait() -> None:
    main = postfix(planned(), by_map=True)[0]
    assert settings(main) == {
        "transport_maps": "socketmap:inet:127.0.0.1:5310:recipient",
        "sender_dependent_default_transport_maps": "socketmap:inet:127.0.0.1:5310:sender",
        "default_transport": "relay:[out.example.com]:25",
    }
    assert "Mail waits while geodns is away" in main.text
    assert "Postfix 3.5 or newer" in main.text


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (Listen("0.0.0.0", 5310), "inet:127.0.0.1:5310"),
        (Listen("::", 5310), "inet:[::1]:5310"),
        (Listen("192.0.2.53", 5310), "inet:192.0.2.53:5310"),
        (QUEUE / "geodns/routes", "unix:geodns/routes"),
        (Path("/run/geodns/routes"), "unix:/run/geodns/routes"),
    ],
)
def test_where_it_asks(address: Listen | Path, written: str) -> None:
    for by_map in (False, True):
        assert written in postfix(planned(asked=Asked(address)), by_map=by_map)[0].text


def test_a_socket_that_chrooted_processes_cannot_see() -> None:
    assert "WARNING: /run/geodns/routes is not below /var/spool/postfix" in said(
        postfix(planned(asked=Asked(Path("/run/geodns/routes"))))
    )
    assert "WARNING" not in said(postfix(planned(asked=below(QUEUE))))
    assert (
        "unix:geodns/routes"
        in postfix(planned(asked=below(Path("/var/spool/two"))), queue=Path("/var/spool/two"))[0].text
    )


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        pytest.param(
            (RouteRule(sender=("news@*",), use=BULK),), "the list has no last rule", id="no-last-rule"
        ),
        pytest.param(
            (RouteRule(use=LAST),), "out.example.com (rule 1) may lead back to this machine, mta2", id="self"
        ),
    ],
)
def test_where_there_is_no_static_way(rules: tuple[RouteRule, ...], why: str) -> None:
    sections = postfix(planned(*rules, asked=ON_PORT._replace(self_host="mta2")))
    assert "default_transport" not in settings(sections[0])
    assert f"No default_transport: {why}" in said(sections)


def test_a_last_rule_that_leads_elsewhere_stays_with_self() -> None:
    sections = postfix(planned(RouteRule(use=BULK), asked=ON_PORT._replace(self_host="mta2")))
    assert settings(sections[0])["default_transport"] == "relay:[bulk.out.example.com]:25"


def test_what_is_our_own() -> None:
    assert "Now: example.com." in said(postfix(planned()))
    assert "WARNING: the zone has no `local`" in said(postfix(planned(local=())))


@pytest.mark.parametrize(
    ("rules", "missed"),
    [
        pytest.param((), "Rules 2 to 6 are", id="sample"),
        pytest.param(
            (
                RouteRule(sender=("a@b.example",), use=BULK),
                RouteRule(sender=("c@d.example",), use=FAST),
                RouteRule(recipient=("*@e.example",), use=FAST),
                RouteRule(use=LAST),
            ),
            "Rule 3 is",
            id="behind-a-rule-by-sender",
        ),
        pytest.param(
            (
                RouteRule(recipient=("*@b.example",), client=(), sasl=("x",), use=BULK),
                RouteRule(recipient=("*@e.example",), use=FAST),
            ),
            "Rule 1 is",
            id="only-for-some-recipients",
        ),
        pytest.param((RouteRule(recipient=("*@e.example",), use=FAST), RouteRule(use=LAST)), "", id="all"),
    ],
)
def test_rules_that_no_map_reaches(rules: tuple[RouteRule, ...], missed: str) -> None:
    text = said(postfix(planned(*rules), by_map=True))
    assert (f"{missed} not answered so" in text) if missed else ("not answered so" not in text)


def test_classes_stand_in_a_cleanup_service_of_their_own() -> None:
    _, submission, own, table = postfix(planned())
    assert lines(submission) == ["  -o cleanup_service_name=geodns-cleanup"]
    assert lines(own) == [
        "geodns-cleanup unix n - - - 0 cleanup",
        "  -o header_checks=regexp:$config_directory/geodns_classes",
        "  -o nested_header_checks=",
        "  -o mime_header_checks=",
    ]
    assert table.where == "geodns_classes, beside main.cf"
    assert lines(table) == [
        "/^X-Class:[[:space:]]*(tx)[[:space:]]*$/ FILTER relay:[fast.out.example.com]:25",
        "/^List-Unsubscribe:/ FILTER relay:[bulk.out.example.com]:587",
        "/^Precedence:[[:space:]]*(bulk|list)[[:space:]]*$/ FILTER relay:[bulk.out.example.com]:587",
    ]
    remarks = said((table,))
    assert "the last in the message wins" in remarks
    assert "Class bulk, by rule 6; it wins over rules 1 to 5 too." in remarks
    assert "Class odd has no line here: no rule is for it." in remarks


def test_a_class_that_headers_alone_do_not_decide() -> None:
    sections = postfix(
        planned(RouteRule(mail_class=("bulk",), sasl=("shop",), use=BULK), RouteRule(use=LAST))
    )
    assert [one.where for one in sections] == ["main.cf", "classes"]
    assert "Class bulk has no line here: rule 1 asks for more than the class." in said(sections)


def test_a_rule_that_the_last_one_hides_is_not_taken() -> None:
    sections = postfix(planned(RouteRule(use=LAST), RouteRule(mail_class=("bulk",), use=BULK)))
    assert "Class bulk has no line here: no rule is for it." in said(sections)


def test_no_classes_no_lines() -> None:
    assert [one.where for one in postfix(plan_of(routed(classes=()), ON_PORT))] == ["main.cf"]


def test_words_of_a_header_are_no_expressions() -> None:
    sign = HeaderSign(header="X-A.B", value="a/b|c++| (d) ")
    one = routed(RouteRule(mail_class=("odd",), use=BULK), classes=(MailClass(name="odd", signs=(sign,)),))
    row = lines(postfix(plan_of(one, ON_PORT))[-1])[0]
    assert row.startswith(r"/^X-A\.B:[[:space:]]*(a\/b|c\+\+|\(d\))[[:space:]]*$/ FILTER ")
