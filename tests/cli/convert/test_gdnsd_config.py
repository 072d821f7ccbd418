"""gdnsd's configuration → values."""

from pathlib import Path
from typing import Any

import pytest

from geodns.cli.convert.gdnsd_config import read_config
from geodns.errors import GeodnsError

VALUES: dict[str, tuple[str, Any]] = {
    "arrows and commas": ("a => [ b, c, ], d => { e => f, }", {"a": ["b", "c"], "d": {"e": "f"}}),
    "neither": ("a={b=[c d]e={}}", {"a": {"b": ["c", "d"], "e": {}}}),
    "strings": (r'"a b" => ex\097mpl\e x = "i\"n ; #"', {"a b": "example", "x": 'i"n ; #'}),
    "comments": ("# x\na => b ; y\n", {"a": "b"}),
    "nothing": ("", {}),
    "included": ('a => $include{one} $include{ "some" }', {"a": ["x"], "b": "c", "d": "e"}),
}


@pytest.mark.parametrize(("text", "expected"), VALUES.values(), ids=VALUES.keys())
def test_the_language_of_the_configuration(text: str, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("[ x ]")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "1").write_text("b => c")
    (tmp_path / "some" / "2").write_text("d => e")
    (tmp_path / "config").write_text(text)
    assert read_config(tmp_path / "config") == expected


WRONG = {
    "open": ("a => {\n b => c", ":2: the file ends early"),
    "no arrow": ("a b", ":1: `=>` is missing behind 'a'"),
    "no value": ("a => ,", ", where a value is expected"),
    "no key": ("{ a => b }", "{ where a key is expected"),
    "twice": ("a => b\na => c", ":2: 'a' stands here twice"),
    "list": ("[ a ]", "a list where `options`"),
    "no files": (
        "a => $include{nowhere}\n$include{none}",
        ":2: FOLDER/none is included here: No such file",
    ),
    "no file, and more": ("a => $include{nowhere}\n}", ":1: FOLDER/nowhere is included here: No such file"),
    "no name": (r'a => $include{"a\000b"}', "a\\x00b is included here: Is no name of a file"),
    "itself": ("$include{config}", "does one include itself"),
    "deep": ("a => " + "[" * 1000, "nested more than"),
    "a dollar": ('a => "', "cannot stand here"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_configuration_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(GeodnsError) as found:
        read_config(tmp_path / "config")
    assert message.replace("FOLDER", str(tmp_path)) in str(found.value)
