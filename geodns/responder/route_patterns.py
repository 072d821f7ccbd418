"""Fits globs of addresses, domains and user names, in time that no pattern and no text can blow up."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

NULL_SENDER = "<>"


def fits(pattern: str, text: str) -> bool:
    """Say whether a glob of ``*`` and ``?`` fits a whole text."""
    if "*" not in pattern:
        return len(pattern) == len(text) and _stands(pattern, text, 0)
    first, *pieces, last = pattern.split("*")
    at, end = len(first), len(text) - len(last)
    if end < at or not (_stands(first, text, 0) and _stands(last, text, end)):
        return False
    # The leftmost place of each piece leaves the others the most room: there is nothing to go back to.
    for piece in pieces:
        at = _find(piece, text, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _stands(piece: str, text: str, at: int) -> bool:
    """Say whether a piece without ``*`` stands at a place that has room for it."""
    if "?" not in piece:
        return text.startswith(piece, at)
    return all(one in ("?", text[at + place]) for place, one in enumerate(piece))


def _find(piece: str, text: str, at: int, end: int) -> int:
    """Return the first place of a piece without ``*``; -1: there is none."""
    if "?" not in piece:
        return text.find(piece, at, end)
    plain = max(piece.split("?"), key=len)
    before = piece.index(plain) if plain else 0
    last = end - len(piece)
    while at <= last:
        at = text.find(plain, at + before, end) - before
        if at < 0 or at > last:
            return -1
        if _stands(piece, text, at):
            return at
        at += 1
    return -1


def fits_any(patterns: Iterable[str], address: str) -> bool:
    """Say whether one of some patterns fits a normal address."""
    if address == NULL_SENDER:
        return NULL_SENDER in patterns
    its_local, _, its_domain = address.rpartition("@")
    for pattern in patterns:
        local, _, domain = pattern.rpartition("@")
        if (
            (domain in ("*", its_domain) or fits(domain, its_domain))
            and (local in ("*", its_local) or fits(local, its_local))
            and pattern != NULL_SENDER
        ):
            return True
    return False


def is_plain(pattern: str) -> bool:
    """Say whether a pattern fits itself alone."""
    return "*" not in pattern and "?" not in pattern


def domain_below(pattern: str) -> str:
    """Return the domain that all names which a glob fits lie below; empty: there is none.

    The dot after the last wildcard ends the last label that the glob leaves open.
    """
    return pattern[max(pattern.rfind("*"), pattern.rfind("?")) + 1 :].partition(".")[2]


class PatternSet(NamedTuple):
    """Many patterns that are tried as one; user names and domains alone are in `whole` and `globs`.

    Attributes:
        whole: addresses without a wildcard, and the null sender.
        domains: whose every address fits.
        below: domains; every address at a name below fits.
        locals: local parts that fit at any domain.
        globs: all others.

    """

    whole: Collection[str]
    domains: Collection[str]
    below: Collection[str]
    locals: Collection[str]
    globs: tuple[str, ...]

    def fits_address(self, address: str) -> bool:
        """Say whether one of the patterns fits a normal address."""
        if address in self.whole:
            return True
        if address == NULL_SENDER:
            return False
        local, _, domain = address.rpartition("@")
        return (
            domain in self.domains
            or local in self.locals
            or (bool(self.below) and is_below_any(domain, self.below))
            or fits_any(self.globs, address)
        )

    def fits(self, text: str) -> bool:
        """Say whether one of the patterns fits a user name or a domain alone."""
        return (
            text in self.whole
            or (bool(self.below) and is_below_any(text, self.below))
            or any(fits(one, text) for one in self.globs)
        )


def is_below_any(domain: str, parents: Collection[str]) -> bool:
    """Say whether a domain lies below one of others."""
    at = domain.find(".")
    while at >= 0:
        if domain[at + 1 :] in parents:
            return True
        at = domain.find(".", at + 1)
    return False


def set_of_addresses(patterns: Iterable[str]) -> PatternSet:
    """Sort patterns of addresses."""
    whole, domains, below, local_parts, globs = set(), set(), set(), set(), []
    for pattern in patterns:
        local, _, domain = pattern.rpartition("@")
        if is_plain(pattern):
            whole.add(pattern)
        elif local == "*" and is_plain(domain):
            domains.add(domain)
        elif local == "*" and domain.startswith("*.") and is_plain(domain[2:]):
            below.add(domain[2:])
        elif domain == "*" and is_plain(local):
            local_parts.add(local)
        else:
            globs.append(pattern)
    return PatternSet(
        frozenset(whole), frozenset(domains), frozenset(below), frozenset(local_parts), tuple(globs)
    )


def set_of_domains(patterns: Iterable[str]) -> PatternSet:
    """Sort patterns of domains alone."""
    whole, below, globs = set(), set(), []
    for pattern in patterns:
        if is_plain(pattern):
            whole.add(pattern)
        elif pattern.startswith("*.") and is_plain(pattern[2:]):
            below.add(pattern[2:])
        else:
            globs.append(pattern)
    return PatternSet(frozenset(whole), frozenset(), frozenset(below), frozenset(), tuple(globs))


def set_of_users(patterns: Iterable[str]) -> PatternSet:
    """Sort patterns of user names."""
    known = tuple(patterns)
    whole = frozenset(one for one in known if is_plain(one))
    globs = tuple(one for one in known if not is_plain(one))
    return PatternSet(whole, frozenset(), frozenset(), frozenset(), globs)
