"""The setting `shared`: what is taken, what is refused and why, and the secrets beside it."""

from pathlib import Path

import pytest

from geodns.config.report import Report
from geodns.config.settings import load_settings, settings_in
from geodns.config.shared_keys import NO_NODE
from geodns.errors import SettingsError
from geodns.model.shared import SharedSettings

SECRET = "0123456789abcdef0123456789abcdef"
NEAR = "redis://127.0.0.1"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "short").write_text("abc\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text(f"{SECRET}\n{SECRET}\n")
    return tmp_path / "geodns.yaml"


def shared(file: Path, text: str) -> SharedSettings | None:
    file.write_text(f"node: ns1\nshared: {text}\n")
    return load_settings(file, {}, {}).shared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{{url: "{NEAR}"}}', SharedSettings(url=NEAR, group="geodns")),
        (
            '{url: "rediss://192.0.2.60:6380/2", group: out-1, agree: own}',
            SharedSettings(url="rediss://192.0.2.60:6380/2", group="out-1", agree="own"),
        ),
        ("{url: unix:///run/redis.sock}", SharedSettings(url="unix:///run/redis.sock", group="geodns")),
        (
            (
                '{url: "redis+sentinel://192.0.2.61,192.0.2.62/mail/0",'
                " secret_file: secret, password_file: short}"
            ),
            SharedSettings(
                url="redis+sentinel://192.0.2.61,192.0.2.62/mail/0",
                group="geodns",
                secret=SECRET.encode(),
                password=b"abc",
            ),
        ),
    ],
)
def test_the_setting_is_read(file: Path, text: str, expected: SharedSettings) -> None:
    assert shared(file, text) == expected


def test_nothing_is_shared_unless_told(file: Path) -> None:
    file.write_text("node: ns1\n")
    assert load_settings(file, {}, {}).shared is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{group: out}", "no Redis or Valkey: write {url: redis://192.0.2.60, group: out}"),
        ("redis://192.0.2.60", "'redis://192.0.2.60' where what servers share is expected"),
        ("{url: http://192.0.2.60}", "the URL is not taken: no URL of a Redis"),
        ("{url: 'redis://u:geheim@192.0.2.60'}", "the URL is not taken: a password in the URL"),
        (
            "{url: redis+cluster://192.0.2.60}",
            "is a Redis Cluster: write one server, or Sentinels and a name",
        ),
        (f"{{url: '{NEAR}', group: Out}}", "'Out' is no name of a group: write 1 to 32 small letters"),
        (f"{{url: '{NEAR}', agree: all}}", "quorum"),
        (f"{{url: '{NEAR}', secret_file: nowhere}}", "cannot be read (No such file or directory)"),
        (f"{{url: '{NEAR}', secret_file: empty}}", "is empty: write a file of one line"),
        (f"{{url: '{NEAR}', secret_file: short}}", "has fewer than 16 bytes"),
        (f"{{url: '{NEAR}', password_file: lines}}", "has more than one line"),
        (f"{{url: '{NEAR}', secret: abc}}", "unknown key 'secret'"),
    ],
)
def test_what_cannot_be_is_one_clear_error(file: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        shared(file, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    assert "geheim" not in lines[0]


def test_it_needs_a_node_of_its_own(file: Path) -> None:
    file.write_text(f'shared: {{url: "{NEAR}"}}\n')
    with pytest.raises(SettingsError, match="`shared` without `node`"):
        load_settings(file, {}, {})
    assert load_settings(file, {}, {"GEODNS_NODE": "ns2"}).node == "ns2"
    report = Report(str(file))
    settings_in(file, report)
    assert [(one.warning, one.what) for one in report.problems()] == [(True, NO_NODE)]


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ('{url: "redis://192.0.2.60"}', True),
        ('{url: "redis+sentinel://127.0.0.1,192.0.2.61/mail"}', True),
        ('{url: "redis://192.0.2.60", secret_file: secret}', False),
        (f'{{url: "{NEAR}"}}', False),
        ('{url: "redis://[::1]"}', False),
        ("{url: unix:///run/redis.sock}", False),
    ],
)
def test_a_redis_elsewhere_without_a_secret_is_a_warning(file: Path, text: str, warns: bool) -> None:
    file.write_text(f"node: ns1\nshared: {text}\n")
    report = Report(str(file))
    settings_in(file, report)
    assert [one.warning for one in report.problems()] == [True] * warns


def test_secrets_are_shown_nowhere(file: Path) -> None:
    shown = repr(shared(file, f'{{url: "{NEAR}", secret_file: secret, password_file: short}}'))
    assert SECRET not in shown
    assert "abc" not in shown
