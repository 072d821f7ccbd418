"""The pages of docs/ that are made from the tables of keys; `python -m tests.reference` renews them."""

from pathlib import Path
from typing import Any

from geodns.config.answer_keys import QUERY_LOG, RATE_LIMIT
from geodns.config.server_keys import KEYS, TCP, Tcp
from geodns.config.settings import ENVIRONMENT, Settings
from geodns.zonefile.reference import key_table, zone_reference

DOCS = Path(__file__).parent.parent / "docs"
MADE, END = "<!-- made by `make reference` -->\n", "<!-- end -->\n"


def settings_tables() -> str:
    """Return the tables of the keys of geodns.yaml."""
    defaults = {name: _default(field.default) for name, field in Settings.model_fields.items()}
    variables = {key: [f"`{name}`"] for name, key in ENVIRONMENT.items()}
    parts = [key_table(KEYS, defaults=defaults, more=("Variable", variables))]
    for name, keys in {"tcp": TCP, "rate_limit": RATE_LIMIT, "query_log": QUERY_LOG}.items():
        fields = dict(Tcp()) if keys is TCP else {}
        parts.append(f"Below `{name}`:")
        parts.append(key_table(keys, {key: _default(value) for key, value in fields.items()}))
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


def _default(value: Any) -> str:
    """Return a default as an operator writes it; nothing where the sentence has to say it."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ", ".join(map(_default, value))
    if isinstance(value, float):
        return f"{value:g}s"
    return str(value) if isinstance(value, str | int | Path) or hasattr(value, "_fields") else ""


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
