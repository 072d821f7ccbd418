"""A status in words: states, weights, overrides, pools and times, as all commands show them."""

from datetime import datetime

from geodns.cli.client import Json
from geodns.wire.codes import FAMILY_NAMES

_FORCED = {"drained": "drained", "quarantined": "quarantined", "up": "forced up", "down": "forced down"}


def state_of(host: Json) -> str:
    """Return a host's state and its override: ``up, IPv4 down (drained by ops: disk)``."""
    state = word_of(host) + _apart(host)
    if host["forced"] is None:
        return state
    waits = f"; it waits: {host['held_back']}" if host.get("held_back") else ""
    return f"{state} ({_FORCED[host['forced']]}{_whose(host)}{waits})"


def word_of(host: Json) -> str:
    """Return a host's state, without its families; that of a host without a check is no knowledge."""
    state: str = host["state"]
    return "unchecked" if host.get("unchecked") else state


def _apart(host: Json) -> str:
    """Return the families that are not as the host is; an old server does not say."""
    families = host.get("families", {})
    return "".join(
        f", {word} {families[family]}"
        for family, word in FAMILY_NAMES.items()
        if families.get(family, host["state"]) != host["state"]
    )


def weight_of(host: Json) -> str:
    """Return a host's weight with what lowers it: ``12.5 of 50: shedding 0.25``."""
    factors = " ".join(f"{factor} {value:g}" for factor, value in host["factors"].items())
    weight = f"{host['effective_weight']:g}" + (f" of {host['weight']}: {factors}" if factors else "")
    forced = host.get("forced_weight")
    return weight if forced is None else f"{weight} (forced to {forced['weight']}{_instead_of(forced)})"


def host_of(host: Json) -> str:
    """Return a host's state, and its weight if one is forced: ``up, weight 5 (forced by ops; …)``."""
    forced = host.get("forced_weight")
    weight = "" if forced is None else f", weight {forced['weight']} (forced{_instead_of(forced)})"
    return state_of(host) + weight


def _instead_of(forced: Json) -> str:
    return f"{_whose(forced)}; the file says {forced['file_weight']}"


def _whose(forced: Json) -> str:
    """Say until when something is forced, by whom and why; an old server does not say."""
    until, author, reason = (forced.get(key) for key in ("until", "author", "reason"))
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


def ago(text: str | None, now: float) -> str:
    """Return a time of the JSON as how long ago it was, in its two largest units: ``3d 4h ago``."""
    try:
        seconds = now - datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return text or ""
    return "now" if seconds < 1 else f"{span(seconds, 2)} ago"


def span(seconds: float, most: int = 4) -> str:
    """Return a length of time in at most its `most` largest units: ``3d 4h``."""
    minutes, whole = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        f"{number}{unit}"
        for number, unit in zip((days, hours, minutes, whole), "dhms", strict=True)
        if number
    ]
    return " ".join(parts[:most]) or "0s"


def pools_dealt(pool: Json) -> str:
    """Return the pools that a pool deals from, and its last resort, by family where these differ."""
    families = {
        FAMILY_NAMES[family]: about
        for family, about in pool["families"].items()
        if about.get("using") or about.get("last_resort")
    }
    said = {family: _dealt_from(about) for family, about in families.items()}
    if len(set(said.values())) < 2:
        return _dealt_from(pool)
    return "; ".join(f"{family}: {text}" for family, text in said.items())


def _dealt_from(about: Json) -> str:
    resort = f" (last resort: {about['last_resort']})" if about["last_resort"] else ""
    return (", ".join(about["using"]) or "nobody") + resort
