"""What the process that decodes takes, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import pytest

from p2pchat.errors import NoVoiceNote
from p2pchat.media import notes, ogg, voice_child
from tests.support.sampling import SEED, WHOLE
from tests.support.sounds import hum, likeness, needs_voice, write_wav

pytestmark = needs_voice


def decoded(data: bytes, rate: int = 24_000) -> bytes:
    return b"".join(voice_child.sound(io.BytesIO(data), rate))


@pytest.fixture(scope="module")
def note() -> bytes:
    writer = notes.Writer()
    writer.add(hum(0.3))
    return writer.finish().data


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (22_050, 2), (48_000, 1), (96_000, 2)])
def test_wav_of_any_rate_is_taken(tmp_path: Path, rate: int, channels: int) -> None:
    data = write_wav(tmp_path / "a.wav", hum(0.5, rate), rate, channels).read_bytes()
    back = decoded(data)
    assert len(back) == pytest.approx(2 * 12_000, abs=20)
    assert likeness(hum(0.5, 24_000), back) > 0.95


def test_wav_longer_than_15_minutes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_wav(tmp_path / "a.wav", bytes(2 * 20_000), 8_000).read_bytes()
    assert decoded(data)
    monkeypatch.setattr(notes, "MAX_SECONDS", 2)
    with pytest.raises(NoVoiceNote, match="15 minutes"):
        decoded(data)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RF64" + bytes(60), b"fLaC" + bytes(60), b"ID3\x03" + bytes(60)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(NoVoiceNote):
        decoded(data)


def test_notes_cut_off_or_changed_are_refused_or_bounded(note: bytes) -> None:
    """Also where the container is right and only the packets are not what an encoder makes."""
    random = Random(f"{SEED} notes")
    stream = ogg.read(note, notes.MAX_SAMPLES)
    refused = 0
    for _ in range(10_000 if WHOLE else 150):
        if random.random() < 0.2:
            data = note[: random.randrange(len(note))]
        else:
            changing = [bytearray(packet) for packet in stream.packets]
            for packet in random.sample(changing, random.randrange(1, 8)):
                packet[random.choice((0, 0, 1, random.randrange(60)))] = random.randrange(256)
                del packet[random.choice((60, 60, 59, random.randrange(1, 60))) :]
            packets = [bytes(packet) for packet in changing]
            try:
                samples = sum(map(ogg.packet_samples, packets))
            except NoVoiceNote:
                samples = 960 * len(packets)
            data = ogg.write(packets, samples - 312, 312, 960, 250)
        try:
            assert len(decoded(data)) <= 2 * notes.MAX_SECONDS * 24_000
        except NoVoiceNote:
            refused += 1
    assert refused > 20


def test_wavs_changed_are_refused_or_bounded(tmp_path: Path) -> None:
    random = Random(f"{SEED} wav")
    whole = write_wav(tmp_path / "a.wav", hum(0.05)).read_bytes()
    for _ in range(5_000 if WHOLE else 100):
        data = bytearray(whole[: random.randrange(4, len(whole))] if random.random() < 0.3 else whole)
        for _ in range(random.randrange(1, 4)):
            data[random.randrange(4, min(60, len(data) + 1) if len(data) > 5 else 5) % len(data)] = random.randrange(
                256
            )
        try:
            assert len(decoded(bytes(data))) <= 2 * notes.MAX_SECONDS * 24_000
        except NoVoiceNote:
            continue
