"""The pages of docs/ that are made from the tables of keys; `python -m tests.reference` renews them."""

from pathlib import Path

from geodns.config.answer_keys import QUERY_LOG, RATE_LIMIT
from geodns.config.route_keys import ROUTES_LISTEN
from geodns.config.server_keys import HTTP_TLS, TCP
from geodns.config.settings import ENVIRONMENT, KEYS
from geodns.config.shared_keys import SHARED
from geodns.zonefile.reference import key_table, zone_reference

DOCS = Path(__file__).parent.parent / "docs"
MADE, END = "<!-- made by `make reference` -->\n", "<!-- end -->\n"


def settings_tables() -> str:
    """Return the tables of the keys of geodns.yaml."""
    variables = {key: [f"`{name}`"] for name, key in ENVIRONMENT.items()}
    parts = [key_table(KEYS, ("Variable", variables))]
    below = {
        "shared": SHARED,
        "http_tls": HTTP_TLS,
        "tcp": TCP,
        "routes_listen": ROUTES_LISTEN,
        "rate_limit": RATE_LIMIT,
        "query_log": QUERY_LOG,
    }
    for name, keys in below.items():
        parts += [f"Below `{name}`:", key_table(keys)]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Return what the pages should hold."""
    settings = DOCS / "settings.md"
    before, _, rest = settings.read_text().partition(MADE)
    _, _, after = rest.partition(END)
    return {
        DOCS / "zone-file-reference.md": zone_reference(),
        settings: f"{before}{MADE}\n{settings_tables()}\n{END}{after}",
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
