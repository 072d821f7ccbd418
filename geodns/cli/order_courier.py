"""Brings an order to servers: to each, or to the first that answers where they share orders; with one id."""

import uuid
from collections.abc import Iterable, Mapping

import click

from geodns.cli.client import HttpReply, Json, Server, UnableError, UnreachableError
from geodns.errors import GeodnsError, UsageError

Answers = Mapping[str, HttpReply | GeodnsError]
"""Servers' answers, or why there are none, by their URLs."""


class Courier:
    """Brings one order; whoever gets it twice knows it by its id.

    Args:
        servers: whom to bring it to.
        path: of the order.
        body: of the order.
        in_query: send what is not the order itself in the query, not in the body.

    """

    def __init__(self, servers: Server, path: str, body: Json, *, in_query: bool) -> None:
        self._servers = servers
        self._path = path
        self._body = body
        self._in_query = in_query
        self._id = uuid.uuid4().hex

    def try_all(self) -> Answers:
        """Ask every server what the order would do."""
        if self._in_query:
            return self._post_state(self._servers.urls, dry_run="true")
        return self._servers.post_all(self._path, self._body | {"dry_run": True})

    def give(self, tried: Answers, *, yes: bool) -> Answers:
        """Give the order; return the answers that count.

        Args:
            tried: what servers answered when asked what it would do; may be empty.
            yes: even if a pool is left without a live host.

        """
        # Who could not even be asked what it would do is not tried again: that took long enough.
        urls = [url for url in self._servers.urls if not isinstance(tried.get(url), GeodnsError)]
        if any(_shares(answer) for answer in tried.values()):
            return self._give_in_turn(urls, tried, yes=yes)
        if tried or len(urls) == 1:
            return {**tried, **self._post(urls, tried, yes=yes)}
        return self._give_in_turn(urls, tried, yes=yes)

    def _give_in_turn(self, urls: list[str], tried: Answers, *, yes: bool) -> Answers:
        """Give the order to one after the other until one takes it for all; else to all."""
        answers: dict[str, HttpReply | GeodnsError] = {}
        for place, url in enumerate(urls):
            answers |= self._post([url], tried, yes=yes)
            answer = answers[url]
            if _shares(answer) or (_shares(tried.get(url)) and not _failed(answer)):
                for missed in answers.values():
                    if _failed(missed):
                        click.echo(f"{missed}; {url} has told the others", err=True)
                return {one: found for one, found in answers.items() if not _failed(found)} | {url: answer}
            if isinstance(answer, HttpReply):  # each decides alone
                return answers | self._post(urls[place + 1 :], tried, yes=yes)
        return answers

    def _post(self, urls: list[str], tried: Answers, *, yes: bool) -> dict[str, HttpReply | GeodnsError]:
        if self._in_query:
            flags = {"yes": "true"} if yes else {}
            return self._post_state(urls, **flags, id=self._id)
        found = self._servers.post_each(
            self._path, {url: self._body | {"yes": yes} | self._more(tried.get(url)) for url in urls}
        )
        old = {url: self._body | {"yes": yes} for url, answer in found.items() if _knows_no_ids(answer)}
        return found | (self._servers.post_each(self._path, old) if old else {})

    def _post_state(self, urls: Iterable[str], **query: str) -> dict[str, HttpReply | GeodnsError]:
        """Post what a server holds; to those of a version before orders without them."""
        found = self._servers.post_all(self._path, self._body, urls, **query)
        old = [url for url, answer in found.items() if _refuses(answer, "`orders`: not known here")]
        bare = {key: one for key, one in self._body.items() if key not in {"orders", "revision"}}
        return found | (self._servers.post_all(self._path, bare, old, **query) if old else {})

    def _more(self, tried: HttpReply | GeodnsError | None) -> Json:
        """Return the id, and the revision that a server's orders had when it said what would be."""
        if tried is None:
            return {"id": self._id}
        revision = tried.body.get("revision") if isinstance(tried, HttpReply) else None
        return {} if revision is None else {"id": self._id, "revision": revision}  # a server before ids


def _shares(answer: HttpReply | GeodnsError | None) -> bool:
    return isinstance(answer, HttpReply) and answer.body.get("shared") is True


def _failed(answer: HttpReply | GeodnsError) -> bool:
    """Tell whether nobody knows if the order was taken, or another server may take it."""
    return isinstance(answer, (UnreachableError, UnableError))


def _knows_no_ids(answer: HttpReply | GeodnsError) -> bool:
    """Tell whether a server of a version before ids has refused an order for having one."""
    return _refuses(answer, "`id`: not known here")


def _refuses(answer: HttpReply | GeodnsError, why: str) -> bool:
    return isinstance(answer, GeodnsError) and answer.status == UsageError.status and why in str(answer)
