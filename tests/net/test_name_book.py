"""Names are found in one look-up, whatever changes, and derived only when somebody asks."""

from __future__ import annotations

from itertools import pairwise

import trio

from p2pchat.core.names import link_name
from p2pchat.net.name_book import AT_ONCE, NameBook
from tests.conftest import run

HOST = bytes(32)


class Counted:
    """A book whose derivations are counted."""

    def __init__(self, owners: int) -> None:
        self.derived = 0
        self.book: NameBook[bytes] = NameBook(self._derive)
        for number in range(owners):
            self.book.put(owner(number), [owner(number)])

    def _derive(self, key: bytes, day: int) -> str:
        self.derived += 1
        return link_name(key, HOST, day)


def owner(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_a_guess_costs_nothing_that_grows_with_the_contacts() -> None:
    async def main() -> None:
        counted = Counted(2000)
        assert counted.derived == 0  # nobody has asked yet
        assert await counted.book.find("/guess", (9, 8, 10)) is None
        assert counted.derived == 3 * 2000
        for number in range(100):
            assert await counted.book.find(f"/guess{number}", (9, 8, 10)) is None
        assert counted.derived == 3 * 2000
        counted.book.put(owner(7), [b"new session", owner(7)])
        assert await counted.book.find(link_name(b"new session", HOST, 10), (9, 8, 10)) == b"new session"
        assert counted.derived <= 3 * 2000 + 3 + 6
        before = counted.derived
        assert await counted.book.find("/guess", (10, 9, 11)) is None  # a day later only one is new
        assert counted.derived == before + 2001

    run(main)


def test_deriving_gives_the_loop_back() -> None:
    async def main() -> None:
        counted, steps = Counted(10 * AT_ONCE), list[int]()

        async def watch() -> None:
            while True:
                steps.append(counted.derived)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await counted.book.find("/guess", (9,))
            nursery.cancel_scope.cancel()
        assert max(later - one for one, later in pairwise(steps)) <= 2 * AT_ONCE

    run(main)


def test_names_hold_for_their_days_and_entries() -> None:
    async def main() -> None:
        book: NameBook[bytes] = NameBook(lambda key, day: link_name(key, HOST, day))
        book.put(b"alice", [b"one", b"two"])
        for day, found in ((8, b"two"), (9, b"two"), (10, b"two"), (11, None), (7, None)):
            assert await book.find(link_name(b"two", HOST, day), (9, 8, 10)) == found
        assert await book.find(link_name(b"two", bytes(31) + b"1", 9), (9, 8, 10)) is None
        book.put(b"alice", [b"one"])
        assert await book.find(link_name(b"two", HOST, 9), (9, 8, 10)) is None
        assert await book.find(link_name(b"one", HOST, 9), (9, 8, 10)) == b"one"
        book.put(b"alice", ())
        assert await book.find(link_name(b"one", HOST, 9), (9, 8, 10)) is None

    run(main)


def test_two_who_ask_at_once_while_the_day_turns_both_get_their_answer() -> None:
    async def main() -> None:
        counted, found = Counted(500), list[bytes | None]()

        async def ask(day: int) -> None:
            days = (day, day - 1, day + 1)
            found.append(await counted.book.find(link_name(owner(499), HOST, day), days))

        async with trio.open_nursery() as nursery:
            for day in (9, 10, 9, 10):
                nursery.start_soon(ask, day)
        assert found == [owner(499)] * 4

    run(main)
