"""The words of the mailbox: what is encoded comes back, anything else is refused, and stamps cost what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import Blob, Deletion, End, Forgetting, Hello, Open, Put, Queue
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import HOUR_MS

RELAY = PeerKey(b"\xaa" * 32)
NOW = 1_800_000_000_000
FETCH, PUT = bytes([1]) * 32, bytes([2]) * 32
QUEUE = Queue(prim.sign_public(FETCH), prim.sign_public(PUT))
HELLO = Hello(RELAY, b"\xbb" * 32, 8, 720, 16_384, 1 << 26)

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
codes = st.integers(mailbox.DONE, mailbox.TOO_FAST)
keys = st.binary(min_size=32, max_size=32)
blobs = st.sampled_from(BUCKETS).map(bytes)
queues = st.builds(Queue, keys, keys, u8)
pairs = st.lists(st.tuples(st.integers(0, mailbox.NO_HANDLE - 1), u64), max_size=mailbox.QUEUES_A_FETCH)


@given(
    st.builds(
        Hello,
        *(
            keys,
            keys,
            st.integers(0, 40),
            u16,
            u32,
            u64,
            st.booleans(),
            u8,
            u32,
            st.booleans(),
            st.booleans(),
            u64,
            u16,
        ),
    )
)
def test_hellos(hello: Hello) -> None:
    assert mailbox.decode_hello(mailbox.encode_hello(hello)) == hello


def test_a_hello_of_an_older_relay_says_less() -> None:
    older = encode(decode(mailbox.encode_hello(replace(HELLO, forgets=True)), 256)[:10])
    assert mailbox.decode_hello(older) == HELLO
    files = decode(mailbox.encode_hello(replace(HELLO, file_bytes=1 << 29, file_hours=168)), 256)
    assert mailbox.decode_hello(encode(files[:12])) == HELLO
    assert mailbox.decode_hello(encode([*files, "later"])).file_hours == 168
    for wrong in ([-1, 168], [1 << 29, 1 << 16], ["x", 1], [None, 0]):
        with pytest.raises(CannotOpen):
            mailbox.decode_hello(encode([*files[:12], *wrong]))


@given(st.builds(Open, u16, u8, queues, st.binary(min_size=64, max_size=64)))
def test_openings(opening: Open) -> None:
    assert mailbox.decode_open(mailbox.encode_open(opening)) == opening


@given(st.builds(Put, u32, u16, u16, u64, blobs), st.builds(Blob, u16, u64, blobs))
def test_blobs(put: Put, blob: Blob) -> None:
    assert mailbox.decode_put(mailbox.encode_put(put)) == put
    assert mailbox.decode_blob(mailbox.encode_blob(blob)) == blob


@given(u32, st.integers(0, mailbox.MAX_WANTED), pairs)
def test_fetches(number: int, want: int, wanted: list[tuple[int, int]]) -> None:
    push = 0 if want else mailbox.MAX_PUSHED
    assert mailbox.decode_fetch(mailbox.encode_fetch(number, want, wanted)) == (
        number,
        want,
        push,
        False,
        tuple(wanted),
    )
    short = mailbox.encode_fetch(number, 0, wanted, 1, small=True)
    assert mailbox.decode_fetch(short) == (number, 0, 1, True, tuple(wanted))


@given(
    st.builds(End, u32, codes, st.booleans()),
    st.builds(Deletion, u32, u16, u64),
    st.lists(st.tuples(u32, codes), min_size=1),
    st.builds(Forgetting, u32, u16, st.binary(min_size=16, max_size=16).map(lambda name: (name,) * 256)),
)
def test_answers(end: End, delete: Deletion, results: list[tuple[int, int]], forget: Forgetting) -> None:
    assert mailbox.decode_forget(mailbox.encode_forget(forget)) == forget
    assert mailbox.decode_end(mailbox.encode_end(end)) == end
    assert mailbox.decode_delete(mailbox.encode_delete(delete)) == delete
    assert mailbox.decode_results(mailbox.encode_results(results)) == results
    handle, code = results[0][0] & 0xFFFF, results[0][1]
    assert mailbox.decode_opened(mailbox.encode_opened(handle, code)) == (handle, code)


def test_codes_that_the_page_does_not_name_are_refused() -> None:
    for refused in (
        lambda: mailbox.decode_end(mailbox.encode_end(End(1, 8, False))),
        lambda: mailbox.decode_opened(mailbox.encode_opened(1, 8)),
        lambda: mailbox.decode_results(mailbox.encode_results([(1, 0), (2, 8)])),
    ):
        with pytest.raises(CannotOpen):
            refused()


DECODERS: list[Callable[[bytes], Any]] = [
    mailbox.decode_hello,
    mailbox.decode_open,
    mailbox.decode_opened,
    mailbox.decode_put,
    mailbox.decode_results,
    mailbox.decode_fetch,
    mailbox.decode_blob,
    mailbox.decode_end,
    mailbox.decode_delete,
    mailbox.decode_forget,
    mailbox.decode_have,
    mailbox.decode_had,
    mailbox.decode_get,
]


@pytest.mark.parametrize("decode", DECODERS, ids=lambda one: one.__name__)
@given(data=st.binary(max_size=200) | st.integers(4080, 4120).map(bytes))
def test_arbitrary_bytes_are_taken_or_refused_in_the_one_way(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except CannotOpen as refusal:
        assert str(refusal) == "The bytes cannot be decoded, verified or decrypted."  # noqa: PT017 - taken is fine too


SIDES = {"client": mailbox.FROM_CLIENT, "relay": mailbox.FROM_RELAY}


@pytest.mark.parametrize("side", SIDES)
@given(data=st.binary(max_size=100))
def test_arbitrary_frames(side: str, data: bytes) -> None:
    parser = FrameParser(SIDES[side])
    try:
        for frame in parser.feed(data):
            assert len(frame.body) in SIDES[side][frame.type]
    except CannotOpen as refusal:
        assert str(refusal) == "The bytes cannot be decoded, verified or decrypted."  # noqa: PT017 - taken is fine too


@pytest.mark.parametrize(
    ("side", "frame"),
    [
        ("client", Frame(mailbox.HELLO, mailbox.encode_hello(HELLO))),
        ("client", Frame(mailbox.RESULTS, bytes(5))),
        ("client", Frame(mailbox.PUT, bytes(16 + 4095))),
        ("client", Frame(1, bytes(65))),
        ("client", Frame(mailbox.FORGET, bytes(6 + 255 * 16))),
        ("client", Frame(13, b"")),
        ("client", Frame(mailbox.HAVE, bytes(6 + 255 * 16))),
        ("client", Frame(mailbox.GET, bytes(6 + 17 * 16))),
        ("client", Frame(mailbox.HAD, bytes(37))),
        ("relay", Frame(mailbox.HAD, bytes(36))),
        ("relay", Frame(mailbox.GET, bytes(6 + 16 * 16))),
        ("relay", Frame(mailbox.PUT, bytes(16 + 4096))),
        ("relay", Frame(mailbox.RESULTS, bytes(5 * 257))),
        ("relay", Frame(mailbox.BLOB, bytes(10 + 100))),
    ],
)
def test_frames_of_the_wrong_side_or_size_end_the_stream(side: str, frame: Frame) -> None:
    with pytest.raises(CannotOpen):
        FrameParser(SIDES[side]).feed(pack(frame))


def test_an_opening_holds_for_one_role_one_stream_and_one_relay() -> None:
    for role, seed in ((mailbox.TO_PUT, PUT), (mailbox.TO_FETCH, FETCH)):
        opening = Open(0, role, QUEUE, mailbox.sign_open(seed, role, HELLO, QUEUE))
        mailbox.check_open(opening, HELLO)
        other = Open(0, 1 - role, QUEUE, opening.signature)
        with pytest.raises(CannotOpen):
            mailbox.check_open(other, HELLO)


def test_queues_with_the_same_keys_and_other_flags_are_others() -> None:
    assert len({QUEUE._replace(flags=flags).id for flags in range(4)}) == 4


def test_stamps_cost_more_with_every_bit_and_hold_for_two_hours() -> None:
    where = RELAY, QUEUE.id, bytes(4096)
    for bits in (0, 1, 6, 10):
        stamp = mailbox.make_stamp(*where, NOW, bits)
        assert stamp > 0  # 0 is none
        hours = [at for at in range(-1, 4) if mailbox.stamp_holds(*where, NOW + at * HOUR_MS, bits, stamp)]
        assert hours[:2] == [0, 1] or bits < 10
        assert 0 in hours
        assert 1 in hours
    assert not mailbox.stamp_holds(*where, NOW, 40, stamp)
    again = mailbox.make_stamp(*where, NOW, 10, stamp + 1)
    assert again > stamp
    assert mailbox.stamp_holds(*where, NOW, 10, again)


@given(st.integers(0, 1 << 20))
def test_padding_makes_a_power_of_two(units: int) -> None:
    whole = units + mailbox.padding(units)
    assert whole >= 1
    assert whole & (whole - 1) == 0
    assert whole < 2 * units or units < 2
