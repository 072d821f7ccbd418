"""Answers are made ready when they are dealt, not all of a rotation while the first of its queries waits."""

import pytest

from geodns.responder.ready_answers import FEW, CountKey, ReadyRotation
from geodns.wire.message import Answer, heads


@pytest.mark.parametrize("number", [1, FEW, FEW + 1, 4096])
def test_answers_are_right_and_of_many_only_those_dealt_are_made(number: int) -> None:
    made: list[int] = []

    def count_key(position: int) -> CountKey:
        made.append(position)
        return CountKey("zone", 1, (b"uid", 0, position))

    plain = [Answer(b"%04d" % one, an=1, extra=(b"x", b"yz")[: one % 3]) for one in range(number)]
    ready = ReadyRotation(plain, range(number), count_key)
    packed = ready.packed(2, b"opt")
    assert ready.longest == max(len(one.body + b"".join(one.extra)) for one in plain)
    assert len(made) == (number if number <= FEW else 0)
    for at in (number - 1, number // 2, number - 1):
        body = plain[at].body + b"".join(plain[at].extra)
        found, one = ready.answers[at], packed[at]
        assert found[:2] == (heads(plain[at]), body)
        assert one[:2] == (heads(plain[at])[2], body + b"opt")
        assert found[2] is one[2] is ready.answers[at][2]
        assert found[2].dealt == (b"uid", 0, at)
    assert len(made) == (number if number <= FEW else len({number - 1, number // 2}))
