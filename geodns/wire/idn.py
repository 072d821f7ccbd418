"""Internationalised names (RFC 5890): labels beyond ASCII to punycode and back."""

import idna

from geodns.errors import BadNameError

_DOTS = str.maketrans({"\u3002": ".", "\uff0e": ".", "\uff61": "."})
"""Dots of East Asian input methods (RFC 3490 section 3.1)."""


def to_ascii(text: str) -> str:
    """Return a name with each label beyond ASCII in punycode.

    Upper case, full width and the like are mapped first (UTS 46), so ``Bücher`` and ``bücher`` are one name.

    Raises:
        BadNameError: a label that cannot be a domain name's.

    """
    if text.isascii():
        return text
    return ".".join(
        label if label.isascii() else _encoded(label) for label in text.translate(_DOTS).split(".")
    )


def _encoded(label: str) -> str:
    try:
        mapped = idna.uts46_remap(label, std3_rules=False)
        # The mapping may lead to ASCII, as with letters of full width.
        return (
            mapped if mapped.isascii() else ".".join(idna.alabel(one).decode() for one in mapped.split("."))
        )
    except (idna.IDNAError, UnicodeError) as error:
        raise BadNameError(
            f"{label!r} cannot stand in a domain name: write letters and digits, or the punycode form"
        ) from error


def to_unicode(name: str) -> str:
    """Return a name with each punycode label as people read it; broken ones stay as they are."""
    return ".".join(map(_decoded, name.split(".")))


def _decoded(label: str) -> str:
    try:
        return idna.ulabel(label) if label.startswith("xn--") else label
    except (idna.IDNAError, UnicodeError):
        return label
