"""What reputation keeps over a restart is read as it was; what makes no sense is left out."""

import json
from ipaddress import IPv4Address, ip_address

import pytest

from geodns.control.reputation_notes import Ignored, ModeOrder, Notes, notes_of, text_of
from geodns.model.reputation import ReputationAction
from geodns.signals.listings import BlockListing
from geodns.signals.reputation import Cause, Standing, StandingKey

NOTES = Notes(
    {
        "out.example.com": {
            StandingKey("mta1", Cause("yahoo ip", "yahoo")): Standing(
                ReputationAction(kind="bar", seconds=7200), "why", 30.0, 0.25, 1e9, 1e9 + 7200
            ),
            StandingKey("mta2", Cause("bl.test", None)): Standing(
                ReputationAction(kind="quarantine"), "why", 81.0, 0.0, 1e9, 0.0, 1e9 + 60
            ),
        }
    },
    {
        "out.example.com": {
            ("bl.test", ip_address("2001:db8::1")): BlockListing(
                frozenset({IPv4Address("127.0.0.2")}), "text", 1e9, 1, counts=True
            )
        }
    },
    (Ignored(("out.example.com", "mta1"), None, 2e9, "ops", "reason"),),
    {"out.example.com": ModeOrder("act", 2e9, "ops", "reason")},
)


def test_what_is_kept_is_read_as_it_was() -> None:
    assert notes_of(text_of(NOTES)) == NOTES


@pytest.mark.parametrize("text", [None, "", "no json", "[]", "null", "[" * 100_000, '{"standings": 5}'])
def test_what_is_no_note_is_nothing(text: str | None) -> None:
    assert notes_of(text) == Notes()


@pytest.mark.parametrize(
    "wrong", [None, [], ["x"], [1] * 13, ["z", "h", "r", None, "dance", 0, 0, "", 0, 0, 0, 0, 0]]
)
def test_a_wrong_row_takes_no_other_along(wrong: object) -> None:
    said = json.loads(text_of(NOTES))
    for key in said:
        said[key].append(wrong)
    assert notes_of(json.dumps(said)) == NOTES
