"""Lines of any log that is understood: each line's form tells whose it is."""

import json
from collections.abc import Iterator
from typing import Any

from geodns.cli.follow import kumomta
from geodns.cli.follow.exim import Exim
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.postfix import Postfix
from geodns.cli.follow.said import Said

LONGEST = 64 << 10
"""Bytes of a line; longer ones are left out."""
_EXIM = (b" => ", b" == ", b" ** ", b" -> ", b" >> ", b" Completed")
_ENTRY = b'"MESSAGE":"'
_JOURNAL = (b": removed", *_EXIM)


class LogReader:
    """Reads lines of Postfix and Exim, from files or the journal, and of KumoMTA.

    Attributes:
        times: reads their timestamps.
        unreadable: lines that look like those of a mail server, or are JSON, and are not.

    """

    def __init__(self, times: LogTimes) -> None:
        self.times = times
        self.unreadable = 0
        self._postfix = Postfix()
        self._exim = Exim()

    def read(self, data: bytes) -> Iterator[Said]:
        """Yield what whole lines say."""
        for line in data.split(b"\n"):
            if line[:1] == b"{":
                # Most entries of a journal say nothing, and reading JSON takes longer than a look.
                if _ENTRY not in line or b" status=" in line or any(sign in line for sign in _JOURNAL):
                    yield from self._json(line)
                continue
            if (b" status=" in line or line.endswith(b": removed")) and len(line) <= LONGEST:
                said = self._line(self._postfix, line)
                if said is not None:
                    yield said
                    continue
            for sign in _EXIM:
                if sign in line:
                    if len(line) <= LONGEST:
                        said = self._line(self._exim, line)
                        if said is not None:
                            yield said
                    break

    def _line(self, reader: Postfix | Exim, line: bytes) -> Said | None:
        try:
            return reader.read_line(_text(line), self.times)
        except (ValueError, OverflowError):  # figures that are none
            self.unreadable += 1
            return None

    def _json(self, line: bytes) -> Iterator[Said]:
        try:
            record = json.loads(line)
            yield from self.record(record)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            self.unreadable += 1

    def record(self, record: dict[str, Any]) -> Iterator[Said]:
        """Yield what an entry of the journal or a record of KumoMTA says.

        Raises:
            ValueError, TypeError, KeyError, AttributeError, OverflowError: it is neither.

        """
        if "type" in record:
            yield from kumomta.read_record(record)
            return
        text = record["MESSAGE"]
        if isinstance(text, list):  # how the journal gives what is no UTF-8
            text = bytes(text).decode(errors="replace")
        if not text:
            return
        tag = str(record.get("SYSLOG_IDENTIFIER", ""))
        at = int(record["__REALTIME_TIMESTAMP"]) / 1e6
        if tag.startswith("exim"):
            said = self._exim.read(text, at, self.times)
        else:
            said = self._postfix.read(tag, text, at)
        if said is not None:
            yield said


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").lstrip(b"\0").decode(errors="replace")
