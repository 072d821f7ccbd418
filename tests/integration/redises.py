"""A real Redis on a UNIX socket and a port of loopback, that tests fill, freeze, kill and start again."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import free_port

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server here: apt-get install redis-server"
)
START = 20.0
"""Seconds that a Redis may take to answer on a busy machine."""


class RedisServer:
    """A redis-server of one's own; it keeps nothing on disk, so that it begins empty each time.

    Attributes:
        port: on 127.0.0.1.
        socket: the path of its UNIX socket.

    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.socket = folder / f"redis-{self.port}.sock"
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        """Start it, empty, and wait till it answers."""
        self._process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"),
                *(
                    "--dir",
                    str(self.folder),
                    "--dbfilename",
                    f"dump-{self.port}.rdb",
                    "--repl-diskless-sync-delay",
                    "0",
                ),
                *self.options,
                *more,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        from redis.exceptions import AuthenticationError, RedisError, ResponseError

        try:
            return bool(self.run("PING"))
        except (AuthenticationError, ResponseError):
            return True
        except (RedisError, OSError):
            return False

    def run(self, *words: str | bytes | float, password: str | None = None) -> Any:
        """Run a command, and return the reply in bytes."""
        from redis import Redis

        # The socket is there for all; so is what tests need of it.
        with Redis(unix_socket_path=str(self.socket), password=password, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def freeze(self) -> None:
        """Have it hang: it takes connections, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a Redis, with options of its configuration."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def sentinel(folder: Path, primary: RedisServer, name: str) -> Iterator[int]:
    """Run a Sentinel that alone decides on a failover; yield its port."""
    port = free_port()
    path = folder / f"sentinel-{port}.conf"
    path.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
        f"sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 5000\n"
    )
    process = subprocess.Popen(
        ["redis-server", str(path), "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()
