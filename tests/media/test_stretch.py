"""Faster speech keeps its pitch."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise

import pytest

from p2pchat.media.stretch import Stretch

RATE = 24_000


def tone(hertz: float, seconds: float) -> bytes:
    return array(
        "h", (int(8_000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(RATE * seconds)))
    ).tobytes()


def everything(stretch: Stretch) -> bytes:
    return b"".join(iter(stretch.read, b""))


def pitch(sound: bytes) -> float:
    samples = array("h", sound)
    return sum(a < 0 <= b for a, b in pairwise(samples)) * RATE / len(samples)


def test_at_its_own_speed_nothing_is_changed() -> None:
    sound = tone(220, 0.333)
    assert everything(Stretch(sound)) == sound


@pytest.mark.parametrize("speed", [1.5, 2.0])
def test_faster_is_shorter_at_the_same_pitch_and_without_clicks(speed: float) -> None:
    sound = tone(220, 1)
    stretch = Stretch(sound)
    stretch.speed = speed
    faster = everything(stretch)
    assert len(faster) == pytest.approx(len(sound) / speed, rel=0.05)
    assert pitch(faster) == pytest.approx(220, rel=0.03)
    samples = array("h", faster)
    steepest = 8_000 * 2 * math.pi * 220 / RATE
    assert max(abs(a - b) for a, b in pairwise(samples)) < 1.5 * steepest


def test_a_position_can_be_chosen_and_the_speed_changed_on_the_way() -> None:
    stretch = Stretch(tone(220, 1))
    stretch.seek(12_000)
    stretch.speed = 2
    for _ in range(10):
        assert len(stretch.read()) == 960
    assert stretch.position == 12_000 + 10 * 960
    stretch.speed = 1
    assert len(stretch.read()) == 960
    assert abs(stretch.position - (12_000 + 10 * 960 + 480)) <= 960
    for beyond, end in ((10**9, 24_000), (-5, 0)):
        stretch.seek(beyond)
        assert stretch.position == end


def test_nothing_to_play_ends_at_once() -> None:
    for sound in (b"", b"\0"):
        stretch = Stretch(sound)
        stretch.speed = 2
        assert stretch.read() == b""
