"""What is asked for next of a file, on which way."""

from __future__ import annotations

import pytest

from p2pchat.core.files import (
    CHUNK_BYTES,
    MAX_FILE_BYTES,
    NAME_BYTES,
    NAMES_IN_LIST,
    BlobPlace,
    Layout,
    blob_name,
    list_data,
)
from p2pchat.core.ids import BlobName
from p2pchat.engine.files.plan import Bits, Plan


def new_plan(chunks: int) -> Plan:
    layout = Layout.of(chunks * CHUNK_BYTES)
    return Plan(layout, BlobName(bytes(32)), Bits(layout.blobs))


def with_list(chunks: int, *here: int) -> Plan:
    plan = new_plan(chunks)
    plan.take(plan.layout.root, b"".join(blob_name(bytes([n])) for n in range(chunks)))
    for number in here:
        plan.take(BlobPlace(0, number))
    return plan


def chunks(*numbers: int) -> list[BlobPlace]:
    return [BlobPlace(0, number) for number in numbers]


def test_bits_are_a_set() -> None:
    bits = Bits(11, [0, 2, 8, 9, 10, 10])
    assert [number for number in range(11) if number in bits] == [0, 2, 8, 9, 10]
    assert bits.count == 5
    assert list(bits.absent(2)) == [3, 4, 5, 6, 7]
    for number in (1, 1, 3, 4, 5, 6, 7):
        bits.add(number)
    assert bits.full
    for number in (4, 4):
        bits.discard(number)
    assert list(bits.absent()) == [4]
    assert bits.count == 10
    bits.clear()
    assert not bits.count
    assert list(bits.absent(9)) == [9, 10]


def test_a_file_of_one_chunk_has_no_list() -> None:
    plan = new_plan(1)
    assert plan.ask(plan.way(), 4) == [BlobPlace(0, 0)]


def test_lists_come_first_and_chunks_once_their_list_is_here() -> None:
    count = NAMES_IN_LIST + 1
    plan = new_plan(count)
    way = plan.way()
    assert plan.ask(way, 4) == [BlobPlace(2, 0)]
    assert plan.ask(way, 4) == []
    first, last = list_data([BlobName(bytes([2]) * 32)] * count)
    plan.take(BlobPlace(2, 0), blob_name(first) + blob_name(last))
    plan.done([BlobPlace(2, 0)])
    assert plan.ask(way, 4) == [BlobPlace(1, 0), BlobPlace(1, 1)]
    plan.take(BlobPlace(1, 1), last)
    assert plan.ask(way, 4) == chunks(NAMES_IN_LIST)
    plan.take(BlobPlace(1, 0), first)
    assert plan.ask(way, 2) == chunks(0, 1)
    assert plan.name(BlobPlace(0, 0)) == bytes([2]) * 32


def test_what_is_asked_on_one_way_is_asked_on_another_once_it_is_given_back() -> None:
    plan = with_list(6)
    one, other = plan.way(), plan.way()
    assert plan.ask(one, 4) == chunks(0, 1, 2, 3)
    assert plan.ask(other, 4) == chunks(4, 5)
    assert plan.ask(other, 4) == []
    plan.take(BlobPlace(0, 0))
    plan.done(chunks(0, 1, 2))
    assert plan.ask(other, 4) == chunks(1, 2)


def test_what_a_way_lacks_is_asked_on_the_other_and_there_once_more_when_it_begins_anew() -> None:
    plan = with_list(3)
    one, other = plan.way(), plan.way()
    asked = plan.ask(one, 3)
    plan.lacks(one, asked)
    plan.done(asked)
    assert plan.ask(one, 3) == []
    assert plan.ask(other, 1) == chunks(0)
    one.ask_anew()
    assert plan.ask(one, 3) == chunks(1, 2)


def test_adjacent_blobs_end_at_a_gap_and_at_a_level() -> None:
    plan = with_list(8, 2)
    way = plan.way()
    assert plan.ask(way, 4, adjacent=True) == chunks(0, 1)
    assert plan.ask(way, 4, adjacent=True) == chunks(3, 4, 5, 6)
    assert not plan.whole
    for number in range(8):
        plan.take(BlobPlace(0, number))
    assert plan.whole
    assert plan.chunks == 8
    assert plan.ask(way, 4) == []


def test_of_the_largest_file_only_what_has_a_name_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.of(MAX_FILE_BYTES)
    plan = Plan(layout, BlobName(bytes(32)), Bits(layout.blobs))
    way, looked_at = plan.way(), list[int]()

    def may_ask(way: object, slot: int) -> bool:
        looked_at.append(slot)
        return slot not in plan._asked

    monkeypatch.setattr(plan, "_may_ask", may_ask)
    assert plan.ask(way, 4) == [layout.root]
    assert plan.ask(way, 4) == []
    plan.take(layout.root, bytes(32 * layout.counts[1]))
    assert len(plan.ask(way, layout.counts[1])) == layout.counts[1]
    assert plan.ask(way, 4) == []
    plan.take(BlobPlace(1, 1), bytes(NAME_BYTES * NAMES_IN_LIST))
    assert plan.ask(way, 4, adjacent=True) == chunks(*range(NAMES_IN_LIST, NAMES_IN_LIST + 4))
    plan.take(BlobPlace(1, 0), bytes(NAME_BYTES * NAMES_IN_LIST))
    assert plan.ask(way, 2) == chunks(0, 1)
    assert len(looked_at) < 10 * layout.counts[1]
