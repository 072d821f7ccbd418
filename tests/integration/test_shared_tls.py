"""A Redis that speaks TLS: whose certificate is trusted, and what is said of the others."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.health import certificates
from tests.integration.cluster import free_port
from tests.integration.redises import needs_redis, redis_server
from tests.integration.test_shared_link import UP, Server, run, running, until

pytestmark = needs_redis
NAME = "localhost"


@contextlib.contextmanager
def tls_redis(folder: Path, *options: str, **certificate: Any) -> Iterator[int]:
    """Run a Redis with a certificate; yield the port of TLS."""
    certificates.server(folder, **certificate)
    file, port = str(folder / "server.pem"), free_port()
    with redis_server(
        folder,
        *("--tls-port", str(port), "--tls-cert-file", file, "--tls-key-file", file),
        *("--tls-ca-cert-file", file, "--tls-auth-clients", "no", *options),
    ):
        yield port


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "trusted": ({"names": (NAME,)}, ""),
    "of another name": ({"names": ("redis.example.com",)}, "not valid for 'localhost'"),
    "of an unknown authority": ({"names": (NAME,), "signer": None}, "SSL_CERT_FILE"),
    "expired": ({"names": (NAME,), "days": -1}, "has expired"),
}


@pytest.mark.parametrize("row", ROWS)
def test_only_a_trusted_certificate_of_its_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    """SSL_CERT_FILE names the authority, as for probes and commands."""
    certificate, sentence = ROWS[row]
    signer = certificates.authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(signer.trusted_in(tmp_path)))

    async def work(port: int) -> None:
        one, two = (Server(f"rediss://{NAME}:{port}", node) for node in ("ns1", "ns2"))
        async with running(one, two, connected=not sentence):
            if sentence:
                await until(lambda: sentence in one.link.state.why, lambda: one.link.state.why)
                assert not any(state.connected for state in one.states)
                return
            one.publish(a=UP)
            await until(lambda: two.has("ns1", a=UP))

    with tls_redis(tmp_path, **{"signer": signer, **certificate}) as port:
        run(work(port))


def test_tls_where_there_is_none_and_none_where_there_is_are_told(tmp_path: Path) -> None:
    async def work(plain: int, tls: int) -> None:
        one, two = Server(f"rediss://{NAME}:{plain}", "ns1"), Server(f"redis://{NAME}:{tls}", "ns2")
        async with running(one, two, connected=False):
            await until(lambda: "does not answer" in one.link.state.why, lambda: one.link.state.why)
            await until(lambda: "cannot be reached" in two.link.state.why, lambda: two.link.state.why)

    plain = free_port()
    with tls_redis(tmp_path, "--port", str(plain), names=(NAME,), signer=certificates.authority()) as tls:
        run(work(plain, tls))
