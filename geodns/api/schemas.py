"""The shapes of what the HTTP side answers and takes, as JSON Schema, by their names in OpenAPI."""

from typing import Any

from geodns.events import KINDS
from geodns.live import Forced, State
from geodns.orders import Verb
from geodns.scalars import MAX_WEIGHT

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
DURATION: Schema = {"type": "string", "description": "With its unit, as 30m, 2h, 1d."}


def ref(name: str) -> Schema:
    """Return a reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Schema) -> Schema:
    """Return an array's schema."""
    return {"type": "array", "items": items}


def map_of(values: Schema) -> Schema:
    """Return the schema of an object with any names."""
    return {"type": "object", "additionalProperties": values}


def maybe(one: Schema) -> Schema:
    """Return a schema that null fits, too."""
    return {"anyOf": [one, {"type": "null"}]}


def shape(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return an object's schema; what else there is in later versions does not break it."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def body(optional: dict[str, Schema], required: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of what is sent: no key that is not known is taken."""
    return {**shape(required or {}, optional), "additionalProperties": False}


_WISHES: dict[str, Schema] = {
    "reason": {"type": "string", "maxLength": 500, "description": "One line, in the author's words."},
    "for": maybe({"anyOf": [DURATION, {"type": "number", "exclusiveMinimum": 0}]}),
    "weight": maybe({"type": "integer", "minimum": 0, "maximum": MAX_WEIGHT}),
    "badness": maybe({"type": "number", "minimum": 0, "maximum": 100}),
    "dry_run": TRUTH,
    "yes": TRUTH,
}
_SHARES = shape({"A": map_of(SHARE), "AAAA": map_of(SHARE)})
_DEALS = shape({"shares": _SHARES, "using": list_of(TEXT), "last_resort": maybe(TEXT), "live": list_of(TEXT)})
_CHANGES = map_of(map_of(shape({"before": _DEALS, "after": _DEALS})))
_FAMILY = shape({"live": list_of(TEXT), "share": map_of(SHARE)})
_COLUMN = list_of(maybe(NUMBER))
_IMPOSED = {
    "zone": TEXT,
    "host": TEXT,
    "reason": TEXT,
    "author": TEXT,
    "since": MOMENT,
    "until": maybe(MOMENT),
}

SCHEMAS: dict[str, Schema] = {
    "Error": shape({"error": TEXT}),
    "Unconfirmed": shape({"error": TEXT, "confirm": {"const": True}, "pools": _CHANGES}),
    "Check": shape(
        {
            "check": TEXT,
            "address": TEXT,
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "state": {"enum": [str(state) for state in State]},
            "outcome": maybe(TEXT),
            "detail": maybe(TEXT),
            "rtt_ms": maybe(NUMBER),
            "at": maybe(MOMENT),
        },
        {"certificate": maybe({"type": "object"}), "failures": COUNT, "degraded": TRUTH, "probed": TEXT},
    ),
    "Host": shape(
        {
            "state": {"enum": [str(state) for state in State]},
            "forced": maybe({"enum": [str(forced) for forced in Forced]}),
            "forced_weight": maybe({"type": "object"}),
            "weight": COUNT,
            "factors": map_of(SHARE),
            "effective_weight": {"type": "number", "minimum": 0},
            "addresses": list_of(TEXT),
            "since": maybe(MOMENT),
            "checks": list_of(ref("Check")),
        },
        {
            "reason": TEXT,
            "author": TEXT,
            "forced_since": MOMENT,
            "until": maybe(MOMENT),
            "badness": NUMBER,
            "held_back": maybe(TEXT),
            "source": TEXT,
            "load": shape({"value": maybe(NUMBER), "full": NUMBER, "stale": TRUTH, "error": maybe(TEXT)}),
        },
    ),
    "Pool": shape(
        {
            "using": list_of(TEXT),
            "last_resort": maybe({"enum": ["down", "quarantined", "drained", "servfail"]}),
            "live": list_of(TEXT),
            "answers": {"type": "integer", "minimum": 1, "maximum": 32},
            "ttl": COUNT,
            "max_ttl": COUNT,
            "families": shape({"A": _FAMILY, "AAAA": _FAMILY}),
            "prober_suspect": TRUTH,
        }
    ),
    "ZoneState": shape(
        {"serial": maybe(COUNT), "file": TEXT, "error": maybe(TEXT)}, {"waiting": list_of(TEXT)}
    ),
    "Status": shape(
        {
            "node": TEXT,
            "version": TEXT,
            "backend": TEXT,
            "uptime_s": NUMBER,
            "ready": TRUTH,
            "listen": list_of(TEXT),
            "warnings": list_of(TEXT),
            "zones": map_of(ref("ZoneState")),
            "hosts": map_of(map_of(ref("Host"))),
            "pools": map_of(map_of(ref("Pool"))),
        }
    ),
    "Event": shape(
        {
            "id": COUNT,
            "at": MOMENT,
            "kind": {"enum": list(KINDS)},
            "zone": maybe(TEXT),
            "host": maybe(TEXT),
            "pool": maybe(TEXT),
            "author": maybe(TEXT),
            "reason": maybe(TEXT),
            "text": TEXT,
            "data": {"type": "object"},
        }
    ),
    "Events": shape({"events": list_of(ref("Event")), "last": COUNT}),
    "History": shape(
        {
            "step_s": {"enum": [60, 3600]},
            "zone": TEXT,
            "from": MOMENT,
            "hosts": map_of(
                shape(
                    {
                        "at": list_of(COUNT),
                        "answers": list_of(NUMBER),
                        "share": list_of(maybe(SHARE)),
                        "intended": list_of(maybe(SHARE)),
                        "rtt_ms": _COLUMN,
                        "up": list_of(maybe(SHARE)),
                    }
                )
            ),
        }
    ),
    "Recent": shape(
        {"step_s": {"const": 60}, "zones": map_of(map_of(shape({"rtt_ms": _COLUMN, "rate": _COLUMN})))}
    ),
    "Explanation": shape(
        {
            "name": TEXT,
            "type": TEXT,
            "zone": TEXT,
            "serial": COUNT,
            "tiers": list_of(
                shape({"pool": TEXT, "ttl": COUNT, "ttl_why": TEXT, "members": {"type": "object"}})
            ),
            "next": list_of(shape({"rcode": TEXT, "ttl": maybe(COUNT), "data": list_of(TEXT)})),
            "hosts": map_of(TEXT),
        }
    ),
    "Order": body(
        {**_WISHES, "zone": maybe({"type": "string", "minLength": 1, "maxLength": 300})},
        {
            "verb": {"enum": [str(verb) for verb in Verb]},
            "hosts": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {"type": "string", "minLength": 1, "maxLength": 300},
            },
        },
    ),
    "HostOrder": body(_WISHES),
    "Ordered": shape(
        {
            "hosts": map_of(map_of(ref("Host"))),
            "pools": _CHANGES,
            "pending": list_of(TEXT),
            "notes": list_of(TEXT),
            "left": list_of(TEXT),
            "dry_run": TRUTH,
            "confirm": maybe(TEXT),
        }
    ),
    "State": shape(
        {
            "geodns_state": {"const": 1},
            "forced": list_of(shape({**_IMPOSED, "forced": {"enum": [str(forced) for forced in Forced]}})),
            "weights": list_of(shape({**_IMPOSED, "weight": COUNT})),
        },
        {"node": TEXT, "at": MOMENT},
    ),
    "QueryLog": shape(
        {"on": TRUTH, "written": COUNT, "dropped": COUNT},
        {"zones": list_of(TEXT), "clients": list_of(TEXT), "sample": SHARE, "until": maybe(MOMENT)},
    ),
    "QueryLogWish": body(
        {
            "zones": {"type": "array", "items": TEXT, "maxItems": 64},
            "clients": {"type": "array", "items": TEXT, "maxItems": 64},
            "sample": {"anyOf": [TEXT, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]},
            "for": {"anyOf": [DURATION, {"type": "number", "exclusiveMinimum": 0}]},
        },
        {"on": TRUTH},
    ),
    "Zones": shape({"zones": map_of(shape({"digest": TEXT, "hosts": COUNT, "pools": COUNT}))}),
    "Zone": shape({"name": TEXT, "digest": TEXT, "zone": {"type": "object"}}),
    "Reloaded": shape({"waiting": map_of(list_of(TEXT))}),
}
"""By their names in OpenAPI."""
