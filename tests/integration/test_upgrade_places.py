"""Upgrades of servers as they are started in earnest: as a user that root made it, and under systemd."""

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from tests.integration.cluster import Server, geodns, serving
from tests.integration.launcher import Wanted, launching
from tests.integration.mailhosts import wait_until
from tests.integration.serving import Load, ask
from tests.integration.test_privileges import folder, identity, prefix, processes, root_only
from tests.integration.test_systemd import Manager, manager
from tests.integration.test_upgrade_clients import at_work
from tests.integration.test_upgrade_versions import NAME, copy, version
from tests.integration.test_upgrade_versions import ZONE as LAB
from tests.unprivileged import NOBODY

__all__ = ["folder", "manager", "prefix"]


def upgraded(folder: Path, program: str, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
    """Upgrade to a program, or back from it."""
    asked = ("upgrade", "--state", str(folder / "state"), *arguments, "--program", program)
    if "--back" in arguments:
        asked = asked[:-2]
    done = geodns(*asked, cwd=folder, timeout=100, prefix=prefix)
    assert done.returncode == 0, done.stderr + done.stdout


@root_only
def test_a_user_that_root_has_made_it_stays(folder: Path, prefix: tuple[str, ...]) -> None:
    """What root alone may read is known to it all the same."""
    token = folder / "token"
    token.write_text("s3cret")
    token.chmod(0o600)
    (folder / "geodns.yaml").write_text("token_file: token\n")
    program = copy(folder / "good", "9.0")
    nobody = (*prefix, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    with serving(folder, {NAME: LAB}, prefix=prefix, arguments=("--user", "nobody")) as server:
        before = server.children()

        def is_as_before() -> None:
            nonlocal before
            assert not set(before) & set(server.children())
            before = server.children()
            for pid in processes(server):
                status = identity(pid)
                assert status["Uid"] == [str(NOBODY)] * 4
                assert status["Groups"] == status["Gid"][:1]
                assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == 0
                assert status["NoNewPrivs"] == ["1"]
            path = f"/api/v1/hosts/{NAME}/mta1/drain"
            assert server.request(path, {"yes": True}, token="wrong")[0] in {401, 403}
            assert server.request(path, {"yes": True}, token="s3cret")[0] == 200

        upgraded(folder, program, prefix=prefix)
        assert version(server) == "9.0"
        is_as_before()
        upgraded(folder, program, "--back", prefix=nobody)
        assert version(server) != "9.0"
        is_as_before()


def mta(path: Path) -> Callable[[], None]:
    """Ask for a route as Postfix does, over a connection of its own each time."""

    def work() -> None:
        with socket.socket(socket.AF_UNIX) as client, contextlib.closing(client.makefile()) as lines:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"get a@b.example\n")
            assert lines.readline() == f"200 relay:[{NAME}]:25\n"

    return work


def wildcard(server: Server) -> Callable[[], None]:
    """Ask an address that only a wildcard has; `ask` takes no answer from another."""
    query = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + b"\1n\3lab\7example\0\0\1\0\1"

    def work() -> None:
        assert ask(("127.0.0.5", server.listen[0][1]), query)[-4:] == bytes((192, 0, 2, 1))

    return work


def test_what_systemd_gave_is_kept_and_its_watchdog_hears_on(tmp_path: Path, manager: Manager) -> None:
    """With a wildcard and a UNIX file for MTAs."""
    (tmp_path / "geodns.yaml").write_text('routes_listen: {listen: "unix:routes", mode: "0600"}\n')
    program = copy(tmp_path / "good", "9.0")
    given = launching(Wanted("dns", "0.0.0.0"), Wanted("http", "127.0.0.3", ("tcp",)))
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    zones = {NAME: LAB + "routes: [{use: '@'}]\n"}
    with serving(tmp_path, zones, workers=2, prefix=given, env=env) as server:
        manager.wait_for(b"READY=1")
        file = (tmp_path / "routes").stat()
        at = ("127.0.0.1", server.listen[0][1])
        with Load(at, pause=0.01) as load, at_work(mta(tmp_path / "routes"), wildcard(server)):
            for back in ((), ("--back",)):
                upgraded(tmp_path, program, *back)
                assert (version(server) == "9.0") is not bool(back)
                manager.wait_for(b"WATCHDOG=1", manager.heard.count(b"WATCHDOG=1") + 3)
            assert load.wait_for_more()
        assert load.lost == 0
        now = (tmp_path / "routes").stat()
        assert (now.st_ino, stat.S_IMODE(now.st_mode)) == (file.st_ino, 0o600)
        assert set(manager.heard) == {b"READY=1", b"WATCHDOG=1"}
        assert server.stop() == 0
        wait_until(lambda: b"STOPPING=1" in manager.heard, what="systemd hears of the end")
        assert not os.path.lexists(tmp_path / "routes")
