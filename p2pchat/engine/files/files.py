"""All that a profile does about files: this module makes the parts, runs them, and tells them what has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pchat.core.ids import ContactId, direct_contact, first_device
from p2pchat.core.relays import OwnQueue, Relay
from p2pchat.engine.delivery import mailbox_queues
from p2pchat.engine.files import shared, transfers
from p2pchat.engine.files.fetch import FetchContext
from p2pchat.engine.files.fetcher import Fetcher
from p2pchat.engine.files.giving import Giver
from p2pchat.engine.files.live import Live
from p2pchat.engine.files.precedence import Precedence
from p2pchat.engine.files.progress import Progress
from p2pchat.engine.files.taking_back import NoSource
from p2pchat.engine.files.to_relays import ToRelays
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.events import EventHub
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import FileDamaged, P2PChatError
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Clock, Net
from p2pchat.store import files as store_files
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BlobMaker, PathSource, SealedSource, Source
from p2pchat.store.file_space import FileSpace, SealedFile
from p2pchat.store.files import FileRow

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


class Files:
    """The files of an open profile: fetches theirs, gives ours. `run` runs it."""

    def __init__(
        self,
        committer: Committer,
        events: EventHub,
        net: Net,
        db: Database,
        clock: Clock,
        counted: Callable[[], int],
    ) -> None:
        self.space = FileSpace(db.path.parent / "files")
        self.live = Live(events.publish, lambda contact: net.route(contact) is not None)
        self._committer, self._net = committer, net
        self._erased = Wakeup()
        self.moved = trio.Event()
        """Set, and made anew, after each transaction that changed the state of a file."""
        messages_first = Precedence(lambda: committer.messages_at).wait
        self._progress = Progress(committer.submit, committer.beside, transfers.whole)
        self.giver = Giver(committer.read, committer.beside, self.open_ours, self.live, messages_first)
        around = FetchContext(
            net=net,
            beside=committer.beside,
            own_boxes=self._own_boxes,
            save=self._progress.note,
            told=self.live.tell,
            messages_first=messages_first,
        )
        self.fetcher = Fetcher(committer, around, self.live, self.space)
        self.to_relays = ToRelays(committer, net, clock, counted, self.open_ours, self.open_names, self.live)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. It has started when what a crash left over is deleted: then files may be made."""
        await self._sweep()
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._progress.run)
                nursery.start_soon(self.live.run)
                nursery.start_soon(self.fetcher.run)
                nursery.start_soon(self.to_relays.run)
                nursery.start_soon(self._delete_when_unneeded)
        finally:
            self.giver.close()

    def committed(self, effects: Effects) -> None:
        """Go on with what a transaction has changed, once it is on disk, before faces are told."""
        for event in effects.events:
            if event.get("file") and event.get("mine", True):
                self.live.add_left(event["file"], event["chat"], event["id"])
        for pk in effects.files_changed:
            self.giver.changed(pk)
        if effects.people_changed or effects.erased:  # what is not there any more is not given out, nor fetched
            self.giver.close()
            self.fetcher.people_changed()
        if effects.groups_changed:  # somebody may have been removed
            self.giver.groups_changed()
        if effects.people_changed or effects.erased or effects.mail_changed or effects.mail_of:
            self.to_relays.queues_changed()
        if effects.files_changed:
            self.moved.set()
            self.moved = trio.Event()
            self.fetcher.changed()
            self.to_relays.changed()
        if effects.erased or effects.files_changed:
            self._erased.set()

    def link_up(self, contact: ContactId) -> None:
        """Ask a contact for files: there is a new link."""
        self.fetcher.link_up(contact)
        self.to_relays.link_up(contact)
        self.live.link_changed(contact)

    def link_down(self, contact: ContactId) -> None:
        """Ask relays for the files of a contact: a link has ended."""
        if self._net.route(contact) is None:
            self.fetcher.link_down(contact)
            self.to_relays.link_down(contact)
            self.live.link_changed(contact)

    async def delete_unneeded(self) -> None:
        """Delete the sealed files that nothing needs any more."""
        names = await self._committer.read(store_files.unneeded)
        if names:
            await self._committer.beside(partial(self.space.delete, names))
            await self._committer.submit(_forget_names, names)

    async def _sweep(self) -> None:
        """Delete what a crash has left over."""
        try:
            await self.delete_unneeded()
            await self._committer.beside(partial(self.space.sweep, await self._committer.read(store_files.spaces)))
        except P2PChatError as error:
            log.warning("old files could not be deleted: %s", type(error).__name__)

    async def _delete_when_unneeded(self) -> None:
        while True:
            await self._erased.wait()
            self._erased.clear()
            try:
                await self.delete_unneeded()
            except P2PChatError as error:
                log.warning("files could not be deleted: %s", type(error).__name__)
                await trio.sleep(RETRY_SECONDS)
                self._erased.set()

    def open_ours(self, row: FileRow) -> BlobMaker:
        """Open one of our files, to give blobs of it, in a worker thread. Raises SourceUnreadable or ProfileError."""
        sealed = self._open_sealed(row)
        try:
            return BlobMaker(self._open_source(row), sealed, row.key, row.root)
        except BaseException:
            if sealed is not None:
                sealed.close()
            raise

    def open_names(self, row: FileRow) -> BlobMaker:
        """Open one of our files for the names of its blobs alone, in a worker thread. Raises ProfileError."""
        return BlobMaker(NoSource(row.size), self._open_sealed(row), row.key, row.root)

    def open_whole(self, row: FileRow) -> Source:
        """Open a file that is whole here, ours or theirs, to read its chunks, in a worker thread. Raises
        SourceUnreadable or ProfileError.
        """
        return self._open_source(row)

    def _open_sealed(self, row: FileRow) -> SealedFile | None:
        if row.space is None or row.space_key is None:
            return None
        return self.space.open(row.space, row.space_key)

    def _open_source(self, row: FileRow) -> Source:
        if row.source is not None:
            return PathSource(row.source, row.size)
        sealed = self._open_sealed(row)
        if sealed is None:
            raise FileDamaged
        return SealedSource(sealed, row.size)

    async def _own_boxes(self, row: FileRow) -> Sequence[tuple[Relay, OwnQueue]]:
        """Return where the sender of a file may have left it: the queues that were announced to a contact, or the boxes
        that a group's message names.
        """
        if row.shared:
            boxes: Sequence[tuple[Relay, OwnQueue]] = await self._committer.read(shared.to_read, row)
            return boxes
        device = first_device(direct_contact(row.chat))
        known = await self._committer.read(partial(mailbox_queues.read, owners=[device]))
        return [
            (inlet.relay, inlet.queue)
            for inlet in known.inlets.get(device, ())
            if inlet.source.kind == "contact" and inlet.queue.flags == 0
        ]


def _forget_names(tx: Transaction, names: Sequence[str]) -> None:
    store_files.unlinked(tx.db, names)
