"""Patterns of addresses, domains and user names in routes: read, and brought into their normal form."""

import re

from geodns.config.report import Report, quoted
from geodns.config.value_types import ValueType, text_of
from geodns.config.yaml_nodes import YamlNode
from geodns.errors import BadNameError
from geodns.model.routes import NULL_SENDER
from geodns.wire.idn import to_ascii

_ADDRESS_HOW = 'write a domain, an address or a glob of them, as bank.example, "*.bank.example" or "news@*"'
_DOMAIN_HOW = 'write a domain or a glob of them, as example.com or "*.example.com"'
_GLOBS = "globs are * and ? alone"
_LABEL = re.compile(r"[a-z0-9_*?-]{1,63}")
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f()<>\[\]:;@\\,\"]{1,64}")
"""What a local part without quotes may have (RFC 5321 section 4.1.2, RFC 6531 section 3.3), and globs."""
_MAX_USER = 255
_MAX_NAME = 253
_STARS = re.compile(r"\*+")


def _domain(text: str) -> str:
    """Return the normal form of a domain or a glob of domains.

    Raises:
        ValueError: with two arguments: what is wrong, and what to write instead.

    """
    if text.startswith("."):
        raise ValueError(f"{quoted(text)} begins with a dot", f"write {quoted(f'*{text}')}")
    if "[" in text:
        raise ValueError(f"{quoted(text)} is no domain", f"{_DOMAIN_HOW}: {_GLOBS}")
    try:
        name = to_ascii(text.lower().removesuffix("."))
    except BadNameError as error:
        if any(sign in text for sign in "*?"):
            what = f"a label of {quoted(text)} has letters beyond ASCII and a glob"
            raise ValueError(what, "write its punycode form, as xn--b*") from error
        name = ""
    if len(name) > _MAX_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(f"{quoted(text)} is no domain", _DOMAIN_HOW)
    return _STARS.sub("*", name)


def address_pattern(text: str) -> str:
    """Return the normal form of a pattern of addresses, ``LOCAL@DOMAIN``.

    Raises:
        ValueError: with two arguments: what is wrong, and what to write instead.

    """
    if text == NULL_SENDER:
        return NULL_SENDER
    if text.startswith("<") and text.endswith(">"):
        raise ValueError(f"{quoted(text)} in angle brackets", f"write {quoted(text[1:-1])}")
    local, at, domain = text.rpartition("@")
    if not at:
        return f"*@{_domain(text)}"
    if at in local:
        raise ValueError(f"{quoted(text)} has more than one @", "write a list, an address an item")
    if local and _LOCAL.fullmatch(local) is None:
        instead = f"write ? for a character that is odd: {_GLOBS}"
        raise ValueError(f"{quoted(local)} is no local part of an address", instead)
    if not domain:
        raise ValueError(f"{quoted(text)} has no domain", f"write {quoted(f'{text}*')} for any")
    return f"{_STARS.sub('*', local.lower()) or '*'}@{_domain(domain)}"


def domain_pattern(text: str) -> str:
    """Return the normal form of a pattern of domains; raises ValueError as `address_pattern`."""
    if "@" in text:
        raise ValueError(f"{quoted(text)} is an address", "write the domain alone, as example.com")
    return _domain(text)


def user_pattern(text: str) -> str:
    """Return the normal form of a pattern of user names; raises ValueError as `address_pattern`."""
    if not text.isprintable() or not 0 < len(text) <= _MAX_USER:
        raise ValueError(
            f"{quoted(text)} is no user's name", f"write 1 to {_MAX_USER} characters, or a glob of them"
        )
    return _STARS.sub("*", text.lower())


def _read_sender(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "an address or a domain", _ADDRESS_HOW)
    if text is None:
        return None
    try:
        return address_pattern(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


def _read_recipient(node: YamlNode, report: Report) -> str | None:
    found = _read_sender(node, report)
    if found == NULL_SENDER:
        report.error(
            node, f"{NULL_SENDER} is the sender of bounces, no recipient", f"write `sender: {found}`"
        )
        return None
    return found


def _read_domain(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a domain", _DOMAIN_HOW)
    if text is None:
        return None
    try:
        return domain_pattern(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


def _read_user(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a user's name", "write it as it logs in, or a glob as shop-*")
    if text is None:
        return None
    try:
        return user_pattern(text)
    except ValueError as error:
        report.error(node, *error.args)
    return None


_TEXT = {"type": "string", "minLength": 1}
SENDER = ValueType(_read_sender, _TEXT)
RECIPIENT = ValueType(_read_recipient, _TEXT)
DOMAIN = ValueType(_read_domain, _TEXT)
USER = ValueType(_read_user, _TEXT)
