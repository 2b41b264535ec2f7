"""File boxes at a relay: blobs of files put, asked for and deleted by name."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, count
from pathlib import Path

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.ids import QueueId
from p2pchat.core.mailbox import FILES, TO_FETCH, TO_PUT
from p2pchat.errors import DiskFull
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import box_store, file_boxes
from p2pchat.relay.box_store import BoxQuota
from tests.support.boxes import LIMITS, RELAY, Keys, MailClient, Relay, blob, opened, relay, run

SIZE = 65_536
BOX = Keys("bob", FILES)
BLOBS = [blob(number, SIZE) for number in range(20)]


async def both(at: Relay, keys: Keys = BOX, room: int = 1 << 18) -> tuple[MailClient, MailClient]:
    """Return the sender's stream and the recipient's, each with the box as handle 0."""
    return await opened(at, TO_PUT, keys), await opened(at, TO_FETCH, keys, room)


def test_blobs_are_put_and_asked_for_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at)
            assert await sender.put(0, *BLOBS[:3], BLOBS[0]) == [0, 0, 0, 0]
            for client in (sender, recipient):
                assert await client.have(0, BLOBS[2], BLOBS[5], BLOBS[0]) == [True, False, True]
            assert await recipient.get(0, BLOBS[2], BLOBS[5], BLOBS[0]) == [BLOBS[2], None, BLOBS[0]]
            assert await recipient.get(0, *BLOBS[3:19]) == [None] * 16
            assert await recipient.forget(0, BLOBS[2], BLOBS[7]) == mailbox.DONE
            assert await sender.have(0, *BLOBS[:3]) == [True, True, False]
            assert await sender.forget(0, BLOBS[0]) == mailbox.DONE, "the sender takes back what is withdrawn"
            assert await recipient.get(0, *BLOBS[:3]) == [None, BLOBS[1], None]
            assert (at.mailbox.counts.files_deposited, at.mailbox.counts.files_fetched) == (3, 3)

    run(main)


def test_a_long_answer_has_all_blobs_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at, room=20_000)
            assert set(await sender.put(0, *BLOBS)) == {0}
            await recipient.ask_for(0, *BLOBS[:16])
            await recipient.ask_for(0, *BLOBS[16:])
            assert await recipient.got(16) == BLOBS[:16]
            assert await recipient.got(4) == BLOBS[16:]

    run(main)


def test_what_does_not_belong_to_a_file_box_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at)
            assert await sender.put(0, blob("small"), blob("half", 16_384)) == [mailbox.MALFORMED] * 2
            assert await sender.put(0, BLOBS[0], hours=LIMITS.file_hours + 1) == [mailbox.MALFORMED]
            assert await sender.put(0, BLOBS[0], hours=0) == [mailbox.MALFORMED]
            assert await recipient.put(0, BLOBS[0]) == [mailbox.NOT_ALLOWED]
            assert await sender.get(0, BLOBS[0]) == mailbox.NOT_ALLOWED
            assert await recipient.delete(0, 1 << 62) == mailbox.NOT_ALLOWED
            assert (await recipient.fetch(8, (0, 0)))[2].code == mailbox.NOT_ALLOWED
            assert (await recipient.fetch(0, (0, 0)))[2].code == mailbox.NOT_ALLOWED, "to watch"
            queue = Keys("bob")
            assert await sender.open(1, TO_PUT, queue) == await recipient.open(1, TO_FETCH, queue) == 0
            assert await recipient.have(1, BLOBS[0]) == mailbox.NOT_ALLOWED
            assert await recipient.get(1, BLOBS[0]) == mailbox.NOT_ALLOWED
            assert await recipient.get(9, BLOBS[0]) == await recipient.have(9, BLOBS[0]) == mailbox.NOT_ALLOWED
            assert await sender.forget(1, BLOBS[0]) == mailbox.NOT_ALLOWED, "of a queue, only its owner may"
            assert at.boxes is not None
            assert not at.boxes.blobs
            assert await sender.open(2, TO_PUT, Keys("mixed", FILES | mailbox.STAMPED)) == mailbox.NOT_ALLOWED

    run(main)


def test_many_fetch_from_a_shared_box_and_none_of_them_deletes(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            shared = Keys("group", mailbox.SHARED_FILES)
            sender, *readers = [await opened(at, role, shared) for role in (TO_PUT, TO_FETCH, TO_FETCH)]
            assert await sender.put(0, *BLOBS[:2]) == [0, 0]
            for reader in readers:
                assert await reader.get(0, *BLOBS[:2]) == BLOBS[:2]
                assert await reader.forget(0, *BLOBS[:2]) == mailbox.NOT_ALLOWED
                assert await reader.put(0, BLOBS[2]) == [mailbox.NOT_ALLOWED]
            assert await readers[0].have(0, *BLOBS[:3]) == [True, True, False]
            assert await sender.forget(0, BLOBS[0]) == mailbox.DONE
            assert await readers[1].get(0, *BLOBS[:2]) == [None, BLOBS[1]]
            assert await sender.open(1, TO_PUT, Keys("group", mailbox.SHARED)) == mailbox.NOT_ALLOWED

    run(main)


def test_a_box_and_a_queue_with_the_same_keys_are_two(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at)
            await sender.open(1, TO_PUT, Keys("bob"))
            await recipient.open(1, TO_FETCH, Keys("bob"))
            assert await sender.put(1, BLOBS[0]) == await sender.put(0, BLOBS[1]) == [0]
            assert [one.blob for one in (await recipient.fetch(8, (1, 0)))[0]] == [BLOBS[0]]
            assert await recipient.get(0, BLOBS[0], BLOBS[1]) == [None, BLOBS[1]]
            assert (at.store.blobs, at.boxes and at.boxes.blobs) == (1, 1)

    run(main)


def test_a_relay_without_file_boxes_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, files=None) as at:
            client = await at.client()
            assert (client.hello.file_bytes, client.hello.file_hours) == (0, 0)
            assert await client.open(0, TO_PUT, BOX) == mailbox.NOT_ALLOWED
            assert await client.get(0, BLOBS[0]) == await client.have(0, BLOBS[0]) == mailbox.NOT_ALLOWED
            assert await client.put(0, BLOBS[0]) == [mailbox.NOT_ALLOWED]
        async with relay(tmp_path) as at:
            client = await at.client()
            assert (client.hello.file_bytes, client.hello.file_hours) == (16 << 20, 168)

    run(main)


def test_limits_of_a_box_of_a_place_and_of_all(tmp_path: Path) -> None:
    async def main() -> None:
        limits = replace(LIMITS, file_place_bytes=12 * SIZE)
        async with relay(tmp_path, limits, files=BoxQuota(16 * SIZE, 8 * SIZE)) as at:
            sender, _ = await both(at)
            assert await sender.put(0, *BLOBS[:9]) == [0] * 8 + [mailbox.QUEUE_FULL]
            assert await sender.put(0, *BLOBS[9:13]) == [mailbox.QUEUE_FULL] * 3 + [mailbox.TOO_FAST]
            assert at.mailbox.counts.files_refused["queue full"] == 4
            assert sum(at.mailbox.counts.refused.values()) == 0
            queue = await opened(at, TO_PUT, Keys("letters"))
            assert await queue.put(0, BLOBS[0]) == [0], "the budget of messages is another"

    run(main)


def test_a_crowded_space_for_files_wants_stamps_and_messages_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, files=BoxQuota(8 * SIZE, 8 * SIZE)) as at:
            sender, recipient = await both(at)
            assert await sender.put(0, *BLOBS[:7]) == [0] * 7
            assert await sender.put(0, BLOBS[7]) == [mailbox.STAMP_NEEDED]
            assert await sender.put(0, BLOBS[7], stamp=1) == [mailbox.BAD_STAMP]
            qid = QueueId(BOX.queue.id)
            stamp = mailbox.make_stamp(RELAY, qid, BLOBS[7], at.clock[0], LIMITS.stamp_bits)
            assert await sender.put(0, BLOBS[7], stamp=stamp) == [0]
            await recipient.forget(0, BLOBS[7])
            assert await sender.put(0, BLOBS[7], stamp=stamp) == [mailbox.BAD_STAMP], "it was used"
            queue = await opened(at, TO_PUT, Keys("letters"))
            assert await queue.put(0, blob("letter")) == [0]

    run(main)


def test_files_expire_and_are_overwritten(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at)
            assert await sender.put(0, *BLOBS[:2], hours=2) == await sender.put(0, *BLOBS[2:4], hours=9) == [0, 0]
            assert await sender.put(0, BLOBS[1], hours=9) == [0], "the later expiry counts"
            disk = tmp_path / "files.blobs"
            assert BLOBS[0] in disk.read_bytes()
            at.clock[0] += 3 * HOUR_MS
            await trio.sleep(31)
            await recipient.ping()
            assert await recipient.have(0, *BLOBS[:4]) == [False, True, True, True]
            await recipient.forget(0, BLOBS[2])
            await trio.sleep(31)
            content = disk.read_bytes()
            assert [one in content for one in BLOBS[:4]] == [False, True, False, True]

    run(main)


def test_however_much_is_deleted_all_of_it_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_OVERWRITTEN_AT_ONCE", "MAX_EXPIRED_AT_ONCE"):
        monkeypatch.setattr(box_store, name, 4)
    monkeypatch.setattr(file_boxes, "MAX_EXPIRED_AT_ONCE", 4)

    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, _ = await both(at)
            await sender.put(0, *BLOBS[:10])
            await sender.put(0, *BLOBS[10:], hours=2)
            await sender.forget(0, *BLOBS[:10])
            at.clock[0] += 3 * HOUR_MS
            await trio.sleep(31)
            assert not (tmp_path / "files.blobs").read_bytes().strip(b"\0")

    run(main)


def test_who_reads_slowly_delays_nobody_and_no_message(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, _ = await both(at)
            await sender.put(0, *BLOBS[:16])
            slow = [await opened(at, TO_FETCH, BOX, room=1000) for _ in range(8)]
            for client in slow:
                for _ in range(4):
                    await client.ask_for(0, *BLOBS[:16])
            quick = await opened(at, TO_FETCH, BOX)
            assert await quick.get(0, *BLOBS[:16]) == BLOBS[:16]
            assert at.mailbox.waiting_bytes <= 9 * (file_boxes.BLOBS_A_TURN + 1) * (SIZE + 100)
            queue = await opened(at, TO_PUT, Keys("letters"))
            assert await queue.put(0, blob("letter")) == [0]

    run(main)


def test_however_answers_are_asked_for_little_waits(tmp_path: Path) -> None:
    async def main() -> None:
        places = (f"203.0.{number}.1" for number in count())
        async with relay(tmp_path, place_of=lambda stream: next(places)) as at:
            sender, _ = await both(at)
            await sender.put(0, BLOBS[0])
            slow = [await opened(at, TO_FETCH, BOX, room=8000) for _ in range(20)]
            for client in slow:
                for _ in range(16):
                    await client.ask_for(0, BLOBS[0])
            await trio.sleep(1)
            assert at.mailbox.waiting_bytes <= 20 * (file_boxes.BLOBS_A_TURN + 1) * (SIZE + 100)
            assert at.mailbox.counts.files_fetched >= 20, "each has its turn"
            for client in slow:
                for _ in range(16):
                    assert await client.got(1) == [BLOBS[0]]

    run(main)


def test_a_disk_that_fails_does_not_say_that_files_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFull("full")

    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, owner = await both(at)
            await sender.put(0, BLOBS[0])
            with monkeypatch.context() as patch:
                patch.setattr(box_store.BoxStore, "have", full)
                patch.setattr(box_store.BoxStore, "get", full)
                assert await sender.have(0, BLOBS[0]) == mailbox.RELAY_FULL
                assert await owner.get(0, BLOBS[0]) == mailbox.RELAY_FULL
            assert await sender.have(0, BLOBS[0]) == [True]
            assert await owner.get(0, BLOBS[0]) == [BLOBS[0]]

    run(main)


def test_where_memory_is_short_the_slowest_makes_room(tmp_path: Path) -> None:
    async def main() -> None:
        places = (f"203.0.{number}.1" for number in count())
        async with relay(tmp_path, place_of=lambda stream: next(places)) as at:
            sender, _ = await both(at)
            await sender.put(0, *BLOBS[:16])
            most = file_boxes.MAX_OUT_BYTES // (file_boxes.BLOBS_A_TURN * SIZE)
            slow = [await opened(at, TO_FETCH, BOX, room=1000) for _ in range(most)]
            for client in slow:
                await client.ask_for(0, *BLOBS[:16])
            while at.mailbox.counts.files_fetched < most * file_boxes.BLOBS_A_TURN:
                await trio.lowlevel.checkpoint()
            quick = await opened(at, TO_FETCH, BOX)
            with trio.fail_after(60):
                assert await quick.get(0, *BLOBS[:16]) == BLOBS[:16]
            assert at.mailbox.clients == 2 + most - 1 + 1, "one was ended"

    run(main)


def test_one_network_of_slow_clients_keeps_nobody_out(tmp_path: Path) -> None:
    async def main() -> None:
        places = chain(["192.0.2.1"] * 3, (f"203.0.113.{number % 250}" for number in range(100)), ["192.0.2.2"])
        async with relay(tmp_path, place_of=lambda stream: next(places)) as at:
            sender, _ = await both(at)
            await sender.put(0, *BLOBS[:16])
            await opened(at, TO_FETCH, BOX)
            for _ in range(100):
                client = await opened(at, TO_FETCH, BOX, room=1000)
                await client.ask_for(0, *BLOBS[:16])
            turn = file_boxes.BLOBS_A_TURN
            while at.mailbox.counts.files_fetched * SIZE < file_boxes.UNSHARED_OUT_BYTES:
                await trio.lowlevel.checkpoint()
            quick = await opened(at, TO_FETCH, BOX)
            before = trio.current_time()
            assert await quick.get(0, *BLOBS[:16]) == BLOBS[:16]
            assert trio.current_time() - before < 16 / turn * file_boxes.RECHECK_SECONDS + 1
            assert at.mailbox.clients == 104

    run(main)


def test_a_place_is_given_only_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_boxes, "EGRESS_BYTES", 8 << 20)

    async def main() -> None:
        async with relay(tmp_path) as at:
            sender, recipient = await both(at)
            await sender.put(0, *BLOBS[:16])
            began = trio.current_time()
            for _ in range(file_boxes.EGRESS_BYTES // (16 * SIZE)):
                await recipient.ask_for(0, *BLOBS[:16])
                await recipient.got(16)
            assert trio.current_time() - began < 5
            for _ in range(16):
                await recipient.ask_for(0, *BLOBS[:16])
                await recipient.got(16)
            assert trio.current_time() - began > 0.9 * 16 * 16 * SIZE / file_boxes.EGRESS_RATE

    run(main)
