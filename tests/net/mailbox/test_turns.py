"""Whose backlog is fetched when: in memory, with a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2pchat.core import mailbox
from p2pchat.core.envelope import envelope_id
from p2pchat.core.ids import PeerKey, QueueId, RelayName
from p2pchat.net.mailbox.turns import MAX_SILENCE_SECONDS, MAX_WAIT_SECONDS
from p2pchat.ports import Relay
from p2pchat.relay.terms import Terms
from tests.support.boxes import Keys, blob, relay, run
from tests.support.boxes import Relay as RelayInMemory
from tests.support.deposits import fill
from tests.support.mails import AT_RELAY, Letters, Liar, Scene, Script, client, lied_to, own

HERE, THERE = Keys("here"), Keys("there")
OTHER = PeerKey(b"\xee" * 32)
AT_OTHER = Relay(OTHER, AT_RELAY.addresses)


class Engine(Letters):
    """Takes what comes, and says so of the queue at the other relay too."""

    async def collected(self, relay: bytes, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        await super().collected(relay, qid, blobs)
        if qid == HERE.queue.id and self.boxes is not None:
            self.boxes.forget(RelayName(OTHER), THERE.queue.id, [envelope_id(one) for _, one in blobs])


@asynccontextmanager
async def beside(folder: Path, script: Script) -> AsyncIterator[tuple[Scene, RelayInMemory]]:
    """A relay that follows a script and is asked first, and an honest one with three blobs."""
    async with relay(folder, peer=OTHER) as other, lied_to(script) as scene:
        await fill(other, THERE, 1, 2, 3)
        scene.lines.others[OTHER] = other.stream
        scene.letters.takes = True
        scene.boxes.watch(AT_RELAY, [own(HERE)])
        await wait_all_tasks_blocked()
        scene.boxes.watch(AT_OTHER, [own(THERE)])
        yield scene, other


@pytest.mark.parametrize("knows", [True, False])
def test_what_one_relay_has_brought_is_not_fetched_from_another_that_knows_how(tmp_path: Path, knows: bool) -> None:
    hello = Terms.hello

    async def main() -> None:
        (tmp_path / "other").mkdir()
        letters = Engine()
        letters.takes, letters.held = True, trio.Event()
        async with relay(tmp_path) as first, relay(tmp_path / "other", peer=OTHER) as other:
            await fill(first, HERE, *range(600))
            await fill(other, THERE, *range(600), "only here")
            async with client(first.stream, letters=letters) as scene:
                scene.lines.others[OTHER] = other.stream
                scene.boxes.watch(AT_RELAY, [own(HERE)])
                await wait_all_tasks_blocked()
                scene.boxes.watch(AT_OTHER, [own(THERE)])
                await wait_all_tasks_blocked()
                assert other.mailbox.counts.fetched == 0
                letters.held.set()
                await letters.until(lambda: blob("only here") in letters.blobs(THERE))
                assert letters.blobs(HERE) == [blob(number) for number in range(600)]
                assert other.mailbox.counts.fetched == len(letters.blobs(THERE)) == (1 if knows else 601)
                await trio.sleep(1)
                assert [first.store.blobs, other.store.blobs] == [0, 0]
                said = [frame for line in scene.lines.streams for frame in line.of(mailbox.FORGET)]
                assert len(said) == (3 if knows else 0)

    with mock.patch.object(Terms, "hello", lambda *args: replace(hello(*args), forgets=knows)):
        run(main)


def test_a_relay_that_brings_nothing_delays_the_other_for_a_second(tmp_path: Path) -> None:
    async def silent(liar: Liar) -> None:
        await liar.greet()
        await liar.hear_opens()
        await trio.sleep_forever()

    async def main() -> None:
        async with beside(tmp_path, silent) as (scene, _):
            await scene.letters.until(lambda: len(scene.letters.blobs(THERE)) == 3)
            assert scene.lines.milliseconds() <= 1000 * MAX_SILENCE_SECONDS

    run(main)


def test_a_relay_that_brings_something_now_and_then_delays_the_other_for_ten(tmp_path: Path) -> None:
    async def slow(liar: Liar) -> None:
        await liar.greet()
        handle = next(one.handle for one in await liar.hear_opens() if one.queue == HERE.queue)
        for place in range(1, 400):
            await liar.blob(handle, place)
            await trio.sleep(MAX_SILENCE_SECONDS / 2)

    async def main() -> None:
        async with beside(tmp_path, slow) as (scene, other):
            await trio.sleep(MAX_WAIT_SECONDS / 2)
            assert other.mailbox.counts.fetched == 0
            await scene.letters.until(lambda: len(scene.letters.blobs(THERE)) == 3)
            assert scene.lines.milliseconds() <= 1000 * MAX_WAIT_SECONDS

    run(main)
