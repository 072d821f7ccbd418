"""What the HTTP side shows and is told: JSON objects, and bounds in them that commands check before they ask.

It imports nothing of ours: a command needs these, and not what makes an answer.
"""

from typing import Any

Json = dict[str, Any]

MAX_WEIGHT = 2**31 - 1
"""The largest weight that a file or an order may give."""
