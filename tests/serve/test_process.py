"""One child of the supervisor."""

import errno
import os
import selectors
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.serve import process
from geodns.serve.process import Exit, ProcessSlot


@pytest.fixture
def slot() -> Iterator[ProcessSlot]:
    with selectors.DefaultSelector() as selector:
        yield ProcessSlot("udp0", (0.1, 0.3), selector)


def born_and_gone(slot: ProcessSlot, status: int = 3) -> Exit:
    assert slot.start(lambda _link: status)
    end = slot.wait()
    assert end is not None
    slot.bury(end)
    return end


def test_where_the_machine_has_no_room_it_is_tried_again(
    slot: ProcessSlot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", full)
    monkeypatch.setattr("geodns.serve.process.time.monotonic", lambda: 1000.0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert not slot.start(lambda _link: 0)
    assert (slot.pid, slot.stream, slot.restarts, slot.due) == (None, None, -1, 1000.0 + process.FORK_AGAIN)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert "udp0 cannot be started: Resource temporarily unavailable" in caplog.text


def test_its_last_words_are_there_after_its_end(slot: ProcessSlot) -> None:
    def live(link: socket.socket) -> int:
        link.sendall(b"\0\0\0\5words")
        return 3

    assert slot.start(live)
    pid, stream = slot.pid, slot.stream
    assert stream is not None
    end = slot.wait()
    assert end == (pid, 3)
    assert slot.fill()
    assert stream.take() == b"words"
    assert not slot.fill()
    slot.bury(end)
    slot.put(b"nobody hears this")
    assert (slot.pid, slot.stream, slot.last) == (None, None, end)


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "(pid 7) ended with status 0"), (-signal.SIGKILL, "(pid 7) was killed by SIGKILL")],
)
def test_an_end_continues_a_sentence(status: int, text: str) -> None:
    assert str(Exit(7, status)) == text


def test_who_ends_soon_is_started_ever_later_until_one_lives_long(
    slot: ProcessSlot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr("geodns.serve.process.time.monotonic", lambda: now)
    pauses = []
    for life in (0, 0, 0, 0, process.STEADY, 0):
        end = born_and_gone(slot)
        now += life
        slot.restart_later()
        pauses.append(round(slot.due - now, 6))
        assert f"udp0 (pid {end.pid}) ended with status 3: started again in" in caplog.text
    assert pauses == [0.1, 0.2, 0.3, 0.3, 0.1, 0.2]
    assert slot.restarts == 5
