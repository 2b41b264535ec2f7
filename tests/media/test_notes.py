"""The form of a voice note: its size, that it sounds like what was said, and its peaks."""

from __future__ import annotations

from array import array

import pytest

from p2pchat.errors import NoVoiceNote
from p2pchat.media import notes, ogg, opus
from tests.support.sounds import hum, likeness, needs_voice


def made(pcm: bytes, piece: int = 9_998) -> notes.Note:
    writer = notes.Writer()
    for at in range(0, len(pcm), piece):
        writer.add(pcm[at : at + piece])
    return writer.finish()


@needs_voice
def test_a_minute_is_183_kb_whatever_is_said() -> None:
    silent, spoken = made(bytes(2 * 6 * 48_000)), made(hum(1) * 6)
    assert len(silent.data) == len(spoken.data) == 18_513
    assert silent.duration == spoken.duration == 6_000
    assert len(silent.peaks) == notes.PEAKS
    assert not any(silent.peaks)
    assert ogg.read(spoken.data, notes.MAX_SAMPLES).packets[0] != ogg.read(silent.data, notes.MAX_SAMPLES).packets[0]
    minute = ogg.write([bytes(opus.PACKET_BYTES)] * 3_001, 60 * 48_000, 312, opus.FRAME_SAMPLES, notes._PACKETS_A_PAGE)
    assert len(minute) == 183_510


@needs_voice
@pytest.mark.parametrize("samples", [1, 959, 960, 961, 48_000 - 312, 48_000 - 311, 48_000])
def test_what_was_said_comes_back_to_the_last_sample(samples: int) -> None:
    sound = hum(1)[: 2 * samples]
    note = made(sound)
    back = b"".join(notes.decode(note.data, 48_000))
    assert len(back) == 2 * samples
    assert ogg.read(note.data, notes.MAX_SAMPLES).samples == samples


@needs_voice
def test_a_note_sounds_like_what_was_said() -> None:
    note = made(hum(1.5))
    assert likeness(hum(1.5, 24_000), b"".join(notes.decode(note.data))) > 0.85
    assert likeness(hum(1.5, 24_000)[::-1], b"".join(notes.decode(note.data))) < 0.5


@needs_voice
def test_15_minutes_are_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_SAMPLES", 48_000)
    writer = notes.Writer()
    writer.add(hum(0.9))
    assert not writer.full
    writer.add(hum(0.9))
    assert writer.full
    assert writer.milliseconds == 1_000
    assert notes.MAX_SECONDS == 900
    note = writer.finish()
    monkeypatch.setattr(notes, "MAX_SAMPLES", 47_999)
    with pytest.raises(NoVoiceNote):
        next(notes.decode(note.data))


@needs_voice
def test_nothing_is_no_note() -> None:
    with pytest.raises(NoVoiceNote, match="no sound"):
        notes.Writer().finish()


@needs_voice
def test_only_what_this_program_writes_is_ours() -> None:
    note = made(hum(0.5))
    assert notes.is_ours(note.data)
    stream = ogg.read(note.data, notes.MAX_SAMPLES)
    other_pages = ogg.write(stream.packets, stream.samples, stream.skip, opus.FRAME_SAMPLES, 10)
    variable = ogg.write([stream.packets[0][:40], *stream.packets[1:]], stream.samples, stream.skip, 960, 250)
    for data in (other_pages, variable, note.data.replace(b"p2pchat", b"another"), b"RIFF"):
        assert not notes.is_ours(data)


def test_peaks_are_the_loudest_of_equal_parts() -> None:
    assert notes.fold(range(256)) == bytes(range(3, 256, 4))
    assert notes.fold([7]) == bytes([7] * 64)
    assert notes.fold([]) == bytes(64)
    assert notes.fold([0] * 100 + [9]).index(9) == 63


def test_level_is_the_greatest_deflection_either_way() -> None:
    assert notes.loudest(array("h", [1, -32_768, 5]).tobytes()) == 255
    assert notes.loudest(array("h", [1, 16_384, 5]).tobytes()) == 128
    assert notes.loudest(b"") == 0
