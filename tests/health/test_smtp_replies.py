import pytest

from geodns.health.outcome import MAX_DETAIL
from geodns.health.smtp import decoded, describe_refusal, one_text, plain_text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"220 mta1 ESMTP\r\n", "mta1 ESMTP"),
        (b"220-mta1\n", "mta1"),
        (b"220\r\n", ""),
        (b"220 m\xe4il\r\n", "m\ufffdil"),
    ],
)
def test_a_line_s_text(line: bytes, text: str) -> None:
    assert decoded(line) == text


def test_several_lines() -> None:
    lines = [b"220-a\r\n", b"220-\r\n", b"220 b\r\n"]
    assert one_text(220, lines) == "220 a b"
    assert plain_text(lines) == "a\n\nb"
    assert one_text(220, lines * 20) == "220 a b a b a b a"  # the first ten


def test_a_refusal_has_room_for_the_question() -> None:
    assert describe_refusal(354, "354 go on") == "unexpected 354 go on"
    assert describe_refusal(554, "554 no") == "554 no (is the prober blocked?)"
    assert len(describe_refusal(554, "554 " + "x" * 500)) < MAX_DETAIL
