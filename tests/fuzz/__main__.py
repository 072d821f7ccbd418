"""Fuzz one of the targets, guided by coverage: ``python -m tests.fuzz packets [libFuzzer's options]``."""

import sys
import tempfile
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"

WORDS = {
    "packets": [
        rb"\x00\x00\x29",
        rb"\xc0\x0c",
        rb"\x00\x0a\x00\x08",
        rb"\x00\x08\x00\x07",
        rb"\x00\x0b\x00\x00",
        rb"\x05fixed\x04test\x00",
        rb"\x06pooled\x04test\x00",
        rb"\x03out\x07example\x03com\x00",
    ],
    "routes": [
        rb"request=smtpd_access_policy\x0a",
        rb"recipient=",
        rb"sender=",
        rb"size=",
        rb"zone=",
        rb"policy_context=",
        rb"13:recipient a@b,",
        rb"9:sender <>,",
        rb"get ",
        rb"&class=",
        rb"a%40b",
        rb"POST /route HTTP/1.1\x0d\x0a",
        rb"Host: 127.0.0.1\x0d\x0a",
        rb"Content-Type: application/json\x0d\x0a",
        rb"Content-Length: 2\x0d\x0a\x0d\x0a{}",
        rb"Transfer-Encoding: chunked\x0d\x0a\x0d\x0a",
        rb"Connection: close\x0d\x0a",
        rb"0\x0d\x0a\x0d\x0a",
    ],
}
"""What packets and requests are made of, by target; zone files are made of their keys."""


def main() -> None:
    """Run until libFuzzer's options say it is enough; what it finds new goes to a folder of its own."""
    name, *options = sys.argv[1:] or ["packets"]
    with atheris.instrument_imports(include=["geodns"]):
        from tests.fuzz.targets import TARGETS  # instrumented as it is imported
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "words")
        words.write_bytes(b"".join(b'"' + word + b'"\n' for word in WORDS.get(name) or _keys()))
        found = Path(folder, "found")
        found.mkdir()
        places = (
            [] if any(not option.startswith("-") for option in options) else [str(found), str(CORPUS / name)]
        )
        atheris.Setup([sys.argv[0], f"-dict={words}", "-timeout=10", *options, *places], TARGETS[name])
        atheris.Fuzz()


def _keys() -> list[bytes]:
    """Return every key that a zone file may have."""
    from geodns.zonefile.schema import zone_schema

    found: set[str] = set()
    stack: list[object] = [zone_schema()]
    while stack:
        match stack.pop():
            case dict() as mapping:
                properties = mapping.get("properties")
                found.update(properties if isinstance(properties, dict) else ())
                stack += mapping.values()
            case list() as items:
                stack += items
    return [key.encode() for key in sorted(found) if key.isascii() and key.isprintable() and '"' not in key]


if __name__ == "__main__":
    main()
