"""Leaves our files at the relays of those who are away: blobs in the file boxes of the queues they have announced.

A contact without a link for `AWAY_SECONDS` gets the root and the lists of each file that it lacks, then the chunks in
order; a relay is asked first which it has. What was put counts as done there. Where a relay has no room for more, it is
asked for the blobs that were put first: once they have been fetched and forgotten, the next ones follow. All of it is
done again daily, for a week. Whatever becomes of a file then, relays are told to forget it: that a row has no
`ended_at` yet says so after a restart too. A file for a group is left at once, and stays for the week, since nobody
says that they have it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

import trio

from p2pchat.core import mailbox
from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.ids import BlobName, ContactId, MessageId, direct_contact, first_device
from p2pchat.core.relays import Relay, TheirQueue
from p2pchat.engine.delivery import mailbox_queues
from p2pchat.engine.files import live, shared, taking_back, transfers
from p2pchat.engine.files.live import Leaving, Live
from p2pchat.engine.files.plan import Bits
from p2pchat.engine.files.taking_back import AT_RELAYS_MS, TakenBack
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import DAY_SECONDS, HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import FileBoxes, Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BlobMaker
from p2pchat.store.files import FileRow, FileState

AWAY_SECONDS = 20.0
"""Seconds without a link after which a contact counts as away."""
AWAY_AT_START_SECONDS = 5.0
"""The same for those with whom there was no link since the node started."""
MAX_CONTACTS = 4
"""Contacts for whom something is left at the same time."""
BLOBS_A_REQUEST = 16
"""Blobs in one request to a relay."""
_ALL, _NONE = 0, -1
"""Stand for all queues, and for none where there is none; others are numbered from 1."""
_OVER = frozenset({FileState.HERE, FileState.GONE, FileState.FAILED})
NAMES_A_REQUEST = 256
"""Blobs that a relay is asked about, or told to forget, in one request."""
TAKE_BACK_SECONDS = 60.0
"""Seconds until relays that were not reached are told again what to forget."""
RETRY_SECONDS = 600.0
"""Seconds until a relay that was not reached, or had no room, is tried again."""
LOOK_SECONDS = 60.0
"""Seconds until a relay without room is asked whether what was put there is gone, while it goes bit by bit."""

log = logging.getLogger(__name__)

TheirFileBox = tuple[int, Relay, TheirQueue]
"""A queue of a contact by its row, its relay, and its keys: its file box takes what is left. For a group, see
`shared.to_put`.
"""


@dataclass(frozen=True, slots=True, repr=False)
class _Left:
    """A file that is to be left for a contact at these relays, or to be forgotten there. id: of its message. hours: for
    how long they keep it, 0 if it is to be forgotten. until: when they drop it at the latest (ms). over: it was sent so
    long ago that nothing of it lies anywhere. contact: in a group, a stand-in for it, with whom there is never a link.
    """

    row: FileRow
    id: MessageId
    contact: ContactId
    boxes: Sequence[TheirFileBox]
    hours: int
    until: int
    over: bool


@dataclass(eq=False, repr=False)
class _Put:
    """What was put of a file in one queue. put: the slots of the blobs that were put or found there, beside all before
    `start`. news_id: the row's when it began. large: the relay has no room for all of the file.
    """

    put: Bits
    start: int
    news_id: MessageId | None
    large: bool
    lying: deque[int] = field(default_factory=deque)
    """The slots that may still lie there, those put first in front."""
    complete: bool = False
    full: bool = False
    """It had no room when it was asked last."""
    again_at: float = 0.0
    """When to put something even though nothing has gone, in seconds of trio's clock."""
    pauses: Backoff = field(default_factory=lambda: Backoff(LOOK_SECONDS, RETRY_SECONDS))

    @property
    def reached(self) -> int:
        """The first slot that was not put."""
        return next(self.put.absent(self.start), self.put.size)

    def add(self, slot: int) -> None:
        """Note that a blob lies there."""
        self.put.add(slot)
        self.lying.append(slot)


@dataclass(eq=False, repr=False)
class ToRelays:
    """Leaves files at relays; `run` runs it. clock: ms since the epoch; counted: by the clock of timed messages. open:
    opens one of our files, in a thread; open_names: for its names alone. live: is told what lies where.
    """

    committer: Committer
    net: Net
    clock: Callable[[], int]
    counted: Callable[[], int]
    open: Callable[[FileRow], BlobMaker]
    open_names: Callable[[FileRow], BlobMaker]
    live: Live
    _since: dict[ContactId, float] = field(default_factory=dict)
    """Since when contacts have had no link, in seconds of trio's clock; without an entry: since the start."""
    _not_before: dict[tuple[int, int], float] = field(default_factory=dict)
    """When each file, by message, may be left in each queue again."""
    _put_in: dict[tuple[int, int], _Put] = field(default_factory=dict)
    """What was put of each file, by message, in each queue."""
    _begun_at: set[tuple[int, int]] = field(default_factory=set)
    """For which files, by message, their `done` counts in which queues: a queue that is announced later has nothing."""
    _may_lie: set[int] = field(default_factory=set)
    """Messages whose file may lie at relays."""
    _busy: set[ContactId] = field(default_factory=set)
    _being_left: dict[ContactId, int] = field(default_factory=dict)
    """The message whose file is being left for a contact."""
    _wanted: frozenset[int] = frozenset()
    """Messages whose file is to be left, or forgotten, now."""
    _started: float = 0.0
    _any: bool = False
    _taking: bool = False
    _wake: Wakeup = field(default_factory=Wakeup)

    def changed(self) -> None:
        """Look again what is to be left."""
        self._wake.set()

    def queues_changed(self) -> None:
        """Look again where something is to be left, if anything is."""
        if self._any:
            self._wake.set()

    def link_up(self, contact: ContactId) -> None:
        """Leave nothing for this contact, who asks for it."""
        self._since[contact] = inf

    def link_down(self, contact: ContactId) -> None:
        """Leave what this contact lacks, if it stays away."""
        self._since[contact] = trio.current_time()
        self._wake.set()

    @property
    def busy(self) -> bool:
        """Whether something is being left now."""
        return bool(self._busy)

    async def run(self) -> None:
        """Leave and forget until cancelled."""
        self._started, first = trio.current_time(), True
        async with trio.open_nursery() as nursery:
            while True:
                self._wake.clear()
                read = partial(_read, now=self.clock(), counted=self.counted())
                try:
                    if first:
                        self._begun_at = await self.committer.read(_read_not_ended)
                        self._may_lie.update(pk for pk, _ in self._begun_at)
                    wanted: list[_Left] = await self.committer.read(read)
                    taken = await self.committer.read(_read_taken)
                except P2PChatError as error:
                    log.warning("what is to be left at relays cannot be read: %s", type(error).__name__)
                    await trio.sleep(RETRY_SECONDS)
                    continue
                first = False
                wanted = await self._without_ended(wanted)
                self.live.look(self.clock())
                self._any, self._wanted = bool(wanted), frozenset(left.row.message for left in wanted)
                for key in [key for key in self._put_in if key[0] not in self._wanted]:
                    del self._put_in[key]
                self._take_back(taken, nursery)
                self._begin(wanted, nursery)
                with trio.move_on_at(self._next(wanted)):
                    await self._wake.wait()

    async def _without_ended(self, wanted: Sequence[_Left]) -> list[_Left]:
        """Note which files have been left for their group long enough; return the others."""
        for left in wanted:
            if left.over and left.row.state == FileState.WAITING:
                try:
                    await self.committer.submit(transfers.left_for_long, left.row.message)
                except P2PChatError as error:  # it is tried again with what comes next
                    log.warning("what lies at relays cannot be noted: %s", type(error).__name__)
        return [left for left in wanted if not (left.over and left.row.state == FileState.WAITING)]

    def _begin(self, wanted: Sequence[_Left], nursery: trio.Nursery) -> None:
        by_contact: dict[ContactId, list[_Left]] = {}
        for left in wanted:
            if self._due(left) <= trio.current_time():
                by_contact.setdefault(left.contact, []).append(left)
        for contact, lefts in by_contact.items():
            if contact not in self._busy and len(self._busy) < MAX_CONTACTS:
                self._busy.add(contact)
                nursery.start_soon(self._serve, contact, lefts)

    def _next(self, wanted: Sequence[_Left]) -> float:
        times = [self._due(left) for left in wanted if left.contact not in self._busy]
        return max(min(times, default=inf), trio.current_time() + 1)

    def _due(self, left: _Left) -> float:
        """Return when a file is to be left, or forgotten, next, in seconds of trio's clock."""
        pk = left.row.message
        rest = self._not_before.get((pk, _ALL), 0.0)
        if not left.hours:
            return rest  # however soon it was to be left again
        none = self._not_before.get((pk, _NONE), 0.0)
        boxes = max(rest, min((self._not_before.get((pk, id), 0.0) for id, _, _ in left.boxes), default=none))
        since = self._since.get(left.contact)
        away = self._started + AWAY_AT_START_SECONDS if since is None else since + AWAY_SECONDS
        return max(boxes, away)

    def _is_away(self, contact: ContactId) -> bool:
        return self.net.route(contact) is None

    async def _serve(self, contact: ContactId, lefts: Sequence[_Left]) -> None:
        """Leave or forget the files of one contact, one after the other."""
        try:
            for left in lefts:
                if not left.hours:
                    await self._forget(left)
                elif self._is_away(contact):
                    await self._leave(left)
        except P2PChatError as error:  # a full disk now may have room soon
            log.warning("what lies at relays cannot be noted: %s", type(error).__name__)
            for left in lefts:
                self._rest(left, RETRY_SECONDS)
        finally:
            self._busy.discard(contact)
            self._wake.set()

    # --- leaving

    async def _leave(self, left: _Left) -> None:
        leaving = self.live.leaving(left.row, left.id, left.until)
        leaving.use(id for id, _, _ in left.boxes)
        if not left.boxes:
            self._not_before[left.row.message, _NONE] = trio.current_time() + RETRY_SECONDS
            self._cannot(leaving, _NONE, live.NO_RELAY)
            return
        try:
            maker = await self.committer.beside(partial(self.open, left.row))
        except P2PChatError as error:  # its recipient is told why, when it asks
            log.info("a file cannot be left at relays now: %s", type(error).__name__)
            self._rest(left, RETRY_SECONDS)
            for id, _, _ in left.boxes:
                self._cannot(leaving, id, live.NOT_READ)
            return
        self._being_left[left.contact] = left.row.message
        try:
            async with trio.open_nursery() as nursery:
                for id, relay, queue in left.boxes:
                    if self._not_before.get((left.row.message, id), 0.0) <= trio.current_time():
                        nursery.start_soon(self._leave_at, left, leaving, maker, id, relay, queue)
        finally:
            del self._being_left[left.contact]
            maker.close()

    def _cannot(self, leaving: Leaving, id: int, problem: str) -> None:
        """Note why the relay of a queue does not take all of a file."""
        before = leaving.problem
        leaving.problems[id] = problem
        if leaving.problem != before:
            self.live.tell_left(leaving, now=True)

    async def _leave_at(
        self, left: _Left, leaving: Leaving, maker: BlobMaker, id: int, relay: Relay, queue: TheirQueue
    ) -> None:
        key = left.row.message, id
        self._not_before[key] = trio.current_time() + RETRY_SECONDS
        self._may_lie.add(left.row.message)
        try:
            if await self._put_all(left, leaving, maker, id, relay, queue):
                self._not_before[key] = trio.current_time() + DAY_SECONDS
            elif not self._is_away(left.contact):
                del self._not_before[key]  # it goes on when the link ends
            elif key in self._put_in and self._put_in[key].full:
                self._not_before[key] = trio.current_time() + self._put_in[key].pauses.pause()
        except P2PChatError as error:
            log.info("a file cannot be left at relays now: %s", type(error).__name__)
            self._cannot(leaving, id, live.NOT_READ)
        finally:
            self.live.tell_left(leaving, now=True)

    async def _put_all(
        self, left: _Left, leaving: Leaving, maker: BlobMaker, id: int, relay: Relay, queue: TheirQueue
    ) -> bool:
        """Put what a relay has not had, in order; return whether it has had everything then, or takes nothing. Raises
        SourceChanged, SourceUnreadable or ProfileError.
        """
        boxes = self._boxes
        room = await boxes.room(relay)
        if not room:
            self._cannot(leaving, id, live.NOT_REACHED if room is None else live.NO_BOX)
            return room == 0
        layout, places_there = left.row.layout, room // BLOB_BYTES
        box = self._box(left, id, places_there)
        leaving.note(id, range(box.start), there=True)
        if box.large:  # it comes piece by piece
            self._cannot(leaving, id, live.TOO_LARGE)
        else:
            leaving.problems.pop(id, None)
        went = await self._look_what_went(maker, box, left, relay, queue)
        if went is None:
            self._cannot(leaving, id, live.NOT_REACHED)
            return False
        if not went and box.full and trio.current_time() < box.again_at:
            if not box.large:
                self._cannot(leaving, id, live.NO_ROOM)
            return False
        box.full, box.again_at = False, trio.current_time() + RETRY_SECONDS
        # after a restart, what lies there is among the last that was put
        for start in range(max(0, box.start - places_there), layout.blobs, NAMES_A_REQUEST):
            slots = [slot for slot in range(start, min(layout.blobs, start + NAMES_A_REQUEST)) if slot not in box.put]
            if not slots:
                continue
            held = await boxes.have(relay, queue, await self._names(maker, list(map(layout.place, slots))))
            if held is None:
                self._cannot(leaving, id, live.NOT_REACHED)
                return False
            missing = []
            for slot, there in zip(slots, held, strict=True):
                if there:
                    box.add(slot)
                elif slot < box.start:
                    box.put.add(slot)
                else:
                    missing.append(slot)
            leaving.note(id, missing, there=False)
            leaving.note(id, (slot for slot in slots if slot in box.put), there=True)
            self.live.tell_left(leaving)
            while missing:
                if not self._is_away(left.contact) or left.row.message not in self._wanted:
                    return False
                here = missing[: min(BLOBS_A_REQUEST, max(0, places_there - len(box.lying)))]
                codes = await self._put(left, maker, relay, queue, list(map(layout.place, here))) if here else ()
                put = [slot for slot, code in zip(here, codes, strict=False) if code == mailbox.DONE]
                for slot in put:
                    box.add(slot)
                leaving.note(id, put, there=True, now=trio.current_time())
                self.live.tell_left(leaving)
                await self._note_put(left)
                if len(put) < len(here) or not here:
                    box.full = not here or any(code in (mailbox.QUEUE_FULL, mailbox.RELAY_FULL) for code in codes)
                    if not box.large:
                        self._cannot(leaving, id, live.NO_ROOM if box.full else live.NOT_REACHED)
                    return False
                del missing[: len(here)]
        leaving.note(id, range(layout.blobs), there=True)
        leaving.problems.pop(id, None)
        box.complete = True
        return True

    def _box(self, left: _Left, id: int, places: int) -> _Put:
        """Return what was put of a file in a queue with so many places, or begin anew: a day after all of it was, and
        when its recipient has said something new of it.
        """
        row, key = left.row, (left.row.message, id)
        known = self._put_in.get(key)
        if known is None or known.complete or known.news_id != row.news_id:
            large = row.layout.blobs > places
            goes_on = known is None and large and row.done and key in self._begun_at
            start = row.layout.slot_of_first_chunk + row.done if goes_on else 0
            self._begun_at.add(key)
            known = self._put_in[key] = _Put(Bits(row.layout.blobs), start, row.news_id, large)
        return known

    async def _look_what_went(
        self, maker: BlobMaker, box: _Put, left: _Left, relay: Relay, queue: TheirQueue
    ) -> int | None:
        """Ask a relay that had no room what has been forgotten of what was put first; return how many blobs, or None if
        it does not answer.
        """
        went = 0
        while box.full and box.lying:
            slots = [box.lying.popleft() for _ in range(min(NAMES_A_REQUEST, len(box.lying)))]
            names = await self._names(maker, list(map(left.row.layout.place, slots)))
            held = await self._boxes.have(relay, queue, names)
            still = slots if held is None else [slot for slot, there in zip(slots, held, strict=True) if there]
            box.lying.extendleft(reversed(still))
            if held is None:
                return None
            went += len(slots) - len(still)
            if still:
                break
        if went:
            box.pauses.reset()
        return went

    async def _note_put(self, left: _Left) -> None:
        """Note how far a file was put that is larger than a relay's room, so that it goes on there after a restart."""
        boxes = [box for (pk, _), box in self._put_in.items() if pk == left.row.message]
        if any(box.large for box in boxes):
            reached = min(box.reached for box in boxes)
            done = max(0, reached - left.row.layout.slot_of_first_chunk)
            await self.committer.submit(_reached, left.row.message, done)

    async def _put(
        self, left: _Left, maker: BlobMaker, relay: Relay, queue: TheirQueue, places: Sequence[BlobPlace]
    ) -> Sequence[int | None]:
        blobs = await self.committer.beside(partial(_made, maker, places))
        return await self._boxes.put(relay, queue, left.hours, blobs) or ()

    async def _names(self, maker: BlobMaker, places: Sequence[BlobPlace]) -> list[BlobName]:
        names: list[BlobName] = await self.committer.beside(
            lambda: [name for place in places for name in maker.names(place, 1)]
        )
        return names

    @property
    def _boxes(self) -> FileBoxes:
        return self.net.mailboxes.boxes

    def _rest(self, left: _Left, seconds: float) -> None:
        self._not_before[left.row.message, _ALL] = trio.current_time() + seconds

    # --- forgetting

    def _take_back(self, taken: Sequence[tuple[TakenBack, Sequence[TheirFileBox]]], nursery: trio.Nursery) -> None:
        """Tell relays to forget the files of deleted messages, one contact after the other, and again in a while."""
        if taken and not self._taking:
            self._taking = True
            nursery.start_soon(self._tell_taken, taken)

    async def _tell_taken(self, taken: Sequence[tuple[TakenBack, Sequence[TheirFileBox]]]) -> None:
        try:
            for file, boxes in taken:
                if self._being_left.get(file.contact, 0) not in {0, *self._wanted}:
                    continue  # it may be just this one that is still being left: in a while
                names, told = file.all_names(), True
                for _, relay, queue in boxes:
                    for start in range(0, len(names), NAMES_A_REQUEST):
                        told &= await self._boxes.forget(relay, queue, names[start : start + NAMES_A_REQUEST])
                if told or self.clock() > file.until:
                    await self.committer.submit(taking_back.done, file)
        except P2PChatError as error:
            log.warning("what lies at relays cannot be noted: %s", type(error).__name__)
        await trio.sleep(TAKE_BACK_SECONDS)
        self._taking = False
        self._wake.set()

    async def _forget(self, left: _Left) -> None:
        """Tell relays to forget a file, and note when all have."""
        done = left.row.message not in self._may_lie
        if not done:
            try:
                done = await self._forget_everywhere(left)
            except P2PChatError as error:  # its names cannot be read, so it ends there by itself
                log.info("relays cannot be told to forget a file: %s", type(error).__name__)
                done = True
        self.live.taken_back(left.row)
        if done or left.over:
            await self.committer.submit(_end, left.row.message)
            for known in (self._not_before, self._put_in):  # if it is wanted again, it is left at once, and all of it
                for key in [key for key in known if key[0] == left.row.message]:
                    del known[key]
            self._begun_at = {key for key in self._begun_at if key[0] != left.row.message}
        else:
            self._rest(left, RETRY_SECONDS)

    async def _forget_everywhere(self, left: _Left) -> bool:
        maker = await self.committer.beside(partial(self.open_names, left.row))
        try:
            layout, told = left.row.layout, True
            for _, relay, queue in left.boxes:
                blobs = 0 if await self._boxes.room(relay) == 0 else layout.blobs
                for start in range(0, blobs, NAMES_A_REQUEST):
                    names = await self._names(
                        maker, list(map(layout.place, range(start, min(blobs, start + NAMES_A_REQUEST))))
                    )
                    if not await self._boxes.forget(relay, queue, names):
                        told = False
                        break
            return told
        finally:
            maker.close()


def _made(maker: BlobMaker, places: Sequence[BlobPlace]) -> list[bytes]:
    """Make blobs, in a worker thread."""
    return [blob for place in places for blob in maker.blobs(place, 1)]


def _reached(tx: Transaction, pk: int, done: int) -> None:
    """Note how many chunks of one of our files were put at relays."""
    row = store_files.get(tx.db, pk)
    if row is not None and row.state == FileState.WAITING and row.done != done:
        store_files.update(tx.db, pk, done=done)


def _end(tx: Transaction, pk: int) -> None:
    """Note that relays have forgotten one of our files, or never had it."""
    row = store_files.get(tx.db, pk)
    if row is not None and row.state in _OVER and row.ended_at is None:
        store_files.update(tx.db, pk, ended_at=tx.now)


def _read(db: Database, now: int, counted: int) -> list[_Left]:
    """Return the files to leave for contacts, and those to forget. now, counted: ms, by the two clocks of messages."""
    found: list[_Left] = []
    boxes: dict[ContactId, Sequence[TheirFileBox]] = {}
    served: dict[ContactId, bool] = {}
    for row in [*store_files.unfinished(db, FileState.WAITING), *store_files.over(db)]:
        contact, message = direct_contact(row.chat), store_messages.by_pk(db, row.message)
        if not row.mine or message is None:
            continue
        until = message.sent_at + AT_RELAYS_MS
        over = now > until
        hours = 0
        if row.state == FileState.WAITING:
            left = AT_RELAYS_MS if message.expires_at is None else min(AT_RELAYS_MS, message.expires_at - counted)
            hours = left // HOUR_MS
            if over and row.shared:
                found.append(_Left(row, message.id, contact, (), 0, until, over))
            if contact not in served:
                served[contact] = shared.is_present(db, row.chat) if row.shared else _is_contact(db, contact)
            if over or hours < 1 or not served[contact]:
                continue
        if row.shared:
            found.append(_Left(row, message.id, contact, shared.to_put(db, row), hours, until, over))
            continue
        if contact not in boxes:
            boxes[contact] = _boxes(db, contact)
        found.append(_Left(row, message.id, contact, boxes[contact], hours, until, over))
    return found


def _read_not_ended(db: Database) -> set[tuple[int, int]]:
    """Return the messages of our files of which an earlier run may have left something, each with the queues where:
    also of those that are paused, or not left for now.
    """
    rows = [row for state in (FileState.WAITING, FileState.PAUSED) for row in store_files.unfinished(db, state)]
    mine = [row for row in [*rows, *store_files.over(db)] if row.mine]
    direct = {row.chat for row in mine if not row.shared}
    queues = {chat: [id for id, _, _ in _boxes(db, direct_contact(chat))] for chat in direct}
    return {(row.message, id) for row in mine for id in (shared.numbers() if row.shared else queues[row.chat])}


def _read_taken(db: Database) -> list[tuple[TakenBack, Sequence[TheirFileBox]]]:
    """Return the files of deleted messages that relays are to forget, and where."""
    return [
        (file, shared.decode_boxes(db, file.boxes) if file.boxes else _boxes(db, file.contact))
        for file in taking_back.waiting(db)
    ]


def _is_contact(db: Database, contact: ContactId) -> bool:
    person = store_contacts.get(db, contact)
    return person is not None and person.state == ContactState.CONTACT


def _boxes(db: Database, contact: ContactId) -> list[TheirFileBox]:
    device = first_device(contact)
    known = mailbox_queues.read(db, [device]).outlets.get(device, ())
    return [
        (outlet.row.id, outlet.relay, TheirQueue(outlet.row.fetch, outlet.row.put_seed, outlet.row.flags))
        for outlet in known
        if outlet.row.flags == 0
    ]
