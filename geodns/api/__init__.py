"""The HTTP side: status, health, metrics, control. It knows requests; a `Backend` knows the rest."""

from geodns.api.app import MAX_BODY, make_app
from geodns.api.orders import MAX_REASON
from geodns.api.parts import Order
from geodns.api.site import Site

__all__ = ["MAX_BODY", "MAX_REASON", "Order", "Site", "make_app"]
