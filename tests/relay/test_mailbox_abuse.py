"""The mailbox and those who mean harm: outsiders, greedy clients, slow ones, and bytes of any kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.frames import Frame
from p2pchat.core.ids import EnvelopeId, QueueId
from p2pchat.core.mailbox import BOX, DONE, FILES, NOT_ALLOWED, TO_FETCH, TO_PUT, TOO_FAST, Queue
from p2pchat.errors import LinkLost
from p2pchat.net.admission import budget
from p2pchat.net.admission.budget import Account
from p2pchat.relay import batches, clients
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import Quota
from p2pchat.relay.terms import COSTS
from tests.support.boxes import PATIENCE, Keys, MailClient, blob, inline, opened, relay, run
from tests.support.counting import counted
from tests.support.examples import examples

BOB = Keys("bob")


# --- outsiders ---------------------------------------------------------------------------------------------------


def test_a_queue_opens_to_the_key_of_the_role_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await at.client()
            put = mailbox.sign_open(BOB.put, TO_PUT, eve.hello, BOB.queue)
            fetch = mailbox.sign_open(BOB.fetch, TO_FETCH, eve.hello, BOB.queue)
            wrong: list[tuple[int, bytes]] = [
                (TO_FETCH, put),  # who may deposit may not fetch
                (TO_PUT, fetch),
                (TO_FETCH, mailbox.sign_open(BOB.put, TO_FETCH, eve.hello, BOB.queue)),
                (TO_PUT, mailbox.sign_open(b"e" * 32, TO_PUT, eve.hello, BOB.queue)),
                (2, put),
                (TO_PUT, bytes(64)),
            ]
            for handle, (role, signature) in enumerate(wrong):
                assert await eve.open(handle, role % 2, BOB, role=role, signature=signature) == NOT_ALLOWED
                assert await eve.put(handle, blob(1)) == [NOT_ALLOWED]
                assert (await eve.fetch(1, (handle, 0)))[2].code == NOT_ALLOWED
            assert at.store.blobs == 0

    run(main)


def test_an_opening_overheard_on_another_stream_is_worth_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            bob, eve = await at.client(), await at.client()
            signature = mailbox.sign_open(BOB.fetch, TO_FETCH, bob.hello, BOB.queue)
            assert await bob.open(0, TO_FETCH, BOB, signature=signature) == DONE
            assert await eve.open(0, TO_FETCH, BOB, signature=signature) == NOT_ALLOWED

    run(main)


def test_who_knows_a_queues_name_or_public_keys_can_do_nothing(tmp_path: Path) -> None:
    """Neither with its keys, nor with flags or a partner key of one's own: that is another queue."""

    async def main() -> None:
        eves = Keys("eve")
        async with relay(tmp_path) as at:
            alice, eve = await opened(at, TO_PUT), await at.client()
            assert await alice.put(0, blob(1)) == [DONE]
            for handle, queue in enumerate((Queue(eves.queue.fetch, BOB.queue.put), BOB.queue._replace(flags=BOX))):
                for role, seed in ((TO_FETCH, eves.fetch), (TO_PUT, eves.put)):
                    at_handle = 2 * handle + role
                    signature = mailbox.sign_open(seed, role, eve.hello, queue)
                    code = await eve.open(at_handle, role, eves, queue=queue, signature=signature)
                    found, _, end = await eve.fetch(8, (at_handle, 0))
                    assert found == [], (code, end)
            assert at.store.blobs == 1

    run(main)


def test_nothing_tells_a_stranger_whether_a_queue_holds_anything(tmp_path: Path) -> None:
    """One that is full, one that nobody ever used, and a name that was made up are answered alike."""

    async def main() -> None:
        async with relay(tmp_path, quota=Quota(queue_blobs=1, least_free=0)) as at:
            assert await (await opened(at, TO_PUT)).put(0, blob(1)) == [DONE]
            answers = []
            for keys in (BOB, Keys("nobody")):
                eve = await at.client()
                signature = mailbox.sign_open(b"e" * 32, TO_FETCH, eve.hello, keys.queue)
                told: list[object] = []
                for role in (TO_FETCH, TO_PUT):
                    told.append(await eve.open(role, role, keys, signature=signature))
                    found, padding, end = await eve.fetch(512, (role, 0))
                    told += [len(found), padding, end.code, end.more, await eve.delete(role, (1 << 64) - 1)]
                    told += await eve.put(role, blob(2))
                answers.append(told)
            assert answers[0] == answers[1]
            assert at.store.blobs == 1

    run(main)


def test_nobody_without_the_fetch_key_deletes(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            assert await alice.put(0, blob(1)) == [DONE]
            assert await alice.delete(0, (1 << 64) - 1) == NOT_ALLOWED
            assert await alice.delete(7, (1 << 64) - 1) == NOT_ALLOWED
            assert at.store.blobs == 1

    run(main)


def test_who_fetches_may_not_deposit_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            bob = await opened(at, TO_FETCH)
            assert await bob.put(0, blob(1)) == [NOT_ALLOWED]
            assert at.store.blobs == 0

    run(main)


# --- greed -------------------------------------------------------------------------------------------------------


def test_a_stream_opens_so_many_queues_and_failures_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []
    check = mailbox.check_open

    def counted(opening: mailbox.Open, hello: mailbox.Hello) -> QueueId:
        checks.append(opening.handle)
        return check(opening, hello)

    monkeypatch.setattr(mailbox, "check_open", counted)

    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await at.client()
            for handle in range(mailbox.MAX_HANDLES):
                changes: dict[str, Any] = {"signature": bytes(64)} if handle % 2 else {}
                assert await eve.open(handle, TO_PUT, BOB, **changes) == (NOT_ALLOWED if handle % 2 else DONE)
            assert await eve.open(2000, TO_PUT, BOB) == TOO_FAST
            assert await eve.open(2000, TO_PUT, BOB) == TOO_FAST
            assert len(checks) == mailbox.MAX_HANDLES  # no signature is checked beyond it

    run(main)


@pytest.mark.parametrize("handle", [0, mailbox.NO_HANDLE])
def test_a_handle_that_is_taken_or_none_ends_the_stream(tmp_path: Path, handle: int) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await opened(at, TO_PUT)
            opening = mailbox.Open(handle, TO_PUT, BOB.queue, bytes(64))
            await eve.send(Frame(mailbox.OPEN, mailbox.encode_open(opening)))
            assert await eve.has_ended()

    run(main)


def test_outsiders_fill_a_queue_of_their_own_and_nobody_elses(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path, quota=Quota(queue_blobs=3, least_free=0)) as at:
            eve = await opened(at, TO_PUT, Keys("eve"))
            assert (await eve.put(0, *(blob(number) for number in range(9))))[3:] == [mailbox.QUEUE_FULL] * 6
            assert await (await opened(at, TO_PUT)).put(0, blob(1)) == [DONE]

    run(main)


def test_who_asks_for_much_and_reads_nothing_costs_little_memory_and_is_let_go(tmp_path: Path) -> None:
    """A hundred fetches of 2 MB each are asked for at once; and what eve does not take, others do not wait for."""

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            await alice.put(0, *(blob(number, BUCKETS[-1]) for number in range(40)))
            eve, bob = await opened(at, TO_FETCH, room=20_000), await opened(at, TO_FETCH)
            began = trio.current_time()
            fetch = Frame(mailbox.FETCH, mailbox.encode_fetch(1, 512, [(0, 0)]))
            await eve.send(*[fetch] * 100)
            found, _, _ = await bob.fetch(512, (0, 0))
            assert found
            assert trio.current_time() - began < 1
            assert at.mailbox.waiting_bytes < 2 * batches.MAX_ANSWER
            await at.serving[id(eve.stream)].wait()
            assert trio.current_time() - began <= PATIENCE + 1
            assert (at.mailbox.clients, at.mailbox.waiting_bytes) == (2, 0)

    run(main)


def test_one_queue_watched_under_a_thousand_handles_is_pushed_to_the_window_and_no_further(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, eve = await opened(at, TO_PUT), await at.client(room=1 << 24)
            await alice.put(0, *(blob(number) for number in range(100)))
            for handle in range(256):
                await eve.open(handle, TO_FETCH, BOB)
            for handle in range(0, 256, 8):
                await eve.watch(*((handle + more, 0) for more in range(8)))
            await trio.sleep(1)
            await eve.ping()
            assert len(eve.pushed) == mailbox.MAX_PUSHED
            assert at.mailbox.pushes.pushed == mailbox.MAX_PUSHED

    run(main)


def test_frames_that_carry_nothing_are_taken_in_slices_and_then_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many pings as a window holds, of one connection: what it may cost comes with time."""

    async def main() -> None:
        account = Account()
        async with relay(tmp_path, account_of=lambda stream: account) as at:
            eve, bob, began = await at.client(), await at.client(), trio.current_time()
            with counted(monkeypatch, MailboxServer, "_take") as steps:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(eve.send, *[Frame(mailbox.PING, b"")] * 10_000)
                    for _ in range(10_000):
                        await eve.answer(mailbox.PONG)
            assert steps.most <= budget.SLICE / COSTS[mailbox.PING] + 1
            cost = 10_000 * COSTS[mailbox.PING] - budget.BURST
            assert trio.current_time() - began > cost / budget.PLACE_RATE
            await bob.ping()

    run(main)


def test_what_a_connection_had_sent_is_dropped_when_it_ends(tmp_path: Path) -> None:
    """It waits for no more turns: a flood from ever new connections had thousands of them wait, each with its bytes."""

    async def main() -> None:
        account, over = Account(), [False]
        async with relay(tmp_path, account_of=lambda stream: account) as at:
            eve = await at.client()
            at.mailbox._is_over = lambda stream: over[0]
            await eve.send(*[Frame(mailbox.PING, b"")] * 10_000)
            await trio.sleep(1)  # a few of them are answered
            began, over[0] = trio.current_time(), True
            await at.serving[id(eve.stream)].wait()
            assert trio.current_time() - began < 1
            assert at.mailbox.clients == 0

    run(main)


def test_a_connection_that_only_pings_is_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await at.client()

            async def read() -> None:
                with suppress(LinkLost):
                    while await eve.stream.read(1 << 16):
                        pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                with suppress(LinkLost):
                    while True:
                        await eve.send(*[Frame(mailbox.PING, b"")] * 1_000)
            assert budget.work().ended
            bob = await at.client()
            await bob.ping()

    run(main)


def test_reads_for_many_come_a_few_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        most = [0]

        async def watching(function: Callable[..., Any], *args: Any) -> Any:
            batch = args[1]
            most[0] = max(most[0], len(batch.fetches) + len(batch.refills))
            return await inline(function, *args)

        async with relay(tmp_path, in_thread=watching) as at:
            alice = await opened(at, TO_PUT)
            await alice.put(0, blob(1))
            many = [await opened(at, TO_FETCH) for _ in range(40)]

            async def ask(number: int) -> None:
                if number % 2:
                    await many[number].watch((0, 0))
                    assert (await many[number].next_pushed()).blob == blob(1)
                else:
                    assert len((await many[number].fetch(512, (0, 0)))[0]) == 1

            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(ask, number)
            assert 1 < most[0] <= batches.MAX_READS

    run(main)


def test_while_memory_is_short_the_slow_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_OUT", 3_000_000)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await opened(at, TO_PUT)
            await alice.put(0, *(blob(number, BUCKETS[-1]) for number in range(40)))
            slow = [await opened(at, TO_FETCH, room=20_000) for _ in range(8)]
            for eve in slow:
                await eve.send(Frame(mailbox.FETCH, mailbox.encode_fetch(1, 512, [(0, 0)])))
            await trio.sleep(0.1)
            bob = await opened(at, TO_FETCH)
            began = trio.current_time()
            found, _, _ = await bob.fetch(512, (0, 0))
            assert found
            assert trio.current_time() - began < 2 * PATIENCE / 3
            assert at.mailbox.clients < 10

    run(main)


def test_deposits_wait_for_the_disk_and_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where each of them lets the others go first."""
    monkeypatch.setattr(Account, "due", True)

    async def main() -> None:
        disk = trio.Event()
        sizes: list[int] = []

        async def slow(function: Callable[..., Any], *args: Any) -> Any:
            await disk.wait()
            sizes.append(args[1].size)
            return await inline(function, *args)

        async with relay(tmp_path, in_thread=slow) as at:
            crowd = [await opened(at, TO_PUT) for _ in range(4)]

            async def flood(eve: MailClient, name: int) -> None:
                numbers = [await eve.post(0, blob(f"{name} {number}", BUCKETS[-1])) for number in range(150)]
                await eve.results(numbers)

            async with trio.open_nursery() as nursery:
                for name, eve in enumerate(crowd):
                    nursery.start_soon(flood, eve, name)
                await trio.sleep(1)
                disk.set()
            assert sum(sizes) == 600 * BUCKETS[-1]
            assert max(sizes) <= batches.MAX_BYTES + BUCKETS[-1]

    run(main)


# --- any bytes ---------------------------------------------------------------------------------------------------

_handles = st.integers(0, 3) | st.just(mailbox.NO_HANDLE) | st.integers(0, 0xFFFF)
_u64 = st.integers(0, 3) | st.integers(0, (1 << 64) - 1)
_numbers = st.integers(0, 3) | st.integers(0, (1 << 32) - 1)


def _named(few: list[int], count: int) -> tuple[EnvelopeId, ...]:
    """So many names, of blobs that may have been put."""
    names = [envelope_id(blob(number, BUCKETS[-1])) for number in few]
    return (*names, *[EnvelopeId(bytes(16))] * (count - len(names)))


_frames = st.one_of(
    st.builds(
        lambda number, handle, hours, stamped, size: Frame(
            mailbox.PUT, mailbox.encode_put(mailbox.Put(number, handle, hours, stamped, blob(number, size)))
        ),
        _numbers,
        _handles,
        st.integers(0, 800),
        _u64,
        st.sampled_from(BUCKETS),
    ),
    st.builds(
        lambda number, want, queues: Frame(mailbox.FETCH, mailbox.encode_fetch(number, want, queues)),
        _numbers,
        st.sampled_from([0, 1, 512, 513, 65_535]),
        st.lists(st.tuples(_handles, _u64), max_size=8),
    ),
    st.builds(
        lambda number, handle, upto: Frame(
            mailbox.DELETE, mailbox.encode_delete(mailbox.Deletion(number, handle, upto))
        ),
        _numbers,
        _handles,
        _u64,
    ),
    st.builds(
        lambda handle, role, flags: Frame(
            mailbox.OPEN, mailbox.encode_open(mailbox.Open(handle, role, Keys("x", flags).queue, bytes(64)))
        ),
        _handles,
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    st.builds(
        lambda kind, number, handle, few: Frame(
            kind,
            mailbox.encode_get(
                mailbox.Getting(number, handle, _named(few, 16 if kind == mailbox.GET else mailbox.NAMES_A_FORGET))
            ),
        ),
        st.sampled_from([mailbox.HAVE, mailbox.GET, mailbox.FORGET]),
        _numbers,
        _handles,
        st.lists(st.integers(0, 3), max_size=16),
    ),
    st.builds(Frame, st.integers(0, 21), st.binary(max_size=90)),
    st.just(Frame(mailbox.PING, b"")),
)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_frames, max_size=12), st.integers(0, 5))
def test_any_frames_from_a_client_leave_the_relay_whole(
    tmp_path_factory: pytest.TempPathFactory, frames: list[Frame], opens: int
) -> None:
    async def main() -> None:
        async with relay(tmp_path_factory.mktemp("fuzz"), quota=Quota(queue_blobs=5, least_free=0)) as at:
            eve, bob, alice = await at.client(), await opened(at, TO_FETCH), await opened(at, TO_PUT)
            await bob.watch((0, 0))
            for handle in range(opens):
                flags = (0, 0, BOX, FILES, FILES)[handle]
                assert await eve.open(handle, handle % 2, Keys("eve", flags)) == DONE
            async with trio.open_nursery() as nursery:
                nursery.start_soon(eve.has_ended)
                for frame in frames:
                    try:
                        await eve.send(frame)
                    except Exception:  # noqa: BLE001 - it was let go
                        break
                assert await alice.put(0, blob("through")) == [DONE]
                assert (await bob.next_pushed()).blob == blob("through")
                await at.gone(eve)
            there = at.store._connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM blobs").fetchone()
            assert there == (at.store.blobs, at.store.size)
            assert (at.mailbox.clients, at.mailbox.waiting_bytes, at.mailbox.pushes.watched) == (2, 0, 1)
            assert await alice.open(1, TO_PUT, Keys("files", FILES)) == DONE
            assert await alice.put(1, blob("a file", BUCKETS[-1])) == [DONE]
            assert at.boxes is not None
            rows = at.boxes._connection.execute("SELECT count(*), count(DISTINCT slot) FROM boxed").fetchone()
            assert rows == (at.boxes.blobs, at.boxes.blobs)

    run(main)


@settings(max_examples=examples(30))
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_any_bytes_from_a_client_end_its_stream_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    async def main() -> None:
        async with relay(tmp_path_factory.mktemp("fuzz")) as at:
            eve, alice = await at.client(), await opened(at, TO_PUT)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(eve.has_ended)
                try:
                    for piece in pieces:
                        await eve.stream.write(piece)
                except Exception:  # noqa: BLE001 - it was let go
                    pass
                assert await alice.put(0, blob(1)) == [DONE]
                await at.gone(eve)
            assert at.mailbox.clients == 1

    run(main)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(mailbox.PUT, bytes(16) + bytes(4097)),
        Frame(mailbox.PUT, bytes(16) + bytes(65_537)),
        Frame(mailbox.HELLO, b"\x90"),
        Frame(mailbox.BLOB, bytes(10 + 4096)),
        Frame(1, b"x"),
        Frame(12, b""),
        Frame(mailbox.FETCH, mailbox.encode_fetch(1, 513, [])),
    ],
)
def test_what_the_page_does_not_know_ends_the_stream(tmp_path: Path, frame: Frame) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await at.client()
            await eve.send(frame)
            assert await eve.has_ended()
            assert at.mailbox.clients == 0

    run(main)


def test_a_frame_of_four_gigabytes_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            eve = await at.client()
            await eve.stream.write(b"\xff\xff\xff\xff\x04")
            assert await eve.has_ended()

    run(main)
