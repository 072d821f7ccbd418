"""Runs as a process of its own and reads GeoIP files for control, so that probes and HTTP go on undisturbed.

It takes one request from its standard input and writes one report; where control ends meanwhile, so does it.
"""

import contextlib
import hashlib
import os
import resource
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from setproctitle import setproctitle

from geodns.zones.geoip import GeoipError, GeoipSearch, open_file
from geodns.zones.geoip_frames import GeoipFileReport, GeoipReport, GeoipRequest, read_request, write_report

NICE = 19
MAX_DATA = 2 << 30
"""Bytes of memory; City files take about a fifth."""


def read_files(request: GeoipRequest) -> GeoipReport:
    """Read the files and, in the place of those that cannot be used, their copies."""
    search = GeoipSearch(request.names)
    files = tuple(_read(path, copy_of(path, request.copies), search) for path in request.paths)
    _forget_others(request)
    return GeoipReport(files, search.kinds, search.ranges())


def copy_of(path: Path, copies: Path) -> Path:
    """Return where the copy of a file is kept."""
    return copies / f"{hashlib.sha256(bytes(path)).hexdigest()[:16]}.mmdb"


def _read(path: Path, copy: Path, search: GeoipSearch) -> GeoipFileReport:
    try:
        file = open_file(path)
        search.add(file)
    except GeoipError as error:
        wrong = f"{path}: {error}"
    except MemoryError:
        return GeoipFileReport(
            error=f"{path}: needs more than {MAX_DATA >> 20} MiB of memory: give a smaller one"
        )
    else:
        return GeoipFileReport(file.build, unkept=_keep(file.data, copy))
    try:
        file = open_file(copy)
        search.add(file)
    except GeoipError:
        return GeoipFileReport(error=wrong)
    return GeoipFileReport(file.build, error=wrong)


def _keep(data: bytes, copy: Path) -> str:
    """Keep a copy of a good file; return why there is none."""
    draft = copy.with_suffix(".new")
    try:
        if _holds(copy, data):
            return ""
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(copy)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        return f"{copy}: {error.strerror}"
    return ""


def _holds(copy: Path, data: bytes) -> bool:
    try:
        return copy.stat().st_size == len(data) and copy.read_bytes() == data
    except FileNotFoundError:
        return False


def _forget_others(request: GeoipRequest) -> None:
    """Remove the copies of files that are not in the settings any more."""
    kept = {copy_of(path, request.copies) for path in request.paths}
    with contextlib.suppress(OSError):
        for path in request.copies.iterdir():
            if path not in kept:
                path.unlink()


def _lower(limits: Iterable[tuple[int, int]]) -> None:
    """Take the processor last, and no more memory than this; a service may not be allowed to say so."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    for limit, most in limits:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


def _end_with_control() -> None:
    """End when the pipe that control holds open is closed."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Read one request, write its report, and end."""
    _lower([(resource.RLIMIT_DATA, MAX_DATA), (resource.RLIMIT_CORE, 0)])
    setproctitle("geodns: geoip")
    request = read_request(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_control, daemon=True).start()
    for part in write_report(read_files(request)):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    os._exit(0)  # the thread waits for ever


if __name__ == "__main__":
    main()
