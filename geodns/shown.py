"""What the HTTP side shows and is told: JSON objects; a command needs their type, and not what makes them."""

from typing import Any

Json = dict[str, Any]
