"""Collecting from queues on one stream to a relay: first page by page, then as blobs are pushed.

If several relays have the same blobs, they are fetched from one relay after the other (`turns`): before a page is
requested, the relay is told to delete blobs that another relay delivered meanwhile and that are on our disk.

Queues are opened and fetched in groups of eight. A group is fetched until nothing is left, then watched: new blobs are
pushed. Without `follow` each is read once. A page is requested as soon as there is room for it, while earlier ones are
still being processed. Every answer of the relay is checked against what was requested: anything else raises
`CannotOpen`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from p2pchat.core import mailbox
from p2pchat.core.envelope import ID_BYTES
from p2pchat.core.frames import Frame
from p2pchat.core.ids import EnvelopeId, QueueId
from p2pchat.core.mailbox import NAMES_A_FORGET, Blob, Deletion, End, Forgetting, Queue
from p2pchat.core.primitives import sign_public
from p2pchat.core.relays import OwnQueue
from p2pchat.errors import CannotOpen, Refused
from p2pchat.net.mailbox.stream import MailStream
from p2pchat.net.mailbox.turns import BacklogTurns

MAX_PAGE_BYTES = 2 << 20
"""Bytes of blobs in one answer, at most."""
CAREFUL_WANTED = 2
"""Blobs in one answer where the connection before has stalled: a relay sends an answer in one piece, and some networks
let 15 kB of a connection through."""
SHORT_WANTED, SHORT_FETCH_BYTES = 1, 5_000
"""The same over a short connection, and the bytes that have to be left of it, the request included."""
MAX_WAITING_BYTES = 4 * MAX_PAGE_BYTES
"""Bytes that may wait to be passed on, including the pages that were requested; while there are more, the stream is not
read."""
SHORT_PUSHED = 1
"""Blobs that a relay may push over a short connection before we delete some."""
MAX_PLACE = (1 << 63) - 1
"""The largest place: a database stores places as signed integers."""
SHORT_DELETE_BYTES = 4_400
"""Bytes that have to be left of a short connection for a delete, its answer, and the blob that may be pushed then."""
DELETE_DELAY_SECONDS = 0.05
"""Seconds between two deletes in the same queue."""
MAX_TO_FORGET = 16_384
"""Names of blobs in one queue that are remembered until the relay can be told to delete them; a queue holds no more."""
COMMIT_TIMEOUT = 20.0
"""Seconds in which the last page should be committed and deleted; otherwise it is delivered again the next time."""

Collected = Callable[[QueueId, Sequence[tuple[int, bytes]]], Awaitable[None]]
"""Called with (qid, [(place, blob)]); it may wait, as back pressure."""


@dataclass(eq=False, slots=True)
class WatchedQueue:
    """A queue that we collect from, independent of the stream.

    taken: the last place that is on our disk. deleted: the last place that the relay has deleted. dropped: we do not
    watch it any more. made_up: it is a decoy that nobody uses. to_forget: names of blobs that we have received from
    elsewhere and that may be here too.
    """

    own: OwnQueue
    made_up: bool = False
    dropped: bool = False
    queue: Queue = field(init=False)
    qid: QueueId = field(init=False)
    taken: int = field(init=False)
    deleted: int = 0
    to_forget: dict[EnvelopeId, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue = self.own.queue
        self.qid = self.queue.id
        self.taken = self.own.after


class MadeUp:
    """Decoy queues that complete groups of eight, so that the relay cannot count the real ones. They are the same on
    every stream, since otherwise the relay could tell them apart.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._made: list[WatchedQueue] = []

    def get(self, begin: int, count: int) -> list[WatchedQueue]:
        """Return `count` decoys, beginning with number `begin`."""
        while len(self._made) < begin + count:
            own = OwnQueue(self._random(32), sign_public(self._random(32)))
            self._made.append(WatchedQueue(own, made_up=True))
        return self._made[begin : begin + count]

    def names(self, count: int) -> list[EnvelopeId]:
        """Return `count` random names that no blob has."""
        return [EnvelopeId(self._random(ID_BYTES)) for _ in range(count)]


@dataclass(eq=False, slots=True)
class _Opened:
    """A queue that was opened on this stream. seen: the last place that was received, or the place after which we
    began. pushed: places that were pushed and not deleted yet.
    """

    handle: int
    watched: WatchedQueue
    seen: int
    following: bool = False
    deleting: bool = False
    pushed: deque[int] = field(default_factory=deque)

    @property
    def has_uncommitted(self) -> bool:
        """Whether blobs were received that are not on our disk yet."""
        return self.watched.taken < self.seen


@dataclass(eq=False, slots=True)
class _Fetch:
    """A fetch that has not ended. found: the blobs received; size: their bytes, including padding."""

    number: int
    group: list[_Opened]
    want: int
    found: int = 0
    size: int = 0


class Collecting:
    """Collects on one stream. collected: called with what was received. follow: whether to watch the queues once they
    have been read. turns: shared with other relays that have the same blobs, or None. follows_at_once: all that was
    there has come on the stream before, so the queues are not read first, which would bring padding.
    """

    def __init__(
        self,
        stream: MailStream,
        made_up: MadeUp,
        collected: Collected,
        *,
        follow: bool = True,
        turns: BacklogTurns | None = None,
        follows_at_once: bool = False,
    ) -> None:
        self._follows_at_once = follows_at_once
        self._turns = turns
        self._waits = turns is not None
        self._follow = follow
        self._found: set[_Opened] = set()
        self._stream = stream
        self._made_up = made_up
        self._collected = collected
        self._filled = 0
        self._opened: dict[int, _Opened] = {}
        self._queues: dict[QueueId, _Opened] = {}
        self._to_fetch: deque[list[_Opened]] = deque()
        self._fetches: deque[_Fetch] = deque()
        self._held: dict[WatchedQueue, list[tuple[int, bytes]]] = {}
        self._size = 0
        self._pushed = 0
        self._to_delete: dict[_Opened, None] = {}
        self._deletes: dict[int, tuple[_Opened, int]] = {}
        self._forgetting: set[int] = set()
        self._wanted = trio.lowlevel.ParkingLot()
        self._arrived = trio.lowlevel.ParkingLot()
        self._went = trio.lowlevel.ParkingLot()
        self._freed = trio.lowlevel.ParkingLot()

    # --- what we want

    def watch(self, queues: Iterable[WatchedQueue]) -> None:
        """Collect from these queues too. If the stream has no room for them, it ends, so that a new one is opened."""
        new: list[WatchedQueue] = []
        if self._stream.ending:
            return
        for watched in queues:
            opened = self._queues.get(watched.qid)
            if opened is None:
                new.append(watched)
            elif watched.taken < opened.seen:  # watched again, and blobs received meanwhile were not kept
                self._stream.end()
            else:
                opened.watched = watched
        count = -len(new) % mailbox.QUEUES_A_FETCH
        if len(new) + count > self._stream.room:
            self._stream.end()
            return
        new += self._made_up.get(self._filled, count)
        self._filled += count
        new.sort(key=lambda watched: watched.qid)  # so that the position in a group reveals nothing
        for start in range(0, len(new), mailbox.QUEUES_A_FETCH):
            self._to_fetch.append([self._open(watched) for watched in new[start : start + mailbox.QUEUES_A_FETCH]])
        self._wanted.unpark_all()
        self._fetch()

    def _open(self, watched: WatchedQueue) -> _Opened:
        handle = self._stream.open(mailbox.TO_FETCH, watched.own.fetch_seed, watched.queue)
        opened = _Opened(handle, watched, watched.taken)
        self._opened[handle] = self._queues[watched.qid] = opened
        self.taken(watched)
        return opened

    async def fetch(self) -> None:
        """Fetch the content of newly opened queues when it is this relay's turn, and wait until all of it is on our
        disk.
        """
        while self._turns is not None:
            while not self._to_fetch:
                await self._wanted.park()
            async with self._turns.turn():
                self._waits = False
                self._fetch()
                while (
                    self._to_fetch or self._fetches or self._size or any(page.has_uncommitted for page in self._found)
                ):
                    await self._freed.park()
                self._waits = True

    def _fetch(self) -> None:
        """Request pages while there is room for them."""
        if self._waits:
            return
        pages = sum(MAX_PAGE_BYTES for fetch in self._fetches if fetch.want)
        while self._to_fetch and self._size + pages + MAX_PAGE_BYTES <= MAX_WAITING_BYTES:
            pages += MAX_PAGE_BYTES
            if self._follows_at_once:
                self._begin_following(self._to_fetch.popleft())
                continue
            if not self._stream.takes(SHORT_FETCH_BYTES):
                return
            wanted = CAREFUL_WANTED if self._stream.careful else mailbox.MAX_WANTED
            self._ask(self._to_fetch.popleft(), SHORT_WANTED if self._stream.short else wanted)

    def _begin_following(self, group: list[_Opened]) -> None:
        for opened in group:
            opened.following = True
        self._ask(group, 0)

    @property
    def follows(self) -> bool:
        """Whether everything that was there has come, and the rest is pushed."""
        return bool(self._opened) and all(opened.following for opened in self._opened.values())

    def _ask(self, group: list[_Opened], want: int) -> None:
        for opened in group if want and not self._stream.short else ():
            self._forget(opened)
        fetch = _Fetch(self._stream.number(), group, want)
        self._fetches.append(fetch)
        places = [(opened.handle, opened.seen) for opened in group]
        body = mailbox.encode_fetch(fetch.number, want, places, self._most_pushed, small=self._stream.short)
        self._stream.ask(mailbox.FETCH, body)

    @property
    def _most_pushed(self) -> int:
        return SHORT_PUSHED if self._stream.short else mailbox.MAX_PUSHED

    def elsewhere(self, watched: WatchedQueue, names: Iterable[EnvelopeId]) -> None:
        """Have the relay delete blobs of a queue that is still to be fetched, because they are on our disk."""
        if any(opened.watched is watched for group in self._to_fetch for opened in group):
            watched.to_forget.update(dict.fromkeys(names))
            while len(watched.to_forget) > MAX_TO_FORGET:
                del watched.to_forget[next(iter(watched.to_forget))]

    def _forget(self, opened: _Opened) -> None:
        """Tell the relay which blobs to delete, in frames of a constant size."""
        names = list(opened.watched.to_forget)
        opened.watched.to_forget.clear()
        for start in range(0, len(names) if self._stream.hello.forgets else 0, NAMES_A_FORGET):
            some = names[start : start + NAMES_A_FORGET]
            some += self._made_up.names(NAMES_A_FORGET - len(some))
            number = self._stream.number()
            self._forgetting.add(number)
            self._stream.ask(mailbox.FORGET, mailbox.encode_forget(Forgetting(number, opened.handle, tuple(some))))

    # --- what the relay says

    def take(self, frame: Frame) -> None:
        """Handle a frame on a stream without deposits. Raises CannotOpen and Refused."""
        match frame.type:
            case mailbox.BLOB:
                self.blob(mailbox.decode_blob(frame.body))
            case mailbox.END:
                self.end(mailbox.decode_end(frame.body))
            case mailbox.OPENED:
                handle, code = mailbox.decode_opened(frame.body)
                self._stream.opened(handle)
                self.opened(handle, code)
            case mailbox.RESULTS:
                if not all(self.result(*result) for result in mailbox.decode_results(frame.body)):
                    raise CannotOpen
            case _:
                raise CannotOpen

    def opened(self, handle: int, code: int) -> bool:
        """Return whether this handle belongs to a queue of this stream. Raises Refused if the relay does not let us use
        it, by `code`.
        """
        if handle not in self._opened:
            return False
        if code != mailbox.DONE:
            raise Refused("it does not let us collect")
        return True

    def blob(self, blob: Blob) -> None:
        """Handle a BLOB of a watched queue. Raises CannotOpen if it was not requested, is out of order, or is one too
        many.
        """
        opened = self._opened.get(blob.handle)
        fetch = self._fetches[0] if self._fetches else None
        if fetch is not None and fetch.want and (blob.handle == mailbox.NO_HANDLE or opened in fetch.group):
            fetch.size += len(blob.blob)
            if fetch.size > MAX_PAGE_BYTES:
                raise CannotOpen
            self._stream.answered(mailbox.FETCH, left=True)
            if opened is None:
                return
            fetch.found += 1
            self._found.add(opened)
        elif opened is not None and opened.following:
            opened.pushed.append(blob.place)
            self._pushed += 1
            if self._pushed > self._most_pushed:
                raise CannotOpen
        else:
            raise CannotOpen
        if opened.watched.made_up or not opened.seen < blob.place <= MAX_PLACE:
            raise CannotOpen
        if self._turns is not None:
            self._turns.heard()
        self._stream.useful = True
        opened.seen = blob.place
        if opened.watched.dropped:
            self._stream.end()  # else the relay stops pushing: blobs of dropped queues are not deleted
            return
        self._held.setdefault(opened.watched, []).append((blob.place, blob.blob))
        self._size += len(blob.blob)
        self._arrived.unpark_all()

    def end(self, end: End) -> None:
        """Handle the END of an answer. Raises CannotOpen if none is due, Refused if we may not collect."""
        if not self._fetches or self._fetches[0].number != end.number:
            raise CannotOpen
        fetch = self._fetches.popleft()
        self._stream.answered(mailbox.FETCH, left=bool(self._fetches))
        if end.code != mailbox.DONE:
            raise Refused("it does not let us collect")
        if end.more:
            if not fetch.found:  # a relay could repeat that forever
                raise CannotOpen
            self._to_fetch.appendleft(fetch.group)
        elif fetch.want and self._follow:
            self._begin_following(fetch.group)
        self._fetch()
        self._freed.unpark_all()

    def result(self, number: int, code: int) -> bool:
        """Handle the result `code` of request `number`; return whether that request was a delete of this stream."""
        if number in self._forgetting:  # if it failed, the copies are fetched and recognised
            self._forgetting.remove(number)
            self._stream.answered(mailbox.FORGET, left=bool(self._forgetting))
            return True
        delete = self._deletes.pop(number, None)
        if delete is None:
            return False
        opened, upto = delete
        self._stream.answered(mailbox.DELETE, left=bool(self._deletes))
        opened.deleting = False
        if code == mailbox.DONE:
            opened.watched.deleted = max(opened.watched.deleted, upto)
        self._freed.unpark_all()
        return True

    # --- what becomes of it

    async def room(self) -> None:
        """Wait while too many bytes wait to be passed on."""
        while self._size >= MAX_WAITING_BYTES:
            await self._went.park()

    async def deliver(self) -> None:
        """Pass on what was received, queue by queue."""
        while True:
            while not self._held:
                await self._arrived.park()
            watched = next(iter(self._held))
            blobs = self._held.pop(watched)
            if not watched.dropped:
                await self._collected(watched.qid, blobs)
            self._size -= sum(len(blob) for _, blob in blobs)
            self._went.unpark_all()
            self._freed.unpark_all()
            self._fetch()

    async def read(self) -> list[WatchedQueue]:
        """Wait until everything in these queues is on our disk and deleted at the relay, or `COMMIT_TIMEOUT` has
        passed; return the queues that were not empty.
        """
        while self._fetches or self._to_fetch:
            await self._freed.park()
        with trio.move_on_after(COMMIT_TIMEOUT):
            while self._size or self._deletes or any(page.watched.deleted < page.seen for page in self._found):
                await self._freed.park()
        return [opened.watched for opened in self._found]

    def taken(self, watched: WatchedQueue) -> None:
        """Have the relay delete everything up to the place `watched.taken`, which is on our disk."""
        opened = self._queues.get(watched.qid)
        if opened is not None and watched.taken > watched.deleted:
            self._to_delete[opened] = None
            self._freed.unpark_all()

    def find(self, qid: QueueId) -> WatchedQueue | None:
        """Return the queue with this id if it is open on this stream, else None."""
        opened = self._queues.get(qid)
        return None if opened is None else opened.watched

    async def delete(self) -> None:
        """Have the relay delete what is on our disk, with one unanswered request per queue at a time."""
        while True:
            while not (due := [opened for opened in self._to_delete if not opened.deleting]):
                await self._freed.park()
            for opened in due if self._stream.takes(SHORT_DELETE_BYTES) else ():
                del self._to_delete[opened]
                self._delete(opened)
            await trio.sleep(DELETE_DELAY_SECONDS)

    def _delete(self, opened: _Opened) -> None:
        number, upto = self._stream.number(), opened.watched.taken
        opened.deleting = True
        self._deletes[number] = (opened, upto)
        while opened.pushed and opened.pushed[0] <= upto:
            opened.pushed.popleft()
            self._pushed -= 1
        self._stream.ask(mailbox.DELETE, mailbox.encode_delete(Deletion(number, opened.handle, upto)))
