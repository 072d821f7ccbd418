"""A Postfix of a test's own, with nothing of the machine's configuration: started, asked, ended."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.integration.mailhosts import wait_until

COMMON = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
inet_protocols = ipv4
alias_database =
"""
"""What every main.cf begins with."""


class PostfixInstance:
    """Postfix with a configuration, queue and log in a folder that its own user can read.

    Attributes:
        folder: of all its files.
        etc: where its configuration is.

    """

    def __init__(self, folder: Path, main_cf: str, master_cf: str) -> None:
        self.folder = folder
        self.etc = folder / "etc"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("etc", "data", "queue"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        self.configure(main_cf, master_cf)

    def configure(self, main_cf: str, master_cf: str) -> None:
        """Write its two files."""
        (self.etc / "main.cf").write_text(COMMON.format(folder=self.folder) + main_cf)
        (self.etc / "master.cf").write_text(master_cf)

    def log(self) -> str:
        """Everything it has logged since its log was last rotated."""
        with suppress(FileNotFoundError):
            return (self.folder / "log").read_text()
        return ""

    def command(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command of Postfix's, such as `postqueue -f`, for this instance."""
        said = subprocess.run(
            [words[0], "-c", str(self.etc), *words[1:]],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert not check or said.returncode == 0, (words, said.stdout, said.stderr, self.log())
        return said

    def start(self) -> None:
        """Start it, and wait until it listens."""
        seen = len(self.log())
        self.command("postfix", "check")  # makes its queue's folders
        daemons = self.command("postconf", "-h", "daemon_directory").stdout.strip()
        # `postfix start` would leave it in a session of its own, out of reach.
        self._process = subprocess.Popen(
            [f"{daemons}/master", "-c", str(self.etc), "-s"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: "daemon started" in self.log()[seen:], what=f"Postfix starts: {self.log()}")

    def stop(self) -> None:
        """End it, and all it has started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
