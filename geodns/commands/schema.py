"""`geodns schema`: the JSON Schema of the zone file."""

import json

import click

from geodns.zonefile.schema import zone_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of the zone file, for editors.

    With yaml-language-server, write it to a file and begin each zone file with
    `# yaml-language-server: $schema=FILE`.
    """
    click.echo(json.dumps(zone_schema(), indent=2, ensure_ascii=False))
