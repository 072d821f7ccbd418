"""A zone with routes for the tests of `geodns generate`, and plans of it."""

from pathlib import Path

from geodns.cli.generate.plan import Asked, Plan, plan_of
from geodns.config.server_keys import Listen
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from geodns.model.zone import Zone
from tests.sample_zones import zone

BULK, FAST, GMAIL, LAST = (f"{name}out.example.com." for name in ("bulk.", "fast.", "gmail.", ""))
HOSTS = """
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}
pools:
  main: {hosts: [mta1, mta2, mta3], check: none}
  bulk: {hosts: [mta3], check: none}
  fast: {hosts: [mta1, mta2], check: none}
records:
  "@": {A: {pool: main}, MX: {pool: main, preference: 10}}
  bulk: {A: {pool: bulk}, MX: {pool: bulk, preference: 10}}
  fast: {A: {pool: fast}, MX: {pool: fast, preference: 10}}
  gmail: {A: {pool: main}, MX: {pool: main, preference: 10}}
"""
RULES = (
    RouteRule(recipient=("vip@example.net", "*.bank.example"), use=FAST),
    RouteRule(provider=("google",), sender=("*@news.example.com",), use=GMAIL, deal="host"),
    RouteRule(sender=("news@*",), use=BULK, port=587),
    RouteRule(mail_class=("transactional",), use=FAST),
    RouteRule(mail_class=("bulk",), sasl=("shop",), use=GMAIL),
    RouteRule(mail_class=("bulk", "list"), use=BULK, port=587),
    RouteRule(use=LAST),
)
CLASSES = (
    MailClass(
        name="bulk",
        signs=(HeaderSign(header="List-Unsubscribe"), HeaderSign(header="Precedence", value="bulk|list")),
    ),
    MailClass(name="transactional", signs=(HeaderSign(header="X-Class", value="tx"),)),
    MailClass(name="odd", signs=(HeaderSign(header="X-Odd"),)),
)
ON_PORT = Asked(Listen("127.0.0.1", 5310))


def routed(
    *rules: RouteRule, local: tuple[str, ...] = ("example.com",), classes: tuple[MailClass, ...] = CLASSES
) -> Zone:
    """Return a zone with some rules; without any, with all of `RULES`."""
    return zone(HOSTS).model_copy(update={"routes": rules or RULES, "local": local, "classes": classes})


def planned(*rules: RouteRule, asked: Asked = ON_PORT, local: tuple[str, ...] = ("example.com",)) -> Plan:
    return plan_of(routed(*rules, local=local), asked)


def below(queue: Path) -> Asked:
    """Return a listener at a UNIX socket of Postfix's."""
    return Asked(queue / "geodns/routes")
