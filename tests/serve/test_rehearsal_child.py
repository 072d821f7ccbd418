"""What a program must show before it may take the server's place, and what it cannot do to the server."""

import selectors
import time
from pathlib import Path

import pytest

from geodns.serve.handover import AskedSockets, Handover, Program
from geodns.serve.rehearsal import MOST_LINES, PASSED, RehearsalChild

HANDOVER = Handover(Program("1", "/old"), AskedSockets((), ("127.0.0.1", 0), (), 1), (), (), (), 0)
SOON = 60.0


def rehearsed(folder: Path, script: str) -> tuple[str, list[str]]:
    """Return the verdict on a shell script, and the lines of it that are passed on."""
    path = folder / "geodns"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    said: list[str] = []
    with selectors.DefaultSelector() as selector:
        child = RehearsalChild(Program("", str(path)), HANDOVER, selector, said.append)
        try:
            end = time.monotonic() + SOON
            while (why := child.verdict(time.monotonic())) is None and time.monotonic() < end:
                for key, _ in selector.select(0.05):
                    key.data()
        finally:
            child.end()
    assert why is not None
    return why, said


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (f"echo '{PASSED}'$$", ""),
        ("exit 0", "is no geodns, for it did not rehearse"),
        (f"sh -c 'echo \"{PASSED}$$\"'; exit 0", "have that script call it with `exec`"),
        (f"echo 'geodns: no zones'; echo '{PASSED}'$$; exit 3", "(status 3): no zones"),
    ],
)
def test_status_0_alone_is_not_enough(tmp_path: Path, script: str, verdict: str) -> None:
    why, said = rehearsed(tmp_path, script)
    assert verdict in why
    assert bool(why) == bool(verdict)
    assert not any(PASSED in line for line in said)


def test_what_it_leaves_running_does_not_hold_the_server_up(tmp_path: Path) -> None:
    script = f"setsid sh -c 'echo $$ > {tmp_path}/left; exec yes' &\nuntil [ -s {tmp_path}/left ]; do :; done"
    why, said = rehearsed(tmp_path, script)
    try:
        assert "did not rehearse" in why
        assert len(said) <= MOST_LINES + 1
    finally:
        left = int((tmp_path / "left").read_text())
        end = time.monotonic() + SOON
        while Path(f"/proc/{left}/exe").exists() and time.monotonic() < end:  # it writes where nobody reads
            time.sleep(0.01)


def test_of_much_that_it_says_little_is_passed_on(tmp_path: Path) -> None:
    why, said = rehearsed(tmp_path, "yes | head -n 100000; echo 'geodns: the reason'; exit 1")
    assert why.endswith("the reason")
    assert len(said) == MOST_LINES + 1
    assert set(said[:MOST_LINES]) == {"y"}
