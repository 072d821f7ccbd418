"""Makes the plugin by which Haraka asks geodns, and the lines that load it."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from geodns.cli.generate.plan import Hop, Plan, Section, lines_of, remark, sign_words
from geodns.model.routes import MailClass

TIMEOUT_MS = 2000
MOST = 100_000
"""Characters of an answer that are read."""
PLUGIN = "geodns_routes"


def haraka(plan: Plan) -> tuple[Section, ...]:
    """Return the plugin for Haraka, and where it is named."""
    return (
        Section(
            "config/plugins, before the plugins that queue",
            lines_of(PLUGIN),
        ),
        Section(
            "config/outbound.ini",
            lines_of(
                *remark(
                    "Each recipient goes its own way; else all of a domain go as the first of them does.", ";"
                ),
                "always_split=true",
            ),
            mark=";",
        ),
        Section(f"plugins/{PLUGIN}.js", _plugin(plan), mark="//"),
    )


def _plugin(plan: Plan) -> str:
    constants = {
        "ASK": _ask(plan),
        "ZONE": plan.zone.name,
        "TIMEOUT": TIMEOUT_MS,
        "MOST": MOST,
        "LOCAL": [_expression(one) for one in plan.zone.local],
        "CLASSES": [_class(one) for one in plan.zone.classes],
        "BY_CLASS": {one.name: [_exchange(one.hop)] for one in plan.classes},
        "STATIC": [] if plan.static is None else [_exchange(plan.static)],
    }
    return lines_of(
        "'use strict'",
        "",
        "const http = require('http')",
        "",
        *remark("Where geodns is asked, in milliseconds at most, and with how much of an answer.", "//"),
        *(f"const {name} = {json.dumps(value)}" for name, value in constants.items() if name in _FIRST),
        *remark(
            "The rest is of the zone file: after a change of `local` or `classes`, and of rules by class "
            "alone or without a condition, make this file anew.",
            "//",
        ),
        *(f"const {name} = {json.dumps(value)}" for name, value in constants.items() if name not in _FIRST),
        *_ways(plan),
        resources.files("geodns.cli.generate").joinpath("haraka_plugin.js").read_text("utf-8"),
    )


_FIRST = ("ASK", "TIMEOUT", "MOST")


def _ways(plan: Plan) -> list[str]:
    found = []
    if plan.static is None:
        found += remark(f"No static way: {plan.no_static}. Haraka asks for the MX of the domain then.", "//")
    for name, why in plan.left_out:
        found += remark(f"Class {name} has no static way of its own: {why}.", "//")
    return found


def _ask(plan: Plan) -> dict[str, Any]:
    address = plan.asked.local
    if isinstance(address, Path):
        return {"socketPath": str(address)}
    return {"host": address.host, "port": address.port}


def _expression(domain: str) -> str:
    return f"^{''.join({'*': '.*', '?': '.'}.get(one, re.escape(one)) for one in domain)}$"


def _class(one: MailClass) -> list[Any]:
    return [one.name, [[sign.header.lower(), sign_words(sign)] for sign in one.signs]]


def _exchange(hop: Hop) -> dict[str, Any]:
    return {"exchange": hop.name, "port": hop.port, "priority": 0}
