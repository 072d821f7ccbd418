"""Takes requests of `geodns upgrade` in the supervisor's loop, without ever waiting for a client."""

import selectors
from collections.abc import Callable

from geodns.serve.upgrade_socket import MAX_CLIENTS, UpgradeClient, UpgradeRequest, UpgradeSocket


class UpgradeDesk:
    """The socket and those who are connected to it and have not asked yet.

    What is registered with the selector has as its data a function to be called when there is something.
    """

    def __init__(
        self,
        listening: UpgradeSocket,
        selector: selectors.BaseSelector,
        asked: Callable[[UpgradeRequest, UpgradeClient], None],
    ) -> None:
        """Begin to listen.

        Args:
            listening: where.
            selector: of the supervisor's loop.
            asked: called with each request, and with its client, who is the caller's from then on.

        """
        self.listening = listening
        self._selector = selector
        self._asked = asked
        self._waiting: list[UpgradeClient] = []
        if listening.socket is not None:
            selector.register(listening.socket, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        client = self.listening.accept()
        if client is None:
            return
        if len(self._waiting) >= MAX_CLIENTS:  # whoever connects and never asks makes room
            self._drop(self._waiting[0])
        self._waiting.append(client)
        self._selector.register(client.socket, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: UpgradeClient) -> None:
        if client not in self._waiting:  # dropped in this very turn
            return
        found = client.read()
        if isinstance(found, UpgradeRequest):
            self._forget(client)
            self._asked(found, client)
            return
        if found is not None:
            client.say(failed=f"{found}: use `geodns upgrade`")
        if found is not None or client.ended:
            self._drop(client)

    def _forget(self, client: UpgradeClient) -> None:
        self._waiting.remove(client)
        self._selector.unregister(client.socket)

    def _drop(self, client: UpgradeClient) -> None:
        self._forget(client)
        client.close()

    def leave(self) -> None:
        """Close everything in a child, or before another program: the file stays."""
        self.listening.close()
        for client in self._waiting:
            client.close()

    def close(self) -> None:
        """End it for good."""
        self.leave()
        self.listening.remove()
