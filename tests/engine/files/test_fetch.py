"""How much may come of a file that is not on the disk."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from p2pchat.core.files import CHUNK_BYTES, BlobCipher, BlobPlace, Layout, blob_name
from p2pchat.core.ids import BlobName, ContactId
from p2pchat.engine.files.fetch import (
    CHUNKS_A_FAST_REQUEST,
    CHUNKS_A_REQUEST,
    FAST_SECONDS,
    MAX_REQUESTS,
    MAX_UNSAVED,
    MAX_UNWRITTEN,
    FetchContext,
    FetchEnd,
    FileFetch,
    Holder,
)
from p2pchat.engine.files.plan import Bits, Plan
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.store.files import FileRow

CHUNKS = 2 * MAX_UNSAVED
SIZE = CHUNKS * CHUNK_BYTES
CIPHER = BlobCipher(bytes(32), SIZE)
LAYOUT = Layout.of(SIZE)


def chunk(number: int) -> bytes:
    return CIPHER.seal(BlobPlace(0, number), bytes(CHUNK_BYTES))


class Disk:
    """A worker thread that does nothing until it is `free`, and a sender who has everything within `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[int] = []
        self.messages_move = False
        self.free = trio.Event()
        self.given = self.turns = 0
        moving: Any = SimpleNamespace(
            row=SimpleNamespace(file=b"", shared=False), done=0, problem="", meter=SimpleNamespace()
        )
        moving.meter.moved = lambda size, now: None
        net: Any = SimpleNamespace(route=lambda contact: "direct", files=self)
        around = FetchContext(
            net, self._beside, self._no_inboxes, lambda fetch: None, lambda moving: None, self._messages_first
        )
        plan = Plan(LAYOUT, BlobName(bytes(32)), Bits(LAYOUT.blobs))
        plan.take(LAYOUT.root, b"".join(blob_name(chunk(number)) for number in range(CHUNKS)))
        self.written: list[int] = []
        sealed: Any = SimpleNamespace(write_padded=lambda slot, padded: self.written.append(slot))
        credit = trio.Semaphore(MAX_REQUESTS)
        self.fetch = FileFetch(moving, [Holder(ContactId(bytes(8)), credit)], plan, CIPHER, sealed, around)

    async def get(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        await trio.sleep(self.seconds)
        self.given += wanted.count
        self.asked.append(wanted.count)
        return Blobs([chunk(wanted.first.number + number) for number in range(wanted.count)])

    async def _beside(self, function: Callable[[], object]) -> object:
        await self.free.wait()
        self.turns += 1
        return function()

    async def _messages_first(self) -> None:
        if self.messages_move:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()

    async def _no_inboxes(self, row: FileRow) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return []


def test_a_slow_disk_stops_the_asking_and_what_has_gathered_is_written_together() -> None:
    async def main() -> None:
        disk = Disk()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.testing.wait_all_tasks_blocked()
            assert MAX_UNWRITTEN <= disk.given <= MAX_UNWRITTEN + MAX_REQUESTS * CHUNKS_A_FAST_REQUEST
            assert not disk.fetch.unsaved
            first = disk.given
            disk.free.set()
            while disk.turns < 2:
                await trio.testing.wait_all_tasks_blocked()
            assert len(disk.fetch.unsaved) >= first, "what had gathered was written in two turns"
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_what_is_not_noted_stops_the_asking() -> None:
    async def main() -> None:
        disk = Disk()
        disk.free.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.testing.wait_all_tasks_blocked()
            assert MAX_UNSAVED <= disk.given <= MAX_UNSAVED + MAX_REQUESTS * CHUNKS_A_FAST_REQUEST
            assert len(disk.fetch.unsaved) == disk.given
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("seconds", [FAST_SECONDS / 2, 2 * FAST_SECONDS])
def test_more_is_asked_for_at_once_where_it_comes_fast(seconds: float) -> None:
    """On a slow line a request would take long, and of one that is cut nothing is kept."""

    async def main() -> None:
        disk = Disk(seconds)
        disk.free.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.sleep(3.5 * seconds)
            nursery.cancel_scope.cancel()
        assert set(disk.asked[:MAX_REQUESTS]) == {CHUNKS_A_REQUEST}
        assert disk.asked[-1] == (CHUNKS_A_FAST_REQUEST if seconds < FAST_SECONDS else CHUNKS_A_REQUEST)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_nothing_is_written_while_messages_move() -> None:
    async def main() -> None:
        disk = Disk()
        disk.free.set()
        disk.messages_move = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.testing.wait_all_tasks_blocked()
            assert disk.given
            assert not disk.written
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("sent", [True, False])
def test_only_a_sender_who_gives_something_else_ends_it(sent: bool) -> None:
    """Another member of a group who does is not asked again, and the next one is."""

    async def main() -> None:
        disk = Disk()
        disk.free.set()
        liar, honest = disk.fetch.holders[0], Holder(ContactId(b"h" * 8), trio.Semaphore(MAX_REQUESTS), False)
        liar.sent = sent
        disk.fetch.holders = [liar, honest]
        asked = list[ContactId]()

        async def get(contact: ContactId, wanted: BlobRange) -> Blobs:
            asked.append(contact)
            if contact == liar.contact:
                return Blobs([chunk(CHUNKS - 1)])
            return await Disk.get(disk, contact, wanted)

        disk.get = get  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.testing.wait_all_tasks_blocked()
            assert disk.fetch.end == (FetchEnd.WRONG if sent else None)
            assert (honest.contact in asked) is not sent
            assert bool(disk.fetch.unsaved) is not sent
            if not sent:
                before = asked.count(liar.contact)
                disk.fetch.link_up(liar.contact)
                await trio.testing.wait_all_tasks_blocked()
                assert asked.count(liar.contact) == before
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("reason", [NoBlob.CHANGED, NoBlob.WITHDRAWN, NoBlob.UNKNOWN, NoBlob.NOT_NOW])
def test_what_another_member_does_not_give_the_next_one_is_asked_for(reason: NoBlob) -> None:
    async def main() -> None:
        disk = Disk()
        disk.free.set()
        without, honest = disk.fetch.holders[0], Holder(ContactId(b"h" * 8), trio.Semaphore(MAX_REQUESTS), False)
        without.sent = False
        disk.fetch.holders = [without, honest]

        async def get(contact: ContactId, wanted: BlobRange) -> Blobs:
            return Blobs((), reason) if contact == without.contact else await Disk.get(disk, contact, wanted)

        disk.get = get  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.fetch.run)
            await trio.testing.wait_all_tasks_blocked()
            assert disk.fetch.unsaved
            assert disk.fetch.end is None
            assert not disk.fetch.moving.problem
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_second_copy_of_a_blob_is_right_and_is_not_written_again() -> None:
    """The first one may be noted and forgotten at relays: a power cut while it is overwritten would lose it."""

    async def main() -> None:
        disk = Disk()
        disk.free.set()
        copy = [(BlobPlace(0, 0), chunk(0))]
        assert await disk.fetch.keep(copy) == 1
        assert await disk.fetch.keep(copy) == 1
        assert disk.written == disk.fetch.unsaved == [LAYOUT.slot(BlobPlace(0, 0))]

    trio.run(main)
