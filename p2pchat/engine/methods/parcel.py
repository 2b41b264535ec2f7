"""The methods parcel_out and parcel_in: the outbox as a file, where there is no network at all."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from p2pchat.core import parcel
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import envelope_id
from p2pchat.core.identity import Device
from p2pchat.core.ids import ChatId, ContactId, direct_chat, first_device
from p2pchat.core.session import STANDING, Pair, pair, standing_root
from p2pchat.engine.delivery import outbound
from p2pchat.engine.engine import Engine
from p2pchat.engine.receiving import inbound
from p2pchat.engine.receiving.inbound import Taken
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import CannotOpen, P2PChatError, UsageError
from p2pchat.lib import atomic_file
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.outbox import OutboxForm

ROWS_AT_ONCE = 64
"""Rows of the outbox in one transaction."""
MAX_CONTENT_BYTES = parcel.MAX_BYTES // 2 - 2**20
ENTRIES_AT_ONCE = 64
MAX_TRIES = 100
"""Transactions that one entry may be put off by, since it costs more than one transaction may."""
OUTCOMES = ("messages", "other", "known", "left", "unreadable")
"""What can become of an entry: new messages; receipts and the like; known from before; no room, so it is still to be
taken; damaged, or of a session that is gone.
"""


class NoParcel(P2PChatError):
    """The file is not a parcel."""

    hint = "`p2pchat parcel out FILE` makes one. If this is one, it was not copied completely."


class NoAccess(P2PChatError):
    """The system does not let the file be read or written."""

    hint = "Check its permissions and the free space on its disk."


class NothingWaits(P2PChatError):
    """Nothing waits for anybody, so there is nothing to put into a parcel."""

    hint = "Write something first, or take in a parcel: the receipts for it travel in the next one out."


@dataclass
class _Recipient:
    """A contact whose outbox goes into a parcel."""

    contact: ContactId
    key: bytes
    envelopes: list[bytes] = field(default_factory=list)
    messages: int = 0
    after_pk: int = 0


@dataclass
class _Sender:
    """A contact from whom a parcel has something: where the entries are, and what became of them."""

    contact: ContactId
    name: str
    places: list[tuple[int, int]]
    outcome: Counter[str] = field(default_factory=Counter)

    def view(self) -> Json:
        return {"id": self.contact.hex(), "name": self.name} | {what: self.outcome[what] for what in OUTCOMES}


async def parcel_out(engine: Engine, *, file: str, to: Sequence[str] | None = None) -> Json:
    """Write what waits for these contacts, or for all, into a new file. It stays in the outbox until its receipts come.

    Raises UsageError for a path that is not absolute or exists, NothingWaits, NoAccess.
    """
    path = _absolute(file)
    everybody = await engine.committer.submit(_recipients, tuple(to or ()))
    waiting, size, more = deque(everybody), 0, False
    while waiting:  # everybody in turn, so that one long outbox does not leave out the others
        recipient = waiting.popleft()
        envelopes = await engine.committer.submit(_next, recipient)
        size += sum(parcel.TAG + len(envelope) for envelope in envelopes)
        if size > MAX_CONTENT_BYTES:
            more = True
            break
        recipient.envelopes += envelopes
        if recipient.after_pk:
            waiting.append(recipient)
    if not any(recipient.envelopes for recipient in everybody):
        raise NothingWaits
    filled = {recipient.key: recipient.envelopes for recipient in everybody if recipient.envelopes}
    random, beside = engine.entropy.random, engine.committer.beside
    parts = await beside(partial(parcel.packed, random(parcel.SALT), filled, random))
    await beside(partial(_write, path, parts))
    return {
        "file": str(path),
        "bytes": sum(map(len, parts)),
        "contacts": len(filled),
        "messages": sum(recipient.messages for recipient in everybody),
        "envelopes": sum(map(len, filled.values())),
        "more": more,
    }


def _recipients(tx: Transaction, to: Sequence[str]) -> list[_Recipient]:
    """Return the contacts who are meant; receipts that were held back for them are queued."""
    contacts = [tx.find(named) for named in to] if to else store_contacts.all(tx.db)
    recipients = []
    for contact in contacts:
        standing = _standing(tx.me, contact)
        if standing is None:
            if to:
                raise UsageError(f"{contact.name} has not accepted yet, so nothing can be sealed for them")
            continue
        recipients.append(_Recipient(contact.id, standing.ours))
    for recipient in recipients:  # after the last one that may be refused: nothing is written before
        outbound.tell_owed(tx, recipient.contact)
    return list({recipient.contact: recipient for recipient in recipients}.values())


def _next(tx: Transaction, recipient: _Recipient) -> list[bytes]:
    """Return the next envelopes that wait for a contact; `after_pk` is 0 when these were the last."""
    device = first_device(recipient.contact)
    rows = store_outbox.for_recipient(tx.db, device, ROWS_AT_ONCE, recipient.after_pk)
    recipient.after_pk = rows[-1].pk if len(rows) == ROWS_AT_ONCE else 0
    old_to = outbound.old_to(tx, recipient.contact)
    sealed = [
        row
        for row in rows
        if row.envelope_id is not None
        and row.form in (OutboxForm.CONTENT, OutboxForm.RENEWAL, OutboxForm.REQUEST)
        and (row.content is None or row.pk > old_to)
        and (row.keep_until is None or row.keep_until > tx.now)
    ]
    ready = outbound.ready(tx, sealed)
    ids = [row.msg_id for row in sealed if row.msg_id is not None]
    recipient.messages += len(store_messages.mine(tx.db, direct_chat(recipient.contact), ids))
    return [envelope.frame.body for envelope in ready]


async def parcel_in(engine: Engine, *, file: str) -> Json:
    """Take what is for this profile out of a parcel; a second time changes nothing.

    Raises UsageError for a path that is not absolute, NoParcel for a file that is none, NoAccess.
    """
    path, beside = _absolute(file), engine.committer.beside
    with await beside(partial(_open, path)) as opened:
        header, by_tag = await beside(partial(_read_tags, opened, path))
        senders = await engine.committer.read(_senders, engine.me, header.salt, by_tag)
        for sender in senders:
            waiting, tries = sender.places, 0
            while waiting and tries < MAX_TRIES:
                part = waiting[:ENTRIES_AT_ONCE]
                blobs = await beside(partial(_read_envelopes, opened, path, part))
                outcomes: list[str] = await engine.committer.submit(_take, sender.contact, blobs)
                sender.outcome.update(outcomes)
                waiting = waiting[len(outcomes) :]
                tries = 0 if outcomes else tries + 1
            sender.outcome["left"] += len(waiting)
    return {"file": str(path), "entries": sum(header.counts), "from": [sender.view() for sender in senders]}


@contextmanager
def _told(path: Path, verb: str) -> Iterator[None]:
    """Say in one line what the system says about a file. Raises NoAccess in place of OSError."""
    try:
        yield
    except OSError as error:
        raise NoAccess(f"{path} cannot be {verb}: {error.strerror}") from error


def _open(path: Path) -> BinaryIO:
    """Open a regular file and nothing else: to open a pipe would wait, and a device can be endless."""
    with _told(path, "read"):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoParcel(f"{path} is not a file")
    return os.fdopen(descriptor, "rb")


def _read_tags(opened: BinaryIO, path: Path) -> tuple[parcel.Header, dict[bytes, tuple[int, int]]]:
    """Return the header of a parcel, and where each entry is, by its tag. Raises NoParcel before it reads any entry."""
    with _told(path, "read"):
        try:
            header = parcel.read_header(opened.read(parcel.HEADER_BYTES))
        except CannotOpen:
            raise NoParcel(f"{path} is not a parcel") from None
        if os.fstat(opened.fileno()).st_size != header.file_bytes:
            raise NoParcel(f"{path} is not complete, or something was added to it")
        by_tag = {}
        for offset, size in header.entries():
            opened.seek(offset)
            by_tag[opened.read(parcel.TAG)] = (offset, size)
        return header, by_tag


def _senders(db: Database, me: Device, salt: bytes, by_tag: Mapping[bytes, tuple[int, int]]) -> list[_Sender]:
    """Return the contacts who have put something into a parcel for us."""
    senders = []
    for contact in store_contacts.all(db):
        standing = _standing(me, contact)
        if standing is None:
            continue
        key = parcel.tag_key(standing.theirs, salt)
        places: list[tuple[int, int]] = []
        while (place := by_tag.get(parcel.tag(key, len(places)))) is not None:
            places.append(place)
        if places:
            senders.append(_Sender(contact.id, contact.name, places))
    return senders


def _read_envelopes(opened: BinaryIO, path: Path, places: Sequence[tuple[int, int]]) -> list[bytes]:
    envelopes = []
    with _told(path, "read"):
        for offset, size in places:
            opened.seek(offset + parcel.TAG)
            envelopes.append(opened.read(size))
    return envelopes


def _take(tx: Transaction, contact_id: ContactId, envelopes: Sequence[bytes]) -> list[str]:
    """Take envelopes in order, as if they came from a relay; what became of each, up to the first that has to wait for
    another transaction.
    """
    outcomes: list[str] = []
    chat = direct_chat(contact_id)
    for envelope in envelopes:
        name = envelope_id(envelope)
        known, before = store_envelopes.seen(tx.db, name), _newest(tx, chat)
        taken = inbound.mailed(tx, contact_id, name, envelope, Route.PARCEL)
        if taken is Taken.LATER:
            break
        if taken is Taken.YES:
            new = "messages" if _newest(tx, chat) != before else "other"
            outcomes.append("known" if known is not None else new)
        else:
            outcomes.append("left" if taken is Taken.NO_ROOM else "unreadable")
    return outcomes


def _newest(tx: Transaction, chat: ChatId) -> int:
    return next((row.pk for row in store_messages.newest(tx.db, chat, 1)), 0)


def _standing(me: Device, contact: Contact) -> Pair | None:
    """Return the pair by which a contact is known whatever became of sessions; None for one who is no contact."""
    if contact.state != ContactState.CONTACT or contact.identity is None or contact.device is None:
        return None
    root = standing_root(me, contact.identity, contact.device)
    return pair(contact.id, STANDING, root, me.identity, contact.identity)


def _absolute(file: str) -> Path:
    path = Path(file)
    if not path.is_absolute() or "\0" in file:
        raise UsageError("The path of a parcel must be absolute")
    return path


def _write(path: Path, parts: Sequence[bytes]) -> None:
    """Write a new file that only this user can read; on the disk when this returns, or not there."""
    with _told(path, "written"):
        try:
            with atomic_file.create(path, durable=True) as file:
                file.writelines(parts)
        except FileExistsError:
            raise UsageError(f"{path} exists already", hint="Choose another name, or delete it.") from None
