"""Zones of gdnsd with its configuration → drafts; DYNA and DYNC become pools in `gdnsd_resources`."""

import re
from pathlib import Path

import dns.name
import dns.tokenizer
import dns.ttl

from geodns.cli.convert.bind import draft_of
from geodns.cli.convert.draft import SourcePlace, ZoneDraft, zone_by_file
from geodns.cli.convert.gdnsd_config import Hash, as_hash, read_config
from geodns.cli.convert.gdnsd_resources import Dynamic, Resources
from geodns.cli.convert.master_reader import MasterFile
from geodns.errors import GeodnsError

DEFAULT_TTL = 86400
"""Seconds, as gdnsd's `zones_default_ttl`."""

_DYNAMIC = re.compile(
    r"""(?P<owner>\S*)\s+(?:IN\s+)?(?:(?P<max>[0-9]\w*)(?:/(?P<min>[0-9]\w*))?\s+)?(?:IN\s+)?
    (?P<type>DYNA|DYNC)\s+(?P<plugin>[^\s!;]+)(?:!(?P<resource>[^\s;]+))?\s*(?:;.*)?""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACE_NAME = re.compile(r'"(?:\\.|[^"\\])*"|(?<![^\s.(])@([ZF])(?=[\s;)]|$)')
_TEXT = re.compile(r"\s(?:TXT|SPF)\s", re.IGNORECASE)
_LONG_STRING = re.compile(r'"([^"\\]{256,})"|(?<!\S)([^\s"\\;()]{256,})')


class GdnsdFile(MasterFile):
    """A zone file of gdnsd: DYNA and DYNC, the names ``@Z`` and ``@F``, long strings."""

    def __init__(self, path: Path, origin: dns.name.Name, ttl: int) -> None:
        super().__init__(path, origin)
        self.dynamic: list[Dynamic] = []
        self.least_ttl: SourcePlace | None = None
        self.default_ttl = ttl
        self._file_origin = origin

    def _one(self, entry: str, depth: int) -> None:
        entry = _PLACE_NAME.sub(self._named, entry)
        if _TEXT.search(entry):
            entry = _LONG_STRING.sub(_split_up, entry)
        found = _DYNAMIC.fullmatch(entry.rstrip())
        if found is None:
            super()._one(entry, depth)
            return
        reader = self._reader
        if found["owner"]:
            tokens = dns.tokenizer.Tokenizer(found["owner"])
            reader.last_name = tokens.get_name(reader.current_origin)
        owner = reader.last_name
        if owner is None:
            raise ValueError("a record without a name")
        ttl = reader.default_ttl if found["max"] is None else dns.ttl.from_text(found["max"])
        if found["min"] is not None:
            self.least_ttl = self.least_ttl or self._place
        self.dynamic.append(
            Dynamic(
                owner,
                found["type"].upper(),
                self.default_ttl if ttl < 0 else ttl,
                found["plugin"],
                found["resource"] or "",
                self._place,
            )
        )

    def _include(self, tokens: dns.tokenizer.Tokenizer, depth: int) -> None:
        # Unlike BIND's, an include changes no TTL of the file around it.
        before = self._reader.default_ttl, self._file_origin
        super()._include(tokens, depth)
        self._reader.default_ttl, self._file_origin = before

    def _folder(self) -> Path:
        return Path(self._place.file).parent

    def _read(self, text: str, file: str, depth: int) -> None:
        if self._reader.current_origin is not None:
            self._file_origin = self._reader.current_origin
        super()._read(text, file, depth)

    def _named(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return (self.origin if found[1] == "Z" else self._file_origin).to_text()


def _split_up(found: re.Match[str]) -> str:
    text = found[1] or found[2]
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


def read_gdnsd(path: Path, origin: str | None) -> ZoneDraft:
    """Read a zone file of gdnsd; its configuration is ``config`` in the folder above.

    Raises:
        GeodnsError: a file cannot be read, or is none of gdnsd.

    """
    name = zone_by_file(path, path.name.replace("@", "/").removesuffix(".")) if origin is None else origin
    config_file = path.resolve().parent.parent / "config"
    config = _config_of(config_file)
    ttl = str(as_hash(config.get("options")).get("zones_default_ttl", DEFAULT_TTL))
    file = GdnsdFile(path, dns.name.from_text(name), int(ttl) if ttl.isdecimal() else DEFAULT_TTL)
    file.read()
    draft = draft_of(file, path, dns.name.from_text(name), file.default_ttl)
    if file.dynamic:
        resources = Resources(draft, config, config_file, {one.owner for one in file.dynamic})
        for one in file.dynamic:
            resources.deal(one)
    if file.least_ttl is not None:
        draft.remark(
            "the lower TTLs of DYNA (300/30) have no counterpart: `min_ttl` is the zone's",
            place=file.least_ttl,
        )
    return draft.checked()


def _config_of(file: Path) -> Hash:
    return read_config(file) if file.exists() else {}


def zones_of(folder: Path) -> list[Path]:
    """Return the zone files of a folder; raises GeodnsError, one for all zones if `config` is broken."""
    _config_of(folder / "config")
    try:
        found = sorted(
            one for one in (folder / "zones").iterdir() if one.is_file() and not one.name.startswith(".")
        )
    except OSError as error:
        raise GeodnsError(f"{error.filename}: {error.strerror}") from error
    if not found:
        raise GeodnsError(f"{folder / 'zones'}: no zone files")
    return found
