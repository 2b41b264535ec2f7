"""The program as a person has it: in a terminal, with keys, from the first run on. What is asked for is on the screen.

A run tells the story in tmux, a terminal of others, or in ours, which sees each byte (`terminal`); everything else is
told in ours.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.emulator import AT_FIRST
from tests.support.processes import Place, place
from tests.support.steps import RISKY, befriended, make, new_invite, start, texts
from tests.support.terminal import Terminal, Tmux, program, terminal
from tests.tui.hostile import TEXTS

BOTH = ["pty", pytest.param("tmux", marks=pytest.mark.tmux)]
LOOPBACK = 'listen = ["/ip4/127.0.0.1/tcp/0"]\n'


def at_home(here: Place, *names: str) -> None:
    """Folders for profiles whose nodes stay on this machine."""
    for name in names:
        (here.folder / name).mkdir(mode=0o700, exist_ok=True)
        (here.folder / name / "config.toml").write_text(LOOPBACK)


@contextmanager
def friends(here: Place, *names: str, rows: int = 24, **more: Any) -> Iterator[list[Terminal]]:
    """Screens of people who are contacts of the first one already."""
    make(here, *names)
    at_home(here, *names)
    nodes = start(here, *names)
    for name in names[1:]:
        befriended(here, names[0], name)
    for node in nodes:
        assert node.end().code == 0
    with ExitStack() as stack:
        yield [stack.enter_context(terminal(here, program(here, name), rows=rows, **more)) for name in names]


def node_of(here: Place, name: str) -> int:
    """The process of somebody's node."""
    return int(here.run(name, "node", "status", "--json").object()["pid"])


def say(screen: Terminal, text: str) -> None:
    """Type a line and send it."""
    screen.type(text)
    screen.press("enter")


def message_with(screen: Terminal, text: str, *parts: str) -> None:
    """Wait for a message whose group, from its head down to the text, has all of these."""

    def found(shown: str) -> bool:
        lines = shown.split("\n")
        for number in (number for number, line in enumerate(lines) if text in line):
            head = number
            while head > 0 and "\N{LEFT ONE QUARTER BLOCK}" in lines[head - 1]:
                head -= 1
            if all(any(part in line for line in lines[head : number + 1]) for part in parts):
                return True
        return False

    screen.until(found, f"a message {text!r} with {parts}")


def restored(screen: Terminal) -> None:
    """The terminal is as it was before the program."""
    if isinstance(screen, Tmux):
        assert screen.ask("#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{wrap_flag}") == "0 1 0 1"
    else:
        screen.until(lambda _: screen.screen.modes == AT_FIRST, "the terminal as it was")
        assert not screen.screen.forbidden


@pytest.mark.parametrize("kind", BOTH)
def test_two_people_from_the_first_run_on(kind: str) -> None:
    with place() as here:
        at_home(here, "anna", "boris")
        with ExitStack() as stack:
            anna, boris = [
                stack.enter_context(terminal(here, program(here, name), kind, executed=True))
                for name in ("anna", "boris")
            ]
            # --- first run: a name, no passphrase
            for screen, name in ((anna, "Anna"), (boris, "Борис")):
                screen.wait("Welcome", "Your name")
                say(screen, name)
                screen.wait("Enter for none")
                screen.press("enter")
                screen.wait("Ready", "I have an invite")
            # --- an invite goes from one to the other
            anna.press("enter")
            anna.wait("P2PCHAT:", "copy")
            anna.type("c")
            anna.wait("Copied")
            anna.press("esc")
            anna.gone("P2PCHAT:")
            boris.press("down", "enter")
            boris.wait("The text your friend sent you")
            boris.paste(anna.clipboard())
            boris.wait("This looks like an invite")
            boris.press("enter")
            boris.wait("Enter ask them")
            boris.press("enter")
            boris.wait("Anna is your contact now")
            boris.press("enter")
            boris.gone("Anna is your contact now")
            # --- the first messages
            boris.wait("Anna", "write a message")
            say(boris, "привет, Anna")
            message_with(boris, "привет, Anna", "✓✓")
            message_with(anna, "привет, Anna", "Борис")
            say(anna, "hello Boris 🎉")
            message_with(anna, "hello Boris", "✓✓")
            message_with(boris, "hello Boris", "Anna")
            # --- a paste of several lines is one message
            anna.paste("one\ntwo\n\nthree")
            anna.wait("› one")
            anna.press("enter")
            boris.wait("one", "two", "three")
            assert texts(here, "boris", "Anna")[-1] == "one\ntwo\n\nthree"
            # --- every size, and back
            for columns, rows in ((120, 40), (80, 24), (40, 12), (20, 6), (80, 24)):
                anna.resize(columns, rows)
                anna.until(lambda shown: "›" in shown, f"the composer at {columns}x{rows}")
            message_with(anna, "hello Boris", "✓✓")
            # --- the node is killed, and what is written meanwhile gets there once
            os.kill(node_of(here, "anna"), signal.SIGKILL)
            anna.wait("restarting")
            anna.type("written while it was away")
            anna.wait("› written while it was away", "● 1 direct")
            anna.press("enter")
            message_with(boris, "written while it was away")
            message_with(anna, "written while it was away", "✓✓")
            # --- a signal ends it; the next time all is there, also what was not sent yet
            anna.type("not sent yet")
            anna.wait("› not sent yet")
            os.kill(anna.pid, signal.SIGTERM)
            assert anna.ended() == 0
            restored(anna)
        with terminal(here, program(here, "anna"), kind, executed=True) as anna:
            anna.wait("› not sent yet", "one", "hello Boris", "written while it was away")
            message_with(anna, "written while it was away", "✓✓")
        assert texts(here, "boris", "Anna").count("written while it was away") == 1


def test_whatever_ends_the_program_nothing_is_lost_and_the_terminal_is_as_it_was() -> None:
    """One end after the other, on one profile: each of them meets what was half written before the one before."""
    with place() as here, ExitStack() as stack:
        alice, bob = stack.enter_context(friends(here, "alice", "bob"))
        bob.wait("alice", "online")
        alice.wait("bob", "online")
        alice.type("half a sentence")
        for how in ("SIGTERM", "SIGHUP", "a closed window", "the last key"):
            alice.wait("› half a sentence")
            say(bob, f"before {how}")
            alice.wait(f"before {how}")
            if how == "the last key":
                alice.press("ctrl+q")
                alice.wait("Keep receiving messages")
                alice.press("down", "enter")
            elif how == "a closed window":
                alice.close()
            else:
                alice.signal(signal.Signals[how])
            assert alice.ended() == 0, alice.picture()
            if how != "a closed window":
                restored(alice)
                before, _, after = bytes(alice.raw).rpartition(b"\x1b[?1049l")
                assert b"\x1b[?2004l" in before[-200:]
                assert b"\x1b[?1003l" in before[-200:]
                assert b"\x1b[?25h" in after
            alice = stack.enter_context(terminal(here, program(here, "alice")))
        alice.wait("› half a sentence", "before the last key", "before a closed window")


def test_a_locked_profile_asks_for_its_passphrase() -> None:
    with place() as here:
        at_home(here, "anna")
        with terminal(here, program(here, "anna")) as anna:
            anna.wait("Your name")
            say(anna, "Anna")
            anna.wait("Enter for none")
            say(anna, "correct horse")
            anna.wait("Repeat it")
            say(anna, "correct hose")
            anna.wait("The two do not match")
            say(anna, "correct horse")
            anna.wait("Ready")
            anna.press("esc")
            anna.wait("You have no contacts yet")
            anna.press("ctrl+q")
            assert anna.ended() == 0
        assert here.run("anna", "node", "stop").code in (0, 1)
        with terminal(here, program(here, "anna")) as anna:
            anna.wait("Locked")
            say(anna, "wrong horse")
            anna.wait("does not open this profile")
            anna.press("ctrl+u")
            anna.gone("••")
            say(anna, "correct horse")
            anna.wait("You have no contacts yet")
            for seen in (anna.raw, anna.text().encode()):
                assert b"horse" not in seen


def test_it_stops_and_goes_on_as_any_program() -> None:
    with place() as here, terminal(here, ["/bin/sh", "-i"], executed=True, PS1="$ ") as shell:
        make(here, "anna")
        at_home(here, "anna")
        shell.type(shlex.join(program(here, "anna")))
        shell.press("enter")
        shell.wait("You have no contacts yet")
        for times, how in enumerate(("by the key", "by a signal"), 1):
            if how == "by the key":
                shell.press("ctrl+z")
            else:
                shell.signal_child(signal.SIGTSTP)
            shell.until(lambda _, times=times: shell.raw.count(b"Stopped") == times, "the shell's word")  # type: ignore[misc]
            restored(shell)
            shell.type(f"echo $((6 * 7)) {how}")
            shell.press("enter")
            shell.wait(f"42 {how}")
            shell.type("fg")
            shell.press("enter")
            shell.wait("You have no contacts yet")
            shell.press("f1")
            shell.wait("Keys everywhere")
            shell.press("esc")
            shell.gone("Keys everywhere")


def test_an_editor_that_cannot_be_started_leaves_screen_and_draft() -> None:
    with place() as here:
        make(here, "anna")
        at_home(here, "anna")
        assert here.run("anna", "send", "notes", "to myself").code == 0
        with terminal(here, program(here, "anna"), EDITOR="/nowhere/editor") as anna:
            anna.wait("to myself")
            anna.type("half a thought")
            anna.wait("half a thought")
            anna.press("alt+e")
            anna.wait("Your editor could not be started", "half a thought")
            anna.press("ctrl+u")
            anna.gone("half a thought")
            say(anna, "/settings")
            anna.wait("edit the file")
            anna.type("e")
            anna.wait("screen.toml could not be edited")
            anna.press("down", "esc")
            anna.wait("write a note to yourself")


def test_an_interrupt_ends_an_editor_that_hangs_and_not_the_screen() -> None:
    with place() as here:
        make(here, "anna")
        at_home(here, "anna")
        assert here.run("anna", "send", "notes", "to myself").code == 0
        editor = here.folder / "editor"
        editor.write_text(
            f"#!/bin/sh\necho >>{here.folder}/runs\necho hanging $(wc -l <{here.folder}/runs)\nexec sleep 600\n"
        )
        editor.chmod(0o700)
        with terminal(here, program(here, "anna"), EDITOR=str(editor)) as anna:
            anna.wait("to myself")
            for run, key in enumerate(("\x03", "\x1c"), 1):
                anna.press("alt+e")
                anna.wait(f"hanging {run}")
                anna.type(key)
                anna.wait("Your editor ended with an error", "to myself")
                anna.gone("hanging")


def test_without_colour() -> None:
    with place() as here, friends(here, "alice", "bob", NO_COLOR="1") as (alice, bob):
        alice.wait("bob", "online")
        say(alice, "in black and white")
        message_with(bob, "in black and white")
        colours = re.findall(rb"(?:38|48);2;([0-9]+);([0-9]+);([0-9]+)", bytes(alice.raw))
        assert all(red == green == blue for red, green, blue in colours)


def test_what_a_contact_really_sends_is_harmless() -> None:
    """From a changed name and every hostile text in a real node to the bytes of the screen, and the node's log."""
    name = "Mal\x1b]0;x\x07\u202elory\u2066\U000e0041[@click=app.quit]\x9b2J"
    hostile = [text for text in TEXTS.values() if len(text) < 1_000]
    with place() as here:
        for folder, called in (("alice", "alice"), ("mallory", name)):
            assert here.run(folder, "init", "--name", called, "--no-passphrase").code == 0
        at_home(here, "alice", "mallory")
        nodes = start(here, "alice", "mallory")
        assert here.run("mallory", "add", new_invite(here, "alice"), "--name", "alice", "--wait", "accepted").code == 0
        with terminal(here, program(here, "alice"), columns=100, rows=50) as alice:
            alice.wait("Mal", "lory", "[@click=app.quit]", "online")
            for number, text in enumerate(hostile):
                sent = here.run("mallory", "send", "alice", "--wait", "delivered", stdin=f"({number}) {text}\n")
                assert sent.code == 0, sent
                alice.wait(f"({number})")
            alice.press("ctrl+q")
            alice.wait("Keep receiving messages")
            alice.press("enter")
            assert alice.ended() == 0
            assert not alice.screen.forbidden
            assert (alice.screen.bells, alice.screen.notices, alice.screen.clipboard) == (0, [], "")
        said = "".join(node.end().err for node in nodes)
        logs = [path.read_text() for path in here.folder.glob("*/node.log")]
    assert not set(RISKY) & set("".join([said, *logs]).replace("\n", ""))
