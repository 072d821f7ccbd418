"""Describes queries as lines of the query log, and its switch as text for the next control process."""

import json
from collections.abc import Sequence

from geodns.errors import BadNameError
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import MAX_PACKET, Noted
from geodns.wire import codes, cookies, edns
from geodns.wire.codes import name_of, rcode_name
from geodns.wire.cookies import CookieStatus
from geodns.wire.message import BadQuery, Query, is_query, name_asked, outcome_of, parse
from geodns.wire.names import name_from_wire, name_to_wire
from geodns.wire.networks import parse_network

Fields = dict[str, str | int | bool]

_CLASSES = {codes.IN: "IN", codes.CH: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_COOKIES = {
    CookieStatus.NONE: "none",
    CookieStatus.CLIENT_ONLY: "asked for",
    CookieStatus.STALE: "not ours",
    CookieStatus.VALID: "valid",
}
_CD = 0x10


def to_text(wanted: QueryLog | None) -> str:
    """Return the switch as text for another control process of the same server.

    Its end is on the machine's monotonic clock, which outlives every process.
    """
    if wanted is None:
        return "null"
    zones = [name_from_wire(name) for name in wanted.zones]
    clients = [str(network) for network in wanted.clients]
    return json.dumps([zones, clients, wanted.sample, wanted.until])


def from_text(text: str) -> QueryLog | None:
    """Read the text of `to_text`; raise ValueError if another version has written it."""
    found = json.loads(text)
    if found is None:
        return None
    try:
        zones, clients, sample, until = found
        return QueryLog(tuple(map(name_to_wire, zones)), tuple(map(parse_network, clients)), sample, until)
    except (TypeError, BadNameError) as error:
        raise ValueError(text) from error


def describe(noted: Noted, secrets: Sequence[bytes]) -> tuple[str, Fields]:
    """Return the line of a query, and the same as fields.

    The line is written as by other name servers: ``+`` recursion desired or ``-`` not, ``E(0)`` EDNS and its
    version, ``T`` TCP, ``D`` DNSSEC OK, ``C`` checking disabled, ``V`` a valid cookie of ours, ``K`` another
    cookie; then the answer.
    """
    address, port, transport = noted.client
    packet = noted.packet
    fields: Fields = {"client": address, "port": port, "transport": transport}
    query = _parsed(packet)
    if query is None:
        name = name_asked(packet)
        if name is not None:
            fields["qname"] = _shown(name)
        # A query longer than what is kept of it cannot be judged.
        why = "a long query" if len(packet) >= MAX_PACKET else "no well-formed query"
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
    if not is_query(packet):
        return None
    try:
        return parse(packet)
    except BadQuery:
        return None


def _flags(query: Query, packet: bytes, noted: Noted, secrets: Sequence[bytes], fields: Fields) -> str:
    """Return the flags of a query; add its EDNS to the fields."""
    flags = "+" if query.rd else "-"
    asked = query.edns
    cookie_status = CookieStatus.NONE
    if asked is not None:
        flags += f"E({asked.version})"
        fields |= {"edns": asked.version, "edns_size": asked.size, "do": asked.do}
        if asked.cookie and not asked.broken:
            cookie_status = CookieStatus.CLIENT_ONLY
            if secrets:
                cookie_status = cookies.judge(asked.cookie, noted.client[0], noted.at, secrets).cookie_status
        fields["cookie"] = _COOKIES[cookie_status]
        if asked.subnet and not asked.broken:
            fields["ecs"] = str(edns.network(asked.subnet) or "nobody")
    flags += "T" if noted.client[2] == "tcp" else ""
    flags += "D" if asked is not None and asked.do else ""
    flags += "C" if packet[3] & _CD else ""
    return flags + ("V" if cookie_status is CookieStatus.VALID else "K" if cookie_status else "")


def _outcome(noted: Noted, fields: Fields) -> str:
    """Describe the answer; add it to the fields."""
    if noted.limited:
        fields["limited"] = noted.limited
    answer = noted.answer
    if not answer:
        return "dropped (rate limited)" if noted.limited else "no answer"
    outcome = outcome_of(answer)
    rcode, count = rcode_name(outcome.rcode), outcome.answers
    fields |= {"rcode": rcode, "answers": count, "size": noted.size}
    marks = [*(["AA"] if outcome.authoritative else []), *(["TC"] if outcome.truncated else [])]
    fields["answer_flags"] = " ".join(marks)
    answers = "1 answer" if count == 1 else f"{count} answers"
    text = " ".join((rcode, *marks, answers, f"{noted.size} bytes"))
    return f"{text} (rate limited)" if noted.limited else text


def _shown(name: bytes) -> str:
    text = name_from_wire(name)
    return text if text == "." else text.removesuffix(".")
