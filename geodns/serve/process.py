"""A place for a process of the supervisor's: what runs there, and when the next one is to be started."""

from dataclasses import dataclass, field

from geodns.serve.frames import Stream


@dataclass(slots=True, eq=False)
class Place:
    """A place for a process: what runs there now, and when the next one is to be started.

    Attributes:
        name: of the process.
        backoff: seconds before a restart: at first, and at most.
        pid: None while nothing runs.
        stream: to the process.
        born: when it was started, by `time.monotonic`.
        due: when to start the next one.
        delay: seconds to wait after the next death.
        restarts: processes before this one.
        acked: the newest Table that a worker said it answers from.
        doomed: killed, not dead yet.
        how: how the process before this one ended; continues a sentence about it.

    """

    name: str
    backoff: tuple[float, float]
    pid: int | None = None
    stream: Stream | None = None
    born: float = 0.0
    due: float = 0.0
    delay: float = field(init=False)
    restarts: int = -1
    acked: int = 0
    doomed: bool = False
    how: str = ""

    def __post_init__(self) -> None:
        """Begin with the first delay."""
        self.delay = self.backoff[0]
