"""Has GeoIP files read by a process of their own (`geoip_reader`)."""

import asyncio

from geodns.zones.apart import ApartError, run_apart
from geodns.zones.geoip_frames import GeoipReport, GeoipRequest, read_report, write_request

TIME_LIMIT = 600.0
"""Seconds; a Country file of a million networks takes 2, on a machine that has nothing else to do."""


async def read_apart(request: GeoipRequest) -> GeoipReport:
    """Read files without holding up the loop.

    Raises:
        ApartError: nothing was read, and no file is to blame for it.

    """
    data = await run_apart("geodns.zones.geoip_reader", (write_request(request),), TIME_LIMIT)
    try:
        return await asyncio.to_thread(read_report, data)
    except ValueError as error:
        raise ApartError(f"its process wrote no report ({error})") from error
