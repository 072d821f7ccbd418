"""An operator's own patterns of replies, in the form of KumoMTA's bounce classifier.

A TOML file with a table `rules`: classes, each with a list of patterns over the line `CODE ENHANCED TEXT`. A
class is one of KumoMTA's or one of our own words (`ip`, `netblock`, …). The first pattern that fits decides,
before our own table.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geodns.config.linear import wrong_with
from geodns.errors import Problem
from geodns.model.mail import About
from geodns.signals.reply_patterns import too_large

MAX_ADDITIONS = 2_000
MAX_PATTERN = 1_000

KUMOMTA: Mapping[str, About] = {
    "InvalidRecipient": About.RECIPIENT,
    "InactiveMailbox": About.RECIPIENT,
    "QuotaIssues": About.RECIPIENT,
    "BadDomain": About.RECIPIENT,
    "RoutingErrors": About.RECIPIENT,
    "RelayDenied": About.RECIPIENT,
    "RelayingIssues": About.RECIPIENT,
    "SpamBlock": About.IP,
    "SpamContent": About.CONTENT,
    "SpamRelated": About.CONTENT,
    "ContentRelated": About.CONTENT,
    "VirusRelated": About.CONTENT,
    "ProhibitedAttachment": About.CONTENT,
    "InvalidSender": About.DOMAIN,
    "AuthenticationFailed": About.DOMAIN,
    "TooManyRecipients": About.RATE,
    "DNSFailure": About.PASSING,
    "TransientFailure": About.PASSING,
    "BadConnection": About.PASSING,
    "BadConfiguration": About.PASSING,
    "MessageExpired": About.PASSING,
    "NoAnswerFromHost": About.PASSING,
    "ProtocolErrors": About.PASSING,
    "PolicyRelated": About.UNKNOWN,
    "Uncategorized": About.UNKNOWN,
    "AutoReply": About.UNKNOWN,
    "Subscribe": About.UNKNOWN,
    "Unsubscribe": About.UNKNOWN,
    "ChallengeResponse": About.UNKNOWN,
}
"""KumoMTA's bounce classes, by their own descriptions; `SpamBlock` is "from a known spam source"."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A pattern of the operator's, and whom what it finds speaks of."""

    about: About
    pattern: str
    name: str


def read_additions(path: Path) -> tuple[tuple[Addition, ...], tuple[Problem, ...]]:
    """Return the patterns of a file, and all that is wrong with it; with a problem there are none."""
    file = str(path)
    try:
        text = path.read_bytes().decode()
        rules = tomllib.loads(text).get("rules")
    except OSError as error:
        return (), (Problem(file, 0, 0, f"cannot be read: {error.strerror}"),)
    except UnicodeDecodeError as error:
        return (), (Problem(file, error.object.count(b"\n", 0, error.start) + 1, 0, "is not UTF-8"),)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (len(text.splitlines()), 0)
        return (), (Problem(file, line, column, f"is not TOML: {str(error).partition(' (at ')[0]}"),)
    if not isinstance(rules, dict):
        return (), (
            Problem(file, 0, 0, "has no table of rules", "write [rules], and below it a list a class"),
        )
    found: list[Addition] = []
    problems: list[Problem] = []
    for name, patterns in rules.items():
        line = _line_of(text, name)
        for what, instead in _wrongs(name, patterns):
            problems.append(Problem(file, line, 0, what, instead))
        if not problems:
            about = _about(name)
            assert about is not None
            found += (Addition(about, one, f"{name}-{number}") for number, one in enumerate(patterns, 1))
    if len(found) > MAX_ADDITIONS:
        problems.append(
            Problem(file, 0, 0, f"{len(found):,} patterns", f"at most {MAX_ADDITIONS:,} are taken")
        )
    elif not problems and too_large(one.pattern for one in found):
        problems.append(Problem(file, 0, 0, "the patterns are too large together", "repeat less in them"))
    return (() if problems else tuple(found)), tuple(problems)


def _about(name: str) -> About | None:
    return KUMOMTA.get(name) or next((one for one in About if one.value == name), None)


def _wrongs(name: str, patterns: object) -> list[tuple[str, str]]:
    """Return what is wrong with a class, and what to write instead."""
    if _about(name) is None:
        return [(f"there is no class {name!r}", f"known here: {', '.join([*About, *KUMOMTA])}")]
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        return [(f"class {name} is no list of patterns", "write each in quotes, between brackets")]
    return [
        (f"pattern {number} of class {name} cannot be used: {wrong}", "")
        for number, pattern in enumerate(patterns, 1)
        if (
            wrong := f"over {MAX_PATTERN:,} characters" if len(pattern) > MAX_PATTERN else wrong_with(pattern)
        )
    ]


def _line_of(text: str, name: str) -> int:
    """Return the line of a key; TOML's reader does not tell it."""
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=")
    return next((number for number, line in enumerate(text.splitlines(), 1) if key.match(line)), 0)
