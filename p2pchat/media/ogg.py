"""Ogg pages with one Opus stream: write our own, and read those of others strictly (RFC 3533, RFC 7845).

Only what a voice note needs: one logical stream, nothing before, beside or behind it. What is read was written by a
stranger. So a page counts only if its checksum and its number are right, and everything is bounded before it is taken.
Nothing here knows how sound is coded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2pchat.errors import NoVoiceNote

RATE = 48_000  # granule positions count samples at this rate, whatever the encoder was given
MAX_BYTES = 16 << 20  # of a note from outside: 15 minutes at 149 kbit/s
MAX_PACKET_BYTES = 7_650  # 120 ms of six frames of at most 1,275 bytes
MAX_TAGS_BYTES = 65_536
MAX_PAGES = 65_536  # 15 minutes with a page for every frame of 20 ms are 45,002

_HEADER = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, checksum, segments
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_ID = struct.Struct("<8sBBHIhB")  # OpusHead: magic, version, channels, pre-skip, input rate, gain, mapping family
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_VENDOR = b"p2pchat"


@dataclass(frozen=True, slots=True)
class OpusStream:
    """What a file with one Opus stream contains."""

    channels: int  # 1 or 2
    skip: int  # samples at 48 kHz to be left out at the beginning
    gain: int  # dB in Q7.8, to be applied to what is decoded
    samples: int  # at 48 kHz, without those that are left out
    packets: tuple[bytes, ...]


def checksum(page: bytes) -> int:
    """Return the CRC of a page whose checksum field is zero.

    It has the polynomial of zlib's, but takes the bits of a byte from the other end, and inverts nothing.
    """
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED), "big")


# --- writing


def _page(flags: int, granule: int, number: int, packets: Sequence[bytes]) -> bytes:
    lacing = bytes(size for packet in packets for size in (*[255] * (len(packet) // 255), len(packet) % 255))
    before = _HEADER.pack(b"OggS", 0, flags, granule, 0, number, 0, len(lacing))
    page = b"".join((before, lacing, *packets))
    return b"%b%b%b" % (page[:22], checksum(page).to_bytes(4, "little"), page[26:])


def write(packets: Sequence[bytes], samples: int, skip: int, packet_samples: int, packets_a_page: int) -> bytes:
    """Return an Ogg file with `packets` of mono Opus, each of which stands for `packet_samples` at 48 kHz.

    `samples` is the length of the sound without the `skip` samples that the decoder leaves out. The serial number is
    zero and there are no comments: nothing in the file says who made it, when or with what machine, and the same sound
    gives the same bytes. A packet has fewer than 255 bytes, and `packets_a_page` is at most 255.
    """
    head = _ID.pack(b"OpusHead", 1, 1, skip, RATE, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)
    pages = [_page(_FIRST, 0, 0, [head]), _page(0, 0, 1, [tags])]
    for start in range(0, len(packets), packets_a_page):
        group = packets[start : start + packets_a_page]
        last = start + len(group) == len(packets)
        granule = skip + samples if last else (start + len(group)) * packet_samples
        pages.append(_page(_LAST if last else 0, granule, len(pages), group))
    return b"".join(pages)


# --- reading


@dataclass(slots=True)
class _Page:
    flags: int
    granule: int
    number: int
    last_is_whole: bool
    packets: list[bytes]


def _pages(data: bytes) -> Iterator[_Page]:
    """Yield the pages; raise NoVoiceNote at the first that is not as it must be."""
    at, number, serial = 0, 0, 0
    while at < len(data):
        if number == MAX_PAGES or len(data) - at < _HEADER.size:
            raise NoVoiceNote
        magic, version, flags, granule, said, counted, crc, segments = _HEADER.unpack_from(data, at)
        if magic != b"OggS" or version or flags & ~(_CONTINUED | _FIRST | _LAST) or counted != number:
            raise NoVoiceNote
        body = at + _HEADER.size + segments
        lacing = data[at + _HEADER.size : body]
        end = body + sum(lacing)
        if not segments or len(lacing) < segments or end > len(data):
            raise NoVoiceNote
        if checksum(data[at : at + 22] + bytes(4) + data[at + 26 : end]) != crc:
            raise NoVoiceNote
        serial = serial if number else said
        if said != serial or bool(flags & _FIRST) != (number == 0) or bool(flags & _LAST) != (end == len(data)):
            raise NoVoiceNote  # another stream beside or behind this one, or a page of it is missing
        packets, begins = [], body
        for size in lacing:
            body += size
            if size < 255:
                packets.append(data[begins:body])
                begins = body
        whole = begins == end
        if not whole:
            packets.append(data[begins:end])
        yield _Page(flags, granule, number, whole, packets)
        at, number = end, number + 1


def packet_samples(packet: bytes) -> int:
    """Return how many samples at 48 kHz a packet of Opus stands for; raise NoVoiceNote if there is no such packet.

    The first byte says it (RFC 6716, 3.1), and for packets of several frames the second.
    """
    if not 1 <= len(packet) <= MAX_PACKET_BYTES:
        raise NoVoiceNote
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1_920, 2_880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = 120 << (config & 3)
    if code == 3 and len(packet) < 2:
        raise NoVoiceNote
    frames = (1, 2, 2, packet[1] & 63 if code == 3 else 0)[code]
    if not 0 < frames * frame <= 5_760:
        raise NoVoiceNote
    return frames * frame


def _head(packet: bytes) -> tuple[int, int, int]:
    """Return channels, samples to skip and gain; several streams in one, and more than two channels, are refused."""
    if len(packet) != _ID.size:
        raise NoVoiceNote
    magic, version, channels, skip, _, gain, family = _ID.unpack(packet)
    if magic != b"OpusHead" or version >> 4 or channels not in (1, 2) or family:
        raise NoVoiceNote
    return channels, skip, gain


def read(data: bytes, max_samples: int) -> OpusStream:
    """Return the stream in `data`, which has at most `max_samples` at 48 kHz; raise NoVoiceNote for everything else.

    Comments are passed over. The last page says how long the sound is: it may leave out a part of the last packets.
    """
    if len(data) > MAX_BYTES:
        raise NoVoiceNote
    headers: list[bytes] = []
    packets: list[bytes] = []
    open_part, decoded, granule = b"", 0, 0
    for page in _pages(data):
        if bool(page.flags & _CONTINUED) != bool(open_part):
            raise NoVoiceNote
        page.packets[0] = open_part + page.packets[0]
        open_part = b"" if page.last_is_whole else page.packets.pop()
        if len(open_part) > (MAX_TAGS_BYTES if len(headers) < 2 else MAX_PACKET_BYTES):
            raise NoVoiceNote
        if len(headers) < 2:  # each header ends its page
            headers += page.packets
            granule_is_right = page.granule == 0 or (page.granule == -1 and not page.packets)
            if not granule_is_right or len(headers) > 2 or (page.number == 0 and len(headers) != 1):
                raise NoVoiceNote
            continue
        packets += page.packets
        decoded += sum(packet_samples(packet) for packet in page.packets)
        if page.packets:
            if not granule <= page.granule <= decoded or (not page.flags & _LAST and page.granule != decoded):
                raise NoVoiceNote
            granule = page.granule
        elif page.granule != -1:
            raise NoVoiceNote
        if decoded > max_samples + RATE:  # what is left out at both ends is less than a second
            raise NoVoiceNote
    if len(headers) != 2 or open_part or not packets or not headers[1].startswith(b"OpusTags"):
        raise NoVoiceNote
    if len(headers[1]) > MAX_TAGS_BYTES:
        raise NoVoiceNote
    channels, skip, gain = _head(headers[0])
    samples = granule - skip
    if not 0 < samples <= max_samples or decoded - granule > RATE:
        raise NoVoiceNote
    return OpusStream(channels, skip, gain, samples, tuple(packets))
