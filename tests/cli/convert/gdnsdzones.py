"""A configuration and zones of gdnsd that tests import."""

from pathlib import Path

import jsonschema
import yaml

from geodns.cli.convert.draft import zone_file
from geodns.cli.convert.gdnsd import read_gdnsd
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema

NAME = "example.com"
HEAD = "@ SOA ns1 hostmaster ( 1 2h 30M\n 3D 900 ) ; comment\n@ NS ns1\nns1 A 192.0.2.53\n"
CONFIG = """\
options => { listen => [ 127.0.0.1, "[::1]:53035" ] } # comment
service_types => {
  mail => { plugin => tcp_connect, port => 25, interval => 5, timeout => 3, up_thresh => 4, down_thresh => 2 }
  web = { plugin = http_status url_path = /up vhost = www.example.com ok_codes = [ 200, 301 ] }
  script => { plugin => extmon, cmd => ["/bin/true"] }
}
plugins => {
  multifo => {
    service_types => up
    plain => { lb01 => 192.0.2.1, lb02 => 192.0.2.2, lb03 => 192.0.2.3 }
    both => {
      service_types => [ mail, web ]
      addrs_v4 => [ 192.0.2.1, 192.0.2.4 ]
      addrs_v6 => { service_types => mail, lb01_v6 => 2001:DB8::1 }
    }
    strict => { service_types => mail, up_thresh => 0.9, lb01 => 192.0.2.1 }
    scripted => { service_types => script, lb01 => 192.0.2.1 }
    careless => { service_types => mail, ignore_health => true, lb01 => 192.0.2.1 }
  }
  weighted => {
    service_types => mail
    out => { mta1 => [ 192.0.2.11, 45 ], mta2 => [ 192.0.2.12, 60 ] }
    many => { multi => true, mta1 => [ 192.0.2.11, 4 ], mta2 => [ 192.0.2.12, 1 ] }
    groups => { dc1 => { a => [ 192.0.2.21, 2 ] }, dc2 => { a => [ 192.0.2.22, 2 ], b => [ 192.0.2.23, 1 ] } }
    twice => { a => [ 192.0.2.31, 12 ], b => [ 192.0.2.31, 3 ] }
    alias => { service_types => up, a => [ lb01.example.org., 15 ], b => [ lb02.example.org., 99 ] }
  }
  simplefo => {
    service_types => mail
    fo => { primary => 192.0.2.41, secondary => 192.0.2.42 }
  }
  static => { one => 192.0.2.51, name => host.example.org. }
  null => {}
  metafo => { resources => { m => { datacenters => [ d ], dcmap => { d => 192.0.2.61 } } } }
}
"""


def written(folder: Path, records: str, config: str = CONFIG, name: str = NAME) -> Path:
    (folder / "zones").mkdir(exist_ok=True)
    (folder / "config").write_text(config)
    path = folder / "zones" / name
    path.write_text(HEAD + records)
    return path


def imported(folder: Path, records: str, config: str = CONFIG) -> tuple[Zone, list[str]]:
    draft = read_gdnsd(written(folder, records, config), None)
    text = zone_file(draft)
    parsed = parse_zone(NAME, text.encode(), "zone.yaml")
    assert parsed.zone is not None, [text, *map(str, parsed.problems)]
    jsonschema.Draft202012Validator(zone_schema()).validate(yaml.safe_load(text))
    return parsed.zone, [remark.text for remark in draft.remarks]
