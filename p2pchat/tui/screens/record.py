"""Recording a voice note: it is heard again before it is sent, and nothing of it is written anywhere before that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from p2pchat.errors import P2PChatError
from p2pchat.tui import file_words
from p2pchat.tui.screens.panel import Panel, said
from p2pchat.tui.themes import MUTED
from p2pchat.tui.widgets.file_rows import wave

if TYPE_CHECKING:
    from p2pchat.tui.sound import Plays, Sound

SHOWN_EVERY = 0.1
"""Seconds between two looks at the microphone."""

MAX_LEVELS = 6_000
"""Levels that are kept for the wave while one records: ten minutes of them."""

_WAVE = 54
_PAUSED = "paused"


class RecordScreen(Panel[Any]):
    """Dismisses with the note that is to be sent, or None: it was thrown away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "stop"),
        Binding("space", "pause", "pause"),
        Binding("r", "again", "record anew"),
    ]
    AUTO_FOCUS = ""

    def __init__(self, sound: Sound, to: str, note: Any = None, problem: str = "") -> None:
        """sound: makes the recording and the player. to: the label of the chat. note: one that could not be sent yet,
        and why.
        """
        super().__init__()
        self._problem = problem
        self._sound = sound
        self._to = to
        self._recorder: Any = None
        self._note: Any = note
        self._player: Plays | None = None
        self._levels: list[int] = []
        self._opening = False
        self._turn = asyncio.Lock()
        """Held by what opens or closes a device, so that keys which are pressed meanwhile follow in order."""

    def body(self) -> ComposeResult:
        yield Static("", id="wave", classes="para", markup=False)
        yield Static("", id="how", classes="note last", markup=False)

    def on_mount(self) -> None:
        """Begin to record."""
        self.set_heading(f"Voice note for {self.drawn(self._to)}")
        self.set_interval(SHOWN_EVERY, self._look)
        if self._note is None:
            self.action_again()
        else:
            self.say(self._problem, "problem")
            self._show()
            self.show_keys()

    def on_unmount(self) -> None:
        """Leave the microphone and the loudspeaker alone."""
        self._silence()

    def _silence(self) -> None:
        if self._player is not None:
            self._sound.devices.leave(self._player.pause)
        if self._recorder is not None:
            self._sound.devices.leave(self._recorder.discard)

    # --- what is shown

    def _look(self) -> None:
        recorder = self._recorder
        if recorder is not None and recorder.running:
            self._levels = [*self._levels[-MAX_LEVELS:], recorder.level]
            if recorder.full and not self._turn.locked():
                self.run_worker(self._in_turn(self._stop))
        self._show()

    def _show(self) -> None:
        self.query_one("#wave", Static).update(self._drawn())
        self.query_one("#how", Static).update(Content(self._how()))

    def _drawn(self) -> Content:
        plain = not getattr(self.app, "draws_unicode", True)
        if self._note is not None:
            player, length = self._player, self._note.duration
            shown = wave(self._note.peaks, _WAVE, plain=plain)
            at = 0 if player is None else min(len(shown), len(shown) * player.position // max(1, length))
            time = file_words.length(length)
            if player is not None:
                time = f"{file_words.length(player.position)} / {time}"
            return Content.assemble((f"{time}  ", "bold"), (shown[:at], "bold $text-accent"), (shown[at:], MUTED))
        recorder = self._recorder
        if recorder is None:
            return Content("")
        if self._opening:
            return Content("")
        sign = "●" if recorder.running else "‖"
        shown = wave(self._levels[-_WAVE:], _WAVE, plain=plain, highest=255)
        style = "bold $text-error" if recorder.running else "bold"
        return Content.assemble((f"{sign} {file_words.length(recorder.milliseconds)}  ", style), shown)

    def _how(self) -> str:
        if self._note is not None:
            return "Not sent yet: listen to it, send it, or leave with Esc, which throws it away."
        if self._recorder is None:
            return ""
        if self._opening:
            return "The microphone is being opened."
        return "Recording. Esc throws it away." if self._recorder.running else "Paused. Esc throws it away."

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "again":
            return self._note is not None or self._recorder is None
        if action in ("go", "pause"):
            return self._note is not None or self._recorder is not None
        return True

    def worded(self, binding: Binding) -> str:
        if binding.action == "go":
            return "stop" if self._note is None else "send"
        if binding.action == "pause":
            if self._note is not None:
                return "pause" if self._player is not None and self._player.playing else "listen"
            return "pause" if self._recorder is not None and self._recorder.running else "go on"
        return "throw it away" if binding.action == "back" else binding.description

    # --- what is done

    def action_again(self) -> None:
        """Record from the beginning."""
        self.run_worker(self._in_turn(self._again))

    def action_pause(self) -> None:
        """Pause recording, or go on; once it is over, listen to it."""
        self.run_worker(self._in_turn(self._pause))

    def action_go(self) -> None:
        """Stop recording; then send it."""
        self.run_worker(self._in_turn(self._go))

    async def _in_turn(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do one of the following, after those that were begun before; say what goes wrong."""
        async with self._turn:
            try:
                await step()
            except P2PChatError as exc:
                self.say(said(exc), "problem")
            self._show()
            self.show_keys()

    async def _again(self) -> None:
        self._silence()
        self._note = self._player = self._recorder = None
        self._levels.clear()
        self._recorder = recorder = self._sound.recorder()
        self._opening = True
        self._show()
        try:
            await self._sound.devices.use(recorder.start)
        except P2PChatError:
            self._recorder = None
            raise
        finally:
            self._opening = False
        self.say("")

    async def _pause(self) -> None:
        recorder = self._recorder
        if self._note is not None:
            await self._listen()
        elif recorder is not None:
            await self._sound.devices.use(recorder.pause if recorder.running else recorder.start)

    async def _go(self) -> None:
        if self._note is not None:
            self.dismiss(self._note)
        else:
            await self._stop()

    async def _stop(self) -> None:
        recorder = self._recorder
        if recorder is not None:
            try:
                self._note = await self._sound.devices.use(recorder.stop)
            finally:
                self._recorder = None
            self.say("")

    async def _listen(self) -> None:
        if self._player is None:
            self._player = await asyncio.to_thread(self._sound.player, self._note.data)
        player = self._player
        await self._sound.devices.use(player.pause if player.playing else player.play)
