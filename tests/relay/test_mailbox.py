"""The mailbox as an honest client sees it: deposits, fetches, pushes, deletes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame
from p2pchat.core.mailbox import BOX, DONE, NOT_ALLOWED, STAMPED, TO_FETCH, TO_PUT, Open
from p2pchat.lib.times import HOUR_MS
from p2pchat.net.admission.budget import Account
from p2pchat.relay import batches
from p2pchat.relay.mailbox import SILENCE_SECONDS, SWEEP_SECONDS
from p2pchat.relay.store import Quota
from tests.support.boxes import LIMITS, NOW, RELAY, Keys, MailClient, PipeStream, blob, opened, relay, run

BOB = Keys("bob")


# --- the story ---------------------------------------------------------------------------------------------------


def test_what_was_deposited_is_fetched_in_order_and_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            blobs = [blob(number, BUCKETS[number % 3]) for number in range(6)]
            assert await alice.put(0, *blobs) == [DONE] * 6
            found, _, end = await bob.fetch(512, (0, 0))
            assert [one.blob for one in found] == blobs
            assert (end.code, end.more) == (DONE, False)
            rest, _, _ = await bob.fetch(512, (0, found[3].place))
            assert [one.blob for one in rest] == blobs[4:]
            assert await bob.delete(0, found[3].place) == DONE
            again, _, _ = await bob.fetch(512, (0, 0))
            assert [one.blob for one in again] == blobs[4:]
            assert await alice.put(0, blobs[0]) == [DONE]  # what was deleted may come again

    run(main)


def test_what_came_from_elsewhere_is_forgotten_by_its_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            carol = Keys("carol")
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            assert await alice.open(1, TO_PUT, carol) == DONE
            blobs = [blob(number, BUCKETS[number % 3]) for number in range(6)]
            assert await alice.put(0, *blobs) + await alice.put(1, blobs[0]) == [DONE] * 7
            assert await bob.forget(0, blobs[0], blobs[2], blob("no such")) == DONE
            found, _, _ = await bob.fetch(512, (0, 0))
            assert [one.blob for one in found] == [blobs[1], *blobs[3:]]
            assert at.store.blobs == 5  # nothing of a queue that was not named
            assert await bob.forget(7, blobs[1]) == await alice.forget(0, blobs[1]) == NOT_ALLOWED
            assert at.store.blobs == 5

    run(main)


def test_a_hello_says_what_the_relay_is_and_allows(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, replace(LIMITS, longest_hours=48), Quota(5, 10_000)) as at:
            one, two = (await at.client()).hello, (await at.client()).hello
            assert one == replace(two, challenge=one.challenge)
            assert one.challenge != two.challenge
            assert (one.relay, one.stamp_bits, one.longest) == (RELAY, LIMITS.stamp_bits, 48)
            assert (one.most_blobs, one.most_bytes) == (5, 10_000)

    run(main)


def test_deposits_survive_the_relay(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            assert await (await opened(at, TO_PUT)).put(0, blob(1)) == [DONE]
        async with relay(tmp_path) as at:
            found, _, _ = await (await opened(at, TO_FETCH)).fetch(512, (0, 0))
            assert [one.blob for one in found] == [blob(1)]

    run(main)


def test_a_result_comes_after_the_disk_and_never_before(tmp_path: Path) -> None:
    async def main() -> None:
        disk = trio.Event()

        async def slow(function, *args):  # type: ignore[no-untyped-def]
            await disk.wait()
            return function(*args)

        async with relay(tmp_path, in_thread=slow) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await bob.watch((0, 0))
            number = await alice.post(0, blob(1))
            for client in (alice, bob):
                await client.ping()
                assert client.pushed == []
            with trio.move_on_after(100) as waiting:
                await alice.frame()
            assert waiting.cancelled_caught
            disk.set()
            assert await alice.results([number]) == [DONE]
            assert (await bob.next_pushed()).blob == blob(1)

    run(main)


def test_the_same_blob_is_kept_and_pushed_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await bob.watch((0, 0))
            assert await alice.put(0, blob(1), blob(1)) == [DONE, DONE]
            assert await alice.put(0, blob(1), blob(2)) == [DONE, DONE]
            assert [(await bob.next_pushed()).blob for _ in range(2)] == [blob(1), blob(2)]
            await bob.ping()
            assert bob.pushed == []

    run(main)


def test_a_deposit_is_kept_for_its_hours_and_gone_after_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            assert await alice.put(0, blob(1), hours=1) == [DONE]
            assert await alice.put(0, blob(2), hours=3) == [DONE]
            for hours, left in ((1, 2), (2, 1), (4, 0)):
                at.clock[0] = NOW + hours * HOUR_MS
                await trio.sleep(2 * SWEEP_SECONDS)
                await alice.ping()
                await bob.ping()
                found, _, _ = await bob.fetch(512, (0, 0))
                assert len(found) == left, hours

    run(main)


@pytest.mark.parametrize("hours", [0, 721])
def test_hours_that_cannot_be_had_are_refused(tmp_path: Path, hours: int) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            assert await (await opened(at, TO_PUT)).put(0, blob(1), hours=hours) == [mailbox.MALFORMED]

    run(main)


def test_quotas_are_codes(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, quota=Quota(queue_blobs=2, total_bytes=3 * 4096, least_free=0)) as at:
            alice = await opened(at, TO_PUT)
            await alice.open(1, TO_PUT, Keys("carol"))
            assert await alice.put(0, blob(1), blob(2), blob(3)) == [DONE, DONE, mailbox.QUEUE_FULL]
            assert await alice.put(1, blob(4), blob(5)) == [DONE, mailbox.RELAY_FULL]
            refused = {reason: count for reason, count in at.mailbox.counts.refused.items() if count}
            assert (at.mailbox.counts.deposits, refused) == (3, {"queue full": 1, "relay full": 1})

    run(main)


# --- fetches -----------------------------------------------------------------------------------------------------


def test_eight_queues_are_fetched_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await at.client(), await at.client()
            for handle in range(8):
                await alice.open(handle, TO_PUT, Keys(f"queue {handle}"))
                await bob.open(100 + handle, TO_FETCH, Keys(f"queue {handle}"))
                assert await alice.put(handle, *(blob(f"{handle} {n}") for n in range(handle))) == [DONE] * handle
            found, _, end = await bob.fetch(512, *((100 + handle, 0) for handle in range(8)))
            assert [(one.handle, one.blob) for one in found] == [
                (100 + handle, blob(f"{handle} {n}")) for handle in range(8) for n in range(handle)
            ]
            assert not end.more
            some, _, end = await bob.fetch(4, (101, 0), (102, 0), (103, 0))
            assert [one.handle for one in some] == [101, 102, 102, 103]
            assert end.more
            none, padding, end = await bob.fetch(5)
            assert (none, len(padding), end.more) == ([], 1, False)

    run(main)


def test_answers_have_the_length_of_a_power_of_two(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            counts = []
            for number in range(6):
                found, padding, _ = await bob.fetch(512, (0, 0))
                assert len(found) == number
                counts.append(len(found) + len(padding))
                assert all(len(one.blob) == 4096 and one.place == 0 for one in padding)
                assert len({one.blob for one in padding}) == len(padding)
                await alice.put(0, blob(number))
            assert counts == [1, 1, 2, 4, 4, 8]
            await alice.put(0, blob("large", BUCKETS[-1]))
            found, padding, _ = await bob.fetch(512, (0, 0))
            assert sum(len(one.blob) for one in found + padding) == 32 * 4096

    run(main)


def test_a_long_answer_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_ANSWER", 100_000)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await alice.open(1, TO_PUT, Keys("other"))
            await bob.open(1, TO_FETCH, Keys("other"))
            blobs = [blob(number, BUCKETS[-1 if number % 4 == 0 else 0]) for number in range(20)]
            await alice.put(0, *blobs)
            await alice.put(1, blob("in the other", BUCKETS[-1]))
            after, more = [0, 0], True
            got: list[bytes] = []
            while more:
                found, _, end = await bob.fetch(512, (0, after[0]), (1, after[1]))
                assert 0 < sum(len(one.blob) for one in found) <= 100_000
                more = end.more
                for one in found:
                    after[one.handle] = one.place
                    got.append(one.blob)
            assert got == [*blobs, blob("in the other", BUCKETS[-1])]

    run(main)


# --- boxes and open queues ---------------------------------------------------------------------------------------


def test_nobody_empties_a_box_but_time(tmp_path: Path) -> None:
    async def main() -> None:
        box = Keys("box", BOX)
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT, box), await opened(at, TO_FETCH, box)
            assert await alice.put(0, blob(1), hours=2) == [DONE]
            assert await bob.delete(0, (1 << 64) - 1) == DONE
            assert [one.blob for one in (await bob.fetch(8, (0, 0)))[0]] == [blob(1)]
            at.clock[0] = NOW + 3 * HOUR_MS
            await trio.sleep(SWEEP_SECONDS + 1)
            assert (await bob.fetch(8, (0, 0)))[0] == []

    run(main)


def test_what_its_writer_puts_into_a_box_replaces_what_is_there(tmp_path: Path) -> None:
    """Who watches it gets each, and a delete moves nothing."""

    async def main() -> None:
        box = Keys("box", BOX)
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT, box), await opened(at, TO_FETCH, box)
            await bob.watch((0, 0))
            for number in range(mailbox.MAX_PUSHED + 10):
                assert await alice.put(0, blob(number)) == [DONE]
                pushed = await bob.next_pushed()
                assert pushed.blob == blob(number)
                assert await bob.delete(0, pushed.place) == DONE
            assert at.store.blobs == 1
            assert [one.blob for one in (await bob.fetch(8, (0, 0)))[0]] == [blob(mailbox.MAX_PUSHED + 9)]

    run(main)


def test_an_open_queue_takes_stamped_blobs_only(tmp_path: Path) -> None:
    async def main() -> None:
        keys = Keys("invite", STAMPED)
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT, keys)
            stamp = mailbox.make_stamp(RELAY, keys.queue.id, blob(1), NOW, LIMITS.stamp_bits)
            assert await alice.put(0, blob(1), stamp=stamp) == [DONE]
            assert await alice.put(0, blob(1), stamp=stamp) == [DONE]  # it is there

    run(main)


# --- clocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [40, -40])
def test_a_clock_that_is_set_wrong_while_it_runs_shortens_nothing(tmp_path: Path, days: int) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            at.uptime.append(NOW / 1000)
            assert await alice.put(0, blob("before"), hours=720) == [DONE]
            at.clock[0] += days * 24 * HOUR_MS
            await trio.sleep(SWEEP_SECONDS + 1)
            assert await alice.put(0, blob("wrong"), hours=720) == [DONE]
            at.clock[0] = NOW
            await trio.sleep(SWEEP_SECONDS + 1)
            assert not at.mailbox.clock.held
            at.uptime.clear()
            at.clock[0] += 719 * HOUR_MS
            await trio.sleep(SWEEP_SECONDS + 1)
            assert at.store.blobs == 2

    run(main)


@pytest.mark.parametrize("days", [40, -40])
def test_a_clock_that_is_wrong_at_a_start_deletes_nothing(tmp_path: Path, days: int) -> None:
    """Also of what is acknowledged meanwhile, and by a store that has never known the right time."""

    async def started(now: int, *more: str) -> int:
        async with relay(tmp_path, now=now) as at:
            alice = await opened(at, TO_PUT)
            assert await alice.put(0, *map(blob, more), hours=720) == [DONE] * len(more)
            await trio.sleep(SWEEP_SECONDS + 1)
            return at.store.blobs

    async def main() -> None:
        wrong = NOW + days * 24 * HOUR_MS
        for now, more, held in ((wrong, "1", 1), (NOW, "2", 2), (wrong, "3", 3), (NOW + HOUR_MS, "4", 4)):
            assert await started(now, more) == held

    run(main)


# --- life --------------------------------------------------------------------------------------------------------


def test_a_peer_is_known_while_it_has_a_stream_here(tmp_path: Path) -> None:
    peer = b"\xcc" * 32

    async def main() -> None:
        async with relay(tmp_path / "open") as at:
            assert at.mailbox.knows(peer)
        async with relay(tmp_path / "closed", replace(LIMITS, token=b"let me in")) as at:
            assert not at.mailbox.knows(peer)
            one, two = await at.client(), await at.client()
            await at.gone(one)
            assert at.mailbox.knows(peer)
            assert not at.mailbox.knows(bytes(32))
            await at.gone(two)
            assert not at.mailbox.knows(peer)

    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir()
    run(main)


def test_a_client_that_says_nothing_is_let_go_and_one_that_pings_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            silent, lively = await at.client(), await at.client()
            for _ in range(8):
                await trio.sleep(SILENCE_SECONDS / 4)
                await lively.ping()
            assert await silent.has_ended()
            assert at.mailbox.clients == 1

    run(main)


def test_a_clients_end_frees_everything(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            for _ in range(3):
                bob = await at.client(room=5_000)
                for handle in range(4):
                    await bob.open(handle, TO_FETCH, BOB if handle < 2 else Keys(f"other {handle}"))
                await bob.watch(*((handle, 0) for handle in range(4)))
                await alice.put(0, *(blob(number) for number in range(30)))
                assert at.mailbox.pushes.watched == 3
                assert at.mailbox.waiting_bytes > 0
                await at.gone(bob)
                assert (at.mailbox.clients, at.mailbox.pushes.watched) == (1, 0)
                assert at.mailbox.waiting_bytes == 0
            assert not at.mailbox.pushes.waiting

    run(main)


def test_draining_finishes_what_was_taken_and_takes_nothing_new(tmp_path: Path) -> None:
    async def main() -> None:
        disk = trio.Event()

        async def slow(function, *args):  # type: ignore[no-untyped-def]
            await disk.wait()
            return function(*args)

        async with relay(tmp_path, in_thread=slow) as at:
            alice, idle = await opened(at, TO_PUT), await at.client()
            number = await alice.post(0, blob(1))
            await alice.ping()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(at.mailbox.drain, 5.0)
                assert await idle.has_ended()
                late = MailClient(at.stream())
                assert await late.has_ended()
                disk.set()
                assert await alice.results([number]) == [DONE]
                assert await alice.has_ended()
            assert at.mailbox.clients == 0

    run(main)


def test_draining_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH, room=1_000)
            await alice.put(0, *(blob(number) for number in range(9)))
            await bob.send(Frame(mailbox.FETCH, mailbox.encode_fetch(1, 9, [(0, 0)])))
            await bob.send(Frame(mailbox.PING, b""))
            await trio.sleep(1)
            began = trio.current_time()
            await at.mailbox.drain(3.0)
            assert trio.current_time() - began == 3.0
            await at.serving[id(bob.stream)].wait()
            assert at.mailbox.clients == 0

    run(main)


# --- a failing disk ----------------------------------------------------------------------------------------------


def test_a_failing_disk_turns_deposits_away_and_the_relay_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("p2pchat.relay.store._GROWTH_PAGES", 1)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            assert await alice.put(0, blob(1)) == [DONE]
            pages = at.store._connection.execute("PRAGMA page_count").fetchone()[0]
            at.store._connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
            for number in range(3):
                assert await alice.put(0, blob(f"full {number}", BUCKETS[-1])) == [mailbox.RELAY_FULL]
            assert at.mailbox.failing
            assert len([one for one in caplog.records if one.name.startswith("p2pchat.relay")]) == 1
            found, _, _ = await bob.fetch(512, (0, 0))
            assert [one.blob for one in found] == [blob(1)]
            assert await bob.delete(0, found[0].place) == DONE
            assert at.mailbox.failing  # to read and to delete is no sign of health
            at.store._connection.execute("PRAGMA max_page_count = 100000").fetchall()
            assert await alice.put(0, blob("room", BUCKETS[-1])) == [DONE]
            assert not at.mailbox.failing

    run(main)


def test_a_disk_that_works_again_is_noticed_though_nobody_deposits(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            at.store._connection.execute("PRAGMA query_only = ON").fetchall()
            assert await alice.put(0, blob(1)) == [mailbox.RELAY_FULL]
            await trio.sleep(2 * SWEEP_SECONDS)
            assert at.mailbox.failing
            at.store._connection.execute("PRAGMA query_only = OFF").fetchall()
            await trio.sleep(SWEEP_SECONDS + 1)
            assert not at.mailbox.failing

    run(main)


def test_a_broken_store_answers_fetches_deletes_and_watches_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await alice.put(0, blob(1))
            at.store._connection.execute("ALTER TABLE blobs RENAME TO away")
            assert await alice.put(0, blob(2)) == [mailbox.RELAY_FULL]
            found, padding, end = await bob.fetch(512, (0, 0))
            assert (found, len(padding), end.code) == ([], 1, mailbox.RELAY_FULL)
            assert await bob.delete(0, 1 << 62) == mailbox.RELAY_FULL
            await bob.watch((0, 0))
            at.store._connection.execute("ALTER TABLE away RENAME TO blobs")
            await trio.sleep(SWEEP_SECONDS + 1)
            assert (await bob.next_pushed()).blob == blob(1)

    run(main)


def test_what_is_answered_at_once_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the opens cost so much that others have their turns between them."""
    written: list[int] = []
    write = PipeStream.write

    async def noted(self: PipeStream, data: bytes) -> None:
        written.append(len(data))
        await write(self, data)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await at.client()
            queues = [(handle, Keys(f"queue {handle}")) for handle in range(8)]
            opens = [
                Open(handle, TO_FETCH, keys.queue, mailbox.sign_open(keys.fetch, TO_FETCH, alice.hello, keys.queue))
                for handle, keys in queues
            ]
            frames = [Frame(mailbox.OPEN, mailbox.encode_open(opening)) for opening in opens]
            monkeypatch.setattr(PipeStream, "write", noted)
            await alice.send(*frames, Frame(mailbox.PING, b""))
            answers = [await alice.answer(mailbox.OPENED) for _ in opens]
            await alice.answer(mailbox.PONG)
            assert len(written) == 2, written  # ours, and the relay's
            assert {mailbox.decode_opened(answer.body)[1] for answer in answers} == {DONE}

    run(main)


# --- its end -----------------------------------------------------------------------------------------------------


def test_a_client_may_end_after_the_mailbox(tmp_path: Path) -> None:
    """Its tasks are its host's: one that is cancelled with an answer not yet written finds nobody to write it."""

    class Patient(Account):
        """Takes one frame, and then settles for a while, whatever is cancelled meanwhile."""

        __slots__ = ("charged",)
        charged: int

        def charge(self, units: float) -> None:
            self.charged = getattr(self, "charged", 0) + 1

        @property
        def due(self) -> bool:
            return self.charged > 1

        async def settle(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    async def main() -> None:
        async with relay(tmp_path, account_of=lambda stream: Patient()) as at:
            client = await at.client()
            await client.send(*[Frame(mailbox.PING, b"")] * 2)
            await trio.testing.wait_all_tasks_blocked()
            at.nursery.cancel_scope.cancel()

    run(main)
