"""Connections to targets: where from, with which header, and whose fault a failure is."""

import asyncio
import errno
import os
import socket
import sys
from typing import Any

import pytest

from geodns.health.clock import ProbeClock
from geodns.health.connect import connect, proxy_header
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.probe import probe
from tests.health.servers import closed_port, serving, silent, target

V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21"


@pytest.mark.parametrize(
    ("version", "source", "destination", "expected"),
    [
        pytest.param(
            "v1",
            ("192.0.2.1", 40000),
            ("198.51.100.2", 25),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n",
            id="v1-ipv4",
        ),
        pytest.param("v1", ("::1", 65535), ("::2", 587), b"PROXY TCP6 ::1 ::2 65535 587\r\n", id="v1-ipv6"),
        pytest.param(
            "v1",
            ("fe80::1%eth0", 1),
            ("fe80::2%eth0", 25),
            b"PROXY TCP6 fe80::1 fe80::2 1 25\r\n",
            id="scoped",
        ),
        pytest.param(
            "v2",
            ("192.0.2.1", 256),
            ("198.51.100.2", 25),
            V2 + b"\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x01\x00\x00\x19",
            id="v2-ipv4",
        ),
        pytest.param(
            "v2",
            ("::1", 256),
            ("::2", 25),
            V2 + b"\x21\x00\x24" + bytes(15) + b"\x01" + bytes(15) + b"\x02\x01\x00\x00\x19",
            id="v2-ipv6",
        ),
    ],
)
def test_proxy_headers(
    version: str, source: tuple[str, int], destination: tuple[str, int], expected: bytes
) -> None:
    assert version in {"v1", "v2"}
    assert proxy_header("v1" if version == "v1" else "v2", source, destination) == expected


def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as port:
        pass
    real = socket.socket

    def bound(*kind: Any) -> socket.socket:
        sock = real(*kind)
        sock.bind(("127.0.0.1", port))
        return sock

    async def main() -> ProbeOutcome:
        monkeypatch.setattr("geodns.health.connect.socket.socket", bound)
        try:
            return await probe(target(port, type="tcp"), ehlo=None)
        finally:
            monkeypatch.undo()

    assert asyncio.run(main()).kind is ProbeResult.FAILURE


# --- whose fault a failure is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *(
            (getattr(errno, name), ProbeResult.UNKNOWN)
            for name in (
                "ENETDOWN",
                "EADDRNOTAVAIL",
                "EADDRINUSE",
                "EMFILE",
                "ENFILE",
                "EPERM",
                "ENOBUFS",
                "ENOMEM",
                "EAFNOSUPPORT",
            )
        ),
        *(
            (getattr(errno, name), ProbeResult.FAILURE)
            for name in (
                "EHOSTUNREACH",
                "ECONNREFUSED",
                "ECONNRESET",
                "ETIMEDOUT",
            )
        ),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else str(value),
)
@pytest.mark.parametrize("at", ["socket", "connect"])
def test_whose_trouble_it_is(
    number: int, kind: ProbeResult, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "injected")

    async def main() -> ProbeOutcome:
        if at == "connect":
            monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", fail)
        else:
            monkeypatch.setattr("geodns.health.connect.socket.socket", fail)
        try:
            return await probe(target(9), ehlo=None)
        finally:
            monkeypatch.undo()

    outcome = asyncio.run(main())
    assert outcome.kind is kind
    assert outcome.silent is (number in {errno.EHOSTUNREACH, errno.ETIMEDOUT})
    assert "injected" not in outcome.detail


@pytest.mark.parametrize("kind", ["smtp", "http"])
@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EACCES])
def test_what_a_router_or_a_firewall_says_is_no_trouble_of_our_own(
    number: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> ProbeOutcome:
        async def late(*_: object) -> None:
            # As an ICMP message does, which comes while the connection is awaited.
            raise OSError(number, "injected")

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", late)
        try:
            with closed_port() as port:
                return await probe(target(port, type=kind), ehlo=None)
        finally:
            monkeypatch.undo()

    outcome = asyncio.run(main())
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail.startswith(os.strerror(number).lower())
    assert ("firewall" in outcome.detail) == (number == errno.EACCES)


@pytest.mark.parametrize("kind", ["smtp", "http"])
@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EACCES])
def test_what_the_kernel_says_at_once_is_trouble_of_our_own(
    number: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(socket.socket):
        def connect(self, *_: object) -> None:
            raise OSError(number, "injected")

    async def main() -> ProbeOutcome:
        monkeypatch.setattr(socket, "socket", Refusing)
        try:
            return await probe(target(9, type=kind), ehlo=None)
        finally:
            monkeypatch.undo()

    outcome = asyncio.run(main())
    assert outcome.kind is ProbeResult.UNKNOWN
    assert outcome.detail == f"trouble of the prober's own: {os.strerror(number).lower()}"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port is chosen when the address is bound")
def test_many_connections_from_one_address_may_share_its_ports() -> None:
    async def main() -> bool:
        async with serving(silent) as port:
            one = target(port, source=("127.0.0.1",))
            with await connect(one, ProbeClock(one.check, None)) as sock:
                return bool(sock.getsockopt(socket.IPPROTO_IP, 24))

    assert asyncio.run(main())
