"""Zone files edited, added, removed and broken under a running server, and what a restart keeps."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dns.rcode
import pytest

from tests.integration import product
from tests.integration.cluster import Server, serving, zone_text
from tests.integration.hammer import Hammer
from tests.integration.mailhosts import MailHost, mail_hosts, silent, wait_until

BASE = "base.example.com"
MISSING = 1.5
"""Seconds that a file has here to come back."""
LAG = 0.5
"""Seconds that the workers may be behind the status on a busy machine; 0.1 is the aim."""


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, MailHost]]:
    """Three mail hosts that stay open."""
    with mail_hosts("mta1", "mta2", "mta3") as opened:
        yield opened


@pytest.fixture(scope="module")
def server(hosts: dict[str, MailHost], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose zone `base` nobody touches; each test adds a zone of its own."""
    folder = tmp_path_factory.mktemp("changes")
    sooner = {product.BELIEVED_MISSING: MISSING}
    with serving(folder, {BASE: zone_text(hosts)}, workers=2, constants=sooner) as running:
        yield running


def add(server: Server, zone: str, text: str) -> None:
    """Add a zone to a running server."""
    server.write(zone, text)
    wait_until(lambda: is_served(server, zone), what=f"{zone} is served\n{server.log()}")


def is_served(server: Server, zone: str) -> bool:
    """Say whether a zone is answered for; each query may come to another worker."""
    return all(server.ask(zone, "SOA").rcode() == dns.rcode.NOERROR for _ in range(8))


def waits_elsewhere(server: Server, zone: str, but: int) -> bool:
    """Say whether a zone's edit waits in another control process than that one."""
    with contextlib.suppress(OSError, StopIteration, AssertionError):
        return server.control() != but and bool(server.status()["zones"].get(zone, {}).get("waiting"))
    return False


def serial(server: Server, zone: str) -> int:
    """The SOA serial that is served."""
    return int(server.ask(zone, "SOA").answer[0][0].serial)


def share(server: Server, zone: str) -> dict[str, float]:
    """What each host has of the answers, as the status has it."""
    found: dict[str, float] = server.status()["pools"][zone]["main"]["families"]["A"]["share"]
    return found


def some(hosts: dict[str, MailHost], *names: str) -> dict[str, MailHost]:
    return {name: hosts[name] for name in names}


# --- edits ---------------------------------------------------------------------------------------------


def test_edited_weight_is_dealt_without_a_lost_query(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "weight.example.com"
    add(server, zone, zone_text(hosts))
    with Hammer(server, zone) as client, Hammer(server, BASE) as other, Hammer(server, zone, tcp=True) as tcp:
        client.more()
        server.write(zone, zone_text(hosts, weights={"mta3": 0}))
        wait_until(lambda: "mta3" not in share(server, zone), what="the edit is taken")
        time.sleep(LAG)
        edited = time.monotonic()
        client.more(300)
        tcp.more(10)
    assert client.problems + other.problems + tcp.problems == []
    assert client.values["192.0.2.3"] < edited
    assert tcp.values["192.0.2.3"] < edited
    assert other.values["192.0.2.3"] > edited
    assert share(server, zone) == {"mta1": 0.5, "mta2": 0.5}


def test_added_host_is_dealt_after_its_first_good_probe(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "add.example.com"
    add(server, zone, zone_text(some(hosts, "mta1", "mta2")))
    with mail_hosts("new") as new, Hammer(server, zone) as client:
        new["new"].close()
        server.write(zone, zone_text(some(hosts, "mta1", "mta2") | new))
        wait_until(lambda: server.values(f"new.{zone}") == ["192.0.2.3"], what="its own name answers")
        wait_until(lambda: server.host("new", zone)["checks"][0]["outcome"] == "failure", what="it is probed")
        client.more(200)
        assert "192.0.2.3" not in client.values
        new["new"].open()
        wait_until(lambda: "192.0.2.3" in client.values, what="it is dealt")
        assert server.state_of("new", zone) == "up"
    assert client.problems == []


def test_host_added_to_a_pool_without_a_check_is_dealt_at_once(
    server: Server, hosts: dict[str, MailHost]
) -> None:
    zone = "unchecked.example.com"
    more = "pools: {main: {hosts: '*', check: none, answers: 1}}\nrecords: {'@': {pool: main}}"
    add(server, zone, zone_text(some(hosts, "mta1"), more=more))
    server.write(zone, zone_text(some(hosts, "mta1", "mta2"), more=more))
    wait_until(lambda: server.seen(zone) == {"192.0.2.1", "192.0.2.2"}, what="both are dealt")


def test_removed_host_is_dealt_no_more_but_answers_for_its_own_name(
    server: Server, hosts: dict[str, MailHost]
) -> None:
    zone = "remove.example.com"
    add(server, zone, zone_text(hosts))
    with Hammer(server, zone) as client:
        client.more()
        server.write(zone, zone_text(some(hosts, "mta1", "mta2")))
        wait_until(lambda: "mta3" not in share(server, zone), what="it is taken out")
        time.sleep(LAG)
        edited = time.monotonic()
        client.more(200)
    assert client.problems == []
    assert client.values["192.0.2.3"] < edited
    assert all(server.values(f"mta3.{zone}") == ["192.0.2.3"] for _ in range(8))
    assert "mta3" not in server.status()["hosts"][zone]


def test_host_that_is_down_is_not_dealt_because_its_check_was_edited(
    server: Server, hosts: dict[str, MailHost]
) -> None:
    zone = "recheck.example.com"
    text = zone_text(some(hosts, "mta1", "mta2"))
    with mail_hosts("sick") as sick:
        text = zone_text(some(hosts, "mta1", "mta2") | sick)
        add(server, zone, text)
        # From now on it keeps every prober waiting, so that the edited check's first verdict takes long.
        sick["sick"].manners = silent
        wait_until(lambda: server.state_of("sick", zone) == "down", what="it is down")
        wait_until(lambda: "192.0.2.3" not in server.seen(zone), what="it is dealt no more")
        before = serial(server, zone)
        with Hammer(server, zone) as client:
            server.write(zone, text.replace("fall: 2", "fall: 3"))
            wait_until(lambda: serial(server, zone) > before, what="the edit is taken")
            client.more(200)
        assert "192.0.2.3" not in client.values
        assert client.problems == []


def test_new_address_of_a_host_waits_for_a_good_probe(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "readdress.example.com"
    text = zone_text(hosts)
    add(server, zone, text)
    with mail_hosts("mta3") as other, Hammer(server, zone) as client:
        other["mta3"].close()
        moved = text.replace("192.0.2.3,", "192.0.2.33,").replace(
            hosts["mta3"].endpoint, other["mta3"].endpoint
        )
        server.write(zone, moved)
        wait_until(lambda: server.values(f"mta3.{zone}") == ["192.0.2.33"], what="the edit is taken")
        client.more(200)
        assert "192.0.2.33" not in client.values
        other["mta3"].open()
        wait_until(lambda: "192.0.2.33" in client.values, what="it is dealt")
    assert client.problems == []


def test_sighup_reads_the_folder_at_once(hosts: dict[str, MailHost], tmp_path: Path) -> None:
    zone = "sighup.example.com"
    zones = {BASE: zone_text(hosts), zone: zone_text(hosts)}
    # Nobody asks for it, so that its end needs no yes.
    never = {product.BELIEVED_MISSING: 3600.0}
    with serving(tmp_path, zones, constants=never) as server, Hammer(server, BASE) as client:
        (server.zones / f"{zone}.yaml").unlink()
        server.send(signal.SIGHUP)
        wait_until(lambda: zone not in server.status()["zones"], what="the zone goes")
        client.more()
    assert client.problems == []


def test_removed_zone_file_is_believed_after_a_while(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "gone.example.com"
    add(server, zone, zone_text(hosts))
    last = serial(server, zone)
    with Hammer(server, BASE) as client:
        (server.zones / f"{zone}.yaml").unlink()
        removed = time.monotonic()
        # It was asked for a moment ago: somebody has to say yes.
        wait_until(lambda: server.status()["zones"][zone].get("waiting"), 20, "the removal waits")
        assert time.monotonic() - removed >= MISSING
        assert is_served(server, zone)
        assert server.command("reload", "--yes").returncode == 0
        wait_until(lambda: not is_served(server, zone), 20, "the zone goes")
        wait_until(lambda: server.ask(zone).rcode() == dns.rcode.REFUSED, what="it is refused")
        assert zone not in server.status()["zones"]
        # It comes back otherwise than it was, and its serial has not gone back.
        add(server, zone, zone_text(hosts, weights={"mta1": 3}))
        client.more()
    assert serial(server, zone) > last
    assert client.problems == []


def test_broken_edit_changes_nothing_and_is_told_everywhere(
    server: Server, hosts: dict[str, MailHost]
) -> None:
    zone = "broken.example.com"
    good = zone_text(hosts)
    add(server, zone, good)
    before = serial(server, zone)
    with Hammer(server, zone) as client:
        server.write(zone, good.replace("weight: 1", "wieght: 1"))
        error = wait_until(lambda: server.status()["zones"][zone]["error"], what="the error is shown")
        assert f"{zone}.yaml:6:" in error
        assert "wieght" in error
        assert "weight" in error
        assert any("wieght" in warning for warning in server.status()["warnings"])
        assert server.metric("geodns_zone_load_errors_total", zone=zone) == 1
        assert server.metric("geodns_zone_file_refused", zone=zone) == 1
        assert error in server.log()
        assert server.request("/readyz")[0] == 200
        assert server.command("status").returncode == 1
        client.more(100)
        assert serial(server, zone) == before
        server.write(zone, good)
        wait_until(lambda: server.status()["zones"][zone]["error"] is None, what="the error is over")
        assert server.metric("geodns_zone_file_refused", zone=zone) == 0
        assert serial(server, zone) == before
    assert client.problems == []


def test_serial_rises_with_content_alone(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "serial.example.com"
    text = zone_text(hosts)
    add(server, zone, text)
    first = serial(server, zone)
    marker = f"marker-{time.monotonic_ns()}"
    server.write(zone, f"# {marker}\n\n{text.replace('ttl: 5', 'ttl:   5s')}")
    server.write(f"second.{zone}", text)
    wait_until(lambda: is_served(server, f"second.{zone}"), what="both files have been read")
    assert serial(server, zone) == first
    server.write(zone, zone_text(hosts, weights={"mta1": 2}))
    wait_until(lambda: serial(server, zone) != first, what="the edit is taken")
    assert serial(server, zone) == first + 1
    server.write(zone, text)
    wait_until(lambda: serial(server, zone) != first + 1, what="the way back is taken")
    assert serial(server, zone) == first + 2


# --- restarts ------------------------------------------------------------------------------------------

ZONE = "out.example.com"


def test_restart_keeps_what_was_known_and_answers_at_once(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2", "mta3") as hosts:
        text = zone_text(hosts)
        with serving(tmp_path, {ZONE: text}) as server:
            hosts["mta1"].close()
            wait_until(lambda: server.state_of("mta1") == "down", what="mta1 is down")
            server.order("mta2", "drain", ZONE, reason="new disk")
            server.write(ZONE, text.replace("ttl: 5", "ttl: 6"))
            wait_until(lambda: server.ask(ZONE).answer[0].ttl == 6, what="the edit is taken")
            last, since = serial(server, ZONE), server.host("mta1")["since"]
            assert server.seen(ZONE) == {"192.0.2.3"}
            assert server.stop() == 0
        hosts["mta1"].manners = hosts["mta3"].manners = silent
        hosts["mta1"].open()
        # Whoever is probed now keeps the prober waiting: what is answered comes from before the restart.
        with serving(tmp_path) as server:
            assert server.status()["uptime_s"] < 4
            assert server.seen(ZONE) == {"192.0.2.3"}
            shown = server.host("mta2")
            assert (shown["forced"], shown["reason"]) == ("drained", "new disk")
            assert (server.state_of("mta1"), server.host("mta1")["since"]) == ("down", since)
            assert serial(server, ZONE) == last
            server.order("mta2", "undrain", ZONE)
            wait_until(lambda: server.seen(ZONE) == {"192.0.2.2", "192.0.2.3"}, what="mta2 is dealt again")


def test_restart_after_a_kill_keeps_a_drain_and_the_serial(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts:
        with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
            server.order("mta1", "drain", ZONE)
            server.write(ZONE, zone_text(hosts, weights={"mta2": 4}))
            wait_until(lambda: "mta2" in share(server, ZONE) and serial(server, ZONE) % 100 > 1)
            last = serial(server, ZONE)
            server.kill()
        with serving(tmp_path) as server:
            assert server.seen(ZONE) == {"192.0.2.2"}
            assert serial(server, ZONE) == last


def test_zone_edited_while_stopped_gets_a_higher_serial(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts:
        with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
            last = serial(server, ZONE)
        with serving(tmp_path, {ZONE: zone_text(hosts, weights={"mta2": 0})}) as server:
            assert serial(server, ZONE) > last
            assert server.seen(ZONE) == {"192.0.2.1"}


def test_zone_broken_while_stopped_is_served_from_its_last_good_state(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts:
        good = zone_text(hosts)
        with serving(tmp_path, {ZONE: good}) as server:
            last = serial(server, ZONE)
        with serving(tmp_path, {ZONE: good.replace("hosts:", "hsots:")}) as server:
            assert server.seen(ZONE) == {"192.0.2.1", "192.0.2.2"}
            assert serial(server, ZONE) == last
            assert "hsots" in server.status()["zones"][ZONE]["error"]
            server.write(ZONE, zone_text(hosts, weights={"mta2": 0}))
            wait_until(lambda: server.seen(ZONE) == {"192.0.2.1"}, what="the mended file is taken")
            assert serial(server, ZONE) > last
            assert server.status()["zones"][ZONE]["error"] is None


def test_host_removed_before_a_restart_answers_for_its_own_name_after_it(tmp_path: Path) -> None:
    with mail_hosts("mta1", "mta2") as hosts:
        with serving(tmp_path, {ZONE: zone_text(hosts)}) as server:
            server.write(ZONE, zone_text(some(hosts, "mta1")))
            wait_until(lambda: server.seen(ZONE) == {"192.0.2.1"}, what="the edit is taken")
        with serving(tmp_path) as server:
            assert server.values(f"mta2.{ZONE}") == ["192.0.2.2"]
            assert server.seen(ZONE) == {"192.0.2.1"}


def test_an_edit_that_takes_much_away_waits_for_a_yes(server: Server, hosts: dict[str, MailHost]) -> None:
    zone = "waits.example.com"
    whole = zone_text(hosts)
    add(server, zone, whole)
    few = zone_text({"mta1": hosts["mta1"]})
    server.write(zone, few)
    wait_until(lambda: server.status()["zones"][zone].get("waiting"), what="the edit waits")
    (why,) = server.status()["zones"][zone]["waiting"]
    assert why == "pool main would have 67% of its weight out (mta2, mta3)"
    assert any(why in warning for warning in server.status()["warnings"])
    assert set(share(server, zone)) == {"mta1", "mta2", "mta3"}
    events = f"/api/v1/events?zone={zone}&kind=waiting"
    wait_until(lambda: len(server.get(events)["events"]) == 1, what="it is told")
    told = server.command("reload")
    assert (told.returncode, why in told.stderr) == (1, True)
    assert set(share(server, zone)) == {"mta1", "mta2", "mta3"}
    # A control process that begins anew does not take it either.
    control = server.control()
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: waits_elsewhere(server, zone, control), 30, "another control process lets it wait")
    wait_until(lambda: server.get(events)["events"], what="it is told by that, too")
    assert set(share(server, zone)) == {"mta1", "mta2", "mta3"}
    # Edited back, there is nothing to wait for.
    server.write(zone, whole)
    wait_until(lambda: not server.status()["zones"][zone].get("waiting"), what="nothing waits")
    server.write(zone, few)
    wait_until(lambda: server.status()["zones"][zone].get("waiting"), what="the edit waits again")
    assert server.command("reload", "--yes").returncode == 0
    wait_until(lambda: set(share(server, zone)) == {"mta1"}, what="the edit is served")
