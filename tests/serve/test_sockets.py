import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from bench.servers import free_port
from geodns.errors import StartError
from geodns.serve import sockets
from geodns.serve.sockets import AnyAddress, format_address, local_addresses, open_sockets

HTTP = ("127.0.0.1", 0)


def refusing(number: int) -> type[socket.socket]:
    class Refusing(socket.socket):
        def bind(self, _address: Any) -> None:
            raise OSError(number, os.strerror(number))

    return Refusing


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EADDRINUSE, "port taken (UDP): another name server? give --listen another port"),
        (
            errno.EACCES,
            (
                "not allowed to open this port (UDP): give --listen a port from 1024, "
                "or the process CAP_NET_BIND_SERVICE"
            ),
        ),
        (errno.EADDRNOTAVAIL, "not an address of this machine (UDP): give --listen one that is"),
        (errno.ENOBUFS, "cannot be opened (UDP): No buffer space available"),
    ],
    ids=["taken", "not-allowed", "not-local", "other"],
)
def test_one_line_says_what_to_do(number: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", refusing(number))
    with pytest.raises(StartError) as raised:
        open_sockets([("::1", 53)], HTTP, 1)
    assert str(raised.value) == f"[::1]:53: {expected}"


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartError, match=r"^203\.0\.113\.7:5300: not an address of this machine"):
        open_sockets([("203.0.113.7", 5300)], HTTP, 1)


def test_the_port_of_http_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        http = other.getsockname()
        with pytest.raises(StartError) as raised:
            open_sockets([("127.0.0.1", 0)], http, 1)
    assert (
        str(raised.value)
        == f"{format_address(http)}: port taken (HTTP): another server? give --http another port"
    )


def test_nothing_stays_open_when_something_is_wrong() -> None:
    address = ("127.0.0.1", free_port())
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StartError):
        open_sockets([address, ("203.0.113.7", address[1])], HTTP, 3)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    open_sockets([address], HTTP, 1).close()


def test_every_worker_has_its_socket_on_every_address() -> None:
    opened = open_sockets([("127.0.0.1", 0), ("127.0.0.2", 0)], HTTP, 3)
    try:
        names = [
            [one.getsockname() for one in worker if isinstance(one, socket.socket)] for worker in opened.udp
        ]
        assert names == [list(opened.listen)] * 3
        assert [one.getsockname() for one in opened.tcp] == list(opened.listen)
    finally:
        opened.close()


def test_an_address_given_twice_is_opened_once() -> None:
    address = ("127.0.0.1", free_port())
    opened = open_sockets([address, address], HTTP, 1)
    opened.close()
    assert opened.listen == (address,)


def test_a_wildcard_is_a_socket_per_address_and_one_for_the_rest() -> None:
    opened = open_sockets([("0.0.0.0", 0)], HTTP, 1)
    try:
        (worker,) = opened.udp
        rest = [one for one in worker if isinstance(one, AnyAddress)]
        hosts = {one.getsockname()[0] for one in worker if isinstance(one, socket.socket)}
        assert len(rest) == 1
        assert "127.0.0.1" in hosts
        assert hosts <= set(local_addresses())
    finally:
        opened.close()


def test_without_a_list_of_addresses_the_wildcard_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "local_addresses", tuple)
    opened = open_sockets([("0.0.0.0", 0)], HTTP, 1)
    opened.close()
    assert [type(one) for one in opened.udp[0]] == [AnyAddress]
