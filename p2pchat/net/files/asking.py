"""The recipient's side of a stream for files: requests are written ahead, and their answers come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

import trio

from p2pchat.core.file_frames import GET, NONE, Get, encode_get
from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.frames import Frame
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.files.credit import Credit
from p2pchat.net.files.reading import AnswerReader, BlobAnswer
from p2pchat.net.frames import write_frames
from p2pchat.net.ports import Stream
from p2pchat.ports import BlobRange, Blobs, NoBlob

SILENCE_SECONDS = 10.0
"""Seconds without a byte, where an answer is due, after which the stream ends."""
ASK_AFTER_SECONDS = 1.0
"""Seconds of the same after which the link is asked whether it still works."""
IDLE_SECONDS = 60.0
"""Seconds without a request after which the stream ends."""
_NUMBERS = 1 << 32


@dataclass(eq=False)
class _Request:
    """One call of `get`. unsent: how many of its blobs were not asked for yet, the last ones. abandoned: nobody waits
    for it any more.
    """

    wanted: BlobRange
    unsent: int
    blobs: list[bytes] = field(default_factory=list)
    answer: Blobs | None = None
    error: LinkLost | Unreachable | None = None
    abandoned: bool = False
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(eq=False)
class _Sent:
    """One frame *get*, for some blobs of a request. left: how many have not come. alone: nothing else was unanswered.
    received: how many bytes had come before on the stream.
    """

    request: _Request
    number: int
    left: int
    at: float
    alone: bool
    received: int
    answered: bool = False


class FileAsking:
    """What one contact is asked on one stream. `run` opens the stream and carries it; `get` may be called before.

    credit: how many blobs may be unanswered; a request for more is sent in several frames. ask_link: called where
    nothing comes for `ASK_AFTER_SECONDS`.
    """

    def __init__(self, ask_link: Callable[[], object], credit: Credit | None = None) -> None:
        self.over = False
        self.scope = trio.CancelScope()
        self._ask_link = ask_link
        self._credit = Credit() if credit is None else credit
        self._waiting: deque[_Request] = deque()
        self._sent: deque[_Sent] = deque()
        self._unanswered = 0
        self._received = 0
        self._numbers = 0
        self._wake = Wakeup()
        self._asked_at = -inf  # since when an answer is due
        self._reader: AnswerReader | None = None
        self._retired = False
        self._silence = trio.CancelScope()

    @property
    def silent(self) -> bool:
        """Whether nothing has come for `ASK_AFTER_SECONDS` where an answer is due, or the stream is being opened."""
        if self._reader is None:
            return True
        since = max(self._reader.moved, self._asked_at)
        return bool(self._sent) and trio.current_time() >= since + ASK_AFTER_SECONDS

    async def get(self, wanted: BlobRange) -> Blobs:
        """Ask for blobs, after those that were asked for before. Raises Unreachable where no stream was made, and
        LinkLost where it ended before anything came; otherwise these are returned.
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
        if request.answer is None and request.blobs:
            return Blobs(request.blobs)
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
                self._reader = reader
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._read, reader, nursery.cancel_scope)
                        with suppress(LinkLost):  # out of a nursery it would come as a group
                            await self._write(stream)
                        nursery.cancel_scope.cancel()
                finally:
                    self._give_up(error)  # closing takes as long as the line does
                    await stream.close()
        except (LinkLost, Unreachable) as failed:
            error = failed
        finally:
            self._give_up(error)

    def _give_up(self, error: LinkLost | Unreachable) -> None:
        """Let nobody wait any more, nor begin to."""
        self.over = True
        for request in (*(sent.request for sent in self._sent), *self._waiting):
            request.error = request.error or error
            request.done.set()

    async def _write(self, stream: Stream) -> None:
        """Send the requests for whose blobs there is credit, until the stream is no longer needed. Raises LinkLost."""
        while True:
            with trio.move_on_after(inf if self._sent else IDLE_SECONDS) as idle:
                await self._wake.wait()
            self._wake.clear()
            gets = []
            while count := self._count():
                gets.append(Frame(GET, encode_get(self._send(self._waiting[0], count))))
            if gets:
                await write_frames(stream, gets)
            elif (self._retired or idle.cancelled_caught) and not self._sent and not self._waiting:
                return

    def _count(self) -> int:
        """Return how many blobs to ask for next; 0 where nothing waits, or too little could be asked for at once."""
        if not self._waiting:
            return 0
        unsent, room = self._waiting[0].unsent, self._credit.blobs - self._unanswered
        return 0 if room < min(unsent, max(1, self._credit.blobs // 2)) else min(unsent, room)

    def _send(self, request: _Request, count: int) -> Get:
        """Return the frame for the next blobs of a request, as sent now."""
        now, alone = trio.current_time(), not self._sent
        if alone:
            self._asked_at = now
            self._silence.deadline = now + ASK_AFTER_SECONDS
        self._numbers = (self._numbers + 1) % _NUMBERS
        self._sent.append(_Sent(request, self._numbers, count, now, alone, self._received))
        self._unanswered += count
        wanted = request.wanted
        first = BlobPlace(wanted.first.level, wanted.first.number + wanted.count - request.unsent)
        request.unsent -= count
        if not request.unsent:
            self._waiting.popleft()
        return Get(self._numbers, wanted.file, first, count)

    async def _read(self, reader: AnswerReader, ended: trio.CancelScope) -> None:
        """Take answers until the stream ends, says something wrong, or is silent for too long."""
        try:
            while True:
                since, look_at = max(reader.moved, self._asked_at), inf
                if self._sent:
                    look_at = since + ASK_AFTER_SECONDS
                    if trio.current_time() >= look_at:
                        look_at = since + SILENCE_SECONDS
                        if trio.current_time() >= look_at:
                            break
                        self._ask_link()
                with trio.CancelScope(deadline=look_at) as self._silence:
                    while True:
                        self._answered(await reader.next(), reader.began)
                        if not self._sent:
                            break
        except (LinkLost, CannotOpen):
            pass
        ended.cancel()

    def _answered(self, answer: BlobAnswer, began: float) -> None:
        """Take one frame of the answer that is due. began: when its first byte came. Raises CannotOpen."""
        if not self._sent or self._sent[0].number != answer.number:
            raise CannotOpen
        sent = self._sent[0]
        request, answered = sent.request, 1
        if sent.alone and not sent.answered:
            self._credit.began(began - sent.at)
        sent.answered = True
        missing = None
        if answer.type == NONE:
            reason = answer.rest[0]
            missing = NoBlob(reason) if reason in NoBlob.__members__.values() else NoBlob.NOT_NOW
            answered = sent.left
        else:
            self._received += BLOB_BYTES
            if not request.abandoned:
                request.blobs.append(answer.rest)
        sent.left -= answered
        self._unanswered -= answered
        if not sent.left:
            self._sent.popleft()
            if missing is None:
                self._credit.came(self._received - sent.received, trio.current_time() - sent.at)
        if missing is not None or len(request.blobs) == request.wanted.count:
            self._end(request, missing)
        if self._retired or self._count():
            self._wake.set()

    def _end(self, request: _Request, missing: NoBlob | None) -> None:
        """Hand over the answer to a request; what else of it still comes is for nobody."""
        if request.answer is None:
            request.answer = Blobs(request.blobs, missing)
            request.blobs, request.abandoned = [], True
            request.done.set()
        if request in self._waiting:
            self._waiting.remove(request)
