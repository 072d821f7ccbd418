"""The whole server with checks of other types than smtp: what it deals, shows, measures and warns of."""

import socket
import ssl
import time
from pathlib import Path

from tests.health.certificates import NAME, Authority, authority
from tests.health.certificates import server as certified
from tests.integration.cluster import serving
from tests.integration.mailhosts import Manners, mail_hosts, polite, wait_until

ZONE = "out.example.com"
TIMES = "interval: 1s, fast_interval: 200ms, rise: 1, fall: 2"


def in_tls(context: ssl.SSLContext) -> Manners:
    """Speak SMTP in TLS from the start."""

    def manners(connection: socket.socket, name: str) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            polite(encrypted, name)

    return manners


def says(text: bytes) -> Manners:
    """Say a text and close; to whom asks first, if it is HTTP."""

    def manners(connection: socket.socket, name: str) -> None:
        del name
        if text.startswith(b"HTTP"):
            connection.recv(4096)
        connection.sendall(text)

    return manners


def test_each_type_judges_its_host(tmp_path: Path) -> None:
    signer: Authority = authority()
    text = f"""\
ttl: 5
ns: {{ns1: 192.0.2.53}}
checks:
  sub: {{type: smtps, verify: required, cert_warning: 7d, {TIMES}}}
  web: {{type: http, path: /health, expect: "ok$", {TIMES}}}
  own: {{type: agent, port: 1, {TIMES}}}
hosts:
  mta1: {{address: 192.0.2.1, probe: "MTA1"}}
  mta2: {{address: 192.0.2.2, probe: "MTA2"}}
  mta3: {{address: 192.0.2.3, weight: 10, probe: "MTA3"}}
pools:
  sub: {{hosts: [mta1], check: sub}}
  web: {{hosts: [mta2], check: web}}
  own: {{hosts: [mta3], check: own}}
records:
  sub: {{A: {{pool: sub}}, MX: "0 ."}}
  web: {{A: {{pool: web}}, MX: "0 ."}}
  own: {{A: {{pool: own}}, MX: "0 ."}}
"""
    with mail_hosts("mta1", "mta2", "mta3") as hosts:
        hosts["mta1"].manners = in_tls(certified(tmp_path, signer, days=3.2))
        hosts["mta2"].manners = says(b"HTTP/1.0 200 OK\r\n\r\nall is ok")
        hosts["mta3"].manners = says(b"up 75%\n")
        for name, host in hosts.items():
            text = text.replace(name.upper(), host.endpoint)
        env = {"SSL_CERT_FILE": str(signer.trusted_in(tmp_path))}
        with serving(tmp_path / "server", {ZONE: text}, env=env) as server:
            for name, detail in (("mta1", "220 mta1 ESMTP"), ("mta2", "200 OK"), ("mta3", "up 75%")):
                (check,) = server.host(name)["checks"]
                assert (check["outcome"], check["detail"]) == ("ok", detail)
            third = server.host("mta3")
            assert (third["factors"], third["effective_weight"]) == ({"agent": 0.75}, 7.5)
            (check,) = server.host("mta1")["checks"]
            port = hosts["mta1"].address[1]
            assert check["certificate"]["subject"] == NAME
            assert check["certificate"]["issuer"] == "Test Authority"
            assert check["certificate"]["days_left"] == 3.2
            assert check["certificate"]["problem"] is None
            warning = f"certificate of {NAME} at [127.0.0.1]:{port} expires in 3 days: renew it"
            assert warning in server.status()["warnings"]
            until = server.metric("geodns_certificate_not_after_timestamp_seconds", server_name=NAME)
            assert abs(until - time.time() - 3.2 * 86400) < 60

            hosts["mta1"].manners = in_tls(certified(tmp_path, signer, since=-9, days=-1))
            hosts["mta2"].manners = says(b"HTTP/1.0 200 OK\r\n\r\nall is lost")
            hosts["mta3"].manners = says(b"drain\n")
            for name in hosts:
                wait_until(lambda name=name: server.state_of(name) == "down", what=f"{name} is down")  # type: ignore[misc]
            (check,) = server.host("mta1")["checks"]
            assert check["detail"].startswith(f"TLS is broken: certificate expired: {NAME}, issued by Test")
            assert check["certificate"]["problem"] == "expired"
            assert check["certificate"]["days_left"] == -1.0
            warnings = server.status()["warnings"]
            assert f"certificate of {NAME} at [127.0.0.1]:{port} expired 24 hours ago: renew it" in warnings
