"""The terminal of the tests: what it understands, and that it takes nothing else."""

from __future__ import annotations

import sys

import pytest

from tests.support.emulator import AT_FIRST, Emulator
from tests.support.processes import place
from tests.support.terminal import KINDS, terminal

HOSTILE = [
    b"\x1b[2;3r",  # a scrolling region
    b"\x1b[3A",
    b"\x1b[5n",
    b"\x1b[21t",  # tells the title
    b"\x1b[?1047h",
    b"\x1b]8;;file:///etc/passwd\x07",
    b"\x1b]50;?\x07",
    b"\x1b]52;p;?\x07",
    b"\x1b]0;a\xe2\x80\xaeb\x07",
    b"\x1bPq\x1b\\",
    b"\x1b_x\x1b\\",
    b"\x1bc",
    b"\x1b(0",
    b"\x08",
    b"\x0e",
    b"\x00",
    b"\x7f",
    b"\x9b2J",
    b"\xff",
    "\x9b2J".encode(),
    "\x90q".encode(),
    "\u202e".encode(),
    "\u2066".encode(),
    "\U000e0041".encode(),
    "\u2028".encode(),
]


@pytest.mark.parametrize("data", HOSTILE, ids=repr)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_what_no_program_of_ours_sends_is_noted(data: bytes, cut: bool) -> None:
    screen = Emulator(20, 3)
    for piece in [bytes([one]) for one in b"ab" + data + b"cd"] if cut else [b"ab" + data + b"cd"]:
        screen.feed(piece)
    assert screen.forbidden


def test_what_it_shows() -> None:
    screen = Emulator(10, 3)
    screen.feed("\x1b[?1049h\x1b[?25l\x1b[2;3H\x1b[1;31mпривет\x1b[0m!\x1b[1;1Hа\u0301 你好 x".encode())
    assert screen.text() == "а\u0301 你好 x\n  привет!\n"
    assert screen.cells()[1][2].style == "1;31"
    assert not screen.cells()[1][8].style
    assert screen.modes == AT_FIRST - {"cursor"} | {"alternate"}
    screen.feed(b"\x1b[?1049l\x1b[?25h\x1b]2;p2pchat\x07\x1b]52;c;aGk=\x07\x07")
    assert screen.text() == "\n\n"
    assert screen.modes == AT_FIRST
    assert (screen.titles, screen.clipboard, screen.bells, screen.forbidden) == (["p2pchat"], "hi", 1, [])


def test_a_line_that_is_too_long_wraps_and_scrolls() -> None:
    screen = Emulator(4, 2)
    screen.feed(b"abcdef\r\nxyz")
    assert screen.text() == "ef\nxyz"
    screen.feed(b"\x1b[?7l\x1b[1;1Habcdef")
    assert screen.text() == "abcd\nxyz"


def test_another_size_keeps_the_top_left() -> None:
    screen = Emulator(4, 2)
    screen.feed(b"abcd\r\nef")
    screen.resize(2, 3)
    assert screen.text() == "ab\nef\n"
    screen.resize(5, 1)
    assert screen.text() == "ab"


SCRIPT = """
import os, signal, sys, termios, tty
tty.setraw(0)
def say(text):
    os.write(1, f"{text}\\r\\n".encode())  # what a signal interrupts is no stream with a buffer
def size(*_):
    columns, rows = os.get_terminal_size()
    say(f"size {columns}x{rows}")
signal.signal(signal.SIGWINCH, size)
os.write(1, b"\\x1b[?2004h")
size()
while (got := os.read(0, 100)) != b"q":
    say(got)
sys.exit(7)
"""


@pytest.mark.parametrize("kind", ["pty", pytest.param("tmux", marks=pytest.mark.tmux)])
def test_a_program_in_a_terminal(kind: str) -> None:
    with place() as here, terminal(here, [sys.executable, "-c", SCRIPT], kind, 60, 10) as seen:
        assert isinstance(seen, KINDS[kind])
        seen.wait("size 60x10")
        seen.type("ab")
        seen.wait("b'ab'")
        seen.press("up")
        seen.wait("b'\\x1b[A'")
        seen.paste("one\ntwo")
        seen.wait("b'\\x1b[200~one\\rtwo\\x1b[201~'")
        seen.resize(70, 9)
        seen.wait("size 70x9")
        seen.type("q")
        assert seen.ended() == 7


def test_who_waits_in_vain_is_shown_the_picture() -> None:
    with (
        place() as here,
        terminal(here, [sys.executable, "-c", "print('here I am')"]) as seen,
        pytest.raises(AssertionError, match=r"(?s)the program ended, waiting for 'you'.*here I am"),
    ):
        seen.wait("you")
