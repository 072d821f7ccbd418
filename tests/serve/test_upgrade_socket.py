"""Who may ask for an upgrade, and how."""

import json
import os
import socket
from pathlib import Path

import pytest

from geodns.serve.upgrade_socket import MAX_LINE, UpgradeClient, UpgradeRequest, UpgradeSocket


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b'{"back": {}}\n', UpgradeRequest(back=True)),
        (b'{"upgrade": {"program": "/a", "args": null}}\n', UpgradeRequest("/a")),
        (b'{"upgrade": {"program": "/a", "later": 1}, "later": 2}\n', UpgradeRequest("/a")),
        (b'{"upgrade": {"program": "/a", "args": ["--http", "x"]}}\n', UpgradeRequest("/a", ("--http", "x"))),
        (b'{"upgrade": {"program": "/a"}}', None),
        (b"", None),
        (
            b'{"upgrade": {"program": "/a", "args": [1]}}\n',
            "the request is neither an upgrade nor a way back",
        ),
        (b'{"upgrade": {"program": 7}}\n', "the request is neither an upgrade nor a way back"),
        (
            rb'{"upgrade": {"program": "/a\u0000b"}}' + b"\n",
            "the request is neither an upgrade nor a way back",
        ),
        (rb'{"upgrade": {"program": "/\ud800"}}' + b"\n", "the request is neither an upgrade nor a way back"),
        (
            rb'{"upgrade": {"program": "/a", "args": ["\ud800"]}}' + b"\n",
            "the request is neither an upgrade nor a way back",
        ),
        (rb'{"upgrade": {"program": "/\udcff"}}' + b"\n", UpgradeRequest("/\udcff")),
        (b"[]\n", "the request is neither an upgrade nor a way back"),
        (b"\xff\n", "the request is no JSON"),
        (b"{" * MAX_LINE, "the request is too long"),
    ],
)
def test_a_request(sent: bytes, read: UpgradeRequest | str | None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        assert UpgradeClient(ours).read() == read


def test_who_does_not_read_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = UpgradeClient(ours)
        for _ in range(1000):
            client.say(said="x" * 3000)
        theirs.close()
        client.say(said="nobody")


def test_a_line_has_a_bound() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        UpgradeClient(ours).say(said="x" * MAX_LINE)
        assert len(json.loads(theirs.recv(2 * MAX_LINE))["said"]) == 2000


def test_another_user_may_not_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = UpgradeSocket.open(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(tmp_path / "upgrade.sock"))
        peer = os.getuid()
        if peer == 0:  # whoever tests may be root, who may ask: have the kernel say another user
            monkeypatch.setattr("geodns.serve.upgrade_socket._peer", lambda _: (1, 4242))
        else:
            monkeypatch.setattr(os, "geteuid", lambda: peer + 1)
        assert opened.accept() is None
        assert b"only root and the server's own user" in client.recv(1000)
    assert "asked for an upgrade: refused" in caplog.text
    opened.remove()
    assert not (tmp_path / "upgrade.sock").exists()


def test_a_folder_in_which_nothing_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert UpgradeSocket.open(tmp_path / "nowhere").socket is None
    assert "`geodns upgrade` finds no server" in caplog.text
