"""What Textual leaves to us about the terminal: its end, the title, the bell, the mode for right-to-left text.

Nothing that anybody else wrote is ever put into a sequence here, except into OSC 52, and that is base64.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import os
import select
import signal
import string
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.segment import Segment
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import MouseDown, MouseMove, MouseUp
from textual.filter import LineFilter

if TYPE_CHECKING:
    from textual.app import App
    from textual.color import Color
    from textual.message import Message

BIDI_OURS = "\x1b[8l"
"""BDSM reset: show the cells as they come, we have turned right-to-left text already."""

BIDI_THEIRS = "\x1b[8h"

KEEP_TITLE = "\x1b[22;2t"
GIVE_TITLE_BACK = "\x1b[23;2t"

NOTIFY = "\x1b]9;p2pchat: a new message\x1b\\"
"""OSC 9. Nobody's name and nothing of the text: a notification is read by whoever stands behind."""

BELL = "\a"

CLEAR = "\x1b[2J"

MAX_COPIED = 100_000
"""Bytes; many terminals drop a longer OSC 52 without a word."""


def title(unread: int) -> str:
    """The sequence that sets the title of the window: a number, no name."""
    return f"\x1b]2;{f'({unread}) ' if unread else ''}p2pchat\x1b\\"


def copy(text: str) -> str:
    """The sequence that puts a text on the clipboard."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"


_LOOK_UP = 0.1
"""Seconds after which it is looked whether the screen ends, or a key was ESC alone."""


class TerminalOutput:
    """Where the screen is written to. A terminal that is gone takes nothing any more, and that must stop nothing:
    Textual's writing thread would die of it, and whoever waits for that thread would wait for ever.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gone = False

    def write(self, text: str) -> int:
        """Write all of it, at once; nothing is kept back that could fail later."""
        data = text.encode("utf-8", "replace")
        while data and not self._gone:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Nothing is left to flush."""

    def fileno(self) -> int:
        return self._descriptor


class Pastes:
    """Takes the escape character out of what is pasted. Textual looks for sequences there too, and what it does not
    know becomes keys: a text that hides an ESC before a return would send itself. Not every terminal sifts its
    clipboard.
    """

    BEGIN, END = "\x1b[200~", "\x1b[201~"

    def __init__(self) -> None:
        self._within = False
        self._before = ""
        """The last characters outside: a paste may begin in them."""
        self._held = ""
        """Of a paste, what may be the beginning of its end."""

    def filter_input(self, typed: str) -> str:
        """A piece of what the terminal sends."""
        left, sifted = self._held + typed, ""
        self._held = ""
        while left:
            piece, left = self._paste(left) if self._within else self._keys(left)
            sifted += piece
        return sifted

    def _keys(self, typed: str) -> tuple[str, str]:
        joined = self._before + typed
        at = joined.find(self.BEGIN)
        if at < 0:
            self._before = joined[1 - len(self.BEGIN) :]
            return typed, ""
        self._within, end = True, at + len(self.BEGIN) - len(self._before)
        self._before = ""
        return typed[:end], typed[end:]

    def _paste(self, typed: str) -> tuple[str, str]:
        text, end, rest = typed.partition(self.END)
        if end:
            self._within = False
        else:
            begun = next((size for size in range(len(self.END) - 1, 0, -1) if text.endswith(self.END[:size])), 0)
            text, self._held = text[: len(text) - begun], text[len(text) - begun :]
        return text.replace("\x1b", "") + end, rest


class Presses:
    """Gives back the press of a mouse button that the terminal kept to itself. tmux counts clicks for its own bindings:
    of one that follows another within 0.3 seconds, wherever it is, the program is told the release alone.
    """

    def __init__(self) -> None:
        self._held = False
        """A button is held down: it was pressed here, or elsewhere and moved here, and then its release is no click."""

    def whole(self, message: Message) -> tuple[Message, ...]:
        """What the program is to be told when this comes."""
        if isinstance(message, MouseDown):
            self._held = True
        elif isinstance(message, MouseMove):
            self._held = message.button != 0
        elif isinstance(message, MouseUp):
            held, self._held = self._held, False
            if not held:
                return _press(message), message
        return (message,)


def _press(release: MouseUp) -> MouseDown:
    x, y = release.screen_x, release.screen_y
    held = release.button, release.shift, release.meta, release.ctrl
    return MouseDown(None, x, y, 0, 0, *held, screen_x=x, screen_y=y)


_ASCII = str.maketrans(
    "─━▁▔–—│┃▏▎▌▐┌┐└┘├┤┬┴┼╭╮╰╯█●◐○◷✓✗…›↑↓←→·•«»“”‘’♥▸▾▂▃▄▅▆▇▀▤▣♪►‖",  # noqa: RUF001 - what is drawn with, sign by sign
    '------||||||+++++++++++++#*@o.+x.>^v<>..<>""\'\'*+-       =@%>"',
)


class AsciiSigns(LineFilter):
    """Draws lines and marks in ASCII, for a locale without Unicode. Every sign is one cell before and after."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Replace the signs in a line."""
        return [Segment(text.translate(_ASCII), style, control) for text, style, control in segments]


class _Key(NamedTuple):
    value: str


def know_alt() -> None:
    """Alt with a letter or a digit is a key, and a whole one. Textual takes the digits for what one terminal's Option
    key means (Alt+1 would write "¡"), and after a letter waits a tenth of a second whether more comes.
    """
    assert isinstance(ANSI_SEQUENCES_KEYS, dict)
    for char in f"{string.ascii_lowercase}{string.digits}":
        if char not in "bf":  # it knows those two: a word on, a word back
            ANSI_SEQUENCES_KEYS[f"\x1b{char}"] = (_Key(f"alt+{char}"),)
    # Without the kitty protocol Enter with Alt is ESC CR, which Textual takes for Escape and Enter: the text was sent.
    ANSI_SEQUENCES_KEYS["\x1b\r"] = (_Key("alt+enter"),)


class Terminal(LinuxDriver):
    """Textual's driver, writing to stdout (so that stderr can go to a file), at ease with a terminal that vanishes."""

    def __init__(self, app: App[Any], **settings: Any) -> None:
        know_alt()
        super().__init__(app, **settings)
        self._presses = Presses()
        self.sift: Callable[[str], str] = lambda typed: typed
        """Takes out of what comes what nobody typed: an answer of the terminal."""
        assert sys.__stdout__ is not None
        self._file: Any = TerminalOutput(sys.__stdout__.fileno())

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]  # it has no types
        if self._writer_thread is not None:
            self.write(KEEP_TITLE + title(0))
            if getattr(self._app, "turns_text", False):
                self.write(BIDI_OURS)

    def stop_application_mode(self) -> None:
        if self._writer_thread is not None:
            self.write(BIDI_THEIRS + GIVE_TITLE_BACK)
        super().stop_application_mode()

    def use_mouse(self, on: bool) -> None:
        """Ask the terminal to report the mouse, or no longer; a suspended screen keeps to that as well."""
        if on != self._mouse:
            self._mouse = True  # Textual writes nothing without it
            change: Any = self._enable_mouse_support if on else self._disable_mouse_support
            change()
            self._mouse = on

    def _sigtstp_application(self, *of: object) -> None:
        """Give the terminal back and stop, in a turn of the loop of its own.

        A signal handler runs in the middle of whatever the main thread does. Inside a write, that holds the lock of
        the queue of writes, which giving the terminal back needs as well: the program hung, and nothing stopped it.
        Where something else has the terminal, there is nothing to give back, and the loop may not run.
        """
        if self._auto_restart:
            self._loop.call_soon_threadsafe(super()._sigtstp_application)
        else:
            super()._sigtstp_application(*of)

    def suspend_application_mode(self) -> None:
        """Give the terminal back for a while. Textual calls `close` here too, which is for good."""
        self.stop_application_mode()
        super().close()

    def close(self) -> None:
        """End for good: from here on a stop is an ordinary one, and going on afterwards takes no terminal."""
        for number in (signal.SIGTSTP, signal.SIGCONT):
            signal.signal(number, signal.SIG_DFL)
        super().close()

    def process_message(self, message: Message) -> None:
        """Hand on what the terminal said, and what it kept to itself."""
        for each in self._presses.whole(message):
            super().process_message(each)

    def run_input_thread(self) -> None:
        """Textual's own, except that pastes are sifted and that no byte can end it."""
        parser, pastes = XTermParser(self._debug), Pastes()
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode

        def read() -> bool:
            data = b"-"
            if select.select([self.fileno], [], [], _LOOK_UP)[0]:
                data = os.read(self.fileno, 4096)
                if typed := pastes.filter_input(self.sift(decode(data))):
                    for event in parser.feed(typed):
                        self.process_message(event)
            for event in parser.tick():
                self.process_message(event)
            return bool(data)

        while not self.exit_event.is_set() and read():
            pass
        read()  # what was typed at the end is not for the shell

    def _run_input_thread(self) -> None:
        # Without a terminal there is nothing more to read; what Textual shows then is a traceback.
        with contextlib.suppress(OSError):
            self.run_input_thread()


def driver_of(app: App[Any]) -> Terminal | None:
    """Return the terminal of an app; None in a test without one."""
    driver = app._driver
    return driver if isinstance(driver, Terminal) and not app.is_headless else None


def vanished(descriptor: int) -> bool:
    """Whether the terminal behind a descriptor is gone. SIGHUP says so, but not to everybody (nohup)."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups and errors are told unasked
    return bool(poll.poll(0))


def on_signals(numbers: tuple[int, ...], end: Callable[[], object]) -> None:
    """Let `end` run in the loop when one of these signals comes, instead of dying with the terminal as it is."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, end)
