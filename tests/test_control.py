import pytest

from geodns.control import find_host, forced_state, require_host
from geodns.errors import AmbiguousError, NotFoundError
from geodns.live import Forced
from geodns.store import ForcedState
from tests.zones import NAME, zone

OTHER = "in.example.net"
HOSTS = {NAME: ["mta1", "mta2", "out"], OTHER: ["mta2", "mta3"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("mta1", (NAME, "mta1"), id="short"),
        pytest.param("MTA1", (NAME, "mta1"), id="short in capitals"),
        pytest.param("mta1.out.example.com", (NAME, "mta1"), id="whole"),
        pytest.param("Mta1.Out.Example.COM.", (NAME, "mta1"), id="whole with a dot and capitals"),
        pytest.param("mta2.in.example.net", (OTHER, "mta2"), id="whole where the short form is ambiguous"),
    ],
)
def test_a_host_is_found_by_either_form_of_its_name(text: str, expected: tuple[str, str]) -> None:
    assert find_host(text, HOSTS) == expected


@pytest.mark.parametrize("text", ["mta9", "mta1.in.example.net", "mta1.out", "", ".", "out.example.com"])
def test_a_host_that_no_zone_has_is_not_found(text: str) -> None:
    with pytest.raises(NotFoundError, match=r"no host .*: `geodns status` lists them"):
        find_host(text, HOSTS)


def test_a_short_name_of_two_zones_is_wrong_usage_and_says_what_to_write() -> None:
    with pytest.raises(AmbiguousError, match=r"write one of mta2\.out\.example\.com, mta2\.in\.") as caught:
        find_host("mta2", HOSTS)
    assert caught.value.status == 2


@pytest.mark.parametrize(("name", "host"), [(NAME, "mta1"), ("Out.Example.com.", "MTA1")])
def test_a_host_named_in_full_is_required(name: str, host: str) -> None:
    one = zone("hosts: {mta1: 192.0.2.11}")
    assert require_host({one.name: one}, name, host) == (NAME, "mta1")


@pytest.mark.parametrize(
    ("name", "host", "message"),
    [
        pytest.param(
            "x.example", "mta1", r"no zone x\.example is served; there are out\.", id="no such zone"
        ),
        pytest.param(NAME, "mta9", r"has no host mta9; it has mta1", id="no such host"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(name: str, host: str, message: str) -> None:
    one = zone("hosts: {mta1: 192.0.2.11}")
    with pytest.raises(NotFoundError, match=message):
        require_host({one.name: one}, name, host)


def test_without_any_zone_it_says_so() -> None:
    with pytest.raises(NotFoundError, match="there are none"):
        require_host({}, NAME, "mta1")


@pytest.mark.parametrize(("seconds", "until"), [(None, None), (60.0, 160.0)])
def test_what_is_forced_says_when_it_ends(seconds: float | None, until: float | None) -> None:
    found = forced_state(Forced.DRAINED, "disk", "ann", 100.0, seconds)
    assert found == ForcedState(Forced.DRAINED, "disk", "ann", 100.0, until)
