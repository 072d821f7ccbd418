"""The shapes of what the HTTP side takes and gives, as JSON Schema (2020-12), by their names in OpenAPI."""

from typing import Any

from geodns.compiler.choice import LastResort
from geodns.config.times import MAX_FOR
from geodns.control.orders import Verb
from geodns.model.limits import MAX_AUTHOR, MAX_REASON, MAX_WEIGHT
from geodns.model.state import Forced, HealthState
from geodns.storage.event_log import KINDS
from geodns.storage.history_file import SHOWN

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
TRUTH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
AMOUNT: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
MOMENT: Schema = {"type": "string", "format": "date-time"}
WEIGHT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_WEIGHT}
BADNESS: Schema = {"type": "number", "minimum": 0, "maximum": 100}
FOR: Schema = {
    "description": "How long, as 30m, 2h, 1d, or in seconds.",
    "oneOf": [
        {"type": "string", "minLength": 2, "examples": ["2h"]},
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_FOR},
    ],
}


def ref(name: str) -> Schema:
    """Refer to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def some(items: Schema, **bounds: int) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, **bounds}


def by_name(values: Schema) -> Schema:
    """Return the schema of an object whose keys are names."""
    return {"type": "object", "additionalProperties": values}


def or_null(one: Schema) -> Schema:
    """Return a schema that null fits, too."""
    return {"anyOf": [one, {"type": "null"}]}


def one_of(words: Any) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": [str(word) for word in words]}


def given(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of what is answered; a later version may add keys."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def taken(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of what is sent: a key that is not known is an error."""
    return {**given(required, optional), "additionalProperties": False}


_LINE = {"type": "string", "maxLength": MAX_REASON, "description": "One line."}
_ORDER_MORE: dict[str, Schema] = {
    "reason": _LINE,
    "for": or_null(FOR),
    "weight": or_null(WEIGHT),
    "badness": or_null(BADNESS),
    "dry_run": TRUTH,
    "yes": TRUTH,
}
_IMPOSED: dict[str, Schema] = {"zone": TEXT, "host": TEXT, "since": MOMENT}
_IMPOSED_MORE: dict[str, Schema] = {
    "reason": _LINE,
    "author": {"type": "string", "maxLength": MAX_AUTHOR},
    "until": or_null(MOMENT),
}
_DEALT = given(
    {
        "shares": given({"A": by_name(SHARE), "AAAA": by_name(SHARE)}),
        "using": some(TEXT),
        "last_resort": or_null(one_of(LastResort)),
        "live": some(TEXT),
    }
)
_CHANGES = by_name(by_name(given({"before": _DEALT, "after": _DEALT})))
_FAMILY = given({"live": some(TEXT), "share": by_name(SHARE)})
_SHARES = some(or_null(SHARE))
_AMOUNTS = some(or_null(AMOUNT))
_WEIGHED: dict[str, Schema] = {"weight": COUNT, "factors": by_name(SHARE), "effective_weight": AMOUNT}

FORMAT = 1

SCHEMAS: dict[str, Schema] = {
    "Error": given({"error": TEXT}),
    "Unconfirmed": given({"error": TEXT, "confirm": {"const": True}, "pools": _CHANGES}),
    "Status": given(
        {
            "node": TEXT,
            "version": TEXT,
            "backend": TEXT,
            "uptime_s": AMOUNT,
            "ready": TRUTH,
            "listen": some(TEXT),
            "warnings": some(TEXT),
            "zones": by_name(ref("ZoneState")),
            "hosts": by_name(by_name(ref("Host"))),
            "pools": by_name(by_name(ref("Pool"))),
        }
    ),
    "ZoneState": given(
        {"serial": or_null(COUNT), "file": TEXT, "error": or_null(TEXT)},
        {
            "waiting": some(TEXT),
            "sources": some(
                given(
                    {
                        "source": TEXT,
                        "hosts": COUNT,
                        "at": or_null(MOMENT),
                        "error": or_null(TEXT),
                        "since": or_null(MOMENT),
                    }
                )
            ),
        },
    ),
    "Host": given(
        {
            "state": one_of(HealthState),
            "forced": or_null(one_of(Forced)),
            "forced_weight": or_null(ref("ForcedWeight")),
            **_WEIGHED,
            "addresses": some(TEXT),
            "since": or_null(MOMENT),
            "checks": some(ref("Check")),
        },
        {
            "reason": TEXT,
            "author": TEXT,
            "forced_since": MOMENT,
            "until": or_null(MOMENT),
            "badness": BADNESS,
            "held_back": or_null(TEXT),
            "source": TEXT,
            "load": given(
                {
                    "value": or_null(AMOUNT),
                    "full": AMOUNT,
                    "at": or_null(MOMENT),
                    "stale": TRUTH,
                    "error": or_null(TEXT),
                }
            ),
        },
    ),
    "ForcedWeight": given(
        {
            "weight": WEIGHT,
            "file_weight": COUNT,
            "reason": TEXT,
            "author": TEXT,
            "since": MOMENT,
            "until": or_null(MOMENT),
            "hides": or_null(TEXT),
        }
    ),
    "Check": given(
        {
            "check": TEXT,
            "address": TEXT,
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "state": one_of(HealthState),
            "failures": COUNT,
            "degraded": TRUTH,
            "outcome": or_null(TEXT),
            "detail": or_null(TEXT),
            "rtt_ms": or_null(AMOUNT),
            "ehlo_ms": or_null(AMOUNT),
            "at": or_null(MOMENT),
        },
        {"certificate": or_null({"type": "object"}), "probed": TEXT},
    ),
    "Pool": given(
        {
            "checks": some(TEXT),
            "need": COUNT,
            "using": some(TEXT),
            "last_resort": or_null(one_of(LastResort)),
            "live": some(TEXT),
            "answers": {"type": "integer", "minimum": 1, "maximum": 32},
            "ttl": COUNT,
            "max_ttl": COUNT,
            "prober_suspect": TRUTH,
            "held_until": or_null(MOMENT),
            "families": given({"A": _FAMILY, "AAAA": _FAMILY}),
        }
    ),
    "Order": taken(
        {
            "verb": one_of(Verb),
            "hosts": some({"type": "string", "minLength": 1, "maxLength": 300}, minItems=1, maxItems=1000),
        },
        {"zone": or_null({"type": "string", "minLength": 1, "maxLength": 300}), **_ORDER_MORE},
    ),
    "HostOrder": taken({}, _ORDER_MORE),
    "Ordered": given(
        {
            "hosts": by_name(by_name(ref("Host"))),
            "pools": _CHANGES,
            "pending": some(TEXT),
            "notes": some(TEXT),
            "left": some(TEXT),
            "dry_run": TRUTH,
            "confirm": or_null(TEXT),
            "dealt_by": by_name(by_name(some(TEXT))),
            "cached_s": by_name(by_name(COUNT)),
        }
    ),
    "OrderedHost": {
        "allOf": [
            ref("Host"),
            given(
                {},
                {
                    "pending": some(TEXT),
                    "notes": some(TEXT),
                    "left": some(TEXT),
                    "dry_run": TRUTH,
                    "confirm": or_null(TEXT),
                    "pools": _CHANGES,
                },
            ),
        ]
    },
    "State": taken(
        {"geodns_state": {"type": "integer", "const": FORMAT}},
        {
            "node": TEXT,
            "at": MOMENT,
            "forced": some(
                taken(_IMPOSED | {"forced": one_of(Forced)}, _IMPOSED_MORE | {"badness": or_null(BADNESS)})
            ),
            "weights": some(taken(_IMPOSED | {"weight": WEIGHT}, _IMPOSED_MORE)),
        },
    ),
    "Event": given(
        {
            "id": COUNT,
            "at": MOMENT,
            "kind": one_of(KINDS),
            "zone": or_null(TEXT),
            "host": or_null(TEXT),
            "pool": or_null(TEXT),
            "author": or_null(TEXT),
            "reason": or_null(TEXT),
            "text": TEXT,
            "data": {"type": "object"},
        }
    ),
    "Events": given({"events": some(ref("Event")), "last": COUNT}),
    "History": given(
        {
            "step_s": {"type": "integer", "enum": list(SHOWN)},
            "zone": TEXT,
            "from": MOMENT,
            "hosts": by_name(
                given(
                    {
                        "at": some(AMOUNT),
                        "answers": some(AMOUNT),
                        "share": _SHARES,
                        "intended": _SHARES,
                        "rtt_ms": _AMOUNTS,
                        "up": _SHARES,
                    }
                )
            ),
        }
    ),
    "Recent": given(
        {"step_s": {"const": 60}, "zones": by_name(by_name(given({"rtt_ms": _AMOUNTS, "rate": _AMOUNTS})))}
    ),
    "Explanation": given(
        {
            "name": TEXT,
            "type": TEXT,
            "zone": TEXT,
            "serial": COUNT,
            "tiers": some(ref("Tier")),
            "next": some(
                given({"rcode": TEXT, "ttl": or_null(COUNT), "data": some(TEXT), "hosts": some(TEXT)})
            ),
            "hosts": by_name(TEXT),
        }
    ),
    "Tier": given(
        {
            "pool": TEXT,
            "preference": COUNT,
            "using": some(TEXT),
            "last_resort": or_null(one_of(LastResort)),
            "chain": some(given({"pool": TEXT, "hosts": COUNT, "live": COUNT, "live_weight": SHARE})),
            "ttl": COUNT,
            "ttl_why": TEXT,
            "cycle": COUNT,
            "sizes": by_name(SHARE),
            "burst": or_null(given({"seconds": COUNT, "uniform": by_name(SHARE)})),
            "hosts": by_name(given({**_WEIGHED, "addresses": some(TEXT)})),
            "members": by_name(
                given(
                    {
                        "pool": TEXT,
                        "state": one_of(HealthState),
                        "forced": or_null(one_of(Forced)),
                        **_WEIGHED,
                        "first": SHARE,
                        "uniform": SHARE,
                        "why": TEXT,
                    }
                )
            ),
        }
    ),
    "QueryLog": given(
        {"on": TRUTH, "written": COUNT, "dropped": COUNT},
        {
            "zones": some(TEXT),
            "clients": some(TEXT),
            "sample": SHARE,
            "until": or_null(MOMENT),
            "pending": some(TEXT),
        },
    ),
    "QueryLogWish": taken(
        {"on": TRUTH},
        {
            "zones": some(TEXT),
            "clients": some(TEXT),
            "sample": {"oneOf": [TEXT, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]},
            "for": FOR,
        },
    ),
    "Load": taken({"value": AMOUNT}),
    "Zones": given({"zones": by_name(given({"digest": TEXT, "hosts": COUNT, "pools": COUNT}))}),
    "Zone": given({"name": TEXT, "digest": TEXT, "zone": {"type": "object"}}),
    "Reload": taken({}, {"yes": TRUTH}),
    "Reloaded": given({"waiting": by_name(some(TEXT))}),
    "Described": given({"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
"""By their names in OpenAPI."""
