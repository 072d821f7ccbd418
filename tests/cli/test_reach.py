"""What commands read of geodns.yaml, and what they leave alone."""

from pathlib import Path

import pytest

from geodns.cli.reach import ServerList, read_server_list
from geodns.errors import SettingsError


def reach(folder: Path, text: str) -> ServerList:
    file = folder / "geodns.yaml"
    file.write_text(text)
    return read_server_list(file)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("# nothing\n", (), id="a comment"),
        pytest.param("workers: 2", (), id="nothing of ours"),
        pytest.param("wrokers: 2\nlisten: nowhere\nzones: [", None, id="no YAML"),
        pytest.param("wrokers: 2\nlisten: nowhere", (), id="what is wrong elsewhere does not matter"),
        pytest.param("servers: http://ns1:8053", ("http://ns1:8053",), id="one"),
        pytest.param(
            "servers: [ns1, 'https://[2001:db8::53]:8053/']\nhttp: 0.0.0.0:80",
            ("http://ns1", "https://[2001:db8::53]:8053"),
            id="several",
        ),
        pytest.param("http: 127.0.0.1:9000", ("http://127.0.0.1:9000",), id="its own"),
        pytest.param("http: 0.0.0.0:9000", ("http://127.0.0.1:9000",), id="its own, everywhere"),
        pytest.param('http: "[::]:9000"', ("http://[::1]:9000",), id="its own, everywhere by IPv6"),
        pytest.param("http: 127.0.0.1:0", (), id="a free port is not known"),
        pytest.param(
            "http: 192.0.2.53:9000\nhttp_tls: {cert: cert.pem}", ("https://192.0.2.53:9000",), id="TLS"
        ),
    ],
)
def test_where_the_servers_are(tmp_path: Path, text: str, servers: tuple[str, ...] | None) -> None:
    if servers is None:
        with pytest.raises(SettingsError, match="no valid YAML"):
            reach(tmp_path, text)
    else:
        assert reach(tmp_path, text).servers == servers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("servers: []", "no server: write the URL", id="none"),
        pytest.param("servers: [ftp://ns1]", "'ftp://ns1' is no server", id="another scheme"),
        pytest.param("servers: ['http://']", "is no server", id="no host"),
        pytest.param("servers: ['http://ns1:99999']", "is no server", id="no port"),
        pytest.param("servers: ['http://a b']", "is no server", id="a space"),
        pytest.param("servers: ['http://u:p@ns1']", "is no server", id="a password"),
        pytest.param("servers: ['http://ns1?x']", "is no server", id="a query"),
        pytest.param("servers: [ns1, 'http://ns1/']", "http://ns1 stands twice", id="twice"),
        pytest.param("servers: {ns1: x}", "where a server is expected", id="a mapping"),
        pytest.param("http: everywhere", "has no port", id="http"),
        pytest.param("token: a b", "a token that", id="token"),
    ],
)
def test_what_is_wrong_of_it_is_told(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        reach(tmp_path, text)
    assert says in str(caught.value)
    assert f"{tmp_path}/geodns.yaml:1:" in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file"):
        read_server_list(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("text", "token", "trouble"),
    [
        pytest.param("token: s3cret", "s3cret", None, id="token"),
        pytest.param("token_file: token", "first", None, id="the first of a file"),
        pytest.param("token_file: nowhere", None, "nowhere: it cannot be read (No such file", id="no file"),
        pytest.param("token_file: empty", None, "empty: a token that is empty", id="an empty file"),
        pytest.param("token_file: bytes", None, "bytes: it cannot be read (not text)", id="no text"),
        pytest.param("workers: 1", None, None, id="none"),
    ],
)
def test_the_token(tmp_path: Path, text: str, token: str | None, trouble: str | None) -> None:
    (tmp_path / "token").write_text("# whose\nann first\nbob second\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    found = reach(tmp_path, text)
    assert (found.token and found.token.get_secret_value()) == token
    assert trouble is None or trouble in (found.trouble or "")
    assert (found.trouble is None) == (trouble is None)
