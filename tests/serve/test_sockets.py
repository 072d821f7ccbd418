import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.servers import free_port
from geodns.errors import StartError
from geodns.serve import sockets
from geodns.serve.sockets import (
    AnyAddress,
    Sockets,
    format_address,
    local_addresses,
    open_sockets,
    sockets_of,
)
from geodns.serve.systemd import Given

HTTP = ("127.0.0.1", 0)
LISTEN = (("127.0.0.1", 0),)


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


# --- sockets from systemd -----------------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def udp(stack: contextlib.ExitStack, host: str = "127.0.0.1", *, share: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
    one.bind((host, 0))
    return one


def tcp(stack: contextlib.ExitStack, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    return stack.enter_context(socket.create_server((host, port)))


def pair(stack: contextlib.ExitStack, host: str = "127.0.0.1", *, share: bool = False) -> list[Given]:
    """Sockets of one port, which has to be free for both."""
    while True:
        one = udp(stack, host, share=share)
        with contextlib.suppress(OSError):
            return [Given("dns", one), Given("dns", tcp(stack, host, one.getsockname()[1]))]
        one.close()


def taken(stack: contextlib.ExitStack, given: list[Given], workers: int = 1) -> Sockets:
    opened = sockets_of(given, LISTEN, HTTP, workers)
    stack.callback(opened.close)
    return opened


def addresses(opened: Sockets) -> list[list[tuple[str, int]]]:
    return [[one.getsockname() for one in worker if isinstance(one, socket.socket)] for worker in opened.udp]


def test_nothing_given_is_everything_opened(stack: contextlib.ExitStack) -> None:
    opened = taken(stack, [], 2)
    assert len(opened.udp) == 2
    assert opened.listen[0][0] == "127.0.0.1"


def test_what_is_given_stands_for_all_listeners(stack: contextlib.ExitStack) -> None:
    given = pair(stack) + pair(stack)
    opened = taken(stack, given, 2)
    expected = [given[0].socket.getsockname(), given[2].socket.getsockname()]
    assert list(opened.listen) == expected
    assert addresses(opened) == [expected] * 2
    assert opened.tcp == (given[1].socket, given[3].socket)
    assert opened.http.getsockname()[0] == "127.0.0.1"


def test_only_http_may_be_given(stack: contextlib.ExitStack) -> None:
    web = tcp(stack)
    opened = taken(stack, [Given("http", web)])
    assert opened.http is web
    assert opened.listen[0][1] != 0


@pytest.mark.parametrize("share", [False, True], ids=["one-queue", "ReusePort"])
def test_workers_share_a_socket_or_have_their_own_beside_it(stack: contextlib.ExitStack, share: bool) -> None:
    given = pair(stack, share=share)
    opened = taken(stack, given, 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", opened.listen[0])
        waiting = []
        for (one,) in opened.udp:
            with contextlib.suppress(BlockingIOError):
                one.recvfrom(10, socket.MSG_DONTWAIT | socket.MSG_PEEK)
                waiting.append(one)
    assert len(waiting) == (1 if share else 3)


def test_where_no_socket_can_be_had_beside_it_one_is_shared(
    stack: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sockets.bind

    def refuse(
        address: sockets.HostPort, kind: socket.SocketKind, what: str, **options: bool
    ) -> socket.socket:
        if what != "HTTP":
            raise StartError("another user's")
        return real(address, kind, what, **options)

    monkeypatch.setattr(sockets, "bind", refuse)
    assert len({one[0].fileno() for one in taken(stack, pair(stack, share=True), 3).udp}) == 3


def test_a_wildcard_answers_from_the_address_asked(stack: contextlib.ExitStack) -> None:
    opened = taken(stack, pair(stack, "0.0.0.0"))
    ((one,),) = opened.udp
    assert isinstance(one, AnyAddress)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.9", opened.listen[0][1]))  # only what comes from there arrives
        client.send(b"ask")
        packet, sender = one.recvfrom(10)
        one.sendto(packet, sender)
        assert client.recv(10) == b"ask"


def test_an_address_without_tcp_is_told(
    stack: contextlib.ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    lonely = udp(stack)
    taken(stack, [*pair(stack), Given("dns", lonely)])
    assert f"127.0.0.1:{lonely.getsockname()[1]} was handed over for UDP or TCP alone" in caplog.text


def connection(stack: contextlib.ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(tcp(stack).getsockname()))


def both_families(stack: contextlib.ExitStack) -> socket.socket:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    both = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    both.bind(("::", 0))
    return both


def local(stack: contextlib.ExitStack) -> socket.socket:
    return stack.enter_context(socket.socket(socket.AF_UNIX))


Maker = Callable[[contextlib.ExitStack], socket.socket]


@pytest.mark.parametrize(
    ("name", "makers", "says"),
    [
        ("dns", [udp], "no socket for TCP: write ListenStream= in the .socket unit as well"),
        ("dns", [tcp], "no socket for UDP: write ListenDatagram= in the .socket unit as well"),
        ("dns", [local], "the socket dns from systemd is none of IPv4 or IPv6: write an address and a port"),
        ("dns", [connection], "the socket dns from systemd is one connection: write Accept=no"),
        ("dns", [both_families], "takes IPv4 as IPv6: write BindIPv6Only=ipv6-only"),
        ("http", [tcp, tcp], "more for http than a stream socket: write one ListenStream="),
        ("http", [udp], "more for http than a stream socket: write one ListenStream="),
    ],
    ids=["no-tcp", "no-udp", "unix", "a-connection", "both-families", "two-http", "http-over-udp"],
)
def test_what_is_of_no_use(stack: contextlib.ExitStack, name: str, makers: list[Maker], says: str) -> None:
    given = [Given(name, make(stack)) for make in makers]
    with pytest.raises(StartError) as raised:
        sockets_of(given, LISTEN, HTTP, 1)
    assert says in str(raised.value)
