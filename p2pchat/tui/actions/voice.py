"""What the app does about voice notes: play one at a time, and record one to send."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.tui.model import Message
from p2pchat.tui.sound import Plays, Sound
from p2pchat.tui.widgets.file_rows import Playing

if TYPE_CHECKING:
    from textual.timer import Timer

    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.base import BaseApp

SHOWN_EVERY = 0.25
"""Seconds between two positions that are shown."""

READ_BYTES = 262_144
"""Bytes that are read from the node at once."""


class VoiceActions:
    """The app's hands for voice notes."""

    def __init__(self, app: BaseApp, talk: ChatActions) -> None:
        self._app = app
        self._talk = talk
        self.sound = Sound()
        self._player: Plays | None = None
        self._message = ""
        """The id of the message that `_player` plays."""
        self._speed = 1.0
        self._timer: Timer | None = None
        self._opening = ""
        """The id of the message whose note is being read."""

    # --- playing

    async def play(self, message: Message) -> None:
        """Play the voice note of a message, pause it, or go on."""
        if self._player is not None and self._message == message.id:
            player = self._player
            await self.sound.devices.use(player.pause if player.playing else player.play)
            self._show()
            return
        if self._opening == message.id:
            return
        self.stop()
        self._opening = message.id
        try:
            data = await self._read(message)
            player = await asyncio.to_thread(self.sound.player, data)
            if self._opening != message.id:
                return  # another one is to be played by now
            player.speed = self._speed
            await self.sound.devices.use(player.play)
            if self._opening != message.id:
                self.sound.devices.leave(player.pause)
                return
        finally:
            if self._opening == message.id:
                self._opening = ""
        self._player, self._message = player, message.id
        if self._timer is None:
            self._timer = self._app.set_interval(SHOWN_EVERY, self._show)
        self._timer.resume()
        self._show()

    async def _read(self, message: Message) -> bytes:
        """Read the file of a note from the node. Raises P2PChatError."""
        assert message.file is not None
        if message.file.size > self.sound.max_bytes:
            raise errors.NoVoiceNote
        data = bytearray()
        while len(data) < message.file.size:
            answer = await self._app.node.call("read_file", id=message.id, offset=len(data), size=READ_BYTES)
            try:
                piece = base64.b64decode(answer["data"], validate=True)
            except (binascii.Error, ValueError):
                raise errors.NoVoiceNote from None
            if not piece or len(data) + len(piece) > message.file.size:
                raise errors.NoVoiceNote
            data += piece
        return bytes(data)

    def speed(self) -> None:
        """Play faster, or as it was spoken after the fastest."""
        speeds = self.sound.speeds
        self._speed = speeds[(speeds.index(self._speed) + 1) % len(speeds)]
        if self._player is not None:
            self._player.speed = self._speed
            self._show()
        else:
            self._app.say(f"Voice notes are played at {self._speed:g} times their speed.")

    def stop(self) -> None:
        """Stop what is playing, and show no position any more."""
        self._opening = ""
        player, self._player = self._player, None
        if player is None:
            return
        self.sound.devices.leave(player.pause)
        if self._timer is not None:
            self._timer.pause()
        self._app.main.conversation.files.show(self._message, None)

    def message_removed(self, message: str) -> None:
        """Stop playing a message that was deleted, or whose time is over."""
        if message in (self._message, self._opening):
            self.stop()

    def _show(self) -> None:
        """Show where the note is; one that has ended is forgotten."""
        player = self._player
        if player is None:
            return
        state = Playing(player.position, player.speed, paused=not player.playing)
        self._app.main.conversation.files.show(self._message, state)
        if self._timer is not None and not player.playing:
            self._timer.pause()
        elif self._timer is not None:
            self._timer.resume()

    # --- recording

    async def voice(self, _rest: str) -> None:
        """Run /voice: record a voice note, listen to it, and send it or throw it away."""
        from p2pchat.tui.screens.record import RecordScreen

        chat = self._app.state.shown
        if chat is None:
            return
        self.stop()
        note = await self._app.ask(RecordScreen(self.sound, chat.label))
        more = self._talk.take_answer(chat.id) if note is not None else {}
        while note is not None:
            try:
                with self.sound.kept(note) as path:
                    await self._app.node.call("send_file", chat=chat.id, path=str(path), form="voice", **more)
                break
            except errors.P2PChatError as exc:  # what was said is not lost by that
                note = await self._app.ask(RecordScreen(self.sound, chat.label, note, self._app.said(exc)))
        if note is not None and chat.id == self._app.state.current:
            self._app.main.conversation.to_end()
