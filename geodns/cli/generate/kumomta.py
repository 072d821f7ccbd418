"""Makes the Lua module by which KumoMTA asks geodns, and the lines of init.lua that use it."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from geodns.cli.generate.plan import (
    Plan,
    Section,
    lines_of,
    numbered,
    remark,
    sign_words,
)
from geodns.errors import GeodnsError
from geodns.model.routes import SMTP, MailClass

TIMEOUT = "2s"
MODULE = "geodns_routes"

_MAGIC = re.compile(r"[^A-Za-z0-9]")


def kumomta(plan: Plan) -> tuple[Section, ...]:
    """Return the module for KumoMTA, and the lines that use it.

    Raises:
        GeodnsError: geodns is asked at a UNIX socket, which KumoMTA's HTTP client does not know.

    """
    if isinstance(plan.asked.address, Path):
        raise GeodnsError(
            f"KumoMTA cannot ask at a UNIX socket, {plan.asked.address}: write `listen: 127.0.0.1:5310` "
            "under `routes_listen`, and choose it with --listen"
        )
    return (
        Section(
            "/opt/kumomta/etc/policy/init.lua",
            lines_of(
                *remark(
                    "An event has one handler: if you have these, call geodns.route(msg) in yours for "
                    "received and for injected mail. With a get_queue_config of your own, let it give "
                    "protocol = geodns.protocol(routing_domain) to kumo.make_queue_config, instead of the "
                    "last line.",
                    "--",
                ),
                f"local geodns = require '{MODULE}'",
                "kumo.on('smtp_server_message_received', geodns.route)",
                "kumo.on('http_message_generated', geodns.route)",
                "kumo.on('get_queue_config', geodns.queue_config)",
            ),
            mark="--",
        ),
        Section(f"/opt/kumomta/etc/policy/{MODULE}.lua", _module(plan), mark="--"),
    )


def _module(plan: Plan) -> str:
    hosts = [number for number, rule in enumerate(plan.zone.routes, 1) if rule.deal == "host"]
    return lines_of(
        *remark(
            "KumoMTA 2025.10 or newer. Each message gets the name of its pool as routing domain, and DNS "
            "deals the hosts.",
            "--",
        ),
        *(
            remark(
                f"`deal: host` ({numbered(hosts)}) is by name here: a queue for each host would split it.",
                "--",
            )
            if hosts
            else []
        ),
        f"local URL = {_text(f'http://{plan.asked.local}/route')}",
        f"local TIMEOUT = {_text(TIMEOUT)}",
        *remark(
            "The rest is of the zone file: after a change of `local`, `classes` or ports, and of rules by "
            "class alone or without a condition, make this file anew.",
            "--",
        ),
        f"local ZONE = {_text(plan.zone.name)}",
        f"local LOCAL = {{ {', '.join(_text(_pattern(one)) for one in plan.zone.local)} }}",
        f"local CLASSES = {{ {', '.join(_class(one) for one in plan.zone.classes)} }}",
        f"local PORTS = {_table(_ports(plan))}",
        *remark("Where mail goes while geodns is away: by class, then all other.", "--"),
        f"local BY_CLASS = {_table({one.name: _text(one.hop.name) for one in plan.classes})}",
        f"local STATIC = {'nil' if plan.static is None else _text(plan.static.name)}",
        *_ways(plan),
        resources.files("geodns.cli.generate").joinpath("kumomta_policy.lua").read_text("utf-8"),
    )


def _ways(plan: Plan) -> list[str]:
    found = []
    if plan.static is None:
        found += remark(f"No static way: {plan.no_static}. KumoMTA asks for the MX of the domain then.", "--")
    for name, why in plan.left_out:
        found += remark(f"Class {name} has no static way of its own: {why}.", "--")
    return found


def _ports(plan: Plan) -> dict[str, str]:
    """Return the port of each name that has another than SMTP's, by the first rule that uses it."""
    found: dict[str, int] = {}
    for rule in plan.zone.routes:
        found.setdefault(rule.use.removesuffix("."), rule.port)
    return {name: str(port) for name, port in found.items() if port != SMTP}


def _pattern(domain: str) -> str:
    inner = "".join(
        {"*": ".*", "?": "."}.get(one) or _MAGIC.sub(lambda found: f"%{found[0]}", one) for one in domain
    )
    return f"^{inner}$"


def _class(one: MailClass) -> str:
    signs = []
    for sign in one.signs:
        words = sign_words(sign)
        known = "" if words is None else f", words = {_table(dict.fromkeys(words, 'true'))}"
        signs.append(f"{{ header = {_text(sign.header)}{known} }}")
    return f"{{ name = {_text(one.name)}, signs = {{ {', '.join(signs)} }} }}"


def _table(items: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'[{_text(key)}] = {value}' for key, value in items.items())} }}"


def _text(value: str) -> str:
    """Return a Lua string; what is not plain in decimal escapes of its bytes."""
    plain = (
        chr(one) if 32 <= one < 127 and chr(one) not in "'\\" else f"\\{one:03d}" for one in value.encode()
    )
    return f"'{''.join(plain)}'"
