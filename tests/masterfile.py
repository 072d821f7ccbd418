"""Zones as zone-file lines, for tests of names that the YAML's checks would rather not see."""

from geodns.model.zone import Record, Soa, Zone


def master(name: str, text: str, **other: object) -> Zone:
    """Return a zone of lines ``owner ttl type data``; names are relative to it unless they end in a dot.

    Args:
        name: the zone's, without the final dot.
        text: the lines; ``@`` is the apex.
        other: what else the zone says.

    """
    origin = f"{name}."
    found: dict[tuple[str, str], Record] = {}
    for line in text.strip().splitlines():
        owner, ttl, rtype, *fields = line.split()
        last = fields if rtype in NAMED else []
        value = (*fields[: len(fields) - 1], absolute(fields[-1], origin)) if last else tuple(fields)
        known = found.get((owner, rtype))
        found[owner, rtype] = Record(
            owner=absolute(owner, origin),
            type=rtype,
            ttl=int(ttl),
            values=((*known.values, value) if known else (value,)),
        )
    soa = Soa(mname="ns.example.net.", rname="hostmaster.example.net.", minimum=30)
    return Zone.model_validate(
        {"name": name, "soa": soa, "ns": (), "records": tuple(found.values()), **other}
    )


NAMED = frozenset({"NS", "CNAME", "DNAME", "MX", "SRV"})
"""Types whose last field is a name."""


def absolute(name: str, origin: str) -> str:
    if name == "@":
        return origin
    return name if name.endswith(".") else f"{name}.{origin}".replace("..", ".")
