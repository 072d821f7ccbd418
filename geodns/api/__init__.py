"""The HTTP side: status, health, metrics, control. It knows requests; a `Backend` knows the rest."""

from geodns.api.app import MAX_BODY, make_app
from geodns.api.site import Site

__all__ = ["MAX_BODY", "Site", "make_app"]
