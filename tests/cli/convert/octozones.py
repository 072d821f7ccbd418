"""octoDNS zones that tests import."""

from pathlib import Path

import jsonschema
import yaml

from geodns.cli.convert.draft import zone_file
from geodns.cli.convert.octodns import read_octodns
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema
from tests.zonetexts import NAME

NS = "'': {type: NS, values: [ns1.example.net., ns2.example.net.]}\n"


def imported(text: str, folder: Path) -> tuple[Zone, list[str]]:
    path = folder / f"{NAME}.yaml"
    path.write_text(text)
    draft = read_octodns(path, None)
    parsed = parse_zone(NAME, zone_file(draft).encode(), "zone.yaml")
    assert parsed.zone is not None, [zone_file(draft), *map(str, parsed.problems)]
    jsonschema.Draft202012Validator(zone_schema()).validate(yaml.safe_load(zone_file(draft)))
    return parsed.zone, [remark.text for remark in draft.remarks]
