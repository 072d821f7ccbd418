"""Names as people write them and on the wire, held against dnspython where it has an opinion."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.errors import BadNameError
from geodns.wire.names import (
    MAX_NAME,
    labels_of,
    name_from_wire,
    name_to_wire,
    parents,
    pointer,
    whole_name,
)

ANY_LABELS: st.SearchStrategy[list[bytes]] = st.lists(st.binary(min_size=1, max_size=63), max_size=5)
LABELS = ANY_LABELS.filter(lambda labels: sum(len(label) + 1 for label in labels) < 255)

# --- text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param(".", (), id="root"),
        pytest.param("mta1", (b"mta1",), id="relative"),
        pytest.param("mta1.example.com.", (b"mta1", b"example", b"com"), id="absolute"),
        pytest.param("mta1.example.com", (b"mta1", b"example", b"com"), id="the final dot is no label"),
        pytest.param("MTA1.", (b"MTA1",), id="case is kept"),
        pytest.param("*.old.", (b"*", b"old"), id="wildcard"),
        pytest.param("_25._tcp.", (b"_25", b"_tcp"), id="underscore"),
        pytest.param(r"first\.last.example.", (b"first.last", b"example"), id="dot in a label"),
        pytest.param(r"a\\b.", (rb"a\b",), id="backslash in a label"),
        pytest.param(r"a\ b.", (b"a b",), id="space in a label"),
        pytest.param(r"\000\255\046.", (b"\x00\xff.",), id="bytes by number"),
        pytest.param("a" * 63 + ".", (b"a" * 63,), id="63 bytes"),
        pytest.param(r"\097" * 63 + ".", (b"a" * 63,), id="63 bytes by number"),
    ],
)
def test_reads_labels(text: str, labels: tuple[bytes, ...]) -> None:
    assert labels_of(text) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a..b.", "an empty label", id="two dots"),
        pytest.param(".a.", "an empty label", id="leading dot"),
        pytest.param("..", "an empty label", id="only dots"),
        pytest.param("a" * 64, "a label of 64 bytes, at most 63 are allowed", id="64 bytes"),
        pytest.param(r"\097" * 64, "a label of 64 bytes", id="64 bytes by number"),
        pytest.param("a\\", "nothing follows the backslash", id="ends in a backslash"),
        pytest.param(r"\256.", r"\\256 is no byte", id="number over 255"),
        pytest.param(r"a\1b.", r"\\1 is no escape", id="one digit"),
        pytest.param(r"a\12", r"\\1 is no escape", id="two digits"),
        pytest.param("a\\\N{LATIN SMALL LETTER E WITH ACUTE}", "is no escape", id="escaped non-ASCII"),
        pytest.param("\\\N{ARABIC-INDIC DIGIT ONE}23", "is no escape", id="digits of another script"),
        pytest.param("b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro.", "cannot stand in a name", id="non-ASCII"),
        pytest.param("a b.", "' ' cannot stand in a name", id="space"),
        pytest.param("a\nb.", "cannot stand in a name", id="newline"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(BadNameError, match=message):
        labels_of(text)


# --- on the wire ---------------------------------------------------------------------------------------


@given(LABELS)
def test_any_name_survives_text_and_back(labels: list[bytes]) -> None:
    whole = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    text = name_from_wire(whole)
    assert name_to_wire(text) == b"".join(bytes((len(x),)) + x.lower() for x in labels) + b"\0"
    assert dns.name.from_text(text).to_wire() == whole, "dnspython reads the text alike"


@given(LABELS)
def test_parents_are_those_of_dnspython(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b""])
    expected = []
    while name != dns.name.root:
        name = name.parent()
        expected.append(name.to_wire())
    assert list(parents(dns.name.Name([*labels, b""]).to_wire() or b"")) == expected


def test_a_name_has_at_most_255_bytes() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61]) + "."
    assert len(name_to_wire(longest)) == 255
    with pytest.raises(BadNameError, match="a name of 256 bytes, at most 255 are allowed"):
        name_to_wire(longest.replace("." + "a" * 61 + ".", "." + "a" * 62 + "."))


@pytest.mark.parametrize(("offset", "expected"), [(12, b"\xc0\x0c"), (0x3FFF, b"\xff\xff"), (0x4000, None)])
def test_pointers_reach_14_bits(offset: int, expected: bytes | None) -> None:
    assert pointer(offset) == expected


@given(st.binary(max_size=60), st.integers(0, 60))
def test_names_in_any_packet_end(data: bytes, position: int) -> None:
    found = whole_name(data, position)
    assert found is None or (len(found[0]) <= MAX_NAME and found[0][-1] == 0 and found[1] <= len(data))


def test_a_chain_of_pointers_may_not_make_a_name_too_long() -> None:
    packet = bytes(12) + b"\0"
    for _ in range(5):
        target = len(packet) - (1 if len(packet) == 13 else 66)
        packet += bytes([63]) + b"x" * 63 + bytes([0xC0 | target >> 8, target & 255])
    assert whole_name(packet, len(packet) - 66) is None
    assert whole_name(packet, len(packet) - 3 * 66) is not None
