"""What is said about logs on one stream to a relay, and the checks of what the relay answers.

One read is asked at a time. What is followed comes unasked. An answer that was not asked for, items of a log that is
not read, or a place that does not grow, ends the stream (CannotOpen).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.core import logs, mailbox
from p2pchat.core import primitives as prim
from p2pchat.core.frames import Frame
from p2pchat.core.ids import QueueId
from p2pchat.core.logs import Item, Log, LogKeys, LogRead, LogRole
from p2pchat.core.mailbox import Hello, Put
from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.net.mailbox.stream import MailStream

MAX_UNANSWERED = 1 << 20
"""Bytes of blobs that may be unanswered on one stream; while there are more, the next append waits."""
_KEYS = LogRole.READ, LogRole.APPEND, LogRole.APPEND_AS_ADMIN
"""The roles in the order of the keys of a log."""


@dataclass(eq=False, slots=True)
class Appending:
    """Blobs to be appended to one log, with their stamps, and the codes of the relay by position as far as they have
    come. hello: what the relay says of itself, once they are on their way. complete: whether all were answered.
    """

    keys: LogKeys
    role: int
    hours: int
    blobs: Sequence[bytes]
    stamps: Sequence[int]
    hello: Hello | None = None
    codes: dict[int, int] = field(default_factory=dict)
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def size(self) -> int:
        """The bytes of its blobs."""
        return sum(map(len, self.blobs))

    @property
    def complete(self) -> bool:
        """Whether everything was answered."""
        return self.hello is not None and len(self.codes) == len(self.blobs)


@dataclass(eq=False, slots=True)
class WatchedLog:
    """A log that is read on one stream after the other. after: the place up to which everything was passed on. asked:
    the place up to which it has come on this stream. following: the relay pushes what is new. refused: it does not let
    us read it. dropped: it is to be read no more.
    """

    keys: LogKeys
    log: QueueId
    after: int
    asked: int = 0
    handle: int | None = None
    following: bool = False
    refused: bool = False
    dropped: bool = False

    def begin(self) -> None:
        """Forget what was on the stream before."""
        self.asked, self.handle, self.following, self.refused = self.after, None, False, False


@dataclass(slots=True)
class LogArrivals:
    """Items of one log that have come, in order. more: whether the relay has said that there are more."""

    watched: WatchedLog
    items: list[Item]
    more: bool


class LogStream:
    """Reads and appends on a stream that is used for nothing else, to a relay that has logs. came: called with what has
    come of a log.
    """

    def __init__(self, stream: MailStream, random: Callable[[int], bytes], came: Callable[[LogArrivals], None]) -> None:
        self.hello = stream.hello
        self._stream = stream
        self._random = random
        self._came = came
        self._handles: dict[tuple[int, QueueId], int] = {}
        self._refused: set[int] = set()
        self._watched: dict[int, WatchedLog] = {}  # by handle
        self._reading: tuple[LogRead, WatchedLog, list[Item]] | None = None
        self._unfollowing: dict[int, int] = {}  # by the number of a read that ends it, the handle
        self._sent: dict[int, tuple[Appending, int]] = {}  # by the number of a frame, with its position
        self._unanswered = 0

    @property
    def pending(self) -> list[Appending]:
        """What was sent and is not answered yet, oldest first."""
        return list(dict.fromkeys(appending for appending, _ in self._sent.values()))

    @property
    def is_reading(self) -> bool:
        """Whether a read is not answered yet."""
        return self._reading is not None

    def open(self, watched: Sequence[WatchedLog]) -> None:
        """Open logs to be read together: each costs less than alone. Those for which there is no room stay closed."""
        self._open_all(LogRole.READ, [(log.keys, log.log) for log in watched])

    def read(self, watched: WatchedLog) -> bool:
        """Ask for what lies behind the place up to which a log has come. Return False where this stream can open no
        further log.
        """
        handle = watched.handle if watched.handle is not None else self._open(LogRole.READ, watched.keys, watched.log)
        if handle is None:
            return False
        watched.handle = handle
        self._watched[handle] = watched
        read = LogRead(self._stream.number(), handle, logs.MAX_WANTED, True, watched.asked)
        self._reading = read, watched, []
        self._stream.ask(mailbox.READ, logs.encode_read(read))
        return True

    def drop(self, watched: WatchedLog) -> None:
        """Read a log no more; one that is being read now, from the end of the answer on."""
        watched.dropped = True
        if watched.handle is not None and watched.following:
            number = self._stream.number()
            self._unfollowing[number] = watched.handle
            self._stream.ask(mailbox.READ, logs.encode_read(LogRead(number, watched.handle, 0, False, 0)))
        watched.following = False

    def has_room(self, appending: Appending) -> bool:
        """Return whether blobs may be sent now."""
        return not self._unanswered or self._unanswered + appending.size <= MAX_UNANSWERED

    def append(self, appending: Appending, log: QueueId) -> bool:
        """Send blobs. Return False where this stream can open no further log."""
        appending.codes.clear()
        handle = self._open(appending.role, appending.keys, log)
        if handle is None:
            return False
        appending.hello = self.hello
        hours = max(1, min(appending.hours, self.hello.log_hours))
        for place, (blob, stamp) in enumerate(zip(appending.blobs, appending.stamps, strict=True)):
            number = self._stream.number()
            self._sent[number] = appending, place
            self._unanswered += len(blob)
            self._stream.ask(mailbox.PUT, mailbox.encode_put(Put(number, handle, hours, stamp, blob)))
        return True

    def take(self, frame: Frame) -> None:
        """Take a frame of the relay. Raises CannotOpen for one that it must not send."""
        match frame.type:
            case mailbox.OPENED:
                handle, code = mailbox.decode_opened(frame.body)
                self._stream.opened(handle)
                if code != mailbox.DONE:
                    self._refused.add(handle)
            case mailbox.RESULTS:
                for number, code in mailbox.decode_results(frame.body):
                    self._result(number, code)
            case mailbox.ITEMS:
                self._items(logs.decode_items(frame.body))
            case mailbox.END:
                self._end(mailbox.decode_end(frame.body))
            case mailbox.BEHIND:
                self._behind(logs.decode_handle(frame.body))
            case _:
                raise CannotOpen

    # --- out

    def _open(self, role: int, keys: LogKeys, log: QueueId) -> int | None:
        """Return the handle of a log; open it if it is not open. None where there is no room."""
        if (role, log) not in self._handles:
            self._open_all(role, [(keys, log)])
        return self._handles.get((role, log))

    def _open_all(self, role: int, wanted: Sequence[tuple[LogKeys, QueueId]]) -> None:
        """Open logs among as many that nobody uses that the number is a multiple of eight."""
        closed = [(keys.seed(role), keys.log) for keys, log in wanted if (role, log) not in self._handles]
        opened = closed[: self._stream.room // mailbox.QUEUES_A_FETCH * mailbox.QUEUES_A_FETCH]
        for _ in range(-len(opened) % mailbox.QUEUES_A_FETCH):
            seed = self._random(prim.KEY_BYTES)
            keys = [self._random(prim.KEY_BYTES), self._random(prim.KEY_BYTES)]
            keys.insert(_KEYS.index(role), prim.sign_public(seed))
            opened.append((seed, Log._make([*keys, logs.LOG])))
        for seed, made in sorted(opened, key=lambda pair: pair[1].fetch):
            self._handles[role, made.id] = self._stream.open(role, seed, made)

    # --- in

    def _result(self, number: int, code: int) -> None:
        appending, place = self._sent.pop(number, (None, 0))
        if appending is None:
            raise CannotOpen
        appending.codes[place] = code
        self._unanswered -= len(appending.blobs[place])
        self._stream.answered(mailbox.PUT, left=bool(self._sent))
        if appending.complete:
            appending.ended.set()

    def _items(self, items: logs.Items) -> None:
        watched = self._watched.get(items.handle)
        reading = self._reading
        read_now = reading is not None and reading[1] is watched
        if items.handle in self._unfollowing.values():
            return
        if watched is None or not (watched.following or read_now):
            raise CannotOpen
        if items.items[0][0] <= watched.asked:
            raise CannotOpen
        watched.asked = items.items[-1][0]
        if reading is None or not read_now:
            self._came(LogArrivals(watched, list(items.items), more=False))
            return
        read, _, came = reading
        came += items.items
        size = sum(len(blob) for _, blob in came)
        if len(came) > read.want or (len(came) > 1 and size > logs.MAX_PAGE_BYTES):
            raise CannotOpen
        self._stream.answered(mailbox.READ, left=True)

    def _end(self, end: mailbox.End) -> None:
        if end.number in self._unfollowing:
            del self._unfollowing[end.number]
            self._stream.answered(mailbox.READ, left=self.is_reading or bool(self._unfollowing))
            return
        if self._reading is None or self._reading[0].number != end.number:
            raise CannotOpen
        _, watched, came = self._reading
        if end.more and not came:
            raise CannotOpen
        self._reading = None
        self._stream.answered(mailbox.READ, left=bool(self._unfollowing))
        if end.code not in (mailbox.DONE, mailbox.NOT_ALLOWED):
            raise LinkLost("the relay cannot read it now")
        watched.refused = end.code != mailbox.DONE
        watched.following = not end.more and not watched.refused
        if watched.dropped:
            self.drop(watched)
        self._came(LogArrivals(watched, came, more=end.more))

    def _behind(self, handle: int) -> None:
        watched = self._watched.get(handle)
        if watched is None:
            raise CannotOpen
        if watched.following:
            watched.following = False
            self._came(LogArrivals(watched, [], more=True))
