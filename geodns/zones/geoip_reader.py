"""Reads GeoIP files in a process of its own (`geoip_reading` starts it), and keeps copies of good ones."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from geodns.zones.apart import MAX_DATA, end_with_control, serve_apart
from geodns.zones.geoip import GeoipError, GeoipSearch, open_file
from geodns.zones.geoip_frames import GeoipFileReport, GeoipReport, GeoipRequest, read_request, write_report


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


def _answer(stream: BinaryIO) -> Iterator[bytes]:
    request = read_request(stream.readline())
    end_with_control()
    yield from write_report(read_files(request))


if __name__ == "__main__":
    serve_apart("geodns: geoip", _answer)
