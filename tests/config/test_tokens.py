"""Tokens and the files they stand in."""

import pytest

from geodns.config.tokens import parse_tokens, token_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("s3cret", [(None, "s3cret")], id="alone"),
        pytest.param("  s3cret \r\n", [(None, "s3cret")], id="spaces around"),
        pytest.param("ops s3cret\n", [("ops", "s3cret")], id="named"),
        pytest.param("# who\n\nops\ta\nb\n", [("ops", "a"), (None, "b")], id="several, a comment"),
    ],
)
def test_files_of_tokens(text: str, expected: list[tuple[str | None, str]]) -> None:
    found = parse_tokens(text, "read")
    assert [(token.name, token.secret.get_secret_value()) for token in found] == expected
    assert {token.scope for token in found} == {"read"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "a token that is empty", id="empty"),
        pytest.param("# only\n", "a token that is empty", id="only a comment"),
        pytest.param("a\nmy own s3cret", "line 2 is no token", id="three words"),
        pytest.param("d\u00e9j\u00e0 s3cret", "line 1 is no token", id="a strange name"),
        pytest.param("ops s3cr\u00e9t", "line 1 has a token that is empty, has spaces or", id="no ASCII"),
    ],
)
def test_files_that_cannot_be(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        parse_tokens(text, "control")
    assert "cr" not in str(caught.value)


def test_a_token_does_not_show_itself() -> None:
    token = token_of("s3cret", "control", "ops")
    assert "s3cret" not in f"{token} {token!r} {token.model_dump_json()}"
