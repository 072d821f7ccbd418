"""Reads the files of other programs: bounded, since a file may include what never ends."""

import errno
import stat
from pathlib import Path

MAX_BYTES = 1 << 28
"""Of one file: ten times a zone of a million records."""


def read_source(path: Path, *, included: bool) -> bytes:
    """Return a file's bytes.

    What the operator names may be a pipe, as of ``<(dig … axfr)``; what a file includes may not.

    Raises:
        OSError: it cannot be read, is no file, or is too large.

    """
    try:
        mode = path.stat().st_mode
    except ValueError as error:  # a NUL
        raise OSError(errno.EINVAL, "Is no name of a file") from error
    if not stat.S_ISREG(mode) and (included or not stat.S_ISFIFO(mode)):
        raise OSError(errno.EINVAL, "Is no regular file")
    with path.open("rb") as file:
        found = file.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"File is larger than {MAX_BYTES >> 20} MB")
    return found
