"""Ogg files: ours byte for byte, and those of strangers strictly."""

from __future__ import annotations

import struct
from random import Random

import pytest

from p2pchat.errors import NoVoiceNote
from p2pchat.media import ogg
from tests.support.sampling import SEED, WHOLE

LIMIT = 60 * ogg.RATE
PACKET = bytes([0x08]) + bytes(59)
"""20 ms of SILK, mono (RFC 6716, 3.1)."""


def note(count: int = 120, a_page: int = 50) -> bytes:
    return ogg.write([PACKET] * count, count * 960 - 312, 312, 960, a_page)


def page(flags: int, granule: int, number: int, lacing: bytes, body: bytes, serial: int = 0) -> bytes:
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, number, 0, len(lacing)) + lacing + body
    return head[:22] + struct.pack("<I", ogg.checksum(head)) + head[26:]


def packets(*them: bytes) -> tuple[bytes, bytes]:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in them)
    return lacing, b"".join(them)


HEAD = struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, 312, 48_000, 0, 0)
TAGS = b"OpusTags" + struct.pack("<I", 3) + b"you" + struct.pack("<I", 0)


def by_another(head: bytes = HEAD, tags: bytes = TAGS, body: tuple[bytes, ...] = (PACKET,) * 3) -> bytes:
    """A file as another program would write it."""
    sound = page(4, 2_000, 2, *packets(*body), 7)
    return page(2, 0, 0, *packets(head), 7) + page(0, 0, 1, *packets(tags), 7) + sound


def test_checksum_is_the_one_of_the_specification() -> None:
    """Bit by bit, as RFC 3533 has it: polynomial 0x04c11db7, nothing inverted."""
    data = Random(1).randbytes(200)
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
    assert ogg.checksum(data) == register


def test_what_is_written_is_read() -> None:
    stream = ogg.read(note(), LIMIT)
    assert stream == ogg.OpusStream(1, 312, 0, 120 * 960 - 312, (PACKET,) * 120)


def test_a_file_says_nothing_of_who_made_it_and_when() -> None:
    assert note() == note()
    assert note()[:28 + 19 + 28 + 8 + 15].hex() == (
        "4f676753" "00" "02" "0000000000000000" "00000000" "00000000" + note()[22:26].hex() + "01" "13"
        + b"OpusHead".hex() + "01" "01" "3801" "80bb0000" "0000" "00"
        "4f676753" "00" "00" "0000000000000000" "00000000" "01000000" + note()[69:73].hex() + "01" "17"
        + b"OpusTags".hex() + "07000000" + b"p2pchat".hex() + "00000000"
    )  # fmt: skip


def test_a_file_of_another_program_is_read() -> None:
    assert ogg.read(by_another(), LIMIT).samples == 2_000 - 312
    stereo = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 0, 44_100, -256, 0)
    assert ogg.read(by_another(stereo), LIMIT) == ogg.OpusStream(2, 0, -256, 2_000, (PACKET,) * 3)


def test_packets_may_go_on_on_the_next_page() -> None:
    tags = TAGS + bytes(600)
    lacing, body = packets(tags)
    split = page(2, 0, 0, *packets(HEAD)) + page(0, -1, 1, lacing[:1], body[:255])
    rest = page(1, 0, 2, lacing[1:], body[255:]) + page(4, 960, 3, *packets(PACKET))
    assert ogg.read(split + rest, LIMIT).packets == (PACKET,)
    with pytest.raises(NoVoiceNote):
        ogg.read(split + page(0, 0, 2, lacing[1:], body[255:]) + page(4, 960, 3, *packets(PACKET)), LIMIT)


WRONG = {
    "nothing": b"",
    "not Ogg": b"RIFF" + bytes(100),
    "only headers": page(2, 0, 0, *packets(HEAD)) + page(4, 0, 1, *packets(TAGS)),
    "no end": by_another()[:-1],
    "a page missing": note()[: 28 + 19] + note()[28 + 19 + 28 + 23 :],
    "behind the end": note() + b"\0",
    "a second stream behind": note() + note(),
    "a second stream beside": page(2, 0, 0, *packets(HEAD), 1) + by_another()[28 + 19 :],
    "a checksum": note()[:-1] + b"\1",
    "another codec": by_another(b"\x80theora" + bytes(12)),
    "another version": by_another(HEAD[:8] + b"\x11" + HEAD[9:]),
    "six channels": by_another(HEAD[:9] + b"\6" + HEAD[10:]),
    "a table of channels": by_another(HEAD[:-1] + b"\1" + bytes(4)),
    "no tags": by_another(tags=b"x" + TAGS[1:]),
    "long tags": page(2, 0, 0, *packets(HEAD)) + page(0, -1, 1, b"\xff" * 255, TAGS + bytes(255 * 255 - len(TAGS)))
    + page(1, 0, 2, b"\xff" * 3 + b"\0", bytes(3 * 255)) + page(4, 960, 3, *packets(PACKET)),
    "an empty packet": by_another(body=(PACKET, b"", PACKET)),
    "a packet of 0 frames": by_another(body=(PACKET, b"\x0b\0")),
    "a packet of 140 ms": by_another(body=(b"\x0b\x07" + bytes(9),)),
    "a packet too long": by_another(body=(PACKET + bytes(ogg.MAX_PACKET_BYTES),)),
    "shorter than what is left out": page(2, 0, 0, *packets(HEAD)) + page(0, 0, 1, *packets(TAGS))
    + page(4, 312, 2, *packets(PACKET)),
    "longer than its packets": page(2, 0, 0, *packets(HEAD)) + page(0, 0, 1, *packets(TAGS))
    + page(4, 961, 2, *packets(PACKET)),
    "a time that goes back": page(2, 0, 0, *packets(HEAD)) + page(0, 0, 1, *packets(TAGS))
    + page(0, 960, 2, *packets(PACKET)) + page(4, 900, 3, *packets(PACKET)),
    "a packet that does not end": page(2, 0, 0, *packets(HEAD)) + page(0, 0, 1, *packets(TAGS))
    + page(4, 960, 2, packets(PACKET)[0] + b"\xff", PACKET + bytes(255)),
    "too large": by_another() + bytes(ogg.MAX_BYTES),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_everything_else_is_refused(wrong: str) -> None:
    with pytest.raises(NoVoiceNote):
        ogg.read(WRONG[wrong], LIMIT)


def test_length_is_bounded_before_it_is_believed() -> None:
    assert ogg.read(note(100), 100 * 960).samples == 100 * 960 - 312
    with pytest.raises(NoVoiceNote):
        ogg.read(note(101), 100 * 960)
    packets_of_120_ms = by_another(body=(b"\x1b\x02" + bytes(9),) * 250)
    with pytest.raises(NoVoiceNote):
        ogg.read(packets_of_120_ms, 10 * ogg.RATE)


def test_files_cut_off_or_changed_are_refused_or_read_within_limits() -> None:
    random = Random(f"{SEED} ogg")
    whole = note(30, 10)
    for _ in range(20_000 if WHOLE else 500):
        data = bytearray(whole[: random.randrange(len(whole))] if random.random() < 0.3 else whole)
        for _ in range(random.randrange(1, 4)):
            if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        for start in _page_starts(data) if random.random() < 0.7 else ():  # as somebody who writes the right checksum
            _mend(data, start)
        try:
            stream = ogg.read(bytes(data), LIMIT)
        except NoVoiceNote:
            continue
        assert 0 < stream.samples <= LIMIT
        assert all(0 < len(packet) <= ogg.MAX_PACKET_BYTES for packet in stream.packets)


def _page_starts(data: bytearray) -> list[int]:
    return [at for at in range(len(data) - 27) if data[at : at + 4] == b"OggS"]


def _mend(data: bytearray, start: int) -> None:
    segments = data[start + 26]
    end = start + 27 + segments + sum(data[start + 27 : start + 27 + segments])
    data[start + 22 : start + 26] = bytes(4)
    data[start + 22 : start + 26] = struct.pack("<I", ogg.checksum(bytes(data[start:end])))
