import json

from click.testing import CliRunner

from geodns.cli.zonefiles import schema
from geodns.zonefile.reference import zone_reference
from geodns.zonefile.schema import zone_schema


def test_it_prints_the_schema_as_json() -> None:
    assert json.loads(CliRunner().invoke(schema, []).output) == zone_schema()


def test_it_prints_the_reference() -> None:
    assert CliRunner().invoke(schema, ["--markdown"]).output == zone_reference()
