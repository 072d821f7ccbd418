"""How commands talk to a running server: one request, one JSON answer, one clear error."""

import asyncio
import getpass
import os
from typing import Any

import aiohttp
import click

from geodns.errors import NotFoundError, ServerError
from geodns.status import Json

DEFAULT_SERVER = "http://127.0.0.1:8053"
TIMEOUT = aiohttp.ClientTimeout(total=10)

server_option = click.option(
    "--server",
    envvar="GEODNS_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="URL",
    help="The HTTP side of the running server.",
)
token_option = click.option(
    "--token", envvar="GEODNS_TOKEN", metavar="TOKEN", help="What the server asks of writers."
)


class Server:
    """A running server.

    Args:
        url: of its HTTP side.
        token: for writing; None where the server asks for none.

    Attributes:
        url: the same, without a slash at its end.

    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/") if "://" in url else f"http://{url}".rstrip("/")
        self._token = token

    def headers(self) -> dict[str, str]:
        """Return what every request says: who asks, and with which token."""
        shown = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"X-Geodns-Author": _user(), **shown}

    def get(self, path: str, **query: str) -> Json:
        """Return what the server shows.

        Raises:
            ServerError: no answer, or one that says what is wrong; NotFoundError for what it has not.

        """
        return asyncio.run(self._ask("GET", path, query, None))[1]

    def post(self, path: str, body: Json) -> tuple[int, Json]:
        """Ask for a change; return the status (200 done, 202 under way) and what the server shows then.

        Raises:
            ServerError: as for `get`.

        """
        return asyncio.run(self._ask("POST", path, {}, body))

    async def _ask(
        self, method: str, path: str, query: dict[str, str], body: Json | None
    ) -> tuple[int, Json]:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, headers=self.headers()) as session,
                session.request(method, self.url + path, params=query, json=body) as response,
            ):
                answer: Any = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or "no answer in time"
            raise ServerError(f"{self.url}: {why}: is `geodns serve` running? --server names it") from error
        except ValueError as error:
            raise ServerError(f"{self.url}{path}: the answer is no JSON: is that a geodns?") from error
        if status >= 400:
            text = answer.get("error", f"status {status}") if isinstance(answer, dict) else f"status {status}"
            raise (NotFoundError if status == 404 else ServerError)(text)
        if not isinstance(answer, dict):
            raise ServerError(f"{self.url}{path}: the answer is no JSON object: is that a geodns?")
        return status, answer


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container the user may have a number and no name
        return str(os.getuid())
