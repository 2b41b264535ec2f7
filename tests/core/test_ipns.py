"""IPNS records, beside the validator of py-libp2p. What is refused is in the vectors."""

from __future__ import annotations

from itertools import permutations

import pytest
from libp2p.records.ipns import IPNSValidator

from p2pchat.core import ipns
from p2pchat.core.codec import U64
from p2pchat.lib.times import DAY_MS, HOUR_MS

SEED = bytes(range(32))
YEAR_2100 = 4_102_444_800_000  # the other validator knows the real time


def test_another_implementation_accepts_ours_and_chooses_the_same() -> None:
    theirs = IPNSValidator()
    ends = YEAR_2100 + 100 * DAY_MS
    records = [
        ipns.make(SEED, 2, ends, b"older"),
        ipns.make(SEED, 3, ends + HOUR_MS, b"longer"),
        ipns.make(SEED, 3, ends, b"shorter"),
    ]
    key = "/ipns/" + records[0].routing_key[6:].hex()
    for record in records:
        seen = theirs.validate_with_details(key, record.raw)
        assert (seen.sequence, round(seen.validity.timestamp() * 1000)) == (record.sequence, record.expires_at)
    for order in permutations(records):
        assert order[theirs.select(key, [record.raw for record in order])] == ipns.best(order) == records[1]
    assert ipns.best(()) is None


@pytest.mark.parametrize("size", [0, 1, 23, 24, 50, 51, 255, 256, 1024, ipns.MAX_SEALED_BYTES])
def test_every_size_is_read_as_it_was_written(size: int) -> None:
    record = ipns.make(SEED, U64, YEAR_2100, bytes(size))
    assert ipns.read(record.routing_key, record.raw, YEAR_2100 - 1) == record
    assert len(record.raw) <= ipns.MAX_RECORD_BYTES


def test_what_does_not_fit_is_not_signed() -> None:
    for sequence, ends, size in (
        (0, YEAR_2100, 0),
        (U64 + 1, YEAR_2100, 0),
        (1, YEAR_2100 * 100, 0),
        (1, YEAR_2100, ipns.MAX_SEALED_BYTES + 1),
    ):
        with pytest.raises(ValueError, match="IPNS"):
            ipns.make(SEED, sequence, ends, bytes(size))
