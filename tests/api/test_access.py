"""Who may ask for what, and how often."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.access import BURST, CLIENTS, RATE, Access, exposed, is_loopback
from geodns.api.responses import RefusedError
from geodns.config.tokens import Scope, Token, token_of

READ, CONTROL = token_of("r3ad", "read", "grafana"), token_of("c0ntrol", "control", "ops")
OTHER = token_of("0ther", "control")


def asked(secret: str | None = None, remote: str = "127.0.0.1", **headers: str) -> web.Request:
    shown = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    return make_mocked_request("GET", "/status", {"Host": "127.0.0.1", **shown, **headers}).clone(
        remote=remote
    )


def let_in(tokens: tuple[Token, ...], request: web.Request, scope: Scope) -> Token | int | None:
    try:
        return Access(tokens, lambda: 0.0).require(request, scope)
    except RefusedError as error:
        return error.status


@pytest.mark.parametrize(
    ("tokens", "secret", "scope", "expected"),
    [
        pytest.param((), None, "read", None, id="nothing set: all read"),
        pytest.param((), None, "control", None, id="nothing set: this machine writes"),
        pytest.param((CONTROL,), None, "read", None, id="reading stays free"),
        pytest.param((CONTROL,), None, "control", 401, id="writing does not"),
        pytest.param((CONTROL, OTHER), "c0ntrol", "control", CONTROL, id="one of two"),
        pytest.param((CONTROL, OTHER), "0ther", "control", OTHER, id="the other"),
        pytest.param((CONTROL, OTHER), "c0ntro", "control", 401, id="part of one"),
        pytest.param((READ,), None, "read", 401, id="reading needs one"),
        pytest.param((READ,), "r3ad", "read", READ, id="the one for reading"),
        pytest.param((READ,), "r3ad", "control", None, id="no writer set: this machine writes"),
        pytest.param((READ, CONTROL), "r3ad", "control", 403, id="too small a scope"),
        pytest.param((READ, CONTROL), "c0ntrol", "read", CONTROL, id="control reads, too"),
        pytest.param((READ, CONTROL), "c0ntrol", "control", CONTROL, id="and writes"),
        pytest.param((READ, CONTROL), "", "read", 401, id="an empty one"),
    ],
)
def test_tokens_and_scopes(
    tokens: tuple[Token, ...], secret: str | None, scope: Scope, expected: Token | int | None
) -> None:
    assert let_in(tokens, asked(secret), scope) == expected


def test_a_token_for_writing_reads_by_any_name() -> None:
    access = Access((CONTROL,), lambda: 0.0)
    request = asked("c0ntrol", remote="127.0.0.1", Host="geodns.example.com")
    assert access.require(request, "read") == CONTROL
    with pytest.raises(RefusedError, match="needs a token"):
        access.require(asked("gu3ss", remote="127.0.0.1", Host="geodns.example.com"), "read")


def test_no_token_and_a_wrong_one_are_told_apart() -> None:
    access = Access((CONTROL,), lambda: 0.0)
    with pytest.raises(RefusedError, match="no token: show it as"):
        access.require(asked(), "control")
    with pytest.raises(RefusedError, match="wrong token") as caught:
        access.require(asked("gu3ss"), "control")
    assert "gu3ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("127.0.0.1", None),
        ("127.9.9.9", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("192.0.2.7", 403),
        ("::ffff:192.0.2.7", 403),
        ("2001:db8::1", 403),
        ("fe80::1%eth0", 403),
        ("", 403),
    ],
)
def test_without_a_token_only_this_machine_writes(remote: str, expected: int | None) -> None:
    assert let_in((), asked(remote=remote), "control") == expected


@pytest.mark.parametrize(
    ("host", "remote", "tokens", "expected"),
    [
        pytest.param("127.0.0.1:8053", "127.0.0.1", (), None, id="by its address"),
        pytest.param("[::1]:8053", "::1", (), None, id="by IPv6"),
        pytest.param("localhost:8053", "127.0.0.1", (), None, id="localhost"),
        pytest.param("NS1.example:8053", "127.0.0.1", (), None, id="this machine's own name"),
        pytest.param("192.0.2.1", "127.0.0.1", (), None, id="no name can be pointed: an address"),
        pytest.param("evil.example:8053", "127.0.0.1", (), 403, id="a name pointed here (DNS rebinding)"),
        pytest.param("evil.example:8053", "127.0.0.1", (CONTROL,), 401, id="a token for writing alone"),
        pytest.param("evil.example:8053", "127.0.0.1", (READ,), 401, id="a token for reading"),
        pytest.param("ns1.other.example", "192.0.2.7", (), None, id="from another machine"),
    ],
)
def test_reads_on_this_machine_are_by_its_own_names(
    host: str, remote: str, tokens: tuple[Token, ...], expected: int | None
) -> None:
    request = asked(remote=remote, Host=host)
    try:
        Access(tokens, lambda: 0.0, names=("ns1.example",)).require(request, "read")
        status = None
    except RefusedError as error:
        status = error.status
    assert status == expected


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "Via", "x-real-ip", "X-Forwarded-Host", "True-Client-IP"]
)
def test_who_comes_through_a_proxy_is_no_operator_of_this_machine(header: str) -> None:
    request = asked(**{header: "192.0.2.7"})
    with pytest.raises(RefusedError, match="through a proxy needs a token") as caught:
        Access((), lambda: 0.0).require(request, "control")
    assert caught.value.status == 403
    assert let_in((CONTROL,), asked("c0ntrol", **{header: "192.0.2.7"}), "control") == CONTROL
    assert let_in((), request, "read") is None


def test_wrong_tokens_are_told_once_a_minute_with_the_client(caplog: pytest.LogCaptureFixture) -> None:
    access = Access((CONTROL,), lambda: 0.0)
    for _ in range(100):
        with pytest.raises(RefusedError):
            access.require(asked("gu3ss", remote="192.0.2.7"), "control")
    assert [record.getMessage() for record in caplog.records] == ["HTTP: wrong tokens from 192.0.2.7"]


def test_a_wrong_token_is_told_also_where_none_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    assert let_in((CONTROL,), asked("gu3ss"), "read") is None
    assert [record.getMessage() for record in caplog.records] == ["HTTP: wrong tokens from 127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "tokens", "encrypted", "expected"),
    [
        ("127.0.0.1", (), False, []),
        ("::1", (CONTROL,), False, []),
        ("0.0.0.0", (), False, ["all of them may read it"]),
        ("0.0.0.0", (CONTROL,), False, ["all of them may read it", "without TLS"]),
        ("2001:db8::1", (CONTROL, READ), False, ["without TLS"]),
        ("2001:db8::1", (CONTROL, READ), True, []),
    ],
)
def test_what_may_not_have_been_meant(
    host: str, tokens: tuple[Token, ...], encrypted: bool, expected: list[str]
) -> None:
    told = exposed(host, tokens, encrypted=encrypted)
    assert len(told) == len(expected)
    assert all(part in line for part, line in zip(expected, told, strict=True))


@given(st.text())
def test_no_text_breaks_the_look_at_an_address(text: str) -> None:
    assert is_loopback(text) in {True, False}


def test_who_asks_too_often_is_refused_and_others_are_not() -> None:
    now = 0.0
    access = Access((), lambda: now)
    for _ in range(int(BURST)):
        access.count("192.0.2.1")
    with pytest.raises(RefusedError, match="too many requests") as caught:
        access.count("192.0.2.1")
    assert caught.value.status == 429
    access.count("192.0.2.2")
    access.count("192.0.2.1", known=True)
    for number in range(int(BURST)):
        access.count(f"2001:db8::{number:x}")
    with pytest.raises(RefusedError):  # its owner has the whole /64
        access.count("2001:db8::ffff")
    access.count("2001:db8:0:1::1")
    now = 1.0
    for _ in range(int(RATE)):
        access.count("192.0.2.1")
    with pytest.raises(RefusedError):
        access.count("192.0.2.1")


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3)), max_size=300))
def test_no_client_gets_more_than_the_rate(steps: list[tuple[float, int]]) -> None:
    now, got = 0.0, dict.fromkeys(range(4), 0)
    access = Access((), lambda: now)
    for wait, client in steps:
        now += wait / 100
        for _ in range(10):
            try:
                access.count(str(client))
            except RefusedError:
                continue
            got[client] += 1
    assert all(count <= BURST + RATE * now + 1 for count in got.values())


def test_clients_are_forgotten_in_the_end() -> None:
    access = Access((), lambda: 0.0)
    for number in range(CLIENTS + 10):
        access.count(str(number))
    assert len(access._clients) == CLIENTS
