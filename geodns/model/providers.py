"""Mailbox providers: one vocabulary, by recipient domains and by the names of their mail servers."""

import unicodedata
from dataclasses import dataclass

OTHER = "other"
"""Every provider that has no name here, and those too rare to be counted apart."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A mailbox provider, or a filter that takes mail for others.

    Attributes:
        domains: recipient domains of its own; names below them are not meant.
        mx: what the names of its mail servers end in, for domains it hosts for others.
        source: where that is published.

    """

    name: str
    domains: tuple[str, ...]
    mx: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Who runs a domain's mail, as its MX records said; times are seconds since the epoch.

    Attributes:
        provider: a name of `PROVIDERS`; empty: nobody who is known.
        confirmed: when they said so last.
        fresh: until then nobody asks again.

    """

    provider: str
    confirmed: float
    fresh: float


_SEEN = "MX records in public DNS, October 2026"
_SMTP_CODES = "https://smtp.codes/"
_GMX = (
    *("at", "biz", "ch", "co.uk", "com", "de", "es", "eu", "fr"),
    *("info", "it", "li", "net", "org", "se", "tm", "us"),
)

PROVIDERS = (
    Provider(
        "google",
        ("gmail.com", "googlemail.com"),
        ("google.com", "googlemail.com"),
        "https://support.google.com/a/answer/174125",
    ),
    Provider(
        "microsoft",
        ("outlook.com", "hotmail.com", "live.com", "msn.com"),
        ("protection.outlook.com", "olc.protection.outlook.com", "mx.microsoft"),
        "https://learn.microsoft.com/en-us/microsoft-365/enterprise/external-domain-name-system-records",
    ),
    Provider(
        "yahoo",
        ("yahoo.com", "aol.com", "ymail.com", "rocketmail.com", "verizon.net"),
        ("yahoodns.net",),
        "https://senders.yahooinc.com/",
    ),
    Provider(
        "apple", ("icloud.com", "me.com", "mac.com"), ("mail.icloud.com",), "https://support.apple.com/102322"
    ),
    Provider(
        "att",
        (
            *(
                "ameritech.net",
                "att.net",
                "bellsouth.net",
                "currently.com",
                "flash.net",
                "nvbell.net",
                "pacbell.net",
            ),
            *("prodigy.net", "sbcglobal.net", "snet.net", "swbell.net", "wans.net", "worldnet.att.net"),
        ),
        ("mx-att.mail.am0.yahoodns.net", "prodigy.net"),
        "https://bentonow.com/smtp-errors/yahoo",
    ),
    Provider("comcast", ("comcast.net",), ("comcast.net",), "http://postmaster.comcast.net/"),
    # North and west Europe
    Provider(
        "gmx",
        (*(f"gmx.{end}" for end in _GMX), "web.de", "mail.com", "usa.com"),
        ("gmx.net", "web.de", "mail.com"),
        "https://smtp.codes/unitedinternet/",
    ),
    Provider("ionos", (), ("1and1.com", "kundenserver.de", "perfora.net"), _SEEN),
    Provider("t-online", ("t-online.de",), ("t-online.de",), "https://postmaster.t-online.de/index.en.html"),
    Provider("freenet", ("freenet.de",), ("freenet.de",), _SEEN),
    Provider("orange", ("orange.fr", "wanadoo.fr"), ("orange.fr",), "https://postmaster.orange.fr/"),
    Provider("sfr", ("sfr.fr",), ("sfr.fr",), _SEEN),
    Provider("free", ("free.fr",), ("free.fr",), _SEEN),
    Provider("laposte", ("laposte.net",), ("laposte.net",), _SEEN),
    Provider("ovh", (), ("ovh.net",), _SEEN),
    Provider("infomaniak", (), ("infomaniak.ch", "infomaniak.com"), f"{_SMTP_CODES}infomaniak"),
    Provider("proton", ("protonmail.com", "proton.me", "pm.me", "protonmail.ch"), ("protonmail.ch",), _SEEN),
    # South and east Europe
    Provider("libero", ("libero.it", "virgilio.it"), ("libero.it", "virgilio.it"), _SEEN),
    Provider("tiscali", ("tiscali.it",), ("tiscali.it",), _SEEN),
    Provider("wp", ("wp.pl", "o2.pl"), ("wp.pl", "o2.pl"), _SEEN),
    Provider("onet", ("onet.pl", "op.pl"), ("onet.pl",), _SEEN),
    Provider("seznam", ("seznam.cz",), ("seznam.cz",), _SEEN),
    Provider(
        "mailru",
        ("mail.ru", "bk.ru", "inbox.ru", "list.ru"),
        ("mail.ru",),
        f"{_SMTP_CODES}mailru",
    ),
    Provider(
        "yandex",
        ("yandex.ru", "yandex.com", "ya.ru"),
        ("yandex.ru", "yandex.net", "yandex.com"),
        _SEEN,
    ),
    Provider("rambler", ("rambler.ru",), ("rambler.ru",), f"{_SMTP_CODES}rambler"),
    # China
    Provider("qq", ("qq.com", "foxmail.com"), ("qq.com",), _SEEN),
    Provider("netease", ("163.com", "126.com"), ("netease.com",), _SEEN),
    # Mail for others' domains
    Provider("fastmail", ("fastmail.com",), ("messagingengine.com",), _SEEN),
    Provider(
        "zoho",
        ("zoho.com", "zohomail.com"),
        ("zoho.com", "zoho.eu", "zoho.in", "zohomail.com"),
        _SEEN,
    ),
    Provider("godaddy", (), ("secureserver.net",), _SEEN),
    Provider("rackspace", (), ("emailsrvr.com",), f"{_SMTP_CODES}rackspace"),
    Provider("titan", (), ("titan.email",), f"{_SMTP_CODES}titan"),
    Provider("hostinger", (), ("hostinger.com",), _SEEN),
    Provider("hey", ("hey.com",), ("hey.com",), _SEEN),
    # Filters in front of others' servers
    Provider("proofpoint", (), ("pphosted.com", "ppe-hosted.com"), _SEEN),
    Provider("mimecast", (), ("mimecast.com", "mimecast.co.za"), f"{_SMTP_CODES}mimecast"),
    Provider("barracuda", (), ("ess.barracudanetworks.com",), _SEEN),
    Provider("cisco", (), ("iphmx.com",), _SEEN),
    Provider("trendmicro", (), ("tmes.trendmicro.com", "tmes.trendmicro.eu"), _SEEN),
    Provider("symantec", (), ("messagelabs.com",), f"{_SMTP_CODES}emailsecuritycloud"),
)

_BY_DOMAIN = {domain: provider.name for provider in PROVIDERS for domain in provider.domains}
_BY_MX = {suffix: provider.name for provider in PROVIDERS for suffix in provider.mx}

NAMES = frozenset(provider.name for provider in PROVIDERS)


def provider_of_domain(domain: str) -> str | None:
    """Return the provider whose own domain this is; None: nobody known, by its name."""
    return _BY_DOMAIN.get(_plain(domain))


def provider_of_mx(name: str) -> str | None:
    """Return whose mail server has this name, by whole labels; the longest suffix that is known decides."""
    name = _plain(name)
    while name:
        if provider := _BY_MX.get(name):
            return provider
        name = name.partition(".")[2]
    return None


def _plain(name: str) -> str:
    """Return a name as the tables have them: small letters, letters of full width made plain, no last dot.

    Letters of other scripts stay, so that one that only looks like a provider's is nobody's.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name).replace("\u3002", ".")
    return name.lower().removesuffix(".")
