import time
from collections.abc import Callable

import pytest

from geodns.config.regex import MAX_LENGTH, fits, found, trouble

WRONG = {
    "long": ("a" * (MAX_LENGTH + 1), "a regular expression that is too long: write at most 500 characters"),
    "open": ("(mta", "'(mta' is no regular expression: missing ), unterminated subpattern at position 0"),
    "look-behind": (
        "(?<=a+)b",
        "'(?<=a+)b' is no regular expression: look-behind requires fixed-width pattern",
    ),
    "counts in counts": ("((a{1000}){1000}){1000}", "repeats too much: count to at most 100,000 in all"),
    "pluses in pluses": ("(" * 20 + "a+" + ")+" * 20, "repeats too much: count to at most 48,387 in all"),
    "a long group": ("(" + "|".join(["mta-in"] * 40) + "){20000}", "count to at most 10,416 in all"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_an_expression(text: str, says: str) -> None:
    wrong = trouble(text)
    assert wrong is not None
    assert says in ": ".join(wrong)


@pytest.mark.parametrize(
    "text", ["", "^mta[0-9]+ ESMTP$", "a" * MAX_LENGTH, "(a{100}){100}", r"(?i)\bready\b"]
)
def test_what_is_an_expression(text: str) -> None:
    assert trouble(text) is None


@pytest.mark.parametrize(
    ("expression", "text", "there", "whole"),
    [
        ("b", "abc", True, False),
        ("a.c", "abc", True, True),
        ("a.c", "a\nc", False, True),
        ("^b$", "a\nb", False, False),
        ("", "", True, True),
        ("x", "", False, False),
    ],
)
def test_what_is_found_and_what_fits(expression: str, text: str, there: bool, whole: bool) -> None:
    assert (found(expression, text), fits(expression, text)) == (there, whole)


@pytest.mark.parametrize("look", [found, fits])
def test_looking_ends_in_time(look: Callable[[str, str], bool]) -> None:
    began = time.process_time()
    with pytest.raises(TimeoutError):
        look("(a|aa)+$", "a" * 900 + "b")
    assert time.process_time() - began < 1
