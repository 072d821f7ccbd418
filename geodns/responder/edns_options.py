"""Which options an answer's OPT record carries: the client's cookie renewed, who we are, its own subnet."""

from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.wire import cookies, edns
from geodns.wire.cookies import CookieStatus
from geodns.wire.edns import Edns


class Reply(NamedTuple):
    """What goes into an answer for what a query's OPT record said.

    Attributes:
        size: bytes that the client takes over UDP.
        opt: our OPT record for an answer without an extended RCODE; empty for clients without EDNS.
        cookie_status: what the query's cookie says of its sender.
        fresh: seconds for which the same OPT record from the same address gets the same reply.

    """

    size: int
    opt: bytes
    cookie_status: CookieStatus = CookieStatus.NONE
    fresh: float = 0.0


PLAIN = Reply(edns.UDP_SIZE_PLAIN, b"")
"""For clients without EDNS."""


def plain_reply(asked: Edns | None) -> Reply:
    """Return what goes into an answer to whoever has no option that we know."""
    return PLAIN if asked is None else Reply(min(asked.size, edns.UDP_SIZE), edns.opt_record(asked))


def reply(asked: Edns, policy: Policy, client: tuple[str, int, str], now: float) -> Reply:
    """Return what goes into an answer.

    Args:
        asked: a query's OPT record, well formed and of version 0.
        policy: who we are, and by which secrets.
        client: address, port, and ``udp`` or ``tcp``.
        now: seconds since the epoch.

    """
    options: list[bytes] = []
    cookie_status, fresh = CookieStatus.NONE, 0.0
    if asked.cookie and policy.cookie_secrets:
        cookie_status, cookie, fresh = cookies.judge(asked.cookie, client[0], now, policy.cookie_secrets)
        options.append(edns.option(edns.COOKIE, cookie))
    if asked.nsid and policy.nsid:
        options.append(edns.option(edns.NSID, policy.nsid))
    if asked.subnet:
        # Nothing that is answered depends on the client yet (RFC 7871 section 7.2.1).
        options.append(edns.subnet_option(asked.subnet, 0))
    if asked.keepalive and client[2] == "tcp":  # over UDP it is ignored (RFC 7828 section 3.3.2)
        options.append(edns.keepalive_option(policy.idle))
    size = min(asked.size, edns.UDP_SIZE)
    return Reply(size, edns.opt_record(asked, b"".join(options)), cookie_status, fresh)
