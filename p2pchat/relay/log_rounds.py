"""Who follows which log, and pushing what is appended to all of them.

Each follower stands at the end of its log, and is sent the same bytes as the others. Nothing waits here for one who
cannot take them now: it is told so (`behind`), and reads again from its place when it can. With many followers, what is
appended goes out in rounds, one write for each of them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.core import logs, mailbox
from p2pchat.core.frames import head
from p2pchat.core.ids import QueueId
from p2pchat.core.logs import Item
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.relay.clients import ClientStream, OpenQueue, Outgoing
from p2pchat.relay.counts import Counts
from p2pchat.relay.limits import PlaceBudget

MAX_AT_ONCE = 63
"""Followers of a log to which everything is pushed at once."""
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 2.0
"""Between the end of a round and the beginning of the next round of the same log."""
PAUSE_A_FOLLOWER = 0.0004
"""Seconds by which each follower makes this pause longer: about what a write to one takes."""
MAX_ROUND_BYTES = 1 << 20
"""Bytes of blobs of one round; if there are more, those who follow read them."""
MAX_LAG_BYTES = 128 << 10
"""Bytes that may wait to be written to one who follows when something is pushed to it."""
PUSHES_A_TURN = 32
"""Followers to whom something is pushed before others have their turn."""
PUSHES_AT_ONCE, PUSHES_A_SECOND = 256, 4_000.0
"""Pushes to followers of all logs that are made at once; what is more goes out in rounds."""
FULL_SECONDS = 0.25
"""Seconds for which a round waits while too much waits for all clients; then slow ones are let go."""


@dataclass(eq=False, slots=True)
class _FollowedLog:
    """A log with its followers. fresh: what was appended and not pushed yet, in order. overrun: that was too much."""

    followers: dict[OpenQueue, None] = field(default_factory=dict)
    fresh: list[Item] = field(default_factory=list)
    size: int = 0
    overrun: bool = False
    begun: bool = False
    ended: float = -math.inf


class _Round:
    """What is pushed in one round, encoded once for all who have the same part of it already."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._places = [place for place, _ in items]
        self._parts: dict[int, tuple[list[bytes], int]] = {}
        self.last = self._places[-1]

    def behind(self, place: int) -> tuple[list[bytes], int]:
        """Return the frames' bodies with what lies behind a place, without the handle, and their blobs' number."""
        start = bisect_right(self._places, place)
        if start not in self._parts:
            self._parts[start] = logs.encode_parts(self._items[start:]), len(self._items) - start
        return self._parts[start]


def _pause(followed: _FollowedLog) -> float:
    """Return the seconds between the end of a log's round and the next round."""
    return min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, len(followed.followers) * PAUSE_A_FOLLOWER))


def packed_items(handle: int, parts: Sequence[bytes]) -> list[bytes]:
    """Return the pieces of ITEMS frames whose bodies, without the handle, are these; the parts are not copied."""
    pieces: list[bytes] = []
    for part in parts:
        pieces += head(mailbox.ITEMS, logs.BEHIND_BYTES + len(part)) + logs.encode_handle(handle), part
    return pieces


class LogRounds:
    """Pushes to followers; `run` runs until cancelled. egress: what each place may still be sent. drop_slow: ends
    clients that take nothing, where memory is short.
    """

    def __init__(self, outgoing: Outgoing, egress: PlaceBudget, counts: Counts, drop_slow: Callable[[], None]) -> None:
        self._outgoing = outgoing
        self._egress = egress
        self._counts = counts
        self._drop_slow = drop_slow
        self._logs: dict[QueueId, _FollowedLog] = {}
        self._due: dict[QueueId, float] = {}
        self._at_once = TokenBucket(PUSHES_AT_ONCE, PUSHES_A_SECOND)
        self._wake = Wakeup()

    @property
    def followers(self) -> int:
        """How many there are, of all logs."""
        return sum(len(followed.followers) for followed in self._logs.values())

    def follow(self, opened: OpenQueue, upto: int) -> None:
        """Push what is appended to a log behind the place `upto`: its client has everything before."""
        opened.follows, opened.upto = True, upto
        self._logs.setdefault(opened.qid, _FollowedLog()).followers[opened] = None

    def unfollow(self, opened: OpenQueue) -> None:
        """Push no more of it to this client."""
        if opened.follows:
            opened.follows = False
            followed = self._logs[opened.qid]
            del followed.followers[opened]
            if not followed.followers:
                del self._logs[opened.qid]
                self._due.pop(opened.qid, None)

    def forget(self, client: ClientStream) -> None:
        """Forget a client that has disconnected."""
        for opened in client.opened.values():
            self.unfollow(opened)

    def stored(self, qid: QueueId, items: Sequence[Item]) -> None:
        """Push blobs that are on the disk now, in order of place, or have them pushed in the next round."""
        followed = self._logs.get(qid)
        if followed is None:
            return
        if self._pushes_at_once(qid, followed):
            this = _Round(items)
            for opened in list(followed.followers):
                self._push(opened, this)
            return
        followed.size += sum(len(blob) for _, blob in items)
        followed.overrun = followed.overrun or followed.size > MAX_ROUND_BYTES
        followed.fresh = [] if followed.overrun else [*followed.fresh, *items]
        if not followed.begun:
            self._due.setdefault(qid, followed.ended + _pause(followed))
            self._wake.set()

    def _pushes_at_once(self, qid: QueueId, followed: _FollowedLog) -> bool:
        many = len(followed.followers)
        if many > MAX_AT_ONCE or qid in self._due or followed.begun or self._outgoing.full:
            return False
        return self._at_once.take(trio.current_time(), many)

    async def run(self) -> None:
        """Begin each round when it is due."""
        while True:
            await trio.lowlevel.checkpoint()
            self._wake.clear()
            qid = min(self._due, key=self._due.__getitem__, default=None)
            if qid is not None and self._due[qid] <= trio.current_time():
                del self._due[qid]
                await self._round(qid, self._logs[qid])
                continue
            with trio.move_on_at(math.inf if qid is None else self._due[qid]):
                await self._wake.wait()

    async def _round(self, qid: QueueId, followed: _FollowedLog) -> None:
        items, overrun = followed.fresh, followed.overrun
        followed.fresh, followed.size, followed.overrun, followed.begun = [], 0, False, True
        this = None if overrun else _Round(items)
        for turn, opened in enumerate(list(followed.followers)):
            if turn % PUSHES_A_TURN == PUSHES_A_TURN - 1:
                await self._let_others_run()
            if not opened.follows:
                continue
            if this is None:
                self._leave_behind(opened)
            else:
                self._push(opened, this)
        followed.begun, followed.ended = False, trio.current_time()
        if (followed.fresh or followed.overrun) and self._logs.get(qid) is followed:
            self._due[qid] = followed.ended + _pause(followed)

    async def _let_others_run(self) -> None:
        await trio.lowlevel.checkpoint()
        while self._outgoing.full:
            await trio.sleep(FULL_SECONDS)
            if self._outgoing.full:
                self._drop_slow()

    def _push(self, opened: OpenQueue, this: _Round) -> None:
        client = opened.client
        parts, count = this.behind(opened.upto)
        if client.ended or not parts:
            return
        pieces = packed_items(opened.handle, parts)
        size = sum(map(len, pieces))
        if client.out_bytes > MAX_LAG_BYTES or not self._egress.take(client.origin, trio.current_time(), size):
            self._leave_behind(opened)
            return
        opened.upto = this.last
        self._counts.logs_pushed += count
        client.held = True
        client.send_packed(*pieces)
        client.flush()

    def _leave_behind(self, opened: OpenQueue) -> None:
        self.unfollow(opened)
        opened.client.send_packed(head(mailbox.BEHIND, logs.BEHIND_BYTES), logs.encode_handle(opened.handle))
