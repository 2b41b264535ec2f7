"""Where the file of a group lies at relays, and who may do what there."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.file_boxes import MAX_BOXES, BoxRelay, SharedBoxes, box_to_put, box_to_read, fetch_keys
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen

KEY, SEED = b"k" * 32, b"s" * 32
RELAYS = tuple(BoxRelay(PeerKey(bytes([number]) * 32), b"address", b"token") for number in range(MAX_BOXES))
BOXES = SharedBoxes(prim.sign_public(SEED), RELAYS)


def test_whoever_reads_and_whoever_puts_name_the_same_box() -> None:
    ids = set()
    for relay, fetch in zip(RELAYS, fetch_keys(KEY, RELAYS), strict=True):
        read, put = box_to_read(KEY, BOXES, relay.peer), box_to_put(fetch, SEED)
        assert read.queue == put.queue
        ids.add(put.queue.id)
    assert len(ids) == len(RELAYS), "another one at each relay"
    assert box_to_read(b"o" * 32, BOXES, RELAYS[0].peer).queue.id not in ids, "and for each file"


def test_what_is_stored_is_read_again() -> None:
    for boxes in (BOXES, SharedBoxes(BOXES.put)):
        assert SharedBoxes.decode(boxes.encode()) == boxes


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [bytes(31), []],
        [bytes(32), [list(RELAYS[0])] * 2],
        [bytes(32), [[bytes([number]) * 32, b"address", b""] for number in range(MAX_BOXES + 1)]],
        [bytes(32), [[bytes(32), b"", b""]]],
        [bytes(32), [[bytes(32), bytes(129), b""]]],
        [bytes(32), [[bytes(32), b"address", bytes(65)]]],
    ],
)
def test_what_is_not_valid_is_refused(value: Any) -> None:
    with pytest.raises(CannotOpen):
        SharedBoxes.read(value)
