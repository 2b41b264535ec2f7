"""Gives blobs of files to those who may have them, and to nobody else (`ports.FileCallbacks`): ours to the contacts to
whom they were sent, and in a group what is whole here to contacts who are members.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from p2pchat.core.file_frames import MAX_IN_GET
from p2pchat.core.files import BlobPlace
from p2pchat.core.ids import ContactId, FileId, MessageId, direct_chat
from p2pchat.engine.files.live import Live, Moving
from p2pchat.engine.files.plan import Bits
from p2pchat.errors import P2PChatError, SourceChanged
from p2pchat.ports import BlobRange, Blobs, NoBlob
from p2pchat.store import contacts as store_contacts
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import ContactState
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BlobMaker
from p2pchat.store.files import FileRow, FileState

MAX_OPEN = 16
"""Files that are open at a time; the one that was asked for longest ago is closed."""
MAX_TRIES = 3
"""How often a request is tried whose file is closed meanwhile."""
CHANGED = "The file has changed since it was sent; send it again."
UNREADABLE = "{why}. It goes on when it can be read again."
_REFUSED = {FileState.PAUSED: NoBlob.NOT_NOW, FileState.GONE: NoBlob.WITHDRAWN}


@dataclass(eq=False, repr=False)
class _Given:
    """One of our files that is being fetched. sent: its chunks that were given out. maker: None while it is closed."""

    moving: Moving
    sent: Bits
    maker: BlobMaker | None = None
    closed: bool = False
    opening: trio.Lock = field(default_factory=trio.Lock)

    def close(self) -> None:
        """Close it for good."""
        self.closed = True
        if self.maker is not None:
            self.maker.close()


class Giver:
    """Answers requests for blobs. read, beside: those of the committer. open: opens one of our files, in a
    thread. messages_first: waits while messages move.
    """

    def __init__(
        self,
        read: Callable[..., Awaitable[Any]],
        beside: Callable[[Callable[[], object]], Awaitable[Any]],
        open: Callable[[FileRow], BlobMaker],
        live: Live,
        messages_first: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        self._messages_first = messages_first
        self._read, self._beside, self._open, self._live = read, beside, open, live
        self._given: dict[tuple[ContactId, FileId], _Given] = {}
        self._changes = 0

    async def blobs(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Return blobs of a file that was sent to this contact."""
        for _ in range(MAX_TRIES):
            try:
                given = await self._find(contact, wanted.file)
            except P2PChatError:
                break
            if isinstance(given, NoBlob):
                return Blobs((), given)
            blobs = await self._made(given, wanted)
            if blobs is not None:
                return blobs
        return Blobs((), NoBlob.NOT_NOW)

    async def _made(self, given: _Given, wanted: BlobRange) -> Blobs | None:
        """Make blobs of a file; None if it was closed meanwhile, because others were asked for or a contact or its
        message has changed: the store says which.
        """
        try:
            maker = given.maker or await self._opened(given)
            await self._messages_first()
            blobs = await self._beside(partial(maker.blobs, wanted.first, min(wanted.count, MAX_IN_GET)))
        except P2PChatError as error:
            return None if given.closed else self._failed(given, error)
        self._count(given, wanted.first, blobs)
        return Blobs(blobs, NoBlob.UNKNOWN if len(blobs) < wanted.count else None)

    def _failed(self, given: _Given, error: P2PChatError) -> Blobs:
        """Say why a file cannot be given, and return the answer."""
        if isinstance(error, SourceChanged):
            self._cannot(given, CHANGED, FileState.FAILED)
            return Blobs((), NoBlob.CHANGED)
        self._cannot(given, UNREADABLE.format(why=str(error).rstrip(".")), FileState.PAUSED)
        return Blobs((), NoBlob.NOT_NOW)

    def changed(self, pk: int) -> None:
        """Read the file of a message anew from the store when it is asked for again."""
        self._changes += 1
        for key, given in list(self._given.items()):
            if given.moving.row.message == pk:
                self._close(key)

    def groups_changed(self) -> None:
        """Look again who may have files of groups, when they are asked for."""
        self._changes += 1
        for key in [key for key, given in self._given.items() if given.moving.row.shared]:
            self._close(key)

    def close(self) -> None:
        """Close everything: contacts have changed, or the node ends."""
        self._changes += 1
        for key in list(self._given):
            self._close(key)

    def _close(self, key: tuple[ContactId, FileId]) -> None:
        given = self._given.pop(key)
        self._live.end(given.moving)
        given.close()

    async def _find(self, contact: ContactId, file: FileId) -> _Given | NoBlob:
        key = contact, file
        while key not in self._given:
            changes = self._changes
            found = await self._read(_wanted, contact, file)
            if isinstance(found, NoBlob):
                return found
            if changes == self._changes and key not in self._given:
                # otherwise it may have been blocked or withdrawn since it was read
                row, id = found
                self._given[key] = _Given(Moving(row, id), Bits(row.layout.chunks))
                if not row.shared:  # of those in a group, each of whom has got something else
                    self._live.begin(self._given[key].moving)
                if len(self._given) > MAX_OPEN:
                    self._close(next(iter(self._given)))
        self._given[key] = self._given.pop(key)  # the last one now to be closed for others
        return self._given[key]

    async def _opened(self, given: _Given) -> BlobMaker:
        async with given.opening:
            if given.maker is None:
                given.maker = await self._beside(partial(self._open, given.moving.row))
                if given.closed:
                    given.close()
            return given.maker

    def _cannot(self, given: _Given, problem: str, state: FileState) -> None:
        """Say why one of our files cannot be given, and open it anew the next time: another one may be there then."""
        if given.maker is not None:
            given.maker.close()
            given.maker = None
        given.moving.state = state
        turned, given.moving.problem = given.moving.problem != problem, problem
        if not given.moving.row.shared:
            self._live.tell(given.moving, now=turned)

    def _count(self, given: _Given, first: BlobPlace, blobs: Sequence[bytes]) -> None:
        moving = given.moving
        if first.level == 0:
            for number in range(first.number, first.number + len(blobs)):
                given.sent.add(number)
        moving.meter.moved(sum(map(len, blobs)), trio.current_time())
        moving.done = given.sent.count
        turned, moving.problem = bool(moving.problem), ""
        if not moving.row.shared:
            self._live.tell(moving, now=turned)


def _wanted(db: Database, contact: ContactId, file: FileId) -> tuple[FileRow, MessageId] | NoBlob:
    """Return a file that a contact may fetch, and the id of its message, or why it may not."""
    person = store_contacts.get(db, contact)
    if person is None or person.state != ContactState.CONTACT:
        return NoBlob.UNKNOWN
    row = store_files.ours(db, direct_chat(contact), file)
    if row is None and not person.for_group:
        row = store_files.shared_with(db, contact, file)
    message = None if row is None else store_messages.by_pk(db, row.message)
    if row is None or message is None:
        return NoBlob.UNKNOWN
    return _REFUSED.get(row.state, (row, message.id))
