"""Logs at a relay: appended to by those who may, read by place, pushed to those who follow, and emptied by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from p2pchat.core import logs, mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.core.logs import LogRead, LogRole
from p2pchat.lib.times import HOUR_MS
from p2pchat.net.ports import Stream
from p2pchat.relay import log_rounds
from p2pchat.relay import logs as relay_logs
from p2pchat.relay.clients import OpenQueue, Outgoing
from p2pchat.relay.counts import Counts
from p2pchat.relay.limits import Origin, PlaceBudget
from p2pchat.relay.log_store import log_quota
from tests.support.boxes import (
    LIMITS,
    RELAY,
    Keys,
    MailClient,
    Relay,
    blob,
    group_log,
    opened,
    opened_log,
    relay,
    run,
)

APPEND, READ, ADMIN = LogRole
SIZE = logs.SMALL_BYTES
ITEMS = [blob(number, SIZE) for number in range(100)]


async def both(at: Relay) -> tuple[MailClient, MailClient]:
    """Return a member who appends and one who reads, each with the log as handle 0."""
    return await opened_log(at, APPEND), await opened_log(at, READ)


def blobs(items: Sequence[tuple[int, bytes]]) -> list[bytes]:
    places = [place for place, _ in items]
    assert places == sorted(set(places))
    return [one for _, one in items]


def test_what_is_appended_is_read_by_place_by_everybody(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member, reader = await both(at)
            mixed = [ITEMS[0], blob("middle", 4096), blob("large", 16_384), blob("largest", 65_536)]
            assert await member.put(0, *mixed, mixed[0]) == [0] * 5, "the same once more is the same"
            items, end = await reader.read(0)
            assert (blobs(items), end.more) == (mixed, False)
            second = await opened_log(at, READ)
            first, end = await second.read(0, want=2)
            assert (blobs(first), end.more) == (mixed[:2], True)
            rest, end = await second.read(0, first[-1][0])
            assert (blobs(rest), end.more) == (mixed[2:], False)
            assert (await second.read(0, 1 << 62))[0] == [], "a place that was never given"
            assert (await second.read(0, (1 << 64) - 1))[0] == []
            counts = at.mailbox.counts
            assert (counts.logs_appended, counts.logs_read, counts.deposits, at.store.blobs) == (4, 8, 0, 0)

    run(main)


def test_a_page_is_bounded_and_read_once_for_all_who_come_to_its_place(tmp_path: Path) -> None:
    read: list[int] = []

    async def main() -> None:
        async with relay(tmp_path) as at:
            assert at.logs is not None
            fetch = at.logs.fetch

            def noting(qid: bytes, after: int, most: int, most_bytes: int) -> list[tuple[int, bytes]]:
                read.append(after)
                return fetch(qid, after, most, most_bytes)

            member = await opened_log(at, APPEND)
            large = [blob(number, 65_536) for number in range(6)]
            await member.put(0, *large)
            at.logs.fetch = noting  # type: ignore[method-assign]
            readers = [await opened_log(at, READ) for _ in range(5)]
            async with trio.open_nursery() as nursery:
                for reader in readers:
                    nursery.start_soon(_read_all, reader, large)
            assert len(read) <= 3, "two pages, and one who came when the second was not in memory yet"

    run(main)


async def _read_all(reader: MailClient, wanted: list[bytes]) -> None:
    first, end = await reader.read(0)
    assert (len(first), end.more) == (4, True), "256 KiB"
    rest, end = await reader.read(0, first[-1][0])
    assert blobs([*first, *rest]) == wanted
    assert not end.more


def test_who_follows_is_sent_what_comes_and_only_that(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member, reader = await both(at)
            await member.put(0, *ITEMS[:3])
            items, end = await reader.read(0, want=2, follow=True)
            assert (len(items), end.more) == (2, True), "not at the end yet, so it does not follow"
            assert blobs((await reader.read(0, items[-1][0], follow=True))[0]) == ITEMS[2:3]
            assert (await reader.read(0))[1].code == mailbox.NOT_ALLOWED, "it follows"
            await member.put(0, ITEMS[1], *ITEMS[3:6])
            assert await reader.next_items(3) == ITEMS[3:6]
            assert at.mailbox.followers == 1
            assert (await reader.read(0, want=0))[1].code == mailbox.DONE, "it follows no more"
            await member.put(0, ITEMS[6])
            assert blobs((await reader.read(0, items[-1][0]))[0]) == ITEMS[2:7]
            await at.gone(reader)
            assert at.mailbox.followers == 0

    run(main)


def test_with_many_followers_all_that_came_goes_out_in_one_write_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_rounds, "MAX_AT_ONCE", 2)
    writes: list[int] = []

    async def main() -> None:
        def write_now(stream: Stream, data: bytes) -> bool:
            writes.append(len(data))
            return False

        async with relay(tmp_path, write_now=write_now) as at:
            member = await opened_log(at, APPEND)
            readers = [await opened_log(at, READ) for _ in range(5)]
            for reader in readers:
                await reader.read(0, follow=True)
            await member.put(0, ITEMS[0])
            for reader in readers:
                assert await reader.next_items(1) == ITEMS[:1], "at once, after a pause"
            began = trio.current_time()
            writes.clear()
            for item in ITEMS[1:9]:
                await member.put(0, item)
            late = await opened_log(at, READ)
            assert len((await late.read(0, follow=True))[0]) == 9, "one who comes in between has read them"
            for reader in readers:
                assert await reader.next_items(8) == ITEMS[1:9]
            assert trio.current_time() - began <= log_rounds.SHORTEST_PAUSE_SECONDS
            assert sum(size > 8 * SIZE for size in writes) == 5 + 1, "the late one's answer"
            await member.put(0, ITEMS[9])
            assert await late.next_items(1) == ITEMS[9:10]

    run(main)


def test_one_who_does_not_take_what_is_pushed_is_left_behind_and_reads_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member = await opened_log(at, APPEND)
            slow = await opened_log(at, READ, room=10_000)
            quick = await opened_log(at, READ)
            await slow.read(0, follow=True)
            await quick.read(0, follow=True)
            large = [blob(number, 65_536) for number in range(8)]
            for one in large:
                await member.put(0, one)
                assert await quick.next_items(1) == [one], "nobody waits for the slow one"
            assert at.mailbox.followers == 1
            assert at.mailbox.waiting_bytes < 4 * 65_536
            while not slow.behind:
                slow._pushed(await slow.frame())
            got = slow.read_of(0)
            more, end = await slow.read(0, got[-1][0], follow=True)
            while end.more:
                got += more
                more, end = await slow.read(0, got[-1][0], follow=True)
            assert blobs([*got, *more]) == large
            await member.put(0, ITEMS[0])
            assert await slow.next_items(1) == ITEMS[:1], "and follows again"

    run(main)


def test_an_overrun_round_leaves_all_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rounds, "MAX_AT_ONCE", 0)
    monkeypatch.setattr(log_rounds, "MAX_ROUND_BYTES", 3 * SIZE)

    async def main() -> None:
        async with relay(tmp_path) as at:
            member, reader = await both(at)
            await reader.read(0, follow=True)
            await member.put(0, ITEMS[0])
            assert await reader.next_items(1) == ITEMS[:1]
            for item in ITEMS[1:6]:
                await member.put(0, item)
            while not reader.behind:
                reader._pushed(await reader.frame())
            assert len((await reader.read(0, follow=True))[0]) == 6

    run(main)


# --- who may ----------------------------------------------------------------------------------------------------


def test_only_who_has_the_key_for_it_opens_a_log(tmp_path: Path) -> None:
    keys = group_log()

    async def main() -> None:
        async with relay(tmp_path) as at:
            client = await at.client()
            stranger = replace(keys, put_seed=b"\x01" * 32, fetch_seed=b"\x02" * 32, admin_seed=b"\x03" * 32)
            for handle, role in enumerate(LogRole):
                assert await client.open_log(handle, role, stranger, log=keys.log) == mailbox.NOT_ALLOWED
            for handle, role in enumerate((ADMIN, READ), start=3):
                with_put = replace(keys, admin_seed=keys.put_seed, fetch_seed=keys.put_seed)
                assert await client.open_log(handle, role, with_put, log=keys.log) == mailbox.NOT_ALLOWED
            assert await client.open_log(5, READ, keys, role=3) == mailbox.NOT_ALLOWED
            log = keys.log
            for flags in (0, 4, 9, 12):
                assert await client.open_log(10 + flags, APPEND, keys, log=log._replace(flags=flags)) == 4
            assert await client.put(0, ITEMS[0]) == [mailbox.NOT_ALLOWED], "it was never opened"

    run(main)


def test_a_signature_opens_nothing_elsewhere(tmp_path: Path) -> None:
    """Neither on another stream, nor at another relay, nor another log, nor for another role."""
    keys, other = group_log(), group_log("another")

    async def main() -> None:
        async with relay(tmp_path) as at:
            seen = await at.client()
            signature = logs.sign_open_log(keys.put_seed, APPEND, RELAY, seen.hello.challenge, keys.log)
            client = await at.client()
            assert await client.open_log(0, APPEND, keys, signature=signature) == mailbox.NOT_ALLOWED
            assert await seen.open_log(0, APPEND, keys, log=other.log, signature=signature) == mailbox.NOT_ALLOWED
            assert await seen.open_log(1, ADMIN, keys, signature=signature) == mailbox.NOT_ALLOWED
            elsewhere = PeerKey(b"\x0e" * 32)
            theirs = logs.sign_open_log(keys.put_seed, APPEND, elsewhere, seen.hello.challenge, keys.log)
            assert await seen.open_log(2, APPEND, keys, signature=theirs) == mailbox.NOT_ALLOWED
            assert await seen.open_log(3, APPEND, keys, signature=signature) == mailbox.DONE

    run(main)


def test_nobody_takes_anything_from_a_log_and_roles_are_kept_apart(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member, reader = await both(at)
            await member.put(0, ITEMS[0])
            assert await reader.delete(0, 1 << 62) == mailbox.NOT_ALLOWED
            assert await reader.forget(0, ITEMS[0]) == await member.forget(0, ITEMS[0]) == mailbox.NOT_ALLOWED
            assert (await reader.fetch(8, (0, 0)))[2].code == mailbox.NOT_ALLOWED
            assert (await reader.fetch(0, (0, 0)))[2].code == mailbox.NOT_ALLOWED, "to watch"
            assert await reader.have(0, ITEMS[0]) == await reader.get(0, ITEMS[0]) == mailbox.NOT_ALLOWED
            assert await reader.put(0, ITEMS[1]) == [mailbox.NOT_ALLOWED]
            assert (await member.read(0))[1].code == (await member.read(7))[1].code == mailbox.NOT_ALLOWED
            assert await member.put(0, ITEMS[2], hours=0) == [mailbox.MALFORMED]
            assert await member.put(0, ITEMS[2], hours=LIMITS.log_hours + 1) == [mailbox.MALFORMED]
            assert blobs((await reader.read(0))[0]) == ITEMS[:1]
            queue = await opened(at, mailbox.TO_FETCH, Keys("bob"))
            assert (await queue.read(0))[1].code == mailbox.NOT_ALLOWED, "a queue is no log"

    run(main)


@pytest.mark.parametrize("size", [1024, 2048, 70_000])
def test_sizes_that_a_queue_has_not_end_the_stream(tmp_path: Path, size: int) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            client = await opened(at, mailbox.TO_PUT, Keys("bob"))
            await client.post(0, blob("x", size))
            assert await client.has_ended()
            assert at.store.blobs == 0

    run(main)


@pytest.mark.parametrize("read", [LogRead(1, 0, 513, False, 0), LogRead(1, 0, 0, True, 0)])
def test_a_senseless_read_ends_the_stream(tmp_path: Path, read: LogRead) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            reader = await opened_log(at, READ)
            await reader.send(Frame(mailbox.READ, logs.encode_read(read)))
            assert await reader.has_ended()

    run(main)


def test_a_relay_without_logs_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, logs_quota=None) as at:
            client = await at.client()
            assert (client.hello.log_bytes, client.hello.log_hours) == (0, 0)
            assert await client.open_log(0, READ, group_log()) == mailbox.NOT_ALLOWED
            assert (await client.read(0))[1].code == mailbox.NOT_ALLOWED
            assert at.mailbox.followers == 0
        async with relay(tmp_path) as at:
            client = await at.client()
            assert (client.hello.log_bytes, client.hello.log_hours) == (16 << 20, 14 * 24)

    run(main)


def test_who_was_told_of_longer_hours_is_served_when_the_operator_has_shortened_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member, _ = await both(at)
            at.mailbox.limit(replace(LIMITS, log_hours=2), at.store.quota)
            assert await member.put(0, ITEMS[0], hours=LIMITS.log_hours) == [0], "it keeps to what the hello said"
            later = await opened_log(at, APPEND)
            assert later.hello.log_hours == 2
            assert await later.put(0, ITEMS[1], hours=3) == [mailbox.MALFORMED]
            assert at.logs is not None
            assert at.logs.expire(at.clock[0] + 4 * HOUR_MS) == 1

    run(main)


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_member_who_floods_a_log_does_not_keep_his_removal_out(tmp_path: Path) -> None:
    """A tenth of its room is the admins', and they may use all of it."""

    async def main() -> None:
        async with relay(tmp_path, logs_quota=log_quota(1 << 20, 100 * SIZE)) as at:
            member, admin = await opened_log(at, APPEND), await opened_log(at, ADMIN)
            flood = [blob(f"flood {number}", SIZE) for number in range(120)]
            assert await member.put(0, *flood) == [0] * 90 + [mailbox.QUEUE_FULL] * 30
            assert await admin.put(0, *ITEMS[:12]) == [0] * 10 + [mailbox.QUEUE_FULL] * 2
            assert await member.put(0, flood[0]) == [0], "it is there"
            reader = await opened_log(at, READ)
            assert blobs((await reader.read(0))[0])[-10:] == ITEMS[:10]
            assert at.mailbox.counts.logs_refused["queue full"] == 32

    run(main)


def test_a_tenth_of_what_a_log_takes_in_a_time_is_the_admins(tmp_path: Path) -> None:
    async def main() -> None:
        limits = replace(LIMITS, log_rate=2_000)  # 900 and 100 items at once
        async with relay(tmp_path, limits) as at:
            member, admin = await opened_log(at, APPEND), await opened_log(at, ADMIN)
            flood = [blob(f"flood {number}", SIZE) for number in range(910)]
            codes = await member.put(0, *flood)
            assert codes == [0] * 900 + [mailbox.TOO_FAST] * 10
            assert await admin.put(0, *ITEMS[:50]) == [0] * 50
            other = await opened_log(at, APPEND, group_log("another"))
            assert await other.put(0, *ITEMS[:20]) == [0] * 20, "each log has its own"
            await trio.sleep(6)
            assert await member.put(0, *ITEMS[60:80]) == [0] * 10 + [mailbox.TOO_FAST] * 10

    run(main)


def test_limits_of_a_place_and_of_all_logs_are_apart_from_mail(tmp_path: Path) -> None:
    async def main() -> None:
        limits = replace(LIMITS, log_place_bytes=6 * 65_536)
        large = [blob(number, 65_536) for number in range(8)]
        async with relay(tmp_path, limits, logs_quota=log_quota(4 * 65_536, 4 * 65_536)) as at:
            member = await opened_log(at, APPEND)
            assert await member.put(0, *large[:4]) == [0] * 3 + [mailbox.QUEUE_FULL]
            admin = await opened_log(at, ADMIN)
            assert await admin.put(0, *large[4:8]) == [0, mailbox.QUEUE_FULL, mailbox.TOO_FAST, mailbox.TOO_FAST]
            queue = await opened(at, mailbox.TO_PUT, Keys("bob"))
            assert await queue.put(0, large[0]) == [0]

    run(main)


def test_the_first_blob_of_a_log_costs_a_stamp_where_space_is_short(tmp_path: Path) -> None:
    new = group_log("new")

    async def main() -> None:
        async with relay(tmp_path, logs_quota=log_quota(100 * SIZE, 100 * SIZE)) as at:
            member = await opened_log(at, APPEND)
            assert set(await member.put(0, *ITEMS[:80])) == {0}
            first = await opened_log(at, APPEND, new)
            assert await first.put(0, ITEMS[80]) == [mailbox.STAMP_NEEDED]
            assert await first.put(0, ITEMS[80], stamp=1) == [mailbox.BAD_STAMP]
            stamp = mailbox.make_stamp(RELAY, new.log.id, ITEMS[80], at.clock[0], LIMITS.stamp_bits)
            assert await first.put(0, ITEMS[80], stamp=stamp) == [0]
            assert await first.put(0, ITEMS[81]) == await member.put(0, ITEMS[82]) == [0], "they are there already"

    run(main)


def test_readers_of_one_place_get_no_more_than_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is pushed counts: whoever has had too much is left behind, and waits when it reads again."""
    monkeypatch.setattr(relay_logs, "EGRESS_BYTES", 600_000)
    monkeypatch.setattr(relay_logs, "EGRESS_RATE", 100_000)

    async def main() -> None:
        async with relay(tmp_path) as at:
            member = await opened_log(at, APPEND)
            readers = [await opened_log(at, READ) for _ in range(8)]
            for reader in readers:
                await reader.read(0, follow=True)
            for number in range(2):
                await member.put(0, blob(number, 65_536))
            assert at.mailbox.followers == 1
            began = trio.current_time()
            for reader in readers[:3]:
                for _ in range(2):
                    if not reader.behind:
                        reader._pushed(await reader.frame())
                place = (reader.read_of(0) or [(0, b"")])[-1][0]
                await reader.read(0, place)
            assert trio.current_time() - began > 1, "they had to wait"

    run(main)


def test_what_expires_goes_and_a_restart_loses_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            member, reader = await both(at)
            await member.put(0, ITEMS[0], hours=1)
            await member.put(0, ITEMS[1], hours=300)
            (last, _), *_ = (await reader.read(0))[0][::-1]
        async with relay(tmp_path, now=at.clock[0]) as at:
            member, reader = await both(at)
            await member.put(0, ITEMS[2])
            assert blobs((await reader.read(0, last))[0]) == ITEMS[2:3], "places grow"
            at.clock[0] += 3 * HOUR_MS
            await trio.sleep(100)
            assert blobs((await reader.read(0))[0]) == ITEMS[1:3]

    run(main)


def test_who_put_the_first_blob_answers_for_a_log_where_space_is_short(tmp_path: Path) -> None:
    """So whoever makes many logs loses them first, and the log of an honest group has the members' blobs too."""
    from_where = ["/ip4/10.1.0.1"]

    async def main() -> None:
        quota, limits = log_quota(64 * SIZE, 64 * SIZE), replace(LIMITS, stamp_bits=0)
        async with relay(tmp_path, limits, place_of=lambda stream: from_where[0], logs_quota=quota) as at:
            assert at.logs is not None
            member = await opened_log(at, APPEND)
            assert set(await member.put(0, *ITEMS[:8])) == {0}
            from_where[0] = "/ip4/10.9.0.1"
            for number in range(30):
                squatter = await opened_log(at, APPEND, group_log(f"squat {number}"))
                await squatter.put(0, *[blob(f"{number} {one}", SIZE) for one in range(4)], stamp=1)
            from_where[0] = "/ip4/10.1.0.2"
            other = await opened_log(at, APPEND)
            assert set(await other.put(0, *ITEMS[8:16])) == {0}
            reader = await opened_log(at, READ)
            assert blobs((await reader.read(0))[0]) == ITEMS[:16]
            assert at.logs.size <= 64 * SIZE

    run(main)


def test_who_does_not_take_its_pages_keeps_nobody_from_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_logs, "MAX_GIVEN", 2)
    monkeypatch.setattr(relay_logs, "MAX_GIVEN_OF_NETWORK", 2)

    async def main() -> None:
        async with relay(tmp_path) as at:
            member = await opened_log(at, APPEND)
            large = [blob(number, 65_536) for number in range(6)]
            await member.put(0, *large)
            for _ in range(2):
                silent = await opened_log(at, READ, room=5_000)
                await silent.send(Frame(mailbox.READ, logs.encode_read(LogRead(1, 0, 512, False, 0))))
            honest = await opened_log(at, READ)
            began = trio.current_time()
            assert len((await honest.read(0))[0]) == 4
            assert trio.current_time() - began <= relay_logs.SLOW_SECONDS + 1

    run(main)


def test_any_order_of_reading_and_appending_gives_every_reader_everything_once(tmp_path: Path) -> None:
    random = Random(7)

    async def main() -> None:
        async with relay(tmp_path) as at:
            members = [await opened_log(at, APPEND) for _ in range(3)]
            got: list[list[bytes]] = []

            async def read(pause: float) -> None:
                await trio.sleep(pause)
                reader = await opened_log(at, READ)
                items, end = await reader.read(0, want=random.randint(1, 9), follow=True)
                while end.more:
                    more, end = await reader.read(0, items[-1][0], random.randint(1, 9), follow=True)
                    items += more
                pushed = await reader.next_items(60 - len(items)) if len(items) < 60 else []
                got.append([*blobs(items), *pushed])

            async def append(member: MailClient, some: list[bytes]) -> None:
                for item in some:
                    await trio.sleep(random.random() / 50)
                    assert await member.put(0, item) == [0]

            async with trio.open_nursery() as nursery:
                for number, member in enumerate(members):
                    nursery.start_soon(append, member, ITEMS[20 * number : 20 * number + 20])
                for number in range(12):
                    nursery.start_soon(read, number / 30)
            assert len(got) == 12
            assert all(each == got[0] for each in got), "in the same order"
            assert set(got[0]) == set(ITEMS[:60])

    run(main)


def test_others_have_their_turn_while_something_is_pushed_in_many_logs(tmp_path: Path) -> None:
    turns, writes = [0], list[int]()

    def write_now(stream: Stream, data: bytes) -> bool:
        if len(data) > SIZE:
            writes.append(turns[0])
        return False

    async def main() -> None:
        async with relay(tmp_path, write_now=write_now) as at:
            keys = [group_log(f"group {number}") for number in range(8)]
            member = await at.client()
            for handle, log in enumerate(keys):
                await member.open_log(handle, APPEND, log)
            readers = [await at.client() for _ in range(60)]
            for reader in readers:
                for handle, log in enumerate(keys):
                    await reader.open_log(handle, READ, log)
                    await reader.read(handle, follow=True)
            for handle in range(8):
                await member.post(handle, ITEMS[handle])
            for _ in range(2000):
                turns[0] += 1
                await trio.lowlevel.checkpoint()
            for reader in readers:
                for handle in range(8):
                    assert await reader.next_items(1, handle) == [ITEMS[handle]]
            assert (
                max(writes.count(turn) for turn in set(writes))
                <= log_rounds.PUSHES_AT_ONCE + 2 * log_rounds.PUSHES_A_TURN
            )

    run(main)


def test_few_of_many_readers_are_looked_at_for_one_batch(tmp_path: Path) -> None:
    class Reader:
        full, origin = False, Origin((b"here",), ())
        looked = 0

        @property
        def ended(self) -> bool:
            Reader.looked += 1
            return False

    async def main() -> None:
        async with relay(tmp_path) as at:
            server: Any = at.mailbox._logs
            for number in range(5_000):
                opened_ = SimpleNamespace(qid=bytes([number % 256, number // 256]))
                read = LogRead(1, 0, 512, False, 0)
                server._ready.append(relay_logs._Reading(Reader(), opened_, read))  # type: ignore[arg-type]
            asked = list[bytes]()
            for _ in range(100):
                asked += [page.qid for page in server._next_pages()]
            assert len(set(asked)) == len(asked) == 400, "each has its turn"
            assert Reader.looked <= 100 * (relay_logs.LOOKED_AT + 1)
            server._ready.clear()

    run(main)


def test_what_comes_during_a_round_waits_for_its_end_though_few_follow_by_then() -> None:
    class Follower:
        ended, out_bytes, origin = False, 0, Origin((), ())

        def __init__(self) -> None:
            self.sent: list[bytes] = []
            self.held = False

        def send_packed(self, *pieces: bytes) -> None:
            self.sent += pieces[1::2]

        def flush(self) -> None:
            pass

    async def main() -> None:
        outgoing = Outgoing(lambda: None, lambda stream, data: True)
        rounds = log_rounds.LogRounds(outgoing, PlaceBudget(1e9, 1.0), Counts(), lambda: None)
        followers, qid = [Follower() for _ in range(70)], QueueId(bytes(32))
        handles = [OpenQueue(follower, 0, READ, logs.LOG, qid) for follower in followers]  # type: ignore[arg-type]
        for handle in handles:
            rounds.follow(handle, 0)
        async with trio.open_nursery() as nursery:
            rounds.stored(qid, [(1, ITEMS[0])])
            nursery.start_soon(rounds.run)
            while not followers[0].sent:
                await trio.lowlevel.checkpoint()
            assert not followers[-1].sent
            for handle in handles[:20]:
                rounds.unfollow(handle)
            rounds.stored(qid, [(2, ITEMS[1])])
            await trio.sleep(5)
            nursery.cancel_scope.cancel()
        for follower in followers[20:]:
            assert b"".join(follower.sent).count(ITEMS[0]) == b"".join(follower.sent).count(ITEMS[1]) == 1

    run(main)


def test_the_log_names_the_store_that_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            assert await (await opened_log(at, APPEND)).put(0, *ITEMS[:40]) == [0] * 40
        path = tmp_path / "logs.db"
        content = path.read_bytes()
        place = content.index(ITEMS[0][:200]) // 4096 * 4096
        path.write_bytes(content[:place] + b"\xff" * 4096 + content[place + 4096 :])
        for name in ("blobs.db-in-use", "logs.db-in-use"):
            (tmp_path / name).touch()
        async with relay(tmp_path) as at:
            with caplog.at_level("INFO", logger="p2pchat.relay.mailbox"):
                await at.mailbox.check()
            assert at.mailbox.failing
        said = [record.getMessage() for record in caplog.records if "was checked" in record.getMessage()]
        assert said[0] == "the store was checked: it is undamaged"
        assert said[1].startswith("the store of logs (logs.db) was checked: ")

    run(main)
