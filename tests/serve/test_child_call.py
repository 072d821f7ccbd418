import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geodns.serve.child_call import call_in_child


def _fail() -> str:
    raise ValueError("x")


def _die() -> str:
    os._exit(3)


def _hang() -> str:
    time.sleep(60)
    return ""


@pytest.mark.parametrize(
    ("work", "limit", "says"),
    [
        (lambda: "", 10.0, ""),
        (lambda: "no room: é" + "x" * 9000, 10.0, "no room: é" + "x" * 9000),
        (_fail, 10.0, "way back failed: see the log"),
        (_die, 10.0, "way back failed: see the log"),
        (_hang, 0.05, "way back took longer than 0.05 s"),
    ],
    ids=["nothing", "sentence", "error", "death", "hang"],
)
def test_what_a_child_says_comes_back(work: Callable[[], str], limit: float, says: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert call_in_child("way back", work, limit) == says
    assert len(list(Path("/proc/self/fd").iterdir())) == before
