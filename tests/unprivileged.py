"""Files that may not be read, also for tests that root runs."""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

NOBODY = 65534


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody while the block runs, if the test is run by root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def open_to_all(paths: Sequence[Path], hold: Path) -> tuple[str, ...]:
    """What to put before a command so that nobody can reach some paths, which root's home may hide.

    A mount namespace of its own shows the command that home with nothing in it but the paths.
    """
    with unprivileged():
        hidden = [path for path in paths if not os.access(path, os.R_OK | os.X_OK, effective_ids=True)]
        closed = {
            parent
            for path in hidden
            for parent in path.parents
            if os.path.lexists(parent) and not os.access(parent, os.X_OK, effective_ids=True)
        }
    if not hidden:
        return ()
    if not closed:
        pytest.skip(f"nobody may read {hidden[0]}: chmod o+rX")
    top = min(closed, key=lambda path: len(path.parts))
    lines = []
    for number, path in enumerate(hidden):
        (hold / str(number)).mkdir(parents=True, exist_ok=True)
        lines.append(f"mount --rbind {shlex.quote(str(path))} {shlex.quote(str(hold / str(number)))}")
    lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}")
    for number, path in enumerate(hidden):
        where = shlex.quote(str(path))
        lines.append(f"mkdir -p {where}")
        lines.append(f"mount --rbind {shlex.quote(str(hold / str(number)))} {where}")
    prefix = ("unshare", "--mount", "--", "sh", "-ec", "\n".join([*lines, 'cd . && exec "$@"']), "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"nobody may read {top}, and no mounts of its own are to be had here")
    return prefix
