"""Attacks 29 to 33: whatever others write, the terminal gets text to show and nothing to obey.

Each hostile text is in every field that others have a part in. The real program shows it, screen by screen, verb by
verb, in a terminal that refuses every sequence the program has no reason to send (`tests/emulator.py`).
"""

from __future__ import annotations

import json
import re
import sys

import pytest

from tests.emulator import AT_FIRST, Emulator
from tests.processes import place
from tests.terminal import Terminal, program, terminal
from tests.tui.hostile import COMMANDS, HALF, SEEN, TEXTS, HostileNode
from tests.tui.served import Service, served

# All in one process: the time goes into starting it.
RUN = """
import json, sys
from p2pchat.cli.main import main
for words in json.loads(sys.argv[1]):
    print("==", words[0], main(words), "==")
"""
VERBS = (
    ["contacts"],
    ["requests"],
    ["log", "{bob}"],
    ["log", "{bob}", "--json"],
    ["contacts", "--json"],
    ["verify", "{bob}"],
    ["invite"],
    ["why", "{message}"],
    ["rename", "{bob}", "robert"],
    ["accept", "{mallory}"],
    ["doctor"],
    ["node", "status"],
    ["send", "{bob}", "hi"],
    ["tail", "--since", "{first}", "--count", "1"],
)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_terminal_of_these_tests_would_notice(name: str) -> None:
    screen = Emulator(80, 24)
    screen.feed(TEXTS[name].encode())
    noticed = bool(screen.forbidden or screen.bells or screen.titles or screen.notices or screen.clipboard)
    assert noticed or screen.cells()[0][0].style


def run_verbs(hostile: str) -> tuple[list[str], set[str], Emulator]:
    """What each verb printed about a node full of `hostile`, which verbs failed, and the terminal afterwards."""
    node = HostileNode(hostile)
    bob = node.friend("bob")
    first = node.says(bob, "hello")["id"]
    message = node.says(bob, node.hostile)["id"]
    mallory = node.knocks("mallory")
    node.fail["send"] = node.warned
    ids = {"bob": bob, "first": first, "message": message, "mallory": mallory}
    with place() as here, served(here.folder / "me", here.environment(), node):
        profile = ["--profile", str(here.folder / "me")]
        lines = [[word.format(**ids) for word in verb] + profile for verb in VERBS]
        with terminal(here, [sys.executable, "-c", RUN, json.dumps(lines)], columns=1_000, rows=1_000) as shown:
            assert shown.ended() == 0, shown.picture()
    screen = shown.screen
    assert not screen.forbidden
    assert (screen.bells, screen.titles, screen.notices, screen.clipboard) == (0, [], [], "")
    parts = re.split("== ([a-z]+) ([0-9]+) ==", shown.text())
    assert parts[1::3] == [verb[0] for verb in VERBS]
    failed = {verb for verb, code in zip(parts[1::3], parts[2::3], strict=True) if code != "0"}
    return parts[:-1:3], failed, screen


@pytest.mark.parametrize("name", TEXTS)
def test_every_verb(name: str) -> None:
    said, failed, _ = run_verbs(TEXTS[name])
    assert failed == {"send"}
    assert {verb[0] for verb, text in zip(VERBS, said, strict=True) if SEEN not in text} <= {"node", "accept"}


def test_every_verb_at_a_node_that_says_half_a_character() -> None:
    said, _, _ = run_verbs(HALF)
    for text in said:
        assert text.strip().startswith("p2pchat: ") or SEEN not in text
        assert "Traceback" not in text


def everywhere(shown: Terminal, service: Service, node: HostileNode, bob: str) -> None:
    """Through every screen, with the hostile text on each."""
    shown.wait("bob", SEEN)
    # --- what comes while one looks: a message, a warning, a request, all of them said in a corner too
    service.do(lambda: node.says(bob, node.hostile))
    service.do(lambda: node.warns("careful"))
    shown.wait("careful")
    service.do(lambda: node.knocks("mallory"))
    shown.wait("mallory")
    # --- while nobody looks
    shown.focus(False)
    service.do(lambda: node.says(bob, "you there?"))
    shown.press("ctrl+end")
    shown.wait("you there?")
    shown.focus(True)
    # --- what is refused comes back with a reason
    node.fail["send"] = node.warned
    shown.press("ctrl+c")  # the draft, which is hostile too
    shown.wait("write a message")
    shown.type("refuse this")
    shown.press("enter")
    shown.wait("Refused:")
    shown.press("ctrl+c")
    shown.gone("refuse this")
    for key, text in (
        ("ctrl+r", "Who asks"),
        ("ctrl+y", "anchor"),
        ("ctrl+n", "P2PCHAT:"),
        ("ctrl+p", "go to this chat"),
    ):
        shown.press(key)
        shown.wait(text)
        shown.press("esc")
        shown.gone("╭─", "go to this chat")
    # --- what is found, where a message is, what is asked before it is deleted
    shown.press("ctrl+f")
    shown.wait("Esc back")
    shown.type(SEEN)
    shown.wait("found")
    shown.press("esc")
    shown.gone("╭─")
    shown.press("up", "up")
    shown.wait("esc back")
    shown.type("w")
    shown.wait("This message")
    shown.press("esc")
    shown.gone("╭─")
    shown.press("esc")
    shown.gone("esc back")
    shown.type("/why")
    shown.press("enter")
    shown.wait("is on its way", "Esc back")
    shown.press("esc")
    shown.gone("╭─")
    # --- names in the completion of a command, and in a text that says what is wrong
    shown.type("/chat ")
    shown.press("tab")
    shown.wait("› /chat b")
    shown.press("enter")
    shown.wait("That may be bob")


@pytest.mark.parametrize("name", TEXTS)
def test_every_screen(name: str) -> None:
    node = HostileNode(TEXTS[name])
    bob = node.friend("bob")
    node.friend("b\u043eb")
    node.says(bob, "hello")
    node.says(bob, node.hostile)
    node.said(bob, node.hostile, "saved")
    node.says(bob, "good night")
    with (
        place() as here,
        served(here.folder / "me", here.environment(), node) as service,
        terminal(here, program(here, "me"), columns=110, rows=40) as shown,
    ):
        everywhere(shown, service, node, bob)
        shown.press("ctrl+q")
        assert shown.ended() == 0
    screen = shown.screen
    assert not screen.forbidden
    assert screen.modes == AT_FIRST
    assert all(re.fullmatch(r"(\([0-9]+\) )?p2pchat", title) for title in screen.titles)
    assert screen.notices == ["p2pchat: a new message"] * screen.bells
    assert screen.bells <= 2  # each chat and request once, and not by the text in it
    assert not screen.clipboard
