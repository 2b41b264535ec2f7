"""What the screen takes: to the first picture, of memory, to open a long chat, to search it, to echo a key.

The real program in a pseudo-terminal, from the byte that a key is to the picture that answers it.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import floor
from benchmarks.figures import percentile, resident_mb
from benchmarks.people import Person, befriend, people
from p2pchat.core.delivery import DeliveryState, Route
from p2pchat.core.ids import MessageId, direct_chat
from p2pchat.store import contacts, keys, messages
from p2pchat.store.database import Database
from tests.support.terminal import Terminal

MANY = 100_000
KEYS = 300
PAINTS = 9
"""First pictures of each program: one takes half a second, and a third more or less is chance."""
RATE = 1_000
"""Messages a second while keys are pressed."""

# The least that can be shown: what a screen of ours cannot be quicker than.
_EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("bob")
Empty().run()
"""
_EMPTY_COMMAND = [sys.executable, "-c", _EMPTY]
_SEQUENCE = re.compile("\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b\\[[^@-~]*[@-~]")
_LETTERS = "ABCDEFGIJKLNOPQRSTUVWXYZ"
"""None of them is in what the flood says, or ends a sequence that moves the cursor."""

_WORDS = ("river", "morning", "letter", "garden", "window", "bread", "station", "winter", "paper", "music")


class Ear(Terminal):
    """A terminal that draws nothing: a picture made in Python would be a part of what is measured."""

    since = 0

    def forget(self) -> None:
        """Only what comes from now on counts."""
        self.since = len(self.raw)

    def text(self) -> str:
        return _SEQUENCE.sub("", self.raw[self.since :].decode("utf-8", "replace"))

    def _take(self, data: bytes) -> None:
        """It is in `raw` already."""


@dataclass(frozen=True)
class Screen:
    """Runs of each number, and those of its baseline where it has one."""

    first_paint_ms: list[float]
    empty_paint_ms: list[float]
    idle_mb: list[float]
    empty_mb: list[float]
    chat_open_ms: list[float]
    search_ms: list[float]
    key_echo_ms_p99: list[float]
    floor_ms: list[float]


def measure(runs: int) -> Screen:
    """All of them; each list has `runs` values."""
    with people("alice", "bob", "carol") as (alice, bob, carol):
        befriend(alice, bob)
        befriend(alice, carol)
        bob.stop()
        carol.stop()
        alice.stop()
        fill(alice)
        alice.start()
        with alice.client() as client:
            client.call("settings", keep_receiving=False, read_receipts=False)
            newest = client.call("log", chat="bob", limit=1)
            client.call("read", chat="bob", upto=newest[0]["id"])
            client.call("send", chat="carol", text="hello carol")
        for command in (None, _EMPTY_COMMAND):
            paint(alice, command)  # what is compiled and read from the disk once
        # By turns, so that a machine that is busy for a while is so for both.
        turns = [(paint(alice), paint(alice, _EMPTY_COMMAND)) for _ in range(max(runs, PAINTS))]
        painted, empty = [ours for ours, _ in turns], [other for _, other in turns]
        floors = [floor.measure().round_trip_ms]
        opened, found = zip(*[open_and_search(alice) for _ in range(runs)], strict=True)
        floors.append(floor.measure().round_trip_ms)
        echoes = [echo(alice) for _ in range(runs)]
        floors.append(floor.measure().round_trip_ms)
    return Screen(
        [one[0] for one in painted],
        [one[0] for one in empty],
        [one[1] for one in painted],
        [one[1] for one in empty],
        list(opened),
        list(found),
        echoes,
        floors,
    )


def fill(person: Person) -> None:
    """A long chat with bob, written into the store of a node that does not run."""
    chance = random.Random(1)
    db = Database.open(person.folder / "profile.db", keys.open_keys(person.folder, None))
    bob = next(contact for contact in contacts.all(db) if contact.name == "bob")
    at = int(time.time() * 1000) - MANY * 60_000
    with db.transaction():
        for number in range(1, MANY + 1):
            mine = number % 2 == 0
            words = " ".join(chance.choices(_WORDS, k=chance.randint(2, 14)))
            row = messages.MessageRow(
                id=MessageId(number.to_bytes(16, "big")),
                chat=direct_chat(bob.id),
                sender=messages.ME if mine else bob.id,
                kind=0,
                seq=number,
                text=f"no. {number}: {'platypus ' if number % 5_000 == 0 else ''}{words}",
                sent_at=at + number * 60_000,
                received_at=None if mine else at + number * 60_000,
                state=DeliveryState.DELIVERED if mine else DeliveryState.RECEIVED,
                route=Route.DIRECT,
                delivered_at=at + number * 60_000 if mine else None,
            )
            messages.insert(db, row)
    db.close()


@contextmanager
def window(person: Person, command: list[str] | None = None) -> Iterator[Ear]:
    """The program of a person in a terminal."""
    environment = {**person.environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    ours = [sys.executable, "-m", "p2pchat", "--profile", str(person.folder)]
    made = Ear(command or ours, environment, 100, 40, executed=True)  # a forked one has imported everything
    try:
        yield made
    finally:
        made.end()


def paint(person: Person, command: list[str] | None = None) -> tuple[float, float]:
    """(milliseconds from the command to the first words, MB a while later); the node runs already."""
    began = time.perf_counter()
    with window(person, command) as shown:
        shown.until(lambda text: bool(text.strip()), "the first words")
        took = (time.perf_counter() - began) * 1000
        shown.wait("bob")
        time.sleep(2)
        return took, resident_mb(shown.pid)


def open_and_search(person: Person) -> tuple[float, float]:
    """Milliseconds from the key that opens the long chat to its last message, from the last letter of a word that is
    searched for to what was found.
    """
    with window(person) as shown:
        shown.wait("bob", "carol")
        for key in ("alt+1", "alt+2", "alt+1"):
            time.sleep(1)
            shown.press(key)
        time.sleep(2)
        opened = timed(shown, lambda: shown.press("alt+2"), f"no. {MANY}:")
        time.sleep(1)
        shown.press("ctrl+f")
        time.sleep(1)
        shown.type("platypu")
        time.sleep(1)
        found = timed(shown, lambda: shown.type("s"), f"no. {MANY}:")
        return opened, found


def timed(shown: Ear, act: Callable[[], None], text: str) -> float:
    """Milliseconds from an act to a text on the screen."""
    shown.forget()
    began = time.perf_counter()
    act()
    shown.wait(text)
    return (time.perf_counter() - began) * 1000


def echo(person: Person) -> float:
    """The milliseconds from a key to its letter in the composer that 99 of 100 keys stay below, while a chat is
    flooded.
    """
    folder = person.folder.with_name("flooded")
    talker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.flood", str(folder), str(RATE)],
        env=person.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert talker.stdout is not None
        if talker.stdout.readline().strip() != "ready":
            raise RuntimeError("nobody talks")
        flooded = Person("flooded", folder, person.environment)
        with window(flooded) as shown:
            shown.wait("bob")
            shown.press("alt+1")
            time.sleep(3)
            talker.send_signal(signal.SIGUSR1)
            shown.wait("long flood")
            chance = random.Random(2)
            took = []
            for number in range(KEYS):
                letter = _LETTERS[number % len(_LETTERS)]
                if number % len(_LETTERS) == 0:
                    shown.press("ctrl+u")
                time.sleep(chance.uniform(0.02, 0.06))
                took.append(timed(shown, lambda letter=letter: shown.type(letter), letter))  # type: ignore[misc]
            return percentile(took, 0.99)
    finally:
        talker.terminate()
        talker.wait()
