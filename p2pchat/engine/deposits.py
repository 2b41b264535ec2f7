"""Deposits: how many envelopes are under way to each queue at a relay, and which come next.

A queue has a lane while its owner is reached by no link, and while its relay takes what it is given. Where it does not,
the lane pauses; it goes on when the relay is there again, or after the pause. The next pause is twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from p2pchat.core import mailbox
from p2pchat.engine import outbound
from p2pchat.engine.lanes import Lanes, Sizes
from p2pchat.engine.ports import Clock, Relay, TheirQueue
from p2pchat.engine.turn import Sealed, Turn
from p2pchat.store import deposits as store_deposits
from p2pchat.store.queues import TheirQueueRow

WINDOW = 128
"""Half a megabyte of the smallest, for each queue: there are as many as contacts, twice."""
SIZES = Sizes(WINDOW, WINDOW // 2, 0)
KEEP_HOURS = 30 * 24
LONGEST_PAUSE = 3600.0
_PAUSES = {mailbox.TOO_FAST: 10.0}
"""Seconds of the first pause after an answer; after most nothing changes soon."""
UNREACHED_PAUSE = 60.0


Put = Callable[[Relay, TheirQueue, int, Sequence[tuple[int, bytes]]], object]
"""`Mailboxes.deposit`"""


class Deposits:
    """Hands what is committed to `put`; `owners` are contacts who can be given something.

    `refill(queue)` must run `read` in a turn soon; `pause(queue, seconds)` must call `resume` after that.
    """

    def __init__(
        self, put: Put, clock: Clock, refill: Callable[[int], object], pause: Callable[[int, float], object]
    ) -> None:
        self.owners: frozenset[bytes] = frozenset()
        self._put = put
        self._clock = clock
        self._pause = pause
        self._lanes: Lanes[int] = Lanes(SIZES, self._write, self._due, refill)
        self._queues: dict[int, TheirQueueRow] = {}
        self._of: dict[bytes, list[TheirQueueRow]] = {}
        self._linked: set[bytes] = set()
        self._pauses: dict[int, float] = {}  # of lanes that pause, or did before they last took something
        self._pausing: set[int] = set()
        self._unanswered: dict[int, tuple[int, bytes]] = {}
        self._number = 0

    # --- queues and their owners

    def use(self, rows: Iterable[TheirQueueRow]) -> None:
        """These are the queues from now on."""
        before, self._queues = self._queues, {row.id: row for row in rows}
        self.owners = frozenset(row.owner for row in self._queues.values() if row.flags == 0)
        self._of = {}
        for row in self._queues.values():
            self._of.setdefault(row.owner, []).append(row)
        for id in before.keys() - self._queues.keys():
            self._lanes.end(id)
            self._pauses.pop(id, None)
            self._pausing.discard(id)
        for id in self._queues.keys() - before.keys():
            self._open(id)

    def linked(self, owner: bytes) -> None:
        """What is for this contact goes by a link."""
        self._linked.add(owner)
        for row in self._of.get(owner, ()):
            self._lanes.end(row.id)

    def unlinked(self, owner: bytes) -> None:
        """There is no link with this contact, or none that works."""
        self._linked.discard(owner)
        for row in self._of.get(owner, ()):
            self._open(row.id)

    def reached(self, owner: bytes) -> list[int]:
        """The queues of a contact whose relays take what they are given, as far as we know. From any thread."""
        return [row.id for row in self._of.get(owner, ()) if row.flags == 0 and row.id not in self._pausing]

    def get(self, id: int) -> TheirQueueRow | None:
        """A queue that is used, or None."""
        return self._queues.get(id)

    # --- out

    def release(self, owner: bytes, sealed: Sequence[Sealed]) -> None:
        """These rows were just committed."""
        for row in self._of.get(owner, ()):
            self._lanes.release(row.id, [one for one in sealed if store_deposits.takes(row, one.kind)])

    def look(self, owner: bytes) -> None:
        """Something has become due."""
        for row in self._of.get(owner, ()):
            self._lanes.look(row.id)

    def read(self, turn: Turn, id: int) -> None:
        """Read what comes next in a queue, as a function of a turn."""
        self._lanes.read(turn, id)

    def again(self) -> None:
        """Look through the outbox again: retries have become due."""
        for id in self._lanes:
            self._lanes.look(id)

    def resume(self, id: int) -> None:
        """The pause is over."""
        self._pausing.discard(id)
        if id in self._queues:
            self._open(id)

    # --- what became of it

    def results(self, done: Iterable[tuple[int, int]]) -> tuple[list[tuple[int, bytes]], set[bytes]]:
        """[(number, code)] were answered. What the relay has on disk, as (queue, envelope id), and the owners of queues
        that pause now.
        """
        taken: list[tuple[int, bytes]] = []
        refused: dict[int, int] = {}
        for number, code in done:
            queue, envelope_id = self._unanswered.pop(number, (0, b""))
            if code == mailbox.DONE and queue in self._queues:
                taken.append((queue, envelope_id))
                self._pauses.pop(queue, None)
            elif queue in self._queues:
                refused[queue] = code
        for queue, envelope_id in taken:
            self._lanes.done(queue, [envelope_id])
        owners = [self._stop(queue, _PAUSES.get(code, LONGEST_PAUSE)) for queue, code in refused.items()]
        return taken, set(owners)

    def lost(self, numbers: Iterable[int]) -> set[bytes]:
        """These were not answered; the owners of queues that pause now."""
        queues = {self._unanswered.pop(number, (0, b""))[0] for number in numbers}
        return {self._stop(queue, UNREACHED_PAUSE) for queue in queues if queue in self._queues}

    @property
    def under_way(self) -> bool:
        """Whether an answer is waited for."""
        return bool(self._unanswered)

    def begin_anew(self, relay: bytes) -> None:
        """The relay is there again, or what was read could not be noted: begin with what is due."""
        for id in [row.id for row in self._queues.values() if row.relay == relay]:
            self._lanes.end(id)
            self.resume(id)

    def _stop(self, id: int, seconds: float) -> bytes:
        self._lanes.end(id)
        if id not in self._pausing:
            self._pausing.add(id)
            self._pauses[id] = min(max(seconds, 2 * self._pauses.get(id, 0.0)), LONGEST_PAUSE)
            self._pause(id, self._pauses[id])
        return self._queues[id].owner

    def _open(self, id: int) -> None:
        if self._queues[id].owner not in self._linked and id not in self._pausing and id not in self._lanes:
            self._lanes.begin(id)

    def _write(self, id: int, sealed: list[Sealed]) -> bool:
        row = self._queues[id]
        blobs: list[tuple[int, bytes]] = []
        for one in sealed:
            self._number += 1
            self._unanswered[self._number] = id, one.envelope_id
            blobs.append((self._number, one.frame.body))
        hours = KEEP_HOURS
        if row.flags == mailbox.BOX:
            hours = max(1, min(hours, -(-(row.until - self._clock()) // mailbox.HOUR_MS)))
        relay = Relay(row.relay, (row.address,), row.token)
        self._put(relay, TheirQueue(row.fetch, row.put_seed, row.flags), hours, blobs)
        return True

    def _due(self, turn: Turn, id: int, after_pk: int, most: int) -> tuple[list[Sealed], bool]:
        row = self._queues.get(id)
        if row is None:
            return [], True
        rows = store_deposits.due(turn.db, turn.now, row, most, after_pk, outbound.old_to(turn, row.owner))
        return outbound.ready(rows), len(rows) < most
