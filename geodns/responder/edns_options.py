"""The options of an answer's OPT record: cookie, NSID, client subnet, keepalive."""

from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.wire import cookies, edns
from geodns.wire.cookies import CookieStatus
from geodns.wire.edns import Edns


class Reply(NamedTuple):
    """Size and OPT record of an answer, as the query's OPT asks.

    Attributes:
        size: bytes that the client takes over UDP.
        opt: our OPT record for an answer without an extended RCODE; empty for clients without EDNS.
        fresh: seconds for which the same OPT record from the same address gets the same reply.
        subnet: the data of the client's subnet option; empty: it names no network.
        scope_at: where in `opt` the scope of that option stands, which is 0; 0: nowhere.

    """

    size: int
    opt: bytes
    cookie_status: CookieStatus = CookieStatus.NONE
    fresh: float = 0.0
    subnet: bytes = b""
    scope_at: int = 0

    def opt_for(self, scope: int) -> bytes:
        """Return the OPT record of an answer that holds for so many bits of the client's network."""
        if not scope or not self.scope_at:
            return self.opt
        return b"".join((self.opt[: self.scope_at], bytes((scope,)), self.opt[self.scope_at + 1 :]))


PLAIN = Reply(edns.UDP_SIZE_PLAIN, b"")
"""For clients without EDNS."""


def plain_reply(asked: Edns | None) -> Reply:
    """Return the reply to an OPT record without options."""
    return PLAIN if asked is None else Reply(min(asked.size, edns.UDP_SIZE), edns.opt_record(asked))


def reply(asked: Edns, policy: Policy, client: tuple[str, int, str], now: float) -> Reply:
    """Return the reply to a well-formed OPT record of version 0; `now` is in seconds since the epoch."""
    options: list[bytes] = []
    cookie_status, fresh = CookieStatus.NONE, 0.0
    if asked.cookie and policy.cookie_secrets:
        cookie_status, cookie, fresh = cookies.judge(asked.cookie, client[0], now, policy.cookie_secrets)
        options.append(edns.option(edns.COOKIE, cookie))
    if asked.nsid and policy.nsid:
        options.append(edns.option(edns.NSID, policy.nsid))
    subnet, scope_at = b"", 0
    if asked.subnet:
        subnet = asked.subnet if asked.names_network else b""
        scope_at = edns.LENGTH + sum(map(len, options)) + edns.SCOPE_AT
        options.append(edns.subnet_option(asked.subnet, 0))
    if asked.keepalive and client[2] == "tcp":  # over UDP it is ignored (RFC 7828 section 3.3.2)
        options.append(edns.keepalive_option(policy.idle))
    size = min(asked.size, edns.UDP_SIZE)
    opt = edns.opt_record(asked, b"".join(options))
    return Reply(size, opt, cookie_status, fresh, subnet, scope_at)
