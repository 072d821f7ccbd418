import os
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns import __version__
from geodns.config.server_keys import HttpTls, Listen
from geodns.config.settings import Settings, load_settings, policy_of
from geodns.config.tokens import Token
from geodns.errors import SettingsError
from geodns.responder.answer_policy import QueryLog, RateLimit
from geodns.wire.names import name_to_wire


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a geodns.yaml that happens to lie about."""
    monkeypatch.chdir(tmp_path)


def write(text: str, path: str = "geodns.yaml") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def shown(tokens: tuple[Token, ...]) -> list[tuple[str, str | None, str]]:
    return [(token.scope, token.name, token.secret.get_secret_value()) for token in tokens]


def refused(
    config: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load_settings(config, flags or {}, environ or {})
    return str(error.value).splitlines()


# ----- listeners


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("127.0.0.1:5300", "127.0.0.1", 5300, id="ipv4"),
        pytest.param("[::1]:5300", "::1", 5300, id="ipv6"),
        pytest.param("0.0.0.0:53", "0.0.0.0", 53, id="any"),
        pytest.param("[::]:53", "::", 53, id="any-ipv6"),
        pytest.param("127.0.0.1:0", "127.0.0.1", 0, id="free-port"),
    ],
)
def test_listen_reads_and_writes_the_same_form(text: str, host: str, port: int) -> None:
    listen = Listen.parse(text)
    assert (listen.host, listen.port) == (host, port)
    assert str(listen) == text


def test_listen_writes_ipv6_the_short_way() -> None:
    assert str(Listen.parse("[2001:DB8:0:0::1]:53")) == "[2001:db8::1]:53"


@given(address=st.ip_addresses(), port=st.integers(0, 65535))
def test_listen_round_trip(address: IPv4Address | IPv6Address, port: int) -> None:
    assert Listen.parse(str(Listen(str(address), port))) == Listen(str(address), port)


@given(text=st.text() | st.text(alphabet="0123456789abcdef:.[]%", max_size=24))
def test_listen_reads_any_text_or_says_what_to_write(text: str) -> None:
    try:
        listen = Listen.parse(text)
    except ValueError as error:
        what, instead = error.args
        assert what
        assert instead.startswith("write ")
    else:
        assert Listen.parse(str(listen)) == listen


@pytest.mark.parametrize(
    ("text", "what", "instead"),
    [
        pytest.param("::1", "without brackets", '"[::1]:5300"', id="bare-ipv6"),
        pytest.param("::1:53", "without brackets", '"[::1]:53"', id="ipv6-and-port"),
        pytest.param("2001:db8::1", "without brackets", '"[2001:db8::1]:5300"', id="bare-long-ipv6"),
        pytest.param("[::1]", "no address", "[::1]:5300", id="no-port-ipv6"),
        pytest.param("127.0.0.1", "has no port", "127.0.0.1:5300", id="no-port"),
        pytest.param("5300", "has no port", "127.0.0.1:5300", id="port-alone"),
        pytest.param(":5300", "no address", "write an address", id="no-address"),
        pytest.param("localhost:53", "no address", "write an address", id="name"),
        pytest.param("[127.0.0.1]:53", "brackets", '"127.0.0.1:53"', id="bracketed-ipv4"),
        pytest.param("127.0.0.1:65536", "out of range", "0 to 65535", id="port-too-high"),
        pytest.param("127.0.0.1:-1", "out of range", "0 to 65535", id="port-negative"),
        pytest.param("127.0.0.1:", "out of range", "0 to 65535", id="port-empty"),
        pytest.param("127.0.0.1:٥٣", "out of range", "0 to 65535", id="port-in-other-digits"),
        pytest.param("", "has no port", "127.0.0.1:5300", id="empty"),
    ],
)
def test_listen_says_what_to_write(text: str, what: str, instead: str) -> None:
    with pytest.raises(ValueError) as error:
        Listen.parse(text)
    assert what in error.value.args[0]
    assert instead in error.value.args[1]


# ----- where settings come from


def test_defaults_are_those_of_the_manual() -> None:
    settings = load_settings(None, {}, {})
    assert settings == Settings()
    assert settings.zones == Path("zones")
    assert settings.listen == (Listen("127.0.0.1", 5300),)
    assert settings.http == Listen("127.0.0.1", 8053)
    assert settings.state == Path("state")
    assert settings.workers is None
    assert settings.worker_count == len(os.sched_getaffinity(0))
    assert settings.node == socket.gethostname().partition(".")[0]
    assert settings.token == settings.read_token == settings.signals_token == ()
    assert settings.http_tls is None
    assert settings.ehlo is None
    assert settings.probe_concurrency == 512


def test_file_says_everything() -> None:
    write("""
zones: /etc/geodns/zones
listen: [127.0.0.1:5300, "[::1]:5300"]
http: 0.0.0.0:80
state: /var/lib/geodns
workers: 3
servers: [ns1:8053, "https://[2001:db8::53]/geodns/"]
node: ns1
identity: ns1.example
version: off
cookie_secret_file: /etc/geodns/cookies
token: s3cret
reply_patterns: replies.toml
geoip: [country.mmdb, /usr/share/GeoIP/asn.mmdb]
ehlo: probe.example.com
probe_concurrency: 64
tcp: {connections: 5000, per_client: 10, idle: 1m}
routes_listen: {listen: unix:routes.sock, zone: out.example.com, self: mta1, mode: "0600"}
routes_resolver: 192.0.2.53
user: geodns
group: mail
log_format: json
log_level: warning
rate_limit: {per_second: 500, slip: 3, ipv4_prefix: 26, ipv6_prefix: 48, require_cookie: on,
             exempt: [192.0.2.0/24, "2001:db8::/32"]}
query_log: {zones: [out.example.com], clients: 192.0.2.7, sample: 1%}
""")
    settings = load_settings(None, {}, {})
    exempt = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    assert settings.rate_limit == (RateLimit(500, 3, 26, 48, exempt), True)
    zones, clients = (name_to_wire("out.example.com."),), (ip_network("192.0.2.7"),)
    assert settings.query_log == QueryLog(zones, clients, 0.01)
    tokens = {"token", "read_token", "signals_token"}
    assert settings.model_dump(exclude={*tokens, "http_tls", "rate_limit", "query_log"}) == {
        "shared": None,
        "zones": Path("/etc/geodns/zones"),
        "listen": (("127.0.0.1", 5300), ("::1", 5300)),
        "http": ("0.0.0.0", 80),
        "state": Path("/var/lib/geodns"),
        "workers": 3,
        "servers": ("http://ns1:8053", "https://[2001:db8::53]/geodns"),
        "node": "ns1",
        "identity": "ns1.example",
        "version": None,
        "cookie_secret_file": Path("/etc/geodns/cookies"),
        "reply_patterns": Path("replies.toml"),
        "geoip": (Path("country.mmdb"), Path("/usr/share/GeoIP/asn.mmdb")),
        "ehlo": "probe.example.com",
        "probe_concurrency": 64,
        "tcp": {"connections": 5000, "per_client": 10, "idle": 60},
        "routes_listen": (
            {"listen": Path("routes.sock"), "zone": "out.example.com", "self_host": "mta1", "mode": 0o600},
        ),
        "routes_resolver": {"address": ip_address("192.0.2.53"), "port": None},
        "user": "geodns",
        "group": "mail",
        "log_format": "json",
        "log_level": "warning",
    }
    assert settings.worker_count == 3
    assert all(isinstance(listen, Listen) for listen in (*settings.listen, settings.http))
    assert shown(settings.token) == [("control", None, "s3cret")]


@pytest.mark.parametrize(
    ("text", "nsid", "server_id", "version"),
    [
        ("node: ns1", b"ns1", b"ns1", f"geodns {__version__}".encode()),
        ("node: ns1\nidentity: eu-1", b"eu-1", b"eu-1", f"geodns {__version__}".encode()),
        ("node: ns1\nidentity: off\nversion: off", b"", None, None),
        ("identity: eu-1", b"eu-1", b"eu-1", f"geodns {__version__}".encode()),
        ("version: a name server", None, None, b"a name server"),
    ],
)
def test_who_we_say_we_are(
    text: str, nsid: bytes | None, server_id: bytes | None, version: bytes | None
) -> None:
    write(text)
    policy = policy_of(load_settings(None, {}, {}), (b"s" * 16,))
    assert policy.cookie_secrets == (b"s" * 16,)
    assert nsid is None or policy.nsid == nsid
    for name in ("id.server", "hostname.bind"):
        assert nsid is None or policy.chaos.get(name_to_wire(name)) == server_id
    for name in ("version.server", "version.bind"):
        assert policy.chaos.get(name_to_wire(name)) == version


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("identity: eu-1", "eu-1"),
        ("node: ns1\nidentity: eu-1", "ns1"),
        ("identity: off", socket.gethostname().partition(".")[0]),
    ],
)
def test_identity_names_the_server_where_nothing_else_does(text: str, node: str) -> None:
    write(text)
    assert load_settings(None, {}, {}).node == node


def test_clients_are_told_how_long_a_connection_may_be_idle() -> None:
    write("tcp: {idle: 20s}")
    assert policy_of(load_settings(None, {}, {}), ()).idle == 20.0


@pytest.mark.parametrize(
    "text", ["identity: ''", "version: 'café'", f"identity: {'x' * 256}", "version: [a]"]
)
def test_what_cannot_be_told(text: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=r"geodns.yaml:1:1[01]: "):
        load_settings(None, {}, {})


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        pytest.param({}, {}, "127.0.0.1:1", id="file"),
        pytest.param({}, {"GEODNS_HTTP": "127.0.0.1:2"}, "127.0.0.1:2", id="environment"),
        pytest.param({}, {"GEODNS_HTTP": ""}, "127.0.0.1:1", id="empty-variable-is-not-set"),
        pytest.param({"http": "127.0.0.1:3"}, {"GEODNS_HTTP": "127.0.0.1:2"}, "127.0.0.1:3", id="flag"),
        pytest.param({"http": None}, {"GEODNS_HTTP": "127.0.0.1:2"}, "127.0.0.1:2", id="flag-not-given"),
    ],
)
def test_strongest_source_has_it(flags: dict[str, object], environ: dict[str, str], expected: str) -> None:
    write("http: 127.0.0.1:1\nnode: file\n")
    settings = load_settings(None, flags, environ)
    assert str(settings.http) == expected
    assert settings.node == "file"


def test_listeners_replace_those_of_weaker_sources() -> None:
    write("listen: 127.0.0.1:1")
    environ = {"GEODNS_LISTEN": "127.0.0.1:2, [::1]:2"}
    assert load_settings(None, {"listen": ()}, environ).listen == (
        Listen("127.0.0.1", 2),
        Listen("::1", 2),
    )
    flags = {"listen": ("127.0.0.1:3", "127.0.0.1:0", "127.0.0.1:0")}
    assert [str(listen) for listen in load_settings(None, flags, environ).listen] == list(flags["listen"])


def test_flags_may_be_what_click_makes_of_them() -> None:
    settings = load_settings(None, {"workers": 2, "zones": Path("here"), "node": "n"}, {"GEODNS_NODE": "m"})
    assert (settings.workers, settings.zones, settings.node) == (2, Path("here"), "n")


def test_every_variable_is_read() -> None:
    settings = load_settings(
        None,
        {},
        {
            "GEODNS_ZONES": "z",
            "GEODNS_STATE": "s",
            "GEODNS_WORKERS": "4",
            "GEODNS_NODE": "ns9",
            "GEODNS_TOKEN": "t0ken",
            "GEODNS_USER": "u",
            "GEODNS_GROUP": "g",
            "GEODNS_LOG_FORMAT": "json",
            "GEODNS_LOG_LEVEL": "debug",
        },
    )
    assert (settings.user, settings.group) == ("u", "g")
    assert (settings.log_format, settings.log_level) == ("json", "debug")
    assert (settings.zones, settings.state, settings.workers, settings.node) == (
        Path("z"),
        Path("s"),
        4,
        "ns9",
    )
    assert shown(settings.token) == [("control", None, "t0ken")]


def test_paths_in_a_file_are_relative_to_it() -> None:
    config = write("zones: zones\nstate: /var/lib/geodns\ngeoip: [a.mmdb, /b.mmdb]\n", "etc/geodns.yaml")
    settings = load_settings(config, {}, {})
    assert settings.zones == Path("etc/zones")
    assert settings.geoip == (Path("etc/a.mmdb"), Path("/b.mmdb"))
    assert settings.state == Path("/var/lib/geodns")
    assert load_settings(config, {"zones": "zones"}, {}).zones == Path("zones")


@pytest.mark.parametrize(
    "text", ["", "\n", "# workers: 2\n\n  # later\n"], ids=["empty", "blank", "comments"]
)
def test_file_that_says_nothing_leaves_the_defaults(text: str) -> None:
    write(text)
    assert load_settings(None, {}, {}) == Settings()


def test_a_file_of_geoip_stands_once() -> None:
    write("geoip: [a.mmdb, b.mmdb, a.mmdb]\n")
    assert refused() == ["geodns.yaml:1:25: a.mmdb stands twice: take one out"]


# ----- the token


def test_token_is_read_from_a_file_beside() -> None:
    write("t0ken\n", "etc/token")
    write("# who reads\ngrafana r3ad\n\nolder r34d\n", "etc/readers")
    write("mta1 s1gnals\n", "etc/mail-hosts")
    config = write(
        "token_file: token\nread_token_file: readers\nsignals_token_file: mail-hosts\n", "etc/geodns.yaml"
    )
    settings = load_settings(config, {}, {})
    assert shown(settings.token) == [("control", None, "t0ken")]
    assert shown(settings.read_token) == [("read", "grafana", "r3ad"), ("read", "older", "r34d")]
    assert shown(settings.signals_token) == [("signals", "mta1", "s1gnals")]


def test_the_environment_has_it_over_the_file() -> None:
    write("token: a\nread_token: b\n")
    settings = load_settings(None, {}, {"GEODNS_TOKEN": "c", "GEODNS_READ_TOKEN": "d"})
    assert shown(settings.token + settings.read_token) == [("control", None, "c"), ("read", None, "d")]


def test_the_certificate_lies_beside_the_file() -> None:
    config = write("http_tls: {cert: a.pem, key: /b.pem}", "etc/geodns.yaml")
    assert load_settings(config, {}, {}).http_tls == HttpTls(cert=Path("etc/a.pem"), key=Path("/b.pem"))


def test_token_is_never_shown() -> None:
    settings = load_settings(None, {}, {"GEODNS_TOKEN": "s3cret"})
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    (line,) = refused(environ={"GEODNS_TOKEN": "s3cret with spaces"})
    assert line.startswith("GEODNS_TOKEN: ")
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "token_file: nowhere", "geodns.yaml:1:13: nowhere cannot be read (No such", id="missing"
        ),
        pytest.param("token_file: empty", "geodns.yaml:1:13: empty: a token that is empty", id="empty"),
        pytest.param("token_file: words", "geodns.yaml:1:13: words: line 2 is no token", id="words"),
        pytest.param("read_token_file: ugly", "geodns.yaml:1:18: ugly: line 1 has a token that", id="ugly"),
        pytest.param("read_token: a b", "geodns.yaml:1:13: a token that is empty, has spaces", id="spaces"),
        pytest.param("http_tls: {key: a}", "geodns.yaml:1:11: no certificate", id="no certificate"),
        pytest.param("token_file: binary", "geodns.yaml:1:13: binary cannot be read (not text)", id="binary"),
        pytest.param("token: a\ntoken_file: empty", "geodns.yaml:2:13: both token and token_file", id="both"),
    ],
)
def test_token_files_that_cannot_be(text: str, expected: str) -> None:
    write("\n", "empty")
    write("good\nthree words here\n", "words")
    write("s\u00e9cret\n", "ugly")
    Path("binary").write_bytes(b"\xff\xfe")
    write(text)
    (line,) = refused()
    assert line.startswith(expected)


# ----- what is wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "worker: 3", "geodns.yaml:1:1: unknown key 'worker': did you mean 'workers'?", id="unknown"
        ),
        pytest.param("node: a\nnode: b", "geodns.yaml:2:1: duplicate key 'node': ", id="duplicate"),
        pytest.param("workers: many", "geodns.yaml:1:10: ", id="no-number"),
        pytest.param("workers: 0", "geodns.yaml:1:10: ", id="too-few"),
        pytest.param("probe_concurrency: 1.5", "geodns.yaml:1:20: ", id="fraction"),
        pytest.param("workers:", "geodns.yaml:1:", id="nothing"),
        pytest.param("http: localhost:80", "geodns.yaml:1:7: 'localhost' is no address: write an", id="name"),
        pytest.param("listen: []", "geodns.yaml:1:9: nothing to listen on: write", id="no-listener"),
        pytest.param(
            "listen: [127.0.0.1:53, 127.0.0.1:53]",
            "geodns.yaml:1:10: 127.0.0.1:53 stands twice: take one out",
            id="twice",
        ),
        pytest.param("http: [127.0.0.1:80]", "geodns.yaml:1:7: a list where ", id="list"),
        pytest.param("zones: {a: b}", "geodns.yaml:1:8: a mapping where a path", id="mapping"),
        pytest.param('zones: ""', "geodns.yaml:1:8: '' is no path: write", id="empty-path"),
        pytest.param('node: "two words"', "geodns.yaml:1:7: 'two words' is no name: write", id="node"),
        pytest.param("ehlo: two words", "geodns.yaml:1:7: 'two words' is no name for EHLO", id="ehlo"),
        pytest.param("tcp: {idle: 0}", "geodns.yaml:1:13: 0 is out of range: write 0.1s to", id="tcp"),
        pytest.param(
            "tcp: {clients: 5}", "geodns.yaml:1:7: unknown key 'clients': ", id="unknown-in-a-section"
        ),
        pytest.param("user: a b", "geodns.yaml:1:7: 'a b' is no name of a user or group: write", id="user"),
        pytest.param(
            "log_format: xml", "geodns.yaml:1:13: 'xml' is not known here: write one of: text, json", id="log"
        ),
        pytest.param("zones: [", "geodns.yaml:2:1: no valid YAML", id="no-yaml"),
        pytest.param("[zones]", "geodns.yaml:1:1: a list, not a mapping", id="no-mapping"),
    ],
)
def test_problem_in_the_file_has_its_place(text: str, expected: str) -> None:
    write(text + "\n")
    (line,) = refused()
    assert line.startswith(expected)


def test_every_problem_of_every_source_is_told_at_once() -> None:
    config = write("worker: 1\nhttp: x\n", "etc/geodns.yaml")
    lines = refused(
        config,
        {"listen": ("::1", "127.0.0.1:53", "host:53"), "probe_concurrency": 0},
        {"GEODNS_WORKERS": "all", "GEODNS_LISTEN": "here:53"},
    )
    starts = [
        "etc/geodns.yaml:1:1: ",
        "etc/geodns.yaml:2:7: ",
        "GEODNS_LISTEN: ",
        "GEODNS_WORKERS: ",
        "--listen: ",
        "--listen: ",
        "--probe-concurrency: ",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start)
        assert ": write " in line or "did you mean" in line


def test_config_that_is_named_must_exist() -> None:
    assert refused(Path("nowhere.yaml")) == [
        "nowhere.yaml: cannot be read (No such file or directory): give another file with --config"
    ]


@pytest.mark.parametrize(
    ("flags", "environ", "status"),
    [({"listen": ("bogus",)}, {}, 2), ({}, {"GEODNS_LISTEN": "bogus"}, 1)],
    ids=["a flag is wrong usage", "a variable is a problem found"],
)
def test_the_exit_status(flags: dict[str, object], environ: dict[str, str], status: int) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, flags, environ)
    assert caught.value.status == status
