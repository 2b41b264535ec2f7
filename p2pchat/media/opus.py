"""libopus by ctypes: an encoder of constant rate, and a decoder that takes whatever a stranger has sent.

The library is the one in the package opuslib-next-bundled, of the extra `voice`, or else the system's. Nothing of that
package's Python is loaded. All sound is mono, 16 bits a sample, in the byte order of this machine.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any

from p2pchat.errors import NoVoiceNote, VoiceMissing

RATE = 48_000
FRAME_SAMPLES = 960  # 20 ms
BITRATE = 24_000
PACKET_BYTES = BITRATE // 8 // 50

_VOIP, _SIGNAL_VOICE = 2048, 3001
_SET_BITRATE, _SET_VBR, _SET_COMPLEXITY, _SET_DTX, _SET_SIGNAL = 4002, 4006, 4010, 4016, 4024
_GET_LOOKAHEAD, _SET_GAIN = 4027, 4034
_COMPLEXITY = 8  # of 10: 0.4 ms for 20 ms of sound; with 10 it would be half as much again, for nothing one hears
_MAX_FRAME = 5_760  # 120 ms at 48 kHz
_SYSTEM = ("libopus.so.0", "libopus.0.dylib", "/opt/homebrew/lib/libopus.0.dylib")


def _bundled() -> list[str]:
    try:
        found = importlib.util.find_spec("opuslib_next")
    except (ImportError, ValueError):
        return []
    folders = [] if found is None else list(found.submodule_search_locations or ())
    return [str(path) for folder in folders for path in sorted(Path(folder, "_native").glob("libopus.*"))]


@functools.cache
def _library() -> Any:
    for name in (*_bundled(), *_SYSTEM):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.opus_encoder_create.restype = ctypes.c_void_p
        library.opus_decoder_create.restype = ctypes.c_void_p
        for function in ("encoder_ctl", "encoder_destroy", "encode", "decoder_ctl", "decoder_destroy", "decode"):
            getattr(library, f"opus_{function}").argtypes = None
        return library
    raise VoiceMissing


def load() -> None:
    """Load libopus; raise VoiceMissing where there is none."""
    _library()


class OpusEncoder:
    """Encodes 20 ms of mono sound at 48 kHz at a time, into packets that all have the same size."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.c_int()
        state = self._library.opus_encoder_create(RATE, 1, _VOIP, ctypes.byref(error))
        if error.value or not state:
            raise MemoryError
        self._state = ctypes.c_void_p(state)
        # Variable rate, and silence that is not sent, would say from the sizes alone when and partly what is spoken.
        rate = ((_SET_BITRATE, BITRATE), (_SET_VBR, 0), (_SET_DTX, 0))
        for request, value in (*rate, (_SET_COMPLEXITY, _COMPLEXITY), (_SET_SIGNAL, _SIGNAL_VOICE)):
            if self._library.opus_encoder_ctl(self._state, request, ctypes.c_int(value)):
                raise VoiceMissing  # a libopus that cannot do what is asked of it
        lookahead = ctypes.c_int()
        self._library.opus_encoder_ctl(self._state, _GET_LOOKAHEAD, ctypes.byref(lookahead))
        self.skip = lookahead.value  # samples that come out before the first that was put in
        self._out = ctypes.create_string_buffer(1_275)

    def encode(self, pcm: bytes) -> bytes:
        """Return the packet of PACKET_BYTES for `pcm`, which is FRAME_SAMPLES samples."""
        if len(pcm) != 2 * FRAME_SAMPLES:
            raise ValueError(f"{len(pcm)} bytes are not a frame")
        size = self._library.opus_encode(self._state, pcm, FRAME_SAMPLES, self._out, len(self._out))
        if size != PACKET_BYTES:
            raise VoiceMissing  # never seen; a rate that is not constant must not leave this machine
        return self._out.raw[:size]

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_encoder_destroy(self._state)


class OpusDecoder:
    """Decodes packets to mono sound at `rate`: 8, 12, 16, 24 or 48 thousand samples a second."""

    def __init__(self, rate: int, gain: int = 0) -> None:
        self._library = _library()
        error = ctypes.c_int()
        state = self._library.opus_decoder_create(rate, 1, ctypes.byref(error))
        if error.value or not state:
            raise MemoryError
        self._state = ctypes.c_void_p(state)
        self._room = _MAX_FRAME * rate // RATE
        self._out = (ctypes.c_int16 * self._room)()
        if gain and self._library.opus_decoder_ctl(self._state, _SET_GAIN, ctypes.c_int(gain)):
            raise NoVoiceNote

    def decode(self, packet: bytes) -> bytes:
        """Return the sound of `packet`, at most 120 ms; raise NoVoiceNote for what does not decode."""
        if not packet:
            raise NoVoiceNote  # libopus would take it for one that was lost, and make something up
        got = self._library.opus_decode(self._state, packet, len(packet), self._out, self._room, 0)
        if got <= 0:
            raise NoVoiceNote
        return ctypes.string_at(self._out, 2 * got)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_decoder_destroy(self._state)
