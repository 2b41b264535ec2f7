"""Recorder and Player with a microphone and a loudspeaker that are the test, and with the null device of miniaudio."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from p2pchat.errors import NoSound, NoVoiceNote, VoiceMissing
from p2pchat.media import notes, sound
from p2pchat.media.sound import Player, Recorder
from tests.support.processes import PATIENCE
from tests.support.sounds import FakeDevice, FakeLoudspeaker, FakeMicrophone, hum, likeness, needs_voice


@needs_voice
def test_a_recording_with_a_pause_has_both_parts_and_no_more() -> None:
    microphone = FakeMicrophone()
    recorder = Recorder(microphone)
    assert not recorder.running
    recorder.start()
    recorder.start()
    microphone.hear(hum(0.5))
    assert recorder.running
    assert recorder.milliseconds == 500
    assert recorder.level > 20
    recorder.pause()
    assert not recorder.running
    assert recorder.level == 0
    recorder.start()
    microphone.hear(hum(1)[48_000:])
    note = recorder.stop()
    assert [device.closed for device in microphone.devices] == [True, True]
    assert note.duration == 1_000
    assert likeness(hum(1, 24_000), b"".join(notes.decode(note.data))) > 0.85
    microphone.hear(hum(0.1))  # a late thread of the device
    recorder.start()
    assert not recorder.running
    with pytest.raises(NoVoiceNote):
        recorder.stop()


@needs_voice
def test_what_is_thrown_away_is_gone() -> None:
    microphone = FakeMicrophone()
    recorder = Recorder(microphone)
    recorder.start()
    microphone.hear(hum(0.5))
    recorder.discard()
    assert microphone.devices[0].closed
    with pytest.raises(NoVoiceNote):
        recorder.stop()


@needs_voice
def test_a_recording_ends_by_itself_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_SAMPLES", 9_600)
    microphone = FakeMicrophone()
    recorder = Recorder(microphone)
    recorder.start()
    microphone.hear(hum(0.5))
    assert recorder.full
    assert recorder.stop().duration == 200


def test_a_player_pauses_seeks_and_ends() -> None:
    loudspeaker, over = FakeLoudspeaker(), threading.Event()
    spoken = hum(1, 24_000)
    player = Player(spoken, loudspeaker=loudspeaker, ended=over.set)
    assert player.duration == 1_000
    player.play()
    player.play()
    assert loudspeaker.play(6_000) == spoken[:12_000]
    assert 250 <= player.position <= 270
    player.pause()
    assert not player.playing
    player.play()
    assert loudspeaker.play(600) == spoken[12_000:13_200]
    player.seek(500)
    assert player.position == 500
    assert loudspeaker.play(12_000) == spoken[24_000:]
    assert player.playing
    assert loudspeaker.play(960) == bytes(1_920)
    assert over.wait(30)
    assert not player.playing
    assert [device.closed for device in loudspeaker.devices] == [True, True]
    player.play()
    assert loudspeaker.play(600) == spoken[:1_200]
    player.close()


def test_what_ends_while_the_loudspeaker_is_being_opened_leaves_it_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class AtOnce(threading.Thread):
        def start(self) -> None:
            self.run()

    class Hasty(FakeLoudspeaker):
        def __call__(self, give: Callable[[int], bytes]) -> FakeDevice:
            give(960)
            return super().__call__(give)

    monkeypatch.setattr(threading, "Thread", AtOnce)
    loudspeaker, ended = Hasty(), list[bool]()
    player = Player(b"", loudspeaker=loudspeaker, ended=lambda: ended.append(True))
    player.play()
    assert ended == [True]
    assert not player.playing
    assert loudspeaker.devices[0].closed


def test_a_player_plays_faster() -> None:
    loudspeaker = FakeLoudspeaker()
    player = Player(hum(1, 24_000), loudspeaker=loudspeaker)
    player.speed = 2
    player.play()
    loudspeaker.play(4_800)
    assert player.position == 400
    with pytest.raises(ValueError, match="no speed"):
        player.speed = 3
    player.close()


@needs_voice
def test_the_null_device_records_and_plays() -> None:
    """It takes the way through the library that a real one takes."""
    recorder = Recorder(partial(sound.microphone, backends=("NULL",)))
    recorder.start()
    assert recorder.heard.wait(30)
    assert recorder.stop().duration > 0
    over = threading.Event()
    player = Player(bytes(2_400), loudspeaker=partial(sound.loudspeaker, backends=("NULL",)), ended=over.set)
    player.play()
    assert over.wait(30)
    assert not player.playing


@needs_voice
@pytest.mark.parametrize("end", ["", "raise SystemExit(0)"])
def test_a_process_ends_while_it_records_and_plays(end: str) -> None:
    """The devices' threads call back into an interpreter that is going down."""
    script = f"""if True:
        from functools import partial
        from p2pchat.media import sound
        recorder = sound.Recorder(partial(sound.microphone, backends=("NULL",)))
        player = sound.Player(bytes(10**7), loudspeaker=partial(sound.loudspeaker, backends=("NULL",)))
        player.play()
        recorder.start()
        assert recorder.heard.wait(30)
        print("recording", flush=True)
        {end}
    """
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "recording\n", "")


@needs_voice
@pytest.mark.parametrize(
    ("opener", "said"),
    [(sound.microphone, "no microphone .* --from FILE"), (sound.loudspeaker, "no loudspeaker .* can be saved")],
)
def test_without_a_device_a_sentence_says_so_and_nothing_else_does(
    opener: Any, said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ALSA would write to standard error, which is the screen."""
    monkeypatch.setenv("ALSA_CONFIG_PATH", "/dev/null")  # where there are devices it finds none of them
    with pytest.raises(NoSound) as error:
        opener(lambda _: b"", backends=("ALSA",))
    assert re.search(said, error.value.line())
    assert capfd.readouterr() == ("", "")


def test_without_the_packages_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "miniaudio", None)
    with pytest.raises(VoiceMissing):
        sound.microphone(lambda _: None)
