"""File boxes at a relay, as a node uses them: with the program's own relay in memory, and with relays that lie."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.files import blob_name
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import DONE, FILES
from p2pchat.net.mailbox import boxes as module
from p2pchat.net.mailbox import deposit
from p2pchat.net.mailbox.boxes import MAX_PUT_BLOBS
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.relay.box_store import BoxQuota
from tests.net.mailbox.test_pool import Person
from tests.net.mailbox.test_records import Hosts
from tests.support.boxes import NOW, Keys, blob, relay, run
from tests.support.deposits import run_for_real
from tests.support.hosts import make, running
from tests.support.mails import (
    AT_RELAY,
    WHERE,
    Letters,
    Liar,
    Scene,
    client,
    lied_to,
    own,
    serving,
    theirs,
    unreachable,
)

SIZE = 65_536
BOB = Keys("bob")
BLOBS = [blob(number, SIZE) for number in range(20)]
NAMES = [blob_name(one) for one in BLOBS]
BOX = Keys("bob", FILES)
SHARED = Keys("group", mailbox.SHARED_FILES)


@asynccontextmanager
async def at_a_relay(folder: Path, **options: Any) -> AsyncIterator[tuple[Any, Scene]]:
    """A relay, and a client of it."""
    async with relay(folder, **options) as at, client(at.stream) as scene:
        yield at, scene


def test_blobs_are_put_asked_for_and_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            files = scene.boxes.boxes
            assert await files.room(AT_RELAY) == 16 << 20
            assert await files.put(AT_RELAY, theirs(BOB), 1000, BLOBS[:16]) == [DONE] * 16
            assert await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[16:18]) == [DONE] * 2
            assert await files.have(AT_RELAY, theirs(BOB), NAMES) == [True] * 18 + [False] * 2
            assert await files.get(AT_RELAY, own(BOB), [NAMES[17], NAMES[19], NAMES[3]]) == [BLOBS[17], None, BLOBS[3]]
            assert await files.forget(AT_RELAY, own(BOB), NAMES[:10])
            assert await files.forget(AT_RELAY, theirs(BOB), NAMES[17:19])
            assert await files.have(AT_RELAY, own(BOB), NAMES) == [False] * 10 + [True] * 7 + [False] * 3
            assert await files.get(AT_RELAY, own(Keys("nobody")), NAMES[:2]) == [None, None]
            assert len(scene.lines.streams) == 1
            opens = scene.lines.streams[0].of(mailbox.OPEN)
            assert len(opens) == 3 * mailbox.QUEUES_A_FETCH, "so that contacts cannot be counted"

    run(main)


def test_a_shared_box_is_another_one_and_only_its_sender_deletes(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            files = scene.boxes.boxes
            for keys in (BOB, SHARED):
                assert await files.put(AT_RELAY, theirs(keys), 24, BLOBS[:2]) == [DONE] * 2
            assert not await files.forget(AT_RELAY, own(SHARED), NAMES[:2])
            assert await files.get(AT_RELAY, own(SHARED), NAMES[:2]) == BLOBS[:2]
            assert await files.forget(AT_RELAY, theirs(SHARED), NAMES[:1])
            assert await files.have(AT_RELAY, own(SHARED), NAMES[:2]) == [False, True]
            assert await files.have(AT_RELAY, own(BOB), NAMES[:2]) == [True, True]
            opened = [mailbox.decode_open(frame.body).queue.flags for frame in scene.lines.streams[0].of(mailbox.OPEN)]
            assert opened.count(mailbox.SHARED_FILES) == 2 * mailbox.QUEUES_A_FETCH, "the invented ones look like it"
            assert opened.count(FILES) == 2 * mailbox.QUEUES_A_FETCH

    run(main)


def test_several_calls_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene), trio.open_nursery() as nursery:
            files = scene.boxes.boxes
            await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:16])

            async def get(*places: int) -> None:
                names = [NAMES[place] for place in places]
                assert await files.get(AT_RELAY, own(BOB), names) == [BLOBS[place] for place in places]

            for places in ((1, 2, 3), (5,), (15, 4), (3, 2, 1), tuple(range(16)), (7, 7)):
                nursery.start_soon(get, *places)
            nursery.start_soon(files.have, AT_RELAY, own(BOB), NAMES)

    run(main)


def test_the_stream_is_opened_on_demand_and_ended_when_idle(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            files = scene.boxes.boxes
            assert not scene.lines.streams
            await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:1])
            await trio.sleep(module.IDLE_SECONDS - 1)
            await files.have(AT_RELAY, own(BOB), NAMES[:1])
            await trio.sleep(module.IDLE_SECONDS - 1)
            assert [one.closed for one in scene.lines.streams] == [False]
            await trio.sleep(2)
            assert [one.closed for one in scene.lines.streams] == [True]
            assert await files.get(AT_RELAY, own(BOB), NAMES[:1]) == BLOBS[:1]
            assert len(scene.lines.streams) == 2

    run(main)


def test_mail_has_a_stream_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            scene.boxes.deposit(AT_RELAY, theirs(BOB), 24, [(1, blob("letter"))])
            await scene.boxes.boxes.put(AT_RELAY, theirs(BOB), 24, BLOBS[:2])
            await scene.letters.until(lambda: scene.letters.codes == {1: DONE})
            kinds = [{frame.type for frame in one.said} for one in scene.lines.streams]
            assert kinds == [{mailbox.OPEN, mailbox.PUT}] * 2
            assert sorted(len(one.of(mailbox.PUT)) for one in scene.lines.streams) == [1, 2]

    run(main)


def test_a_relay_without_file_boxes_is_told_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path, files=None) as (_, scene):
            files = scene.boxes.boxes
            assert await files.room(AT_RELAY) == 0
            assert await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:1]) is None
            assert await files.get(AT_RELAY, own(BOB), NAMES[:1]) is None
            assert await files.have(AT_RELAY, own(BOB), NAMES[:1]) is None
            assert not await files.forget(AT_RELAY, own(BOB), NAMES[:1])
            assert not scene.lines.streams[0].said

    run(main)


def test_codes_of_a_full_box_and_stamps_for_a_crowded_relay(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path, files=BoxQuota(16 * SIZE, 15 * SIZE)) as (at, scene):
            files = scene.boxes.boxes
            assert await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:13]) == [DONE] * 13
            codes = await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[13:16])
            assert codes == [DONE, DONE, mailbox.QUEUE_FULL]
            assert at.mailbox.counts.files_refused["stamp needed"] == 3
            assert await files.put(AT_RELAY, theirs(Keys("eve")), 24, BLOBS[16:17]) == [DONE]
            assert at.mailbox.counts.files_refused["stamp needed"] == 3, "stamped at once"

    run(main)


def test_no_more_work_is_done_for_a_relay_than_is_right() -> None:
    async def main() -> None:
        async def greedy(liar: Liar) -> None:
            await liar.greet(stamp_bits=23, file_bytes=1 << 20, file_hours=24)
            await liar.hear_opens()
            numbers = [mailbox.decode_put(await liar.hear(mailbox.PUT)).number for _ in range(2)]
            codes = [(number, mailbox.STAMP_NEEDED) for number in numbers]
            await liar.say((mailbox.RESULTS, mailbox.encode_results(codes)))
            await trio.sleep_forever()

        async with lied_to(greedy) as scene:
            codes = await scene.boxes.boxes.put(AT_RELAY, theirs(BOB), 24, BLOBS[:2])
            assert codes == [mailbox.BAD_STAMP] * 2

    run(main)


def test_a_relay_cannot_have_us_work_for_it_all_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path, files=BoxQuota(16 * SIZE, 64 * SIZE)) as (_, scene):
            files: Any = scene.boxes.boxes
            hello = await files._hello(AT_RELAY)
            monkeypatch.setattr(deposit, "DAILY_STAMP_WORK", 3 << hello.stamp_bits)
            assert await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:13]) == [DONE] * 13
            assert await files.put(AT_RELAY, theirs(Keys("eve")), 24, BLOBS[13:15]) == [DONE] * 2
            assert await files.put(AT_RELAY, theirs(Keys("eve")), 24, BLOBS[15:17]) == [mailbox.BAD_STAMP] * 2
            client = files._of(AT_RELAY)
            assert not client.stamp_work.take(2 << hello.stamp_bits)
            await trio.sleep(24 * 3600)
            assert client.stamp_work.take(2 << hello.stamp_bits)

    run(main)


async def _asked(liar: Liar, **changes: Any) -> mailbox.Getting:
    """Greet, and take the first get."""
    await liar.greet(file_bytes=1 << 20, file_hours=24, **changes)
    await liar.hear_opens()
    return mailbox.decode_get(await liar.hear(mailbox.GET))


def _given(handle: int, place: int, data: bytes) -> tuple[int, bytes]:
    return mailbox.BLOB, mailbox.encode_blob(mailbox.Blob(handle, place, data))


@pytest.mark.parametrize("lie", range(10))
def test_what_was_not_asked_for_ends_the_stream(lie: int) -> None:
    async def main() -> None:
        async def lying(liar: Liar) -> None:
            get = await _asked(liar)
            right, end = (
                _given(get.handle, 0, BLOBS[0]),
                (mailbox.END, mailbox.encode_end(mailbox.End(get.number, 0, False))),
            )
            lies: list[list[tuple[int, bytes]]] = [
                [_given(get.handle, 0, BLOBS[1]), end],  # another blob
                [_given(get.handle, 1, BLOBS[0]), end],  # at the wrong position
                [_given(get.handle, 2, BLOBS[2]), end],  # beyond those that were asked for
                [right, right, end],  # twice
                [_given(get.handle + 1, 0, BLOBS[0]), end],  # of another box
                [_given(get.handle, 0, BLOBS[0][:4096]), end],  # cut short
                [(mailbox.END, mailbox.encode_end(mailbox.End(get.number + 1, 0, False)))],
                [(mailbox.END, mailbox.encode_end(mailbox.End(get.number, 0, True)))],
                [(mailbox.HAD, mailbox.encode_had(get.number, 0, [True]))],
                [(mailbox.RESULTS, mailbox.encode_results([(get.number, 0)]))],
            ]
            await liar.say(*lies[lie])
            await trio.sleep_forever()

        async with lied_to(lying) as scene:
            began = trio.current_time()
            got = await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2])
            assert got in (None, [BLOBS[0], None])
            assert trio.current_time() - began < 1
            assert scene.lines.streams[0].closed
            assert await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2]) is None
            assert len(scene.lines.streams) == 1, "it is not asked again at once"

    run(main)


def test_an_answer_of_another_kind_ends_the_stream() -> None:
    async def main() -> None:
        async def confused(liar: Liar) -> None:
            await liar.greet(file_bytes=1 << 20, file_hours=24)
            await liar.hear_opens()
            have = mailbox.decode_have(await liar.hear(mailbox.HAVE))
            await liar.say((mailbox.RESULTS, mailbox.encode_results([(have.number, DONE)])))
            await trio.sleep_forever()

        async with lied_to(confused) as scene:
            assert await scene.boxes.boxes.have(AT_RELAY, own(BOB), NAMES[:2]) is None
            assert scene.lines.streams[0].closed

    run(main)


def test_blobs_that_nobody_asked_for_end_the_stream() -> None:
    async def main() -> None:
        async def pushing(liar: Liar) -> None:
            await liar.greet(file_bytes=1 << 20, file_hours=24)
            await liar.say(_given(0, 0, BLOBS[0]))
            await trio.sleep_forever()

        async with lied_to(pushing) as scene:
            await scene.boxes.boxes.room(AT_RELAY)
            await trio.sleep(1)
            assert scene.lines.streams[0].closed

    run(main)


def test_a_relay_that_goes_silent_delays_no_more_than_it_may() -> None:
    async def main() -> None:
        async def silent(liar: Liar) -> None:
            get = await _asked(liar)
            await liar.say(_given(get.handle, 0, BLOBS[0]))
            await trio.sleep_forever()

        async with lied_to(silent) as scene:
            got = await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2])
            assert got == [BLOBS[0], None], "what came is kept"
            assert trio.current_time() < 120
            assert scene.lines.disconnected

    run(main)


def test_nothing_is_put_behind_a_second_get_that_a_relay_has_not_read() -> None:
    async def main() -> None:
        async def busy(liar: Liar) -> None:
            first = await _asked(liar)
            second = mailbox.decode_get(await liar.hear(mailbox.GET))
            with trio.move_on_after(1):
                await liar.hear(mailbox.PUT)
                raise AssertionError("it was put while two gets were unanswered")
            await liar.end(first.number)
            numbers = [mailbox.decode_put(await liar.hear(mailbox.PUT)).number for _ in range(16)]
            await liar.say((mailbox.RESULTS, mailbox.encode_results([(number, DONE) for number in numbers])))
            await liar.end(second.number)
            await trio.sleep_forever()

        async with lied_to(busy) as scene, trio.open_nursery() as nursery:
            files = scene.boxes.boxes
            for place in range(2):
                nursery.start_soon(files.get, AT_RELAY, own(BOB), NAMES[place : place + 1])
            await trio.sleep(0.1)
            assert await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:16]) == [DONE] * 16

    run(main)


def test_a_call_is_made_once_more_where_the_stream_ends() -> None:
    async def main() -> None:
        async def ending(liar: Liar) -> None:
            await _asked(liar)

        async def answering(liar: Liar) -> None:
            get = await _asked(liar)
            await liar.say(_given(get.handle, 1, BLOBS[1]))
            await liar.end(get.number)
            await trio.sleep_forever()

        async with lied_to(ending, answering) as scene:
            assert await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2]) == [None, BLOBS[1]]
        async with lied_to(ending) as scene:
            for _ in range(20):
                assert await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2]) is None
            assert len(scene.lines.streams) == 2, "after that, as one that is not reached"
            await trio.sleep(100)
            for _ in range(20):
                await scene.boxes.boxes.get(AT_RELAY, own(BOB), NAMES[:2])
            assert len(scene.lines.streams) == 4

    run(main)


def test_a_relay_that_is_not_reached_is_left_alone_for_a_while() -> None:
    async def main() -> None:
        async with client(unreachable) as scene:
            files = scene.boxes.boxes
            for _ in range(5):
                assert await files.room(AT_RELAY) is None
            assert len(scene.lines.dialled) == 1
            await trio.sleep(2)
            assert await files.room(AT_RELAY) is None
            assert len(scene.lines.dialled) == 2
            scene.boxes.network_changed(hidden=False)
            assert await files.room(AT_RELAY) is None
            assert len(scene.lines.dialled) == 3

    run(main)


def test_a_short_connection_is_not_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            scene.lines.short = True
            assert await scene.boxes.boxes.put(AT_RELAY, theirs(BOB), 24, BLOBS[:1]) is None
            assert not scene.lines.streams[0].said

    run(main)


def test_a_caller_may_give_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            files = scene.boxes.boxes
            await files.put(AT_RELAY, theirs(BOB), 24, BLOBS[:4])
            with trio.move_on_after(0):
                await files.get(AT_RELAY, own(BOB), NAMES[:4])
            assert await files.get(AT_RELAY, own(BOB), NAMES[:4]) == BLOBS[:4]

    run(main)


def test_files_of_hidden_contacts_take_a_circuit_from_a_host_of_their_own_or_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at, trio.open_nursery() as nursery:
            hosts, letters = Hosts(at.stream), Letters()
            lines = await hosts.new().__aenter__()
            mine = PeerKey(b"\x11" * 32)
            pool = MailboxPool(
                lines, letters, nursery, lambda: NOW, Random(1).randbytes, hosts.new, lambda: [(mine, [WHERE])]
            )
            apart = replace(AT_RELAY, chosen=False, hidden=True)
            assert await pool.boxes.room(apart) == 16 << 20
            assert not lines.dialled
            (tried,) = [host.addresses_tried for host in hosts.made[1:]]
            assert all("/p2p-circuit" in address for address in tried)
            pool = MailboxPool(lines, letters, nursery, lambda: NOW, Random(1).randbytes, hosts.new)
            assert await pool.boxes.room(apart) is None, "no relay of ours leads there"
            assert await pool.boxes.room(replace(AT_RELAY, peer=lines.peer)) is None, "it is this node"
            assert not lines.dialled
            pool = MailboxPool(lines, letters, nursery, lambda: NOW, Random(1).randbytes, hosts.new, hops=2)
            assert await pool.boxes.room(AT_RELAY) is None, "two hops, and none leads there"
            assert not lines.dialled
            nursery.cancel_scope.cancel()

    run(main)


def test_more_than_fits_in_one_call_is_not_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_a_relay(tmp_path) as (_, scene):
            too_many = [BLOBS[0]] * (MAX_PUT_BLOBS + 1)
            assert await scene.boxes.boxes.put(AT_RELAY, theirs(BOB), 24, too_many) is None

    run(main)


def test_over_real_connections_a_file_comes_while_messages_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            alice, bob = Person(1, nursery), Person(2, nursery)
            async with running(alice.host, bob.host), serving(make(8), tmp_path) as served:
                at = served.relay
                bob.boxes.watch(at, [own(BOB)])
                alice.boxes.deposit(at, theirs(BOB), 24, [(number, blob(number)) for number in range(20)])
                assert await alice.boxes.boxes.put(at, theirs(BOB), 24, BLOBS[:16]) == [DONE] * 16
                assert await bob.boxes.boxes.get(at, own(BOB), NAMES[:16]) == BLOBS[:16]
                await bob.letters.until(lambda: len(bob.letters.blobs(BOB)) == 20)
            nursery.cancel_scope.cancel()

    run_for_real(main)
