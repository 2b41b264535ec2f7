"""Attacks 29 to 33: whatever others write, the terminal gets text to show and nothing to obey.

Each hostile text is in every field that others have a part in. The real program shows it, screen by screen, verb by
verb, in a terminal that refuses every sequence the program has no reason to send (`tests/support/emulator.py`).
"""

from __future__ import annotations

import json
import re
import sys

import pytest

from p2pchat.sanitize import clean
from tests.support.emulator import AT_FIRST, Emulator
from tests.support.processes import place
from tests.support.sampling import sampled
from tests.support.terminal import Terminal, terminal
from tests.tui.fakes import INVITE
from tests.tui.hostile import COMMANDS, HALF, SEEN, TEXTS, HostileNode, kinds, noting, together
from tests.tui.served import served
from tests.tui.walk import everywhere, first_run

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
    ["log", "{bob}", "--search", SEEN],
    ["verify", "{bob}"],
    ["invite", "--qr"],
    ["why", "{message}"],
    ["doctor"],
    ["tail", "--since", "{first}", "--count", "1"],
    ["tail", "--events", "--count", "1"],
    ["add", INVITE],
    ["rename", "{bob}", "robert"],
    ["accept", "{mallory}"],
    ["decline", "{trudy}"],
    ["block", "{eve}"],
    ["history", "{message}"],
    ["pinned", "{bob}"],
    ["timer", "{bob}"],
    ["send", "{bob}", "hi"],
    ["files", "{bob}"],
    ["files", "fetch", "{message}"],
    ["save", "{message}"],
    ["node", "status"],
)
WALKS = 1
PARTS = list(together().values())
"""The hostile texts, some of them together in each part."""
MUTE = {"node", "accept", "decline", "block"}
"""For a person these say the name that was given on the command line, or none."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_terminal_of_these_tests_would_notice(name: str) -> None:
    screen = Emulator(80, 24)
    screen.feed(TEXTS[name].encode())
    noticed = bool(screen.forbidden or screen.bells or screen.titles or screen.notices or screen.clipboard)
    assert noticed or screen.cells()[0][0].style


def run_verbs(hostile: str, *options: str) -> tuple[list[str], set[str]]:
    """What each verb printed about a node full of `hostile`, and which verbs failed."""
    node = HostileNode(hostile)
    node.refusing, node.stirring = {"send"}, True
    bob = node.friend("bob")
    first = node.says(bob, "hello")["id"]
    message = node.says(bob, node.hostile)["id"]
    ids = {"bob": bob, "first": first, "message": message, "eve": node.friend("eve")}
    ids |= {name: node.knocks(name) for name in ("mallory", "trudy")}
    with place() as here, served(here.folder / "me", here.environment(), node):
        more = ["--profile", str(here.folder / "me"), *options]
        lines = [[word.format(**ids) for word in verb] + more for verb in VERBS]
        with terminal(here, [sys.executable, "-c", RUN, json.dumps(lines)], columns=1_000, rows=1_000) as shown:
            assert shown.ended() == 0, shown.picture()
    screen = shown.screen
    assert not screen.forbidden
    assert (screen.bells, screen.titles, screen.notices, screen.clipboard) == (0, [], [], "")
    parts = re.split("== ([a-z]+) ([0-9]+) ==", shown.text())
    assert parts[1::3] == [verb[0] for verb in VERBS]
    failed = {verb for verb, code in zip(parts[1::3], parts[2::3], strict=True) if code != "0"}
    return parts[:-1:3], failed


def silent(said: list[str]) -> set[str]:
    """The verbs that did not say the hostile text."""
    return {verb[0] for verb, text in zip(VERBS, said, strict=True) if SEEN not in text}


@pytest.mark.parametrize("part", sampled(range(len(PARTS)), 1, "verbs"))
def test_every_verb(part: int) -> None:
    said, failed = run_verbs(PARTS[part])
    assert failed == {"send"}
    assert silent(said) <= MUTE


@pytest.mark.parametrize("part", sampled(range(len(PARTS)), 1, "verbs for a machine"))
def test_every_verb_for_a_machine(part: int) -> None:
    said, failed = run_verbs(PARTS[part], "--json")
    assert failed == {"send"}
    assert silent(said) <= {"node", "decline"}


def test_every_verb_at_a_node_that_says_half_a_character() -> None:
    said, _ = run_verbs(HALF)
    for text in said:
        assert text.strip().startswith("p2pchat: ") or SEEN not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("part", sampled(range(len(PARTS)), WALKS, "screens"))
def test_every_screen(part: int) -> None:
    """A walk takes eight seconds, so that `make check` makes one of them, with other texts in each run."""
    node = HostileNode(PARTS[part], passphrase="right", keep_receiving=None)
    with place() as here:
        begun, whole = here.folder / "begun", here.folder / "whole"
        (here.folder / "file").touch()
        named = node.hostile.translate({0: " ", ord("/"): " "}).encode()[:200].decode(errors="ignore")
        unwritable, environment = here.folder / "file" / f"{named}{SEEN}", {"LOGNAME": named}
        shows = noting(begun, "--profile", str(unwritable))
        with terminal(here, shows, columns=110, rows=40, executed=True, **environment) as shown:
            first_run(shown, node.hostile)
            harmless(shown)
        profile = here.folder / "me"
        profile.mkdir(mode=0o700)
        (profile / "screen.toml").write_text('notification_content = "text"\n')
        with (
            served(profile, here.environment(), node) as service,
            terminal(here, noting(whole, "--profile", str(profile)), columns=110, rows=40) as shown,
        ):
            everywhere(shown, service, node)
            harmless(shown)
        screen = shown.screen
        assert all(re.fullmatch(r"(\([0-9]+\) )?p2pchat", title) for title in screen.titles)
        assert len(screen.notices) == screen.bells
        assert all(re.match(f"p2pchat: bob {SEEN}.*: you there", notice) for notice in screen.notices)
        assert screen.bells <= 2  # each chat and request once, and not by the text in it
        assert screen.clipboard == clean(node.hostile)
        missed = kinds() - {*begun.read_text().split(), *whole.read_text().split()}
        assert not missed


def harmless(shown: Terminal) -> None:
    """The program ends, having commanded nothing, and leaves the terminal as it was."""
    assert shown.ended() == 0, shown.picture()
    assert not shown.screen.forbidden
    assert not shown.screen.overrun
    assert shown.screen.modes == AT_FIRST
