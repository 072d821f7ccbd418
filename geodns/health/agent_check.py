"""Speaks HAProxy's agent-check: a host says in one line of text how it is.

The words are those of HAProxy's configuration manual under ``agent-check``: ``up``, ``ready``, ``down``,
``failed``, ``stopped``, ``drain``, ``maint``, a share of the weight as ``75%``, and after ``#`` a comment for
the operator. Blanks or commas separate them; letter case does not matter. Any word that takes the host out
wins: one that is ``up`` and in ``drain`` takes no new work.
"""

import asyncio
import re
import socket

from geodns.health.clock import ProbeClock
from geodns.health.outcome import ProbeOutcome, ProbeResult, one_line

MAX_TEXT = 4096
"""Bytes of the line."""

_OUT = frozenset({"down", "fail", "failed", "stopped", "drain", "maint"})
_IN = frozenset({"up", "ready"})
_SHARE = re.compile(r"([0-9]{1,5})%")
_CONNECTIONS = re.compile(r"maxconn:[0-9]{1,9}")
"""Limits HAProxy's own connections; means nothing here."""


def judge(data: bytes) -> tuple[ProbeResult, str, float | None]:
    """Return the result, the text for the operator, and the share of weight that an agent's line asks for."""
    line = re.split(rb"[\r\n]", data.lstrip(b"\r\n \t"), maxsplit=1)[0]
    text = one_line(" ".join(line.decode("utf-8", "replace").split()))
    before_comment, _, _ = text.partition("#")
    words = [word for word in re.split(r"[\s,]+", before_comment.lower()) if word]
    share: float | None = None
    known = _OUT | _IN
    for word in words:
        if (percent := _SHARE.fullmatch(word)) is not None:
            share = min(1.0, int(percent[1]) / 100)
        elif word not in known and _CONNECTIONS.fullmatch(word) is None:
            return ProbeResult.FAILURE, one_line(f"not an agent's text: {line[:80]!r}"), None
    if not words:
        return ProbeResult.FAILURE, one_line(f"not an agent's text: {line[:80]!r}"), None
    if share == 0 or not _OUT.isdisjoint(words):
        return ProbeResult.FAILURE, text, share
    return ProbeResult.OK, text, share


async def ask(sock: socket.socket, clock: ProbeClock, limit: float) -> ProbeOutcome:
    """Read an agent's text within `limit` seconds, and close the connection; raises OSError."""
    loop = asyncio.get_running_loop()
    clock.allow(limit)
    data = b""
    with sock:
        while b"\n" not in data.lstrip(b"\r\n \t") and len(data) < MAX_TEXT:
            piece = await loop.sock_recv(sock, MAX_TEXT)
            if not piece:
                break
            clock.note("<", piece)
            data += piece
    clock.done("response")
    kind, text, share = judge(data[:MAX_TEXT])
    return ProbeOutcome(kind, text, clock.elapsed(), steps=tuple(clock.steps), weight=share)
