"""The file of cookie secrets: what it may say, how it is made, what becomes of an edit."""

from pathlib import Path

import pytest

from geodns.errors import StartError
from geodns.storage.cookie_secrets import MAX_BYTES, MOST, CookieFile, parse, text_of

ONE, TWO = "0123456789abcdef" * 2, "FEDCBA98" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ONE, [ONE]),
        (f"{ONE}\n", [ONE]),
        (f"# in use\n{ONE}\n\n  {TWO}  # until noon\r\n", [ONE, TWO]),
    ],
)
def test_secrets(text: str, expected: list[str]) -> None:
    assert parse(text.encode()) == tuple(bytes.fromhex(one) for one in expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no secret"),
        ("# nothing\n", "no secret"),
        (ONE[:-1], "line 1: no secret"),
        (f"{ONE}\n{ONE}00", "line 2: no secret"),
        (f"\n{'x' * 32}", "line 2: no secret"),
        (f"{ONE} {TWO}", "line 1: no secret"),
        ("é" * 16, "line 1: no secret"),
        (f"{ONE}\n" * (MOST + 1), f"{MOST + 1} secrets"),
        (f"{ONE}\n{'#' * MAX_BYTES}\n{TWO}\n", "over 4096 bytes, too long"),
    ],
)
def test_what_is_no_secret(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse(text.encode())
    assert ONE not in str(caught.value), "a secret is never shown"


def test_ours_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "cookie-secret"
    made = CookieFile(path, make=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (made.trouble, len(made.secrets), len(made.secrets[0])) == (None, 1, 16)
    assert CookieFile(path, make=True).secrets == made.secrets


def test_ours_is_made_anew_when_it_is_of_no_use(tmp_path: Path) -> None:
    path = tmp_path / "cookie-secret"
    path.write_text("disk full")
    made = CookieFile(path, make=True)
    assert made.trouble is None
    assert parse(path.read_bytes()) == made.secrets


def test_ours_where_nothing_can_be_written(tmp_path: Path) -> None:
    made = CookieFile(tmp_path / "missing" / "cookie-secret", make=True)
    assert made.trouble is not None
    assert "will not outlive a restart" in made.trouble
    assert len(made.secrets) == 1


def test_ours_is_written_anew_when_somebody_has_removed_it(tmp_path: Path) -> None:
    path = tmp_path / "cookie-secret"
    made = CookieFile(path, make=True)
    path.unlink()
    assert not made.poll()
    assert made.warning is None
    assert parse(path.read_bytes()) == made.secrets
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["cookie-secret"]
    path.write_text("oops")
    assert not made.poll()
    assert "remove it, and it is written anew" in (made.warning or "")


def test_a_missing_one_of_the_operators_is_told_with_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    with pytest.raises(StartError, match="there is no such file: write one: `openssl rand") as error:
        CookieFile(path, make=False)
    assert "stay" not in str(error.value), "there are none that could"


def test_a_path_that_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot be read .*: let this server read it"):
        CookieFile(tmp_path, make=False)


LAST = (bytes.fromhex(TWO), bytes.fromhex(ONE))


@pytest.mark.parametrize("text", [None, "nonsense"])
@pytest.mark.parametrize("last", [LAST, ()], ids=["known", "unknown"])
def test_a_server_that_runs_goes_on_with_the_last_ones(
    tmp_path: Path, text: str | None, last: tuple[bytes, ...]
) -> None:
    path = tmp_path / "secrets"
    if text is not None:
        path.write_text(text)
    file = CookieFile(path, make=False, last=last)
    assert file.secrets == last
    says = "until then the cookie secrets stay as they were" if last else "until then there are no cookies"
    assert says in (file.warning or "")
    path.write_text(ONE)
    assert file.poll()
    assert (file.secrets, file.warning) == (LAST[1:], None)


def test_ours_is_written_anew_with_the_last_ones(tmp_path: Path) -> None:
    path = tmp_path / "cookie-secret"
    path.write_text("disk full")
    assert CookieFile(path, make=True, last=LAST).secrets == LAST
    assert parse(path.read_bytes()) == LAST
    assert parse(text_of(LAST).encode()) == LAST


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_the_operators_must_be_good_at_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "secrets"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match=str(path)):
        CookieFile(path, make=False)


def test_an_edit_is_taken_and_a_bad_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text(ONE)
    file = CookieFile(path, make=False)
    assert not file.poll()
    path.write_text(f"{TWO}\n{ONE}")
    assert file.poll()
    assert [one.hex() for one in file.secrets] == [TWO.lower(), ONE]
    path.write_text("oops")
    assert not file.poll()
    assert (file.trouble or "").startswith(f"{path}: line 1: no secret: write 32 hexadecimal digits")
    assert len(file.secrets) == 2
    path.unlink()
    assert not file.poll()
    assert f"write one: `openssl rand -hex 16 > {path}`" in (file.warning or "")
    assert "the cookie secrets stay as they were" in (file.warning or "")
    path.write_text(f"{TWO}\n{ONE}")
    assert not file.poll()
    assert file.trouble is None
