"""Whatever bytes come, in whatever pieces: the same requests and replies, and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.serve.route_conversation import Conversation
from geodns.serve.route_messages import MOST_UNFINISHED, Malformed, RouteRequest
from geodns.serve.route_policy import PolicyParser
from tests.serve.route_samples import BAD, GOOD, asked, heard, is_orderly, pieces, policy

STREAMS = {**GOOD, **BAD}
PROTOCOLS = {"policy": b"action=DUNNO\n\n", "socketmap": b"TEMP ", "line": b"400 ", "http": b"HTTP/1.1 4"}


@pytest.mark.parametrize("name", STREAMS)
def test_every_split_says_the_same(name: str) -> None:
    stream = STREAMS[name]
    whole = heard([stream])
    cuts = len(stream) if len(stream) < 1000 else 20 if len(stream) < 10_000 else 4
    assert all(heard(pieces(stream, [len(stream) * cut // cuts])) == whole for cut in range(cuts))
    assert heard(pieces(stream, range(len(stream)))) == whole
    is_orderly(whole)


@pytest.mark.parametrize("name", GOOD)
def test_good_streams_ask(name: str) -> None:
    found, _, _, more, ended = heard([GOOD[name]])
    assert [*found, *more]
    assert {one.protocol for one in (*found, *more)} == {name.split(maxsplit=1)[0].rstrip(",")}
    assert all(isinstance(one, RouteRequest) for one in (*found, *more))
    assert ended


@pytest.mark.parametrize("name", BAD)
def test_the_end_of_what_is_malformed_is_its_protocols_own_error(name: str) -> None:
    found, half, ended, more, _ = heard([BAD[name]])
    last = [*found, *more][-1]
    assert isinstance(last, Malformed)
    assert PROTOCOLS[last.protocol] in last.reply
    assert last.why.isprintable()
    assert ended != half
    assert all(isinstance(one, RouteRequest) for one in [*found, *more][:-1])


_PIECES = st.sampled_from(
    [
        *(one for one in STREAMS.values() if len(one) < 2000),
        b"\n",
        b"\r\n\r\n",
        b"get ",
        b"5:",
        b"POST ",
        b"=",
    ]
)


@st.composite
def _streams(draw: st.DrawFn) -> bytes:
    stream = bytearray().join(draw(st.lists(st.one_of(_PIECES, st.binary(max_size=8)), max_size=5)))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=3)):
        if at < len(stream):
            stream[at] = byte
    return bytes(stream)


@given(_streams(), st.lists(st.integers(0, 6000), max_size=6))
def test_any_stream_in_any_pieces(stream: bytes, cuts: list[int]) -> None:
    whole = heard([stream])
    assert heard(pieces(stream, [cut for cut in cuts if cut < len(stream)])) == whole
    assert heard(bytes([byte]) for byte in stream) == whole
    is_orderly(whole)


def test_the_end_says_nothing_where_nothing_waits() -> None:
    conversation = Conversation()
    assert conversation.feed(b"") == []
    assert not conversation.held
    assert conversation.eof() == []
    assert conversation.ended
    assert conversation.feed(policy()) == []


@pytest.mark.parametrize(
    "begin", [b"request=", b"99", b"9999:", b"get ", b"POST ", b"POST / HTTP/1.1\r\nX: "]
)
def test_what_is_held_is_bounded(begin: bytes) -> None:
    conversation = Conversation()
    found = conversation.feed(begin)
    for _ in range(30):
        found += conversation.feed(b"9" * 4000)
    assert [type(one) for one in found] == [Malformed]
    assert not conversation.held
    assert conversation.ended


def test_a_request_may_be_just_so_long() -> None:
    empty = len(policy(helo_name="")) - 2
    stream = policy(helo_name="x" * (MOST_UNFINISHED - empty))
    assert asked(stream).protocol == "policy"
    (one,), *_ = heard([policy(helo_name="x" * (MOST_UNFINISHED - empty + 1))])
    assert isinstance(one, Malformed)


class _Counted(bytearray):
    """Counts the bytes that are searched."""

    searched = 0

    def find(self, what: object, start: object = 0, end: object = None) -> int:
        assert isinstance(start, int)
        self.searched += len(self) - start
        return super().find(what, start, end)  # type: ignore[arg-type]


def test_bytes_that_trickle_in_are_not_read_again() -> None:
    parser = PolicyParser()
    parser._held = counted = _Counted()
    for _ in range(20_000):
        assert parser.feed(b"x") == []
    assert len(counted) == 20_000
    assert counted.searched < 3 * len(counted)
