"""Has GeoIP files read by a process of their own (`geoip_reader`), within bounds of time."""

import asyncio
import contextlib
import sys

from geodns.zones.geoip_frames import GeoipReport, GeoipRequest, read_report, write_request

TIME_LIMIT = 120.0
"""Seconds; a Country file of a million networks takes 2 on an idle machine."""

_COMMAND = (sys.executable, "-P", "-m", "geodns.zones.geoip_reader")


class GeoipReadError(Exception):
    """Nothing was read, and no file is to blame for it."""


async def read_apart(request: GeoipRequest) -> GeoipReport:
    """Read files without holding up the loop.

    Raises:
        GeoipReadError: the process could not be started, was killed, or took too long.

    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND, stdin=pipe, stdout=pipe, start_new_session=True
        )
    except OSError as error:
        raise GeoipReadError(f"no process can be started ({error.strerror})") from error
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIME_LIMIT):
            process.stdin.write(write_request(request))
            data = await process.stdout.read()
            status = await process.wait()
    except TimeoutError:
        raise GeoipReadError(f"it takes longer than {TIME_LIMIT:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        process.stdin.close()
    if status:
        raise GeoipReadError(f"the process that reads them ended with status {status}")
    try:
        return await asyncio.to_thread(read_report, data)
    except ValueError as error:
        raise GeoipReadError(f"the process that reads them wrote no report ({error})") from error
