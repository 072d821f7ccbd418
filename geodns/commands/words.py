"""How commands say what is imposed on a host, and until when."""

from datetime import datetime

from geodns.shown import Json

_FORCED = {"drained": "drained", "quarantined": "quarantined", "up": "forced up", "down": "forced down"}


def state_of(host: Json) -> str:
    """Return a host's state and what is imposed on it: ``down (forced up until 14:00 by ops: testing)``."""
    state: str = host["state"]
    if host["forced"] is None:
        return state
    whose = _whose(host.get("until"), host.get("author"), host.get("reason"))
    waits = f"; it waits: {host['held_back']}" if host.get("held_back") else ""
    return f"{state} ({_FORCED[host['forced']]}{whose}{waits})"


def weight_of(host: Json) -> str:
    """Return a host's weight with what lowers it: ``12.5 of 50: shedding 0.25``."""
    factors = " ".join(f"{factor} {value:g}" for factor, value in host["factors"].items())
    weight = f"{host['effective_weight']:g}" + (f" of {host['weight']}: {factors}" if factors else "")
    imposed = imposed_weight(host)
    return weight if imposed is None else f"{weight} ({imposed})"


def imposed_weight(host: Json) -> str | None:
    """Return the weight imposed on a host: ``forced to 5 by ops: slow disk; the file says 50``."""
    forced = host.get("forced_weight")
    if forced is None:
        return None
    whose = _whose(forced["until"], forced["author"], forced["reason"])
    return f"forced to {forced['weight']}{whose}; the file says {forced['file_weight']}"


def host_of(host: Json) -> str:
    """Return a host's state, and its weight if one is imposed: ``up, weight 5 (forced by ops; …)``."""
    forced = host.get("forced_weight")
    if forced is None:
        return state_of(host)
    whose = _whose(forced["until"], forced["author"], forced["reason"])
    weight = f"weight {forced['weight']} (forced{whose}; the file says {forced['file_weight']})"
    return f"{state_of(host)}, {weight}"


def _whose(until: str | None, author: str | None, reason: str | None) -> str:
    parts = [f" until {moment(until)}" if until else "", f" by {author}" if author else ""]
    return "".join(parts) + (f": {reason}" if reason else "")


def moment(text: str, now: datetime | None = None) -> str:
    """Return a time of the JSON as the reader's clock shows it: ``14:00``, with the date if not today's."""
    try:
        at = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    today = (now or datetime.now().astimezone()).date()
    return at.strftime("%H:%M" if at.date() == today else "%Y-%m-%d %H:%M")


def name_of(url: str, body: Json | None = None) -> str:
    """Return how a server is called: by its own name and its URL, where it said its name."""
    node = None if body is None else body.get("node")
    return url if node is None else f"{node} ({url})"
