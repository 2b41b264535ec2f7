"""Fetches one file: from the sender's node while there is a link, else from our file boxes at relays, blob by blob. In
a group, members who have it are asked in place of the sender, one at a time.

What is asked on one way and not answered is asked on another. Every blob is checked before anything of it is kept: one
that a relay made up is only missing there, one that the sender made up ends the transfer. What was written is synced
and noted in the database by `Progress`, some blobs at a time; only then relays are told to forget it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from math import inf
from typing import NamedTuple

import trio

from p2pchat.core.files import BlobCipher, BlobPlace
from p2pchat.core.ids import BlobName, ContactId
from p2pchat.engine.files.from_relays import FromRelays, OwnFileBox
from p2pchat.engine.files.live import Moving
from p2pchat.engine.files.plan import BlobWay, Plan
from p2pchat.errors import CannotOpen, LinkLost, Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import BlobRange, Net, NoBlob
from p2pchat.store.file_space import SealedFile
from p2pchat.store.files import FileRow

CHUNKS_A_REQUEST = 4
"""Chunks in one request to the sender."""
CHUNKS_A_FAST_REQUEST = 8
"""The same where the last request was answered within `FAST_SECONDS`, behind all that was asked before."""
FAST_SECONDS = 0.1
MAX_REQUESTS = 8
"""Requests to one contact that are not answered, for all of its files together."""
MAX_UNSAVED = 192
"""Blobs that may have come and not yet be noted in the database; beyond that nothing is asked for."""
MAX_UNWRITTEN = 64
"""Of these, how many may wait in memory to be written."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0
"""Seconds for which a sender is left alone who did not answer, or gives nothing."""
MAX_LINKS_IN_VAIN = 2
"""Links on which files may be asked for at once that bring nothing of them; some networks freeze a connection that
carries more than a few messages, and further links are for these.
"""
IN_VAIN = "The connections with its sender end when it is asked for; it is tried again later."


class FetchEnd(Enum):
    """How fetching a file has ended."""

    WHOLE = auto()
    WRONG = auto()
    """The sender gave something else than was announced."""
    CHANGED = auto()
    """The sender's file is not what it was when it was sent."""
    WITHDRAWN = auto()


@dataclass(frozen=True, slots=True, repr=False)
class FetchContext:
    """What a fetch works with, the same for all. beside: runs a function in a worker thread. own_boxes: reads where the
    sender of a file may have left it. save: have what was written synced and noted. told: faces may be told how far it
    is. messages_first: waits while messages move.
    """

    net: Net
    beside: Callable[[Callable[[], object]], Awaitable[object]]
    own_boxes: Callable[[FileRow], Awaitable[Sequence[OwnFileBox]]]
    save: Callable[[FileFetch], object]
    told: Callable[[Moving], object]
    messages_first: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint


@dataclass(eq=False, repr=False)
class _Arrival:
    """Blobs that came together. kept: how many of them were right; None until they are written."""

    blobs: Sequence[tuple[BlobPlace, bytes]]
    kept: int | None = None


@dataclass(eq=False, repr=False)
class Holder:
    """Somebody who may be asked for a file. credit: the requests that they may still be asked. sent: whether they are
    who sent it.
    """

    contact: ContactId
    credit: trio.Semaphore
    sent: bool = True
    again_at: float = 0.0
    in_vain: int = 0
    """Streams that ended, since the last blob came."""
    chunks_a_request: int = CHUNKS_A_REQUEST
    pauses: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LONGEST_PAUSE))


@dataclass(eq=False, repr=False)
class FileFetch:
    """One file that is being fetched. holders: who is asked, the first one that has a link. moved_at: when the last
    blob came, or it began, in seconds of trio's clock.
    """

    moving: Moving
    holders: Sequence[Holder]
    plan: Plan
    cipher: BlobCipher
    sealed: SealedFile
    around: FetchContext
    unsaved: list[int] = field(default_factory=list)
    """Slots that were written and are not yet noted in the database."""
    end: FetchEnd | None = None
    failure: Exception | None = None
    """What kept it from being written: a full disk."""

    def __post_init__(self) -> None:
        self.changed = Wakeup()
        self.moved_at = trio.current_time()
        self._is_refused = False  # since the last blob came
        self._stop = trio.Event()
        self._arrivals: list[_Arrival] = []
        self._unwritten = 0
        self._writing = trio.Lock()
        self.relays = FromRelays(
            self.plan,
            self.around.net,
            partial(self.around.own_boxes, self.moving.row),
            self.keep,
            self.until_saved,
            lambda: self.lacks_sender,
            self.changed,
            self._lies_nowhere,
            lambda: self.unsaved,
            shared=self.moving.row.shared,
        )

    async def run(self) -> FetchEnd:
        """Fetch it until it is whole or cannot be had. Raises what kept a blob from being written."""
        async with trio.open_nursery() as nursery:
            for holder in self.holders:
                nursery.start_soon(self._ask_holder, holder, nursery)
            nursery.start_soon(self.relays.run)
            self._look_whether_whole()
            await self._stop.wait()
            nursery.cancel_scope.cancel()
        if self.failure is not None:
            raise self.failure
        assert self.end is not None
        return self.end

    def asks(self, contact: ContactId) -> bool:
        """Return whether this contact may be asked for it."""
        return any(holder.contact == contact for holder in self.holders)

    def link_up(self, contact: ContactId) -> None:
        """Ask a contact at once: there is a new link; unless the last ones have brought nothing."""
        for holder in self.holders:
            if holder.contact == contact and holder.in_vain < MAX_LINKS_IN_VAIN and holder.again_at < inf:
                holder.again_at = 0.0
                holder.pauses.reset()
        self._problem("")
        self.changed.pulse()

    def link_down(self) -> None:
        """Ask relays at once: there is no link any more."""
        self.relays.ask_anew()
        self.changed.pulse()

    @property
    def lacks_sender(self) -> bool:
        """Whether there is no link with the sender, or one that brings nothing."""
        return self._holder is None

    @property
    def _holder(self) -> Holder | None:
        """Who is asked now: the first with a link who has not been left alone."""
        now = trio.current_time()
        return next((holder for holder in self.holders if holder.again_at <= now and self._is_linked(holder)), None)

    def _is_linked(self, holder: Holder) -> bool:
        return self.around.net.route(holder.contact) is not None

    @property
    def may_move(self) -> bool:
        """Whether something was asked for that may come yet, however slowly."""
        return self.plan.is_asked and not self._is_refused

    def saved(self, slots: Sequence[int]) -> None:
        """Note that these slots are on the disk and noted: relays need not keep what came from there."""
        self.relays.saved(slots)
        self._look_whether_whole()
        self.changed.pulse()

    async def until_saved(self) -> None:
        """Wait while too much has come and is not yet noted."""
        while not self._has_room:
            await self.changed.wait()

    @property
    def _has_room(self) -> bool:
        return self._unwritten < MAX_UNWRITTEN and self._unwritten + len(self.unsaved) < MAX_UNSAVED

    def fail(self, error: Exception) -> None:
        """End it: something cannot be written."""
        self.failure = error
        self._stop.set()

    def _look_whether_whole(self) -> None:
        if self.plan.whole and not self.unsaved:
            self._finish(FetchEnd.WHOLE)

    def _finish(self, end: FetchEnd) -> None:
        if self.end is None:
            self.end = end
            self._stop.set()

    # --- from its sender, or others in a group

    async def _ask_holder(self, holder: Holder, nursery: trio.Nursery) -> None:
        way = self.plan.way()
        while True:
            await self._until_may_be_asked(holder)
            await holder.credit.acquire()
            places = self.plan.ask(way, holder.chunks_a_request, adjacent=True) if self._may_be_asked(holder) else []
            if not places:
                holder.credit.release()
                if self._may_be_asked(holder):  # otherwise it is waited for until when they may be, above
                    await self.changed.wait()
                continue
            nursery.start_soon(self._ask_for, holder, way, places)

    def _may_be_asked(self, holder: Holder) -> bool:
        return self._holder is holder and self._has_room

    async def _until_may_be_asked(self, holder: Holder) -> None:
        while not self._may_be_asked(holder):
            now = trio.current_time()
            later = [other.again_at for other in self.holders if now < other.again_at < inf]
            with trio.move_on_at(min(later, default=now + 60)):
                await self.changed.wait()

    async def _ask_for(self, holder: Holder, way: BlobWay, places: Sequence[BlobPlace]) -> None:
        began = trio.current_time()
        try:
            try:
                wanted = BlobRange(self.moving.row.file, places[0], len(places))
                answer = await self.around.net.files.get(holder.contact, wanted)
            except Unreachable:
                self._wait_for(holder, "")
                return
            except LinkLost:
                holder.in_vain += trio.current_time() >= holder.again_at  # of several that fail together, one counts
                self._wait_for(holder, IN_VAIN if holder.in_vain >= MAX_LINKS_IN_VAIN else "")
                return
            finally:
                holder.credit.release()
            if len(answer.blobs) >= CHUNKS_A_REQUEST:
                is_fast = trio.current_time() - began <= FAST_SECONDS
                holder.chunks_a_request = CHUNKS_A_FAST_REQUEST if is_fast else CHUNKS_A_REQUEST
            good = await self.keep(list(zip(places, answer.blobs, strict=False)))
            if good < min(len(answer.blobs), len(places)):
                self._gave_wrong(holder)
            if good:
                self.moving.problem = ""
                holder.in_vain = 0
                holder.pauses.reset()
            if answer.missing is not None:
                self._refused(holder, answer.missing)
            elif not answer.blobs:
                self._wait_for(holder, "")
        finally:
            self.plan.done(places)
            self.changed.pulse()

    def _gave_wrong(self, holder: Holder) -> None:
        """End it, if its sender gave something else than was announced; another member is not asked again."""
        if holder.sent:
            self._finish(FetchEnd.WRONG)
        else:
            holder.again_at = inf

    def _refused(self, holder: Holder, reason: NoBlob) -> None:
        if reason == NoBlob.CHANGED and holder.sent:
            self._finish(FetchEnd.CHANGED)
        elif reason == NoBlob.WITHDRAWN and holder.sent:
            self._finish(FetchEnd.WITHDRAWN)
        else:
            self._wait_for(
                holder,
                "Its sender does not give it out now." if reason == NoBlob.NOT_NOW else "Its sender no longer has it.",
            )

    def _wait_for(self, holder: Holder, problem: str) -> None:
        """Leave somebody alone for a while. Of several requests that fail together, the first one counts."""
        self._is_refused = True
        if trio.current_time() >= holder.again_at:
            holder.again_at = trio.current_time() + holder.pauses.pause()
            self.moving.problem = (problem if holder.sent else "") or self.moving.problem
            self.around.told(self.moving)

    def _lies_nowhere(self, problem: str) -> None:
        """Say why relays have no more of it, unless its sender gives it or has said why not."""
        if not any(map(self._is_linked, self.holders)) or self.moving.row.shared:
            self._problem(problem)

    def _problem(self, problem: str) -> None:
        if self.moving.problem != problem:
            self.moving.problem = problem
            self.around.told(self.moving)

    # --- what came

    async def keep(self, came: Sequence[tuple[BlobPlace, bytes]]) -> int:
        """Check blobs and write them; return how many were right. What comes while others are written waits, and is
        written together in the next turn of a worker thread.
        """
        arrival = _Arrival(came)
        self._arrivals.append(arrival)
        self._unwritten += len(came)
        async with self._writing:
            if arrival.kept is None:
                await self.around.messages_first()
                await self._write_arrivals()
        assert arrival.kept is not None
        return arrival.kept

    async def _write_arrivals(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        checked = [[(place, self.plan.name(place), blob) for place, blob in arrival.blobs] for arrival in arrivals]
        try:
            written = await self.around.beside(partial(_open, self.cipher, self.sealed, self.plan, checked))
        except Exception as error:  # noqa: BLE001 - whatever the disk says ends this attempt and not the node
            self.fail(error)
            written = [[] for _ in arrivals]
        finally:
            self._unwritten -= sum(len(arrival.blobs) for arrival in arrivals)
        assert isinstance(written, list)
        for arrival, kept in zip(arrivals, written, strict=True):
            arrival.kept = len(kept)
            self._take(kept)

    def _take(self, kept: Sequence[_Kept]) -> None:
        """Note what was written."""
        new: list[int] = []
        for place, size, data in kept:
            slot = self.plan.layout.slot(place)
            if slot not in self.plan.here:  # otherwise it came twice
                self.plan.take(place, data)
                self.unsaved.append(slot)
                new.append(size)
        if new:
            self.moved_at, self._is_refused = trio.current_time(), False
            self.moving.done = self.plan.chunks
            self.moving.problem = ""
            self.moving.meter.moved(sum(new), trio.current_time())
            self.around.told(self.moving)
            self.around.save(self)


class _Kept(NamedTuple):
    """A blob that is on the disk, and the bytes of data in it. data: that of a list."""

    place: BlobPlace
    size: int
    data: bytes | None


def _open(
    cipher: BlobCipher,
    sealed: SealedFile,
    plan: Plan,
    arrivals: Sequence[Sequence[tuple[BlobPlace, BlobName | None, bytes]]],
) -> list[list[_Kept]]:
    """Open blobs and write their data, in a worker thread; return those of each arrival that were right."""
    return [[kept for blob in came if (kept := _opened(cipher, sealed, plan, *blob))] for came in arrivals]


def _opened(
    cipher: BlobCipher, sealed: SealedFile, plan: Plan, place: BlobPlace, name: BlobName | None, blob: bytes
) -> _Kept | None:
    try:
        padded = cipher.open_padded(place, name or b"", blob)
    except CannotOpen:
        return None
    slot, size = plan.layout.slot(place), plan.layout.data_bytes(place)
    if slot not in plan.here:  # one that is noted must not be written again: a power cut could tear it
        sealed.write_padded(slot, padded)
    return _Kept(place, size, padded[:size] if place.level else None)
