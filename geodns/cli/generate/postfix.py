"""Makes the lines of main.cf and master.cf by which Postfix asks geodns, and its table of headers."""

import re
from pathlib import Path

from geodns.cli.generate.plan import Hop, Plan, Section, lines_of, numbered, remark
from geodns.model.routes import HeaderSign, RouteRule

QUEUE = Path("/var/spool/postfix")
"""Postfix's `queue_directory`: what its chrooted processes take for the root."""
TABLE = "geodns_classes"
CLEANUP = "geodns-cleanup"

_CARRIED = {"recipient": {"recipient", "provider"}, "sender": {"sender"}}
"""Attributes of a message that each map of the socketmap protocol knows."""


def postfix(plan: Plan, *, by_map: bool = False, queue: Path = QUEUE) -> tuple[Section, ...]:
    """Return the lines for Postfix.

    Args:
        plan: of the zone.
        by_map: ask by socketmap rather than as a policy service.
        queue: Postfix's `queue_directory`.

    """
    main = _by_map(plan, queue) if by_map else _by_policy(plan, queue)
    return (Section("main.cf", lines_of(*_socket(plan, queue), *main)), *_by_headers(plan))


def _by_policy(plan: Plan, queue: Path) -> list[str]:
    no_class = [number for number, rule in _numbered(plan) if rule.mail_class]
    hosts = [number for number, rule in _numbered(plan) if rule.deal == "host"]
    return [
        *remark(
            "At each RCPT geodns is told the sender, the recipient, the client, who logged in and the "
            "size, and says FILTER or DUNNO. DUNNO, also where nobody answers (default_action), means: the "
            "way that this file says. request_limit=1 has a connection for each request: an SMTP session "
            "never opens one again that it kept and finds closed. Postfix 3.1 or newer."
        ),
        f"geodns_routes = check_policy_service {{ {_inet(plan, queue)},",
        "    timeout=2s, try_limit=1, request_limit=1, default_action=DUNNO,",
        f"    policy_context={plan.zone.name} }}",
        "",
        *remark(
            "If you have such a list, put $geodns_routes before all that is in it: what permits ends the "
            "list, and geodns is not asked. A FILTER permits nothing: who may relay is said by "
            "smtpd_relay_restrictions, as before. A service in master.cf with a list of its own needs it "
            "there: -o smtpd_recipient_restrictions=$geodns_routes,..."
        ),
        "smtpd_recipient_restrictions = $geodns_routes",
        "",
        *_static(
            plan, "the way while geodns is away, and of mail that smtpd does not take: sendmail(1), bounces"
        ),
        *remark(
            "Know of FILTER: it goes for all recipients of a message, local ones of the same message too; "
            "the last one wins, so a message to several goes as the last recipient says; it goes before "
            "transport_maps and content_filter. Where each recipient is to go its own way, use `geodns "
            "generate postfix --map`: relay_destination_recipient_limit only splits what goes one way."
        ),
        *_local(plan),
        *(
            remark(f"{_are(no_class)} not for a policy service: it is asked before there are headers.")
            if no_class
            else []
        ),
        *(
            remark(
                f"{_are(hosts)} answered by name here: a FILTER is stored with the message, and a host "
                "would be so for days. --map deals hosts."
            )
            if hosts
            else []
        ),
    ]


def _by_map(plan: Plan, queue: Path) -> list[str]:
    address = _inet(plan, queue)
    missed = _missed(plan)
    return [
        *remark(
            "Mail waits while geodns is away: Postfix stops at the first map that fails, and a second one "
            "after it is no help. smtpd asks the maps too: whoever hands mail in meanwhile is told 451, "
            "to try later; what is in the queue stays there. Each recipient is looked up 2 to 20 times."
        ),
        *remark(
            "If you have transport_maps, put yours before this one. Recipients in `local` of the zone get "
            "no answer and stay with Postfix."
        ),
        f"transport_maps = socketmap:{address}:recipient",
        f"sender_dependent_default_transport_maps = socketmap:{address}:sender",
        "",
        *_static(plan, "the way of mail that neither map has an answer for"),
        *_local(plan),
        *(
            remark(
                f"{_are(missed)} not answered so: a map knows one address, recipient or sender, and stops "
                "at a rule that asks for something else. A policy service (without --map) is told more."
            )
            if missed
            else []
        ),
        *(
            remark("`deal: host` gives two next hops, host and name: Postfix 3.5 or newer.")
            if any(rule.deal == "host" for rule in plan.zone.routes)
            else []
        ),
    ]


def _static(plan: Plan, what: str) -> list[str]:
    if plan.static is None:
        return [
            *remark(f"No default_transport: {plan.no_static}. Mail without an answer goes as it does today."),
            "",
        ]
    return [*remark(f"{what[0].upper()}{what[1:]}."), f"default_transport = {_to(plan.static)}", ""]


def _local(plan: Plan) -> list[str]:
    if plan.zone.local:
        return remark(
            "`local` of the zone must name all domains of mydestination, virtual_alias_domains, "
            "virtual_mailbox_domains and relay_domains: mail to others is taken away from here. Now: "
            f"{', '.join(plan.zone.local)}."
        )
    return remark(
        "WARNING: the zone has no `local`. Mail to your own domains would be sent to the pools: write "
        "`local: [your.domain]` with all domains of mydestination, virtual_alias_domains, "
        "virtual_mailbox_domains and relay_domains first."
    )


def _missed(plan: Plan) -> list[int]:
    """Return the rules with a condition that neither map ever answers by."""
    met: set[int] = set()
    for carried in _CARRIED.values():
        for number, rule in _numbered(plan):
            asked = rule.conditions.keys()
            if asked <= carried:
                met.add(number)
            elif not asked & carried:
                break
    return [number for number, rule in _numbered(plan) if rule.conditional and number not in met]


def _by_headers(plan: Plan) -> tuple[Section, ...]:
    left_out = [
        line for name, why in plan.left_out for line in remark(f"Class {name} has no line here: {why}.")
    ]
    if not plan.classes:
        return (Section("classes", lines_of(*left_out)),) if left_out else ()
    rows = []
    for one in plan.classes:
        rows += remark(f"Class {one.name}, by rule {one.rule}{_over(one.before)}.")
        rows += [f"{_pattern(sign)} FILTER {_to(one.hop)}" for sign in one.signs]
    return (
        Section(
            "master.cf, in the services that take mail of your own users and applications, and no other "
            "(submission, submissions)",
            lines_of(
                *remark(
                    "Not in the smtp service of port 25 where it receives for you: newsletters from "
                    "outside would leave by your pools. Where content_filter is set, put it in the service "
                    "that takes mail back from the filter: FILTER goes before content_filter."
                ),
                f"  -o cleanup_service_name={CLEANUP}",
            ),
        ),
        Section(
            "master.cf, a service of its own",
            lines_of(
                *remark(
                    "If you have header_checks, nested_header_checks or mime_header_checks for mail of "
                    "your users, name their tables here as well. Without the empty lines, a newsletter "
                    "that is forwarded as an attachment would count as one."
                ),
                f"{CLEANUP} unix n - - - 0 cleanup",
                f"  -o header_checks=regexp:$config_directory/{TABLE}",
                "  -o nested_header_checks=",
                "  -o mime_header_checks=",
            ),
        ),
        Section(
            f"{TABLE}, beside main.cf",
            lines_of(
                *remark(
                    "Of several headers that fit, the last in the message wins, and a header wins over "
                    "what the policy service or a map says. After a change of the zone file's classes or "
                    "class rules, make this table anew; `postfix reload` takes it up."
                ),
                *rows,
                *left_out,
            ),
        ),
    )


def _over(before: tuple[int, ...]) -> str:
    return f"; it wins over {numbered(before)} too" if before else ""


def _pattern(sign: HeaderSign) -> str:
    name = _literal(sign.header)
    if sign.value is None:
        return f"/^{name}:/"
    words = "|".join(_literal(word.strip()) for word in sign.value.split("|"))
    return f"/^{name}:[[:space:]]*({words})[[:space:]]*$/"


def _literal(text: str) -> str:
    r"""Return a POSIX expression for some text; ``$`` too is Postfix's own unless it is in brackets."""
    return re.sub(r"[][(){}.*+?^$|\\/]", lambda found: f"\\{found[0]}", text)


def _to(hop: Hop) -> str:
    return f"relay:{hop}"


def _socket(plan: Plan, queue: Path) -> list[str]:
    path = plan.asked.local
    if not isinstance(path, Path):
        return []
    if not path.is_relative_to(queue):
        return [
            *remark(
                f"WARNING: {path} is not below {queue}, and Postfix's processes may be chrooted there, as "
                f"Debian's are: write `listen: unix:{queue}/geodns/routes` in geodns.yaml, and make its "
                "folder."
            ),
            "",
        ]
    return [
        *remark(f"{path.relative_to(queue)} is below {queue}, where all of Postfix's processes stand."),
        "",
    ]


def _inet(plan: Plan, queue: Path) -> str:
    address = plan.asked.local
    if not isinstance(address, Path):
        return f"inet:{address}"
    return f"unix:{address.relative_to(queue) if address.is_relative_to(queue) else address}"


def _numbered(plan: Plan) -> list[tuple[int, RouteRule]]:
    return list(enumerate(plan.zone.routes, 1))


def _are(numbers: list[int]) -> str:
    text = numbered(numbers)
    return f"{text[0].upper()}{text[1:]} {'is' if len(numbers) == 1 else 'are'}"
