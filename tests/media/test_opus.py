"""libopus: packets of one size, and a decoder for whatever comes."""

from __future__ import annotations

from random import Random

import pytest

from p2pchat.errors import NoVoiceNote, VoiceMissing
from p2pchat.media import ogg, opus
from tests.support.sounds import hum, needs_voice

pytestmark = needs_voice


def test_packets_have_one_size_whatever_is_said() -> None:
    encoder = opus.OpusEncoder()
    size = 2 * opus.FRAME_SAMPLES
    loud, noise, silence = hum(0.2), Random(3).randbytes(5 * size), bytes(50 * size)
    sound = silence + loud + noise + silence
    packets = [encoder.encode(sound[at : at + size]) for at in range(0, len(sound), size)]
    assert len(packets) == 115
    assert {len(packet) for packet in packets} == {opus.PACKET_BYTES} == {60}
    assert {ogg.packet_samples(packet) for packet in packets} == {opus.FRAME_SAMPLES}


def test_only_whole_frames_are_encoded() -> None:
    with pytest.raises(ValueError, match="not a frame"):
        opus.OpusEncoder().encode(bytes(100))


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
def test_a_packet_is_decoded_at_the_wanted_rate(rate: int) -> None:
    packet = opus.OpusEncoder().encode(bytes(2 * opus.FRAME_SAMPLES))
    assert len(opus.OpusDecoder(rate).decode(packet)) == 2 * rate // 50


@pytest.mark.parametrize("packet", [b"", b"\x03", b"\x0b\x00", b"\x0b\x3f" + bytes(20), b"\xff" * 3])
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(NoVoiceNote):
        opus.OpusDecoder(24_000).decode(packet)


def test_where_there_is_no_libopus_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_bundled", list)
    monkeypatch.setattr(opus, "_SYSTEM", ("libnothing.so.0",))
    opus._library.cache_clear()
    try:
        with pytest.raises(VoiceMissing) as error:
            opus.load()
        assert "make voice" in error.value.line()
    finally:
        opus._library.cache_clear()
