"""Reads the domain of a recipient, which may be anything that somebody sends."""

from geodns.errors import BadNameError
from geodns.wire.idn import to_ascii
from geodns.wire.names import USUAL

MOST = 253
"""Characters of a name without its final dot."""
_MOST_READ = 1000
"""Characters of one that is not in A-labels yet."""


def mail_domain(text: str) -> str:
    """Return a domain as DNS is asked for it: A-labels in lower case, no final dot.

    Returns:
        an empty text for what cannot be the domain of mail in public DNS: an address, a single label, a label
        with other than letters, digits, hyphens and underscores.

    """
    if len(text) > _MOST_READ:
        return ""
    try:
        name = to_ascii(text).lower().removesuffix(".")
    except BadNameError:
        return ""
    last = name.rpartition(".")[2]
    is_one = len(name) <= MOST and last != name and not last.isdigit() and USUAL.fullmatch(f"{name}.")
    return name if is_one else ""
