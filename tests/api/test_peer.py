"""What a server says of itself to the others, and what its status shows of them."""

import time
from typing import Any

import pytest
from pydantic import TypeAdapter

from geodns.api.peer import MOST_ZONES
from geodns.api.schemas_peers import PeerJson, PeerStatesJson, PeerStatusJson
from geodns.api.status import status
from geodns.control import peers
from geodns.control.known_peers import KnownPeer
from geodns.control.peer_service import PATH, STATES_PATH, VOTES_PATH
from geodns.control.peers import PeerReport
from geodns.model.shared import ZoneContent
from tests.api.test_app import ask
from tests.sample_zones import NAME, SERIAL
from tests.servicing import FakeServices


def test_what_it_says_of_itself_is_as_described_and_others_can_read_it() -> None:
    code, shown, _ = ask("GET", PATH)
    assert code == 200
    TypeAdapter(PeerJson).validate_python(shown, strict=True)
    read = PeerReport.model_validate(shown)
    assert (read.node, read.ready, read.zones[NAME].serial) == ("ns1", True, SERIAL)
    assert abs(read.clock - time.time()) < 60
    assert read.verdicts.keys() == {NAME}
    assert read.hosts_from == {}


def test_the_same_is_said_of_the_same_and_another_clock() -> None:
    fake = FakeServices()
    first, second = fake.services().peers.report(), fake.services().peers.report()
    fake.close()
    assert first.clock < second.clock
    assert first.model_copy(update={"clock": second.clock}) == second


def test_states_of_hosts_are_by_their_probes() -> None:
    code, shown, _ = ask("GET", f"{STATES_PATH}?zones={NAME.upper()},nowhere.example")
    assert (code, shown) == (200, {"states": {NAME: {"mta1": "up"}}})
    TypeAdapter(PeerStatesJson).validate_python(shown)


@pytest.mark.parametrize("query", ["", "?zones=", f"?zones={','.join(['a.example'] * (MOST_ZONES + 1))}"])
def test_states_of_no_zone_or_of_too_many_are_refused(query: str) -> None:
    code, shown, _ = ask("GET", STATES_PATH + query)
    assert code == 400
    assert "write 1 to 100, with commas" in shown["error"]


def test_reading_needs_the_token_of_reading() -> None:
    assert ask("GET", PATH, token="s3cret")[0] == 200  # there is none for readers


def known(fake: FakeServices, **zones: str) -> KnownPeer:
    """Another server that answers, and has other content where that is said."""
    one = KnownPeer("http://192.0.2.54:8053")
    report = fake.rig.services.peers.report()
    content = {zone: ZoneContent(digest=digest, serial=9) for zone, digest in zones.items()}
    one.report = report.model_copy(update={"node": "ns2", "zones": {**report.zones, **content}})
    one.asked, one.seen, one.heard, one.offset, one.lag = True, 1_795_417_200.0, 1.0, -0.25, 0.0015
    return one


def test_the_status_shows_the_others_and_in_what_they_differ() -> None:
    fake = FakeServices()
    service = fake.rig.services.peers
    try:
        assert "peers" not in status(fake.services())  # it is alone
        service.known.peers = [known(fake, **{NAME: "f" * 32}), KnownPeer("http://192.0.2.55:8053")]
        service.known.peers[1].asked, service.known.peers[1].error = True, "connection refused"
        now = time.monotonic()
        service.compare(now - peers.FILES_FOLLOW)
        service.compare(now)
        shown: dict[str, Any] = dict(status(fake.services())["peers"])
    finally:
        fake.close()
    TypeAdapter(dict[str, PeerStatusJson]).validate_python(shown)
    (differs,) = shown["ns2"].pop("differs")
    assert (differs["topic"], differs["zone"]) == ("content", NAME)
    assert "(content ffffffff)" in differs["what"]
    assert shown["ns2"] == {
        "url": "http://192.0.2.54:8053",
        "seen": "2026-11-23T07:00:00Z",
        "version": fake.rig.services.peers.report().version,
        "clock_offset_s": -0.25,
        "lag_ms": 1.5,
        "error": None,
        "zones": {NAME: {"digest": "f" * 32, "serial": 9}},
    }
    away = shown["http://192.0.2.55:8053"]
    assert (away["seen"], away["error"], away["zones"], away["differs"]) == (
        None,
        "connection refused",
        {},
        [],
    )


def test_a_server_that_shares_nothing_has_no_votes_to_tell() -> None:
    code, shown, _ = ask("GET", VOTES_PATH)
    assert code == 404
    assert "`shared` is not in its settings" in shown["error"]
