"""What a deposit and a fetch cost: stamps, a crowded relay, and answers to one place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import BOX, DONE, STAMPED, TO_FETCH, TO_PUT, TOO_FAST
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import terms
from p2pchat.relay.limits import STAMP_SECONDS, Spent
from p2pchat.relay.store import Quota
from tests.support.boxes import LIMITS, NOW, RELAY, Keys, blob, opened, relay, run

BOB = Keys("bob")


def stamp(keys: Keys, one: bytes, now: int = NOW, relay: bytes = RELAY, first: int = 1) -> int:
    return mailbox.make_stamp(PeerKey(relay), keys.queue.id, one, now, 12, first)


def test_stamps_of_another_hour_queue_relay_or_blob_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        keys = Keys("invite", STAMPED)
        async with relay(tmp_path, replace(LIMITS, stamp_bits=12)) as at:
            eve = await opened(at, TO_PUT, keys)
            bad = [
                0,
                stamp(keys, blob(2)),
                stamp(Keys("other", STAMPED), blob(1)),
                stamp(keys, blob(1), NOW - 2 * HOUR_MS),
                stamp(keys, blob(1), NOW + HOUR_MS),
                stamp(keys, blob(1), relay=bytes(32)),
            ]
            for one in bad:
                assert await eve.put(0, blob(1), stamp=one) == [mailbox.BAD_STAMP]
            assert at.store.blobs == 0
            assert await eve.put(0, blob(1), stamp=stamp(keys, blob(1), NOW - HOUR_MS)) == [DONE]

    run(main)


def test_a_stamp_is_worth_one_deposit(tmp_path: Path) -> None:
    """Otherwise whoever paid once could fill the queue of somebody who keeps emptying it."""

    async def main() -> None:
        keys = Keys("invite", STAMPED)
        async with relay(tmp_path, replace(LIMITS, stamp_bits=12)) as at:
            eve, bob = await opened(at, TO_PUT, keys), await opened(at, TO_FETCH, keys)
            paid = stamp(keys, blob(1))
            assert await eve.put(0, blob(1), stamp=paid) == [DONE]
            await bob.delete(0, 1 << 62)
            assert await eve.put(0, blob(1), stamp=paid) == [mailbox.BAD_STAMP]
            at.clock[0] += HOUR_MS
            assert await eve.put(0, blob(1), stamp=paid) == [mailbox.BAD_STAMP]
            assert at.store.blobs == 0
            assert await eve.put(0, blob(1), stamp=stamp(keys, blob(1), first=paid + 1)) == [DONE]

    run(main)


def test_a_stamp_that_is_not_needed_is_not_looked_at(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            assert await alice.put(0, blob(1), stamp=1) == [DONE]

    run(main)


def test_a_crowded_relay_asks_for_a_stamp_with_every_deposit(tmp_path: Path) -> None:
    """But a box that is there is renewed without; and a larger blob costs more."""

    async def main() -> None:
        box = Keys("box", BOX)
        async with relay(tmp_path, replace(LIMITS, stamp_bits=8), Quota(total_bytes=40 * 4096, least_free=0)) as at:
            alice, writer = await opened(at, TO_PUT), await opened(at, TO_PUT, box)
            assert not alice.hello.crowded
            assert await writer.put(0, blob("box")) == [DONE]
            assert await alice.put(0, *(blob(number) for number in range(30))) == [DONE] * 30
            assert await alice.put(0, blob(30)) == [mailbox.STAMP_NEEDED]
            assert (await at.client()).hello.crowded
            bits = [mailbox.crowded_bits(8, blob(1, size)) for size in BUCKETS]
            assert bits == [8, 10, 12]
            paid = mailbox.make_stamp(RELAY, BOB.queue.id, blob(30), NOW, 8)
            assert await alice.put(0, blob(31), stamp=paid) == [mailbox.BAD_STAMP]
            assert await alice.put(0, blob(30), stamp=paid) == [DONE]
            assert await writer.put(0, blob("another")) == [DONE]
            other = await opened(at, TO_PUT, Keys("other box", BOX))
            assert await other.put(0, blob("box")) == [mailbox.STAMP_NEEDED]
            assert at.mailbox.counts.refused["stamp needed"] == 2
            bob = await opened(at, TO_FETCH)
            await bob.delete(0, 1 << 62)
            assert await alice.put(0, blob(32)) == [DONE]

    run(main)


def test_stamps_hold_by_the_clock_and_by_the_relays_own_time(tmp_path: Path) -> None:
    """A clock that stepped is wrong, or was: what costs nobody anything is allowed by both."""

    async def main() -> None:
        keys = Keys("invite", STAMPED)
        async with relay(tmp_path, replace(LIMITS, stamp_bits=12)) as at:
            eve = await opened(at, TO_PUT, keys)
            at.uptime.append(at.clock[0] / 1000)  # which stands still
            at.clock[0] += 40 * 24 * HOUR_MS
            for number, time in enumerate((NOW, at.clock[0])):
                assert await eve.put(0, blob(number), stamp=stamp(keys, blob(number), time)) == [DONE]
            assert at.mailbox.clock.held

    run(main)


def test_stamps_are_remembered_for_two_hours_and_no_longer() -> None:
    spent, hours = Spent(), STAMP_SECONDS / 2
    spent.add(bytes(32), 1, 0)
    spent.add(bytes(32), 2, 2 * hours)
    assert spent.has(bytes(32), 1)
    spent.add(bytes(32), 3, 4 * hours)
    assert [spent.has(bytes(32), number) for number in (1, 2, 3)] == [False, True, True]
    spent.add(bytes(32), 4, 11 * hours)
    assert [spent.has(bytes(32), number) for number in (3, 4)] == [False, True]
    assert not spent.has(b"\1" * 32, 4)


def test_who_fetches_the_same_again_and_again_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a first collection of the most that a queue holds does not."""
    monkeypatch.setattr(terms, "EGRESS_BYTES", 8 << 20)
    monkeypatch.setattr(terms, "EGRESS_RATE", 1 << 20)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await alice.put(0, *(blob(number, BUCKETS[-1]) for number in range(32)))
            began = trio.current_time()
            for _ in range(4):
                assert len((await bob.fetch(512, (0, 0)))[0]) == 32
            assert trio.current_time() - began < 0.1
            for _ in range(2):
                assert len((await bob.fetch(512, (0, 0)))[0]) == 32
            assert trio.current_time() - began > 3
            assert await bob.delete(0, 1) == DONE  # it is served otherwise

    run(main)


def test_a_stream_deposits_so_many_a_second(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, replace(LIMITS, puts_burst=3, puts_a_second=0.5)) as at:
            eve, alice = await opened(at, TO_PUT), await opened(at, TO_PUT)
            assert await eve.put(0, *(blob(number) for number in range(5))) == [DONE] * 3 + [TOO_FAST] * 2
            assert await alice.put(0, blob(9)) == [DONE]
            await trio.sleep(4)
            assert await eve.put(0, *(blob(number) for number in range(3, 6))) == [DONE, DONE, TOO_FAST]

    run(main)


def test_a_place_deposits_so_much_a_day_whatever_it_calls_itself(tmp_path: Path) -> None:
    async def main() -> None:
        place = ["here"]
        limits = replace(LIMITS, place_bytes=2 * 4096)
        async with relay(tmp_path, limits, place_of=lambda stream: place[0]) as at:
            assert await (await opened(at, TO_PUT)).put(0, blob(1)) == [DONE]
            assert await (await opened(at, TO_PUT, Keys("x"))).put(0, blob(2), blob(3)) == [DONE, TOO_FAST]
            place[0] = "there"
            assert await (await opened(at, TO_PUT)).put(0, blob(4)) == [DONE]

    run(main)
