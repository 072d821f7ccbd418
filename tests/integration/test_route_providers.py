"""Rules by provider go by MX records, over restarts too; caps of warm-up by what is reported."""

import json
import time
from pathlib import Path
from typing import Any

from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until
from tests.integration.test_routes import look_up
from tests.signals.mail_resolver import mail_resolver

ZONE = "out.example.com"
TEXT = """ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  mta1: 192.0.2.1
  mta2: {address: 192.0.2.2, warmup: {plan: [20000, 20000], start: START, caps: {google: 50}}}
pools: {main: {hosts: "*", check: none, volume: 100000}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}}, g: {pool: main, MX: "0 ."}}
routes:
  - {provider: google, use: g, deal: host}
  - {use: "@"}
"""
NAME = f"200 relay:[{ZONE}]:25"


def dealt(server: Server, address: str, times: int) -> dict[str, int]:
    """How often each host was named."""
    found: dict[str, int] = {}
    for _ in range(times):
        answer = look_up(server, address)
        host = answer.removeprefix("200 relay:[").partition(".")[0]
        found[host] = found.get(host, 0) + 1
    return found


def report(server: Server, number: int) -> None:
    signal = {"host": "mta2", "event": "delivered", "provider": "google", "count": number}
    code, text = server.request("/api/v1/signals", {"batch": str(number), "signals": [signal]})
    assert (code, json.loads(text)["accepted"]) == (200, 1)


def room(server: Server) -> Any:
    return server.get("/api/v1/warmup")["zones"][ZONE]["hosts"]["mta2"]["providers"]["google"]


def test_mail_is_routed_by_who_runs_the_recipients_mail(tmp_path: Path) -> None:
    start = time.strftime("%Y-%m-%d", time.gmtime())
    with mail_resolver() as resolver:
        (tmp_path / "geodns.yaml").write_text(
            f"routes_listen: unix:routes\nroutes_resolver: 127.0.0.1:{resolver.port}\n"
        )
        resolver.domains["shop.example"] = ["10 aspmx.l.google.com."]
        with serving(tmp_path, {ZONE: TEXT.replace("START", start)}) as server:
            assert dealt(server, "a@shop.example", 8) == {"mta1": 8}, "nothing is reported of mta2"
            assert look_up(server, "a@own.example") == NAME
            assert look_up(server, "a@xn--own-.example") == NAME
            assert "g.example" not in resolver.asked
            report(server, 20)
            wait_until(lambda: "mta2" in dealt(server, "a@gmail.com", 8), what="mta2 is dealt")
            found = dealt(server, "a@shop.example", 300)
            wait_until(lambda: room(server)["looked_up"] == 30, what="as often as it may be")
            assert found["mta1"] > 270
            assert room(server) == {"cap": 50, "sent": 20, "left": 30, "looked_up": 30}
            assert server.metric("geodns_provider_lookups_total", result="found") == 1
            assert server.metric("geodns_provider_domains") == 2
        asked = len(resolver.asked)
        resolver.silent = True
        with serving(tmp_path) as server:
            assert dealt(server, "a@shop.example", 2) == {"mta1": 2}, "known, and not asked for again"
            assert look_up(server, "a@own.example") == NAME
            assert len(resolver.asked) == asked
