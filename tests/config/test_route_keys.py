from ipaddress import ip_address
from pathlib import Path

import pytest

from geodns.config.report import Report
from geodns.config.route_keys import MAX_UNIX_PATH, RoutesListen
from geodns.config.server_keys import Listen
from geodns.config.settings import load_settings, settings_in
from geodns.errors import SettingsError
from geodns.model.hosts import Endpoint

LOOPBACK = Listen("127.0.0.1", 5310)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "geodns.yaml"


def listeners(file: Path, text: str) -> tuple[RoutesListen, ...]:
    file.write_text(f"routes_listen: {text}\n")
    return load_settings(file, {}, {}).routes_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5310", [RoutesListen(listen=LOOPBACK)]),
        ("{listen: 127.0.0.1:5310}", [RoutesListen(listen=LOOPBACK)]),
        (
            '[127.0.0.1:5310, "[::1]:5310"]',
            [RoutesListen(listen=LOOPBACK), RoutesListen(listen=Listen("::1", 5310))],
        ),
        (
            "[{listen: 127.0.0.1:5310, zone: Out.Example.COM., self: MTA1}]",
            [RoutesListen(listen=LOOPBACK, zone="out.example.com", self_host="mta1")],
        ),
        (
            "{listen: 127.0.0.1:5310, zone: bücher.example}",
            [RoutesListen(listen=LOOPBACK, zone="xn--bcher-kva.example")],
        ),
        ("unix:/run/routes.sock", [RoutesListen(listen=Path("/run/routes.sock"), mode=0o660)]),
        (
            '{listen: "unix:/run/routes.sock", mode: "0600"}',
            [RoutesListen(listen=Path("/run/routes.sock"), mode=0o600)],
        ),
        ("{listen: unix:/run/a, mode: 666}", [RoutesListen(listen=Path("/run/a"), mode=0o666)]),
        ("[127.0.0.1:0, 127.0.0.1:0]", [RoutesListen(listen=Listen("127.0.0.1", 0))] * 2),
        ("[]", []),
    ],
)
def test_listeners_are_read(file: Path, text: str, expected: list[RoutesListen]) -> None:
    assert listeners(file, text) == tuple(expected)


def test_nothing_listens_unless_told(file: Path) -> None:
    file.write_text("zones: zones\n")
    settings = load_settings(file, {}, {})
    assert (settings.routes_listen, settings.routes_resolver) == ((), None)


def test_a_relative_path_lies_beside_the_settings(file: Path) -> None:
    (one,) = listeners(file, "unix:run/routes.sock")
    assert one.listen == file.parent / "run" / "routes.sock"
    assert str(one) == f"unix:{file.parent}/run/routes.sock"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[127.0.0.1:5310, 127.0.0.1:5310]", "1:33: 127.0.0.1:5310 stands twice: take one out"),
        ("[unix:/run/a, unix:/run/./a]", "1:30: unix:/run/a stands twice: take one out"),
        ("localhost:5310", "1:16: 'localhost' is no address: write an address, not a name"),
        ("/run/routes.sock", "1:16: '/run/routes.sock' is no address and port: write unix:/run/routes.sock"),
        ("unix:run/", "1:16: 'run/' is no path of a socket: write 127.0.0.1:5310 or unix:/run/geodns/"),
        ('"unix:"', "1:16: '' is no path of a socket"),
        ('"unix:a\\0b"', "1:16: 'a\\x00b' is no path of a socket"),
        ("{zone: out.example.com}", "1:16: a listener without `listen`: write {listen: 127.0.0.1:5310}"),
        ("{listen: 127.0.0.1:5310, zone: a b}", "1:47: 'a b' is no zone's name: write a zone's name, as"),
        ("{listen: 127.0.0.1:5310, self: mta1.out.example.com}", "1:47: 'mta1.out.example.com' is no host"),
        ("{listen: 127.0.0.1:5310, mode: 660}", "1:41: `mode` of a port: take it out: it is for UNIX"),
        ("{listen: unix:/run/a, mode: rw}", "1:44: 'rw' are no rights of a file: write three digits"),
        ("{listen: unix:/run/a, mode: 888}", "1:44: '888' are no rights of a file: write three digits"),
        ("{listen: unix:/run/a, mode: 066}", "1:44: '066' shuts out the server's own user: write 6 first"),
        ("{listen: unix:/run/a, sefl: mta1}", "1:38: unknown key 'sefl': did you mean 'self'?"),
        (f"unix:/{'a' * MAX_UNIX_PATH}", f"1:16: the path of a socket, '/{'a' * 59}…', has over 107 bytes"),
        (f"[{', '.join(f'127.0.0.1:{port}' for port in range(5000, 5065))}]", "1:16: 65 listeners: write at"),
    ],
)
def test_what_is_wrong_with_a_listener_is_told(file: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        listeners(file, text)
    assert str(error.value).startswith(f"{file}:{problem}")


def test_a_path_counts_as_a_whole(file: Path) -> None:
    beside = MAX_UNIX_PATH - len(str(file.parent)) - 1
    file.write_text(f"routes_listen: unix:{'a' * beside}\n")
    assert load_settings(None, {}, {}).routes_listen[0].listen == Path("a" * beside)
    file.write_text(f"routes_listen: unix:{'a' * (beside + 1)}\n")
    with pytest.raises(SettingsError, match="has over 107 bytes"):
        load_settings(None, {}, {})


def test_the_longest_path_may_be(file: Path) -> None:
    (one,) = listeners(file, f"unix:/{'a' * (MAX_UNIX_PATH - 1)}")
    assert len(str(one.listen)) == MAX_UNIX_PATH


@pytest.mark.parametrize("text", ["192.0.2.1:5310", '"[::]:5310"', "{listen: 0.0.0.0:5310}"])
def test_an_address_that_others_reach_is_a_warning(file: Path, text: str) -> None:
    (one,) = listeners(file, text)
    assert not one.loopback
    report = Report(str(file))
    assert settings_in(file, report)["routes_listen"] == (one,)
    (problem,) = report.problems()
    assert problem.warning
    assert problem.what == f"{one} is not of this machine alone, and who asks there is not asked for a token"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", Endpoint(address=ip_address("192.0.2.53"))),
        ("127.0.0.1:5353", Endpoint(address=ip_address("127.0.0.1"), port=5353)),
        ('"[::1]:53"', Endpoint(address=ip_address("::1"), port=53)),
    ],
)
def test_the_resolver_is_read(file: Path, text: str, expected: Endpoint) -> None:
    file.write_text(f"routes_resolver: {text}\n")
    assert load_settings(file, {}, {}).routes_resolver == expected


def test_a_resolver_is_an_address(file: Path) -> None:
    file.write_text("routes_resolver: ns1.example.com\n")
    with pytest.raises(SettingsError, match=r"1:18: 'ns1\.example\.com' is no resolver: write"):
        load_settings(file, {}, {})
