"""Says what a server's refusal means: whom it refuses, and what to write into the check."""

import re

from geodns.health.outcome import MAX_DETAIL, one_line

PROBER_BLOCKED = "(is the prober blocked?)"
"""Stands after a 5xx that speaks of blocking: it means the prober, not the host."""
_COMMAND_ROOM = 30
"""Characters of a detail that are left for the command's name."""

_CLIENT_REFUSED = re.compile(
    r"\b[45][0-9]{2}\b.*(too many (concurrent |simultaneous )?(connections|sessions)"
    r"|too many concurrent smtp connections from this|per-source limit|connection rate"
    r"|number of concurrent connections has exceeded"
    r"|your access to this mail system|poor reputation"
    r"|blocked|\bblock ?list|black ?list|not allowed to connect|(?<!relay )access denied)",
    re.IGNORECASE | re.DOTALL,
)
"""Texts that refuse one client. What Exim and Exchange say when they are full themselves does not match: it
lacks "from this IP address", or has "server" before "connections"."""

_ENVELOPE_REFUSED = re.compile(r"(recipient|sender) address rejected|h?elo command rejected", re.IGNORECASE)
"""Texts that refuse what the check gives, in which "access denied" is not about the client."""

_HELO = r"h?elo command rejected|need fully.qualified|fully.qualified (host|domain)|(bad|invalid) (helo|ehlo)"
_LOGIN = r"authentication (is )?required|must (first )?authenticate|auth(enticate)? first|not authenticated"
_NO_RECIPIENT = (
    r"^5.*(recipient address rejected|user unknown|unknown user|no such (user|recipient)|unable to relay)"
)
_RELAY = r"relay(ing)? (access )?(denied|not permitted|prohibited)|not permitted to relay"
_OTHER_RECIPIENT = "(write an `rcpt_to` that the host takes)"
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (r"sender address rejected", "(write another `mail_from`)"),
        (rf"recipient address rejected: need fully|{_RELAY}|{_NO_RECIPIENT}", _OTHER_RECIPIENT),
        (_HELO, "(write `ehlo: NAME`, a full name with an address)"),
        (
            r"your (reverse )?hostname|reverse dns|\bptr (resource )?record",
            "(give this server's address a reverse name)",
        ),
        (_LOGIN, "(it asks for a login: take `rcpt_to` out)"),
    )
)
"""Texts and what to do about each; the first that fits counts."""
_STARTTLS_FIRST = re.compile(r"starttls|encryption (is )?(required|needed)|tls (is )?required", re.IGNORECASE)
_USE_STARTTLS = "(write `starttls: offered`)"


def refuses_client(text: str) -> bool:
    """Tell whether a 4xx or 5xx text speaks of the client, not of the host's own state."""
    return _CLIENT_REFUSED.search(text) is not None and _ENVELOPE_REFUSED.search(text) is None


def describe_refusal(code: int, text: str, *, encrypts: bool = False) -> str:
    """Return the text of a reply that is not the wanted one, and what to do where it gives that away.

    Args:
        code: its code.
        text: the whole reply in one line.
        encrypts: whether the check asks for TLS by now.

    """
    if code < 400:
        return f"unexpected {text}"
    hint = _hint(code, text, encrypts=encrypts)
    return text if hint is None else f"{one_line(text, MAX_DETAIL - _COMMAND_ROOM - len(hint))} {hint}"


def _hint(code: int, text: str, *, encrypts: bool) -> str | None:
    if code >= 500 and not encrypts and _STARTTLS_FIRST.search(text) is not None:
        return _USE_STARTTLS
    for pattern, advice in _ADVICE:
        if pattern.search(text) is not None:
            return advice
    return PROBER_BLOCKED if code >= 500 and refuses_client(text) else None
