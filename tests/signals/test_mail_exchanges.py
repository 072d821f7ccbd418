"""Looking up a domain's mail servers, and whose they are."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address

import dns.asyncresolver
import dns.resolver
import pytest

from geodns.model.hosts import Endpoint
from geodns.signals import mail_exchanges
from geodns.signals.mail_exchanges import MailExchanges, MxError, MxResolver, provider_of
from tests.signals.mail_resolver import MailResolver, mail_resolver


@pytest.fixture
def server() -> Iterator[MailResolver]:
    with mail_resolver() as found:
        yield found


def asked(server: MailResolver, domain: str) -> MailExchanges:
    resolver = MxResolver(Endpoint(address=ip_address("127.0.0.1"), port=server.port))
    assert resolver.where == "127.0.0.1"
    return asyncio.run(resolver.exchanges(domain))


def test_the_most_preferred_server_comes_first(server: MailResolver) -> None:
    server.domains["a.example"] = ["20 mx2.a.example.", "5 MX1.a.example.", "10 b.example.", "10 a.example."]
    assert asked(server, "a.example") == MailExchanges(
        ("mx1.a.example.", "a.example.", "b.example.", "mx2.a.example."), 7200
    )


@pytest.mark.parametrize(("soa", "ttl"), [("ns. me. 1 2 3 4 900", 900), ("ns. me. 1 2 3 4 86400", 1800)])
def test_a_domain_that_is_not_there_has_none(server: MailResolver, soa: str, ttl: int) -> None:
    server.soa = soa
    server.domains["none.example"] = []
    assert asked(server, "none.example") == MailExchanges((), ttl)
    assert asked(server, "gone.example") == MailExchanges((), ttl)


def test_without_a_soa_that_holds_for_a_short_time(server: MailResolver) -> None:
    server.soa = ""
    assert asked(server, "gone.example").ttl < 3600


def test_a_domain_that_takes_no_mail_has_none(server: MailResolver) -> None:
    server.domains["null.example"] = ["0 ."]
    assert asked(server, "null.example") == MailExchanges((), 7200)


def test_what_cannot_be_said_now(server: MailResolver, monkeypatch: pytest.MonkeyPatch) -> None:
    server.broken.add("a.example")
    with pytest.raises(MxError, match=r"^the resolver answers SERVFAIL$"):
        asked(server, "a.example")
    monkeypatch.setattr(mail_exchanges, "LIFETIME", 0.2)
    server.silent = True
    with pytest.raises(MxError, match=r"^no answer within 0\.2 s$"):
        asked(server, "b.example")


def test_no_resolver_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", none)
    with pytest.raises(MxError, match=r"^/etc/resolv\.conf names no resolver"):
        asyncio.run(MxResolver().exchanges("a.example"))


@pytest.mark.parametrize(
    ("names", "provider"),
    [
        ((), ""),
        (("mx.own.example.",), ""),
        (("aspmx.l.google.com.", "a-example.mail.protection.outlook.com."), "google"),
        (("mx.own.example.", "a-example.mail.protection.outlook.com."), "microsoft"),
        (("aspmx.l.google.com.evil.example.",), ""),
        (("notgoogle.com.",), ""),
    ],
)
def test_the_first_that_is_known_decides(names: tuple[str, ...], provider: str) -> None:
    assert provider_of(names) == provider
