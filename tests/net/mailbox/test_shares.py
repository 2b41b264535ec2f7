"""More queues at one relay than a stream has room for: what is in use is watched, what is retired is read in turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from p2pchat.core import mailbox
from p2pchat.core.ids import RelayName
from p2pchat.core.relays import OwnQueue
from p2pchat.net.mailbox import shares
from p2pchat.net.mailbox.client import ALONE_SECONDS, ALONE_TURN, UNWATCHED_AFTER_SECONDS
from p2pchat.net.mailbox.shares import FIRST_RETIRED_TURN, LAST_RETIRED_TURN, MAX_STREAMS
from tests.support.boxes import Keys, PipeStream, relay, run
from tests.support.deposits import fill
from tests.support.mails import AT_RELAY, RELAY, Scene, client, own, unreachable


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream has room for 16, so that the tests need no thousands."""
    monkeypatch.setattr(shares, "MAX_WATCHED", 16)


def used(count: int, begin: int = 0) -> list[Keys]:
    return [Keys(f"queue {number}") for number in range(begin, begin + count)]


def retired(keys: Iterable[Keys]) -> list[OwnQueue]:
    """The later ones are the newer ones."""
    return [replace(own(one), retired=1 + number) for number, one in enumerate(keys)]


def opened(scene: Scene) -> list[set[mailbox.Queue]]:
    """The queues that were opened, by stream."""
    return [{mailbox.decode_open(frame.body).queue for frame in line.of(mailbox.OPEN)} for line in scene.lines.streams]


def unwatched(scene: Scene) -> int:
    return scene.boxes.relay_health()[RelayName(RELAY)].unwatched


def test_all_that_is_in_use_is_watched_on_as_many_streams_as_that_takes(tmp_path: Path) -> None:
    async def main() -> None:
        every, old = used(3 * 16 + 5), used(20, 1000)
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.letters.takes = True
            scene.boxes.watch(AT_RELAY, [*retired(old), *map(own, every)])  # the order says nothing
            await trio.sleep(UNWATCHED_AFTER_SECONDS)
            assert unwatched(scene) == 0
            for keys in every:
                await fill(here, keys, keys.name)
            await scene.letters.until(lambda: all(scene.letters.blobs(keys) for keys in every))  # without waiting
            assert max(len(line.of(mailbox.OPEN)) for line in scene.lines.streams) <= mailbox.MAX_HANDLES
            for keys in old:
                await fill(here, keys, keys.name)
            await trio.sleep(2 * FIRST_RETIRED_TURN + 60)
            assert all(len(scene.letters.blobs(keys)) == 1 for keys in old)
            await trio.sleep(60)
            assert here.store.blobs == 0
            assert scene.letters.told == ["up"]

    run(main)


def test_retired_ones_take_turns_the_newest_first_and_empty_ones_seldom(tmp_path: Path) -> None:
    async def main() -> None:
        every, old = used(16), used(40, 1000)
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [*map(own, every), *retired(old)])
            await trio.sleep(60)
            newest = [{keys.queue for keys in some} for some in (old[24:], old[8:24], old[:8])]
            read = [one - {keys.queue for keys in every} for one in opened(scene)[1:]]
            assert [len(one & each) for one, each in zip(read, newest, strict=True)] == [16, 16, 8]
            await trio.sleep(86_400)
            reads = sum(old[0].queue in one for one in opened(scene))
            assert 86_400 / LAST_RETIRED_TURN <= reads <= 12

    run(main)


def test_what_comes_into_use_takes_the_room_of_what_is_retired(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = used(12), used(12, 100)
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, map_own(first))
            await trio.sleep(5)
            scene.boxes.change(AT_RELAY, [*retired(first), *map_own(second)], [])  # as every week
            await trio.sleep(UNWATCHED_AFTER_SECONDS + 5)
            assert unwatched(scene) == 0
            for keys in (*first, *second):
                await fill(here, keys, keys.name)
            await scene.letters.until(lambda: all(scene.letters.blobs(keys) for keys in second))
            await trio.sleep(2 * FIRST_RETIRED_TURN)
            assert all(scene.letters.blobs(keys) for keys in first)
            scene.boxes.change(AT_RELAY, [], [keys.queue.id for keys in first])
            await fill(here, first[0], "later")
            await trio.sleep(2 * FIRST_RETIRED_TURN)
            assert len(scene.letters.blobs(first[0])) == 1
            assert scene.health == ("connected", "")

    def map_own(some: Iterable[Keys]) -> list[OwnQueue]:
        return [own(keys) for keys in some]

    run(main)


def test_a_relay_that_gives_one_stream_is_read_in_turn_and_that_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        every, refuses = used(40), True
        async with relay(tmp_path) as here:

            def one_stream() -> PipeStream:
                if refuses and any(not line.closed for line in scene.lines.streams):
                    unreachable()
                return here.stream()

            async with client(one_stream) as scene:
                scene.letters.takes = True
                scene.boxes.watch(AT_RELAY, [own(keys) for keys in every])
                await trio.sleep(UNWATCHED_AFTER_SECONDS)
                assert unwatched(scene) == 40 - 16
                for keys in every:
                    await fill(here, keys, keys.name)
                await trio.sleep(4 * ALONE_TURN)
                assert all(scene.letters.blobs(keys) for keys in every)
                assert scene.health == ("connected", "")
                refuses = False
                await trio.sleep(ALONE_SECONDS)
                assert unwatched(scene) == 0

    run(main)


def test_more_than_all_streams_have_room_for(tmp_path: Path) -> None:
    async def main() -> None:
        every = used(16 * MAX_STREAMS + 20)
        async with relay(tmp_path) as here, client(here.stream) as scene:
            scene.boxes.watch(AT_RELAY, [own(keys) for keys in every])
            await trio.sleep(2 * UNWATCHED_AFTER_SECONDS)
            assert unwatched(scene) == 20
            for keys in every:
                await fill(here, keys, keys.name)
            await trio.sleep(3 * shares.TURN_SECONDS)
            assert all(scene.letters.blobs(keys) for keys in every)
            assert sum(not line.closed for line in scene.lines.streams) <= MAX_STREAMS + 1

    run(main)
