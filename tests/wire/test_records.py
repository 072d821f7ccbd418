"""Ready records: made, renamed and looked into."""

import dns.message
import dns.name
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire import codes, records
from geodns.wire.message import Answer, message, parse
from geodns.wire.names import QNAME
from geodns.wire.records import record
from tests.wire.test_message import NAME, packet
from tests.wire.test_names import LABELS


def test_a_record_is_read_by_dnspython() -> None:
    answer = Answer(record(1, 30, b"\xc0\x00\x02\x01"), an=1)
    found = dns.message.from_wire(
        message(parse(packet()), codes.NOERROR, answer, 512, b"", authoritative=True)
    )
    assert found.answer == [dns.rrset.from_text("out.example.com.", 30, "IN", "A", "192.0.2.1")]


def test_renaming_touches_only_owners_that_are_the_question() -> None:
    """Glue keeps its whole name, and an address that looks like the pointer (192.12.…) stays an address."""
    ours, glue = b"\xc0\x0c\x01\x02", b"\x01a\x01b\x00"
    before = (
        record(1, 300, ours) + record(1, 300, ours, glue) + record(1, 300, ours) + record(1, 3, b"", glue)
    )
    after = b"".join(
        (
            record(1, 300, ours, NAME),
            record(1, 300, ours, glue),
            record(1, 300, ours, NAME),
            record(1, 3, b"", glue),
        )
    )
    assert records.with_owner(before, NAME) == after


@given(st.lists(st.tuples(st.booleans(), LABELS, st.binary(max_size=40)), max_size=6))
def test_renaming_any_records(entries: list[tuple[bool, list[bytes], bytes]]) -> None:
    def run(owner: bytes) -> bytes:
        others = (dns.name.Name([*labels, b""]).to_wire() or b"" for _, labels, _ in entries)
        return b"".join(
            record(16, 60, rdata, owner if ours else other)
            for (ours, _, rdata), other in zip(entries, others, strict=True)
        )

    assert records.with_owner(run(QNAME), NAME) == run(NAME)


def test_the_data_of_a_record() -> None:
    assert records.rdata_of(record(codes.CNAME, 60, NAME)) == NAME
