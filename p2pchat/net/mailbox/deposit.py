"""Deposits on one stream to a relay: as many at once as its answers allow, with stamps if the relay wants them.

A queue is opened once for each stream, before the first deposit in it, in groups of eight like the queues that we
watch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from p2pchat.core import mailbox
from p2pchat.core.ids import PeerKey, QueueId
from p2pchat.core.mailbox import Put
from p2pchat.core.primitives import sign_public
from p2pchat.core.relays import TheirQueue
from p2pchat.lib.times import DAY_SECONDS, HOUR_SECONDS
from p2pchat.net.mailbox.stream import MailStream

MAX_WAITING = 4096
MAX_WAITING_BYTES = 32 << 20
"""Bytes that may wait for one relay, including those that it has not answered yet."""
MAX_UNANSWERED = 1 << 20
"""Bytes that may be unanswered on one stream; while there are more, the next deposit waits."""
MAX_SHORT_BLOB = 5_000
"""Bytes of a blob that always has room on a short connection."""
OPENING_BYTES = 1_100
"""Bytes of the frames that open a group of queues."""
MAX_STAMP_BITS = 26
"""The most expensive stamp that we make, about a minute's work."""
MAX_CROWDED_STAMP_BITS = 22
"""The most expensive stamp for a deposit that is not at an invite's queue, four seconds' work. A relay that demands
more could make us work all the time."""
UNSTAMPED_AFTER_SECONDS = HOUR_SECONDS
"""Seconds until a relay that was crowded is tried without stamps again."""
DAILY_STAMP_WORK = 1 << 31
"""Numbers that may be tried in a day for stamps of one relay at file boxes, or at logs: half an hour of a processor or
so, whatever it demands."""
STAMP_BATCH = 1 << 14
"""How many numbers are tried for a stamp before checking whether it is still needed: some hundredths of a second."""

Report = Callable[[Sequence[tuple[int, int]]], None]
"""Called with [(number that the caller gave the deposit, code of the result)]."""


@dataclass(eq=False, frozen=True, slots=True)
class DepositRequest:
    """A blob for a queue. number: identifies the result for the caller."""

    number: int
    queue: TheirQueue
    hours: int
    blob: bytes


class StampWork:
    """How many numbers were tried for stamps of one relay, of those that a day allows."""

    def __init__(self) -> None:
        self._tried = 0
        self._since = -math.inf

    def take(self, numbers: int) -> bool:
        """Return whether so many more may be tried today, and if so, count them."""
        if trio.current_time() - self._since >= DAY_SECONDS:
            self._tried, self._since = 0, trio.current_time()
        if self._tried + numbers > DAILY_STAMP_WORK:
            return False
        self._tried += numbers
        return True


class DepositBacklog:
    """The deposits for one relay, independent of the stream. `waiting`: those that were not started on the current
    stream.
    """

    def __init__(self) -> None:
        self.waiting: deque[DepositRequest] = deque()
        self._unreported: dict[DepositRequest, None] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._unreported)

    def add(self, deposit: DepositRequest) -> bool:
        """Add a deposit; return False if there is no room for it."""
        size = self._size + len(deposit.blob)
        if len(self._unreported) >= MAX_WAITING or size > MAX_WAITING_BYTES:
            return False
        self._size = size
        self._unreported[deposit] = None
        self.waiting.append(deposit)
        return True

    def settled(self, deposit: DepositRequest) -> None:
        """Remove a deposit whose result is being reported."""
        del self._unreported[deposit]
        self._size -= len(deposit.blob)

    def again(self) -> None:
        """Start over with all deposits, on a new stream."""
        self.waiting = deque(self._unreported)

    def give_up(self) -> list[int]:
        """Remove all deposits, and return their numbers."""
        numbers = [deposit.number for deposit in self._unreported]
        self.waiting.clear()
        self._unreported.clear()
        self._size = 0
        return numbers


class Depositing:
    """Makes deposits on one stream. report: called with their results."""

    def __init__(
        self,
        stream: MailStream,
        deposits: DepositBacklog,
        report: Report,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._stream = stream
        self._deposits = deposits
        self._report = report
        self._clock = clock
        self._random = random
        self._handles: dict[TheirQueue, int] = {}
        self._crowded_at = trio.current_time() if stream.hello.crowded else -UNSTAMPED_AFTER_SECONDS
        self._codes: dict[int, int] = {}  # by handle, for queues that the relay has refused to open
        self._to_stamp: deque[DepositRequest] = deque()
        self._stamped: deque[tuple[DepositRequest, int]] = deque()
        self._sent: dict[int, tuple[DepositRequest, int]] = {}  # with their stamps
        self._sent_bytes = 0
        self._has_put = False
        self._changed = trio.lowlevel.ParkingLot()
        self._stampless = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        """Wake `send`: there may be something to send."""
        self._changed.unpark_all()

    # --- out

    async def send(self) -> None:
        """Send what waits, at the pace of the relay's answers."""
        while True:
            self._send()
            await self._changed.park()

    def _send(self) -> None:
        waiting = self._deposits.waiting
        while self._sent_bytes < MAX_UNANSWERED:
            while waiting and (waiting[0].queue.flags & mailbox.STAMPED or self._crowded):
                self._to_stamp.append(waiting.popleft())
                self._stampless.unpark_all()
            if self._stamped:
                deposit, stamp = self._stamped[0]
            elif waiting:
                if self._stream.short:
                    self._smallest_first()
                deposit, stamp = waiting[0], 0
            else:
                return
            if not self._has_room(deposit):
                return
            if not self._open(deposit.queue):
                if not self._sent:
                    self._stream.end()  # a new stream can open as many queues again
                return
            if self._stamped:
                self._stamped.popleft()
            else:
                waiting.popleft()
            self._put(deposit, stamp)

    def _smallest_first(self) -> None:
        """Move a deposit to the front that has room on a short connection, if there is one."""
        waiting = self._deposits.waiting
        small = next((deposit for deposit in waiting if len(deposit.blob) <= MAX_SHORT_BLOB), waiting[0])
        if small is not waiting[0]:
            waiting.remove(small)
            waiting.appendleft(small)

    def _has_room(self, deposit: DepositRequest) -> bool:
        """Return whether a deposit may go over this stream. What has room on no short connection is tried as the only
        one: some networks count what comes, and not what goes.
        """
        if not self._stream.short:
            return True
        if len(deposit.blob) > MAX_SHORT_BLOB and not self._has_put:
            return True
        opening = 0 if deposit.queue in self._handles else OPENING_BYTES
        return self._stream.takes(len(deposit.blob) + opening)

    def _put(self, deposit: DepositRequest, stamp: int) -> None:
        self._has_put = True
        handle = self._handles[deposit.queue]
        if handle in self._codes:
            self._tell([(deposit, self._codes[handle])])
            return
        number = self._stream.number()
        hours = max(1, min(deposit.hours, self._stream.hello.longest))
        self._sent[number] = deposit, stamp
        self._sent_bytes += len(deposit.blob)
        self._stream.ask(mailbox.PUT, mailbox.encode_put(Put(number, handle, hours, stamp, deposit.blob)))

    def _open(self, queue: TheirQueue) -> bool:
        """Return whether the queue is open; if not, open it and the queues of all waiting deposits."""
        if queue in self._handles:
            return True
        waiting = self._deposits.waiting
        wanted = {queue: None} | {deposit.queue: None for deposit in waiting if deposit.queue not in self._handles}
        new = list(wanted)[: self._stream.room]
        if not new:
            return False
        for _ in range(-len(new) % mailbox.QUEUES_A_FETCH):
            new.append(TheirQueue(sign_public(self._random(32)), self._random(32)))
        for target in sorted(new, key=lambda queue: queue.fetch):
            self._handles[target] = self._stream.open(mailbox.TO_PUT, target.put_seed, target.queue)
        return True

    async def stamp(self) -> None:
        """Make the necessary stamps, one after the other."""
        while True:
            while not self._to_stamp:
                await self._stampless.park()
            deposit = self._to_stamp.popleft()
            bits, most = self._stream.hello.stamp_bits, MAX_STAMP_BITS
            if not deposit.queue.flags & mailbox.STAMPED:
                bits, most = mailbox.crowded_bits(bits, deposit.blob), MAX_CROWDED_STAMP_BITS
            if bits > most:
                self._tell([(deposit, mailbox.BAD_STAMP)])
            else:
                self._stamped.append((deposit, await self._stamp(deposit, bits)))
                self.wake()

    @property
    def _crowded(self) -> bool:
        """Return whether the relay is known to want a stamp for every deposit."""
        return trio.current_time() - self._crowded_at < UNSTAMPED_AFTER_SECONDS

    async def _stamp(self, deposit: DepositRequest, bits: int) -> int:
        hello, qid = self._stream.hello, deposit.queue.queue.id
        return await find_in_thread(hello.relay, qid, deposit.blob, bits, self._clock, self._random)

    # --- what the relay says

    def opened(self, handle: int, code: int) -> None:
        """Note the answer to an OPEN: whether the queue with this handle can be used, by `code`."""
        if code != mailbox.DONE:
            self._codes[handle] = code

    def results(self, results: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Handle results as (number, code); return those that belong to something else than a deposit."""
        done: list[tuple[DepositRequest, int]] = []
        unpaid: list[DepositRequest] = []
        others: list[tuple[int, int]] = []
        for number, code in results:
            deposit, stamp = self._sent.pop(number, (None, 0))
            if deposit is None:
                others.append((number, code))
                continue
            self._sent_bytes -= len(deposit.blob)
            if code == mailbox.STAMP_NEEDED and not stamp:
                unpaid.append(deposit)
            else:
                done.append((deposit, code))
        if unpaid:
            self._crowded_at = trio.current_time()
            self._to_stamp.extend(unpaid)
            self._stampless.unpark_all()
        if done or unpaid:
            self._stream.answered(mailbox.PUT, left=bool(self._sent))
            self._tell(done)
            self.wake()
        return others

    def _tell(self, done: Sequence[tuple[DepositRequest, int]]) -> None:
        for deposit, _ in done:
            self._deposits.settled(deposit)
        self._report([(deposit.number, code) for deposit, code in done])


async def find_in_thread(
    relay: PeerKey, qid: QueueId, blob: bytes, bits: int, clock: Callable[[], int], random: Callable[[int], bytes]
) -> int:
    """Return a stamp with so many zero bits. It is looked for in a thread, in pieces, so that it can be cancelled."""
    begin = 1 + int.from_bytes(random(6), "big")  # a stamp is valid for one deposit, even of the same blob
    while True:
        numbers = range(begin, begin + STAMP_BATCH)
        stamp = await trio.to_thread.run_sync(mailbox.find_stamp, relay, qid, blob, clock(), bits, numbers)
        if stamp is not None:
            return stamp
        begin += STAMP_BATCH
