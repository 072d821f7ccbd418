"""Makes the routers by which Exim asks geodns, and goes a static way where nobody answers."""

import re
from pathlib import Path
from urllib.parse import quote

from geodns.cli.generate.plan import Hop, Plan, RoutedClass, Section, lines_of, numbered, remark
from geodns.model.routes import HeaderSign, MailClass

TIMEOUT = "2s"
TRANSPORT = "remote_smtp"

_ENCODED = ("%", "%25"), ("&", "%26")
"""Characters that would break the line apart; everything else may stand in it."""


def exim(plan: Plan) -> tuple[Section, ...]:
    """Return the routers for Exim."""
    routers = [_asking(plan), *_by_class(plan), *_static(plan)]
    return (
        Section(
            "routers: before dnslookup, and before any other that sends mail to outside domains",
            lines_of(*_about(plan), *routers),
        ),
    )


def _about(plan: Plan) -> list[str]:
    away = (
        "Where nobody answers in time, or geodns cannot say, the routers after it decide: nothing waits, "
        "nothing bounces."
    )
    socket = (
        f"Exim's user must be able to write to {plan.asked.local}: see `mode` of the listener."
        if isinstance(plan.asked.local, Path)
        else ""
    )
    return [
        *remark(
            "Each recipient is asked for as it is routed, at each try anew, with all that Exim knows of "
            "the message. "
            f"{away} {TRANSPORT} is your transport for outside mail. Exim 4.94 or newer. {socket}".rstrip()
        ),
        *remark(
            "Mail of others that you only pass on, as by aliases to outside addresses, has a class by its "
            "headers too."
        ),
        *(
            []
            if plan.zone.local
            else remark(
                "The zone has no `local`: add relay domains to `domains` below if your list of local "
                "domains leaves them out."
            )
        ),
        "",
    ]


def _asking(plan: Plan) -> str:
    told = [
        f"get zone={plan.zone.name}",
        f"&recipient={_encoded('$local_part@$domain')}",
        f"&sender={_encoded('$sender_address')}",
        f"${{if def:authenticated_id{{&sasl={_encoded('$authenticated_id')}}}}}",
        "${if def:sender_host_address{&client=$sender_host_address}}",
        "&size=$message_size",
        *([_class_of(plan.zone.classes)] if plan.zone.classes else []),
    ]
    asked = "\\\n      ".join(told)
    return "\n".join(
        (
            "geodns_routes:",
            *_common(plan),
            "  no_verify",
            "  host_find_failed = ignore",
            "  host_all_ignored = pass",
            f"  route_data = ${{if match{{${{readsocket{{{_socket(plan)}}}{{\\",
            f"      {asked}\\n}}{{{TIMEOUT}}}{{ }}{{}}}}}}\\",
            r"    {\N^200 relay:(.+?)\s*$\N}\ "[:-1],
            r"    {${sg{${sg{$1}{, }{:}}}{\N\[([^]]*)\]:(\d+)\N}{\$1::\$2}} bydns}}",
            "",
        )
    )


def _common(plan: Plan) -> list[str]:
    own = "".join(f" : ! {_pattern(one)}" for one in plan.zone.local)
    return [
        "  driver = manualroute",
        f"  domains = ! +local_domains{own}",
        f"  transport = {TRANSPORT}",
        "  self = pass",
    ]


def _pattern(domain: str) -> str:
    """Return an item of a domain list: Exim knows a star at the beginning alone."""
    if not set("*?") & set(domain.removeprefix("*")):
        return domain
    expression = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in domain)
    return rf"\N^{expression}$\N"


def _by_class(plan: Plan) -> list[str]:
    taken: dict[str, None] = {}
    routers = []
    for one in plan.classes:
        name = f"geodns_class_{re.sub(r'[^A-Za-z0-9_]', '_', one.name)}"
        while name in taken:  # Exim does not start with two of a name: a-b and a_b are one here
            name += "_"
        taken[name] = None
        routers.append(_class_router(plan, one, name))
    missing = (remark(f"Class {name} has no router here: {why}.") for name, why in plan.left_out)
    return [*routers, *(lines_of(*one) for one in missing)]


def _class_router(plan: Plan, one: RoutedClass, name: str) -> str:
    before = f" ({numbered(one.before)} before it: geodns alone)" if one.before else ""
    return "\n".join(
        (
            *remark(f"Class {one.name} while geodns is away, by rule {one.rule}{before}."),
            f"{name}:",
            *_common(plan),
            f"  condition = ${{if {_any(one.signs)}}}",
            *_to(one.hop),
        )
    )


def _static(plan: Plan) -> list[str]:
    if plan.static is None:
        return remark(f"No router for all other mail: {plan.no_static}. It goes as your own routers say.")
    return [
        *remark("All other mail while geodns is away, and addresses that are only verified."),
        "\n".join(("geodns_static:", *_common(plan), *_to(plan.static))),
    ]


def _to(hop: Hop) -> list[str]:
    return ["  host_find_failed = defer", f"  route_list = * {hop.name}::{hop.port} bydns", ""]


def _class_of(classes: tuple[MailClass, ...]) -> str:
    """Return an expansion that tells the first class of the zone file whose headers there are."""
    text = ""
    for one in reversed(classes):
        otherwise = f"{{{text}}}" if text else ""
        text = f"${{if {_any(one.signs)}{{&class={quote(one.name)}}}{otherwise}}}"
    return text


def _any(signs: tuple[HeaderSign, ...]) -> str:
    found = [_sign(one) for one in signs]
    return found[0] if len(found) == 1 else f"or{{{''.join(f'{{{one}}}' for one in found)}}}"


def _sign(sign: HeaderSign) -> str:
    if sign.value is None:
        return f"def:h_{sign.header}:"
    words = "|".join(re.escape(word.strip()) for word in sign.value.split("|"))
    return rf"match{{$h_{sign.header}:}}{{\N(?mi)^\s*({words})\s*$\N}}"


def _socket(plan: Plan) -> str:
    address = plan.asked.local
    return str(address) if isinstance(address, Path) else f"inet:{address}"


def _encoded(value: str) -> str:
    for character, code in _ENCODED:
        value = f"${{sg{{{value}}}{{{character}}}{{{code}}}}}"
    return value
