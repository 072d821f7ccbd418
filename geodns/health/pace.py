"""Whether a target answers slowly: judged over its last answers, so that a single one changes nothing."""

from dataclasses import dataclass

RECENT = 5
"""Answers that are looked at."""
BEGIN = 3
"""So many slow ones of these make it slow."""
END = 1
"""With no more than so many it is slow no longer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a target has answered of late.

    Attributes:
        recent: whether each of its last answers was slow, the newest last.
        slow: what that comes to.

    """

    recent: tuple[bool, ...] = ()
    slow: bool = False

    @classmethod
    def known(cls, *, slow: bool) -> "Pace":
        """Return the pace of a target of which no more is known than what it came to before."""
        return cls((True,) * BEGIN, slow=True) if slow else cls()

    def after(self, seconds: float, limit: float) -> "Pace":
        """Return the pace after one more answer.

        Args:
            seconds: from EHLO to its 250.
            limit: from how many seconds on an answer is slow.

        """
        recent = (*self.recent, seconds >= limit)[-RECENT:]
        slow = sum(recent) > END if self.slow else sum(recent) >= BEGIN
        return self if recent == self.recent and slow == self.slow else Pace(recent, slow)
