"""What goes to the process that compiles views comes out as it was."""

import io
from ipaddress import ip_network

from geodns.compiler.views import ZoneViews, compile_views
from geodns.control.view_compiler import packed_moment, packed_places, packed_zone, ranges_named, unpacked
from geodns.model.address_ranges import EVERYWHERE
from geodns.model.views import NO_NETWORKS, GeoNetworks
from tests.api.test_explain_clients import GEO, TEXT, TUESDAY
from tests.sample_zones import zone

V6 = 'subnets: ["2001:db8:1::/48", 10.1.0.0/16, "2001:db8:2::1/128"]'


def contents(views: ZoneViews) -> object:
    return {key: one.views for key, one in views.views.items()}, set(views.partitions), views.until


def test_views_of_what_was_unpacked_are_those_of_what_was_packed() -> None:
    one = zone(TEXT.replace("subnets: 10.1.0.0/16", V6))
    geo = GeoNetworks({**GEO.countries, "FR": EVERYWHERE}, GEO.continents, GEO.asns)
    request = io.BytesIO(packed_zone(one) + packed_places(geo) + packed_moment(TUESDAY))
    assert contents(compile_views(*unpacked(request))) == contents(compile_views(one, geo, TUESDAY))
    assert one.rules[0].tiers[0].rules[1].subnets[0] == ip_network("2001:db8:1::/48"), "it is left as it was"


def test_ranges_of_subnets_and_places_count() -> None:
    one = zone(TEXT)
    assert ranges_named(one, NO_NETWORKS) == 2
    assert ranges_named(one, GEO) == 2 + 2 + 1 + 1
