"""The HTTP side: status, health, metrics, control. It knows requests; a `Backend` knows the rest."""

from geodns.api.app import MAX_BODY, make_app
from geodns.api.orders import MAX_REASON
from geodns.api.parts import Order

__all__ = ["MAX_BODY", "MAX_REASON", "Order", "make_app"]
