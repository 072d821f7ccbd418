"""Mailbox providers: one vocabulary, by recipient domains and by the names of their mail servers."""

from dataclasses import dataclass

OTHER = "other"
"""Every provider that has no name here, and those too rare to be counted apart."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A mailbox provider.

    Attributes:
        domains: recipient domains of its own; names below them are not meant.
        mx: what the names of its mail servers end in, for domains it hosts for others.
        source: where that is published.

    """

    name: str
    domains: tuple[str, ...]
    mx: tuple[str, ...]
    source: str


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
        ("yahoo.com", "aol.com", "ymail.com", "rocketmail.com"),
        ("yahoodns.net",),
        "https://senders.yahooinc.com/",
    ),
)
