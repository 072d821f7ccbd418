"""Reads the URL of a Redis or Valkey: one server, a UNIX socket, or a name that Sentinels know."""

from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from geodns.model.base import Frozen

PORT = 6379
SENTINEL_PORT = 26379
FORMS = "write redis://HOST, rediss://HOST:PORT/DATABASE, unix:///PATH, or redis+sentinel://HOST:PORT,HOST:PORT/NAME"


class RedisPlace(Frozen):
    """Where a Redis is.

    Attributes:
        hosts: host and port; of the Sentinels where there is a `service`; none of a UNIX socket.
        path: of a UNIX socket.
        service: the name that Sentinels know the primary by.
        user: of Redis' access lists; empty: the default one.
        tls: whether the connection is TLS with a checked certificate.

    """

    scheme: Literal["redis", "rediss", "unix", "redis+sentinel"]
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    user: str = ""

    @property
    def tls(self) -> bool:
        return self.scheme == "rediss"

    @property
    def near(self) -> bool:
        """Whether what is said stays on this machine."""
        return self.scheme == "unix" or all(_is_loopback(host) for host, _ in self.hosts)

    def __str__(self) -> str:
        """Say it for people, without the user."""
        if self.scheme == "unix":
            return f"unix://{self.path}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{hosts}" + (f"/{self.service}" if self.service else "")


def parse_url(text: str) -> RedisPlace:
    """Return the place that a URL names, or raise ValueError with what is wrong and what to write instead."""
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError(f"no URL: {FORMS}") from None
    if ":" in url.netloc.rpartition("@")[0]:
        raise ValueError("a password in the URL: write it into a file, and the file's path to password_file")
    user = unquote(url.netloc.rpartition("@")[0])
    if url.fragment:
        raise ValueError(f"nothing may follow #: {FORMS}")
    match url.scheme:
        case "redis" | "rediss":
            return RedisPlace(
                scheme="rediss" if url.scheme == "rediss" else "redis",
                hosts=(_one_host(url),),
                database=_database(url.path.strip("/")),
                user=user,
            )
        case "unix":
            return _socket(url, user)
        case "redis+sentinel":
            service, _, database = url.path.strip("/").partition("/")
            if not service:
                raise ValueError(
                    "the name is missing that the Sentinels know the primary by: write "
                    "redis+sentinel://HOST:PORT,HOST:PORT/NAME"
                )
            return RedisPlace(
                scheme="redis+sentinel",
                hosts=_hosts(url, SENTINEL_PORT),
                service=unquote(service),
                database=_database(database),
                user=user,
            )
    raise ValueError(f"no URL of a Redis: {FORMS}")


def _socket(url: SplitResult, user: str) -> RedisPlace:
    path = unquote(url.path)
    if url.netloc.rpartition("@")[2] or not path.startswith("/") or path == "/":
        raise ValueError("no path of a socket: write unix:///run/redis/redis.sock")
    wanted = parse_qs(url.query, keep_blank_values=True)
    if wanted.keys() - {"db"} or len(wanted.get("db", [])) > 1:
        raise ValueError("nothing but ?db=NUMBER may follow the path of a socket")
    return RedisPlace(scheme="unix", path=path, database=_database(wanted.get("db", [""])[0]), user=user)


def _one_host(url: SplitResult) -> tuple[str, int]:
    hosts = _hosts(url, PORT)
    if len(hosts) > 1:
        raise ValueError(
            "several hosts: write one, or the Sentinels and the name they know the primary by: "
            "redis+sentinel://HOST:PORT,HOST:PORT/NAME"
        )
    return hosts[0]


def _hosts(url: SplitResult, port: int) -> tuple[tuple[str, int], ...]:
    if url.query:
        raise ValueError(f"nothing may follow ?: {FORMS}")
    found = []
    for one in url.netloc.rpartition("@")[2].split(","):
        try:
            parts = urlsplit(f"//{one}")
            host, number = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"{one!r} is no host and port: {FORMS}") from None
        if not host or number == 0:
            raise ValueError(f"{one!r} is no host and port: {FORMS}")
        found.append((host, number or port))
    return tuple(found)


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError(f"{text!r} is no number of a database: write one from 0, as redis://HOST/0")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
