"""What MTAs are answered by routes is explained and counted, over a restart and a move of rules, too."""

import socket
from pathlib import Path
from typing import Any

from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "out.example.com"
TEXT = """ns: {ns1: 192.0.2.53}
hosts: {mta1: 192.0.2.1, mta2: 192.0.2.2}
pools: {main: {hosts: "*", check: none}, fast: {hosts: [mta1], check: none}}
records: {"@": {A: {pool: main}}, fast: {A: {pool: fast}}}
local: [example.com]
routes:
"""
FAST = '  - {recipient: ["vip@example.net", "*.bank.example"], use: fast, deal: host}\n'
BULK = "  - {class: bulk, size: over 5MB, use: fast, port: 587}\n"
LAST = '  - {use: "@"}\n'


def look_up(server: Server, line: str) -> str:
    """Ask as Exim does."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        one.connect(str(server.zones.parent / "routes"))
        one.sendall(f"get {line}".encode())
        one.shutdown(socket.SHUT_WR)
        return one.makefile().read().strip()


def rules(server: Server, since: str = "1h") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(f"/api/v1/routes?since={since}")["zones"][ZONE]["rules"]
    return found


def matched(server: Server, since: str = "1h") -> list[int]:
    return [one["matched"] for one in rules(server, since)]


def test_routes_are_explained_and_counted(tmp_path: Path) -> None:
    (tmp_path / "geodns.yaml").write_text("routes_listen: unix:routes\nroutes_resolver: 127.0.0.1:1\n")
    with serving(tmp_path, {ZONE: TEXT + FAST + BULK + LAST}) as server:
        fast = f"relay:[mta1.{ZONE}]:25, [fast.{ZONE}]:25"
        assert [look_up(server, "vip@example.net") for _ in range(3)] == [f"200 {fast}"] * 3
        assert look_up(server, "a@elsewhere.example") == f"200 relay:[{ZONE}]:25"
        assert look_up(server, "recipient=a%40example.com") == "500 no route"
        assert look_up(server, "zone=else.example&recipient=a%40b.example").startswith("400 ")
        wait_until(lambda: server.get("/api/v1/routes")["no_zone"], what="all are counted, the last one too")
        assert matched(server) == [3, 0, 1]
        shown = server.get("/api/v1/routes")
        assert shown["listen"] == ["unix:routes"]
        assert shown["no_zone"] == {"unserved": {"line": 1}}
        zone = shown["zones"][ZONE]
        assert zone["unmatched"] == {"local": {"line": 1}}
        assert zone["looked_up"] == {"mta1": {"": 3}}
        assert zone["rules"][0]["answers"] == {"host": {"line": 3}}
        assert server.metric("geodns_route_looked_up_total", zone=ZONE, host="mta1") == 3
        assert server.metric("geodns_route_seconds_count") == 6
        wait_until(
            lambda: any("MTAs ask for routes of" in one for one in server.status()["warnings"]),
            what="that one asked in vain is a warning",
        )
        said = server.command("route", "--recipient", "bob@example.org", "--class", "bulk", "--size", "12000")
        assert said.returncode == 0, said.stderr
        assert "rule 2 does not fit: size 12KB is not over 5MB" in said.stdout
        assert "rule 3 fits" in said.stdout
        assert server.get("/api/v1/route?recipient=a@example.com")["rule"] is None
        said = server.command("routes", "--since", "1d")
        assert "never matched since" in said.stdout
        assert ": rule 2" in said.stdout
        assert (
            "routes: 3 rules, 5 look-ups in the last hour; MTAs ask at unix:routes"
            in server.command("status").stdout
        )
        server.write(ZONE, TEXT + BULK + FAST + LAST)
        wait_until(lambda: matched(server) == [0, 3, 1], what="counts go with the rule")
        assert server.get("/api/v1/route?recipient=vip@example.net")["rule"] == 2
        look_up(server, "vip@example.net")
    with serving(tmp_path) as server:
        wait_until(lambda: matched(server) == [0, 4, 1], what="counts are there, those of the end too")
        assert matched(server, "7d") == [0, 4, 1]
        assert rules(server)[1]["last"] is not None
        look_up(server, "vip@example.net")
        wait_until(lambda: matched(server, "7d") == [0, 5, 1], what="they go on")
