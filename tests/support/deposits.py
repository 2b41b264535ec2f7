"""Deposits for tests of mailbox clients: made, put there by others, and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from trio.testing import MockClock

from p2pchat.core import mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.mailbox import DONE, Put
from tests import conftest
from tests.support.boxes import Keys, blob
from tests.support.boxes import Relay as RelayInMemory
from tests.support.mails import Scene
from tests.support.virtual_time import patience

BOB, CAROL = Keys("bob"), Keys("carol")


HOURS_A_DAY = 24


def numbered(*names: int | str, size: int = 4096) -> list[tuple[int, bytes]]:
    """Deposits of these blobs, numbered from 0."""
    return [(number, blob(name, size)) for number, name in enumerate(names)]


async def fill(here: RelayInMemory, keys: Keys, *names: int | str, size: int = 4096) -> None:
    """Deposit as somebody else, blobs of this size."""
    someone = await here.client()
    assert await someone.open(0, mailbox.TO_PUT, keys) == DONE
    puts = [Put(number, 0, HOURS_A_DAY, 0, blob(name, size)) for number, name in enumerate(names)]
    await someone.send(*[Frame(mailbox.PUT, mailbox.encode_put(put)) for put in puts])  # at once: few commits
    assert set(await someone.results([put.number for put in puts])) == {DONE}
    await someone.stream.close()


def run_for_real(main: Callable[[], Awaitable[None]], clock: MockClock | None = None) -> None:
    """Run where others take real time: threads, sockets."""

    async def bounded() -> None:
        with patience(300):
            await main()

    conftest.run(bounded, clock)


def collects(scene: Scene, keys: Keys, count: int) -> bool:
    return len(scene.letters.blobs(keys)) == count
