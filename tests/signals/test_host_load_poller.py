"""Hosts that are asked how busy they are: real web servers that answer well, badly, slowly or not at all."""

import asyncio
import gzip
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from geodns.model.hosts import Load, Metric
from geodns.signals import host_load_poller
from geodns.signals.host_load_poller import CONCURRENCY, LoadSources, PollPlan, plans
from geodns.signals.http_client import MAX_BODY
from tests.health.certificates import authority, server
from tests.health.servers import closed_port, silent
from tests.health.servers import serving as tcp_serving

SOON = 20.0


class AtOnce(random.Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        return a if a == 0 else b


class Source:
    """A web server that counts who asks it, and what `LoadSources` makes of its answers."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.body = "q 400\nr 7\n"
        self.url = ""
        self.under_way = self.most = 0
        self.pause = 0.0
        self.values: dict[Load, list[float]] = {}
        self.errors: dict[Load, list[str]] = {}
        self.agents: set[str] = set()

    async def page(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.agents.add(request.headers["User-Agent"])
        match request.path:
            case "/moved":
                return web.Response(status=302, headers={"Location": "/"})
            case "/large":
                return web.Response(body=b"q 1\n" + b"#" * MAX_BODY)
            case "/packed":
                return web.Response(body=gzip.compress(b"q 1\n"), headers={"Content-Encoding": "gzip"})
            case "/json":
                return web.json_response({"queues": [{"size": 9}]})
            case "/error":
                return web.Response(status=503)
            case "/slow":
                await asyncio.sleep(10)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.pause)
        self.under_way -= 1
        return web.Response(text=self.body)

    def took(self, load: Load, value: float) -> None:
        self.values.setdefault(load, []).append(value)

    def failed(self, load: Load, error: str) -> None:
        self.errors.setdefault(load, []).append(error)

    def load(self, where: str = "/", metric: str | None = "q", **other: Any) -> Load:
        given: dict[str, Any] = {"interval": 0.1, "timeout": 0.1, "full": 1} | other
        url = where if where.startswith("http") else self.url + where
        return Load(url=url, metric=None if metric is None else Metric(name=metric), **given)


@asynccontextmanager
async def asking(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Source, LoadSources]]:
    source = Source()
    app = web.Application()
    app.router.add_get("/{path:.*}", source.page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    sources = LoadSources(source.took, source.failed, random.Random(1))
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        source.url = f"{'http' if context is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
        yield source, sources
    finally:
        await sources.close()
        await runner.cleanup()


def run(
    test: Callable[[Source, LoadSources], Awaitable[None]], context: ssl.SSLContext | None = None
) -> None:
    async def all_of_it() -> None:
        async with asyncio.timeout(SOON), asking(context) as (source, sources):
            await test(source, sources)

    asyncio.run(all_of_it())


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for knows nothing of us
        await asyncio.sleep(0.01)


def test_one_question_for_all_that_a_url_tells() -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        q, r, missing = source.load(), source.load(metric="r"), source.load(metric="s")
        sources.follow([q, r, missing, Load(full=1)])
        await until(lambda: len(source.values.get(q, ())) >= 3)
        assert set(source.values) == {q, r}
        assert (source.values[q][0], source.values[r][0]) == (400, 7)
        assert set(source.errors[missing]) == {"no sample matches s"}
        assert len(source.values[q]) == len(source.values[r]) == len(source.errors[missing])
        assert source.asked["/"] <= len(source.values[q]) + 1
        source.body = "q 500\n"
        await until(lambda: source.values[q][-1] == 500)
        await until(lambda: source.errors.get(r) == ["no sample matches r"])
        assert all(agent.startswith("geodns/") for agent in source.agents)

    run(test)


def test_json() -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        load = source.load("/json", metric=None, path=("queues", 0, "size"))
        sources.follow([load])
        await until(lambda: source.values.get(load))
        assert source.values[load][0] == 9

    run(test)


ERRORS = {
    "moved": ("/moved", "status 302 Found: it is not followed"),
    "large": ("/large", "the answer is longer than 1 MiB"),
    "packed": ("/packed", "the answer is encoded (gzip), which was not asked for"),
    "error": ("/error", "status 503 Service Unavailable"),
    "slow": ("/slow", "no answer within 0.1 s"),
    "closed": ("CLOSED", "connection refused"),
    "silent": ("SILENT", "no answer within 0.1 s"),
    "no HTTP": ("BANNER", "not HTTP: "),
    "hangs up": ("ENDS", "connection closed while waiting for the answer"),
    "no TLS": ("TLS", "TLS is broken: "),
}


async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"220 mta1 ESMTP\r\n")
    await writer.drain()
    writer.close()


async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(("where", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_what_goes_wrong_is_told(where: str, says: str) -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        async with tcp_serving(silent) as quiet, tcp_serving(banner) as chatty, tcp_serving(ends) as rude:
            with closed_port() as nobody:
                ports = {"CLOSED": nobody, "SILENT": quiet, "BANNER": chatty, "ENDS": rude}
                url = f"http://127.0.0.1:{ports[where]}/" if where in ports else where
                if where == "TLS":
                    url = source.url.replace("http", "https")
                limit = 0.1 if "within" in says else 5
                bad, good = source.load(url, timeout=limit, interval=limit), source.load()
                sources._rng = AtOnce()
                sources.follow([bad, good])
                await until(lambda: source.errors.get(bad) and source.values.get(good))
                assert source.errors[bad][0].startswith(says)
                assert bad not in source.values

    run(test)


def test_a_certificate_must_be_good(tmp_path: Path) -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        load = source.load(timeout=5, interval=5)
        sources._rng = AtOnce()
        sources.follow([load])
        await until(lambda: source.errors.get(load))
        assert source.errors[load][0].startswith("TLS is broken: certificate unknown issuer")

    run(test, server(tmp_path, authority()))


def test_an_edit_is_followed_and_the_end_is_clean() -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        kept, gone = source.load("/kept"), source.load("/gone")
        sources.follow([kept, gone])
        await until(lambda: source.asked["/kept"] > 1 and source.asked["/gone"] > 1)
        task = sources._tasks[kept.url or ""]
        new = source.load("/new")
        sources.follow([kept, new])
        assert sources._tasks[kept.url or ""] is task, "what goes on is not disturbed"
        before = source.asked["/gone"]
        await until(lambda: source.asked["/new"] > 2)
        assert source.asked["/gone"] <= before + 1
        slower = source.load("/kept", interval=50)
        sources.follow([slower])
        assert sources._tasks[kept.url or ""] is not task
        sources.follow([])
        assert not sources._tasks
        await asyncio.wait_for(sources.close(), 5)
        before_all = source.asked.total()
        await asyncio.sleep(0.3)
        assert source.asked.total() == before_all

    run(test)


def test_only_so_many_ask_at_once() -> None:
    async def test(source: Source, sources: LoadSources) -> None:
        source.pause = 0.2
        loads = [source.load(f"/{number}", timeout=10, interval=10) for number in range(CONCURRENCY * 2)]
        sources._rng = AtOnce()
        sources.follow(loads)
        await until(lambda: len(source.values) == len(loads))
        assert 1 < source.most <= CONCURRENCY

    run(test)


def test_a_resolver_that_hangs_holds_up_no_thread_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def hangs(host: Any, *arguments: Any, **other: Any) -> Any:
        if host.endswith(".invalid"):
            time.sleep(1.0 if host == "hangs.invalid" else 0)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *arguments, **other)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)

    async def test(source: Source, sources: LoadSources) -> None:
        stuck = [source.load(f"http://hangs.invalid:{port}/", timeout=0.1) for port in range(1, 13)]
        sources.follow(stuck)
        await until(lambda: len(source.errors) == len(stuck))
        assert {error for some in source.errors.values() for error in some} == {"no answer within 0.1 s"}
        nobody = source.load("http://nobody.invalid/", timeout=9, interval=9)
        sources._rng = AtOnce()
        sources.follow([nobody])
        await until(lambda: source.errors.get(nobody))
        assert source.errors[nobody] == ["no address: Temporary failure in name resolution"]
        sources.follow(stuck)
        await until(lambda: len(source.errors[stuck[0]]) > 12)
        began = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4)))
        assert time.monotonic() - began < 0.9, "threads of the loop are free"
        await asyncio.wait_for(sources.close(), 0.9)

    run(test)


def test_a_fault_of_our_own_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    async def test(source: Source, sources: LoadSources) -> None:
        load = source.load()
        with monkeypatch.context() as patch:
            patch.setattr(host_load_poller, "_read", broken)
            sources.follow([load])
            await until(lambda: len(source.errors.get(load, ())) > 1)
        assert source.errors[load][0] == "a fault of the server's own: its log says more"
        await until(lambda: source.values.get(load))

    run(test)


def test_how_a_url_is_asked() -> None:
    one = Load(url="http://a/", metric=Metric(name="q"), full=1, interval=10, timeout=3)
    two = Load(url="http://a/", metric=Metric(name="r"), full=1, interval=5, timeout=5)
    three = Load(url="http://a/", metric=Metric(name="r"), full=1, interval=60, timeout=20)
    assert plans([one, two, three, Load(full=1)]) == {
        "http://a/": PollPlan(5, 5, frozenset({one, two, three}))
    }
    assert plans([Load(full=1)]) == {}
