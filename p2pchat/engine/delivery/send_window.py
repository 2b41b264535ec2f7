"""Lanes: what of the outbox is under way on each way out of here, and what comes next on it.

A way out is a link with a contact, or one of their queues at a relay. At most `window` envelopes are under way on it.
The rest are in the outbox on disk; the next few may be kept in memory too, so that a flood does not read back what it
has just written. A lane that begins anew begins from the first row that is due: what was under way before may arrive
twice, which is harmless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from p2pchat.core.ids import EnvelopeId
from p2pchat.engine.runtime.transaction import OutgoingEnvelope, Transaction

K = TypeVar("K", bound=Hashable)

Write = Callable[[K, list[OutgoingEnvelope]], bool]
"""Let these out; False where that way is closed."""
Due = Callable[[Transaction, K, int, int], tuple[list[OutgoingEnvelope], bool]]
"""What is due behind a pk, oldest first, at most so many; whether that is all."""


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """Of a lane: how many may be under way, down to how many it is filled again, how many more are kept in memory."""

    window: int
    refill: int
    backlog: int


@dataclass
class _Window:
    under_way: set[EnvelopeId] = field(default_factory=set)
    sent_to: int = 0
    backlog: deque[OutgoingEnvelope] = field(default_factory=deque)
    behind: bool = False
    filling: bool = False
    missed: bool = False
    progress: int = 0


class SendWindows(Generic[K]):
    """Writes what is committed, within the window of each lane. `refill(key)` must run `read` in a transaction soon."""

    def __init__(self, sizes: WindowSizes, write: Write[K], due: Due[K], refill: Callable[[K], object]) -> None:
        self._sizes = sizes
        self._write = write
        self._due = due
        self._refill = refill
        self._lanes: dict[K, _Window] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._lanes

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._lanes))

    def begin(self, key: K) -> None:
        """Begin a lane with the first row that is due, in place of one that is there."""
        lane = self._lanes[key] = _Window(behind=True)
        self._fill(key, lane)

    def end(self, key: K) -> None:
        """Write nothing more there."""
        self._lanes.pop(key, None)

    def release(self, key: K, sealed: Iterable[OutgoingEnvelope]) -> None:
        """Write rows that were just committed, if the window has room and nothing older waits. Without a lane they stay
        in the outbox, with which the next one begins.
        """
        lane = self._lanes.get(key)
        if lane is None:
            return
        for envelope in sealed:
            if lane.behind or envelope.pk <= lane.sent_to:
                self._fall_behind(key, lane, envelope.pk)
            else:
                lane.backlog.append(envelope)
        self._drain(key, lane)
        if len(lane.backlog) > self._sizes.backlog:
            self._fall_behind(key, lane, lane.backlog[0].pk)

    def done(self, key: K, ids: Iterable[EnvelopeId]) -> None:
        """Make room for what has arrived, or never will, and fill it."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.under_way.difference_update(ids)
            lane.progress += 1
            self._drain(key, lane)
            self._fill(key, lane)

    def again(self, key: K) -> None:
        """Look through the outbox again, and write what is due whether it is under way or not."""
        if (lane := self._lanes.get(key)) is not None:
            lane.under_way.clear()
            self._fall_behind(key, lane, 0)

    def look(self, key: K) -> None:
        """Look through the outbox again: something has become due."""
        if (lane := self._lanes.get(key)) is not None:
            self._fall_behind(key, lane, 0)

    def changed(self, key: K) -> None:
        """Read again what waits: something was taken out of the outbox that may be among it."""
        lane = self._lanes.get(key)
        if lane is not None and lane.backlog:
            self._fall_behind(key, lane, lane.sent_to + 1)

    def progress(self, key: K) -> int | None:
        """Return a number that is another one whenever something has arrived; None where nothing is under way."""
        lane = self._lanes.get(key)
        return lane.progress if lane is not None and lane.under_way else None

    def read(self, tx: Transaction, key: K) -> None:
        """Read what comes next, as a function of a transaction."""
        lane = self._lanes.get(key)
        if lane is not None:
            due, is_all = self._due(tx, key, lane.sent_to, self._sizes.window)
            tx.after(self._filled, key, lane, due, is_all)

    def _filled(self, key: K, lane: _Window, due: list[OutgoingEnvelope], is_all: bool) -> None:
        if self._lanes.get(key) is not lane:
            return
        lane.filling = False
        lane.behind = lane.missed or not is_all
        lane.missed = False
        room = self._sizes.window - len(lane.under_way)
        fresh = [
            envelope for envelope in due if envelope.envelope_id not in lane.under_way and envelope.pk > lane.sent_to
        ]
        if len(fresh) > room:
            lane.behind = True
        elif due:
            lane.sent_to = max(lane.sent_to, due[-1].pk)
        self._put(key, lane, fresh[:room])
        self._fill(key, lane)

    def _drain(self, key: K, lane: _Window) -> None:
        room = self._sizes.window - len(lane.under_way)
        self._put(key, lane, [lane.backlog.popleft() for _ in range(min(room, len(lane.backlog)))])

    def _put(self, key: K, lane: _Window, sealed: list[OutgoingEnvelope]) -> None:
        if sealed and self._write(key, sealed):
            lane.under_way.update(envelope.envelope_id for envelope in sealed)
            lane.sent_to = max(lane.sent_to, sealed[-1].pk)

    def _fall_behind(self, key: K, lane: _Window, pk: int) -> None:
        # from here on the outbox itself says what is next; a row sealed anew keeps its place in it: go back to that
        lane.backlog.clear()
        lane.sent_to = max(0, min(lane.sent_to, pk - 1))
        lane.behind = True
        lane.missed = lane.filling  # what is being read now was read before this
        self._fill(key, lane)

    def _fill(self, key: K, lane: _Window) -> None:
        if lane.behind and not lane.filling and len(lane.under_way) <= self._sizes.refill:
            lane.filling = True
            self._refill(key)
