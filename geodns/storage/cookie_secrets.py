"""Reads the file of cookie secrets, which servers may share; makes our own and follows its changes.

Each line is a secret of 32 hexadecimal digits; ``#`` begins a comment. The first makes cookies, the others
are accepted too. To change it on several servers: first add the new one below everywhere, then move it up
everywhere, an hour later take the old one out (RFC 9018 section 5).
"""

import secrets
from collections.abc import Iterable
from pathlib import Path

from geodns.errors import StartError
from geodns.wire.cookies import SECRET

MOST = 8
"""Secrets in a file; a forged cookie costs a hash for each."""

MAX_BYTES = 4096
"""Bytes of a file."""
_HOW = "write 32 hexadecimal digits a line, as `openssl rand -hex 16` makes"


def parse(text: bytes) -> tuple[bytes, ...]:
    """Return the secrets of a file's text, or raise ValueError, which names the line but never the secret."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES} bytes, too long for a file of secrets: {_HOW}")
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


def text_of(found: Iterable[bytes]) -> str:
    """Return secrets as text that `parse` reads."""
    return "".join(f"{one.hex()}\n" for one in found)


class CookieFile:
    """A file of secrets, read again at each `poll`.

    Attributes:
        secrets: the last good ones.
        trouble: why the file cannot be used as it is now; None when it can.

    """

    def __init__(self, path: Path, *, make: bool, last: tuple[bytes, ...] | None = None) -> None:
        """Read a file for the first time.

        Args:
            path: of the file.
            make: whether it is ours: made when missing, replaced when unusable.
            last: of a server that runs already: its secrets, to keep should the file be unusable; empty where
                they are not known. None: the server is being started.

        Raises:
            StartError: the server is being started, and the file is not ours and cannot be used.

        """
        self._path = path
        self._make = make
        self.secrets = last or ()
        self.trouble: str | None = None
        self.poll()
        if self.trouble is None:
            return
        if make:
            self.trouble = self._write()
        elif last is None:
            raise StartError(self.trouble)

    def poll(self) -> bool:
        """Read the file again; return whether the secrets changed. An unusable file changes none."""
        before = self.secrets
        self.trouble = None
        try:
            with self._path.open("rb") as file:
                self.secrets = parse(file.read(MAX_BYTES + 1))
        except FileNotFoundError:
            # Ours is not shared: whoever removed it has no better one.
            self.trouble = (
                self._write()
                if self._make
                else f"{self._path}: there is no such file: write one: "
                f"`openssl rand -hex 16 > {self._path}`, or copy the one of the servers that share it"
            )
        except OSError as error:
            self.trouble = (
                f"{self._path}: cannot be read ({error.strerror}): let this server read it, or write another "
                "path to cookie_secret_file"
            )
        except ValueError as error:
            anew = "; or remove it, and it is written anew" if self._make else ""
            self.trouble = f"{self._path}: {error}{anew}"
        return self.secrets != before

    @property
    def warning(self) -> str | None:
        """The warning for the operator of a running server, if any."""
        if self.trouble is None or self._make:
            return self.trouble
        now = "the cookie secrets stay as they were" if self.secrets else "there are no cookies"
        return f"{self.trouble} (until then {now})"

    def _write(self) -> str | None:
        """Make our file, with the secrets of now or a new one; return why it cannot be written, else None."""
        self.secrets = self.secrets or (secrets.token_bytes(SECRET),)
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.unlink(missing_ok=True)
            new.touch(0o600)  # before there is anything to read
            new.write_text(f"# Cookie secrets, the first in use.\n{text_of(self.secrets)}", "ascii")
            new.replace(self._path)
        except OSError as error:
            return f"{self._path}: cannot be written: {error.strerror}: cookies will not outlive a restart"
        return None
