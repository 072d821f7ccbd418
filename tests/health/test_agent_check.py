import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.agent_check import MAX_TEXT, judge
from geodns.health.outcome import MAX_DETAIL, ProbeOutcome, ProbeResult
from geodns.health.probe import probe
from tests.health.servers import Handler, serving, target

OK, FAILURE, UNKNOWN = ProbeResult.OK, ProbeResult.FAILURE, ProbeResult.UNKNOWN

TEXTS: dict[str, tuple[bytes, ProbeResult, float | None]] = {
    "up": (b"up\n", OK, None),
    "UP": (b"UP\r\n", OK, None),
    "without a line's end": (b"up", OK, None),
    "ready": (b"ready\n", OK, None),
    "ready and up": (b"ready up\n", OK, None),
    "down": (b"down\n", FAILURE, None),
    "down with a reason": (b"down # disk is up to its brim\n", FAILURE, None),
    "down with a reason at once": (b"down#maintenance\n", FAILURE, None),
    "failed": (b"failed\n", FAILURE, None),
    "fail": (b"fail\n", FAILURE, None),
    "stopped": (b"stopped\n", FAILURE, None),
    "drain": (b"drain\n", FAILURE, None),
    "maint": (b"maint\n", FAILURE, None),
    "a share": (b"75%\n", OK, 0.75),
    "a share and up": (b"up 75%\n", OK, 0.75),
    "commas": (b"up,50%,ready\n", OK, 0.5),
    "tabs": (b"up\t50%\n", OK, 0.5),
    "a share with maxconn": (b"25% maxconn:10\n", OK, 0.25),
    "everything": (b"100%\n", OK, 1.0),
    "more than everything": (b"150%\n", OK, 1.0),
    "nothing": (b"0%\n", FAILURE, 0.0),
    "a share of a host that drains": (b"drain 75%\n", FAILURE, 0.75),
    "up in a reason only": (b"# up\n", UNKNOWN, None),
    "maxconn alone is no complaint": (b"maxconn:10\n", OK, None),
    "an unknown word": (b"fine\n", UNKNOWN, None),
    "half a percentage": (b"7.5%\n", UNKNOWN, None),
    "a negative share": (b"-5%\n", UNKNOWN, None),
    "a byte order mark": (b"\xef\xbb\xbfup\n", UNKNOWN, None),
    "a byte order mark and down": (b"\xef\xbb\xbfdown\n", UNKNOWN, None),
    "a NUL": (b"up\0\n", UNKNOWN, None),
    "a NUL alone": (b"\0", UNKNOWN, None),
    "a carriage return at the end": (b"up\r", OK, None),
    "an unknown word beside a known one": (b"up fine 50%\n", OK, 0.5),
    "an unknown word beside one that takes it out": (b"fine drain\n", FAILURE, None),
    "no text": (b"", UNKNOWN, None),
    "an empty line alone": (b"\r\n", UNKNOWN, None),
    "an empty line first": (b"\r\nup\n", OK, None),
    "only the first line": (b"up\ndown\n", OK, None),
    "HTTP": (b"HTTP/1.0 200 OK\r\n\r\nup", UNKNOWN, None),
    "SMTP": (b"220 mta1 ESMTP\r\n", UNKNOWN, None),
}


@pytest.mark.parametrize(("text", "kind", "share"), TEXTS.values(), ids=TEXTS.keys())
def test_texts(text: bytes, kind: ProbeResult, share: float | None) -> None:
    found, detail, weight, remark = judge(text)
    assert (found, weight) == (kind, share)
    assert detail.isprintable()
    assert (remark is not None) == (kind is UNKNOWN or b"fine" in text)
    assert (remark or "x").isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    kind, detail, share, remark = judge(data)
    assert kind in {OK, FAILURE, UNKNOWN}
    assert remark is None or (remark.isprintable() and len(remark) <= MAX_DETAIL)
    assert 0 < len(detail) <= MAX_DETAIL
    assert detail.isprintable()
    assert share is None or 0 <= share <= 1


def probed(handler: Handler, **check: Any) -> ProbeOutcome:
    async def main() -> ProbeOutcome:
        async with serving(handler) as port:
            return await probe(target(port, type="agent", **check), ehlo=None)

    return asyncio.run(main())


def saying(*pieces: bytes, stays: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        await writer.drain()
        if stays:
            await reader.read()
        writer.close()

    return handler


def test_an_agent_is_asked() -> None:
    outcome = probed(saying(b"up 7", b"5% # bu", b"sy\n", stays=True))
    assert (outcome.kind, outcome.detail, outcome.weight) == (OK, "up 75% # busy", 0.75)
    assert [name for name, _ in outcome.steps] == ["connect", "response"]


def test_an_agent_that_closes_without_a_line_s_end() -> None:
    assert probed(saying(b"drain")).detail == "drain"


def test_an_agent_that_closes_without_a_word_changes_nothing() -> None:
    """HAProxy ignores it, too; what cannot be reached, or hangs, fails."""
    outcome = probed(saying())
    assert (outcome.kind, outcome.remark) == (UNKNOWN, "the agent says nothing, which changes nothing (b'')")


def test_an_agent_that_never_ends() -> None:
    outcome = probed(saying(b"x" * (MAX_TEXT * 2), stays=True))
    assert outcome.detail.startswith("not an agent's text: b'xxx")


def test_an_agent_that_says_nothing_in_time() -> None:
    outcome = probed(saying(b"u", stays=True), step_timeout=0.2)
    assert (outcome.kind, outcome.detail) == (FAILURE, "timed out while waiting for the response")


def test_a_line_may_end_in_a_carriage_return_alone() -> None:
    outcome = probed(saying(b"up\r", stays=True))
    assert (outcome.kind, outcome.detail, outcome.remark) == (OK, "up", None)


def test_an_agent_that_waits_is_sent_what_it_waits_for() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\n")
        writer.write(b"drain\n" if asked == b"mta1\n" else b"up\n")
        await writer.drain()
        writer.close()

    assert probed(handler, send="mta1\n").detail == "drain"
