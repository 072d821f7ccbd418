"""The file of cookie secrets, which servers may share: made where there is none, read again when it changes.

Each line is a secret of 32 hexadecimal digits; ``#`` begins a comment. The first makes cookies, the others
are good, too. To change it on several servers: first add the new one below everywhere, then move it up
everywhere, an hour later take the old one out (RFC 9018 section 5).
"""

import secrets
from pathlib import Path

from geodns.cookies import SECRET
from geodns.errors import StartError

MOST = 8
"""Secrets in a file; with every one more, a forged cookie costs one more hash."""

_MAX_BYTES = 4096
_HOW = "write 32 hexadecimal digits a line, as `openssl rand -hex 16` makes"


def parse(text: bytes) -> tuple[bytes, ...]:
    """Return the secrets that a file's text has.

    Raises:
        ValueError: says in which line what is wrong, but never the secret.

    """
    found: list[bytes] = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition(b"#")[0].strip()
        if not word:
            continue
        try:
            secret = bytes.fromhex(word.decode("ascii"))
        except ValueError:
            secret = b""
        if len(secret) != SECRET:
            raise ValueError(f"line {number}: no secret: {_HOW}")
        found.append(secret)
    if not found:
        raise ValueError(f"no secret: {_HOW}")
    if len(found) > MOST:
        raise ValueError(f"{len(found)} secrets: take out those that no server makes cookies with any more")
    return tuple(found)


class CookieFile:
    """The secrets of a file, as they are now.

    Attributes:
        secrets: the last good ones.
        trouble: why the file cannot be used as it is now; None when it can.

    """

    def __init__(self, path: Path, *, make: bool) -> None:
        """Read a file for the first time.

        Args:
            path: of the file.
            make: whether it is ours: made when it is not there, made anew when it is of no use.

        Raises:
            StartError: it is not ours, and cannot be used.

        """
        self._path = path
        self.secrets: tuple[bytes, ...] = ()
        self.trouble: str | None = None
        self.poll()
        if self.trouble is None:
            return
        if not make:
            raise StartError(self.trouble)
        self.secrets = (secrets.token_bytes(SECRET),)
        self.trouble = self._write()

    def poll(self) -> bool:
        """Look at the file again; say whether the secrets are others now. A file in trouble changes none."""
        before = self.secrets
        self.trouble = None
        try:
            with self._path.open("rb") as file:
                self.secrets = parse(file.read(_MAX_BYTES))
        except OSError as error:
            self.trouble = f"{self._path}: cannot be read: {error.strerror}: the cookie secrets stay"
        except ValueError as error:
            self.trouble = f"{self._path}: {error}"
        return self.secrets != before

    def _write(self) -> str | None:
        try:
            self._path.touch(0o600)  # before there is anything to read
            self._path.write_text(f"# Cookie secrets, the first in use.\n{self.secrets[0].hex()}\n", "ascii")
        except OSError as error:
            return f"{self._path}: cannot be written: {error.strerror}: cookies will not outlive a restart"
        return None
