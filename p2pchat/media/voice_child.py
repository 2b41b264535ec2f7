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
from p2pchat.media.sandbox import Sandbox

NOT_A_SOUND, MISSING, UNSAFE = 3, 4, 5
_PIECE_FRAMES = 48_000
_CPU_SECONDS = 30  # a quarter of an hour takes 1 s, on a small machine some more


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
    """Decode standard input, and end. Arguments: ogg or wav, the rate, and the process that has started this one."""
    kind, rate, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:  # what will be needed is loaded while files can be opened
        if kind == "wav":
            import miniaudio  # noqa: F401
        else:
            opus.load()
    except (ImportError, VoiceMissing):
        sys.exit(MISSING)
    try:
        sandbox = Sandbox()
        sandbox.enter()
        sandbox.enter_for_good(parent, _CPU_SECONDS)
    except OSError:
        sys.exit(UNSAFE)
    try:
        for piece in sound(sys.stdin.buffer, rate):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except NoVoiceNote:
        sys.exit(NOT_A_SOUND)
