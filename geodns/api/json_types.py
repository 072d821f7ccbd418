"""JSON objects of the HTTP side; it imports nothing, so that commands load no more than they need."""

from typing import Any

Json = dict[str, Any]
