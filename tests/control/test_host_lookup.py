import pytest

from geodns.control.host_lookup import find_host, find_hosts, require_host
from geodns.control.overrides import file_weights, hidden
from geodns.errors import AmbiguousError, NotFoundError
from geodns.model.state import ForcedWeight
from tests.sample_zones import NAME, zone

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
        pytest.param("mta1.out", (NAME, "mta1"), id="as much as tells it apart"),
        pytest.param("mta2.IN.", (OTHER, "mta2"), id="as much as tells it from the other zone's"),
    ],
)
def test_a_host_is_found_by_either_form_of_its_name(text: str, expected: tuple[str, str]) -> None:
    assert find_host(text, HOSTS) == expected


@pytest.mark.parametrize(
    "text", ["mta9", "mta1.in.example.net", "mta1.o", "ta1", "", ".", "out.example.com", "ü..ü"]
)
def test_a_host_that_no_zone_has_is_not_found(text: str) -> None:
    with pytest.raises(NotFoundError, match=r"no host "):
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


def test_a_typing_error_gets_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match=r"no host nta1: did you mean mta1\? `geodns status` lists them"):
        find_host("nta1", HOSTS)


# --- several hosts --------------------------------------------------------------------------------------

ZONES = {
    NAME: zone("""
        hosts:
          mta1: [192.0.2.11, "2001:db8::11"]
          mta2: 192.0.2.12
          out: 192.0.2.13
          "bücher1": 192.0.2.14
    """),
    OTHER: zone('hosts: {mta2: 192.0.2.12, mta3: "2001:db8::13"}', OTHER),
}
MTA1, MTA2, OUT, BOOKS = ((NAME, name) for name in ("mta1", "mta2", "out", "xn--bcher1-3ya"))
OTHER2, OTHER3 = (OTHER, "mta2"), (OTHER, "mta3")


@pytest.mark.parametrize(
    ("texts", "within", "expected"),
    [
        pytest.param(["mta1"], None, [MTA1], id="a short name"),
        pytest.param(
            ["mta3", "mta1", "MTA1.out.example.com."], None, [MTA1, OTHER3], id="each once, in order"
        ),
        pytest.param(["mta2"], OTHER, [OTHER2], id="a short name in one zone"),
        pytest.param(["mta2"], "In.Example.NET.", [OTHER2], id="the zone in any letters"),
        pytest.param(["192.0.2.11"], None, [MTA1], id="an address"),
        pytest.param(["192.0.2.12"], None, [MTA2, OTHER2], id="an address of two zones is one machine"),
        pytest.param(["192.0.2.12"], NAME, [MTA2], id="an address in one zone"),
        pytest.param(["2001:DB8:0::11"], None, [MTA1], id="IPv6 in other letters"),
        pytest.param(["[2001:db8::13]"], None, [OTHER3], id="IPv6 in brackets"),
        pytest.param(["mta*"], None, [MTA1, MTA2, OTHER2, OTHER3], id="a glob over all zones"),
        pytest.param(["mta?"], NAME, [MTA1, MTA2], id="a glob in one zone"),
        pytest.param(["mta*.in"], None, [OTHER2, OTHER3], id="a glob with the zone's first label"),
        pytest.param(["MTA*.in.example.net."], None, [OTHER2, OTHER3], id="a glob with the whole zone"),
        pytest.param(["*.example.com"], None, [MTA1, MTA2, OUT, BOOKS], id="all of a domain"),
        pytest.param(["bücher1"], None, [BOOKS], id="Unicode"),
        pytest.param(["BÜCHER1.out.example.com"], None, [BOOKS], id="Unicode, whole, in capitals"),
        pytest.param(["xn--bcher1-3ya"], None, [BOOKS], id="punycode"),
        pytest.param(["büch*"], None, [BOOKS], id="a glob in Unicode"),
        pytest.param(["bu\u0308ch*"], None, [BOOKS], id="a glob in Unicode, composed otherwise"),
        pytest.param(["xn--b*"], None, [BOOKS], id="a glob in punycode"),
    ],
)
def test_hosts_are_found_by_name_address_and_glob(
    texts: list[str], within: str | None, expected: list[tuple[str, str]]
) -> None:
    assert find_hosts(texts, ZONES, within) == expected


@pytest.mark.parametrize(
    ("texts", "within", "error", "says"),
    [
        pytest.param(["mta9"], None, NotFoundError, "no host mta9", id="no name"),
        pytest.param(["mta1", "x1", "x2"], None, NotFoundError, "no host x1: .*; no host x2", id="all named"),
        pytest.param(["mta1"], OTHER, NotFoundError, "no host mta1", id="not in that zone"),
        pytest.param(
            ["mta*"], "x.example", NotFoundError, r"no zone x\.example is served; there", id="no zone"
        ),
        pytest.param(["192.0.2.99"], None, NotFoundError, "no host has the address 192", id="no address"),
        pytest.param(["x*"], None, NotFoundError, r"no host fits x\*", id="a glob of nobody"),
        pytest.param(["mta2"], None, AmbiguousError, "write one of", id="ambiguous"),
    ],
)
def test_whom_nobody_is_gets_no_order(
    texts: list[str], within: str | None, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        find_hosts(texts, ZONES, within)


# --- weights that files give ----------------------------------------------------------------------------

FILE = """
    hosts: {{mta1: {{address: 192.0.2.11, weight: {own}}}, mta2: 192.0.2.12}}
    pools:
      main: {{hosts: ["mta*"]}}
      other: {{hosts: {{mta1: {other}, mta2: 1}}}}
"""


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        pytest.param(50, 10, None, id="as it was"),
        pytest.param(40, 10, "40", id="its own weight"),
        pytest.param(50, 11, "11 in pool other", id="in a pool"),
        pytest.param(40, 11, "40 in pool main, 11 in pool other", id="both"),
        pytest.param(5, 5, None, id="what is forced"),
        pytest.param(5, 10, "5", id="what is forced, in one pool"),
    ],
)
def test_what_a_forced_weight_hides(own: int, other: int, expected: str | None) -> None:
    before = file_weights(zone(FILE.format(own=50, other=10)), "mta1")
    forced = ForcedWeight(5, "", "ann", 100.0, None, before)
    assert hidden(forced, zone(FILE.format(own=own, other=other)), "mta1") == expected


def test_a_host_of_no_pool_has_its_own_weight_alone() -> None:
    text = """
        hosts: {{mta1: {{address: 192.0.2.11, weight: {}}}, mta2: 192.0.2.12}}
        pools: {{main: {{hosts: [mta2]}}}}
    """
    forced = ForcedWeight(5, "", "ann", 100.0, None, file_weights(zone(text.format(50)), "mta1"))
    assert hidden(forced, zone(text.format(50)), "mta1") is None
    assert hidden(forced, zone(text.format(40)), "mta1") == "40"
