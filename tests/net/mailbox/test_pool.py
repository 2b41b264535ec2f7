"""The client's side of mailboxes and the program's own relay: in memory with a clock that jumps, and over loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.ids import RelayName
from p2pchat.core.mailbox import BOX, DONE
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox.client import IDLE_SECONDS
from p2pchat.net.mailbox.fetch import DELETE_DELAY_SECONDS, MAX_PAGE_BYTES, MAX_WAITING_BYTES
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.net.mailbox.shares import MAX_WATCHED
from p2pchat.net.mailbox.stream import LOST_AFTER_SECONDS, PING_AFTER_SECONDS
from tests.support.boxes import NOW, Keys, blob, relay, run
from tests.support.deposits import BOB, CAROL, HOURS_A_DAY, collects, fill, numbered, run_for_real
from tests.support.hosts import Middle, make, running
from tests.support.mails import AT_RELAY, RELAY, Letters, Lines, client, own, serving, theirs

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
            boxes.deposit(at_hidden, theirs(BOB), HOURS_A_DAY, numbered(1))
            await closing.wait()
            boxes.deposit(at_hidden, theirs(BOB), HOURS_A_DAY, [(2, blob(2))])
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


# --- over real connections --------------------------------------------------------------------------------------------


class Person:
    """A host, its mailboxes, and the engine's end."""

    def __init__(self, number: int, nursery: trio.Nursery) -> None:
        self.host = make(number)
        self.letters = Letters()
        random = Random(number).randbytes
        self.boxes = MailboxPool(self.host, self.letters, nursery, lambda: NOW, random, log_callbacks=self.letters)
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
                        alice.boxes.deposit(at, theirs(BOB), HOURS_A_DAY, [(number, blob(number))])
                    await bob.letters.until(lambda: set(bob.letters.blobs(BOB)) == {blob(0), blob(1)})
                    await alice.letters.until(lambda: alice.letters.codes == {0: DONE, 1: DONE})
                    assert first.store.blobs == steady.store.blobs == 1
                await bob.letters.until(lambda: bob.letters.told == ["up", "up", "down"])
                await alice.letters.until(lambda: alice.letters.told == ["up", "up", "down"])
                assert bob.boxes.relay_health()[RelayName(mortal.peer)].state == "unreachable"
                assert bob.boxes.relay_health()[RelayName(steady.host.peer)].state == "connected"
                alice.boxes.deposit(relays[1], theirs(BOB), HOURS_A_DAY, [(2, blob(2))])
                alice.boxes.deposit(relays[0], theirs(BOB), HOURS_A_DAY, [(3, blob(3))])
                await alice.letters.until(lambda: 2 in alice.letters.lost and 3 in alice.letters.codes)
                async with serving(mortal, tmp_path) as second:
                    await alice.letters.until(lambda: alice.letters.told.count("up") == 3)
                    alice.boxes.deposit(second.relay, theirs(BOB), HOURS_A_DAY, [(4, blob(4))])
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
                bob.boxes.deposit(at, theirs(BOB), HOURS_A_DAY, numbered(1, 2))
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
                bob.boxes.deposit(at, theirs(BOB), HOURS_A_DAY, numbered(1))
                await bob.letters.until(lambda: bob.letters.lost == [0])
                middle.cut = False
                await bob.letters.until_told("up", "down", "up")
                bob.boxes.deposit(at, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
                await bob.letters.until(lambda: blob(1) in bob.letters.blobs(BOB))
            nursery.cancel_scope.cancel()

    run_for_real(main, MockClock(rate=10))
