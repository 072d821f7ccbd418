"""The processes that answer: a supervisor, UDP workers, a TCP worker, and the control side's link to them.

`supervisor.run` starts them; the control process holds a `ControlLink`. Nothing here knows zones or checks:
a Table comes in, and `responder.respond` answers packets from it.
"""
