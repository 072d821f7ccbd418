"""The formats of the files in the state directory that this version writes."""

from collections.abc import Mapping

FORMATS: Mapping[str, int] = {"geodns.db": 1, "events.db": 1, "history.db": 1, "signals.db": 1}
"""By the files' names. Another number makes a file that versions before cannot use: it is kept for them as it
was, see `going_back`. A table, or a column with a default, that comes in addition needs none."""
