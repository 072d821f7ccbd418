"""What it means that a host says something else than a check expects."""

from geodns.expressions import SLOWLY, found
from geodns.health.outcome import Kind


def missed(pattern: str, text: str, what: str, said: str) -> tuple[Kind, str] | None:
    """Return what it means that a text is not as expected; None: it is.

    Args:
        pattern: a regular expression that must be found in it.
        text: where to look.
        what: the text's name, as "the greeting".
        said: what the operator sees of it.

    """
    shown = repr(pattern[:60])
    try:
        there = found(pattern, text)
    except TimeoutError:
        return Kind.UNKNOWN, f"it takes too long to look for {shown} in {what}: {SLOWLY}"
    return None if there else (Kind.FAILURE, f"{what} does not match {shown}: {said}")
