"""Memory that the supervisor and all workers share, in files without names: it outlives a program."""

import mmap
import os

from geodns.responder.rate_limit import CELLS_SIZE, Cells
from geodns.serve.handover import Handover


class SharedMemory:
    """The generation word, and the cells in which workers limit answers.

    Attributes:
        word: moves whenever something was written to workers.
        cells: of the rate limits.
        descriptors: of the two files, in this order; they are closed in workers, which have them mapped.

    """

    def __init__(self, word: int | None = None, cells: int | None = None, secret: bytes = b"") -> None:
        """Take what another program used, or anew what is missing, or of another size there."""
        same = secret if _fits(cells, CELLS_SIZE) else b""
        self.descriptors = (
            _sized(word, "geodns-word", mmap.PAGESIZE),
            _sized(cells, "geodns-cells", CELLS_SIZE),
        )
        self.word = memoryview(mmap.mmap(self.descriptors[0], mmap.PAGESIZE)).cast("Q")
        self.cells = Cells.shared(self.descriptors[1], same)

    @classmethod
    def of(cls, handover: Handover | None) -> "SharedMemory":
        """Return the memory of the program before, or new one."""
        return cls() if handover is None else cls(handover.word, handover.cells, handover.cells_secret)

    def close(self) -> None:
        """Close the files; what is mapped stays."""
        for one in self.descriptors:
            os.close(one)


def _fits(descriptor: int | None, size: int) -> bool:
    return descriptor is not None and os.fstat(descriptor).st_size == size


def _sized(descriptor: int | None, name: str, size: int) -> int:
    if descriptor is not None:
        if _fits(descriptor, size):
            return descriptor
        os.close(descriptor)
    made = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(made, size)
    return made
