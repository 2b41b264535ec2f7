"""Voice notes: what the verb, the screen and the engine call.

```
from_file(path)            → Note      a WAV or an Ogg Opus file as a note of our form
record(seconds)            → Note      from the microphone; ends early at Ctrl-C, with what there is
kept(note)                 → context   a path of a private file of it, for `send_file`; gone at the end
describe(path)             → (ms, 64 peaks)        for the engine, of a file that is to be sent as a note
sound(data)                → bytes     what a `Player` plays, of a note that was received
Recorder, Player           from `sound`: for the screen
MAX_BYTES                  the largest file that is taken for a note; do not read more into memory
```

All of these block, and of Recorder and Player what opens or closes a device: call them in a thread
(`asyncio.to_thread`, `trio.to_thread.run_sync`). A note is `data` (the file), `duration` in ms and `peaks`. They raise
NoVoiceNote for what is no sound or too long, VoiceMissing where the extra is not installed, and NoSound where there is
no device.

Files are decoded by a process that can do nothing else (`voice_child`): no library reads a stranger's bytes in this
one. Importing this module loads none of the libraries.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from p2pchat.errors import NoSound, NoVoiceNote, VoiceMissing
from p2pchat.media import notes, ogg, opus, voice_child
from p2pchat.media.notes import MAX_SECONDS, MEDIA_TYPE, PEAKS, Note
from p2pchat.media.sound import SPEEDS, Microphone, Player, Recorder, microphone

__all__ = [
    "MAX_BYTES", "MAX_SECONDS", "MEDIA_TYPE", "PEAKS", "SPEEDS", "Note", "Player", "Recorder",
    "describe", "from_file", "kept", "record", "sound",
]  # fmt: skip

MAX_BYTES = ogg.MAX_BYTES
_PEAK_RATE = 8_000
_PEAK_SAMPLES = 160  # 20 ms
_CHILD_SECONDS = 60
_SILENT_SECONDS = 5  # for so long a microphone may give nothing, not even silence
_CHILD = "import sys; sys.path.append(sys.argv.pop(1)); from p2pchat.media import voice_child; voice_child.main()"


def from_file(path: Path) -> Note:
    """Return the sound of a WAV or Ogg Opus file as a note; one that has our form already stays as it is."""
    with _opened(path) as file:
        data = file.read(MAX_BYTES + 1)
        if notes.is_ours(data):
            return Note(data, *_peaks(file))
        del data
        writer = notes.Writer()
        for pcm in _decoded(file, opus.RATE):
            writer.add(pcm)
    return writer.finish()


def describe(path: Path) -> tuple[int, bytes]:
    """Return how long the note in a file is, in ms, and its 64 peaks; raise NoVoiceNote if it is no Ogg Opus."""
    with _opened(path) as file:
        if file.read(4) != b"OggS":
            raise NoVoiceNote
        return _peaks(file)


def sound(data: bytes) -> bytes:
    """Return the sound of a note, mono at 24 kHz and 16 bits: 48 kB for a second of it."""
    if len(data) > MAX_BYTES or not data.startswith(b"OggS"):
        raise NoVoiceNote
    with tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else open(os.memfd_create("note"), "w+b") as file:
        file.write(data)
        file.flush()
        return b"".join(_decoded(file, notes.PLAY_RATE))


def record(seconds: float, *, microphone: Microphone = microphone) -> Note:
    """Record for so many seconds, at most 15 minutes. KeyboardInterrupt ends it early, with what there is."""
    recorder = Recorder(microphone)
    try:
        recorder.start()
        with contextlib.suppress(KeyboardInterrupt):
            while recorder.milliseconds < seconds * 1_000 and not recorder.full:
                if not recorder.heard.wait(_SILENT_SECONDS):
                    raise NoSound("The microphone gives no sound.")
                recorder.heard.clear()
        return recorder.stop()
    finally:
        recorder.discard()


@contextlib.contextmanager
def kept(note: Note) -> Iterator[Path]:
    """Give the path of a file of the note that only this user can read, in memory where the system has such a place."""
    folders = [os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"]  # noqa: S108 - mkdtemp makes a private folder there
    place = next((folder for folder in folders if os.path.isdir(folder) and os.access(folder, os.W_OK)), None)
    with tempfile.TemporaryDirectory(prefix="p2pchat-", dir=place) as folder:
        path = Path(folder, "voice.ogg")
        path.touch(0o600)
        path.write_bytes(note.data)
        yield path


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NoVoiceNote
        yield file


def _peaks(file: IO[bytes]) -> tuple[int, bytes]:
    size = 2 * _PEAK_SAMPLES
    pcm = b"".join(_decoded(file, _PEAK_RATE))
    levels = (notes.loudest(pcm[at : at + size]) for at in range(0, len(pcm), size))
    return len(pcm) // 2 * 1_000 // _PEAK_RATE, notes.fold(levels)


def _decoded(file: IO[bytes], rate: int) -> Iterator[bytes]:
    """Yield the samples in a file, from its beginning, as the confined process gives them; then raise what it says."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # not file.seek, which may only move within its buffer
    root = str(Path(__file__).resolve().parents[2])
    kind = "ogg" if os.pread(file.fileno(), 4, 0) == b"OggS" else "wav"
    command = [sys.executable, "-I", "-c", _CHILD, root, kind, str(rate), str(os.getpid())]
    child = subprocess.Popen(  # noqa: S603
        command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/"
    )
    late = threading.Timer(_CHILD_SECONDS, child.kill)
    late.daemon = True
    late.start()
    assert child.stdout is not None
    try:
        left = 2 * MAX_SECONDS * rate
        while piece := child.stdout.read1(1 << 18):  # type: ignore[attr-defined]
            left -= len(piece)
            if left < 0:
                raise NoVoiceNote
            yield piece
        status = child.wait()
    finally:
        late.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
    if status == voice_child.MISSING:
        raise VoiceMissing
    if status == voice_child.UNSAFE:
        raise VoiceMissing(
            "This machine cannot take everything from what decodes sound, so nothing is decoded", hint=""
        )
    if status != 0:
        raise NoVoiceNote
