"""A plain linear reading of rules, by regular expressions: what the index is held against."""

import re
from ipaddress import IPv6Address, ip_address

from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.responder.routes import Carried, RouteQuery, Undecided

FULL = ("recipient", "sender", "class", "client", "sasl", "size", "provider")
TOLD = {Carried.ALL: FULL, Carried.RECIPIENT: ("recipient", "provider"), Carried.SENDER: ("sender",)}


def rule(number: int = 1, **given: object) -> CompiledRule:
    """Return a rule that asks for nothing but what is given."""
    empty: tuple[str, ...] = ()
    fields = {"recipient": empty, "sender": empty, "mail_class": empty, "provider": empty, "client": empty}
    rest = {"sasl": empty, "over": None, "name": "fast.out.example.com", "by_host": False, "port": 25}
    return CompiledRule(**{"number": number, "digest": f"{number:012x}", **fields, **rest, **given})  # type: ignore[arg-type]


def plain_fits(pattern: str, text: str) -> bool:
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def plain_fits_address(pattern: str, address: str) -> bool:
    if "<>" in (pattern, address):
        return pattern == address
    local, _, domain = pattern.rpartition("@")
    its_local, _, its_domain = address.rpartition("@")
    return plain_fits(local, its_local) and plain_fits(domain, its_domain)


def asked(rule: CompiledRule) -> dict[str, bool]:
    """Return which conditions a rule has."""
    return {
        "recipient": bool(rule.recipient),
        "sender": bool(rule.sender),
        "class": bool(rule.mail_class),
        "client": bool(rule.client),
        "sasl": bool(rule.sasl),
        "size": rule.over is not None,
        "provider": bool(rule.provider),
    }


def met(rule: CompiledRule, query: RouteQuery) -> dict[str, bool]:
    """Return which of a rule's conditions hold."""
    recipient, sender, client = query.recipient, query.sender, None
    if query.client is not None:
        try:
            client = ip_address(query.client)
        except ValueError:
            client = None
    if isinstance(client, IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    return {
        "recipient": recipient is not None and any(plain_fits_address(p, recipient) for p in rule.recipient),
        "sender": sender is not None and any(plain_fits_address(p, sender) for p in rule.sender),
        "class": query.mail_class in rule.mail_class,
        "client": client is not None
        and any(
            first <= int(client) <= last and ipv6 == (client.version == 6)
            for first, last, ipv6 in rule.client
        ),
        "sasl": query.sasl is not None and any(plain_fits(p, query.sasl.lower()) for p in rule.sasl),
        "size": query.size is not None and rule.over is not None and query.size > rule.over,
        "provider": query.provider in rule.provider,
    }


def plain_decide(routes: ZoneRoutes, query: RouteQuery, carried: Carried) -> CompiledRule | Undecided:
    """Read all rules; where nobody looked the provider up, for each that it might be."""
    recipient = query.recipient
    domain = "" if recipient in (None, "<>") else str(recipient).rpartition("@")[2]
    if recipient is not None and (
        not domain or domain[0] == "[" or any(plain_fits(one, domain) for one in routes.local)
    ):
        return Undecided.LOCAL
    if not domain and query.provider is None:
        query = query._replace(provider="")
    if query.provider is not None or carried is Carried.SENDER:
        return _read(routes, query, carried)
    asked_for = {"", *(provider for one in routes.rules for provider in one.provider)}
    ends = {_read(routes, query._replace(provider=provider), carried) for provider in asked_for}
    return ends.pop() if len(ends) == 1 else Undecided.PROVIDER


def _read(routes: ZoneRoutes, query: RouteQuery, carried: Carried) -> CompiledRule | Undecided:
    for one in routes.rules:
        has, good = asked(one), met(one, query)
        told = [name for name in TOLD[carried] if has[name]]
        if not all(good[name] for name in told):
            continue
        more = any(has[name] for name in FULL if name not in TOLD[carried])
        if carried is not Carried.ALL and (more or not any(has.values())):
            return Undecided.STOPPED
        return one
    return Undecided.NO_RULE
