"""What is said to the terminal beside the screen."""

from __future__ import annotations

import asyncio
import base64
import os
import pty
import signal
from pathlib import Path

import pytest
from rich.segment import Segment
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.color import Color

from p2pchat.tui import terminal

SNAPSHOTS = Path(__file__).parent / "snapshots"


def test_every_sign_that_is_drawn_has_one_in_ascii() -> None:
    shown = "".join(path.read_text(encoding="utf-8") for path in SNAPSHOTS.glob("[!q]*.txt"))  # a code has its own
    signs = "".join(sorted({sign for sign in shown if "\u2000" <= sign < "\u2600"}))
    assert len(signs) > 20
    [plain] = terminal.AsciiSigns().apply([Segment(signs)], Color(0, 0, 0))
    assert plain.text.isascii()
    assert len(plain.text) == len(signs)


def test_what_is_copied_can_do_nothing_but_be_copied() -> None:
    sequence = terminal.copy("a\x07\x1b]0;evil\x07\nسلام")
    assert sequence.startswith("\x1b]52;c;")
    assert sequence.endswith("\a")
    encoded = sequence.removeprefix("\x1b]52;c;").removesuffix("\a")
    assert base64.b64decode(encoded, validate=True).decode() == "a\x07\x1b]0;evil\x07\nسلام"


def test_the_title_is_a_number_and_our_name() -> None:
    assert terminal.title(0) == "\x1b]2;p2pchat\x1b\\"
    assert terminal.title(12) == "\x1b]2;(12) p2pchat\x1b\\"


def test_a_notification_says_nothing_of_anybody() -> None:
    assert terminal.NOTIFY == "\x1b]9;p2pchat: a new message\x1b\\"


def test_the_outlet_writes_all_and_survives_the_end_of_its_terminal() -> None:
    ours, theirs = pty.openpty()
    outlet = terminal.TerminalOutput(theirs)
    assert outlet.write("hello") == 5
    assert os.read(ours, 100) == b"hello"
    assert not terminal.vanished(theirs)
    os.close(ours)
    assert terminal.vanished(theirs)
    assert outlet.write("nobody reads this") == 17
    os.close(theirs)
    assert outlet.write("nor this") == 8
    outlet.flush()


def test_half_a_character_does_not_stop_the_screen() -> None:
    ours, theirs = os.pipe()
    terminal.TerminalOutput(theirs).write("a\ud800b")
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        assert file.read() == b"a?b"


def test_alt_and_a_letter_or_digit_is_a_key_at_once() -> None:
    terminal.know_alt()
    parser = XTermParser()
    typed = [event for char in "19any" for event in parser.feed(f"\x1b{char}")]
    assert [(event.key, event.character) for event in typed if isinstance(event, events.Key)] == [
        ("alt+1", None),
        ("alt+9", None),
        ("alt+a", None),
        ("alt+n", None),
        ("alt+y", None),
    ]


PASTED = "\x1b[200~see\x1b[31mred\x1bO\rmore\x1b\x1b[201~"
SIFTED = "\x1b[200~see[31mredO\rmore\x1b[201~"


@pytest.mark.parametrize("size", range(1, len(PASTED) + 1))
def test_what_is_pasted_presses_no_keys(size: int) -> None:
    typed = f"\x1b[Aab{PASTED}\x1b[B{PASTED}\x1b"
    pastes = terminal.Pastes()
    sifted = "".join(pastes.filter_input(typed[at : at + size]) for at in range(0, len(typed), size))
    assert sifted == f"\x1b[Aab{SIFTED}\x1b[B{SIFTED}\x1b"


def test_a_paste_is_one_event() -> None:
    seen = list(XTermParser().feed(terminal.Pastes().filter_input(f"{PASTED}x")))
    assert [type(event) for event in seen] == [events.Paste, events.Key]
    assert getattr(seen[0], "text", "") == "see[31mredO\rmore"


def test_a_click_whose_press_the_terminal_kept_is_whole() -> None:
    presses, parser = terminal.Presses(), XTermParser()

    def told(typed: str) -> list[tuple[str, int, tuple[float, float]]]:
        """What the program hears of it: kind, button and place."""
        heard = [each for event in parser.feed(typed) for each in presses.whole(event)]
        mouse = [event for event in heard if isinstance(event, events.MouseEvent)]
        return [(type(event).__name__, event.button, event.screen_offset) for event in mouse]

    down, up, here = "\x1b[<0;6;3M", "\x1b[<0;6;3m", (5, 2)
    click = [("MouseDown", 1, here), ("MouseUp", 1, here)]
    assert told(down + up) == click
    assert told(up) == click
    assert told("\x1b[<2;6;3m") == [("MouseDown", 3, here), ("MouseUp", 3, here)]
    assert [name for name, _, _ in told(f"\x1b[<32;5;3M{up}")] == ["MouseMove", "MouseUp"]  # begun in another pane
    assert [name for name, _, _ in told(f"\x1b[<35;5;3M{up}")] == ["MouseMove", "MouseDown", "MouseUp"]


def test_the_mouse_can_be_left_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = terminal.Terminal.__new__(terminal.Terminal)
    written: list[str] = []
    for name, value in (("_mouse", True), ("write", written.append), ("flush", lambda: None)):
        monkeypatch.setattr(driver, name, value, raising=False)
    for on, told in ((True, ""), (False, "\x1b[?1000l"), (False, ""), (True, "\x1b[?1000h")):
        written.clear()
        driver.use_mouse(on)
        assert (told in written) if told else written == []


def test_a_signal_to_stop_takes_no_lock_that_the_main_thread_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes as a frame is put into the queue of writes. Where somebody else has the terminal, it stops at once."""
    told: list[str] = []

    async def main() -> None:
        app = App[None]()
        driver = terminal.Terminal(app)
        monkeypatch.setattr(driver, "suspend_application_mode", lambda: told.append("given back"))
        monkeypatch.setattr(os, "kill", lambda pid, number: told.append(signal.Signals(number).name))
        signal.raise_signal(signal.SIGTSTP)
        assert not told
        await asyncio.sleep(0)
        assert told == ["given back", "SIGSTOP"]
        with driver.no_automatic_restart():
            signal.raise_signal(signal.SIGTSTP)
        assert told[2:] == ["SIGSTOP"]
        driver.close()  # the loop of the handler ends, and the process has a while to live
        assert [signal.getsignal(number) for number in numbers[:2]] == [signal.SIG_DFL] * 2

    numbers = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        asyncio.run(main())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
