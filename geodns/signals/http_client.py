"""Fetches small answers over HTTP, with connections and threads of its own; bounded, and never redirected."""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from geodns import __version__
from geodns.health import tls
from geodns.health.connect import reason
from geodns.health.outcome import one_line

MAX_BODY = 2**20
"""Bytes of an answer; a longer one is refused, for half of it may say half of the truth."""

_THREADS = 4
"""Names looked up at once; a resolver that does not answer holds up these threads and nothing else."""
_HEADERS = {"User-Agent": f"geodns/{__version__}", "Accept-Encoding": "identity"}


class UnreadError(Exception):
    """There is no answer to read; says why."""


class HttpClient:
    """Asks by GET; what it needs is made when it is first used.

    Args:
        concurrency: connections at once.
        threads: the name of the threads that look names up.

    """

    def __init__(self, concurrency: int, threads: str) -> None:
        self._concurrency = concurrency
        self._threads = threads
        self._session: aiohttp.ClientSession | None = None
        self._resolver: _Resolver | None = None

    async def get(
        self,
        url: str,
        timeout: float,  # noqa: ASYNC109 - a limit that the caller knows
        headers: Mapping[str, str],
        *,
        connect: float | None = None,
        most: int = MAX_BODY,
    ) -> bytes:
        """Return the body of an answer of status 200.

        Args:
            url: as it goes on the wire.
            timeout: seconds for all of it.
            headers: beside our own.
            connect: seconds for connecting; None: as `timeout`.
            most: bytes.

        Raises:
            UnreadError: there is none.

        """
        try:
            async with asyncio.timeout(timeout):
                return await self._get(URL(url, encoded=True), headers, connect, most)
        except TimeoutError:
            raise UnreadError(f"no answer within {timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise UnreadError(one_line(_unconnected(error))) from None
        except aiohttp.ClientResponseError as error:
            raise UnreadError(one_line(f"not HTTP: {error.message}")) from None
        except aiohttp.ServerDisconnectedError:
            raise UnreadError("connection closed while waiting for the answer") from None
        except aiohttp.ClientPayloadError as error:
            raise UnreadError(one_line(f"the answer is broken: {error}")) from None
        except OSError as error:
            raise UnreadError(reason(error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise UnreadError(one_line(str(error) or type(error).__name__)) from None

    async def _get(self, url: URL, headers: Mapping[str, str], connect: float | None, most: int) -> bytes:
        if self._session is None:
            self._resolver = _Resolver(self._threads)
            self._session = _session(self._resolver, self._concurrency)
        # Reading the authorities that the system trusts takes 40 ms once: probes must not wait for it.
        trust = await asyncio.to_thread(tls.context, verify=True) if url.scheme == "https" else True
        limits = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        async with self._session.get(
            url, headers={**_HEADERS, **headers}, allow_redirects=False, ssl=trust, timeout=limits
        ) as response:
            if response.status != 200:
                more = ": it is not followed" if 300 <= response.status < 400 else ""
                raise UnreadError(
                    one_line(f"status {response.status} {response.reason or ''}".strip() + more)
                )
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise UnreadError(one_line(f"the answer is encoded ({encoding}), which was not asked for"))
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > most:
                    raise UnreadError(f"the answer is longer than {most // 2**20} MiB")
        return bytes(body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()


def _unconnected(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS is broken: {tls.complaint(tls.refused_by(error.certificate_error))}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"TLS is broken: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no address: {error.os_error.strerror or error.os_error}"
    return reason(error.os_error)


def _session(resolver: AbstractResolver, concurrency: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency, force_close=True, resolver=resolver),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


class _Resolver(AbstractResolver):
    """The system's resolver, in threads of its own: those of the loop are for writing orders down."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, name)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Stop; a thread that waits for an answer ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
