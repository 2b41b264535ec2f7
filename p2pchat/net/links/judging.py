"""Judging a link by what arrives on it, not by its handshake: pure functions of time, in seconds of one clock.

A middlebox may let a connection begin and then drop its packets in silence, so a link counts as good only while the
answers that are due on it come: acks for envelopes, a pong for a ping. `Judge` says when one is overdue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from p2pchat.core.envelope import ID_BYTES
from p2pchat.core.frames import ACKS, ENVELOPE, FULL, PING, PONG, REFUSED, Frame

PING_AFTER_SECONDS = 10.0
"""Seconds of silence after which the other end is asked whether it is there."""
ASK_AFTER_SECONDS = 2.0
"""Seconds without a byte, where an answer is due, after which the same is asked: who is slow to commit still answers a
ping."""
STALLED_AFTER_SECONDS = 4.0
"""Seconds without a byte, where an answer is due, after which the link is stalled."""
LOST_AFTER_SECONDS = 25.0
"""Seconds of silence after which the link is ended."""


class Verdict(Enum):
    """The result of judging a link: nothing to do, a ping to send, a link that has just stalled, one that is lost."""

    GOOD = auto()
    ASK = auto()
    STALLED = auto()
    LOST = auto()


@dataclass(slots=True)
class Judge:
    """What is due on one link, and since when nothing has come.

    heard: when the last whole frame came. moved: when the last byte came, of whatever. asked: since when an answer is
    due; inf if none is. doubted: whether nothing has come since there was a reason to doubt the link: it stalled, a
    newer link came, or the network changed. stalled: whether it is doubted because an answer is overdue. acked: whether
    an ack came on it.
    """

    heard: float
    moved: float
    asked: float = inf
    owed: int = 0
    pinged: bool = False
    doubted: bool = False
    stalled: bool = False
    acked: bool = False

    def wrote(self, frames: Iterable[Frame], now: float) -> None:
        """Note frames that go out: an envelope and a ping are to be answered."""
        for frame in frames:
            if frame.type == ENVELOPE:
                self.owed += 1
            elif frame.type == PING:
                self.pinged = True
        if self.asked == inf and (self.owed or self.pinged):
            self.asked = now

    def received(self, frames: Iterable[Frame], now: float, moved: float) -> None:
        """Note received frames. A pong answers everything before it: the link works, and whatever is still not acked is
        the other side's concern.
        """
        for frame in frames:
            if frame.type == PONG:
                self.pinged, self.owed = False, 0
            elif frame.type == FULL:
                self.owed = 0
            else:
                self.answered(frame)
                self.acked = self.acked or frame.type == ACKS
        self.heard, self.moved = now, moved
        self.doubted = self.stalled = False
        self.asked = now if self.owed or self.pinged else inf

    def answered(self, frame: Frame) -> None:
        """Note an ack or a refusal, on whichever link it came: the other side answers on its best one."""
        if frame.type == ACKS:
            self.owed = max(0, self.owed - len(frame.body) // ID_BYTES)
        elif frame.type == REFUSED:
            self.owed = max(0, self.owed - 1)
        if not self.owed and not self.pinged:
            self.asked = inf

    def verdict(self, now: float, moved: float) -> Verdict:
        """Judge. moved: when the last byte came. `STALLED` is said once."""
        self.moved = max(self.moved, moved)
        since = max(self.asked, self.moved)
        if now >= self.heard + LOST_AFTER_SECONDS:
            return Verdict.LOST
        if now >= since + STALLED_AFTER_SECONDS and not self.stalled:
            self.doubted = self.stalled = True
            return Verdict.STALLED
        if not self.pinged and (now >= since + ASK_AFTER_SECONDS or now >= self.heard + PING_AFTER_SECONDS):
            return Verdict.ASK
        return Verdict.GOOD

    def next_check(self) -> float:
        """Return when to judge again, if nothing is written or received until then."""
        times = [self.heard + LOST_AFTER_SECONDS]
        since = max(self.asked, self.moved)
        if not self.stalled:
            times.append(since + STALLED_AFTER_SECONDS)
        if not self.pinged:
            times += [since + ASK_AFTER_SECONDS, self.heard + PING_AFTER_SECONDS]
        return min(times)
