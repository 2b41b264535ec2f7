"""Decides which files are fetched now, and keeps each of them going: one `FileFetch` for each, until it is whole.

Whatever ends a fetch but an answer of its sender, such as a full disk, is only a pause: it is said to the user, and
tried again. There are only so many places, and one for which nothing comes is left to a file that waits: contacts
have turns, and so have the files of each. So nobody keeps others out by files that they do not give.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from p2pchat.core.files import CHUNK_BYTES, BlobCipher
from p2pchat.core.ids import BlobName, ChatId, ContactId, MessageId, direct_contact
from p2pchat.engine.files import shared, transfers
from p2pchat.engine.files.fetch import MAX_REQUESTS, FetchContext, FetchEnd, FileFetch, Holder
from p2pchat.engine.files.live import Live, Moving
from p2pchat.engine.files.plan import Bits, Plan
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.storage_limits import SCARCE_DISK_BYTES
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DiskFull, FileDamaged, P2PChatError
from p2pchat.lib.wakeup import Wakeup
from p2pchat.store import contacts as store_contacts
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.file_space import FileSpace, SealedFile
from p2pchat.store.files import FileRow, FileState

MAX_AT_ONCE, MAX_OF_CONTACT = 12, 4
"""Files that are fetched at a time, in all and of one contact."""
IDLE_SECONDS, SLOW_SECONDS = 30.0, 600.0
"""Seconds without a blob after which a file leaves its place to another one, and those after which it does even though
something may be on its way.
"""
RETRY_SECONDS = 60.0
"""Seconds until what could not be written is tried again."""
NO_ROOM = "There is no room on this disk for it; it goes on when there is."
NOT_WRITTEN = "It cannot be written on this disk now; it is tried again."
WRONG = "Its sender gave something else than was announced, so it cannot be fetched."
CHANGED = "The file has changed at its sender since it was sent; it has to be sent again."

log = logging.getLogger(__name__)


class NoRoom(Exception):
    """The disk is too full to begin."""


@dataclass(eq=False, repr=False)
class _Task:
    """A file that has a place. fetch: None while it is being opened. room: bytes of the disk kept for it then."""

    row: FileRow
    scope: trio.CancelScope
    fetch: FileFetch | None = None
    room: int = 0

    @property
    def left(self) -> int:
        """How many bytes it may still write."""
        return self.room if self.fetch is None else _missing_bytes(self.row, self.fetch.plan.chunks)

    def idle_at(self, now: float) -> float:
        """Return since when it is idle, or when to look again."""
        fetch = self.fetch
        if fetch is None or fetch.plan.whole or (fetch.may_move and now < fetch.moved_at + SLOW_SECONDS):
            return now + IDLE_SECONDS
        return fetch.moved_at + IDLE_SECONDS


class Fetcher:
    """Fetches what is wanted; `run` runs it. around: what all fetches work with. space: the folder of sealed files."""

    def __init__(
        self,
        committer: Committer,
        around: FetchContext,
        live: Live,
        space: FileSpace,
    ) -> None:
        self._committer, self._around, self._live, self._space = committer, around, live, space
        self._tasks: dict[int, _Task] = {}
        self._resting: dict[int, float] = {}
        self._turns: dict[int, int] = {}
        """The turn in which each file had its last place, by message."""
        self._turn = 0
        self._credits: dict[ContactId, trio.Semaphore] = {}
        self._changed = Wakeup()
        self._any = False

    def changed(self) -> None:
        """Look again which files are wanted."""
        self._changed.set()

    def people_changed(self) -> None:
        """Look again whose files may be fetched, if any wait."""
        if self._any:
            self._changed.set()

    def link_up(self, contact: ContactId) -> None:
        """Ask a contact at once, with whom there is a new link."""
        for task in self._of(contact):
            task.link_up(contact)

    def link_down(self, contact: ContactId) -> None:
        """Ask relays for what a contact has sent, whose link has ended."""
        for task in self._of(contact):
            task.link_down()

    def _of(self, contact: ContactId) -> list[FileFetch]:
        return [task.fetch for task in self._tasks.values() if task.fetch is not None and task.fetch.asks(contact)]

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed.clear()
                try:
                    rows, self._any = await self._committer.read(_wanted)
                except P2PChatError as error:
                    log.warning("what is to be fetched cannot be read: %s", type(error).__name__)
                    await trio.sleep(RETRY_SECONDS)
                    continue
                self._stop_others({row.message: row for row in rows})
                room_at = self._begin(rows, nursery)
                with trio.move_on_at(min([room_at, *self._resting.values()])):
                    await self._changed.wait()

    def _stop_others(self, wanted: dict[int, FileRow]) -> None:
        """Stop what is not wanted any more, or has another sealed file now."""
        for pk, task in self._tasks.items():
            row = wanted.get(pk)
            ends = task.fetch is not None and task.fetch.plan.whole
            if not ends and (row is None or task.row.space not in (None, row.space)):
                task.scope.cancel()
        for pk in [pk for pk in self._resting if pk not in wanted]:
            del self._resting[pk]
        for pk in [pk for pk in self._turns if pk not in wanted]:
            del self._turns[pk]

    def _begin(self, rows: Sequence[FileRow], nursery: trio.Nursery) -> float:
        """Begin what there are places for, and have idle ones make room for the rest. Return when to look again."""
        now = trio.current_time()
        for pk in [pk for pk, until in self._resting.items() if until <= now]:
            del self._resting[pk]
        busy = Counter(task.row.chat for task in self._tasks.values())
        turns: dict[ChatId, int] = {}
        ready: dict[ChatId, deque[FileRow]] = {}
        for row in sorted(rows, key=lambda row: self._turns.get(row.message, 0)):
            turns[row.chat] = self._turns.get(row.message, 0)
            if row.message not in self._tasks and row.message not in self._resting:
                ready.setdefault(row.chat, deque()).append(row)
        while len(self._tasks) < MAX_AT_ONCE:
            chats = [chat for chat in ready if busy[chat] < MAX_OF_CONTACT]
            if not chats:
                break
            chat = min(chats, key=lambda chat: (busy[chat], turns[chat]))
            row = ready[chat].popleft()
            if not ready[chat]:
                del ready[chat]
            busy[chat] += 1
            self._turn += 1
            turns[chat] = self._turns[row.message] = self._turn
            task = self._tasks[row.message] = _Task(row, trio.CancelScope())
            nursery.start_soon(self._run_task, task)
        return self._make_room({chat: len(waiting) for chat, waiting in ready.items()}, busy, now)

    def _make_room(self, waiting: Mapping[ChatId, int], busy: Mapping[ChatId, int], now: float) -> float:
        """Stop idle files whose places others wait for: waiting, busy: how many of each chat wait, and have a place.
        Return when to look again.
        """
        full, left, look_at = len(self._tasks) >= MAX_AT_ONCE, sum(waiting.values()), now + 3600
        others = full and any(busy[chat] < MAX_OF_CONTACT for chat in waiting)
        for task in self._tasks.values():
            if not others and task.row.chat not in waiting:
                continue
            idle_at = task.idle_at(now)
            if now < idle_at:
                look_at = min(look_at, idle_at)
            elif left:
                left -= 1
                task.scope.cancel()
        return look_at

    async def _run_task(self, task: _Task) -> None:
        moving: Moving | None = None
        try:
            with task.scope:
                id = await self._committer.read(_message_id, task.row.message)
                moving = Moving(task.row, id, task.row.done)
                self._live.begin(moving)
                await self._fetch(task, moving)
        except Exception as error:  # noqa: BLE001 - one file must not stop the others, nor the node
            if moving is not None:
                moving.problem, moving.state = _problem(error), FileState.PAUSED
                self._live.tell(moving, now=True)
            log.warning("a file cannot be fetched now: %s", type(error).__name__)
            self._resting[task.row.message] = trio.current_time() + RETRY_SECONDS
        else:
            if moving is not None:
                self._live.end(moving)
        finally:
            del self._tasks[task.row.message]
            self._changed.set()

    async def _fetch(self, task: _Task, moving: Moving) -> None:
        sealed = await self._open(task, moving)
        if sealed is None:
            return
        row, beside = task.row, self._committer.beside
        try:
            plan = Plan(row.layout, BlobName(row.root), Bits(row.layout.blobs))
            slots = await self._committer.read(store_files.marked, row.message)
            found = await beside(partial(_fill, plan, sealed, slots))
            holders = [
                Holder(contact, self._credits.setdefault(contact, trio.Semaphore(MAX_REQUESTS)), sent)
                for contact, sent in await self._committer.read(_holders, row)
            ]
            task.fetch = FileFetch(moving, holders, plan, BlobCipher(row.key, row.size), sealed, self._around)
            task.fetch.unsaved += found
            if found:
                self._around.save(task.fetch)
            moving.done = plan.chunks
            await self._ended(row, await task.fetch.run())
            self._live.end(moving)
            await task.fetch.relays.forget_rest()
        finally:
            sealed.close()

    async def _open(self, task: _Task, moving: Moving) -> SealedFile | None:
        """Open the sealed file of a file, or make it; None if it is not wanted any more. Raises NoRoom, DiskFull or
        ProfileError.
        """
        row, beside = task.row, self._committer.beside
        self._take_room(task, (await beside(partial(shutil.disk_usage, self._space.folder.parent))).free)
        if row.space is not None and row.space_key is not None:
            try:
                return await beside(partial(self._space.open, row.space, row.space_key))
            except FileDamaged:
                pass  # it is gone: begin anew
        sealed = await beside(self._space.create)
        try:
            await beside(sealed.sync)  # so its name is in the folder; once it is opened anew, nobody would sync that
            named = await self._committer.submit(_begin_anew, row.message, sealed.name, sealed.key)
        except Exception:  # it was not noted, so nobody would delete it before the next start
            await beside(sealed.delete)
            raise
        except BaseException:  # cancelled: it may have been noted
            sealed.close()
            raise
        if named is None:
            await beside(sealed.delete)
            return None
        task.row = moving.row = named
        return sealed

    def _take_room(self, task: _Task, free: int) -> None:
        """Leave room to a file, beside what the others still lack. Idle ones lose theirs if it does not do otherwise.
        free: bytes that are free on the disk. Raises NoRoom.
        """
        now, needed = trio.current_time(), _missing_bytes(task.row, task.row.done)
        others = [other for other in self._tasks.values() if other is not task and not other.scope.cancel_called]
        lacking = needed + sum(other.left for other in others) + SCARCE_DISK_BYTES - free
        idle = [other for other in others if other.idle_at(now) <= now]
        if lacking > sum(other.left for other in idle):
            raise NoRoom
        for other in idle:
            if lacking > 0:
                lacking -= other.left
                self._resting[other.row.message] = now + RETRY_SECONDS
                other.scope.cancel()
        task.room = needed

    async def _ended(self, row: FileRow, end: FetchEnd) -> None:
        if end == FetchEnd.WITHDRAWN:
            await self._committer.submit(transfers.withdrawn, row.message)
        elif end != FetchEnd.WHOLE:
            await self._committer.submit(transfers.fail, row.message, CHANGED if end == FetchEnd.CHANGED else WRONG)


def _missing_bytes(row: FileRow, chunks: int) -> int:
    """Return how many bytes a file still takes of which so many chunks are here."""
    return (row.layout.chunks - chunks) * min(row.size, CHUNK_BYTES)


def _wanted(db: Database) -> tuple[list[FileRow], bool]:
    """Return the files to fetch, those of contacts, and whether any others wait too."""
    waiting = [row for row in store_files.unfinished(db, FileState.WAITING) if not row.mine]
    direct = {row.chat for row in waiting if not row.shared}
    people = {chat: store_contacts.get(db, direct_contact(chat)) for chat in direct}
    chats = {chat for chat, person in people.items() if person and person.state == ContactState.CONTACT}
    chats |= {chat for chat in {row.chat for row in waiting} - direct if shared.is_present(db, chat)}
    return [row for row in waiting if row.chat in chats], bool(waiting)


def _holders(db: Database, row: FileRow) -> list[tuple[ContactId, bool]]:
    """Return who may be asked for a file, and whether it is they who sent it."""
    if not row.shared:
        return [(direct_contact(row.chat), True)]
    author = shared.contact_of(db, row)
    return [(id, author is not None and id == author.id) for id in shared.sources(db, row)]


def _message_id(db: Database, pk: int) -> MessageId:
    message = store_messages.by_pk(db, pk)
    return MessageId(b"") if message is None else message.id


def _begin_anew(tx: Transaction, pk: int, name: str, key: bytes) -> FileRow | None:
    """Note the new sealed file of a file that is to be fetched; None if it is not to be any more."""
    row = store_files.get(tx.db, pk)
    if row is None or row.state != FileState.WAITING:
        return None
    store_files.unmark_all(tx.db, pk)
    store_files.update(tx.db, pk, space=name, space_key=key, done=0)
    return store_files.get(tx.db, pk)


def _fill(plan: Plan, sealed: SealedFile, slots: set[int]) -> list[int]:
    """Put what is on the disk into a plan. A list that cannot be read is fetched again. Return the slots of which the
    database does not know: they were written shortly before the process was killed, wherever there was a gap.
    """
    layout = plan.layout
    found = sealed.sound(slot for slot in range(min(layout.blobs, sealed.slots)) if slot not in slots)
    for slot in sorted(slots.union(found)):
        place = layout.place(slot)
        data = None
        if place.level:
            try:
                data = sealed.read(slot)
            except FileDamaged:
                continue
        plan.take(place, data)
    return found


def _problem(error: Exception) -> str:
    return NO_ROOM if isinstance(error, NoRoom | DiskFull) else NOT_WRITTEN
