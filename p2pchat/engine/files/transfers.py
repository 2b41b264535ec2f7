"""What happens to files in transactions: wanted, paused, whole, declined, withdrawn.

`settle` runs at the end of each transaction, for the files that came in it and those of which the other side said
something. What may be done when is in the two tables of what a person may ask for.
"""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core.contents import Transfer
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.delivery import DeliveryEvent, DeliveryState, Route
from p2pchat.core.ids import ChatId, MemberId, direct_chat, direct_contact, sender_of
from p2pchat.engine.delivery import outbound, states
from p2pchat.engine.files import shared, taking_back
from p2pchat.engine.runtime import settings, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import partners
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Value
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.groups import members as store_members
from p2pchat.store.messages import MessageRow

MAX_FETCHED_BYTES = 4 * 2**30
"""Bytes of files that one contact may have us keep or wait for without asking; beyond that theirs are only offered."""
MAX_AWAITED = 1_000
"""Files of one contact that may wait to be fetched without asking; beyond that theirs are only offered."""
AUTHOR_LEFT = "Its sender is not a member of the group any more, so nobody gives it."
NOT_PRESENT = "You are not a member of this group any more."
WITHDRAWN_TOO_LATE = "You have withdrawn it, but it had arrived."
_STOPPED = frozenset({FileState.OFFERED, FileState.PAUSED, FileState.FAILED, FileState.GONE})
_UNDER_WAY = frozenset({FileState.OFFERED, FileState.WAITING, FileState.PAUSED, FileState.FAILED})


def settle(tx: Transaction) -> None:
    """Decide what follows for the files that came, or of which the other side said something."""
    for pk in list(tx.files_changed):
        row, message = store_files.get(tx.db, pk), store_messages.by_pk(tx.db, pk)
        contact = None if row is None else _contact_of(tx, row)
        if row is None or message is None or (contact is None and not row.shared):
            continue
        if row.mine:
            _answered(tx, row, message)
        elif row.news == TransferNews.WITHDRAWN:
            if row.state in _UNDER_WAY:
                name = "Its sender" if contact is None else contact.name
                _end(tx, row, message, FileState.GONE, f"{name} has withdrawn it.")
        elif row.state == FileState.OFFERED and contact is not None and _is_wanted(tx, contact, row):
            change(tx, row, message, state=FileState.WAITING)


def _contact_of(tx: Transaction, row: FileRow) -> Contact | None:
    """Return the contact on the other side of a file; in a group, who sent it, if that is one."""
    return shared.contact_of(tx.db, row) if row.shared else tx.contact(direct_contact(row.chat))


def _answered(tx: Transaction, row: FileRow, message: MessageRow) -> None:
    """Apply what the recipient of one of our files says, once: it may be offered again then."""
    if row.news is None:
        return
    store_files.update(tx.db, row.message, news=None)
    if row.news == TransferNews.WHOLE and row.state != FileState.HERE:
        if row.state == FileState.GONE:  # whatever they say of it, it is not given again
            change(tx, row, message, problem=WITHDRAWN_TOO_LATE)
        else:
            change(tx, row, message, state=FileState.HERE, problem="", done=row.layout.chunks)
        read = message.read_at is not None
        event = DeliveryEvent.READ if read else DeliveryEvent.DELIVERED
        states.advance(tx, row.chat, [message.id], event, None if message.route is None else Route(message.route))
    elif row.news == TransferNews.DECLINED and row.state in _UNDER_WAY:
        change(tx, row, message, state=FileState.FAILED, problem="It was declined.", done=0)
    elif row.news == TransferNews.WANTED and row.state in (FileState.FAILED, FileState.HERE):
        change(tx, row, message, state=FileState.WAITING, problem="", ended_at=None, done=0)


def _is_wanted(tx: Transaction, contact: Contact, row: FileRow) -> bool:
    """Return whether a contact's file is fetched without asking the user."""
    if contact.state != ContactState.CONTACT or row.size > settings.fetch_up_to(tx.db) * settings.MEGABYTE:
        return False
    chat = direct_chat(contact.id)
    files, awaited = store_files.awaited(tx.db, chat)
    kept = store_files.kept_bytes(tx.db, chat, mine=False)
    more, more_bytes = store_files.from_groups(tx.db, contact.id)  # however many groups somebody makes
    files, awaited = files + more, awaited + more_bytes
    return files < MAX_AWAITED and kept + awaited + row.size <= MAX_FETCHED_BYTES


def whole(tx: Transaction, row: FileRow) -> None:
    """Note that every blob of a contact's file is on this disk, and tell them."""
    message = store_messages.by_pk(tx.db, row.message)
    if message is not None:
        change(tx, row, message, state=FileState.HERE, problem="", ended_at=tx.now)
        _tell(tx, message, TransferNews.WHOLE)


def fail(tx: Transaction, pk: int, problem: str) -> None:
    """End a contact's file that cannot be had. What came of it is kept until the user gives it up."""
    row, message = store_files.get(tx.db, pk), store_messages.by_pk(tx.db, pk)
    if row is not None and message is not None and row.state == FileState.WAITING:
        change(tx, row, message, state=FileState.FAILED, problem=problem)


def withdrawn(tx: Transaction, pk: int) -> None:
    """End a contact's file that they do not give any more."""
    row, message = store_files.get(tx.db, pk), store_messages.by_pk(tx.db, pk)
    if row is not None and message is not None and row.state in _UNDER_WAY:
        _end(tx, row, message, FileState.GONE, "Its sender has withdrawn it.")


def damaged(tx: Transaction, pk: int) -> None:
    """Fetch a contact's file again that was whole, and of which something is lost here."""
    row, message = store_files.get(tx.db, pk), store_messages.by_pk(tx.db, pk)
    if row is not None and message is not None and not row.mine and row.state == FileState.HERE:
        store_files.unmark_all(tx.db, pk)
        nothing: dict[str, Value] = {"space": None, "space_key": None, "done": 0, "ended_at": None}
        change(tx, row, message, state=FileState.WAITING, problem="", **nothing)
        _tell(tx, message, TransferNews.WANTED)


# --- what a person asks for


def want(tx: Transaction, row: FileRow, message: MessageRow) -> None:
    """Fetch a contact's file, or go on with it; offer one of ours again. Raises NotNow."""
    if row.state not in _STOPPED:
        return
    contact = _contact_of(tx, row)
    if row.shared:
        check_present(tx, row)
    elif not row.mine and (contact is None or contact.state != ContactState.CONTACT):
        raise NotNow("Files are fetched from contacts only")
    if (row.mine and row.state == FileState.GONE) or row.news == TransferNews.WITHDRAWN:
        raise NotNow("This file was withdrawn", hint="It has to be sent again.")
    change(tx, row, message, state=FileState.WAITING, problem="", ended_at=None)
    if not row.mine and row.state in (FileState.FAILED, FileState.GONE):
        _tell(tx, message, TransferNews.WANTED)


def check_present(tx: Transaction, row: FileRow) -> None:
    """Raise NotNow for a file of a group that we are not in, or whose sender is not."""
    author = shared.author_of(tx.db, row)
    if not shared.is_present(tx.db, row.chat):
        raise NotNow(NOT_PRESENT.rstrip("."))
    if author is not None and store_members.get(tx.db, row.chat, author) is None:
        raise NotNow(AUTHOR_LEFT.rstrip("."))


def pause(tx: Transaction, row: FileRow, message: MessageRow) -> None:
    """Pause a file that is not whole."""
    if row.state in (FileState.WAITING, FileState.OFFERED, FileState.FAILED):
        change(tx, row, message, state=FileState.PAUSED, problem="")


def cancel(tx: Transaction, row: FileRow, message: MessageRow) -> None:
    """Decline a contact's file and delete what came of it, or withdraw one of ours."""
    if row.mine:
        if row.state in _UNDER_WAY:
            change(tx, row, message, state=FileState.GONE, problem="You have withdrawn it.")
            _tell(tx, message, TransferNews.WITHDRAWN)
    elif row.state != FileState.GONE:
        declined = row.state in _UNDER_WAY
        _end(tx, row, message, FileState.GONE, "You have declined it." if declined else "You have deleted it.")
        if declined:
            _tell(tx, message, TransferNews.DECLINED)


def deleted(tx: Transaction, message: MessageRow, *, tell: bool = True) -> None:
    """Take a file that is about to be deleted here back from relays, and `tell` its recipient that it is not given any
    more.
    """
    row = store_files.get(tx.db, message.pk)
    if row is None:
        return
    tx.files_changed[message.pk] = None
    taking_back.note(tx, [row])
    if tell and row.mine and row.state in _UNDER_WAY and message.state != DeliveryState.SAVED:
        _tell(tx, message, TransferNews.WITHDRAWN)


# --- what all have in common


def change(tx: Transaction, row: FileRow, message: MessageRow, **fields: Value) -> None:
    """Change fields of a file, and tell the faces and whoever fetches or gives it."""
    store_files.update(tx.db, row.message, **fields)
    tx.files_changed[row.message] = None
    now = store_files.get(tx.db, row.message)
    if now is not None and tx.listened:
        tx.event("file", id=message.id.hex(), chat=row.chat.hex(), file=views.file(now))


def _end(tx: Transaction, row: FileRow, message: MessageRow, state: FileState, problem: str) -> None:
    """End a contact's file and delete what came of it."""
    store_files.unmark_all(tx.db, row.message)
    change(tx, row, message, state=state, problem=problem, ended_at=tx.now, space=None, space_key=None, done=0)
    tx.erased = True


def members_left(tx: Transaction, chat: ChatId, members: Sequence[MemberId]) -> None:
    """Stop what is to be fetched of members who are gone: nobody gives it any more. What came of it is kept until the
    user gives it up, since they may turn out not to be gone.
    """
    for row, message in _of(tx, chat, members):
        if row.state in _UNDER_WAY:
            change(tx, row, message, state=FileState.FAILED, problem=AUTHOR_LEFT)


def members_back(tx: Transaction, chat: ChatId, members: Sequence[MemberId]) -> None:
    """Offer again what was to be fetched of members who were taken for gone, and are not."""
    for row, message in _of(tx, chat, members):
        if row.state == FileState.FAILED and row.problem == AUTHOR_LEFT:
            change(tx, row, message, state=FileState.OFFERED, problem="")


def _of(tx: Transaction, chat: ChatId, members: Sequence[MemberId]) -> list[tuple[FileRow, MessageRow]]:
    """Return the files that members sent to a group, with their messages."""
    rows = store_files.written_by(tx.db, chat, [sender_of(member) for member in members])
    found = [(row, store_messages.by_pk(tx.db, row.message)) for row in rows]
    return [(row, message) for row, message in found if message is not None]


def group_ended(tx: Transaction, chat: ChatId) -> None:
    """End what moves in a group of which we shall not be a member again: ours is taken back from relays."""
    for row in store_files.moving(tx.db, chat):
        message = store_messages.by_pk(tx.db, row.message)
        if message is not None and row.mine:
            change(tx, row, message, state=FileState.GONE, problem=NOT_PRESENT)
        elif message is not None:
            _end(tx, row, message, FileState.FAILED, NOT_PRESENT)


def left_for_long(tx: Transaction, pk: int) -> None:
    """Note that the time of one of our files at the relays of a group is over."""
    row, message = store_files.get(tx.db, pk), store_messages.by_pk(tx.db, pk)
    if row is not None and message is not None and row.shared and row.state == FileState.WAITING:
        change(tx, row, message, state=FileState.HERE, problem="", ended_at=tx.now, done=row.layout.chunks)


def _tell(tx: Transaction, message: MessageRow, news: TransferNews) -> None:
    """Say something of a file to the contact; it ends with the message. In a group only its sender says anything."""
    contact = tx.contact(direct_contact(message.chat)) or partners.of(tx.db, message.chat)
    in_group = contact is not None and contact.state == ContactState.GROUP and news == TransferNews.WITHDRAWN
    if contact is None or (contact.state != ContactState.CONTACT and not in_group):
        return
    keep_until = None
    if message.expire_s:
        ends = 1000 * message.expire_s if message.expires_at is None else message.expires_at - tx.counted
        keep_until = tx.now + ends
    outbound.queue(tx, contact, Transfer(message.id, news), expire_s=message.expire_s, keep_until=keep_until)
    outbound.nudge(tx, contact)
