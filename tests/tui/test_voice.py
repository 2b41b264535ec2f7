"""Voice notes on the screen: played, paused, played faster; recorded, heard again, sent or thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from p2pchat import errors
from p2pchat.tui.app import ChatApp
from p2pchat.tui.screens.record import RecordScreen
from tests.tui.app_helpers import notices
from tests.tui.conftest import until
from tests.tui.fake_files import voice
from tests.tui.fake_sound import FakeSound
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take
from tests.tui.test_files import asks, with_bob


def faked(app: ChatApp) -> FakeSound:
    """The app with no devices."""
    sound = FakeSound()
    app._actions.voice.sound = sound
    return sound


def test_one_note_plays_at_a_time_and_shows_where_it_is(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        await pilot.press("ctrl+up", "space")
        await until(pilot, lambda: "‖ 0:00 / 0:12" in take(app).shown)
        assert len(sound.players[0].data) == 36_000
        sound.players[0].position = 6_000
        app._actions.voice._show()
        await until(pilot, lambda: "‖ 0:06 / 0:12" in take(app).shown)
        await pilot.press("t")
        await until(pilot, lambda: "1.5x" in take(app).shown)
        assert sound.players[0].speed == 1.5
        await pilot.press("space")
        await until(pilot, lambda: "► 0:06 / 0:12" in take(app).shown)
        await pilot.press("up", "space")
        await until(pilot, lambda: len(sound.players) == 2 and sound.players[1].playing)
        assert not sound.players[0].playing
        assert sound.players[1].speed == 1.5, "the speed stays"
        await until(pilot, lambda: take(app).shown.count("/ 0:12") == 1)
        node._do_delete(node.history[bob][1]["id"])
        await until(pilot, lambda: not sound.players[1].playing)

    with_bob(tmp_path, steps, voice("one.ogg"), voice("two.ogg"))


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        sound.problem = errors.VoiceMissing()
        await pilot.press("ctrl+up", "space")
        await until(pilot, lambda: "Voice notes need packages" in notices(app))
        sound.problem = None
        vars(node)["_do_read_file"] = lambda **_: {"data": "%", "size": 36_000}
        await pilot.press("space")
        await until(pilot, lambda: "That is not a sound" in notices(app))
        sound.max_bytes = 10
        await pilot.press("space")
        await pilot.pause()
        assert not sound.players

    with_bob(tmp_path, steps, voice())


def test_a_note_is_recorded_heard_again_and_sent(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        vars(node)["_do_send_file"] = lambda **_: {"id": "0" * 32, "state": "saved"}
        await pilot.press(*"/voice", "enter")
        await asks(app, pilot, RecordScreen)
        await until(pilot, lambda: "● 0:03" in take(app).shown)
        await pilot.press("space")
        await until(pilot, lambda: "Paused" in take(app).shown)
        await pilot.press("space", "enter")
        await until(pilot, lambda: "Not sent yet" in take(app).shown)
        await pilot.press("space")
        await until(pilot, lambda: sound.players and sound.players[0].playing)
        await pilot.press("enter")
        await until(pilot, lambda: node.named("send_file"))
        assert node.named("send_file") == [{"chat": bob, "path": "/tmp/voice.ogg", "form": "voice"}]
        assert not sound.players[0].playing

    with_bob(tmp_path, steps)


def test_a_note_that_cannot_be_sent_is_not_lost(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        vars(node)["_do_send_file"] = lambda **_: {"id": "0" * 32, "state": "saved"}
        node.fail["send_file"] = errors.NotNow("The disk is full")
        await pilot.press(*"/voice", "enter")
        await asks(app, pilot, RecordScreen)
        await pilot.press("enter")
        await until(pilot, lambda: "Not sent yet" in take(app).shown)
        await pilot.press("enter")
        await until(pilot, lambda: "The disk is full" in take(app).shown)
        await pilot.press("enter")
        await until(pilot, lambda: len(node.named("send_file")) == 2 and app.screen is app.main)
        assert len(sound.recorders) == 1

    with_bob(tmp_path, steps)


def test_a_note_that_is_thrown_away_is_never_sent(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        await pilot.press(*"/voice", "enter")
        await asks(app, pilot, RecordScreen)
        await pilot.press("escape")
        await until(pilot, lambda: sound.recorders[0].discarded)
        assert not node.named("send_file")
        sound.problem = errors.NoSound()
        await pilot.press(*"/voice", "enter")
        await asks(app, pilot, RecordScreen)
        await until(pilot, lambda: "There is no microphone" in take(app).shown)
        await pilot.press("escape")

    with_bob(tmp_path, steps)


def test_the_screen_goes_on_while_a_device_is_opened(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        sound = faked(app)
        sound.ready.clear()
        await pilot.press(*"/voice", "enter")
        await asks(app, pilot, RecordScreen)
        await until(pilot, lambda: "The microphone is being opened" in take(app).shown)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert not sound.recorders[0].discarded, "it is closed after it was opened"
        sound.ready.set()
        await until(pilot, lambda: sound.recorders[0].discarded)

        sound.ready.clear()
        await pilot.press("ctrl+up", "space")
        await until(pilot, lambda: sound.players)
        app._actions.voice.stop()
        sound.ready.set()
        await app._actions.voice.sound.devices.use(lambda: None)
        await until(pilot, lambda: not app._actions.voice._opening and not sound.players[0].playing)
        assert "0:00 / 0:12" not in take(app).shown

    with_bob(tmp_path, steps, voice())
