"""Codes of countries and continents that rules may name."""

from functools import lru_cache
from importlib.resources import files

CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")
"""As GeoIP files and octoDNS write them."""

USUAL_WORDS = {"UK": "GB", "EL": "GR"}
"""Codes that are no country's by ISO 3166-1, though people write them."""


@lru_cache(1)
def countries() -> dict[str, str]:
    """Return the names of all countries by their codes (ISO 3166-1 alpha-2).

    They come with the time zone database. XK is of the codes that ISO leaves to users: GeoIP files have
    Kosovo by it.
    """
    text = files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text("utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {line[:2]: line[3:] for line in lines} | {"XK": "Kosovo"}
