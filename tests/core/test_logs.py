"""Logs at relays: what is encoded comes back, and anything else is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import logs, mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import PeerKey
from p2pchat.core.logs import Log, LogRead, LogRole, OpenLog
from p2pchat.errors import CannotOpen

TOPIC, RELAY, CHALLENGE = bytes([4]) * 32, PeerKey(bytes([5]) * 32), bytes([6]) * 32
ADMIN = bytes([7]) * 32
KEYS = logs.log_keys(TOPIC, RELAY, prim.sign_public(ADMIN), ADMIN)

u8, u16, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 64))
keys = st.binary(min_size=32, max_size=32)


def items(*sizes: int) -> list[logs.Item]:
    return [(number, bytes([number % 256]) * size) for number, size in enumerate(sizes, start=1)]


@given(u16, u8, st.builds(Log, keys, keys, keys, u8), st.binary(min_size=64, max_size=64))
def test_openings(handle: int, role: int, log: Log, signature: bytes) -> None:
    opening = OpenLog(handle, role, log, signature)
    assert logs.decode_open_log(logs.encode_open_log(opening)) == opening


@given(st.builds(LogRead, u16, u16, st.integers(1, logs.MAX_WANTED), st.booleans(), u64))
def test_reads(read: LogRead) -> None:
    assert logs.decode_read(logs.encode_read(read)) == read


@given(st.lists(st.sampled_from(logs.LOG_SIZES), min_size=1, max_size=80))
def test_items_come_in_as_few_frames_as_hold_them(sizes: list[int]) -> None:
    said = items(*sizes)
    bodies = logs.encode_items(7, said)
    parser = FrameParser(mailbox.FROM_RELAY)
    frames = parser.feed(b"".join(pack(Frame(mailbox.ITEMS, body)) for body in bodies))
    read = [logs.decode_items(frame.body) for frame in frames]
    assert [item for one in read for item in one.items] == said
    assert {one.handle for one in read} == {7}
    assert all(len(before) + len(after) > 65_548 for before, after in pairwise(bodies))


@given(st.binary(max_size=3_000))
def test_any_bytes_are_items_or_cannot_be_opened(body: bytes) -> None:
    try:
        read = logs.decode_items(body)
    except CannotOpen:
        return
    assert logs.encode_items(*read) == [body]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        logs.encode_items(7, items(1024))[0][:-1],
        logs.encode_items(7, items(1024))[0] + b"\0",
        logs.encode_items(7, [(2, bytes(1024)), (1, bytes(1024))])[0],
        logs.encode_items(7, [(0, bytes(1024))])[0],
        logs.encode_items(7, [(1 << 63, bytes(1024))])[0],
        logs.encode_items(7, [(1, bytes(2048))])[0],
    ],
)
def test_items_that_are_refused(body: bytes) -> None:
    with pytest.raises(CannotOpen):
        logs.decode_items(body)


def test_keys_are_of_one_epoch_and_one_relay() -> None:
    other = logs.log_keys(TOPIC, PeerKey(bytes([8]) * 32), KEYS.admin)
    later = logs.log_keys(bytes([9]) * 32, RELAY, KEYS.admin)
    assert len({one.log.id for one in (KEYS, other, later)}) == 3
    assert len({seed for one in (KEYS, other, later) for seed in (one.fetch_seed, one.put_seed)}) == 6
    assert "\\x" not in repr(KEYS).replace(repr(KEYS.admin), ""), "no seed is shown"
    assert KEYS.log.id != KEYS.log._replace(admin=KEYS.log.put).id


def test_each_role_has_a_key_of_its_own() -> None:
    for role in LogRole:
        for signed in LogRole:
            signature = logs.sign_open_log(KEYS.seed(signed), signed, RELAY, CHALLENGE, KEYS.log)
            opening = OpenLog(0, role, KEYS.log, signature)
            if role == signed:
                assert logs.check_open_log(opening, RELAY, CHALLENGE) == KEYS.log.id
            else:
                with pytest.raises(CannotOpen):
                    logs.check_open_log(opening, RELAY, CHALLENGE)
