"""What is said about file boxes on one stream to a relay, and the checks of what the relay answers.

Requests are answered in any order, except gets: their blobs come in the order of the requests. An answer that was not
asked for, or a blob with another name than the one that was, ends the stream (CannotOpen).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.core import mailbox
from p2pchat.core.files import BLOB_BYTES, RELAY_NAME_BYTES, blob_name
from p2pchat.core.frames import Frame
from p2pchat.core.ids import BlobName, EnvelopeId, QueueId
from p2pchat.core.mailbox import FILES, Forgetting, Getting, Having, Hello, Put, Queue
from p2pchat.core.primitives import sign_public
from p2pchat.core.relays import OwnQueue, TheirQueue
from p2pchat.errors import CannotOpen
from p2pchat.net.mailbox.stream import MailStream

MAX_UNANSWERED = 2 << 20
"""Bytes of blobs that may be unanswered on one stream; while there are more, the next put waits."""


@dataclass(eq=False, slots=True)
class BoxCall:
    """Something that is asked of a relay, and the answer as far as it has come.

    kind: the type of its frames; HELLO, if nothing but the relay's hello is wanted. box: whose box it is about, by the
    keys of the queue. names: of the blobs, for all but a put. blobs, stamps, hours: of a put.

    hello: what the relay says of itself, once the call is on its way. held: of a have. codes: by position, for a put
    and a forget. blobs_got: of a get. complete: whether everything was answered. tries: how often it was sent.
    """

    kind: int
    box: TheirQueue | OwnQueue | None = None
    names: Sequence[BlobName] = ()
    blobs: Sequence[bytes] = ()
    stamps: Sequence[int] = ()
    hours: int = 0
    hello: Hello | None = None
    held: Sequence[bool] = ()
    codes: dict[int, int] = field(default_factory=dict)
    blobs_got: dict[int, bytes] = field(default_factory=dict)
    complete: bool = False
    tries: int = 0
    ended: trio.Event = field(default_factory=trio.Event)

    def begin(self, hello: Hello) -> None:
        """Note that it is sent now; what came for it on a stream before is asked for again, except blobs."""
        self.hello = hello
        self.tries += 1
        self.codes.clear()


def file_box(box: TheirQueue | OwnQueue) -> Queue:
    """Return the file box with the keys of a queue, or that of a group's file."""
    queue = box.queue
    return queue if queue.flags & FILES else queue._replace(flags=FILES)


class BoxStream:
    """Sends calls on a stream that is used for nothing else, and takes the answers. answered: whether any came."""

    def __init__(self, stream: MailStream, random: Callable[[int], bytes]) -> None:
        self.answered = False
        self._stream = stream
        self._random = random
        self._handles: dict[tuple[int, QueueId], int] = {}
        self._sent: dict[int, tuple[BoxCall, int]] = {}  # by the number of a frame, with its position in the call
        self._gets: deque[tuple[int, BoxCall, int]] = deque()  # with the numbers and handles of their frames
        self._last = -1  # the position of the last blob of the first of these
        self._unanswered = 0

    @property
    def pending(self) -> list[BoxCall]:
        """The calls that were sent and not answered, oldest first."""
        return list(dict.fromkeys([*(call for call, _ in self._sent.values()), *(call for _, call, _ in self._gets)]))

    def has_room(self, call: BoxCall) -> bool:
        """Return whether a call may be sent now. A relay reads nothing behind a second get before it has answered the
        first: blobs put there would fill the connection.
        """
        if call.kind != mailbox.PUT:
            return True
        return len(self._gets) < 2 and self._unanswered + len(call.blobs) * BLOB_BYTES <= MAX_UNANSWERED

    def send(self, call: BoxCall) -> bool:
        """Send a call; return False where this stream can open no further box."""
        if call.kind == mailbox.HELLO or not self._stream.hello.file_bytes:
            call.begin(self._stream.hello)
            self._end(call)
            return True
        assert call.box is not None
        handle = self._handle(call.box)
        if handle is None:
            return False
        call.begin(self._stream.hello)
        if call.kind == mailbox.PUT:
            self._put(call, handle)
            return True
        number = self._stream.number()
        names = [EnvelopeId(name[:RELAY_NAME_BYTES]) for name in call.names]
        most = mailbox.NAMES_A_GET if call.kind == mailbox.GET else mailbox.NAMES_A_FORGET
        filled = self._random((most - len(names)) * RELAY_NAME_BYTES)
        names += [EnvelopeId(filled[at : at + RELAY_NAME_BYTES]) for at in range(0, len(filled), RELAY_NAME_BYTES)]
        if call.kind == mailbox.GET:
            self._gets.append((number, call, handle))
            body = mailbox.encode_get(Getting(number, handle, tuple(names)))
        else:
            self._sent[number] = call, 0
            encode = mailbox.encode_have if call.kind == mailbox.HAVE else mailbox.encode_forget
            made = Having if call.kind == mailbox.HAVE else Forgetting
            body = encode(made(number, handle, tuple(names)))  # type: ignore[arg-type]  # each its own
        self._stream.ask(call.kind, body)
        return True

    def take(self, frame: Frame) -> None:
        """Take a frame of the relay. Raises CannotOpen for one that it must not send."""
        match frame.type:
            case mailbox.OPENED:
                handle, _ = mailbox.decode_opened(frame.body)  # what is asked of one that it refused is refused too
                self._stream.opened(handle)
            case mailbox.RESULTS:
                for number, code in mailbox.decode_results(frame.body):
                    self._result(number, code)
            case mailbox.HAD:
                self._had(mailbox.decode_had(frame.body))
            case mailbox.BLOB:
                self._blob(mailbox.decode_blob(frame.body))
            case mailbox.END:
                self._end_of_get(mailbox.decode_end(frame.body))
            case _:
                raise CannotOpen
        self.answered = True

    # --- out

    def _put(self, call: BoxCall, handle: int) -> None:
        hours = max(1, min(call.hours, self._stream.hello.file_hours))
        for place, (blob, stamp) in enumerate(zip(call.blobs, call.stamps, strict=True)):
            number = self._stream.number()
            self._sent[number] = call, place
            self._unanswered += BLOB_BYTES
            self._stream.ask(mailbox.PUT, mailbox.encode_put(Put(number, handle, hours, stamp, blob)))

    def _handle(self, box: TheirQueue | OwnQueue) -> int | None:
        """Return the handle of a box; open it, among seven that nobody uses, if it is not open."""
        queue = file_box(box)
        role = mailbox.TO_FETCH if isinstance(box, OwnQueue) else mailbox.TO_PUT
        known = self._handles.get((role, queue.id))
        if known is not None:
            return known
        if self._stream.room < mailbox.QUEUES_A_FETCH:
            return None
        seeds = [self._random(32) for _ in range(mailbox.QUEUES_A_FETCH - 1)]
        opened = [(box.fetch_seed if isinstance(box, OwnQueue) else box.put_seed, queue)]
        for seed in seeds:
            keys = sign_public(seed), self._random(32)
            opened.append((seed, Queue(*(keys if role == mailbox.TO_FETCH else keys[::-1]), queue.flags)))
        for seed, made in sorted(opened, key=lambda pair: pair[1].fetch):
            self._handles[role, made.id] = self._stream.open(role, seed, made)
        return self._handles[role, queue.id]

    # --- in

    def _result(self, number: int, code: int) -> None:
        call, place = self._sent.get(number, (None, 0))
        if call is None or call.kind not in (mailbox.PUT, mailbox.FORGET):
            raise CannotOpen
        del self._sent[number]
        call.codes[place] = code
        if call.kind == mailbox.PUT:
            self._unanswered -= BLOB_BYTES
        self._stream.answered(call.kind, left=self._owes(call.kind))
        if len(call.codes) == max(1, len(call.blobs)):
            self._end(call)

    def _had(self, had: mailbox.Had) -> None:
        call, _ = self._sent.pop(had.number, (None, 0))
        if call is None or call.kind != mailbox.HAVE:
            raise CannotOpen
        if had.code == mailbox.DONE:
            call.held = had.held[: len(call.names)]
        self._stream.answered(mailbox.HAVE, left=self._owes(mailbox.HAVE))
        self._end(call)

    def _blob(self, blob: mailbox.Blob) -> None:
        if not self._gets:
            raise CannotOpen
        _, call, handle = self._gets[0]
        if blob.handle != handle or not self._last < blob.place < len(call.names):
            raise CannotOpen
        if blob_name(blob.blob) != call.names[blob.place]:
            raise CannotOpen
        self._last = blob.place
        call.blobs_got[blob.place] = blob.blob
        self._stream.answered(mailbox.GET, left=True)

    def _end_of_get(self, end: mailbox.End) -> None:
        if not self._gets or self._gets[0][0] != end.number or end.more:
            raise CannotOpen
        _, call, _ = self._gets.popleft()
        self._last = -1
        call.codes[0] = end.code
        self._stream.answered(mailbox.GET, left=bool(self._gets))
        self._end(call)

    def _owes(self, kind: int) -> bool:
        return any(call.kind == kind for call, _ in self._sent.values())

    def _end(self, call: BoxCall) -> None:
        call.complete = True
        call.ended.set()
