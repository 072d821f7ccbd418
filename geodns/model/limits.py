"""Bounds that several packages share."""

MAX_WEIGHT = 2**31 - 1
"""The largest weight that a file or an order may give."""
CYCLE = 1024
"""Sets of hosts in a cycle of answers, at most, unless there are more hosts."""
MAX_REASON = 500
"""Characters of a reason."""
MAX_AUTHOR = 200
"""Characters of an author's name; the server writes more into it than the client says."""
MAX_TIME = 4e9
"""Seconds since the epoch, in the year 2096: later times are slips of a hand."""
MAX_TTL = 2**31 - 1
"""Seconds (RFC 2181 section 8)."""
MAX_SIMULATED = 20_000
"""Clients in one simulation that a server deals."""
MAX_ASKED = 10**9
"""Queries of one client in a simulation."""
