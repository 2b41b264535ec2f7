"""What the verb, the screen and the engine call, with the process that decodes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat.errors import NoSound, NoVoiceNote, VoiceMissing
from p2pchat.media import notes, voice, voice_child
from tests.support.sounds import FakeMicrophone, hum, likeness, needs_voice, write_wav


@needs_voice
def test_a_wav_file_becomes_a_note_and_a_note_stays_as_it_is(tmp_path: Path) -> None:
    note = voice.from_file(write_wav(tmp_path / "said.wav", hum(1, 44_100), 44_100, channels=2))
    assert note.duration == 1_000
    assert likeness(hum(1, 24_000), voice.sound(note.data)) > 0.85
    ogg = tmp_path / "said.ogg"
    ogg.write_bytes(note.data)
    again = voice.from_file(ogg)
    assert again.data == note.data
    assert (again.duration, again.peaks) == voice.describe(ogg)
    assert again.duration == note.duration
    assert max(abs(one - other) for one, other in zip(note.peaks, again.peaks, strict=True)) < 60
    assert 30 < max(again.peaks) < 130


@needs_voice
def test_a_note_of_another_program_is_encoded_anew(tmp_path: Path) -> None:
    writer = notes.Writer()
    writer.add(hum(0.4))
    theirs = writer.finish().data
    ogg = tmp_path / "theirs.opus"
    ogg.write_bytes(
        theirs[: 28 + 19] + _with_a_comment(theirs[28 + 19 : 28 + 19 + 28 + 23]) + theirs[28 + 19 + 28 + 23 :]
    )
    note = voice.from_file(ogg)
    assert b"ours" not in note.data
    assert notes.is_ours(note.data)
    assert note.duration == 400


def _with_a_comment(page: bytes) -> bytes:
    from p2pchat.media.ogg import checksum

    changed = page[:22] + bytes(4) + page[26:].replace(b"p2pchat", b"by ours")
    return changed[:22] + checksum(changed).to_bytes(4, "little") + changed[26:]


@needs_voice
@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", b"OggS" + bytes(50), b"\x89PNG", bytes(5_000)]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for ask in (voice.from_file, voice.describe):
        with pytest.raises(NoVoiceNote):
            ask(path)
    with pytest.raises(NoVoiceNote):
        voice.sound(content)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises((NoVoiceNote, IsADirectoryError)):
            voice.from_file(path)
    with pytest.raises(FileNotFoundError):
        voice.from_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (f"raise SystemExit({voice_child.NOT_A_SOUND})", NoVoiceNote),
        (f"raise SystemExit({voice_child.MISSING})", VoiceMissing),
        (f"raise SystemExit({voice_child.UNSAFE})", VoiceMissing),
        ("import os, sys; sys.stdout.write('12345678'); sys.stdout.flush(); os.abort()", NoVoiceNote),
        ("import sys\nwhile True: sys.stdout.write('x' * 65536)", NoVoiceNote),
    ],
)
def test_a_decoder_that_fails_or_was_taken_over_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(voice, "_CHILD", script)
    with pytest.raises(error):
        voice.sound(b"OggS")


TRIES = """\
import ctypes, os, socket, sys
sys.path.append(sys.argv.pop(1))
from p2pchat.media import voice_child

def tried(source, rate):
    for name, do in {
        "open": lambda: open("/etc/hostname"),
        "socket": lambda: socket.socket(),
        "fork": os.fork,
        "run": lambda: os.execv("/bin/true", ["true"]),
        "signal": lambda: os.kill(os.getppid(), 0),
        "look": lambda: os.listdir("/proc/self/fd"),
    }.items():
        try:
            do()
        except OSError:
            continue
        yield name.encode()
    yield source.read(4)

voice_child.sound = tried
voice_child.main()
"""


@needs_voice
def test_what_decodes_can_do_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "_CHILD", TRIES)
    assert voice.sound(b"OggS") == b"OggS"
    bare = TRIES.replace("voice_child.main()", "[*map(sys.stdout.buffer.write, tried(sys.stdin.buffer, 0))]")
    monkeypatch.setattr(voice, "_CHILD", bare.replace('"fork"', "#").replace('"run"', "#"))
    assert voice.sound(b"OggS") == b"opensocketsignallookOggS"  # the tries do succeed where there is no sandbox


@needs_voice
def test_without_a_sandbox_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    unsafe = "voice_child.Sandbox.enter_for_good = lambda *_: open('/'); voice_child.main()"
    monkeypatch.setattr(voice, "_CHILD", voice._CHILD.replace("voice_child.main()", unsafe))
    with pytest.raises(VoiceMissing, match="nothing is decoded"):
        voice.sound(b"OggS")


@needs_voice
def test_recording_takes_what_comes_for_so_long() -> None:
    microphone = FakeMicrophone()

    def opened(take):  # type: ignore[no-untyped-def]
        device = microphone(take)
        microphone.hear(hum(0.3))
        return device

    note = voice.record(0.2, microphone=opened)
    assert note.duration == 300
    assert microphone.devices[0].closed


@needs_voice
def test_a_microphone_that_gives_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "_SILENT_SECONDS", 0)
    microphone = FakeMicrophone()
    with pytest.raises(NoSound, match="gives no sound"):
        voice.record(1, microphone=microphone)
    assert microphone.devices[0].closed


def test_a_kept_note_is_private_and_goes() -> None:
    note = notes.Note(b"OggS", 20, bytes(64))
    with voice.kept(note) as path:
        assert path.read_bytes() == note.data
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.name == "voice.ogg"
    assert not path.parent.exists()
