"""Speaks HAProxy's agent-check: a host says in one line of text how it is.

The words are those of HAProxy's configuration manual under ``agent-check``: ``up``, ``ready``, ``down``,
``failed``, ``stopped``, ``drain``, ``maint``, a share of the weight as ``75%``, and after ``#`` a comment for
the operator. Blanks or commas separate them; letter case does not matter. Any word that takes the host out
wins: one that is ``up`` and in ``drain`` takes no new work.
"""

import asyncio
import re
import socket
from typing import NamedTuple

from geodns.health.clock import ProbeClock
from geodns.health.outcome import ProbeOutcome, ProbeResult, one_line

MAX_TEXT = 4096
"""Bytes of the line."""

_BLANK = b"\r\n \t"
_END = re.compile(rb"[\r\n]")
"""A line may end in either, or both."""
_OUT = frozenset({"down", "fail", "failed", "stopped", "drain", "maint"})
_IN = frozenset({"up", "ready"})
_SHARE = re.compile(r"([0-9]{1,5})%")
_CONNECTIONS = re.compile(r"maxconn:[0-9]{1,9}")
"""Limits HAProxy's own connections; means nothing here."""


class Judgement(NamedTuple):
    """The meaning of an agent's line.

    Attributes:
        text: for the operator.
        share: of its weight that the host asks for.
        remark: which words nobody knows, or that there are none; they change nothing, as with HAProxy.

    """

    kind: ProbeResult
    text: str
    share: float | None = None
    remark: str | None = None


def judge(data: bytes) -> Judgement:
    """Judge an agent's first line that is not empty; unknown words, or none, change nothing."""
    line = re.split(rb"[\r\n]", data.lstrip(_BLANK), maxsplit=1)[0]
    text = one_line(" ".join(line.decode("utf-8", "replace").split()))
    before_comment, _, _ = line.decode("utf-8", "replace").partition("#")
    words = [word for word in re.split(r"[ \t\v\f,]+", before_comment.lower()) if word]
    share: float | None = None
    unknown: list[str] = []
    for word in words:
        if (percent := _SHARE.fullmatch(word)) is not None:
            share = min(1.0, int(percent[1]) / 100)
        elif word not in _OUT | _IN and _CONNECTIONS.fullmatch(word) is None:
            unknown.append(word)
    remark = None
    if unknown or not words:
        nothing = "no word before the comment" if line else "nothing"
        what = f"no word of agents: {unknown[0][:40]!r}" if unknown else nothing
        remark = one_line(f"the agent says {what}, which changes nothing ({line[:80]!r})")
    if share == 0 or not _OUT.isdisjoint(words):
        return Judgement(ProbeResult.FAILURE, text, share, remark)
    if len(unknown) == len(words):
        return Judgement(ProbeResult.UNKNOWN, one_line(f"not an agent's text: {line[:80]!r}"), None, remark)
    return Judgement(ProbeResult.OK, text, share, remark)


async def ask(sock: socket.socket, clock: ProbeClock, send: str, limit: float) -> ProbeOutcome:
    """Send what the agent waits for, read its text within `limit` seconds, and close; raises OSError."""
    loop = asyncio.get_running_loop()
    clock.allow(limit)
    data = b""
    with sock:
        if send:
            clock.note(">", send.encode())
            await loop.sock_sendall(sock, send.encode())
        while not _END.search(data.lstrip(_BLANK)) and len(data) < MAX_TEXT:
            piece = await loop.sock_recv(sock, MAX_TEXT)
            if not piece:
                break
            clock.note("<", piece)
            data += piece
    clock.done("response")
    kind, text, share, remark = judge(data[:MAX_TEXT])
    return ProbeOutcome(kind, text, clock.elapsed(), steps=tuple(clock.steps), weight=share, remark=remark)
