"""What is pushed to clients that watch a queue."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from p2pchat.core import mailbox
from p2pchat.core.mailbox import TO_FETCH, TO_PUT
from p2pchat.relay import clients
from tests.support.boxes import Keys, blob, opened, relay, run

BOB = Keys("bob")


def test_a_watcher_gets_what_lies_there_and_what_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await alice.put(0, blob(0), blob(1))
            first = (await bob.fetch(1, (0, 0)))[0][0]
            await bob.watch((0, first.place))
            await alice.put(0, blob(2))
            got = [await bob.next_pushed() for _ in range(2)]
            assert [one.blob for one in got] == [blob(1), blob(2)]
            assert got[0].place < got[1].place
            await bob.delete(0, got[1].place)
            assert at.store.blobs == 0

    run(main)


def test_two_clients_watch_one_queue(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, one, two = await opened(at, TO_PUT), await opened(at, TO_FETCH), await opened(at, TO_FETCH)
            await one.watch((0, 0))
            await two.watch((0, 0))
            await alice.put(0, blob(1))
            assert (await one.next_pushed()) == (await two.next_pushed())
            await at.gone(one)
            await alice.put(0, blob(2))
            assert (await two.next_pushed()).blob == blob(2)

    run(main)


@pytest.mark.parametrize("push", [1, mailbox.MAX_PUSHED])
def test_at_most_so_many_wait_for_their_delete_and_then_it_goes_on(tmp_path: Path, push: int) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            total = 3 * push
            await bob.watch((0, 0), push=push)
            got: list[mailbox.Blob] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alice.put, 0, *(blob(number) for number in range(total)))
                while len(got) < push:
                    got.append(await bob.next_pushed())
            await trio.sleep(10)
            await bob.ping()
            assert bob.pushed == []
            while len(got) < total:
                await bob.delete(0, got[-1].place)
                got.append(await bob.next_pushed())
            assert [one.blob for one in got] == [blob(number) for number in range(total)]
            await bob.delete(0, got[-1].place)
            assert (at.store.blobs, bob.pushed) == (0, [])
            await alice.put(0, blob("then"))
            assert (await bob.next_pushed()).blob == blob("then")

    run(main)


def test_who_takes_small_blobs_only_gets_those_of_each_queue_before_a_larger_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH)
            await alice.put(0, blob(1), blob(2, 16_384), blob(3))
            (found, _, end) = await bob.fetch(8, (0, 0), small=True)
            assert ([one.blob for one in found], end.more) == ([blob(1)], False)
            (found, _, end) = await bob.fetch(8, (0, found[0].place), small=True)
            assert (found, end.more) == ([], False)
            await bob.watch((0, 0), push=1, small=True)
            pushed = await bob.next_pushed()
            assert pushed.blob == blob(1)
            await bob.delete(0, pushed.place)
            await trio.sleep(100)
            await bob.ping()
            assert bob.pushed == []
            assert at.store.blobs == 2
            everything = await bob.fetch(8, (0, 0))
            assert [one.blob for one in everything[0]] == [blob(2, 16_384), blob(3)]

    run(main)


def test_a_client_that_was_slow_catches_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took nothing for a while, so what came was not kept in memory for it; it comes from the disk."""
    monkeypatch.setattr(clients, "MAX_WAITING", 50_000)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice, bob = await opened(at, TO_PUT), await opened(at, TO_FETCH, room=10_000)
            await bob.watch((0, 0))
            await alice.put(0, *(blob(number) for number in range(100)))
            assert at.mailbox.waiting_bytes < 60_000 + 4200
            got = [(await bob.next_pushed()).blob for _ in range(100)]
            assert got == [blob(number) for number in range(100)]
            await alice.put(0, blob("then"))
            assert (await bob.next_pushed()).blob == blob("then")

    run(main)


def test_pushes_wait_while_memory_is_short_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_OUT", 100_000)

    async def main() -> None:
        async with relay(tmp_path) as at:
            alice = await at.client()
            watchers = []
            for number in range(6):
                keys = Keys(f"queue {number}")
                await alice.open(number, TO_PUT, keys)
                watchers.append(await opened(at, TO_FETCH, keys, room=5_000))
                await watchers[-1].watch((0, 0))
            for number in range(6):
                await alice.put(number, *(blob(f"{number} {n}") for n in range(20)))
            assert at.mailbox.waiting_bytes <= 100_000 + 4200

            async def read(number: int) -> None:
                got = [(await watchers[number].next_pushed()).blob for _ in range(20)]
                assert got == [blob(f"{number} {n}") for n in range(20)]

            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(read, number)
            assert at.mailbox.waiting_bytes == 0

    run(main)
