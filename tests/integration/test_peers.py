"""Two servers that know each other by `servers` alone: orders, contents and verdicts, and one that dies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Server, free_port, serving, zone_text
from tests.integration.mailhosts import MailHost, mail_hosts, wait_until
from tests.integration.product import PEERS_EVERY, PEERS_FILES, PEERS_PROBES, PEERS_SILENT

ZONE = "out.example.com"
CONSTANTS = {PEERS_EVERY: 0.3, PEERS_FILES: 0.5, PEERS_PROBES: 0.5, PEERS_SILENT: 0.5}
NODES = ("ns1", "ns2")


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    with mail_hosts("mta1", "mta2", "mta3") as some:
        yield some


class Pair:
    """Two servers of a zone; each can be started and stopped."""

    def __init__(self, folder: Path, text: str, *, token: str = "") -> None:
        self._folder = folder
        self._http = {node: f"127.0.0.1:{free_port()}" for node in NODES}
        urls = ", ".join(f'"http://{http}"' for http in self._http.values())
        for node in NODES:
            (folder / node).mkdir()
            (folder / node / "geodns.yaml").write_text(f"node: {node}\nservers: [{urls}]\n{token}")
        self._zones = {ZONE: text}

    def serving(self, node: str) -> contextlib.AbstractContextManager[Server]:
        return serving(self._folder / node, self._zones, http=self._http[node], constants=CONSTANTS)


def warned(server: Server, *words: str) -> bool:
    return any(all(word in text for word in words) for text in server.status()["warnings"])


def told(server: Server, words: str) -> bool:
    return any(words in one["text"] for one in server.get("/api/v1/events?kind=peer")["events"])


def test_two_servers_agree_on_orders_and_say_where_they_differ(
    tmp_path: Path, hosts: dict[str, MailHost]
) -> None:
    text = zone_text(hosts)
    pair = Pair(tmp_path, text)
    with pair.serving("ns1") as first:
        first.order("mta1", "drain", ZONE, reason="disk")
        wait_until(lambda: warned(first, "http://127.0.0.1", "has not answered"), what="ns2 is missed")
        wait_until(lambda: told(first, "has not answered"), what="which is an event")
        with pair.serving("ns2") as second:
            # It was away when the order was given, and has not dealt the host since it answers.
            assert second.host("mta1", ZONE)["forced"] == "drained"
            assert "192.0.2.1" not in second.seen(ZONE)
            wait_until(
                lambda: ZONE in first.status()["peers"].get("ns2", {}).get("zones", {}), what="ns2 is seen"
            )
            wait_until(lambda: not first.status()["warnings"], what="and missed no more")
            shown = first.status()["peers"]
            assert shown.keys() == {"ns2"}
            assert shown["ns2"]["zones"][ZONE]["digest"] == first.status()["zones"][ZONE]["digest"]
            assert abs(shown["ns2"]["clock_offset_s"]) < 5
            assert shown["ns2"]["differs"] == []

            second.write(ZONE, zone_text(hosts, weights={"mta2": 7}))
            words = (f"zone {ZONE}", "ns1", "ns2", "since")
            wait_until(lambda: warned(first, *words) and warned(second, *words), what="both tell it")
            table = first.command("status").stdout
            assert "name servers" in table
            assert "ns2" in table
            assert f"zone {ZONE} differs" in table
            assert first.metric("geodns_peer_differences", peer="ns2", topic="content") == 1
            second.write(ZONE, text)
            wait_until(lambda: not first.status()["warnings"], what="they agree again")
            wait_until(lambda: not second.status()["warnings"], what="both")
            wait_until(lambda: told(first, "agree again"), what="which is an event")
            second.order("mta2", "drain", ZONE, reason="memory")
            wait_until(lambda: first.host("mta2", ZONE)["forced"] == "drained", what="ns1 takes it over")
        wait_until(lambda: warned(first, "ns2", "has not answered since"), what="ns2 is missed again")
        assert first.metric("geodns_peer_up", peer="ns2") == 0
        assert told(first, "answers again")
        first.order("mta1", "undrain", ZONE)
        with pair.serving("ns2") as second:
            assert second.host("mta1", ZONE)["forced"] is None  # what has ended does not come back
            assert second.host("mta2", ZONE)["reason"] == "memory"
        assert first.host("mta1", ZONE)["forced"] is None
