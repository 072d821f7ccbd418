"""The errors that geodns raises on purpose, as one tree; the number is a command's exit status, else 1.

::

    GeodnsError                 `status` is the exit status of a command that meets it
    ├── UsageError              a command was called wrongly (status 2)
    ├── ZoneError               zone files with problems; carries all of them
    ├── SettingsError           the server's own settings are wrong
    ├── BadNameError            a text is no domain name
    ├── StoreError              the state directory or its file cannot be used
    │   └── DamagedError        in storage/sqlite_errors.py
    ├── NotFoundError           no such zone, host or pool
    ├── AmbiguousError          a short host name that two zones have (status 2)
    ├── SourceError             a source of hosts gives none: what it gave before is kept
    ├── ServerError             a running server could not be reached, or answered with an error
    │   └── UnreachableError    in cli/client.py
    ├── HandoverError           in serve/handover.py: what another version handed over cannot be read
    └── StartError              the server cannot start (port taken, no zones, state locked …)
"""

from dataclasses import dataclass


def printable(text: str) -> str:
    """Escape what terminals, logs and scrapes cannot show; a path may be any bytes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def printable_lines(text: str) -> str:
    """Do the same line by line."""
    return "\n".join(map(printable, text.split("\n")))


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file; with a warning the file can be served all the same.

    Attributes:
        file: the path as the operator gave it.
        line: counted from 1, as `column`; 0 where the whole file is meant, or the whole line.
        instead: what to write instead; may be empty.
        times: for how many problems it stands.

    """

    file: str
    line: int
    column: int
    what: str
    instead: str = ""
    warning: bool = False
    times: int = 1

    def __str__(self) -> str:
        file = printable(self.file)
        place = ":".join([file, *(str(one) for one in (self.line, self.column) if one)])
        parts = [
            place,
            *(["warning"] if self.warning else []),
            self.what,
            *([self.instead] if self.instead else []),
        ]
        return ": ".join(parts)


class GeodnsError(Exception):
    """Any error raised on purpose; its text is one line for the operator."""

    status = 1


class UsageError(GeodnsError):
    """A command was called wrongly."""

    status = 2


class ZoneError(GeodnsError):
    """Zone files with problems: all of them, in the order of the files."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SettingsError(GeodnsError):
    """The server's own settings are wrong."""


class BadNameError(GeodnsError):
    """A text is no domain name (RFC 1035 section 2.3.4)."""


class StoreError(GeodnsError):
    """The state directory or its file cannot be used."""


class NotFoundError(GeodnsError):
    """No such zone, host or pool."""


class AmbiguousError(GeodnsError):
    """A short host name that more than one zone has."""

    status = 2


class SourceError(GeodnsError):
    """A source of hosts gives none; the hosts that it gave before are kept."""


class ServerError(GeodnsError):
    """A running server could not be reached, or answered with an error."""


class StartError(GeodnsError):
    """The server cannot start: port taken, no zones, state locked."""
