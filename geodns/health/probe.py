"""Probes a target once: connects, and holds the dialogue of its check within its time limits."""

import errno
import logging
import socket
import threading
from dataclasses import replace

from geodns.errors import BadNameError
from geodns.health import agent_check, http
from geodns.health.clock import ProbeClock, Transcript
from geodns.health.connect import connect, is_ours, is_silence, reason
from geodns.health.outcome import ProbeOutcome, ProbeResult, one_line
from geodns.health.smtp_session import SmtpConversation, dialogue_of, own_literal
from geodns.model.checks import Target
from geodns.wire.names import labels_of

log = logging.getLogger(__name__)

OWN_NAME_TIME = 2.0
"""Seconds that a resolver may take for this machine's name."""


def own_name() -> str | None:
    """Return this machine's full domain name; None if it has none, or the resolver is too slow."""
    name = socket.gethostname()
    name = (name if "." in name else _ask_for_name(name)).rstrip(".").lower()
    try:
        labels = labels_of(name)
    except BadNameError:
        return None
    whole = (
        len(labels) > 1 and not labels[-1].isdigit() and labels[0] != b"localhost" and labels[-1] != b"arpa"
    )
    return name if whole else None


def _ask_for_name(name: str) -> str:
    found: list[str] = []
    # A thread that the end of the process need not wait for.
    asking = threading.Thread(target=lambda: found.append(socket.getfqdn(name)), daemon=True)
    asking.start()
    asking.join(OWN_NAME_TIME)
    return found[0] if found else name


async def probe(target: Target, *, ehlo: str | None, transcript: Transcript | None = None) -> ProbeOutcome:
    """Probe a target once; every fault is an outcome.

    Args:
        target: what to probe, and how.
        ehlo: the name to give unless the check has one; None means the connection's own address literal.
        transcript: gets everything that is sent and received.

    """
    clock = ProbeClock(target.check, transcript)
    try:
        return await _probe(target, ehlo, clock)
    except Exception as error:
        log.exception("the probe of %s failed by a fault of its own", target.key)
        return ProbeOutcome(ProbeResult.UNKNOWN, one_line(f"a fault of the prober: {error!r}"))


async def _probe(target: Target, ehlo: str | None, clock: ProbeClock) -> ProbeOutcome:
    talk: SmtpConversation | None = None
    try:
        async with clock.limit:
            if target.check.type in {"http", "https"}:
                return await http.ask(target, clock)
            sock = await connect(target, clock)
            if target.check.type == "agent":
                return await agent_check.ask(sock, clock, target.check.send, target.check.step_timeout)
            if target.check.type == "tcp":
                sock.close()
                return ProbeOutcome(ProbeResult.OK, "connected", clock.elapsed(), steps=tuple(clock.steps))
            name = target.check.ehlo or ehlo or own_literal(sock)
            talk = SmtpConversation(dialogue_of(target.check, name), target, clock)
            return await talk.hold(sock)
    except OSError as error:
        return _failed(error, target, talk, clock)
    finally:
        if talk is not None:
            talk.abort()


def _failed(error: OSError, target: Target, talk: SmtpConversation | None, clock: ProbeClock) -> ProbeOutcome:
    if talk is not None and talk.outcome is not None:
        return talk.outcome
    if is_ours(error, target):
        return ProbeOutcome(ProbeResult.UNKNOWN, f"trouble of the prober's own: {reason(error)}")
    if isinstance(error, TimeoutError) and error.errno is None and clock.stalled():
        return ProbeOutcome(ProbeResult.UNKNOWN, "the prober was held up and missed its time limits")
    why = "timed out" if isinstance(error, TimeoutError) else reason(error)
    if error.errno == errno.EACCES:
        why = f"{why} (a firewall there forbids it)"
    silent = is_silence(error) and not clock.reached
    if talk is None:
        doing = " while waiting for the response" if clock.steps else " while connecting"
        detail = f"{why}{doing}" if clock.steps or isinstance(error, TimeoutError) else why
        return ProbeOutcome(ProbeResult.FAILURE, detail, clock.elapsed(), silent=silent)
    talk.lost(why)
    assert talk.outcome is not None
    return replace(talk.outcome, silent=silent)
