"""Connects to Redis or Valkey as a link needs it, and says in one sentence what is the matter with it.

redis-py's own patience is switched off: it waits a minute where a server hangs, and the link has its own.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from geodns.errors import GeodnsError, printable
from geodns.model.shared_url import RedisPlace, parse_url
from geodns.storage.shared_link import LinkDownError, MissingLibraryError

log = logging.getLogger(__name__)

Client = Any
"""redis.asyncio.Redis, whose types do not know that all replies are bytes."""

TIMEOUT = 1.0
"""Seconds that a call may take, and a connection to be made."""
MAX_REPLY = 8 << 20
"""Bytes of a reply; more is nothing that geodns wrote, and would hold up the whole server."""
BLOCK = 1.0
"""Seconds that a reading of the log waits; what else is to be read waits for it."""
_CLUSTER = (
    "this is a Redis Cluster, which geodns does not use: write the URL of a single Redis, or of its Sentinels"
)
_HUGE = "{place} has a value of many megabytes in a key of the group, which geodns did not write: delete it"
_REPLICA = "a read-only replica: write the primary's URL, or redis+sentinel://… where Sentinels choose one"


class Clients:
    """The connections of one link, made when they are first used.

    Attributes:
        calls: for what is answered at once.
        log: for reading the log, which waits.

    """

    def __init__(self, url: str, password: bytes | None) -> None:
        """Prepare the connections.

        Raises:
            MissingLibraryError: redis-py is not installed.
            ValueError: the URL is none.

        """
        self.place = parse_url(url)
        self._password = password
        self._sentinels: list[Any] = []
        self.calls = self._client(TIMEOUT)
        self.log = self._client(BLOCK + 1.5 * TIMEOUT)

    def _client(self, timeout: float) -> Client:
        client = self._unbounded(timeout)
        known = client.connection_pool.connection_kwargs
        known["parser_class"] = _bounded(_HUGE.format(place=self.place))
        return client

    def _unbounded(self, timeout: float) -> Client:
        try:
            from redis.asyncio import Redis, Sentinel  # noqa: PLC0415 # an extra
            from redis.asyncio.retry import Retry  # noqa: PLC0415 - an extra
            from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        except ImportError:
            raise MissingLibraryError(
                "shared: the library for Redis is not installed: pip install 'geodns[shared]'"
            ) from None
        common: dict[str, Any] = {
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,  # later ones ask for notices of maintenance, which take rights
            "driver_info": None,
        }
        options = common | {
            "socket_timeout": timeout,
            "socket_read_size": 65536,
            "db": self.place.database,
            "username": self.place.user or None,
            "password": self._password,
        }
        place = self.place
        if place.service:
            made: Any = Sentinel  # it has no types
            sentinel = made(place.hosts, sentinel_kwargs=common | {"socket_timeout": TIMEOUT}, **options)
            self._sentinels.append(sentinel)
            return sentinel.master_for(place.service, redis_class=Redis)
        if place.scheme == "unix":
            where: dict[str, Any] = {"unix_socket_path": place.path}
        else:
            host, port = place.hosts[0]
            where = {"host": host, "port": port, "ssl": place.tls}
        return Redis(**where, **options)

    async def hello(self) -> str:
        """Return what answers, as ``Redis 7.0.15``, or raise LinkDownError where it is none that serves."""
        reply = await self.calls.execute_command("HELLO")
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=False)
        said = {_text(name): _text(value) for name, value in pairs}
        if said.get("mode") == "cluster":
            raise LinkDownError(_CLUSTER)
        if said.get("role") not in (None, "master"):
            raise LinkDownError(f"{self.place} is {_REPLICA}")
        return f"{said.get('server', 'redis').capitalize()} {said.get('version', '?')}"[:64]

    async def disconnect(self) -> None:
        """Let go of all connections: the next calls make new ones."""
        for client in (self.calls, self.log):
            try:
                async with asyncio.timeout(TIMEOUT):
                    await client.connection_pool.disconnect()
            except Exception as error:  # noqa: BLE001 # it is closed as far as it can be
                log.debug("disconnecting: %s", error)

    async def close(self) -> None:
        """Close what is open; nothing of it waits for Redis."""
        sentinels = [client for one in self._sentinels for client in one.sentinels]
        for client in (self.calls, self.log, *sentinels):
            try:
                async with asyncio.timeout(TIMEOUT):
                    await client.aclose()
                    await client.connection_pool.disconnect()
            except Exception as error:  # noqa: BLE001 # it is closed as far as it can be
                log.debug("closing: %s", error)


def _bounded(sentence: str) -> type[Any]:
    """Return redis-py's parser, which ends the connection where a reply is longer than `MAX_REPLY`."""
    from redis.asyncio.connection import DefaultParser  # noqa: PLC0415 # an extra

    class Parser(DefaultParser):  # type: ignore[misc, valid-type] # which one it is depends on what is installed
        taken = 0

        async def read_response(self, *arguments: Any, **options: Any) -> Any:
            self.taken = 0
            return await super().read_response(*arguments, **options)

        async def read_from_socket(self) -> Any:
            before = self._reader.len()
            done = await super().read_from_socket()
            self.taken += self._reader.len() - before
            if self.taken > MAX_REPLY:
                raise LinkDownError(sentence)
            return done

    return Parser


def _text(value: Any) -> str:
    return printable(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


_SAID = {
    "WRONGPASS": "{place} refuses the user or the password: see to password_file",
    "NOAUTH": "{place} asks for a password: write its file's path to password_file",
    "WRONGTYPE": (
        "a key of the group in {place} is of another type than geodns writes: look among those that begin "
        "with {{geodns: and delete it"
    ),
    "NOPERM": (
        "{place} does not give this user the rights that are needed: run what `geodns shared acl` prints "
        "({text})"
    ),
    "READONLY": "{place} is " + _REPLICA,
    "OOM": "the memory of {place} is full: give it more (maxmemory), or have it drop other keys",
    "MISCONF": "{place} takes no writes, as it cannot save its data: see to its disk",
    "NOREPLICAS": "{place} takes no writes, as too few replicas follow it (min-replicas-to-write)",
    "LOADING": "{place} is still loading its data",
    "BUSY": "{place} is busy with somebody's script",
    "MASTERDOWN": "{place} is a replica without its primary",
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "CLUSTERDOWN": _CLUSTER,
}
_UNTRUSTED = ("self-signed certificate", "self signed certificate", "unable to get local issuer")
_ELSEWHERE = frozenset({"READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN"})
"""What another connection may not say."""
_OF_CLASS = {
    "MasterNotFoundError": "no Sentinel of {place} knows a primary that lives",
    "AuthenticationError": _SAID["WRONGPASS"],
    "TimeoutError": f"{{place}} does not answer within {TIMEOUT:g} s",
    "ResponseError": "{place} says: {text}",
    "ConnectionError": "{place} cannot be reached: {text}",
    "OSError": "{place} cannot be reached: {text}",
}


def is_refusal(error: BaseException) -> bool:
    """Say whether it is Redis' answer, so that the connection can go on."""
    return any(kind.__name__ == "ResponseError" for kind in type(error).__mro__)


def told(error: BaseException, place: RedisPlace) -> str:
    """Say what is the matter, in one printable sentence."""
    if isinstance(error, LinkDownError):
        return str(error)
    cause = error.__cause__
    if getattr(cause, "status_code", None) and not getattr(error, "status_code", None):
        error = cause or error  # what Redis said, within an error of the connection
    text = printable(" ".join(str(error).split()))[:200]
    names = {kind.__name__ for kind in type(error).__mro__}
    return _of_code(error, text, names).format(place=place, text=text)


def _code(error: BaseException) -> str:
    """Return the code of what Redis answered, as ``OOM``."""
    text = str(error)
    code = str(getattr(error, "status_code", None) or text.partition(" ")[0])
    if code not in _SAID and is_refusal(error):
        # Before Redis 7, a script's error holds the code somewhere, after a dash.
        words = (word.removeprefix("-") for word in text.split())
        code = next((word for word in words if word in _SAID), code)
    return code


def _of_code(error: BaseException, text: str, names: set[str]) -> str:
    """Return the sentence for an error by its code, else by its class."""
    code = _code(error)
    if code in _SAID:
        return _SAID[code]
    if any(words in text for words in _UNTRUSTED):
        return (
            "{place}: its certificate is not trusted: set SSL_CERT_FILE for geodns to a file of the "
            "authorities to trust ({text})"
        )
    if "ssl" in type(error).__module__ or "certificate" in text.lower():
        return "{place}: TLS fails: {text}"
    if "unknown command" in text and "HELLO" in text.upper():
        return "{place} is older than Redis 6: update it"
    return next(
        (sentence for name, sentence in _OF_CLASS.items() if name in names),
        f"{{place}}: {type(error).__name__}: {{text}}",
    )


class RuleRefusalError(GeodnsError):
    """Redis would do it, and the group's rules do not let it; the text is one clear sentence."""


class Troubles:
    """What is the matter with the parts of a link that go on all the same, each in a sentence.

    Attributes:
        found: by part, the oldest first.

    """

    def __init__(self, place: RedisPlace, on_change: Callable[[], None]) -> None:
        self.found: dict[str, str] = {}
        self._place = place
        self._on_change = on_change

    def note(self, part: str, sentence: str) -> None:
        """Note what is the matter with a part; an empty sentence: nothing is."""
        if self.found.get(part, "") != sentence:
            if sentence:
                self.found[part] = sentence
            else:
                del self.found[part]
            self._on_change()

    async def attempt(self, part: str, work: Awaitable[None]) -> bool:
        """Do what Redis may refuse, as where it is full; return whether it did. All else is raised."""
        try:
            await work
        except RuleRefusalError as error:
            self.note(part, str(error))
            return False
        except Exception as error:
            if not is_refusal(error) or _code(error) in _ELSEWHERE:
                raise
            self.note(part, told(error, self._place))
            return False
        self.note(part, "")
        return True
