"""A relay that lies does so: what a plain client of its mailbox is told, beside what an honest relay tells it."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from p2pchat.core.envelope import BUCKETS
from p2pchat.core.mailbox import DONE, TO_FETCH, TO_PUT, Blob
from tests.lab.liar import LAST_PLACE, LATE
from tests.lab.steps import lying
from tests.support.boxes import Keys, blob
from tests.support.processes import Place
from tests.support.programs import LOOPBACK, host, opened, run

BOB = Keys("bob")
TRUE = [blob(number) for number in range(4)]


@dataclass
class Told:
    """What who deposited `TRUE` for Bob and fetched it was told: before a delete of all, after it, and by the wait."""

    before: list[Blob]
    after: list[Blob]
    seconds: float

    @property
    def first(self) -> list[bytes]:
        return [one.blob for one in self.before]


def told(here: Place, lie: str) -> Told:
    found: list[Told] = []
    _, address = lying(here, "relay", lie, LOOPBACK)

    async def main() -> None:
        async with host() as one, host() as two:
            alice = await opened(one, address, TO_PUT, BOB)
            assert await alice.put(0, *TRUE) == [DONE] * 4
            bob = await opened(two, address, TO_FETCH, BOB)
            began = trio.current_time()
            before, _, _ = await bob.fetch(512, (0, 0))
            seconds = trio.current_time() - began
            assert await bob.delete(0, max((one.place for one in before), default=0)) == DONE
            after, _, _ = await bob.fetch(512, (0, 0))
            found.append(Told(before, after, seconds))

    run(main)
    return found[0]


def test_one_that_drops(here: Place) -> None:
    heard = told(here, "drops")
    assert (heard.before, heard.after) == ([], [])


def test_one_that_repeats(here: Place) -> None:
    heard = told(here, "repeats")
    assert heard.first == [one for one in TRUE for _ in range(2)]
    assert heard.after == heard.before


def test_one_that_delays(here: Place) -> None:
    heard = told(here, "delays")
    assert heard.first == TRUE
    assert heard.seconds >= LATE


def test_one_that_reorders(here: Place) -> None:
    assert told(here, "reorders").first == TRUE[::-1]


def test_one_that_invents(here: Place) -> None:
    heard = told(here, "invents")
    assert [one for one in heard.first if one in TRUE] == TRUE
    assert len(set(heard.first)) == len(TRUE) * 2 + len(BUCKETS)
    assert heard.after


def test_one_that_exhausts_places(here: Place) -> None:
    assert {one.place for one in told(here, "exhausts").before} == {LAST_PLACE}


def test_one_that_withholds(here: Place) -> None:
    heard = told(here, "withholds")
    assert (heard.before, heard.after) == ([], [])
