"""Deposits at a relay: results, stamps, and what is returned to the engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.mailbox import BAD_STAMP, DONE, QUEUE_FULL, STAMPED, TOO_FAST
from p2pchat.net.mailbox.deposit import MAX_CROWDED_STAMP_BITS, MAX_WAITING
from p2pchat.relay.store import Quota
from tests.support.boxes import LIMITS, Keys, blob, relay, run
from tests.support.deposits import BOB, CAROL, HOURS_A_DAY, collects, fill, numbered, run_for_real
from tests.support.mails import AT_RELAY, client, own, theirs


def test_each_deposit_is_answered_once_and_lies_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(*range(1000)))
            scene.boxes.deposit(AT_RELAY, theirs(CAROL), HOURS_A_DAY, [(2000, blob("large", 65_536))])
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
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(*range(10)))
            await scene.letters.until(lambda: len(codes) == 10)
            assert Counter(codes.values()) == {DONE: 5, QUEUE_FULL: 3, TOO_FAST: 2}
            bad = replace(theirs(CAROL), flags=0x80)
            scene.boxes.deposit(AT_RELAY, bad, HOURS_A_DAY, [(100, blob(1))])
            await scene.letters.until(lambda: len(codes) == 11)
            scene.boxes.deposit(AT_RELAY, bad, HOURS_A_DAY, [(101, blob(1))])
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
            scene.boxes.deposit(AT_RELAY, theirs(invited), HOURS_A_DAY, numbered(1, 2, 3))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(10, blob(4))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 4)
            assert set(scene.letters.codes.values()) == {DONE}
            scene.letters.takes = True
            scene.boxes.watch(AT_RELAY, [own(invited)])
            await scene.letters.until(lambda: collects(scene, invited, 3))
            await trio.sleep(1)
            assert here.store.blobs == 1
            scene.boxes.deposit(AT_RELAY, theirs(invited), HOURS_A_DAY, [(20, blob(1))])
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
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(0, blob("first"))])
            await scene.letters.until(lambda: scene.letters.codes == {0: DONE})
            if not before:
                await fill(here, Keys("others"), *range(100, 131))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob(number)) for number in (1, 2, 3)])
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
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, numbered(1))
            await scene.letters.until(lambda: scene.letters.codes == {0: BAD_STAMP})

    run(main)


def test_deposits_in_more_queues_than_a_stream_can_open(tmp_path: Path) -> None:
    async def main() -> None:
        every = [Keys(f"friend {number}") for number in range(1100)]
        async with relay(tmp_path) as here, client(here.stream) as scene:
            for number, keys in enumerate(every):
                scene.boxes.deposit(AT_RELAY, theirs(keys), HOURS_A_DAY, [(number, blob(number))])
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
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob("same")) for number in range(5000)])
            await wait_all_tasks_blocked()
            assert scene.letters.lost == list(range(MAX_WAITING, 5000))
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(5000, blob("more"))])
            await wait_all_tasks_blocked()
            assert scene.letters.lost[-1] == 5000
            await scene.letters.until(lambda: len(scene.letters.codes) == MAX_WAITING)
            scene.boxes.deposit(
                AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, bytes(65_536)) for number in range(6000, 7000)]
            )
            await scene.letters.until(lambda: len(scene.letters.codes) + len(scene.letters.lost) == 6001)
            assert 400 < len([number for number in scene.letters.lost if number >= 6000]) < 600

    run(main)


def test_a_loss_gives_back_all_that_was_not_answered_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.deposit(AT_RELAY, theirs(BOB), HOURS_A_DAY, [(1, blob(1))])
            await scene.letters.until(lambda: len(scene.letters.codes) == 1)
            line = scene.lines.streams[0]
            line.cut = True
            scene.boxes.deposit(
                AT_RELAY, theirs(BOB), HOURS_A_DAY, [(number, blob(number)) for number in range(2, 602)]
            )
            await wait_all_tasks_blocked()
            began = trio.current_time()
            await line.close()
            await scene.letters.until(lambda: len(scene.letters.lost) == 600)
            assert trio.current_time() == began
            assert scene.letters.told == ["up", "down"]
            assert scene.health[0] == "unreachable"

    run(main)
