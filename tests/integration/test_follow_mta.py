"""Real Postfix and Exim send to providers that refuse; `geodns follow` reads what they log of it."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from geodns.api.signals import _codes
from geodns.signals.replies import Replies
from tests.cli.follow.signal_server import SignalServer, signal_server
from tests.integration.mailhosts import wait_until
from tests.integration.outgoing import (
    OWN,
    SECOND,
    in_a_network_of_its_own,
    may_have_a_network,
    providers,
    send,
)
from tests.integration.sending import Exim, Postfix, exim_starts, filtered
from tests.integration.test_follow import following

pytestmark = pytest.mark.skipif(
    not may_have_a_network(), reason="needs root, and ip: apt-get install iproute2"
)


def summed(server: SignalServer) -> Counter[tuple[str, ...]]:
    """How many events there were of each kind."""
    found: Counter[tuple[str, ...]] = Counter()
    for one in server.signals():
        found[one["egress"], one["provider"], one["event"], one.get("dsn", "")] += one.get("count", 1)
    return found


def text_of(server: SignalServer, event: str, provider: str) -> str:
    found: set[Any] = {
        one.get("text") for one in server.signals() if (one["event"], one["provider"]) == (event, provider)
    }
    (text,) = found
    return str(text)


def abouts(server: SignalServer) -> Counter[tuple[str, str]]:
    """How many refusals of each provider speak of whom, as the server puts them."""
    found: Counter[tuple[str, str]] = Counter()
    replies = Replies()
    for one in server.signals():
        if one["event"] != "delivered":
            code, enhanced = _codes(one.get("dsn"), one["text"])
            about = replies.classify(code, enhanced, one["text"], one["provider"]).about
            found[one["provider"], str(about)] += one.get("count", 1)
    return found


ABOUT = {
    ("google", "recipient"): 1,
    ("google", "ip"): 1,
    ("microsoft", "netblock"): 1,
    ("yahoo", "ip"): 1,
    ("other", "passing"): 1,
}
"""Whom the refusals of `PROVIDERS` speak of."""


@pytest.mark.skipif(shutil.which("postfix") is None, reason="no Postfix here: apt-get install postfix")
def test_postfix(tmp_path: Path) -> None:
    in_a_network_of_its_own(lambda: _postfix(tmp_path))


def _postfix(folder: Path) -> None:
    with signal_server() as server, providers() as taken, filtered(Postfix, "postfix") as postfix:
        (folder / "mail.log").symlink_to(postfix.log_path)
        named = f"postfix/smtp-b={SECOND}"
        with following(folder, "--server", server.url, "--egress", OWN, "--egress", named) as one:
            send(postfix.port, "ann@gmail.com", "bob@gmail.com", "gone@gmail.com", "x@here.example")
            send(postfix.port, "busy@gmail.com")
            send(postfix.port, "cid@second.example")
            send(postfix.port, "dan@outlook.com")
            send(postfix.port, "eve@yahoo.com")
            send(postfix.port, "fay@dead.example")
            first = {
                (OWN, "google", "delivered", "2.0.0"): 2,
                (OWN, "google", "bounced", "550 5.1.1"): 1,
                (OWN, "google", "deferred", "421 4.7.28"): 1,
                (SECOND, "other", "delivered", "2.0.0"): 1,
                (OWN, "microsoft", "bounced", "550 5.7.1"): 1,
                (OWN, "yahoo", "deferred", "421 4.7.0"): 1,
                (OWN, "other", "deferred", "4.4.1"): 1,
            }
            wait_until(lambda: sum(summed(server).values()) >= 8, 30, what=f"8 events: {summed(server)}")
            assert summed(server) == first  # the content filter doubles nothing
            assert sorted(taken) == ["ann@gmail.com", "bob@gmail.com", "cid@second.example"]
            assert text_of(server, "deferred", "yahoo").startswith("421 4.7.0 [TSS04] Mail of 203.0.113.5")
            assert text_of(server, "deferred", "google").count("4.7.28") == 3
            assert "(S3150)" in text_of(server, "bounced", "microsoft")
            assert text_of(server, "deferred", "other").endswith("Connection refused")
            assert abouts(server) == ABOUT
            send(postfix.port, "gus@yahoo.com")  # Postfix asks nobody there for a while
            wait_until(lambda: "suspended" in str(server.texts()), what="put off")
            suspended = (OWN, "yahoo", "retried", "4.7.0")
            assert summed(server) == first | {suspended: 1}
            assert abouts(server) == ABOUT | {("yahoo", "passing"): 1}  # although it repeats a refusal
            postfix.rotate()
            postfix.flush()
            again = {(OWN, "google", "retried", "421 4.7.28"): 1, (OWN, "other", "retried", "4.4.1"): 1}
            # One of the two for Yahoo is tried, and the other is put off for it.
            wait_until(lambda: sum(summed(server).values()) >= 13, 20, what=f"once more: {summed(server)}")
            assert (first | again).items() - summed(server).items() <= {
                ((OWN, "yahoo", "deferred", "421 4.7.0"), 1)
            }
            assert sum(count for kind, count in summed(server).items() if kind[1] == "yahoo") == 4
        assert len(list(postfix.log_path.parent.glob("log.*gz"))) == 1  # its log was rotated in between
        assert "missing" not in one.said()
        assert "@" not in str(server.signals())


@pytest.mark.skipif(not exim_starts(), reason="no Exim here: apt-get install exim4")
def test_exim(tmp_path: Path) -> None:
    in_a_network_of_its_own(lambda: _exim(tmp_path))


def _exim(folder: Path) -> None:
    with signal_server() as server, providers() as taken, filtered(Exim, "exim") as exim:
        (folder / "mail.log").symlink_to(exim.log_path)
        with following(folder, "--server", server.url, "--egress", OWN):
            send(exim.port, "ann@gmail.com", "bob@gmail.com", "gone@gmail.com", "x@here.example")
            send(exim.port, "busy@gmail.com")
            send(exim.port, "cid@second.example")
            send(exim.port, "dan@outlook.com")
            send(exim.port, "eve@yahoo.com")
            send(exim.port, "fay@dead.example")
            first = {
                (OWN, "google", "delivered", ""): 2,
                (OWN, "google", "bounced", "550 5.1.1"): 1,
                (OWN, "google", "deferred", "421 4.7.28"): 1,
                (SECOND, "other", "delivered", ""): 1,
                (OWN, "microsoft", "bounced", "550 5.7.1"): 1,
                (OWN, "yahoo", "deferred", "421 4.7.0"): 1,
                (OWN, "other", "deferred", ""): 1,
            }
            wait_until(lambda: sum(summed(server).values()) >= 8, 30, what=f"8 events: {summed(server)}")
            assert summed(server) == first
            assert sorted(taken) == ["ann@gmail.com", "bob@gmail.com", "cid@second.example"]
            assert text_of(server, "deferred", "yahoo").startswith("421 4.7.0 [TSS04] Mail of 203.0.113.5")
            assert text_of(server, "deferred", "google").count("4.7.28") == 3
            assert text_of(server, "deferred", "other") == "Connection refused"
            assert abouts(server) == ABOUT
            send(exim.port, "gus@yahoo.com")
            wait_until(lambda: sum(summed(server).values()) >= 9, 20, what=f"put off: {summed(server)}")
            assert summed(server) == first | {(OWN, "yahoo", "retried", ""): 1}  # no attempt was made
            assert abouts(server) == ABOUT | {("yahoo", "passing"): 1}
            exim.flush()
            wait_until(lambda: sum(summed(server).values()) >= 13, 20, what=f"once more: {summed(server)}")
            assert summed(server) == first | {
                (OWN, "yahoo", "deferred", "421 4.7.0"): 2,
                (OWN, "yahoo", "retried", ""): 1,
                (OWN, "yahoo", "retried", "421 4.7.0"): 1,
                (OWN, "google", "retried", "421 4.7.28"): 1,
                (OWN, "other", "retried", ""): 1,
            }
        assert "@" not in str(server.signals())
