"""The client's side of mailboxes and the program's own relay: in memory with a clock that jumps, and over loopback."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey, RelayName
from p2pchat.core.mailbox import BAD_STAMP, BOX, DONE, QUEUE_FULL, STAMPED, TOO_FAST, Put
from p2pchat.net import multiaddrs
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT
from p2pchat.net.mailbox.client import IDLE_SECONDS, RETRY_SECONDS
from p2pchat.net.mailbox.deposit import MAX_CROWDED_STAMP_BITS, MAX_WAITING
from p2pchat.net.mailbox.fetch import DELETE_DELAY_SECONDS, MAX_PAGE_BYTES, MAX_WAITING_BYTES
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.net.mailbox.shares import MAX_WATCHED
from p2pchat.net.mailbox.stream import CHECK_SECONDS, LOST_AFTER_SECONDS, PING_AFTER_SECONDS
from p2pchat.relay.store import Quota
from tests import conftest
from tests.support.boxes import LIMITS, NOW, Keys, blob, relay, run
from tests.support.boxes import Relay as RelayInMemory
from tests.support.hosts import Middle, make, running
from tests.support.mails import AT_RELAY, RELAY, WHERE, Letters, Lines, Scene, client, own, serving, theirs, unreachable

BOB, CAROL = Keys("bob"), Keys("carol")
A_DAY = 24


def numbered(*names: int | str, size: int = 4096) -> list[tuple[int, bytes]]:
    """Deposits of these blobs, numbered from 0."""
    return [(number, blob(name, size)) for number, name in enumerate(names)]


async def fill(here: RelayInMemory, keys: Keys, *names: int | str) -> None:
    """Deposit as somebody else."""
    someone = await here.client()
    assert await someone.open(0, mailbox.TO_PUT, keys) == DONE
    puts = [Put(number, 0, A_DAY, 0, blob(name)) for number, name in enumerate(names)]
    await someone.send(*[Frame(mailbox.PUT, mailbox.encode_put(put)) for put in puts])  # at once: few commits
    assert set(await someone.results([put.number for put in puts])) == {DONE}
    await someone.stream.close()


def run_for_real(main: Callable[[], Awaitable[None]], clock: MockClock | None = None) -> None:
    """Run where others take real time: threads, sockets."""

    async def bounded() -> None:
        with trio.fail_after(300):
            await main()

    conftest.run(bounded, clock)


def collects(scene: Scene, keys: Keys, count: int) -> bool:
    return len(scene.letters.blobs(keys)) == count


# --- collecting -------------------------------------------------------------------------------------------------------


def test_what_waits_is_collected_in_order_then_what_comes(tmp_path: Path) -> None:
    """Three pages, then pushes; nothing is deleted before it was taken, and then all of it."""

    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, *range(1300))
            async with client(here.stream) as scene:
                letters = scene.letters
                scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL), own(BOB)])
                await letters.until(lambda: collects(scene, BOB, 1300))
                assert letters.blobs(BOB) == [blob(number) for number in range(1300)]
                places = [place for place, _ in letters.came[BOB.queue.id]]
                assert places == sorted(set(places))
                assert max(letters.batches) > 1
                await fill(here, BOB, "new")
                await fill(here, CAROL, "hers")
                await letters.until(lambda: collects(scene, BOB, 1301) and collects(scene, CAROL, 1))
                assert letters.blobs(BOB)[-1] == blob("new")
                assert letters.blobs(CAROL) == [blob("hers")]
                await trio.sleep(10)
                assert here.store.blobs == 1302
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, places[-1])
                await trio.sleep(1)
                assert here.store.blobs == 2
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, letters.last(BOB))
                scene.boxes.taken(RelayName(RELAY), CAROL.queue.id, letters.last(CAROL))
                await trio.sleep(1)
                assert here.store.blobs == 0
                assert scene.health == ("connected", "")

    run(main)


def test_more_is_pushed_than_may_wait_for_its_delete(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.letters.takes = True
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await wait_all_tasks_blocked()
            for start in range(0, 1000, 100):
                await fill(here, BOB, *range(start, start + 100))
            await fill(here, CAROL, "hers")
            await scene.letters.until(lambda: collects(scene, BOB, 1000) and collects(scene, CAROL, 1))
            await trio.sleep(1)
            assert scene.letters.blobs(BOB) == [blob(number) for number in range(1000)]
            assert here.store.blobs == 0
            assert len(scene.lines.streams) == 1

    run(main)


def test_a_page_ahead_is_asked_for_and_no_more_than_there_is_room_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, *range(4000))
            async with client(here.stream) as scene:
                held = scene.letters.held = trio.Event()
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await trio.sleep(PING_AFTER_SECONDS + 2 * LOST_AFTER_SECONDS)
                assert len(scene.letters.batches) == 1  # it still works on the first piece
                assert 2 * MAX_PAGE_BYTES <= here.mailbox.counts.fetched * 4096 <= MAX_WAITING_BYTES
                assert scene.letters.told == ["up"]  # not to read is not to hear nothing
                held.set()
                await scene.letters.until(lambda: collects(scene, BOB, 4000))
                assert scene.letters.blobs(BOB) == [blob(number) for number in range(4000)]

    run(main)


def test_many_queues_are_opened_in_eights_with_made_up_ones_that_stay(tmp_path: Path) -> None:
    async def main() -> None:
        every = [Keys(f"friend {number}") for number in range(21)]
        async with relay(tmp_path) as here, client(here.stream) as scene:
            for keys in every:
                await fill(here, keys, f"for {keys.name}")
            scene.boxes.watch(AT_RELAY, [own(keys) for keys in every])
            await scene.letters.until(lambda: all(scene.letters.blobs(keys) for keys in every))
            assert [scene.letters.blobs(keys) for keys in every] == [[blob(f"for {keys.name}")] for keys in every]
            await wait_all_tasks_blocked()
            (line,) = scene.lines.streams
            opened = [mailbox.decode_open(frame.body).queue for frame in line.of(mailbox.OPEN)]
            assert len(opened) == len(set(opened)) == 24
            assert {keys.queue for keys in every} < set(opened)
            fetches = [mailbox.decode_fetch(frame.body) for frame in line.of(mailbox.FETCH)]
            assert [len(fetch.queues) for fetch in fetches] == [8] * 6
            assert sorted(fetch.want for fetch in fetches) == [0, 0, 0, 512, 512, 512]
            await line.close()
            await scene.letters.until_told("up", "down", "up")
            await wait_all_tasks_blocked()
            again = [mailbox.decode_open(frame.body).queue for frame in scene.lines.streams[1].of(mailbox.OPEN)]
            assert set(again) == set(opened)

    run(main)


def test_after_a_loss_it_goes_on_behind_what_was_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, 1, 2, 3)
            async with client(here.stream) as scene:
                letters = scene.letters
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await letters.until(lambda: collects(scene, BOB, 3))
                await scene.lines.streams[0].close()
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, letters.came[BOB.queue.id][1][0])
                await letters.until(lambda: collects(scene, BOB, 4))
                assert letters.blobs(BOB)[3] == blob(3)
                await trio.sleep(1)
                assert here.store.blobs == 1  # the delete went out on the new stream
                assert letters.told == ["up", "down", "up"]

    run(main)


def test_it_begins_behind_what_the_disk_has_and_lets_that_be_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, 1, 2, 3)
            async with client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await scene.letters.until(lambda: collects(scene, BOB, 3))
            second = scene.letters.came[BOB.queue.id][1][0]
            async with client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB, after=second)])
                await scene.letters.until(lambda: collects(scene, BOB, 1))
                assert scene.letters.blobs(BOB) == [blob(3)]
                await trio.sleep(1)
                assert here.store.blobs == 1

    run(main)


def test_a_list_says_again_what_the_disk_has(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, 1, 2, 3)
            async with client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await scene.letters.until(lambda: collects(scene, BOB, 3))
                scene.boxes.watch(AT_RELAY, [own(BOB, after=scene.letters.came[BOB.queue.id][1][0])])
                await scene.lines.streams[0].close()
                await scene.letters.until(lambda: len(scene.letters.blobs(BOB)) > 3)
                assert scene.letters.blobs(BOB)[3:] == [blob(3)]

    run(main)


def test_deletes_are_gathered(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, *range(200))
            async with client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await scene.letters.until(lambda: collects(scene, BOB, 200))
                for place, _ in scene.letters.came[BOB.queue.id]:
                    scene.boxes.taken(RelayName(RELAY), BOB.queue.id, place)
                    await trio.sleep(DELETE_DELAY_SECONDS / 100)
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, 1)  # less than before: nothing
                await trio.sleep(1)
                assert here.store.blobs == 0
                assert len(scene.lines.streams[0].of(mailbox.DELETE)) <= 4

    run(main)


def test_a_delete_that_the_relay_could_not_make_is_made_on_the_next_stream(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, 1)
            async with client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await scene.letters.until(lambda: collects(scene, BOB, 1))
                scene.lines.streams[0].cut = True
                scene.boxes.taken(RelayName(RELAY), BOB.queue.id, scene.letters.last(BOB))
                await scene.letters.until_told("up", "down", "up")
                await trio.sleep(1)
                assert here.store.blobs == 0
                assert collects(scene, BOB, 1)

    run(main)


def test_a_list_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """A queue that is not watched any more is not collected, its blobs stay, and those of others keep coming."""

    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            letters = scene.letters
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await wait_all_tasks_blocked()
            scene.boxes.watch(AT_RELAY, [own(CAROL), own(Keys("dave"))])
            await fill(here, BOB, "unwanted")
            await fill(here, CAROL, 1)
            await fill(here, Keys("dave"), 2)
            await letters.until(lambda: collects(scene, CAROL, 1) and collects(scene, Keys("dave"), 1))
            await trio.sleep(10)
            assert BOB.queue.id not in letters.came
            assert letters.told == ["up"]  # that it took another stream is nobody's business
            assert len(scene.lines.streams) == 2
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await letters.until(lambda: collects(scene, BOB, 1))
            assert letters.blobs(BOB) == [blob("unwanted")]

    run(main)


def test_a_queue_that_is_watched_again_begins_where_its_owner_says(tmp_path: Path) -> None:
    """It came while it was watched before and was never taken: it comes again, on a new stream."""

    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            await fill(here, BOB, 1)
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await scene.letters.until(lambda: collects(scene, BOB, 1))
            scene.boxes.watch(AT_RELAY, [own(CAROL)])
            scene.boxes.watch(AT_RELAY, [own(CAROL), own(BOB)])
            await scene.letters.until(lambda: collects(scene, BOB, 2))
            assert scene.letters.blobs(BOB) == [blob(1), blob(1)]
            await fill(here, CAROL, 2)
            await scene.letters.until(lambda: collects(scene, CAROL, 1))

    run(main)


def test_what_waits_in_a_queue_that_is_dropped_is_not_handed_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here:
            await fill(here, BOB, *range(40))
            await fill(here, CAROL, *range(40))
            async with client(here.stream) as scene:
                held = scene.letters.held = trio.Event()
                scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
                await wait_all_tasks_blocked()
                (first,) = scene.letters.came
                kept, dropped = (BOB, CAROL) if first == BOB.queue.id else (CAROL, BOB)
                scene.boxes.watch(AT_RELAY, [own(kept)])
                held.set()
                await trio.sleep(10)
                assert collects(scene, kept, 40)
                assert collects(scene, dropped, 0)

    run(main)


def test_more_queues_than_a_stream_has_room_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            every = [own(Keys(f"queue {number}")) for number in range(MAX_WATCHED + 10)]
            scene.boxes.watch(AT_RELAY, every)
            await trio.sleep(10)
            assert scene.health == ("connected", "")
            assert len(scene.lines.streams[0].of(mailbox.OPEN)) == MAX_WATCHED
            for number in range(20):  # and now and then another, each with seven made-up ones
                scene.boxes.watch(AT_RELAY, [*every[: MAX_WATCHED - 30], *[own(Keys(f"{number}"))]])
            await fill(here, Keys("19"), 1)
            await scene.letters.until(lambda: collects(scene, Keys("19"), 1))
            assert scene.health == ("connected", "")
            assert scene.letters.told == ["up"]

    run(main)


def test_what_is_wanted_while_a_host_closes_is_not_forgotten(tmp_path: Path) -> None:
    """Nobody wanted the relay of a hidden contact any more, and its host takes a while to end."""

    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            closing = trio.Event()

            @asynccontextmanager
            async def slow_host() -> AsyncIterator[Lines]:
                yield scene.lines
                closing.set()
                await trio.sleep(60)

            boxes = MailboxPool(
                scene.lines, scene.letters, scene.nursery, lambda: NOW, Random(1).randbytes, new_host=slow_host
            )
            at_hidden = replace(AT_RELAY, hidden=True, chosen=True)
            boxes.deposit(at_hidden, theirs(BOB), A_DAY, numbered(1))
            await closing.wait()
            boxes.deposit(at_hidden, theirs(BOB), A_DAY, [(2, blob(2))])
            boxes.watch(at_hidden, [own(Keys(f"queue {number}")) for number in range(MAX_WATCHED + 10)])
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE, 2: DONE})
            await trio.sleep(60)
            assert len(scene.lines.streams) == 3  # the first, and the two that so many queues need

    run(main)


def test_a_box_is_collected_and_stays(tmp_path: Path) -> None:
    async def main() -> None:
        box = Keys("box", BOX)
        async with relay(tmp_path) as here, client(here.stream) as scene:
            await fill(here, box, 1)
            scene.letters.takes = True
            scene.boxes.watch(AT_RELAY, [own(box)])
            await scene.letters.until(lambda: collects(scene, box, 1))
            await trio.sleep(1)
            assert here.store.blobs == 1
            scene.boxes.watch(AT_RELAY, [])
            await trio.sleep(IDLE_SECONDS)
            assert scene.boxes.relay_health() == {}

    run(main)


# --- depositing -------------------------------------------------------------------------------------------------------


def test_each_deposit_is_answered_once_and_lies_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(*range(1000)))
            scene.boxes.deposit(AT_RELAY, theirs(CAROL), A_DAY, [(2000, blob("large", 65_536))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 1001)
            assert set(scene.letters.codes.values()) == {DONE}
            assert here.store.blobs == 1001
            (line,) = scene.lines.streams
            assert len(line.of(mailbox.OPEN)) == 8
            scene.boxes.watch(AT_RELAY, [own(BOB), own(CAROL)])
            await scene.letters.until(lambda: collects(scene, BOB, 1000) and collects(scene, CAROL, 1))
            assert scene.letters.blobs(BOB) == [blob(number) for number in range(1000)]
            assert scene.letters.lost == []

    run(main)


def test_codes_are_handed_on(tmp_path: Path) -> None:
    async def main() -> None:
        quota = replace(Quota(), least_free=0, queue_blobs=5)
        limits = replace(LIMITS, puts_burst=8, puts_a_second=0.001)
        async with relay(tmp_path, limits, quota) as here, client(here.stream) as scene:
            codes = scene.letters.codes
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(*range(10)))
            await scene.letters.until(lambda: len(codes) == 10)
            assert Counter(codes.values()) == {DONE: 5, QUEUE_FULL: 3, TOO_FAST: 2}
            bad = replace(theirs(CAROL), flags=0x80)
            scene.boxes.deposit(AT_RELAY, bad, A_DAY, [(100, blob(1))])
            await scene.letters.until(lambda: len(codes) == 11)
            scene.boxes.deposit(AT_RELAY, bad, A_DAY, [(101, blob(1))])
            await scene.letters.until(lambda: len(codes) == 12)
            assert codes[100] == codes[101] == mailbox.NOT_ALLOWED
            assert (
                len(scene.lines.streams[0].of(mailbox.PUT)) == 11
            )  # what was refused once is not tried on this stream
            assert scene.letters.told == ["up"]

    run(main)


def test_a_relay_that_keeps_less_long_is_asked_for_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, replace(LIMITS, longest_hours=48)) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), 30 * 24, numbered(1))
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE})
            (put,) = scene.lines.streams[0].of(mailbox.PUT)
            assert mailbox.decode_put(put.body).hours == 48

    run(main)


def test_an_open_queue_is_paid_for(tmp_path: Path) -> None:
    """Stamps are made where they are asked for; those who need none do not wait; the same blob is paid for anew."""

    async def main() -> None:
        invited = Keys("invited", STAMPED)
        async with relay(tmp_path, replace(LIMITS, stamp_bits=10)) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(invited), A_DAY, numbered(1, 2, 3))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(10, blob(4))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 4)
            assert set(scene.letters.codes.values()) == {DONE}
            scene.letters.takes = True
            scene.boxes.watch(AT_RELAY, [own(invited)])
            await scene.letters.until(lambda: collects(scene, invited, 3))
            await trio.sleep(1)
            assert here.store.blobs == 1
            scene.boxes.deposit(AT_RELAY, theirs(invited), A_DAY, [(20, blob(1))])
            await scene.letters.until(lambda: scene.letters.codes.get(20) == DONE)
            puts = [mailbox.decode_put(frame.body) for frame in scene.lines.streams[0].of(mailbox.PUT)]
            assert len({put.stamp for put in puts}) == 5
            assert [put.stamp for put in puts if put.blob == blob(4)] == [0]

    run_for_real(main)  # the real clock: stamps are made in a thread


@pytest.mark.parametrize("before", [True, False])
def test_a_crowded_relay_gets_stamps_for_every_deposit(tmp_path: Path, before: bool) -> None:
    """Whether it says so in its hello or while we are there."""

    async def main() -> None:
        limits, quota = replace(LIMITS, stamp_bits=6), Quota(total_bytes=40 * 4096, least_free=0)
        async with relay(tmp_path, limits, quota) as here, client(here.stream) as scene:
            if before:
                await fill(here, Keys("others"), *range(100, 131))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(0, blob("first"))])
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE})
            if not before:
                await fill(here, Keys("others"), *range(100, 131))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(number, blob(number)) for number in (1, 2, 3)])
            await scene.letters.until(lambda: len(scene.letters.codes) == 4)
            assert set(scene.letters.codes.values()) == {DONE}
            puts = [mailbox.decode_put(frame.body) for frame in scene.lines.streams[0].of(mailbox.PUT)]
            assert all(put.stamp for put in puts[-3:])
            assert here.mailbox.counts.refused["stamp needed"] == (0 if before else 3)

    run_for_real(main)  # the real clock: stamps are made in a thread


def test_what_a_crowded_relay_may_cost_has_a_bound(tmp_path: Path) -> None:
    async def main() -> None:
        limits = replace(LIMITS, stamp_bits=MAX_CROWDED_STAMP_BITS + 1)
        quota = Quota(total_bytes=5 * 4096, least_free=0)
        async with relay(tmp_path, limits, quota) as here, client(here.stream) as scene:
            await fill(here, Keys("others"), *range(4))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(1))
            await scene.letters.until(lambda: scene.letters.codes == {0: BAD_STAMP})

    run(main)


def test_deposits_in_more_queues_than_a_stream_can_open(tmp_path: Path) -> None:
    async def main() -> None:
        every = [Keys(f"friend {number}") for number in range(1100)]
        async with relay(tmp_path) as here, client(here.stream) as scene:
            for number, keys in enumerate(every):
                scene.boxes.deposit(AT_RELAY, theirs(keys), A_DAY, [(number, blob(number))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 1100)
            assert set(scene.letters.codes.values()) == {DONE}
            assert here.store.blobs == 1100
            assert [len(line.of(mailbox.PUT)) for line in scene.lines.streams] == [1024, 76]
            assert all(len(line.of(mailbox.OPEN)) <= mailbox.MAX_HANDLES for line in scene.lines.streams)
            assert scene.letters.told == ["up"]

    run(main)


def test_what_has_no_room_is_given_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.lines.patience = 5
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(number, blob("same")) for number in range(5000)])
            await wait_all_tasks_blocked()
            assert scene.letters.lost == list(range(MAX_WAITING, 5000))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(5000, blob("more"))])
            await wait_all_tasks_blocked()
            assert scene.letters.lost[-1] == 5000
            await scene.letters.until(lambda: len(scene.letters.codes) == MAX_WAITING)
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(number, bytes(65_536)) for number in range(6000, 7000)])
            await scene.letters.until(lambda: len(scene.letters.codes) + len(scene.letters.lost) == 6001)
            assert 400 < len([number for number in scene.letters.lost if number >= 6000]) < 600

    run(main)


def test_a_loss_gives_back_all_that_was_not_answered_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(1, blob(1))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 1)
            line = scene.lines.streams[0]
            line.cut = True
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(number, blob(number)) for number in range(2, 602)])
            await wait_all_tasks_blocked()
            began = trio.current_time()
            await line.close()
            await scene.letters.until(lambda: len(scene.letters.lost) == 600)
            assert trio.current_time() == began
            assert scene.letters.told == ["up", "down"]
            assert scene.health[0] == "unreachable"

    run(main)


# --- a relay that does not answer -------------------------------------------------------------------------------------


def test_attempts_are_further_and_further_apart() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(7200)
            times = scene.lines.dialled
            waits = [after - before for before, after in pairwise(times)]
            assert times[0] == 0
            assert all(FIRST_WAIT / 2 * 2**number <= wait for number, wait in enumerate(waits[:8]))
            assert all(LONGEST_WAIT / 2 <= wait <= LONGEST_WAIT for wait in waits[9:])
            assert len({round(wait, 3) for wait in waits}) == len(waits)
            assert scene.health == ("unreachable", "No address answered.")
            assert scene.letters.told == []
            assert scene.lines.addresses_tried == ["/ip4/10.0.0.9/tcp/4001", "/ip4/10.0.0.9/tcp/4001/ws"]

    run(main)


def test_a_stream_that_was_good_is_made_again_soon_and_one_that_was_not_later(tmp_path: Path) -> None:
    async def main() -> None:
        for seconds, soon in ((60, True), (1, False)):
            async with relay(tmp_path) as here, client(here.stream) as scene:
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                for number in range(8):
                    await scene.letters.until_told(*["up", "down"] * number, "up")
                    await trio.sleep(seconds)
                    await scene.lines.streams[-1].close()
                waits = [after - before - seconds for before, after in pairwise(scene.lines.dialled)]
                assert (max(waits) <= FIRST_WAIT) == soon

    run(main)


def test_which_addresses_are_dialled() -> None:
    """Where we watch, its own; else as the deposit names them. No nonsense, no circuits, few, and WebSocket besides."""

    async def main() -> None:
        stranger = [f"/ip4/10.0.0.{number}/tcp/4001" for number in range(1, 8)]
        circuit = multiaddrs.circuit(stranger[0], PeerKey(b"\x03" * 32))
        named = replace(AT_RELAY, addresses=(b"\xff", *map(multiaddrs.pack, [circuit, *stranger])))
        async with client(unreachable) as scene:
            scene.boxes.deposit(named, theirs(BOB), A_DAY, numbered(1))
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [each + over for each in stranger[:4] for over in ("", "/ws")]
            await trio.sleep(2 * RETRY_SECONDS)
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [WHERE, WHERE + "/ws"]
            await trio.sleep(2 * RETRY_SECONDS)
            scene.boxes.deposit(named, theirs(BOB), A_DAY, [(7, blob(7))])
            await wait_all_tasks_blocked()
            assert scene.lines.addresses_tried == [WHERE, WHERE + "/ws"]
            assert len(scene.lines.dialled) >= 3

    run(main)


def test_a_call_is_an_attempt_but_not_twice_a_second() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(3600.5)
            before = len(scene.lines.dialled)
            for _ in range(5):
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                await wait_all_tasks_blocked()
            assert len(scene.lines.dialled) == before + 1
            await trio.sleep(RETRY_SECONDS + 0.1)
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(1))
            await wait_all_tasks_blocked()
            assert len(scene.lines.dialled) == before + 2

    run(main)


def test_a_deposit_is_given_back_when_the_attempt_failed_and_then_at_once() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            scene.lines.patience = 10
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(1, 2, 3))
            assert scene.boxes.relay_health()[RelayName(RELAY)].state == "connecting"
            await trio.sleep(9)
            assert scene.letters.lost == []
            await trio.sleep(1.01)
            assert scene.letters.lost == [0, 1, 2]
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(7, blob(7))])
            assert scene.letters.lost == [0, 1, 2]  # not in the call itself
            await wait_all_tasks_blocked()
            assert scene.letters.lost == [0, 1, 2, 7]

    run(main)


def test_one_that_is_not_needed_any_more_is_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [])  # nothing was watched: nothing is done
            assert scene.boxes.relay_health() == {}
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, numbered(1))
            await trio.sleep(IDLE_SECONDS - 1)
            assert scene.health == ("connected", "")
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(5, blob(5))])
            await trio.sleep(IDLE_SECONDS - 1)
            assert here.mailbox.clients == 1
            await trio.sleep(2)
            assert here.mailbox.clients == 0
            assert scene.boxes.relay_health() == {}
            assert scene.letters.told == ["up"]  # it would answer
            scene.boxes.deposit(AT_RELAY, theirs(BOB), A_DAY, [(6, blob(6))])
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE, 5: DONE, 6: DONE})
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(10 * IDLE_SECONDS)
            assert here.mailbox.clients == 1
            scene.boxes.watch(AT_RELAY, [])
            scene.boxes.taken(RelayName(RELAY), BOB.queue.id, scene.letters.last(BOB))
            await trio.sleep(10)
            assert here.store.blobs == 0  # the last delete went out
            assert scene.boxes.relay_health() == {}

    run(main)


@pytest.mark.parametrize("deposits", [False, True])
def test_a_cut_cable_is_noticed(tmp_path: Path, deposits: bool) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [own(BOB)])
            await trio.sleep(1000)
            assert scene.letters.told == ["up"]  # silence is broken by pings
            scene.lines.streams[0].cut = True
            began = trio.current_time()
            if deposits:
                scene.boxes.deposit(AT_RELAY, theirs(CAROL), A_DAY, numbered(1))
            await scene.letters.until_told("up", "down")
            took = trio.current_time() - began
            assert took <= (0 if deposits else PING_AFTER_SECONDS + CHECK_SECONDS) + LOST_AFTER_SECONDS + CHECK_SECONDS
            assert scene.letters.lost == ([0] if deposits else [])
            await scene.letters.until_told("up", "down", "up")
            assert scene.lines.disconnected == 1

    run(main)


def test_tokens(tmp_path: Path) -> None:
    async def main() -> None:
        for token, health in [
            (b"friends only", ("connected", "")),
            (b"wrong", ("refused", "it does not take our token")),
            (b"", ("refused", "it serves only those who have its token")),
        ]:
            limits = replace(LIMITS, token=b"friends only")
            async with relay(tmp_path, limits) as here, client(here.stream, b"friends only") as scene:
                at = replace(AT_RELAY, token=token)
                scene.boxes.deposit(at, theirs(BOB), A_DAY, numbered(token.decode()))
                await scene.letters.until(lambda: bool(scene.letters.codes or scene.letters.lost))
                assert scene.health == health
                assert scene.letters.told == (["up"] if token == b"friends only" else [])

    run(main)


def test_secrets_and_addresses_stay_out_of_what_is_shown() -> None:
    shown = repr([replace(AT_RELAY, token=b"friends only"), own(BOB), theirs(BOB)])
    for secret in (b"friends only", BOB.fetch, BOB.put):
        assert repr(secret)[2:-1] not in shown


def test_everything_ends_with_the_nursery(tmp_path: Path) -> None:
    """In the middle of collecting, depositing and a stamp that takes for ever: nothing is told any more."""

    async def main() -> None:
        async with relay(tmp_path, replace(LIMITS, stamp_bits=26)) as here:
            await fill(here, BOB, *range(600))
            async with client(here.stream) as scene:
                scene.letters.held = trio.Event()
                scene.boxes.watch(AT_RELAY, [own(BOB)])
                scene.boxes.deposit(AT_RELAY, theirs(Keys("invited", STAMPED)), A_DAY, numbered(1))
                await scene.letters.until(lambda: bool(scene.letters.batches))
            assert all(line.closed for line in scene.lines.streams)
            assert scene.letters.told == ["up"]
            assert scene.letters.lost == []

    run_for_real(main)


# --- over real connections --------------------------------------------------------------------------------------------


class Person:
    """A host, its mailboxes, and the engine's end."""

    def __init__(self, number: int, nursery: trio.Nursery) -> None:
        self.host = make(number)
        self.letters = Letters()
        self.boxes = MailboxPool(self.host, self.letters, nursery, lambda: NOW, Random(number).randbytes)
        self.letters.boxes = self.boxes


class Picky(Middle):
    """A way to a host on which only what looks like HTTP gets through."""

    refused = 0

    async def _serve(self, outer: trio.SocketStream) -> None:
        head = await outer.socket.recv(4, socket.MSG_PEEK)
        if head == b"GET ":
            await super()._serve(outer)
        else:
            self.refused += 1
            await outer.aclose()


def test_two_people_by_two_relays(tmp_path: Path) -> None:
    """One relay dies and comes back, on the port it had, with what it kept; the other does not notice."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            alice, bob = Person(1, nursery), Person(2, nursery)
            async with running(alice.host, bob.host), serving(make(8), tmp_path) as steady:
                mortal = make(9)
                async with serving(mortal, tmp_path) as first:
                    relays = [steady.relay, first.relay]
                    for number, at in enumerate(relays):
                        bob.boxes.watch(at, [own(BOB)])
                        alice.boxes.deposit(at, theirs(BOB), A_DAY, [(number, blob(number))])
                    await bob.letters.until(lambda: set(bob.letters.blobs(BOB)) == {blob(0), blob(1)})
                    await alice.letters.until(lambda: alice.letters.codes == {0: DONE, 1: DONE})
                    assert first.store.blobs == steady.store.blobs == 1
                await bob.letters.until(lambda: bob.letters.told == ["up", "up", "down"])
                await alice.letters.until(lambda: alice.letters.told == ["up", "up", "down"])
                assert bob.boxes.relay_health()[RelayName(mortal.peer)].state == "unreachable"
                assert bob.boxes.relay_health()[RelayName(steady.host.peer)].state == "connected"
                alice.boxes.deposit(relays[1], theirs(BOB), A_DAY, [(2, blob(2))])
                alice.boxes.deposit(relays[0], theirs(BOB), A_DAY, [(3, blob(3))])
                await alice.letters.until(lambda: 2 in alice.letters.lost and 3 in alice.letters.codes)
                async with serving(mortal, tmp_path) as second:
                    await alice.letters.until(lambda: alice.letters.told.count("up") == 3)
                    alice.boxes.deposit(second.relay, theirs(BOB), A_DAY, [(4, blob(4))])
                    await bob.letters.until(lambda: blob(4) in bob.letters.blobs(BOB))
                    assert bob.letters.blobs(BOB).count(blob(1)) == 2  # it was not taken: it came again
                    assert second.store.blobs == 2
            nursery.cancel_scope.cancel()

    run_for_real(main, MockClock(rate=5))


def test_where_raw_tcp_is_refused_it_goes_by_websocket(tmp_path: Path) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            bob = Person(2, nursery)
            async with running(bob.host), serving(make(9, web=True), tmp_path) as served:
                picky = Picky(served.host)
                await nursery.start(picky.run)
                at = replace(served.relay, addresses=(multiaddrs.pack(picky.address),))
                bob.boxes.deposit(at, theirs(BOB), A_DAY, numbered(1, 2))
                bob.boxes.watch(at, [own(BOB)])
                await bob.letters.until(lambda: bob.letters.blobs(BOB) == [blob(1), blob(2)])
                assert picky.refused == 1
            nursery.cancel_scope.cancel()

    run_for_real(main)


def test_after_a_cut_cable_there_is_a_new_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            bob = Person(2, nursery)
            async with running(bob.host), serving(make(9), tmp_path) as served:
                middle = Middle(served.host)
                await nursery.start(middle.run)
                at = replace(served.relay, addresses=(multiaddrs.pack(middle.address),))
                bob.boxes.watch(at, [own(BOB)])
                await bob.letters.until_told("up")
                middle.cut = True
                bob.boxes.deposit(at, theirs(BOB), A_DAY, numbered(1))
                await bob.letters.until(lambda: bob.letters.lost == [0])
                middle.cut = False
                await bob.letters.until_told("up", "down", "up")
                bob.boxes.deposit(at, theirs(BOB), A_DAY, [(1, blob(1))])
                await bob.letters.until(lambda: blob(1) in bob.letters.blobs(BOB))
            nursery.cancel_scope.cancel()

    run_for_real(main, MockClock(rate=10))
