import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.query_log import Noted
from geodns.responder.rate_limit import Action, Limited
from geodns.responder.worker_state import Counts
from geodns.serve.frames import (
    CountsReport,
    Message,
    QueryLogBatch,
    Stream,
    TableApplied,
    WorkerExited,
    WorkerStarted,
    framed,
    pack_message,
    unpack_message,
)


@pytest.fixture
def pair() -> Iterator[tuple[Stream, Stream]]:
    here, there = (Stream(end) for end in socket.socketpair())
    yield here, there
    here.close()
    there.close()


def taken(stream: Stream) -> list[bytes]:
    found = []
    while stream.fill():
        while (payload := stream.take()) is not None:
            found.append(payload)
    return found


@given(payloads=st.lists(st.binary(max_size=300)), cuts=st.lists(st.integers(1, 100)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    here, there = socket.socketpair()
    with here, there:
        stream = Stream(there)
        whole = b"".join(framed(payload) for payload in payloads)
        found = []
        for cut in [*cuts, len(whole)]:
            here.sendall(whole[:cut])
            whole = whole[cut:]
            found += taken(stream)
        assert found == payloads
        assert not stream.partial


def test_a_reader_that_is_late_blocks_nobody_and_misses_nothing(pair: tuple[Stream, Stream]) -> None:
    here, there = pair
    payloads = [bytes((number,)) * 100_000 for number in range(50)]
    for payload in payloads:
        here.put(framed(payload))
    assert here.backlog > 0
    found = []
    while here.backlog:
        found += taken(there)
        here.flush()
    found += taken(there)
    assert found == payloads


def test_the_end_is_seen_behind_the_last_words(pair: tuple[Stream, Stream]) -> None:
    here, there = pair
    here.put(framed(b"last words"))
    here.close()
    assert taken(there) == [b"last words"]
    assert there.ended


def test_writing_to_nobody_raises_nothing(pair: tuple[Stream, Stream]) -> None:
    here, there = pair
    there.close()
    here.put(framed(b"anybody?"))
    assert here.backlog == 0


@pytest.mark.parametrize(
    "message",
    [
        WorkerStarted("udp0", 4711, 2),
        WorkerExited("tcp"),
        TableApplied("udp1", 12),
        CountsReport("udp0", "udp", Counts({("out.example.com", 1, 0): 3}, {(b"uid", 0, 1): 3})),
        CountsReport("udp0", "udp", Counts({}, {}, networks={("out.example.com", "new/trial", 9_999): 3})),
        CountsReport("udp0", "udp", Counts({}, {}, Limited({Action.DROPPED: 2}, {"192.0.2.0/24": 2}))),
        QueryLogBatch("tcp", (Noted(1.5, ("192.0.2.1", 7, "tcp"), b"query", b"answer", 600, "dropped"),), 3),
    ],
    ids=lambda one: type(one).__name__,
)
def test_messages_travel(message: Message) -> None:
    assert unpack_message(pack_message(message)[4:]) == message
