"""What a relay process acknowledged is on its disk: killed in the middle of a crowd, and with a disk that is full."""

from __future__ import annotations

import os
import resource
import signal
import urllib.error
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio

from p2pchat.core.mailbox import DONE, RELAY_FULL, TO_FETCH, TO_PUT
from p2pchat.errors import P2PChatError
from p2pchat.net.libp2p.host import LibP2PHost
from tests.support.boxes import Keys, blob
from tests.support.ports import free_port
from tests.support.processes import Place, Running
from tests.support.programs import get, host, opened, run, start

BOB = Keys("bob")
SENDERS = 4
ROUNDS = int(os.environ.get("P2PCHAT_KILL_ROUNDS", "10")) // 3


def healthy(port: int) -> int:
    """The status of /healthz."""
    try:
        get(port, "/healthz")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


async def everything(by: LibP2PHost, address: str, keys: Keys) -> list[bytes]:
    """The blobs of a queue, in order."""
    bob = await opened(by, address, TO_FETCH, keys)
    found, after, more = [], 0, True
    while more:
        blobs, _, end = await bob.fetch(512, (0, after))
        found += [one.blob for one in blobs]
        after, more = blobs[-1].place if blobs else after, end.more
    await bob.stream.close()
    return found


@dataclass
class Queue:
    """What its sender was told is kept, and what its reader has got and asked to delete."""

    keys: Keys
    acknowledged: list[bytes] = field(default_factory=list)
    read: list[bytes] = field(default_factory=list)
    deleting: set[bytes] = field(default_factory=set)

    async def send(self, address: str, round_: int) -> None:
        """Deposit in windows of ten until the relay is gone."""
        async with host() as by:
            with suppress(P2PChatError):
                alice = await opened(by, address, TO_PUT, self.keys)
                for batch in range(10_000):
                    blobs = [blob(f"{self.keys.name} {round_} {batch} {number}") for number in range(10)]
                    assert await alice.put(0, *blobs) == [DONE] * 10
                    self.acknowledged += blobs

    async def collect(self, address: str, enough: trio.Event) -> None:
        """Take what is pushed and delete it in handfuls; tell when some were, and go on until the relay is gone."""
        async with host() as by:
            with suppress(P2PChatError):
                bob = await opened(by, address, TO_FETCH, self.keys)
                await bob.watch((0, 0))
                taken: list[bytes] = []
                while True:
                    pushed = await bob.next_pushed()
                    taken.append(pushed.blob)
                    self.read.append(pushed.blob)
                    if len(taken) == 7:
                        self.deleting.update(taken)
                        await bob.delete(0, pushed.place)
                        taken.clear()
                        enough.set()


@pytest.mark.kill
def test_a_kill_in_the_middle_of_a_crowd_loses_nothing_that_was_acknowledged(here: Place) -> None:
    """What was acknowledged is there, unless its reader asked to delete it; in order, whole, and once."""
    queues = [Queue(Keys(f"queue {number}")) for number in range(SENDERS)]

    async def crowd(address: str, round_: int, running: Running) -> None:
        async with trio.open_nursery() as nursery:
            read = [trio.Event() for _ in queues]
            for queue, enough in zip(queues, read, strict=True):
                nursery.start_soon(queue.collect, address, enough)
                nursery.start_soon(queue.send, address, round_)
            for enough in read:
                await enough.wait()
            running.process.kill()

    for round_ in range(ROUNDS):
        running, address = start(here)
        run(partial(crowd, address, round_, running))
        assert running.wait().code == -signal.SIGKILL
    _, address = start(here)

    async def look() -> None:
        async with host() as by:
            for queue in queues:
                kept = await everything(by, address, queue.keys)
                must = [one for one in queue.acknowledged if one not in queue.deleting]
                assert [one for one in kept if one in set(must)] == must
                assert len(kept) == len(set(kept))
                assert set(queue.read) <= set(queue.acknowledged) | set(kept) | queue.deleting

    run(look)


def test_a_full_disk_turns_deposits_away_and_all_that_is_there_stays_whole(here: Place) -> None:
    """It is made full by a limit on the length of its files, and later it is not."""
    port = free_port()
    running, address = start(here, "--metrics", f"127.0.0.1:{port}")
    kept = [blob(number) for number in range(30)]

    def limit(size: int) -> None:
        _, hard = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (size, hard))

    async def main() -> None:
        async with host() as one, host() as two:
            alice = await opened(one, address, TO_PUT, BOB)
            assert await alice.put(0, *kept) == [DONE] * 30
            limit(65_536)  # also with an empty log it does not take a large blob
            for number in range(5):
                assert await alice.put(0, blob(f"late {number}", 65_536)) == [RELAY_FULL]
            assert await everything(two, address, BOB) == kept
            health = await trio.to_thread.run_sync(healthy, port)
            assert health == 503
            limit(resource.RLIM_INFINITY)
            assert await alice.put(0, blob("room again")) == [DONE]
            assert await everything(two, address, BOB) == [*kept, blob("room again")]
            assert await trio.to_thread.run_sync(healthy, port) == 200

    run(main)
    done = running.end()
    assert done.code == 0
    _, address = start(here)

    async def after() -> None:
        async with host() as by:
            assert await everything(by, address, BOB) == [*kept, blob("room again")]

    run(after)
