"""The mail types on loopback: TLS before and after the greeting, certificates, envelopes, headers."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns.health import tls
from geodns.health.clock import TranscriptLine
from geodns.health.connect import PROXY_SIGNATURE
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.health.probe import probe
from geodns.model.checks import Check, Target
from tests.health.certificates import NAME, Authority, authority, only, server
from tests.health.servers import GOOD, Handler, mail_server, script, serving, target

Server = Callable[..., Awaitable[ProbeOutcome]]


async def probed(handler: Handler, *, host: str | None = NAME, **check: Any) -> ProbeOutcome:
    async with serving(handler) as port:
        one = target(port, **check)
        return await probe(
            Target(check=one.check, address=one.address, port=port, host=host), ehlo="me.example"
        )


async def implicitly(context: ssl.SSLContext, heard: list[bytes] | None = None, **check: Any) -> ProbeOutcome:
    """Probe a server whose TLS comes first."""
    talks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await mail_server(heard=heard)(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        one = target(listening.sockets[0].getsockname()[1], type="smtps", **check)
        return await probe(
            Target(check=one.check, address=one.address, port=one.port, host=NAME), ehlo="me.example"
        )
    finally:
        listening.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0.01)


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """An authority that this machine trusts."""
    one = authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(one.trusted_in(tmp_path)))
    tls.context.cache_clear()
    yield one
    tls.context.cache_clear()


# --- types ----------------------------------------------------------------------------------------------


def test_lmtp_says_lhlo() -> None:
    heard: list[bytes] = []
    outcome = asyncio.run(probed(mail_server(heard=heard), type="lmtp"))
    assert outcome.kind is ProbeResult.OK
    assert heard == [b"LHLO me.example\r\n", b"QUIT\r\n"]


def test_keywords_and_times_of_steps_are_kept() -> None:
    outcome = asyncio.run(probed(mail_server(), rcpt_to="a@example.com"))
    assert outcome.keywords == ("AUTH PLAIN", "SIZE 1000", "8BITMIME")
    assert [name for name, _ in outcome.steps] == ["connect", "greeting", "EHLO", "MAIL", "RCPT"]
    assert all(0 <= seconds < 5 for _, seconds in outcome.steps)
    assert outcome.ehlo_rtt == dict(outcome.steps)["EHLO"]


def test_only_a_good_reply_to_ehlo_has_a_time() -> None:
    outcome = asyncio.run(probed(script(GOOD[0], b"450 later\r\n", b"221 Bye\r\n")))
    assert outcome.ehlo_rtt is None
    assert [name for name, _ in outcome.steps] == ["connect", "greeting", "EHLO"]


def test_submission_with_starttls(tmp_path: Path) -> None:
    context = server(tmp_path, None)
    outcome = asyncio.run(probed(mail_server(context), type="submission", starttls="offered"))
    assert (outcome.kind, outcome.detail) == (ProbeResult.OK, "220 mta1 ESMTP")
    assert outcome.tls is not None
    assert outcome.tls.version == "TLSv1.3"
    assert [name for name, _ in outcome.steps] == ["connect", "greeting", "EHLO", "STARTTLS", "TLS", "EHLO"]


def test_smtps_waits_for_the_greeting_in_tls(tmp_path: Path) -> None:
    heard: list[bytes] = []
    outcome = asyncio.run(implicitly(server(tmp_path, None), heard))
    assert (outcome.kind, outcome.detail) == (ProbeResult.OK, "220 mta1 ESMTP")
    assert heard == [b"EHLO me.example\r\n", b"QUIT\r\n"]
    assert [name for name, _ in outcome.steps] == ["connect", "TLS", "greeting", "EHLO"]


def test_smtps_on_a_port_without_tls() -> None:
    outcome = asyncio.run(probed(script(*GOOD), type="smtps"))
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail.startswith("TLS is broken: ")


def test_smtps_on_a_port_that_says_nothing() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()
        await reader.read()

    outcome = asyncio.run(probed(silent, type="smtps", step_timeout=0.3))
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail.startswith(("timed out while waiting for the TLS handshake", "TLS is broken"))


# --- certificates ---------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[dict[str, Any], bool, str | None]] = {
    "good": ({}, True, None),
    "a wildcard": ({"names": ("*.out.example.com",)}, True, None),
    "expired": ({"since": -90, "days": -1}, True, "expired"),
    "not yet valid": ({"since": 1}, True, "not yet valid"),
    "another's name": ({"names": ("mta2.out.example.com",)}, True, "wrong name"),
    "a wildcard of another level": ({"names": ("*.example.com",)}, True, "wrong name"),
    "self-signed": ({}, False, "self-signed"),
}


@pytest.mark.parametrize(("made", "signed", "problem"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("first", [False, True], ids=["starttls", "implicit"])
def test_a_certificate_s_fault_fails_a_host_only_where_it_is_verified(
    made: dict[str, Any], signed: bool, problem: str | None, first: bool, tmp_path: Path, signer: Authority
) -> None:
    context = server(tmp_path, signer if signed else None, **made)

    def run(*, verified: bool) -> ProbeOutcome:
        if first:
            return asyncio.run(implicitly(context, verify="required" if verified else "none"))
        word = "verified" if verified else "offered"
        return asyncio.run(probed(mail_server(context), starttls=word))

    loose, strict = run(verified=False), run(verified=True)
    assert loose.kind is ProbeResult.OK
    assert strict.kind is (ProbeResult.OK if problem is None else ProbeResult.FAILURE)
    for outcome in (loose, strict):
        assert outcome.certificate is not None
        assert outcome.certificate.problem == problem
        assert outcome.certificate.subject == made.get("names", (NAME,))[0]
        assert outcome.certificate.issuer == ("Test Authority" if signed else NAME)
    if problem is not None:
        what = "TLS" if first else "STARTTLS"
        assert strict.detail.startswith(f"{what} is broken: certificate {problem}: ")


def test_an_unknown_issuer_is_seen_by_whom_verifies(tmp_path: Path, signer: Authority) -> None:
    del signer
    context = server(tmp_path, authority("Test Authority"))  # of the same name, with another key
    assert asyncio.run(probed(mail_server(context), starttls="offered")).kind is ProbeResult.OK
    outcome = asyncio.run(probed(mail_server(context), starttls="verified"))
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.certificate is not None
    assert outcome.certificate.subject == NAME


def test_nobody_trusts_a_stranger(tmp_path: Path) -> None:
    context = server(tmp_path, authority())
    outcome = asyncio.run(probed(mail_server(context), starttls="verified"))
    assert outcome.detail.startswith(
        f"STARTTLS is broken: certificate unknown issuer: {NAME}, issued by Test"
    )


@pytest.mark.parametrize("first", [False, True], ids=["starttls", "implicit"])
def test_who_trusts_nobody_blames_nobody(
    first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = authority()
    context = server(tmp_path, signer)

    def run() -> ProbeOutcome:
        if first:
            return asyncio.run(implicitly(context, verify="required"))
        return asyncio.run(probed(mail_server(context), starttls="verified"))

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    tls.context.cache_clear()
    try:
        outcome = run()
        assert (outcome.kind, outcome.detail) == (ProbeResult.UNKNOWN, tls.NO_AUTHORITY)
        assert outcome.certificate is not None
        assert (outcome.certificate.subject, outcome.certificate.problem) == (NAME, None)
        signer.trusted_in(tmp_path)
        assert run().kind is ProbeResult.OK
    finally:
        tls.context.cache_clear()


def test_sni_is_the_name_that_is_verified(tmp_path: Path, signer: Authority) -> None:
    context = server(tmp_path, signer, names=("smtp.example.net",))
    asked: list[str | None] = []
    context.sni_callback = lambda _connection, name, _context: asked.append(name)
    outcome = asyncio.run(probed(mail_server(context), starttls="verified", sni="smtp.example.net"))
    assert outcome.kind is ProbeResult.OK
    assert asyncio.run(probed(mail_server(context), starttls="verified")).kind is ProbeResult.FAILURE
    assert asyncio.run(probed(mail_server(context), starttls="offered")).kind is ProbeResult.OK
    assert asked == ["smtp.example.net", NAME, NAME], "the host's own name, whether verified or not"
    assert asyncio.run(probed(mail_server(context), host=None, starttls="offered")).kind is ProbeResult.OK
    assert asked[3] is None, "an address is no name for SNI"


@pytest.mark.parametrize("starttls", ["offered", "verified"])
def test_the_end_of_a_certificate_is_the_earliest_of_its_chain(
    starttls: str, tmp_path: Path, signer: Authority
) -> None:
    middle = authority("Middle", signer, days=2.5)
    stranger = authority("Stranger", days=1)
    context = server(tmp_path, middle, chain=(stranger, middle))
    outcome = asyncio.run(probed(mail_server(context), starttls=starttls))
    found = outcome.certificate
    assert outcome.kind is ProbeResult.OK
    assert found is not None
    assert (found.subject, found.issuer, found.ends_with, found.problem) == (NAME, "Middle", "Middle", None)
    assert 2.4 < found.days_left(time.time()) <= 2.5
    if starttls == "verified":
        late = asyncio.run(probed(mail_server(context), starttls=starttls, cert_critical=3 * 86400.0))
        assert late.kind is ProbeResult.FAILURE
        assert late.detail.startswith(
            "certificate: Middle in its chain expires in 2.5 days, under cert_critical"
        )


def test_an_expired_authority_in_the_chain_is_no_fault_unless_verified(
    tmp_path: Path, signer: Authority
) -> None:
    middle = authority("Middle", signer, days=-1)
    context = server(tmp_path, middle, chain=(middle,))
    loose = asyncio.run(probed(mail_server(context), starttls="offered"))
    assert loose.kind is ProbeResult.OK
    assert loose.certificate is not None
    assert (loose.certificate.problem, loose.certificate.ends_with) == ("expired", "Middle")
    strict = asyncio.run(probed(mail_server(context), starttls="verified"))
    assert strict.kind is ProbeResult.FAILURE
    assert "expired, the one of its issuer" in strict.detail


@pytest.mark.parametrize(
    ("version", "ciphers", "cipher"),
    [
        pytest.param(
            ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-SHA", "TLSv1.2 ECDHE-RSA-AES128-SHA", id="sha1"
        ),
        pytest.param(
            ssl.TLSVersion.TLSv1_2, "AES256-SHA256", "TLSv1.2 AES256-SHA256", id="no-forward-secrecy"
        ),
        pytest.param(ssl.TLSVersion.TLSv1, "ALL", "TLSv1 ECDHE-RSA-AES256-SHA", id="tls-1.0"),
        pytest.param(
            ssl.TLSVersion.TLSv1_2, "AECDH-AES128-SHA", "TLSv1.2 AECDH-AES128-SHA", id="no-certificate"
        ),
    ],
)
def test_old_tls_is_good_enough_for_a_check_that_does_not_verify(
    version: ssl.TLSVersion, ciphers: str, cipher: str, tmp_path: Path, signer: Authority
) -> None:
    context = only(server(tmp_path, signer, rsa_key=True), version, ciphers)
    loose = asyncio.run(probed(mail_server(context), starttls="offered"))
    assert (loose.kind, loose.detail) == (ProbeResult.OK, f"220 mta1 ESMTP (old TLS: {cipher})")
    assert loose.tls is not None
    assert loose.tls.old
    strict = asyncio.run(probed(mail_server(context), starttls="verified"))
    assert strict.kind is ProbeResult.FAILURE
    assert strict.detail.startswith("STARTTLS is broken: ")


def test_tls_of_today_is_not_old_and_a_certificate_comes_before_none(
    tmp_path: Path, signer: Authority
) -> None:
    for context in (
        server(tmp_path, signer, rsa_key=True),
        only(server(tmp_path, signer, rsa_key=True), ssl.TLSVersion.TLSv1_2, "ALL"),
    ):
        outcome = asyncio.run(probed(mail_server(context), starttls="offered"))
        assert (outcome.kind, outcome.detail) == (ProbeResult.OK, "220 mta1 ESMTP")
        assert outcome.certificate is not None


def test_without_a_name_the_address_is_verified(tmp_path: Path, signer: Authority) -> None:
    context = server(tmp_path, signer, names=("127.0.0.1",))
    assert asyncio.run(probed(mail_server(context), host=None, starttls="verified")).kind is ProbeResult.OK


@pytest.mark.parametrize("first", [False, True], ids=["starttls", "implicit"])
def test_cert_critical_fails_a_host_and_takes_leave(first: bool, tmp_path: Path, signer: Authority) -> None:
    context = server(tmp_path, signer, days=0.9)
    heard: list[bytes] = []

    def run(critical: float) -> ProbeOutcome:
        if first:
            return asyncio.run(implicitly(context, heard, verify="required", cert_critical=critical))
        handler = mail_server(context, heard=heard)
        return asyncio.run(probed(handler, starttls="verified", cert_critical=critical))

    assert run(3600).kind is ProbeResult.OK
    heard.clear()
    outcome = run(86400)
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail.startswith("certificate expires in 0.9 days, under cert_critical: ")
    assert outcome.certificate is not None
    assert outcome.certificate.problem is None
    assert 0.89 < outcome.certificate.days_left(outcome.certificate.not_after - 0.9 * 86400) < 0.91
    assert heard[-1] == b"QUIT\r\n"


# --- what is expected -----------------------------------------------------------------------------------

WISHES: dict[str, tuple[dict[str, Any], ProbeResult, str]] = {
    "the text": ({"expect": "^mta1 ESMTP$"}, ProbeResult.OK, "220 mta1 ESMTP"),
    "another text": (
        {"expect": "^mta2"},
        ProbeResult.FAILURE,
        "the greeting does not match '^mta2': 220 mta1 ESMTP",
    ),
    "the code is no part of the text": (
        {"expect": "220"},
        ProbeResult.FAILURE,
        "the greeting does not match",
    ),
    "keywords": ({"require": ("SIZE", "8BITMIME", "AUTH")}, ProbeResult.OK, "220 mta1 ESMTP"),
    "one keyword too many": ({"require": ("SIZE", "DSN")}, ProbeResult.FAILURE, "DSN is not offered"),
    "two keywords too many": (
        {"require": ("DSN", "CHUNKING")},
        ProbeResult.FAILURE,
        "DSN, CHUNKING are not offered",
    ),
    "a parameter is no keyword": ({"require": ("PLAIN",)}, ProbeResult.FAILURE, "PLAIN is not offered"),
    "a recipient": ({"rcpt_to": "a@example.com"}, ProbeResult.OK, "220 mta1 ESMTP"),
    "a recipient later": ({"rcpt_to": "later@example.com"}, ProbeResult.DEFERRED, "RCPT TO: 450 4.2.0 later"),
    "a recipient later, and that takes weight": (
        {"rcpt_to": "later@example.com", "rcpt_4xx": "shed"},
        ProbeResult.SHEDDING,
        "RCPT TO: 450 4.2.0 later",
    ),
    "no such recipient": (
        {"rcpt_to": "nobody@example.com"},
        ProbeResult.FAILURE,
        "RCPT TO: 550 5.1.1 no such user",
    ),
}


@pytest.mark.parametrize(("check", "kind", "detail"), WISHES.values(), ids=WISHES.keys())
def test_wishes(check: dict[str, Any], kind: ProbeResult, detail: str) -> None:
    heard: list[bytes] = []
    outcome = asyncio.run(probed(mail_server(heard=heard), **check))
    assert outcome.kind is kind
    assert outcome.detail.startswith(detail)
    assert heard[-1] == b"QUIT\r\n"


def test_a_text_that_takes_too_long_to_look_for_is_no_fault_of_the_hosts() -> None:
    banner = b"220 " + b"a" * 900 + b"!\r\n"
    outcome = asyncio.run(probed(script(banner, b"221 Bye\r\n"), expect="^(a|aa)+$"))
    assert outcome.kind is ProbeResult.UNKNOWN
    assert outcome.detail.startswith("it takes too long to look for '^(a|aa)+$' in ")


def test_keywords_may_come_before_tls_or_in_it(tmp_path: Path) -> None:
    handler = mail_server(server(tmp_path, None))
    outcome = asyncio.run(probed(handler, starttls="offered", require=("STARTTLS", "AUTH")))
    assert outcome.kind is ProbeResult.OK


def test_an_envelope_is_begun_and_taken_back() -> None:
    heard: list[bytes] = []
    check = {"mail_from": "probe@example.net", "rcpt_to": "a@example.com"}
    asyncio.run(probed(mail_server(heard=heard), **check))
    assert heard[1:] == [
        b"MAIL FROM:<probe@example.net>\r\n",
        b"RCPT TO:<a@example.com>\r\n",
        b"RSET\r\n",
        b"QUIT\r\n",
    ]


# --- where from, and with what header -------------------------------------------------------------------


def test_the_source_address() -> None:
    peers: list[str] = []

    async def who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        await script(*GOOD)(reader, writer)

    both = Check(name="a", source=("127.0.0.7", "::1")).source
    assert asyncio.run(probed(who, source=both)).kind is ProbeResult.OK
    assert asyncio.run(probed(who, source=both[1:])).kind is ProbeResult.OK
    assert peers == ["127.0.0.7", "127.0.0.1"]


def test_a_source_that_this_machine_does_not_have_is_its_own_trouble() -> None:
    source = Check(name="a", source=("192.0.2.99",)).source
    assert asyncio.run(probed(script(*GOOD), source=source)).kind is ProbeResult.UNKNOWN


@pytest.mark.parametrize("kind", ["smtp", "tcp"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_proxy_header_comes_before_everything(kind: str, version: str) -> None:
    heard: list[bytes] = []
    came = asyncio.Event()

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if version == "v1":
            heard.append(await reader.readline())
        else:
            heard.append(await reader.readexactly(28))
        here, there = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        heard.append(f"{there[0]} {here[0]} {there[1]} {here[1]}".encode())
        came.set()
        await script(*GOOD)(reader, writer)

    async def main() -> ProbeOutcome:
        said: list[TranscriptLine] = []
        async with serving(behind) as port:
            one = target(port, type=kind, proxy_protocol=version)
            outcome = await probe(one, ehlo="me.example", transcript=said.append)
            await asyncio.wait_for(came.wait(), 5)
        return outcome

    assert asyncio.run(main()).kind is ProbeResult.OK
    if version == "v1":
        assert heard[0] == b"PROXY TCP4 " + heard[1] + b"\r\n"
    else:
        assert heard[0].startswith(PROXY_SIGNATURE)


def test_a_certificate_says_its_days() -> None:
    assert Certificate("a", "b", 0, 86400 * 3).days_left(86400) == 2
