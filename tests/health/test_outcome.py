import time

import pytest

from geodns.health.outcome import ProbeResult, mismatch


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^mta[0-9]+ ESMTP$", "mta1 ESMTP", True),
        ("^mta[0-9]+ ESMTP$", "mx1 ESMTP", False),
        ("^b$", "a\nb", False),
        ("(?m)^b$", "a\nb", True),
        ('"queue":', '{"a": 12345, ' * 5000 + '"queue":', True),
        ("ready.*ok$", "waiting\n" * 8000, False),
    ],
)
def test_what_is_found(pattern: str, text: str, found: bool) -> None:
    detail = f"the text does not match {pattern!r}: so"
    assert mismatch(pattern, text, "the text", "so") == (None if found else (ProbeResult.FAILURE, detail))


@pytest.mark.parametrize(("pattern", "text"), [("(a|aa)+$", "a" * 900 + "b"), (r"\s+$", " " * 65000 + "x")])
def test_looking_ends_in_time(pattern: str, text: str) -> None:
    began = time.process_time()
    fault = mismatch(pattern, text, "the text", "so")
    assert time.process_time() - began < 1
    assert fault is not None
    assert fault[0] is ProbeResult.UNKNOWN
    assert fault[1].startswith(f"it takes too long to look for {pattern!r} in the text: write it ")
