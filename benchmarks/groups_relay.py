"""A group's log at one relay: `python -m benchmarks.groups_relay`. A real relay process, readers in others.

group_last_reader_s     from the put of one message of 1 KiB until the last of so many connected readers has it
group_log_10k_s         one who was away reads 10,000 such messages, one page ahead, through the client of the net

Each reader is a connection with a key of its own, Noise, Yamux and one stream, as a node's is, but without a host
around it (`benchmarks.mail`), so that 500 fit into a process. Readers and relay share this machine's cores: with two of
them, those who read take one and the relay the other, so the time is as much the readers' as the relay's. What the
relay alone takes is its CPU for one push to one reader, which is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from benchmarks.log_readers import group_log, open_log
from benchmarks.mail import Client
from benchmarks.relay import SETTINGS, Helpers, Relay, relay
from p2pchat.core import logs, mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey, QueueId, RelayName
from p2pchat.core.logs import LogRole
from p2pchat.core.relays import Relay as RelayOf
from p2pchat.net import multiaddrs
from p2pchat.net.frames import write_frames
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.libp2p.log_filter import quiet
from p2pchat.net.mailbox.pool import MailboxPool

READERS = 5_000
READERS_A_PROCESS = 500
"""Readers in one process."""
MESSAGES = 5
APART_SECONDS = 3.0
"""Seconds between two messages, so that each is a round of its own."""
BUSY_SECONDS, BUSY_A_SECOND = 10, 5
CATCH_UP = 10_000
SIZE = logs.SMALL_BYTES
_SETTINGS = SETTINGS + "log_address_bytes = 1099511627776\nlog_bytes_a_second = 1073741824\nlog_bytes = 1073741824\n"


# --- what is measured ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """How so many readers were reached. saved_s: until the relay had a message; last_s, half_s: until the last and half
    of them had it, one value a message. push_us: CPU of the relay for one push to one reader. busy_last_s: the same for
    the slowest of many messages in a row; busy_cpu: the share of a core that the relay took. mb: its memory.
    """

    readers: int
    saved_s: list[float]
    last_s: list[float]
    half_s: list[float]
    push_us: float
    busy_last_s: float
    busy_cpu: float
    mb: float


@contextmanager
def crowds(at: Relay, count: int) -> Iterator[list[Helpers]]:
    """Readers, all connected."""
    with ExitStack() as stack:
        made = []
        for start in range(0, count, READERS_A_PROCESS):
            crowd = Helpers(
                at.program, "benchmarks.log_readers", relay=at.address, count=min(READERS_A_PROCESS, count - start)
            )
            stack.callback(crowd.close)
            made.append(crowd)
        for crowd in made:
            crowd.hear()
        yield made


async def _put(at: str, blobs: int, pause: float) -> list[tuple[float, float]]:
    """Append so many blobs, one after the other; when each was put and when the relay had it."""
    times = []
    async with trio.open_nursery() as nursery:
        client = await Client.connect(at, nursery)
        await open_log(client, LogRole.APPEND)
        for number in range(blobs):
            put = mailbox.Put(number, 0, 24, 0, os.urandom(SIZE))
            began = time.monotonic()
            await write_frames(client.stream, [Frame(mailbox.PUT, mailbox.encode_put(put))])
            while not any(frame.type == mailbox.RESULTS for frame in await client.frames()):
                pass
            times.append((began, time.monotonic()))
            await trio.sleep(max(0.0, began + pause - time.monotonic()))
        nursery.cancel_scope.cancel()
    return times


def reach(count: int) -> Reach:
    """Measure so many readers."""
    with relay(_SETTINGS) as at, crowds(at, count) as readers:
        saved, last, half = [], [], []
        pushed = 0.0
        for _ in range(MESSAGES):
            for crowd in readers:
                crowd.tell(count=1)
            time.sleep(APART_SECONDS)
            cpu = at.cpu
            ((began, stored),) = trio.run(_put, at.address, 1, 0.0)
            heard = sorted(when for crowd in readers for when in crowd.hear()["at"])
            pushed += at.cpu - cpu
            saved.append(stored - began)
            last.append(heard[-1] - began)
            half.append(heard[len(heard) // 2] - began)
        messages = BUSY_SECONDS * BUSY_A_SECOND
        for crowd in readers:
            crowd.tell(count=messages)
        time.sleep(APART_SECONDS)
        cpu, began = at.cpu, time.monotonic()
        put = trio.run(_put, at.address, messages, 1 / BUSY_A_SECOND)
        ended = max(when for crowd in readers for when in crowd.hear()["at"])
        busy = (at.cpu - cpu) / (time.monotonic() - began)
        return Reach(count, saved, last, half, pushed / MESSAGES / count * 1e6, ended - put[-1][0], busy, at.mb)


class _Collected:
    """What has come of the log."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.done = trio.Event()

    async def log_items(
        self, relay: RelayName, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        await trio.lowlevel.checkpoint()
        self._left -= len(items)
        if self._left <= 0:
            self.done.set()

    def logs_up(self, relay: RelayName) -> None:
        """Do nothing."""

    def logs_down(self, relay: RelayName, problem: str) -> None:
        if problem:
            raise RuntimeError(problem)

    async def collected(self, relay: RelayName, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        raise NotImplementedError

    def deposited(self, relay: RelayName, done: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError

    def undeposited(self, relay: RelayName, numbers: Sequence[int]) -> None:
        raise NotImplementedError

    def relay_up(self, relay: RelayName) -> None:
        raise NotImplementedError

    def relay_down(self, relay: RelayName, *, tried: bool) -> None:
        raise NotImplementedError

    def relays_told(self, relay: PeerKey, descriptors: Sequence[bytes]) -> None:
        raise NotImplementedError


async def _catch_up(at: str, count: int) -> float:
    quiet()
    peer, address = multiaddrs.parse_full(at)
    keys, there = group_log(), RelayOf(peer, (multiaddrs.pack(address),))
    async with trio.open_nursery() as nursery:
        host, collected = LibP2PHost(os.urandom(32), listen=()), _Collected(count)
        await nursery.start(host.run)
        now = time.time_ns() // 1_000_000
        pool = MailboxPool(host, collected, nursery, lambda: now, os.urandom, log_callbacks=collected)
        for _ in range(0, count, 64):
            blobs = [os.urandom(SIZE) for _ in range(min(64, count))]
            codes = await pool.logs.append(there, keys, 24, blobs)
            assert codes is not None
            assert not any(codes)
        await trio.sleep(1)
        began = time.perf_counter()
        pool.logs.watch(there, [(keys, 0)])
        await collected.done.wait()
        took = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return took


def catch_up(count: int = CATCH_UP) -> float:
    """Seconds until one who was away has read so many messages of a log."""
    with relay(_SETTINGS) as at:
        return trio.run(_catch_up, at.address, count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.groups_relay", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--readers", type=int, default=READERS, help=f"how many ({READERS})")
    parser.add_argument("--only", choices=("reach", "collect"), help="measure one thing only")
    given = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    if given.only in (None, "reach"):
        seen = reach(given.readers)
        print(
            f"group_last_reader_s   {statistics.median(seen.last_s):.2f} s (most {max(seen.last_s):.2f}),"
            f" half of {seen.readers} after {statistics.median(seen.half_s):.2f}, saved after"
            f" {statistics.median(seen.saved_s) * 1000:.1f} ms; relay {seen.push_us:.0f} us of CPU a push,"
            f" {seen.mb:.0f} MB"
        )
        print(
            f"at {BUSY_A_SECOND} messages a second   the last {seen.busy_last_s:.2f} s after it was put,"
            f" relay {100 * seen.busy_cpu:.0f} % of a core"
        )
    if given.only in (None, "collect"):
        print(f"group_log_10k_s       {catch_up():.2f} s")


if __name__ == "__main__":
    main()
