"""Files of the settings that root read, for a program that may not."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.config import settings_files
from geodns.config.settings import load_settings
from geodns.config.settings_files import SettingsFiles
from geodns.errors import SettingsError
from tests.unprivileged import unprivileged


@pytest.fixture
def folder() -> Iterator[Path]:
    """Settings with every file that may hold a secret; all but one can be read by their owner alone."""
    with tempfile.TemporaryDirectory() as name:  # where others may look, unlike in pytest's own
        folder = Path(name)
        fill(folder)
        yield folder


def fill(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "token").write_text("ann secret-of-ann\n")
    (folder / "read").write_text("secret-to-read\n")
    (folder / "signals").write_text("secret-of-signals\n")
    (folder / "password").write_text("secret-password\n")
    (folder / "secret").write_text("secret-of-the-group\n")
    (folder / "geodns.yaml").write_text(
        "node: ns1\ntoken_file: token\nread_token_file: read\nsignals_token_file: signals\n"
        "shared: {url: 'redis://192.0.2.60', password_file: password, secret_file: secret}\n"
    )
    for file in folder.iterdir():
        file.chmod(0o644 if file.name == "read" else 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files that another user may not read")
def test_what_only_root_may_read_is_kept_for_the_next_program_and_read_anew_where_it_may(
    folder: Path,
) -> None:
    before = SettingsFiles()
    settings = load_settings(folder / "geodns.yaml", {}, {}, before.read)
    assert before.kept() == {}, "root may read them all"
    with unprivileged():
        found = before.kept()
        assert {path.name for path in found} == {"geodns.yaml", "token", "signals", "password", "secret"}
        assert "secret" not in repr(before)
        with pytest.raises(SettingsError, match="cannot be read"):
            load_settings(folder / "geodns.yaml", {}, {})
        after = SettingsFiles(found)
        assert load_settings(folder / "geodns.yaml", {}, {}, after.read) == settings
        assert after.kept() == found, "for the one after that, too"


def test_a_file_that_the_user_may_read_is_read_anew(folder: Path) -> None:
    token = folder / "token"
    files = SettingsFiles({token: b"old"})
    assert files.read(token) == b"ann secret-of-ann\n"
    token.unlink()
    with pytest.raises(FileNotFoundError):
        files.read(token)


def test_what_is_kept_and_what_is_read_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_files, "_readable", lambda _: False)
    files = SettingsFiles()
    for name in ("token", "password"):
        files.read(folder / name)
    assert len(files.kept()) == 2
    monkeypatch.setattr(settings_files, "MOST", 20)
    assert list(files.kept()) == [folder / "token"]
    monkeypatch.setattr(settings_files, "LONGEST", 10)
    with pytest.raises(OSError, match="too large"):
        files.read(folder / "token")
