"""Sound for tests: something like a voice, how alike two sounds are, and fake microphones and loudspeakers."""

from __future__ import annotations

import importlib.util
import math
import wave
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

needs_voice = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("miniaudio", "opuslib_next")),
    reason="the packages of requirements/dev.lock for voice notes are not installed",
)


def hum(seconds: float, rate: int = 48_000) -> bytes:
    """A tone of 150 Hz that wavers, with two of its harmonics, swelling and fading: mono, 16 bits."""
    samples = array("h")
    for index in range(round(seconds * rate)):
        phase = 2 * math.pi * 150 * index / rate + 3 * math.sin(9.6 * index / rate)
        wave_form = math.sin(phase) + 0.6 * math.sin(2 * phase) + 0.4 * math.sin(5 * phase)
        samples.append(int(6_000 * wave_form * (0.5 + 0.5 * math.sin(5.3 * index / rate))))
    return samples.tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """The correlation of two sounds, 1 for the same, at the delay within 16 samples at which it is greatest.

    Looked at is a tenth of a second in their middle, at 24 kHz.
    """
    length = 2_400
    start = min(len(one), len(other)) // 4 - length // 2
    template = array("h", one)[start : start + length]

    def at(delay: int) -> float:
        piece = array("h", other)[start + delay : start + delay + length]
        product = sum(a * b for a, b in zip(template, piece, strict=True))
        return product / math.sqrt(sum(a * a for a in template) * sum(b * b for b in piece) or 1)

    return max(map(at, range(-16, 17)))


def write_wav(path: Path, pcm: bytes, rate: int = 48_000, channels: int = 1) -> Path:
    """Write a WAV file, each channel with the same sound."""
    samples = array("h", pcm)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(array("h", [sample for sample in samples for _ in range(channels)]).tobytes())
    return path


class FakeDevice:
    """A microphone or a loudspeaker that does what the test says, in the test's thread."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        """Stop for good."""
        self.closed = True


class FakeMicrophone:
    """Opens devices into which a test speaks."""

    def __init__(self) -> None:
        self.take: Callable[[bytes], None] | None = None
        self.devices: list[FakeDevice] = []

    def __call__(self, take: Callable[[bytes], None]) -> FakeDevice:
        """Open one more."""
        self.take = take
        self.devices.append(FakeDevice())
        return self.devices[-1]

    def hear(self, pcm: bytes, piece: int = 5_760) -> None:
        """Speak, in pieces as a device would give."""
        assert self.take is not None
        for at in range(0, len(pcm), piece):
            self.take(pcm[at : at + piece])


class FakeLoudspeaker:
    """Opens devices from which a test takes what they would play."""

    def __init__(self) -> None:
        self.give: Callable[[int], bytes] | None = None
        self.devices: list[FakeDevice] = []

    def __call__(self, give: Callable[[int], bytes]) -> FakeDevice:
        """Open one more."""
        self.give = give
        self.devices.append(FakeDevice())
        return self.devices[-1]

    def play(self, samples: int, piece: int = 1_440) -> bytes:
        """Take so many samples, in pieces as a device would."""
        assert self.give is not None
        return b"".join(self.give(min(piece, samples - at)) for at in range(0, samples, piece))
