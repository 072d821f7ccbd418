"""What a line of the query log says of a query, as text and as fields."""

from collections.abc import Sequence

from geodns import cookies, edns, wire
from geodns.cookies import Standing
from geodns.querylog import PACKET, Noted
from geodns.rcodes import rcode_name
from geodns.rrtypes import name_of
from geodns.wire import Query

Fields = dict[str, str | int | bool]

_CLASSES = {wire.IN: "IN", wire.CH: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_COOKIES = {
    Standing.NONE: "none",
    Standing.ASKS: "asked for",
    Standing.STALE: "not ours",
    Standing.TRUSTED: "valid",
}
_CD = 0x10


def describe(noted: Noted, secrets: Sequence[bytes]) -> tuple[str, Fields]:
    """Return a line, and the same as fields.

    In the line, as other name servers write it: ``+`` recursion desired or ``-`` not, ``E(0)`` EDNS and its
    version, ``T`` TCP, ``D`` DNSSEC OK, ``C`` checking disabled, ``V`` a valid cookie of ours, ``K`` another
    cookie; then what went back.

    Args:
        noted: the query and its answer.
        secrets: by which cookies are judged.

    """
    address, port, transport = noted.client
    packet = noted.packet
    fields: Fields = {"client": address, "port": port, "transport": transport}
    query = _parsed(packet)
    if query is None:
        name = wire.name_asked(packet)
        if name is not None:
            fields["qname"] = _shown(name)
        # Of one that is longer than what is kept of it, nobody can say.
        why = "a long query" if len(packet) >= PACKET else "no well-formed query"
        asked = f"{fields.get('qname', 'no name')} ({why})"
    else:
        fields |= {
            "qname": _shown(query.name) if query.question else "",
            "qtype": name_of(query.type) if query.question else "",
            "qclass": _CLASSES.get(query.qclass, f"CLASS{query.qclass}") if query.question else "",
            "flags": _flags(query, packet, noted, secrets, fields),
        }
        what = f"{fields['qname']} {fields['qtype']} {fields['qclass']}" if query.question else "no question"
        asked = f"{what} {fields['flags']}"
        if "ecs" in fields:
            asked += f" [ECS {fields['ecs']}]"
    return f"client {address}#{port} {transport}: {asked} → {_outcome(noted, fields)}", fields


def _parsed(packet: bytes) -> Query | None:
    if not wire.is_query(packet):
        return None
    try:
        return wire.parse(packet)
    except wire.BadQuery:
        return None


def _flags(query: Query, packet: bytes, noted: Noted, secrets: Sequence[bytes], fields: Fields) -> str:
    """Return the flags of a query, and add what they do not say to the fields."""
    flags = "+" if query.rd else "-"
    asked = query.edns
    standing = Standing.NONE
    if asked is not None:
        flags += f"E({asked.version})"
        fields |= {"edns": asked.version, "edns_size": asked.size, "do": asked.do}
        if asked.cookie and not asked.broken:
            standing = Standing.ASKS
            if secrets:
                standing = cookies.judge(asked.cookie, noted.client[0], noted.at, secrets).standing
        fields["cookie"] = _COOKIES[standing]
        if asked.subnet and not asked.broken:
            fields["ecs"] = str(edns.network(asked.subnet) or "nobody")
    flags += "T" if noted.client[2] == "tcp" else ""
    flags += "D" if asked is not None and asked.do else ""
    flags += "C" if packet[3] & _CD else ""
    return flags + ("V" if standing is Standing.TRUSTED else "K" if standing else "")


def _outcome(noted: Noted, fields: Fields) -> str:
    """Say what went back, and add that to the fields."""
    if noted.limited:
        fields["limited"] = noted.limited
    answer = noted.answer
    if not answer:
        return "dropped (rate limited)" if noted.limited else "no answer"
    outcome = wire.outcome_of(answer)
    rcode, count = rcode_name(outcome.rcode), outcome.answers
    fields |= {"rcode": rcode, "answers": count, "size": noted.size}
    marks = [*(["AA"] if outcome.authoritative else []), *(["TC"] if outcome.truncated else [])]
    fields["answer_flags"] = " ".join(marks)
    answers = "1 answer" if count == 1 else f"{count} answers"
    text = " ".join((rcode, *marks, answers, f"{noted.size} bytes"))
    return f"{text} (rate limited)" if noted.limited else text


def _shown(name: bytes) -> str:
    """Return a name without its final dot, as people write it."""
    text = wire.name_from_wire(name)
    return text if text == "." else text.removesuffix(".")
