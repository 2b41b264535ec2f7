"""The one form of a voice note: Ogg Opus, 48 kHz, mono, 24 kbit/s at a constant rate, without a word about its maker.

60 seconds are 183.5 kB. The size says how long a note is and nothing else. Everything here is a function of its
input: what decodes the notes of others is called in a process that can do nothing else (`voice_child`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from p2pchat.errors import NoVoiceNote
from p2pchat.media import ogg, opus

MAX_SECONDS = 15 * 60
MAX_SAMPLES = MAX_SECONDS * opus.RATE
PLAY_RATE = 24_000  # speech at 24 kbit/s has nothing above 12 kHz, and 15 minutes are 43 MB instead of 86
PEAKS = 64
MEDIA_TYPE = "audio/ogg"
_PACKETS_A_PAGE = 250  # 5 s: 12 headers of pages a minute


@dataclass(frozen=True, slots=True)
class Note:
    """A voice note that can be sent: the file, how long it is in ms, and 64 peaks of 0 to 255."""

    data: bytes = field(repr=False)
    duration: int
    peaks: bytes = field(repr=False)


def loudest(pcm: bytes) -> int:
    """Return the greatest deflection in `pcm`, 0 to 255."""
    samples = array("h", pcm)
    return min(255, max((max(samples), -min(samples))) >> 7) if samples else 0


def fold(levels: Iterable[int]) -> bytes:
    """Return the 64 peaks of a sound of which `levels` are the loudest deflections of its parts, all equally long."""
    levels = list(levels) or [0]
    bounds = [part * len(levels) // PEAKS for part in range(PEAKS + 1)]
    return bytes(max(levels[at : max(end, at + 1)]) for at, end in pairwise(bounds))


class Writer:
    """Makes a note of sound that comes piece by piece; in memory are only packets, 3 kB for every second."""

    def __init__(self) -> None:
        self._encoder = opus.OpusEncoder()
        self._rest = b""
        self._packets: list[bytes] = []
        self._levels: list[int] = []
        self._samples = 0

    @property
    def milliseconds(self) -> int:
        """How long the sound is so far."""
        return self._samples * 1_000 // opus.RATE

    @property
    def full(self) -> bool:
        """Whether the note has the length that it may have."""
        return self._samples >= MAX_SAMPLES

    def add(self, pcm: bytes) -> int:
        """Append `pcm`: mono, 48 kHz, 16 bits. Return its level, 0 to 255. What exceeds 15 minutes is left out."""
        pcm = pcm[: 2 * min(len(pcm) // 2, MAX_SAMPLES - self._samples)]
        self._samples += len(pcm) // 2
        self._rest += pcm
        size = 2 * opus.FRAME_SAMPLES
        whole = len(self._rest) // size * size
        for at in range(0, whole, size):
            self._put(self._rest[at : at + size])
        self._rest = self._rest[whole:]
        return loudest(pcm)

    def _put(self, frame: bytes) -> None:
        self._packets.append(self._encoder.encode(frame))
        self._levels.append(loudest(frame))

    def finish(self) -> Note:
        """Return the note; raise NoVoiceNote if there was no sound."""
        if not self._samples:
            raise NoVoiceNote("There is no sound in it.")
        size = 2 * opus.FRAME_SAMPLES
        levels = [*self._levels, loudest(self._rest)] if self._rest else self._levels
        # The encoder is `skip` samples behind: it needs as many more until all that was put in has come out.
        packets = list(self._packets)
        while len(packets) * opus.FRAME_SAMPLES < self._samples + self._encoder.skip:
            packets.append(self._encoder.encode(self._rest.ljust(size, b"\0")))
            self._rest = b""
        data = ogg.write(packets, self._samples, self._encoder.skip, opus.FRAME_SAMPLES, _PACKETS_A_PAGE)
        return Note(data, self.milliseconds, fold(levels))


def decode(data: bytes, rate: int = PLAY_RATE) -> Iterator[bytes]:
    """Yield the sound of an Ogg Opus file: mono, `rate` samples a second, 16 bits.

    Raises NoVoiceNote for anything else, at the beginning if the container says so, otherwise where it does not decode.
    """
    stream = ogg.read(data, MAX_SAMPLES)
    decoder = opus.OpusDecoder(rate, stream.gain)
    scale = opus.RATE // rate
    skip, wanted = 2 * (stream.skip // scale), 2 * -(-stream.samples // scale)
    for packet in stream.packets:
        sound = decoder.decode(packet)
        piece = sound[skip : skip + wanted]
        skip -= min(skip, len(sound))
        wanted -= len(piece)
        if piece:
            yield piece


def is_ours(data: bytes) -> bool:
    """Return whether `data` is exactly what this program would write: constant packets, and no comments."""
    try:
        stream = ogg.read(data, MAX_SAMPLES)
    except NoVoiceNote:
        return False
    if any(len(packet) != opus.PACKET_BYTES for packet in stream.packets):
        return False
    written = ogg.write(stream.packets, stream.samples, stream.skip, opus.FRAME_SAMPLES, _PACKETS_A_PAGE)
    return written == data
