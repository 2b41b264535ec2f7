"""Searching 1,000,000 messages and listing 1,000 chats, through the node's API: `python -m benchmarks.finding`.

The screen asks for the first chats of the list, shows them, and asks for all of them behind it; so does this.
Every message of the profile holds the same words, so each search but the one for a rare word has all to choose from.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import floor, large
from benchmarks.people import Person, people
from benchmarks.screen import window
from p2pchat.store import keys
from p2pchat.tui.reader import FIRST_CHATS

CHATS = 1_000
MESSAGES = 1_000_000
SEARCHES: tuple[tuple[str, str | None], ...] = (
    ("words people", None),
    ('"some words" from:me', None),
    ("words", "person 7"),
    ("from:me words after:3d", "person 7"),
    ("777777", None),
    ("has:link", None),
)
PREFIX = "wor*"
"""All of what begins so is put in order before the first hit is known, so this is named by itself."""


@dataclass(frozen=True)
class Finding:
    """Milliseconds, one value a run: the slowest of `SEARCHES`, the beginning of a word, the first chats of the list,
    then all of them as well, the names on the screen after its first picture, and the floor in the same minutes.
    """

    search_ms: list[float]
    prefix_ms: list[float]
    list_ms: list[float]
    list_all_ms: list[float]
    list_shown_ms: list[float]
    floor_ms: list[float]


@contextmanager
def profile() -> Iterator[Person]:
    """A person with that profile, whose node runs."""
    with people("alice") as (alice,):
        alice.stop()
        large.fill(alice.folder / "profile.db", keys.open_keys(alice.folder, None), CHATS, MESSAGES)
        alice.start()
        yield alice


def measure(runs: int) -> Finding:
    """All of them; the first of each is thrown away."""
    slowest, prefix, listed, all_listed, shown, floors = [], [], [], [], [], []
    with profile() as alice, alice.client() as client:
        for _ in range(runs + 1):
            took = []
            for query, chat in SEARCHES:
                began = time.perf_counter()
                client.call("search", query=query, chat=chat)
                took.append(1000 * (time.perf_counter() - began))
            slowest.append(max(took))
            began = time.perf_counter()
            client.call("search", query=PREFIX)
            prefix.append(1000 * (time.perf_counter() - began))
            began = time.perf_counter()
            client.call("chats", limit=FIRST_CHATS)
            listed.append(1000 * (time.perf_counter() - began))
            client.call("chats")
            all_listed.append(1000 * (time.perf_counter() - began))
            shown.append(_shown_ms(alice))
            floors.append(floor.measure().round_trip_ms)
    return Finding(slowest[1:], prefix[1:], listed[1:], all_listed[1:], shown[1:], floors[1:])


def _shown_ms(person: Person) -> float:
    """Return the milliseconds from the first picture of the screen to the names of its list."""
    with window(person) as screen:
        screen.until(lambda text: bool(text.strip()), "the first words")
        began = time.perf_counter()
        screen.wait("person")
        return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Measure five times and print the medians."""
    found = measure(5)
    print(f"search_1m_ms         {statistics.median(found.search_ms):.1f}")
    print(f"search_1m_prefix_ms  {statistics.median(found.prefix_ms):.1f}")
    print(f"list_1k_ms           {statistics.median(found.list_ms):.1f}")
    print(f"list_1k_all_ms       {statistics.median(found.list_all_ms):.1f}")
    print(f"list_1k_shown_ms     {statistics.median(found.list_shown_ms):.1f}")
    print(f"floor_round_trip_ms  {statistics.median(found.floor_ms):.1f}")


if __name__ == "__main__":
    main()
