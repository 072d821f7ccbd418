"""Hours of the week in a rule, and their time zone, as an operator writes them."""

import difflib
import re
from zoneinfo import ZoneInfo, available_timezones

from geodns.config.report import Report, quoted
from geodns.config.value_types import ValueType, items_of, one_or_more, text_of
from geodns.config.yaml_nodes import YamlNode
from geodns.model.views import DAY, Hours, HourSpan

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NUMBER = {day.lower(): number for number, day in enumerate(DAYS)}
_TIMES = re.compile("([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_HOW = "write days, times or both, as Mon-Fri 08:00-18:00"
_OF_THIS_MACHINE = frozenset({"localtime", "posixrules", "Factory"})


def parse_span(text: str) -> HourSpan:
    """Read ``Mon-Fri 08:00-18:00``, days alone or times alone.

    Raises:
        ValueError: with two arguments: what is wrong, and what to write instead.

    """
    words = text.split()
    days = words[0] if words and words[0][0].isalpha() else ""
    rest = words[1:] if days else words
    if len(rest) > 1 or not words:
        raise ValueError(f"{quoted(text)} is no hours of the week", _HOW)
    found = _days(days) if days else frozenset(range(7))
    if not rest:
        return HourSpan(days=found)
    begin, end = _times(rest[0])
    return HourSpan(days=found, begin=begin, end=end)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        for word in ends:
            if word.lower() not in _NUMBER:
                raise ValueError(f"{quoted(word)} is no day", f"write {', '.join(DAYS)}, or days as Mon-Fri")
        begin, end = (_NUMBER[word.lower()] for word in ends)
        found |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    return frozenset(found)


def _times(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no time of day", _HOW)
    hours = int(found[1]), int(found[3])
    minutes = int(found[2]), int(found[4])
    begin, end = (60 * hour + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or begin > DAY or end > DAY:
        raise ValueError(f"{quoted(text)} is out of range", "write 00:00 to 24:00")
    if begin == DAY:
        raise ValueError("24:00 is where a day ends, not where one begins", "write 00:00, of the next day")
    if begin == end:
        raise ValueError(f"{quoted(text)} ends where it begins", "write 00:00-24:00 for whole days")
    return begin, end


def _read_hours(node: YamlNode, report: Report) -> Hours | None:
    items = items_of(node)
    if not items:
        report.error(node, "a condition without hours", _HOW)
    texts: list[str] = []
    spans: list[HourSpan] = []
    for item in items:
        text = text_of(item, report, "hours", _HOW)
        if text is None:
            continue
        try:
            spans.append(parse_span(text))
        except ValueError as error:
            report.error(item, *error.args)
            continue
        texts.append(" ".join(text.split()))
    return Hours(text=tuple(texts), spans=tuple(spans)) if spans and len(spans) == len(items) else None


HOURS = ValueType(
    _read_hours, one_or_more({"type": "string"}, minItems=1), "hours of the week: one or a list"
)


def _read_tz(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a time zone", "write a name as Europe/Berlin")
    if text is None or _is_zone(text):
        return text
    known = available_timezones() - _OF_THIS_MACHINE
    by_city = {name.rpartition("/")[2].lower(): name for name in sorted(known, reverse=True)}
    wanted = text.replace(" ", "_").lower()
    nearest = by_city.get(wanted.rpartition("/")[2])
    close = [nearest] if nearest else difflib.get_close_matches(text[:60], known, 1)
    instead = f"did you mean {quoted(close[0])}?" if close else "write a name as Europe/Berlin"
    report.error(node, f"no time zone is called {quoted(text)}", instead)
    return None


def _is_zone(name: str) -> bool:
    if name in _OF_THIS_MACHINE:
        return False
    try:
        ZoneInfo(name)
    except (
        OSError,
        ValueError,
        LookupError,
    ):  # as for a folder, a path that leads out, and what is not there
        return False
    return True


TZ = ValueType(_read_tz, {"type": "string", "minLength": 1}, "IANA time zone")
