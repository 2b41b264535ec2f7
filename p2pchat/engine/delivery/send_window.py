"""Send windows: the part of the outbox that is in flight on each route, and what comes next on it.

A route is a link with a contact, or one of their queues at a relay. At most `window` envelopes are in flight on it. The
rest is in the outbox on disk; the next few may also be kept in memory, so that a flood does not read back what it has
just written. A window that begins again starts with the first row that is due: envelopes that were in flight before may
arrive twice, which is harmless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from p2pchat.core.ids import EnvelopeId
from p2pchat.engine.runtime.effects import OutgoingEnvelope
from p2pchat.engine.runtime.transaction import Transaction

K = TypeVar("K", bound=Hashable)

Write = Callable[[K, list[OutgoingEnvelope]], bool]
"""Send these envelopes; False if the route is closed."""
Due = Callable[[Transaction, K, int, int], tuple[list[OutgoingEnvelope], bool]]
"""The rows due after a pk, oldest first, up to a number; and whether those are all."""


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """The most envelopes in flight, the number at which the window is refilled, and how many more to keep in memory."""

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
    """Writes committed rows within each route's window. `refill(key)` must run `read` in a transaction."""

    def __init__(self, sizes: WindowSizes, write: Write[K], due: Due[K], refill: Callable[[K], object]) -> None:
        self._sizes = sizes
        self._write = write
        self._due = due
        self._refill = refill
        self._windows: dict[K, _Window] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._windows

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._windows))

    def begin(self, key: K) -> None:
        """Begin a window at the first row that is due, replacing the route's old one."""
        window = self._windows[key] = _Window(behind=True)
        self._fill(key, window)

    def end(self, key: K) -> None:
        """End the route's window: write nothing more there."""
        self._windows.pop(key, None)

    def release(self, key: K, sealed: Iterable[OutgoingEnvelope]) -> None:
        """Write rows that were just committed, if there is room and nothing older is waiting. Without a window they
        stay in the outbox, with which the next window begins.
        """
        window = self._windows.get(key)
        if window is None:
            return
        for envelope in sealed:
            if window.behind or envelope.pk <= window.sent_to:
                self._fall_behind(key, window, envelope.pk)
            else:
                window.backlog.append(envelope)
        self._drain(key, window)
        if len(window.backlog) > self._sizes.backlog:
            self._fall_behind(key, window, window.backlog[0].pk)

    def done(self, key: K, ids: Iterable[EnvelopeId]) -> None:
        """Free the places of envelopes that arrived or never will, and refill the window."""
        window = self._windows.get(key)
        if window is not None:
            window.under_way.difference_update(ids)
            window.progress += 1
            self._drain(key, window)
            self._fill(key, window)

    def again(self, key: K) -> None:
        """Look through the outbox again, and write what is due even if it is in flight."""
        if (window := self._windows.get(key)) is not None:
            window.under_way.clear()
            self._fall_behind(key, window, 0)

    def recheck(self, key: K) -> None:
        """Look through the outbox again, because something has become due."""
        if (window := self._windows.get(key)) is not None:
            self._fall_behind(key, window, 0)

    def changed(self, key: K) -> None:
        """Read the waiting rows again: one of them may have been removed from the outbox."""
        window = self._windows.get(key)
        if window is not None and window.backlog:
            self._fall_behind(key, window, window.sent_to + 1)

    def progress(self, key: K) -> int | None:
        """Return a number that changes whenever something has arrived; None if nothing is in flight."""
        window = self._windows.get(key)
        return window.progress if window is not None and window.under_way else None

    def read(self, tx: Transaction, key: K) -> None:
        """Read the next rows; to be run in a transaction."""
        window = self._windows.get(key)
        if window is not None:
            due, is_all = self._due(tx, key, window.sent_to, self._sizes.window)
            tx.after(self._filled, key, window, due, is_all)

    def _filled(self, key: K, window: _Window, due: list[OutgoingEnvelope], is_all: bool) -> None:
        if self._windows.get(key) is not window:
            return
        window.filling = False
        window.behind = window.missed or not is_all
        window.missed = False
        room = self._sizes.window - len(window.under_way)
        fresh = [
            envelope
            for envelope in due
            if envelope.envelope_id not in window.under_way and envelope.pk > window.sent_to
        ]
        if len(fresh) > room:
            window.behind = True
        elif due:
            window.sent_to = max(window.sent_to, due[-1].pk)
        self._put(key, window, fresh[:room])
        self._fill(key, window)

    def _drain(self, key: K, window: _Window) -> None:
        room = self._sizes.window - len(window.under_way)
        self._put(key, window, [window.backlog.popleft() for _ in range(min(room, len(window.backlog)))])

    def _put(self, key: K, window: _Window, sealed: list[OutgoingEnvelope]) -> None:
        if sealed and self._write(key, sealed):
            window.under_way.update(envelope.envelope_id for envelope in sealed)
            window.sent_to = max(window.sent_to, sealed[-1].pk)

    def _fall_behind(self, key: K, window: _Window, pk: int) -> None:
        # from here on the outbox itself says what is next; a row sealed anew keeps its place in it: go back to that
        window.backlog.clear()
        window.sent_to = max(0, min(window.sent_to, pk - 1))
        window.behind = True
        window.missed = window.filling  # what is being read now was read before this
        self._fill(key, window)

    def _fill(self, key: K, window: _Window) -> None:
        if window.behind and not window.filling and len(window.under_way) <= self._sizes.refill:
            window.filling = True
            self._refill(key)
