"""A real Postfix reads the lines that `geodns generate postfix` prints."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from geodns.cli.generate.plan import Section, plan_of
from geodns.cli.generate.postfix import TABLE, postfix
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from tests.cli.generate.plans import BULK, ON_PORT, planned, routed
from tests.integration.test_postfix import MAIN_CF

pytestmark = [
    pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix must be started by root"),
]


def installed(folder: Path, sections: tuple[Section, ...]) -> Path:
    """Write the lines into files of a Postfix of one's own, where each says that it belongs."""
    etc = folder / "etc"
    for path in (etc, folder / "queue", folder / "data"):
        path.mkdir()
    shutil.chown(folder / "data", "postfix")
    main, *others = sections
    (etc / "main.cf").write_text(MAIN_CF.format(folder=folder) + main.text)
    master = "postlog unix-dgram n - n - 1 postlogd\n127.0.0.1:2525 inet n - n - - smtpd\n"
    for one in others:
        if one.where.startswith("master.cf"):
            master += one.text
        elif one.where.startswith(TABLE):
            (etc / TABLE).write_text(one.text)
    (etc / "master.cf").write_text(master)
    return etc


def ran(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("by_map", [False, True])
def test_it_knows_every_word(by_map: bool, tmp_path: Path) -> None:
    etc = installed(tmp_path, postfix(planned(), by_map=by_map))
    ran("postfix", "-c", etc, "check")
    kept = ran(
        "postconf", "-c", etc, "-xn", "smtpd_recipient_restrictions", "transport_maps", "default_transport"
    )
    assert "default_transport = relay:[out.example.com]:25" in kept
    if by_map:
        assert "transport_maps = socketmap:inet:127.0.0.1:5310:recipient" in kept
    else:
        assert "check_policy_service { inet:127.0.0.1:5310, timeout=2s, try_limit=1," in kept
    assert ran("postconf", "-c", etc, "-P") == (
        "127.0.0.1:2525/inet/cleanup_service_name = geodns-cleanup\n"
        "geodns-cleanup/unix/header_checks = regexp:$config_directory/geodns_classes\n"
        "geodns-cleanup/unix/mime_header_checks =\n"
        "geodns-cleanup/unix/nested_header_checks =\n"
    )


def test_its_table_of_headers(tmp_path: Path) -> None:
    sign = HeaderSign(header="X-Odd", value="a/b|c++|(d)|$e^")
    odd = MailClass(name="odd", signs=(sign,))
    for name, zone in (
        ("sample", planned().zone),
        ("odd", routed(RouteRule(mail_class=("odd",), use=BULK), classes=(odd,))),
    ):
        (tmp_path / name).write_text(postfix(plan_of(zone, ON_PORT))[-1].text)

    def found(table: str, header: str) -> str | None:
        done = subprocess.run(
            ["postmap", "-q", header, f"regexp:{tmp_path / table}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        return done.stdout.strip() or None

    bulk, fast = (
        f"FILTER relay:[{where}" for where in ("bulk.out.example.com]:587", "fast.out.example.com]:25")
    )
    assert found("sample", "List-Unsubscribe: <https://shop.example/off>") == bulk
    assert found("sample", "LIST-UNSUBSCRIBE: <https://shop.example/off>") == bulk
    assert found("sample", "Precedence: Bulk") == bulk
    assert found("sample", "Precedence:\n list ") == bulk
    assert found("sample", "Precedence: bulky") is None
    assert found("sample", "X-List-Unsubscribe: no") is None
    assert found("sample", "X-Class: tx") == fast
    for value in ("a/b", "c++", "(d)", "$e^"):
        assert found("odd", f"X-Odd: {value}") == "FILTER relay:[bulk.out.example.com]:25"
    assert found("odd", "X-Odd: ccc") is None
