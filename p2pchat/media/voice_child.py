"""The process that decodes somebody's sound: a file at standard input, samples at standard output, and nothing else.

It loads its libraries, gives up everything but its memory and these two, and only then reads. The input is Ogg Opus or
WAV; the output is mono, 16 bits a sample, at the rate that the first argument names. The exit status says what went
wrong.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import IO

from p2pchat.errors import NoVoiceNote, VoiceMissing
from p2pchat.media import notes, ogg, opus

NOT_A_SOUND, MISSING = 3, 4
_PIECE_FRAMES = 48_000


def sound(source: IO[bytes], rate: int) -> Iterator[bytes]:
    """Yield the samples of `source`; raise NoVoiceNote for what is not Ogg Opus or WAV of at most 15 minutes."""
    magic = source.read(4)
    if magic == b"OggS":
        return notes.decode(magic + source.read(ogg.MAX_BYTES), rate)
    if magic in (b"RIFF", b"RIFX", b"RF64"):
        source.seek(0)
        return _wav(source, rate)
    raise NoVoiceNote


def _wav(file: IO[bytes], rate: int) -> Iterator[bytes]:
    import miniaudio

    class Source(miniaudio.StreamableSource):  # type: ignore[misc] # it has no types
        def read(self, num_bytes: int) -> bytes:
            return file.read(num_bytes)

        def seek(self, offset: int, origin: miniaudio.SeekOrigin) -> bool:
            file.seek(offset, io.SEEK_SET if origin == miniaudio.SeekOrigin.START else io.SEEK_CUR)
            return True

    wav, signed = miniaudio.FileFormat.WAV, miniaudio.SampleFormat.SIGNED16
    left = notes.MAX_SECONDS * rate
    try:
        for piece in miniaudio.stream_any(Source(), wav, signed, 1, rate, _PIECE_FRAMES):
            left -= len(piece)
            if left < 0:
                raise NoVoiceNote("It is longer than 15 minutes.")
            yield piece.tobytes()
    except miniaudio.MiniaudioError as exc:
        raise NoVoiceNote from exc


def main() -> None:
    """Decode standard input, and end."""
    rate = int(sys.argv[1])
    try:
        import miniaudio  # noqa: F401 - loaded while files can be opened

        opus.load()
    except (ImportError, VoiceMissing):
        sys.exit(MISSING)
    try:
        for piece in sound(sys.stdin.buffer, rate):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except NoVoiceNote:
        sys.exit(NOT_A_SOUND)
