"""The section `checks` of a zone file: its keys, which check types use them, and their reading.

What is wrong is reported and left out, as in the other sections.
"""

from collections.abc import Mapping
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.keys import keys_of, read_keys
from geodns.config.report import Report
from geodns.config.value_types import (
    ADDRESSES,
    EHLO,
    address_text,
    check_unicast,
    choice,
    duration,
    entries_of,
    items_of,
    part,
    whole,
)
from geodns.config.yaml_nodes import YamlNode
from geodns.model.base import Address
from geodns.model.checks import BUILT_IN_CHECKS, PORTS, Check, CheckType
from geodns.zonefile.check_policy import NO_CHECK
from geodns.zonefile.check_values import KEYWORDS, MAILBOX, PATH, PATTERN, PATTERNS, SENT, STATUS
from geodns.zonefile.sections import HOST_NAME, Placed, check_short_name

CHECK = keys_of(
    Check,
    {
        "type": choice,
        "port": whole,
        "source": ADDRESSES,
        "proxy_protocol": choice,
        "interval": duration,
        "fast_interval": duration,
        "connect_timeout": duration,
        "greeting_timeout": duration,
        "step_timeout": duration,
        "timeout": duration,
        "rise": whole,
        "fall": whole,
        "ehlo": EHLO,
        "expect": PATTERN,
        "require": KEYWORDS,
        "starttls": choice,
        "verify": choice,
        "sni": HOST_NAME,
        "cert_warning": duration,
        "cert_critical": duration,
        "mail_from": MAILBOX,
        "rcpt_to": MAILBOX,
        "rcpt_4xx": choice,
        "path": PATH,
        "host": HOST_NAME,
        "status": STATUS,
        "header": PATTERNS,
        "send": SENT,
        "slow": duration,
        "degraded_weight": part,
        "slowstart": duration,
    },
    defaults={
        "type": "the check's name where that is a type, else smtp",
        "port": "by type: " + ", ".join(f"{name} {port}" for name, port in PORTS.items()),
        "source": "the system's choice",
        "proxy_protocol": "none",
        "ehlo": "the server's own",
        "starttls": "ignore, of submission offered",
        "sni": "`host`, or else the mail host's own",
        "mail_from": "the null sender",
        "host": "`sni`, or else the address",
        "send": "nothing",
        "slow": "none",
    },
)

_MAIL = ("smtp", "submission", "smtps", "lmtp")
_WEB = ("http", "https")
_STARTTLS = ("smtp", "submission", "lmtp")
_IMPLICIT = ("smtps", "https")
_TLS = (*_MAIL, "https")

CHECK_USERS: dict[str, tuple[str, ...]] = {
    "proxy_protocol": (*_MAIL, "tcp", "agent"),
    "greeting_timeout": _MAIL,
    "step_timeout": (*_MAIL, *_WEB, "agent"),
    "ehlo": _MAIL,
    "expect": (*_MAIL, *_WEB),
    "require": _MAIL,
    "starttls": _STARTTLS,
    "slow": _MAIL,
    "degraded_weight": _MAIL,
    "verify": _IMPLICIT,
    "sni": _TLS,
    "cert_warning": _TLS,
    "cert_critical": _TLS,
    "mail_from": _MAIL,
    "rcpt_to": _MAIL,
    "rcpt_4xx": _MAIL,
    "path": _WEB,
    "host": _WEB,
    "status": _WEB,
    "header": _WEB,
    "send": ("agent",),
}
"""The types that use a key; keys that are not here are of all types."""

_DEFAULT = Check(name="smtp")
_BASES = {check.name: check for check in (*BUILT_IN_CHECKS, Check(name="agent", type="agent"))}
"""Defaults of a check, by its name or its type."""
_OF_A_CERTIFICATE = ("sni", "cert_warning", "cert_critical")
_OF_A_RECIPIENT = ("mail_from", "rcpt_4xx")
_DAY = 86400


def read_checks(node: YamlNode | None, report: Report) -> dict[str, Placed[Check]]:
    """Read the declared checks; one under a type's name is of that type unless it has another `type`."""
    checks: dict[str, Placed[Check]] = {}
    if node is None:
        return checks
    for name, (key, body) in entries_of(node, report, "a mapping of checks", "write `name: {…}`").items():
        check_short_name(key, report, "check")
        if name == NO_CHECK:
            report.error(key, "a check cannot be called `none`", "that word says that a pool has no check")
        given = read_keys(body, report, CHECK, "a check")
        base = _BASES.get(name, _DEFAULT)
        if "source" in given:
            given["source"] = _sources(given["source"], report)
        values = {**base.model_dump(), "name": name, **defaults_of(given.get("type", base.type)), **given}
        if "fast_interval" not in given:
            values["fast_interval"] = min(base.fast_interval, values["interval"])
        check = Check(**values)
        if isinstance(body, yaml_nodes.Mapping):
            _check_times(body, check, given, report)
            _check_users(body, check, report)
            if check.type == "agent" and "port" not in body.items:
                report.error(
                    key, "a check of type agent without a port", "give `port`: agents have none of their own"
                )
        checks[name] = Placed(key, check)
    return checks


def defaults_of(kind: CheckType) -> dict[str, Any]:
    """Return the defaults that differ by type."""
    base = _BASES.get(kind, _DEFAULT)
    return {"type": kind, "port": base.port, "starttls": base.starttls}


def _sources(node: YamlNode, report: Report) -> tuple[Address, ...]:
    found: list[Address] = []
    for item in items_of(node):
        text = address_text(item, report)
        address = None if text is None else check_unicast(text, item, report)
        if address is None:
            continue
        if address.version == 6 and address.is_link_local:
            what = f"{address} is the address of one link, which is not named"
            report.error(item, what, "write a global one, or fd00:… within your network")
        elif any(one.version == address.version for one in found):
            what = f"a second IPv{address.version} address to connect from"
            report.error(item, what, "write at most one of each family")
        else:
            found.append(address)
    if not items_of(node):
        report.error(node, "no address to connect from", "write one, as 192.0.2.1")
    return tuple(found)


def _check_users(body: yaml_nodes.Mapping, check: Check, report: Report) -> None:
    """Report keys that have no effect with this type or these other keys."""
    useless = [word for word in body.items if check.type not in CHECK_USERS.get(word, (check.type,))]
    for word in useless:
        *others, last = CHECK_USERS[word]
        users = f"{', '.join(others)} and {last}" if others else last
        what = f"`{word}` in a check of type {check.type}"
        report.error(body.place(word), what, f"it is of {users}: take it out")
    for word in _OF_A_CERTIFICATE:
        if word in body.items and word not in useless and not check.encrypts:
            report.error(
                body.place(word), f"`{word}` without TLS", "write `starttls: offered` or `verified` as well"
            )
    if check.cert_critical and check.encrypts:
        if not check.verifies:
            verified = "verify: required" if check.implicit_tls else "starttls: verified"
            what = "`cert_critical` of a certificate that nobody verifies"
            report.error(body.place("cert_critical"), what, f"write `{verified}` as well, or take it out")
        elif check.cert_critical > check.cert_warning:
            least = check.cert_warning / _DAY
            what = f"cert_critical {check.cert_critical / _DAY:g}d is over cert_warning {least:g}d"
            report.error(body.place("cert_critical"), what, "nobody would be warned: write less")
    for word in _OF_A_RECIPIENT:
        if word in body.items and check.rcpt_to is None and word not in useless:
            report.error(body.place(word), f"`{word}` without `rcpt_to`", "give the recipient as well")


def _check_times(body: yaml_nodes.Mapping, check: Check, given: Mapping[str, Any], report: Report) -> None:
    if check.fast_interval > check.interval:
        report.error(
            body.place("fast_interval"),
            f"fast_interval {check.fast_interval:g}s is over interval {check.interval:g}s",
            f"write at most {check.interval:g}s",
        )
    for step in ("step_timeout", "timeout"):
        limit = getattr(check, step)
        if check.slow is not None and check.slow >= limit:
            what = f"slow {check.slow:g}s is not under {step} {limit:g}s, where it fails"
            report.error(body.place("slow"), what, "write less")
            break
    if "degraded_weight" in given and check.slow is None:
        what = "`degraded_weight` without `slow` has no effect"
        report.warn(body.place("degraded_weight"), what, "give `slow`, as 500ms")
    for step in ("connect_timeout", "greeting_timeout", "step_timeout"):
        if step in given and given[step] > check.timeout:
            report.error(
                body.place(step),
                f"{step} {given[step]:g}s is over timeout {check.timeout:g}s, the whole probe's",
                f"give `timeout` as well, at least {given[step]:g}s",
            )
