"""The assignment of one relay's queues to streams: which are watched on which stream, and which are read in turn.

A stream has room for 1,024 queues, and a relay allows a few streams per client. The queues that contacts currently use
are watched: on the first stream while it has room, then on further ones. Retired queues, which contacts may still use
for a while, are watched on the first stream if it has room; the others are read in turn, the newest first, and ever
less often while they are empty. If there are more queues than all streams have room for, the rest is read in turn too,
every minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf

import trio

from p2pchat.core.ids import QueueId
from p2pchat.core.relays import OwnQueue
from p2pchat.lib.times import HOUR_SECONDS, MINUTE_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.mailbox.fetch import Collecting, MadeUp, WatchedQueue

MAX_WATCHED = 640
"""Queues that are watched on one stream: it has room for 1,024, but deposits and changes need some."""
MAX_STREAMS = 5
"""Streams on which the queues of one relay are watched. With the stream for reading in turn, that is one less than a
relay allows besides reservations."""
TURN_SECONDS = 60.0
"""Seconds between two turns of a queue that contacts use, if it is not watched."""
FIRST_RETIRED_TURN, LAST_RETIRED_TURN = 10 * MINUTE_SECONDS, 12 * HOUR_SECONDS
"""The same for retired queues: it begins with the first value and doubles, up to the last, each time the queue was
empty."""

_Keys = tuple[bytes, bytes, int]


class Share:
    """The queues that are watched on one stream, and on its successors."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.queues: dict[QueueId, WatchedQueue] = {}
        self.made_up = MadeUp(random)
        self.collecting: Collecting | None = None
        self.left = Wakeup()

    @property
    def has_room(self) -> bool:
        """Whether there is room for another queue."""
        return len(self.queues) < MAX_WATCHED


class ReadRotation:
    """The queues that are read in turn. `changed` is set when one was added."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.queues: dict[QueueId, WatchedQueue] = {}
        self.made_up = MadeUp(random)
        self.changed = Wakeup()
        self._at: dict[QueueId, float] = {}
        self._wait: dict[QueueId, float] = {}

    def add(self, watched: WatchedQueue) -> None:
        """Add a queue; it is read soon."""
        self.queues[watched.qid] = watched
        self._at[watched.qid] = -inf
        self.changed.set()

    def drop(self, qid: QueueId) -> WatchedQueue | None:
        """Forget the queue `qid`, and return it if it was here."""
        self._at.pop(qid, None)
        self._wait.pop(qid, None)
        return self.queues.pop(qid, None)

    def due(self) -> list[WatchedQueue]:
        """Return the queues whose turn it is, as many as a stream has room for: first those that contacts use, then the
        newest.
        """
        now = trio.current_time()
        due = [watched for watched in self.queues.values() if self._at[watched.qid] <= now]
        due.sort(key=lambda queue: (queue.own.retired != 0, self._at[queue.qid], -queue.own.retired))
        return due[:MAX_WATCHED]

    def next(self) -> float:
        """Return the time of the next turn, in seconds of the loop's clock; infinity if there is none."""
        return min(self._at.values(), default=inf)

    def had(self, read: Iterable[WatchedQueue], full: Iterable[WatchedQueue]) -> None:
        """Note that the queues `read` had their turn, and that those in `full` were not empty."""
        now, had_mail = trio.current_time(), {watched.qid for watched in full}
        for qid in [watched.qid for watched in read if watched.qid in self.queues]:
            wait = TURN_SECONDS
            if self.queues[qid].own.retired:
                before = self._wait.get(qid, FIRST_RETIRED_TURN / 2)
                wait = FIRST_RETIRED_TURN if qid in had_mail else min(2 * before, LAST_RETIRED_TURN)
            self._wait[qid], self._at[qid] = wait, now + wait


class Shares:
    """All queues of one relay. `grown`: called with each share but the first when it is created."""

    def __init__(self, random: Callable[[int], bytes], grown: Callable[[Share], object]) -> None:
        self.first = Share(random)
        self.turns = ReadRotation(random)
        self.max_streams = MAX_STREAMS
        self._random = random
        self._grown = grown
        self._shares = [self.first]
        self._of: dict[QueueId, Share | None] = {}
        self._by_keys: dict[_Keys, WatchedQueue] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __iter__(self) -> Iterator[WatchedQueue]:
        return iter(list(self._by_keys.values()))

    @property
    def further(self) -> list[Share]:
        """All shares but the first."""
        return self._shares[1:]

    def find(self, qid: QueueId) -> tuple[WatchedQueue, Collecting | None] | None:
        """Return a queue, with the object that collects from it now, if there is one; None if the queue is unknown."""
        if qid in self._of:
            share = self._of[qid]
            if share is None:
                return self.turns.queues[qid], None
            return share.queues[qid], share.collecting
        for share in self._shares:
            if share.collecting is not None and (watched := share.collecting.find(qid)) is not None:
                return watched, share.collecting
        return None

    def change(self, add: Iterable[OwnQueue], drop: Iterable[QueueId]) -> None:
        """Start collecting from `add` (or update what is known of them), and stop collecting from `drop`."""
        for qid in drop:
            self._drop(qid)
        new: dict[Share, list[WatchedQueue]] = {}
        for own in sorted(add, key=lambda own: (own.retired != 0, -own.retired)):
            watched = self._by_keys.get(_keys(own))
            if watched is None:
                watched = self._by_keys[_keys(own)] = WatchedQueue(own)
                share = self._place(watched)
                if share is not None:
                    new.setdefault(share, []).append(watched)
            watched.own = own
            watched.taken = max(watched.taken, own.after)
        self._fill(new)
        for share, queues in new.items():
            if share.collecting is not None:
                share.collecting.watch([watched for watched in queues if watched.qid in share.queues])

    def replaced(self, queues: Iterable[OwnQueue]) -> tuple[list[OwnQueue], list[QueueId]]:
        """Return (queues to add, ids of queues to drop) so that exactly these queues are collected from."""
        wanted = {_keys(own): own for own in queues}
        gone = [watched.qid for keys, watched in self._by_keys.items() if keys not in wanted]
        return list(wanted.values()), gone

    def unwatched(self) -> int:
        """Return how many queues that contacts use are on no stream."""
        off = [share for share in self._shares if share.collecting is None]
        waiting = [*self.turns.queues.values(), *(queue for share in off for queue in share.queues.values())]
        return sum(not queue.own.retired for queue in waiting)

    def remove(self, share: Share) -> None:
        """Remove a share without queues; never the first."""
        self._shares.remove(share)

    def fold(self) -> None:
        """Read in turn everything that is not on the first stream, because the relay allows only one."""
        self.max_streams = 1
        for share in self._shares[1:]:
            for watched in list(share.queues.values()):
                del share.queues[watched.qid]
                self._of[watched.qid] = None
                self.turns.add(watched)
            share.left.set()

    def unfold(self) -> None:
        """Open further streams again."""
        self.max_streams = MAX_STREAMS
        told = [watched for watched in self.turns.queues.values() if not watched.own.retired]
        for watched in told:
            share = next((other for other in self._shares[1:] if other.has_room), None) or self._grow()
            if share is None:
                return
            self.turns.drop(watched.qid)
            self._of[watched.qid] = share
            share.queues[watched.qid] = watched

    def _place(self, watched: WatchedQueue) -> Share | None:
        """Assign a queue to a share, and return it; None if the queue is read in turn."""
        share = self._room_for(watched)
        self._of[watched.qid] = share
        if share is None:
            self.turns.add(watched)
        else:
            share.queues[watched.qid] = watched
        return share

    def _room_for(self, watched: WatchedQueue) -> Share | None:
        known = [share for share in self._shares if share.collecting is not None and share.collecting.find(watched.qid)]
        for share in (*known, *self._shares[: self.max_streams]):
            if share.has_room:
                return None if watched.own.retired and share is not self.first else share
        if watched.own.retired:
            return None
        retired = [queue for queue in self.first.queues.values() if queue.own.retired]
        if retired:
            self._rotate(min(retired, key=lambda queue: queue.own.retired))
            return self.first
        return self._grow()

    def _grow(self) -> Share | None:
        if len(self._shares) >= self.max_streams:
            return None
        share = Share(self._random)
        self._shares.append(share)
        self._grown(share)
        return share

    def _rotate(self, watched: WatchedQueue) -> None:
        del self.first.queues[watched.qid]
        self._of[watched.qid] = None
        self.turns.add(watched)

    def _fill(self, new: dict[Share, list[WatchedQueue]]) -> None:
        """Watch queues that were read in turn, as far as there is room again."""
        waiting = sorted(self.turns.queues.values(), key=lambda queue: (queue.own.retired != 0, -queue.own.retired))
        shares = self._shares[: self.max_streams]
        for watched in waiting if any(share.has_room for share in shares) else ():
            share = next((other for other in shares if other.has_room), None)
            if share is None or (watched.own.retired and not self.first.has_room):
                return
            share = self.first if watched.own.retired else share
            self.turns.drop(watched.qid)
            self._of[watched.qid] = share
            share.queues[watched.qid] = watched
            new.setdefault(share, []).append(watched)

    def _drop(self, qid: QueueId) -> None:
        if qid not in self._of:
            return
        share = self._of.pop(qid)
        watched = self.turns.drop(qid) if share is None else share.queues.pop(qid)
        if watched is not None:
            watched.dropped = True
            del self._by_keys[_keys(watched.own)]
        if share is not None and share is not self.first and not share.queues:
            share.left.set()


def _keys(own: OwnQueue) -> _Keys:
    return own.fetch_seed, own.put, own.flags
