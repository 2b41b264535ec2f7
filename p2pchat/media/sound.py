"""Record from a microphone and play to a loudspeaker, in threads of the process that has the screen.

Only this module imports miniaudio's devices. Both ends are a `Protocol`, so that a test can be the microphone. What is
recorded is encoded as it comes and stays in memory until it is taken or thrown away; nothing is written to a disk.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol

from p2pchat.errors import NoSound, VoiceMissing
from p2pchat.media import notes, opus
from p2pchat.media.stretch import Stretch

SPEEDS = (1.0, 1.5, 2.0)
_DEVICE_MS = 60  # of sound that the device hands over at a time


class SoundDevice(Protocol):
    """A microphone or a loudspeaker. It calls back in a thread of its own, until it is closed."""

    def close(self) -> None:
        """Stop for good; once this returns nothing is called back any more."""
        ...


class Microphone(Protocol):
    """Opens a microphone: what is given gets mono sound at 48 kHz, 16 bits. Raises NoSound or VoiceMissing."""

    def __call__(self, take: Callable[[bytes], None]) -> SoundDevice: ...


class Loudspeaker(Protocol):
    """Opens a loudspeaker: what is given returns as many samples, mono at 24 kHz, as it is asked for."""

    def __call__(self, give: Callable[[int], bytes]) -> SoundDevice: ...


# --- devices


@functools.cache
def _quiet_alsa() -> Any:
    """Have ALSA say nothing: it would write to standard error, which is the screen."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
    handler = kind(lambda *_: None)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)
    return handler  # as long as the process runs, since the library has it


class _OpenDevice:
    """A device of miniaudio that is closed before the interpreter ends.

    Later nothing could close it: that waits for its thread, which waits for the interpreter to call back into it.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._lock = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """Stop for good: nothing is called back any more."""
        atexit.unregister(self.close)
        with self._lock:
            self._device.close()


def _open(kind: str, rate: int, backends: tuple[str, ...], generator: Generator[Any, Any, None]) -> SoundDevice:
    try:
        import miniaudio
    except ImportError as exc:
        raise VoiceMissing from exc
    _quiet_alsa()
    # Named: otherwise miniaudio takes its null device where there is no other, and records silence.
    chosen = [miniaudio.Backend[name] for name in backends]
    next(generator)
    try:
        device = getattr(miniaudio, kind)(
            miniaudio.SampleFormat.SIGNED16, 1, rate, _DEVICE_MS, backends=chosen, app_name="p2pchat"
        )
        device.start(generator)
    except miniaudio.MiniaudioError as exc:
        if kind == "CaptureDevice":
            raise NoSound("There is no microphone that p2pchat can use") from exc
        hint = "A voice note can be saved, and played elsewhere."
        raise NoSound("There is no loudspeaker that p2pchat can use", hint=hint) from exc
    return _OpenDevice(device)


BACKENDS = ("PULSEAUDIO", "ALSA", "JACK", "COREAUDIO")


def microphone(take: Callable[[bytes], None], backends: tuple[str, ...] = BACKENDS) -> SoundDevice:
    """Open this machine's microphone."""

    def generator() -> Generator[None, bytes, None]:
        while True:
            take(bytes((yield)))

    return _open("CaptureDevice", opus.RATE, backends, generator())


def loudspeaker(give: Callable[[int], bytes], backends: tuple[str, ...] = BACKENDS) -> SoundDevice:
    """Open this machine's loudspeaker."""

    def generator() -> Generator[bytes, int, None]:
        frames = yield b""
        while True:
            frames = yield give(frames)

    return _open("PlaybackDevice", notes.PLAY_RATE, backends, generator())


# --- recording


class Recorder:
    """A recording: it runs from `start` to `stop` or `discard`, with pauses. What opens or closes the microphone
    may take as long as the machine's sound server does; call it in a thread, one after the other.
    """

    def __init__(self, microphone: Microphone = microphone) -> None:
        self._open = microphone
        self._device: SoundDevice | None = None
        self._writer: notes.Writer | None = notes.Writer()
        self._lock = threading.Lock()
        self.heard = threading.Event()
        """Set whenever sound has come; whoever waits for it clears it."""
        self.level = 0
        """How loud it is now, 0 to 255, for a meter."""
        self.full = False
        """Whether it has the 15 minutes that it may have; then nothing more is recorded."""
        self.milliseconds = 0
        """How long it is so far."""

    @property
    def running(self) -> bool:
        """Whether the microphone is open."""
        return self._device is not None

    def start(self) -> None:
        """Open the microphone, at the beginning or after a pause. Raises NoSound where there is none."""
        if self._writer is not None and self._device is None:
            self._device = self._open(self._take)

    def pause(self) -> None:
        """Close the microphone; what was recorded stays."""
        device, self._device = self._device, None
        if device is not None:
            device.close()
        self.level = 0

    def stop(self) -> notes.Note:
        """End it and return the note. Raises NoVoiceNote if nothing was recorded."""
        self.pause()
        with self._lock:
            writer, self._writer = self._writer, None
        return (writer or notes.Writer()).finish()

    def discard(self) -> None:
        """End it and forget what was recorded."""
        self.pause()
        with self._lock:
            self._writer = None

    def _take(self, pcm: bytes) -> None:
        """Take sound from the microphone, in its thread."""
        with self._lock:
            if self._writer is not None:
                level = self._writer.add(pcm)
                self.level, self.full, self.milliseconds = level, self._writer.full, self._writer.milliseconds
        self.heard.set()


# --- playing


class Player:
    """Plays the sound of one voice note (`voice.sound`). `play` and `pause` may take as long as the machine's sound
    server does; all methods may be called in any state and from any thread.
    """

    def __init__(
        self, sound: bytes, *, loudspeaker: Loudspeaker = loudspeaker, ended: Callable[[], None] = lambda: None
    ) -> None:
        """`ended` is called in a thread of its own when the end was reached and the loudspeaker is closed."""
        self._open = loudspeaker
        self._ended = ended
        self._device: SoundDevice | None = None
        self._stretch = Stretch(sound)
        self._rest = b""
        self._lock = threading.Lock()
        self._over = False

    @property
    def playing(self) -> bool:
        """Whether the loudspeaker is open."""
        return self._device is not None

    @property
    def duration(self) -> int:
        """The length of the note in ms."""
        return self._stretch.length * 1_000 // notes.PLAY_RATE

    @property
    def position(self) -> int:
        """Where in the note it is, in ms."""
        return int(self._stretch.position) * 1_000 // notes.PLAY_RATE

    @property
    def speed(self) -> float:
        """1, 1.5 or 2; the voice keeps its pitch."""
        return self._stretch.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if speed not in SPEEDS:
            raise ValueError(f"no speed: {speed}")
        with self._lock:
            self._stretch.speed = speed

    def play(self) -> None:
        """Go on, from the beginning if it is at its end. Raises NoSound where there is no loudspeaker."""
        if self._device is not None:
            return
        with self._lock:
            if self._stretch.position >= self._stretch.length:
                self._stretch.seek(0)
            self._over = False
        device = self._open(self._give)
        with self._lock:
            self._device, over = device, self._over
        if over:  # a short one has ended before its loudspeaker was known here
            self.pause()

    def pause(self) -> None:
        """Close the loudspeaker; the position stays."""
        with self._lock:
            device, self._device = self._device, None
        if device is not None:
            device.close()

    close = pause

    def seek(self, milliseconds: int) -> None:
        """Go to this position, or to the nearer end of the note."""
        with self._lock:
            self._stretch.seek(milliseconds * notes.PLAY_RATE // 1_000)
            self._rest = b""
            self._over = False

    def _give(self, frames: int) -> bytes:
        """Return that many samples for the loudspeaker, in its thread; behind the end they are silence."""
        with self._lock:
            while len(self._rest) < 2 * frames and (piece := self._stretch.read()):
                self._rest += piece
            given, self._rest = self._rest[: 2 * frames], self._rest[2 * frames :]
            ends = not given and not self._over
            self._over |= ends
        if ends:  # a device cannot be closed by its own thread
            threading.Thread(target=self._end, daemon=True).start()
        return given.ljust(2 * frames, b"\0")

    def _end(self) -> None:
        self.pause()
        self._ended()
