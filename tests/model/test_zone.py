"""Zones as values."""

from tests.zonetexts import SHORT, zone_of


def test_a_copy_derives_anew_what_another_field_makes_another() -> None:
    zone = zone_of(SHORT)
    assert zone.host_by_name.keys() == {"mta1", "mta2", "mta3"}
    less = zone.model_copy(update={"hosts": zone.hosts[:1], "pools": ()})
    assert less.host_by_name.keys() == {"mta1"}
    assert less.digest != zone.digest
    assert zone.host_by_name.keys() == {"mta1", "mta2", "mta3"}
    assert zone.model_copy() == zone
