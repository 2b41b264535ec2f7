"""The recipient's side of a stream for files: requests are written ahead, and their answers come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

import trio

from p2pchat.core.file_frames import GET, MAX_ASKED, NONE, Get, encode_get
from p2pchat.core.frames import Frame
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.files.reading import AnswerReader, BlobAnswer
from p2pchat.net.frames import write_frames
from p2pchat.net.ports import Stream
from p2pchat.ports import BlobRange, Blobs, NoBlob

SILENCE_SECONDS = 10.0
"""Seconds without a byte, where an answer is due, after which the stream ends."""
IDLE_SECONDS = 60.0
"""Seconds without a request after which the stream ends."""
_NUMBERS = 1 << 32


@dataclass(eq=False)
class _Request:
    """One call of `get`. left: how many blobs have not come. abandoned: nobody waits for it any more."""

    wanted: BlobRange
    left: int
    number: int = 0
    blobs: list[bytes] = field(default_factory=list)
    answer: Blobs | None = None
    error: LinkLost | Unreachable | None = None
    abandoned: bool = False
    done: trio.Event = field(default_factory=trio.Event)


class FileAsking:
    """What one contact is asked on one stream. `run` opens the stream and carries it; `get` may be called before."""

    def __init__(self) -> None:
        self.over = False
        self.scope = trio.CancelScope()
        self._waiting: deque[_Request] = deque()
        self._sent: deque[_Request] = deque()
        self._unanswered = 0
        self._numbers = 0
        self._wake = Wakeup()
        self._asked_at = -inf  # since when an answer is due
        self._retired = False
        self._silence = trio.CancelScope()

    async def get(self, wanted: BlobRange) -> Blobs:
        """Ask for blobs, after those that were asked for before. Raises Unreachable where no stream was made, and
        LinkLost where it ended first.
        """
        if self.over:
            raise LinkLost
        request = _Request(wanted, wanted.count)
        self._waiting.append(request)
        self._wake.set()
        try:
            await request.done.wait()
        finally:
            request.abandoned = True
            if request in self._waiting:
                self._waiting.remove(request)
        if request.answer is None:
            raise request.error or LinkLost
        return request.answer

    def retire(self) -> None:
        """End the stream once everything is answered: the contact is asked on another one from now on."""
        self._retired = True
        self._wake.set()

    async def run(self, begin: Callable[[], Awaitable[tuple[Stream, AnswerReader]]]) -> None:
        """Open a stream by `begin`, which says hello on it and may raise Unreachable or LinkLost, and carry it until it
        ends. Whoever still waits then gets an error.
        """
        error: LinkLost | Unreachable = LinkLost()
        try:
            with self.scope:
                stream, reader = await begin()
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._read, reader, nursery.cancel_scope)
                        await self._write(stream)
                        nursery.cancel_scope.cancel()
                finally:
                    await stream.close()
        except (LinkLost, Unreachable) as failed:
            error = failed
        finally:
            self.over = True
            for request in (*self._sent, *self._waiting):
                request.error = error
                request.done.set()

    async def _write(self, stream: Stream) -> None:
        """Send the requests for whose blobs there is credit, until the stream is no longer needed. Raises LinkLost."""
        while True:
            with trio.move_on_after(inf if self._sent else IDLE_SECONDS) as idle:
                await self._wake.wait()
            self._wake.clear()
            gets = []
            while self._waiting and self._unanswered + self._waiting[0].left <= MAX_ASKED:
                request = self._waiting.popleft()
                request.number = self._numbers = (self._numbers + 1) % _NUMBERS
                if not self._sent:
                    self._asked_at = trio.current_time()
                    self._silence.deadline = self._asked_at + SILENCE_SECONDS
                self._sent.append(request)
                self._unanswered += request.left
                wanted = request.wanted
                get = Get(request.number, wanted.file, wanted.first, wanted.count)
                gets.append(Frame(GET, encode_get(get)))
            if gets:
                await write_frames(stream, gets)
            elif (self._retired or idle.cancelled_caught) and not self._sent and not self._waiting:
                return

    async def _read(self, reader: AnswerReader, ended: trio.CancelScope) -> None:
        """Take answers until the stream ends, says something wrong, or is silent for too long."""
        try:
            while True:
                silent_at = max(reader.moved, self._asked_at) + SILENCE_SECONDS
                if self._sent and trio.current_time() >= silent_at:
                    break
                with trio.CancelScope(deadline=silent_at if self._sent else inf) as self._silence:
                    while True:
                        self._answered(await reader.next())
                        if not self._sent:
                            break
        except (LinkLost, CannotOpen):
            pass
        ended.cancel()

    def _answered(self, answer: BlobAnswer) -> None:
        """Take one frame of the oldest request's answer. Raises CannotOpen."""
        if not self._sent or self._sent[0].number != answer.number:
            raise CannotOpen
        request, answered = self._sent[0], 1
        missing = None
        if answer.type == NONE:
            reason = answer.rest[0]
            missing = NoBlob(reason) if reason in NoBlob.__members__.values() else NoBlob.NOT_NOW
            answered = request.left
        elif not request.abandoned:
            request.blobs.append(answer.rest)
        request.left -= answered
        self._unanswered -= answered
        if not request.left:
            self._sent.popleft()
            request.answer = Blobs(request.blobs, missing)
            request.done.set()
        if self._retired or (self._waiting and self._unanswered + self._waiting[0].left <= MAX_ASKED):
            self._wake.set()
