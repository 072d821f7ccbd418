"""What crosses from one version to the next, as bytes."""

import dataclasses
import json
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.serve.handover import (
    FORMAT,
    HANDOVER,
    AskedSockets,
    Handover,
    HandoverError,
    NewerHandover,
    Program,
    pack,
    read,
    seal,
    take_handover,
    unpack,
)

SMALL = Handover(
    Program("1", "/opt/geodns-1/bin/geodns"),
    AskedSockets((("127.0.0.1", 0),), ("127.0.0.1", 8053), (), 1),
    (("127.0.0.1", 5300),),
    ((5,),),
    (6,),
    7,
)
HEAD = struct.Struct(">16sII")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A handover with something else in its JSON."""
    found = json.loads(pack(SMALL)[HEAD.size :])
    change(found)
    return written(json.dumps(found).encode())


def written(text: bytes, number: int = FORMAT) -> bytes:
    return HEAD.pack(b"geodns-handover\n", number, len(text)) + text


@given(st.builds(Handover))
def test_what_is_written_is_read_as_it_was(handover: Handover) -> None:
    assert unpack(pack(handover)) == handover


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str).map(str.encode)
)
def test_nonsense_is_refused(text: bytes) -> None:
    for data in (text, written(text)):
        with pytest.raises(HandoverError):
            unpack(data)


def test_what_only_another_version_knows_is_left_alone() -> None:
    def add(found: dict[str, Any]) -> None:
        found["colour"] = {"of": "the sky"}
        found["writer"]["colour"] = "blue"
        del found["counters"], found["writer"]["args"]

    assert unpack(changed(add)) == SMALL


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"geodns", "cut off in its head"),
        (pack(SMALL)[:-1], "cut off: "),
        (b"#" + pack(SMALL)[1:], "no handover"),
        (changed(lambda found: found.pop("http")), "handover.http is missing"),
        (changed(lambda found: found.update(http="7")), "handover.http is str, not int"),
        (changed(lambda found: found.update(http=True)), "handover.http is bool, not int"),
        (changed(lambda found: found["udp"][0].append(None)), "handover.udp[0][1] is NoneType, not int"),
        (changed(lambda found: found["asked"]["http"].append(1)), "handover.asked.http is list"),
        (changed(lambda found: found.update(counters="ä")), "handover.counters is no base64"),
        (changed(lambda found: found.update(begun="now")), "handover.begun is str, not float"),
        (changed(lambda found: found.update(secrets={"/a": 1})), "handover.secrets./a is int, not bytes"),
        (written(b"{"), "no JSON"),
        (written(b"[" * 100_000), "no JSON"),
    ],
)
def test_an_error_says_where(data: bytes, why: str) -> None:
    with pytest.raises(HandoverError, match=why.replace("[", r"\[")):
        unpack(data)


def test_a_newer_format_is_told_apart() -> None:
    with pytest.raises(NewerHandover, match=f"has format {FORMAT + 1}"):
        unpack(written(b"?", FORMAT + 1))


def test_every_descriptor_is_listed() -> None:
    numbers = set(range(5, 8))
    assert set(SMALL.descriptors()) == numbers
    more = dataclasses.replace(SMALL, locks=(8, 9), word=10, cells=11, upgrade_socket=12, client=13)
    assert set(more.descriptors()) == numbers | set(range(8, 14))


def test_a_memfd_is_sealed_and_taken_once() -> None:
    sealed = seal(SMALL)
    with pytest.raises(PermissionError):
        os.pwrite(sealed, b"x", 0)
    assert not os.get_inheritable(sealed)
    environ = {HANDOVER: str(sealed), "PATH": "/bin"}
    assert take_handover(environ) == SMALL
    assert environ == {"PATH": "/bin"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(sealed)
    assert take_handover(environ) is None


def test_what_could_still_change_is_refused() -> None:
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    try:
        os.write(loose, pack(SMALL))
        with pytest.raises(HandoverError, match="not sealed"):
            read(loose)
    finally:
        os.close(loose)


@pytest.mark.parametrize("number", ["", "-1", "one", "²", "99999"])
def test_a_variable_that_tells_of_nothing(number: str) -> None:
    if not number:
        assert take_handover({HANDOVER: number}) is None
        return
    with pytest.raises(HandoverError):
        take_handover({HANDOVER: number})


def test_the_way_back_follows_no_link() -> None:
    program = Program("1", "/opt/geodns/bin/geodns", ("--state", "s"), file="/opt/geodns-1/bin/geodns")
    assert program.as_started() == dataclasses.replace(program, path="/opt/geodns-1/bin/geodns")
    assert Program("1", "/opt/geodns/bin/geodns").as_started().path == "/opt/geodns/bin/geodns"
