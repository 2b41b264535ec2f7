"""Items: sizes, kinds, and what is too long for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.codec import encode
from p2pchat.core.groups import epochs, items
from p2pchat.core.groups.epochs import derive
from p2pchat.core.groups.items import SIZES, EventItem, Item, MessageItem, PartItem
from p2pchat.core.ids import EpochId, MemberId
from p2pchat.errors import CannotOpen
from tests.core.people import Chance, flipped
from tests.support.group_parts import joined

SECRETS = derive(bytes(32))
EPOCH = EpochId(b"E" * 32)
RANDOM = Chance("items").random


def seal(item: MessageItem | EventItem, smallest: int = 1024) -> tuple[bytes, ...]:
    return items.seal_items(item, EPOCH, SECRETS, smallest, RANDOM)


def open_one(sealed: bytes) -> Item:
    return items.open_item(sealed, EPOCH, SECRETS)


def raw(fields: object) -> bytes:
    plain = prim.pad(encode(fields), 1024 - items.OVERHEAD)
    return SECRETS.tag + prim.seal(SECRETS.header, plain, SECRETS.tag + EPOCH, RANDOM(24))


@pytest.mark.parametrize(
    ("length", "smallest", "size"),
    [(10, 1024, 1024), (10, 4096, 4096), (1500, 1024, 4096), (5000, 1024, 16384), (16_330, 1024, 16384)],
)
def test_an_item_has_the_least_size_that_takes_it(length: int, smallest: int, size: int) -> None:
    item = EventItem(bytes(length))
    (sealed,) = seal(item, smallest)
    assert len(sealed) == size
    assert open_one(sealed) == item
    assert items.tag_of(sealed) == SECRETS.tag


@pytest.mark.parametrize("length", [16_331, 48_000, 240_500, 400_000, items.MAX_EVENT - 10])
def test_what_is_too_long_for_an_item_travels_in_parts(length: int) -> None:
    item = EventItem(RANDOM(length))
    opened = [open_one(sealed) for sealed in reversed(seal(item))]
    parts = [part.part for part in opened if isinstance(part, PartItem)]
    assert len(parts) == len(opened) > 1
    assert items.open_whole(joined(parts)) == item


def test_a_rekey_of_5000_fits_into_items_of_250_kilobytes() -> None:
    rekey = 5000 * epochs.ENTRY_BYTES + 40
    assert sum(map(len, seal(EventItem(bytes(rekey + 300))))) <= 250_000


def test_what_is_too_long_for_a_group_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="too long"):
        seal(EventItem(bytes(items.MAX_EVENT)))


@given(st.integers(min_value=0))
def test_a_flipped_bit_does_not_open(bit: int) -> None:
    (sealed,) = seal(MessageItem(MemberId(b"m" * 8), 7, b"body"))
    with pytest.raises(CannotOpen):
        open_one(flipped(sealed, bit))


def test_an_item_opens_only_in_its_epoch() -> None:
    (sealed,) = seal(EventItem(b"event"))
    for epoch, secrets in ((EpochId(bytes(32)), SECRETS), (EPOCH, derive(b"\x01" * 32))):
        with pytest.raises(CannotOpen):
            items.open_item(sealed, epoch, secrets)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        0,
        [0],
        [0, bytes(7), 0, b""],
        [0, bytes(8), 1 << 32, b""],
        [0, bytes(8), 0, b"", 0],
        [1, "text"],
        [1, b"", 0],
        [2, [], 0, b"x"],
        [2, [bytes(32)], 0, b"x"],
        [3, b""],
        [True, b""],
    ],
)
def test_another_plaintext_is_refused(fields: object) -> None:
    with pytest.raises(CannotOpen):
        open_one(raw(fields))


def test_other_sizes_are_refused() -> None:
    (sealed,) = seal(EventItem(b"event"))
    for wrong in (b"", sealed[:-1], sealed + b"\0", bytes(65_536)):
        with pytest.raises(CannotOpen):
            open_one(wrong)


def test_a_whole_is_no_part() -> None:
    (sealed,) = seal(EventItem(b"event"))
    first = open_one(seal(EventItem(bytes(20_000)))[0])
    assert isinstance(first, PartItem)
    for whole in (first.encode(), b"", b"\xc0", encode([1])):
        with pytest.raises(CannotOpen):
            items.open_whole(whole)
    assert items.item_id(sealed) != items.item_id(seal(EventItem(b"event"))[0])
    assert {len(sealed)} <= set(SIZES)
