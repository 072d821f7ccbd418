"""The processes that answer: a supervisor, UDP workers, a TCP worker, and the control side's link to them.

`supervisor.run` is the way in; `link.Link` is what the control process holds. Nothing here knows zones or
checks: what comes in is a Table, what is done with a packet is `responder.respond`.
"""
