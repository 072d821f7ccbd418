"""From a packet to its answer: `respond`, pure but for a `WorkerState`.

There are three ways to an answer. The packet cache serves a packet that came before, but for its ID and
letter case: one look-up and one join. The question cache serves a question that was answered before, behind
an ordinary header, and fills the packet cache. Everything else takes the full lookup, which reads the whole
message, finds the name by RFC 1034 section 4.3.2 and RFC 4592, deals, and fills the question cache.
Names whose answer depends on the client have caches of their own, which find the client's part first; they
are asked after those of other names, which pay nothing for them.
"""

import logging

from geodns.responder.edns_options import Reply, plain_reply
from geodns.responder.lookup import ClientDeal, LookupResult, find
from geodns.responder.rate_limit import ERROR, NO_QUESTION, OTHER_VERSION, Action, Limiter
from geodns.responder.ready_answers import CountKey, Cursor, KnownPacket
from geodns.responder.table import Table
from geodns.responder.worker_state import OTHER_TYPE, WorkerState
from geodns.wire import codes, edns
from geodns.wire.cookies import CookieStatus
from geodns.wire.message import (
    AFTER_ID,
    HEADER,
    NOTHING,
    ORDINARY_HEADERS,
    TCP_SIZE,
    BadQuery,
    Query,
    fits,
    is_query,
    message,
    parse,
    question_alone,
    refusal,
)
from geodns.wire.names import name_from_wire

log = logging.getLogger(__name__)

FAULT_EVERY = 60.0
"""Seconds between log lines of faults of our own: whoever finds one might ask all day."""

Client = tuple[str, int, str]
"""Address, port, and ``udp`` or ``tcp``."""


def respond(table: Table, packet: bytes, client: Client, now: float, state: WorkerState) -> bytes | None:
    """Return the answer to a packet, or None when there shall be none.

    `now` is in seconds of a clock that only goes forward.
    """
    if table is not state.table:
        state.adopt(table)
    if state.guarded:
        return _answer_guarded(table, packet, client, now, state)
    asked = packet[2:].lower()
    cached = state.packets.get(asked)
    if cached is not None:
        # `_answer_from_packet_cache` written out: calling it would cost a tenth of all this.
        cursor, end, answers = cached
        ready, at = cursor.ready, cursor.at
        head, rest, count_key = answers[ready.index[at]]
        at += 1
        cursor.at = at if at < ready.size else 0
        state.counted[count_key] += 1
        return b"".join((packet[:2], head, packet[HEADER:end], rest))
    viewed = state.views.packets.get(asked)
    if viewed is not None:
        deal = state.views.deal(viewed.views, client[0], b"")
        cached = viewed.known.get(deal.target)
        if cached is not None:
            return _answer_from_packet_cache(packet, cached, state, deal)
    return _answer_from_question_cache(table, packet, client, now, state)


def _answer_from_packet_cache(
    packet: bytes, cached: KnownPacket, state: WorkerState, deal: ClientDeal | None
) -> bytes:
    cursor, end, answers = cached
    head, rest, count_key = answers[cursor.ready.index[_position(cursor, deal)]]
    _count(cursor, deal, count_key, state)
    return b"".join((packet[:2], head, packet[HEADER:end], rest))


def _position(cursor: Cursor, deal: ClientDeal | None) -> int:
    """Return the client's own position in a rotation, where its pool picks by client, else the next one."""
    seed = cursor.ready.seed
    return cursor.at if deal is None or not seed else deal.find_bucket(seed)


def _count(cursor: Cursor, deal: ClientDeal | None, count_key: CountKey, state: WorkerState) -> None:
    """Count an answer of the caches, and move its name on."""
    ready = cursor.ready
    if not ready.seed:
        at = cursor.at + 1
        cursor.at = at if at < ready.size else 0
    state.counted[count_key] += 1
    if deal is not None and deal.counted is not None:
        state.views.count(deal)


def _answer_from_question_cache(
    table: Table,
    packet: bytes,
    client: Client,
    now: float,
    state: WorkerState,
    limiter: Limiter | None = None,
) -> bytes | None:
    variant = ORDINARY_HEADERS.get(packet[AFTER_ID])
    if variant is not None:
        end = packet.find(b"\0", HEADER) + 5
        # Lowering type and class too is harmless: the cache holds no question that it could confuse.
        asked = packet[HEADER:end].lower()
        cursor = state.questions.get(asked)
        viewed = None if cursor is not None else state.views.questions.get(asked)
        if cursor is not None or viewed is not None:
            tail = packet[end:]
            reply = state.tails.get(tail) or state.tail_reply(tail, client, now)
            if reply is not None and (variant > 1) == bool(tail):
                deal, opt = None, reply.opt
                if viewed is not None:
                    deal = state.views.deal(viewed.views, client[0], reply.subnet)
                    cursor, opt = viewed.cursors.get(deal.target), reply.opt_for(deal.scope)
                if cursor is not None:
                    kind, cookie_status = cursor.kind, reply.cookie_status
                    if limiter is not None and not _is_allowed(limiter, client, kind, cookie_status, now):
                        return _limited_answer(packet, end, reply.opt, limiter, cookie_status)
                    limiter = None  # once is enough, also where this answer turns out too long
                    ready = cursor.ready
                    if opt and ready.error:
                        opt = edns.with_rcode(opt, codes.NOERROR, ready.error)
                    heads, body, count_key = ready.answers[ready.index[_position(cursor, deal)]]
                    answer = b"".join((packet[:2], heads[variant], packet[HEADER:end], body, opt))
                    if len(answer) <= reply.size:
                        _count(cursor, deal, count_key, state)
                        if viewed is None or deal is None:
                            state.remember_packet(packet, end, variant, cursor)
                        else:
                            state.remember_viewed(packet, end, variant, cursor, viewed.views, deal.target)
                        return answer
    return _look_up(table, packet, client, now, state, limiter)


def _look_up(
    table: Table,
    packet: bytes,
    client: Client,
    now: float,
    state: WorkerState,
    limiter: Limiter | None = None,
) -> bytes | None:
    if not is_query(packet):
        return None
    try:
        query = parse(packet)
    except BadQuery as bad:
        if limiter is not None and not limiter.allows(client[0], ERROR, now):
            dropped = limiter.limited_action(CookieStatus.NONE) is Action.DROPPED
            return None if dropped else refusal(packet, bad.rcode, truncated=True)
        state.count("", OTHER_TYPE, bad.rcode)
        return refusal(packet, bad.rcode)
    reply = _reply(query, client, now, state)
    found = _answer_without_question(query, reply) or _find_and_deal(table, query, client[0], now, state)
    if limiter is not None and not _is_allowed(limiter, client, found.kind, reply.cookie_status, now):
        end = HEADER + len(query.question)
        return _limited_answer(packet, end, reply.opt, limiter, reply.cookie_status)
    state.count(found.zone, query.type, found.rcode)
    if found.rotation is not None:
        state.count_dealt(found.rotation, found.positions)
    if found.deal is not None and found.deal.counted is not None:
        state.views.count(found.deal)
    size = TCP_SIZE if client[2] == "tcp" else reply.size
    plain = reply.opt_for(found.scope)
    opt = edns.with_rcode(plain, found.rcode, found.error) if plain else b""
    if found.error and opt and not fits(query, found.answer, size, opt):
        opt = edns.with_rcode(plain, found.rcode)  # a note must not take the answer's room
    return message(query, found.rcode, found.answer, size, opt, authoritative=found.authoritative)


def _answer_without_question(query: Query, reply: Reply) -> LookupResult | None:
    """Return the answer to a query whose question does not count; None: it does."""
    asked = query.edns
    if asked is not None and asked.version:
        return LookupResult("", codes.BADVERS, NOTHING, authoritative=False, kind=OTHER_VERSION)
    if asked is not None and asked.broken:
        return LookupResult("", codes.FORMERR, NOTHING, authoritative=False)
    if query.tsig:
        return LookupResult("", codes.NOTAUTH, NOTHING, authoritative=False)
    if not query.question:
        # The client only wants a cookie, or to know whether its own is good (RFC 7873 section 5.4).
        rcode = codes.BADCOOKIE if reply.cookie_status is CookieStatus.STALE else codes.NOERROR
        return LookupResult("", rcode, NOTHING, authoritative=False, kind=NO_QUESTION)
    return None


def _find_and_deal(table: Table, query: Query, source: str, now: float, state: WorkerState) -> LookupResult:
    try:
        found = find(table, query, source)
        rotation = found.rotation
        if rotation is not None and rotation.parts:
            whom = None if found.deal is None else found.deal.client
            found = found.with_dealt(rotation, state.deal(found.name, rotation, whom))
        state.remember(query, found)
    except Exception:
        # A bug must cost one answer, not the worker; the sender's resolver asks another server.
        if now >= state.fault_logged + FAULT_EVERY:
            state.fault_logged = now
            log.exception("no answer for %s type %d", name_from_wire(query.name), query.type)
        return LookupResult("", codes.SERVFAIL, NOTHING, authoritative=False)
    return found


# --- where answers are limited, or queries logged --------------------------------------------------------

_LIMITED = edns.error_option(edns.EDE_OTHER, "rate limited")
_REASONS: dict[bytes, bytes] = {}
"""Our OPT records without options (there are two), and the same with the reason."""


def _answer_guarded(
    table: Table, packet: bytes, client: Client, now: float, state: WorkerState
) -> bytes | None:
    """Do what `respond` does, within the rate limit, and tell the query log."""
    limiter = state.limiter if client[2] == "udp" else None  # an address that speaks TCP is no forged one
    recorder = state.recorder
    if recorder is not None and limiter is not None:
        limiter.action = None
    asked = packet[2:].lower()
    cached, deal = state.packets.get(asked), None
    viewed = None if cached is not None else state.views.packets.get(asked)
    if viewed is not None:
        deal = state.views.deal(viewed.views, client[0], b"")
        cached = viewed.known.get(deal.target)
    answer: bytes | None
    if cached is None:
        answer = _answer_from_question_cache(table, packet, client, now, state, limiter)
    elif limiter is None or limiter.allows(client[0], cached[0].kind, now):
        answer = _answer_from_packet_cache(packet, cached, state, deal)
    else:
        end = cached[1]
        tail = packet[end:]
        reply = state.tails.get(tail) or state.tail_reply(tail, client, now)
        opt = b"" if reply is None else reply.opt
        answer = _limited_answer(packet, end, opt, limiter, CookieStatus.NONE)
    if recorder is not None:
        action = "" if limiter is None or limiter.action is None else limiter.action
        recorder.note(packet, client, answer, action, now, state.epoch)
    return answer


def _is_allowed(
    limiter: Limiter, client: Client, kind: bytes, cookie_status: CookieStatus, now: float
) -> bool:
    return cookie_status is CookieStatus.VALID or limiter.allows(client[0], kind, now)


def _limited_answer(
    packet: bytes, end: int, opt: bytes, limiter: Limiter, cookie_status: CookieStatus
) -> bytes | None:
    """Return what a client over the limit gets: nothing, or too little to be of use to a forger.

    `end` is where the query's question ends, `opt` our OPT record for the answer that it does not get.
    """
    action = limiter.limited_action(cookie_status)
    if action is Action.DROPPED:
        return None
    if action is Action.BADCOOKIE:
        # It carries our cookie, with which the client may come again (RFC 7873 section 5.2.3).
        opt = edns.with_rcode(opt, codes.BADCOOKIE)
        return question_alone(packet, end, codes.BADCOOKIE, opt, truncated=False)
    return question_alone(packet, end, codes.NOERROR, opt and _with_reason(opt), truncated=True)


def _with_reason(opt: bytes) -> bytes:
    if len(opt) > edns.LENGTH:
        return edns.with_rcode(opt, codes.NOERROR, _LIMITED)
    ready = _REASONS.get(opt)
    if ready is None:
        ready = _REASONS[opt] = edns.with_rcode(opt, codes.NOERROR, _LIMITED)
    return ready


def _reply(query: Query, client: Client, now: float, state: WorkerState) -> Reply:
    asked = query.edns
    # To whoever speaks another EDNS we say nothing but that (RFC 6891 section 6.1.3).
    odd = asked is not None and (asked.version or asked.broken)
    return plain_reply(asked) if odd else state.reply(asked, client, now)
