import pytest

from geodns.health.connect import proxy_header

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
