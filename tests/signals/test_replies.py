"""Whom replies speak of: a corpus of what receivers say, and what must hold for any text."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.config.linear import wrong_with
from geodns.errors import Problem
from geodns.model.mail import About
from geodns.model.providers import OTHER, PROVIDERS
from geodns.signals.replies import MAX_TEXT, Replies
from geodns.signals.reply_additions import KUMOMTA, Addition, read_additions
from geodns.signals.reply_table import read_rows

REPLIES = Replies()
DATA = Path(__file__).parent / "data"
CORPUS = ("replies.txt", "replies_held_out.txt")


def corpus(file: str) -> Iterator[tuple[str, About, int, str, str]]:
    for line in (DATA / file).read_text().splitlines():
        if line and not line.startswith("#"):
            provider, about, code, enhanced, text = (part.strip() for part in line.split("|", 4))
            yield provider, About(about), int(code), enhanced, text.replace("\\n", "\n")


def test_the_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    """At least 98 % are put to the right class, and nothing else is taken for the IP."""
    right: Counter[About] = Counter()
    wrong: Counter[About] = Counter()
    missed = []
    receivers = set()
    for file in CORPUS:
        for provider, about, code, enhanced, text in corpus(file):
            receivers.add(provider)
            said = REPLIES.classify(code, enhanced, text, provider)
            (right if said.about is about else wrong)[about] += 1
            if said.about is not about:
                missed.append(f"{about} taken for {said.about} by {said.rule or 'nothing'}: {text}")
    with capsys.disabled():
        print("\n" + ", ".join(f"{about} {right[about]}/{wrong[about]}" for about in About), "(right/wrong)")  # noqa: T201
    assert right.total() + wrong.total() >= 700
    assert len(receivers - {OTHER}) >= 30
    assert right.total() >= 0.98 * (right.total() + wrong.total()), "\n".join(missed)
    assert [one for one in missed if "taken for ip " in one] == []


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "provider", "about", "wait_s"),
    [
        (421, "4.7.0", "421 4.7.0 [TSS04] Messages from 192.0.2.1 put off", "yahoo", About.IP, 7200),
        (421, "", "421 mwinf5c30 ME Service refuse. OFR_999 [999]", "orange", About.PASSING, 7200),
        (554, "", "554 192.0.2.1 blocked IB113", "godaddy", About.IP, 86400),
        # a provider's own meaning of a code, and everybody's
        (451, "4.7.23", "x", "google", About.DOMAIN, None),
        (451, "4.7.23", "The sending IP has no PTR record", "google", About.IP, None),
        (421, "4.7.28", "whatever", "google", About.RATE, None),
        (550, "5.7.28", "whatever", "other", About.RATE, None),
        (550, "5.7.606", "x", "microsoft", About.IP, None),
        (550, "5.7.606", "x", "other", About.UNKNOWN, None),
        (550, "4.7.606", "x", "microsoft", About.IP, None),  # as Postfix has it where it was the greeting
        # codes alone
        (550, "5.1.1", "x", "other", About.RECIPIENT, None),
        (450, "4.2.0", "x", "other", About.RECIPIENT, None),
        (550, "5.6.1", "x", "other", About.CONTENT, None),
        (451, "4.4.1", "x", "other", About.PASSING, None),
        (421, "", "x", "other", About.PASSING, None),
        (451, "4.7.1", "x", "other", About.UNKNOWN, None),
        (552, "", "x", "other", About.RECIPIENT, None),
        (550, "", "x", "other", About.UNKNOWN, None),
        (0, "", "something that the MTA says of itself", "other", About.PASSING, None),
        (0, "", "", "other", About.UNKNOWN, None),
        # codes that stand in the text alone, or nowhere
        (0, "", "550-5.1.1 x\n550 5.1.1 y", "other", About.RECIPIENT, None),
        (550, "no code", "5.1.1", "other", About.UNKNOWN, None),
        (-1, "9.9.9", "user unknown", "other", About.RECIPIENT, None),
    ],
)
def test_one_reply(
    code: int, enhanced: str, text: str, provider: str, about: About, wait_s: float | None
) -> None:
    said = REPLIES.classify(code, enhanced, text, provider)
    assert (said.about, said.wait_s) == (about, wait_s), said.rule


@pytest.mark.parametrize(
    "mailbox", ["blocked-ip-192.0.2.1.reputation", "spamhaus", "greylist", "user-unknown"]
)
def test_a_mail_address_decides_nothing(mailbox: str) -> None:
    plain = REPLIES.classify(550, "5.7.1", "550 5.7.1 <kim@example.com>: Denied", "other")
    assert REPLIES.classify(550, "5.7.1", f"550 5.7.1 <{mailbox}@example.com>: Denied", "other") == plain


def test_lines_may_be_joined_in_any_way() -> None:
    lines = [
        "550-5.7.1 [192.0.2.1 19] due to the very low reputation of the",
        "550-5.7.1 sending IP",
        "550 5.7.1 - gsmtp",
    ]
    for between in ("\n", "\r\n", " ", "\\n", " \\n "):
        assert REPLIES.classify(550, "5.7.1", between.join(lines), "google").rule == "google-ip-reputation"


PROVIDER_NAMES = st.sampled_from([OTHER, *(provider.name for provider in PROVIDERS), "", "no-such"])
CODES = st.one_of(st.integers(400, 599), st.integers())
ENHANCED = st.one_of(st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True), st.text(max_size=12))
TEXTS = st.one_of(
    st.text(max_size=400),
    st.binary(max_size=400).map(lambda some: some.decode("utf-8", "surrogateescape")),
    st.binary(max_size=400).map(lambda some: some.decode("latin-1")),
    st.sampled_from([text for file in CORPUS for *_, text in corpus(file)]),
)


@given(CODES, ENHANCED, TEXTS, PROVIDER_NAMES)
@example(550, "5.1.1", "\udcff\x00\ud800", "google")
def test_any_text_has_an_answer(code: int, enhanced: str, text: str, provider: str) -> None:
    said = REPLIES.classify(code, enhanced, text, provider)
    assert isinstance(said.about, About)
    assert REPLIES.classify(code, enhanced, text, provider) == said


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "1.",
        "a.",
        "a@",
        "@",
        "::",
        "<",
        "550 5.1.1 ",
        "550-",
        "-",
        " ",
        "\n",
        "\\n",
        "ip ",
        "[1.1.1.1] ",
        "\x00",
        "\udcff",
        "from ",
    ],
)
def test_no_text_takes_long(part: str) -> None:
    REPLIES.classify(550, "5.7.1", part * 10, OTHER)
    for text in (part * (MAX_TEXT // len(part)), part * 100_000):
        start = time.process_time()
        REPLIES.classify(550, "5.7.1", text, OTHER)
        assert time.process_time() - start < 0.25


@given(st.text(alphabet="abcdefghij klmnopqrstuvwxyz.,[]0123456789", max_size=1500))
def test_a_tag_is_found_in_whatever_stands_around_it(around: str) -> None:
    """RE2 finds nothing when it lacks room for its states; it must have enough for any text."""
    assert REPLIES.classify(554, "", f"554 [BL21] {around}", "yahoo").about in {About.IP, About.PASSING}


def test_every_row_has_its_source_and_can_be_reached() -> None:
    rows = read_rows()
    assert len({row.rule for row in rows}) >= 100
    names = {provider.name for provider in PROVIDERS} | {""}
    assert [
        row.rule for row in rows if row.provider not in names or not row.source or row.about is About.UNKNOWN
    ] == []
    assert [(row.rule, wrong) for row in rows if (wrong := wrong_with(row.pattern))] == []
    assert [
        row.rule
        for row in rows
        if row.pattern != row.pattern.lower() and not re.search(r"\\[A-Z]", row.pattern)
    ] == []
    by_rule = {row.rule: row.source for row in rows}
    assert all(by_rule[row.rule] == row.source for row in rows), "two rules of one name"


def test_only_rows_that_say_ip_move_a_host() -> None:
    """What makes a host move is a short list that a reader can go through."""
    assert {
        row.rule for row in read_rows() if row.about is About.IP and not row.provider and "words" in row.rule
    } == {
        "words-ip-harvesting",
        "words-ip-reputation",
        "words-blocked-using",
        "words-listed",
        "words-ip-refused",
        "words-dynamic",
        "words-ptr",
        "words-helo",
        "words-client-host",
    }


ADDITIONS = """
# a receiver of our own
[rules]
SpamBlock = [
  "^554 5\\\\.7\\\\.1 Nope",
  'Los geht nicht \\d+',
]
"ContentRelated" = ["(?i)bad words"]
netblock = ["Nachbar"]
Uncategorized = ["say nothing"]
"""


def test_an_operators_own_patterns_come_first(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(ADDITIONS)
    rules, problems = read_additions(file)
    assert problems == ()
    replies = Replies(rules)
    for code, enhanced, text, about, name in (
        (554, "5.7.1", "554 5.7.1 Nope", About.IP, "SpamBlock-1"),
        (550, "", "550 Los geht nicht 42", About.IP, "SpamBlock-2"),
        (550, "5.1.1", "550 5.1.1 user unknown, BAD words", About.CONTENT, "ContentRelated-1"),
        (550, "5.1.1", "550 5.1.1 user unknown, Nachbar", About.NETBLOCK, "netblock-1"),
        (550, "5.1.1", "550 5.1.1 user unknown; say nothing", About.UNKNOWN, "Uncategorized-1"),
        (550, "5.1.1", "550 5.1.1 user unknown", About.RECIPIENT, "words-recipient"),
    ):
        said = replies.classify(code, enhanced, text, OTHER)
        assert (said.about, said.rule) == (about, name)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 0, "has no table of rules"),
        ("rules = 3", 0, "has no table of rules"),
        ("[rules]\nSpamBlok = ['x']", 2, "there is no class 'SpamBlok'"),
        ("[rules]\nSpamBlock = 'x'", 2, "class SpamBlock is no list of patterns"),
        ("[rules]\nSpamBlock = ['x', 3]", 2, "class SpamBlock is no list of patterns"),
        (
            "[rules]\n\nip = ['x', '(?=y)']",
            3,
            "pattern 2 of class ip cannot be used: invalid perl operator: (?=",
        ),
        (
            "[rules]\nip = ['" + "x" * 1001 + "']",
            2,
            "pattern 1 of class ip cannot be used: over 1,000 characters",
        ),
        ("[rules]\nip = [", 2, "is not TOML: "),
        ("[rules]\nip = [" + "'x'," * 2001 + "]", 0, "2,001 patterns"),
        (
            "[rules]\nip = [" + "'(?:a{30}){30}b'," * 2000 + "]",
            0,
            "the patterns are too large together",
        ),
    ],
)
def test_what_is_wrong_with_them_has_its_place(text: str, line: int, what: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    rules, problems = read_additions(file)
    assert rules == ()
    assert [(one.file, one.line) for one in problems] == [(str(file), line)]
    assert problems[0].what.startswith(what)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert read_additions(absent) == (
        (),
        (Problem(str(absent), 0, 0, "cannot be read: No such file or directory"),),
    )
    (tmp_path / "bytes.toml").write_bytes(b"[rules]\nip = ['\xff']")
    assert read_additions(tmp_path / "bytes.toml")[1][0].line == 2


def test_every_class_of_kumomta_is_mapped() -> None:
    """Its own list, crates/bounce-classify; only a known source of spam is the IP."""
    assert len(KUMOMTA) == 29
    assert [name for name, about in KUMOMTA.items() if about is About.IP] == ["SpamBlock"]
    assert Addition(KUMOMTA["SpamBlock"], "x", "y").about is About.IP


PAGE = (Path(__file__).parents[2] / "docs/reputation.md").read_text().partition("## Whom a reply")[2]
PAGE = PAGE.partition("\n## ")[0]


def test_the_page_shows_rules_that_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    rules, problems = read_additions(file)
    assert (len(rules), problems) == (4, ())


def test_the_page_maps_classes_as_they_are() -> None:
    shown = {
        name: About(about)
        for names, about in re.findall(r"^\| (`[^|]*`) \| `([a-z]+)` \|$", PAGE, re.MULTILINE)
        for name in re.findall(r"`([A-Za-z]+)`", names)
    }
    assert shown == KUMOMTA
    assert re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE) == [about.value for about in About]
