"""Turns what a user sends into an envelope in the outbox, in one transaction.

1. `send_text` checks the text and `send` the chat; `send` takes a number and an id, and saves the message (◷).
2. `queue` makes the content. If the contact has accepted and a session can send, it is padded and sealed now; otherwise
   it waits unsealed in the outbox until `seal_waiting` is called. Waiting contents, and after a renewal those sealed in
   the old session, are sealed in parts, one part per transaction.
3. After the commit the engine hands sealed rows to `link_sender`, which writes them if there is a link, and to
   `mailbox_sender`, which deposits them if there is not.

The outbox deletes a content when its end-to-end receipt arrives; it deletes a receipt at the hop ack or when relays
have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from p2pchat.core import frames
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import ContactProfile, File, Payload, Receipt, Text
from p2pchat.core.contents.receipt import DELIVERED, MAX_RECEIPTS
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.envelope import BUCKETS, envelope_id
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, InviteId, MessageId, SessionId, first_device
from p2pchat.core.ratchet import dump_seal, load_seal
from p2pchat.core.session import Sealed, Session, same_envelope
from p2pchat.core.text import MAX_TEXT_BYTES, beginning
from p2pchat.engine.delivery import group_rules, queues
from p2pchat.engine.runtime import naming, settings, views
from p2pchat.engine.runtime.effects import GroupContent, OutgoingEnvelope
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow, TextTooLong, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import facts, meta
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import WRITABLE, Contact, ContactState
from p2pchat.store.database import Value
from p2pchat.store.facts import Fact
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.messages import MessageRow
from p2pchat.store.outbox import OutboxForm, OutboxRow
from p2pchat.store.remarks import NOTHING, Remarks

RETRY_FOR_MS = 30 * DAY_MS
MAX_RECEIPTS_PER_TRANSACTION = 64 * MAX_RECEIPTS
AT_ONCE = 0
"""When a row without an ack is tried next: always. A time would delay it if the clock is ahead now and corrected later.
"""


def send_text(
    tx: Transaction,
    contact: Contact,
    text: str,
    message_id: MessageId | None = None,
    reply_to: MessageRow | None = None,
) -> MessageRow:
    """Save a text for a contact, as a reply or not, and queue it. Raises NotNow, TextTooLong, or UsageError for a text
    that is not valid.
    """
    check_text(text)
    mentions = naming.named_in(tx.db, contact, text)
    if reply_to is None:
        return send(tx, contact, Text(text, mentions=mentions), message_id)
    keeps = not reply_to.expire_s and reply_to.deleted_at is None  # else the quote would outlive it
    return send(tx, contact, Text(text, beginning(reply_to.text) if keeps else "", mentions), message_id, reply_to)


def check_writable(contact: Contact) -> None:
    """Raise NotNow where nothing can be sent to this contact, with what to do about it."""
    if contact.state == ContactState.BLOCKED:
        raise NotNow(f"{contact.name} is blocked", hint="Unblock them first.")
    if contact.state == ContactState.FORGOTTEN:
        raise NotNow(f"{contact.name} was forgotten", hint="A new invite makes you contacts again.")
    if contact.state == ContactState.LEFT:
        raise NotNow(f"You are not a member of {contact.name} any more")
    if contact.state == ContactState.CHANNEL:
        raise NotNow(f"{contact.name} is a channel", hint="Only texts are posted in channels, by `send`.")
    if contact.state not in WRITABLE:
        raise NotNow(f"{contact.name} is not a contact", hint="Accept or add them first.")


def check_text(text: str) -> None:
    """Raise TextTooLong, or UsageError, for a text that cannot be sent."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("This text is not valid Unicode") from None
    if size > MAX_TEXT_BYTES:
        raise TextTooLong
    if not text.strip():
        raise UsageError("There is nothing to send")


def send(
    tx: Transaction,
    contact: Contact,
    payload: Payload,
    message_id: MessageId | None = None,
    reply_to: MessageRow | None = None,
    file: Mapping[str, Value] | None = None,
) -> MessageRow:
    """Save a visible message for a contact, queue it, and tell the faces. file: of a file, the fields of its row that
    say where its bytes are. Raises NotNow if nothing can be sent to this contact.
    """
    check_writable(contact)
    group_rules.check_post(tx, contact, payload)
    reply_id = None if reply_to is None else reply_to.id
    row = _new_row(tx, contact, payload, message_id or tx.new_message_id(), reply_id)
    inserted = store_messages.insert(tx.db, row)
    if inserted is not None and isinstance(payload, File) and file is not None:
        row = row._replace(pk=inserted.pk)
        _save_file(tx, contact, row, payload, file)
    tx.message_saved()
    tx.ends(row.expires_at)
    queue(
        tx,
        contact,
        payload,
        message_id=row.id,
        seq=row.seq,
        reply_to=row.reply_to,
        expire_s=row.expire_s,
        keep_until=tx.now + 1000 * row.expire_s if row.expire_s else None,
    )
    nudge(tx, contact)
    if tx.listened:
        notes = NOTHING
        if reply_to is not None or file is not None:
            quoted_file = None if reply_to is None else store_files.get(tx.db, reply_to.pk)
            notes = Remarks(quoted=reply_to, file=store_files.get(tx.db, row.pk), quoted_file=quoted_file)
        tx.event("message", **views.message(row, naming.of_one(tx.db, contact, row, notes), notes, tx.counted - tx.now))
    return row


def nudge(tx: Transaction, contact: Contact) -> None:
    """Have a link with the contact made soon, once this transaction is on disk."""
    if contact.group is None:
        tx.after(tx.net.nudge, contact.id)


def _save_file(tx: Transaction, contact: Contact, row: MessageRow, payload: File, fields: Mapping[str, Value]) -> None:
    """Save the file of a message of ours. In the chat with oneself it has arrived already."""
    alone = contact.state == ContactState.SELF
    state = FileState.HERE if alone else FileState.WAITING
    store_files.add(tx.db, FileRow.of_message(row, payload, state))
    ends = {"ended_at": tx.now, "done": FileRow.of_message(row, payload, state).layout.chunks} if alone else {}
    store_files.update(tx.db, row.pk, **fields, **ends)
    tx.files_changed[row.pk] = None
    tx.memory.giving[row.chat] = True


def _new_row(
    tx: Transaction, contact: Contact, payload: Payload, message_id: MessageId, reply_to: MessageId | None
) -> MessageRow:
    """Return the row of a new message of ours. In the chat with oneself it has been read already."""
    alone = contact.state == ContactState.SELF
    chat = contact.chat
    expire_s = 0 if payload.KIND.quiet else tx.timer(chat)
    return MessageRow(
        id=message_id,
        chat=chat,
        sender=store_messages.ME,
        kind=payload.number,
        seq=tx.next_seq(chat),
        text=payload.text(),
        sent_at=tx.now,
        received_at=None,
        state=DeliveryState.READ if alone else DeliveryState.SAVED,
        route=None,
        read_at=tx.now if alone else None,
        reply_to=reply_to,
        quote=payload.quoted(),
        expire_s=expire_s,
        expires_at=tx.counted + 1000 * expire_s if expire_s else None,
    )


def resume(tx: Transaction, contact: Contact, message: MessageRow, expires_at: int) -> None:
    """Queue one of our texts or files again that had failed, under its old id and number."""
    payload = _moved(tx, message)
    if payload is None:
        return
    queue(
        tx,
        contact,
        Text(message.text, message.quote) if isinstance(payload, Text) else payload,
        message_id=message.id,
        seq=message.seq,
        sent_at=message.sent_at,
        expires_at=expires_at,
        reply_to=message.reply_to,
        expire_s=message.expire_s,
        keep_until=_keep_until(tx, message),
    )
    tx.after(tx.net.nudge, contact.id)


def queue(
    tx: Transaction,
    contact: Contact,
    payload: Payload,
    *,
    message_id: MessageId | None = None,
    seq: int = 0,
    sent_at: int | None = None,
    expires_at: int | None = None,
    reply_to: MessageId | None = None,
    expire_s: int = 0,
    keep_until: int | None = None,
) -> None:
    """Put a content for a contact into the outbox, sealed if that is possible now. A content for oneself is not sent;
    one for a group is sealed at the end of the transaction, under the epoch that the group has then.

    expires_at: when to give up (ms). expire_s: the seconds that the message stays, or the one that the content refers
    to. keep_until: no relay may store it for longer (ms).
    """
    if contact.state == ContactState.SELF:
        return  # nobody else is to hear of it
    message_id = message_id or tx.new_message_id()
    said_at = tx.now if sent_at is None else sent_at
    content = encode_content(Content(payload, message_id, seq, said_at, reply_to, expire_s))
    if contact.group is not None:
        tx.group_contents.append(GroupContent(contact.group, message_id, content))
        return
    if payload.KIND.latest_only:
        # of one that was sealed, a key is skipped
        store_outbox.clear(tx.db, first_device(contact.id), [payload.number])
    at_once = contact.state == ContactState.CONTACT and _sealing(tx, contact.id) is None  # else behind what waits
    session = tx.sessions.sending(first_device(contact.id)) if at_once else None
    sealed = None if session is None else tx.sessions.seal(first_device(contact.id), session, content, tx.entropy)
    row = OutboxRow(
        recipient=first_device(contact.id),
        kind=payload.number,
        msg_id=message_id if payload.KIND.receipted else None,  # by which its receipt finds it; else an index less
        content=content,
        created_at=tx.now,
        next_try=AT_ONCE,
        expires_at=tx.latest + RETRY_FOR_MS if expires_at is None else expires_at,
        keep_until=keep_until,
        **_seal_of(sealed),
    )
    pk = store_outbox.add(tx.db, row)
    if sealed is not None:
        _queued(tx, row, pk, sealed)


def send_fleeting(tx: Transaction, contact: Contact, payload: Payload) -> bool:
    """Send a content over an existing link without storing it. Return whether there is a link."""
    session = tx.sessions.sending(first_device(contact.id))
    if contact.state != ContactState.CONTACT or session is None or not session.confirmed:
        return False
    if tx.net.route(contact.id) is None or _sealing(tx, contact.id) is not None:
        return False
    content = encode_content(Content(payload, tx.new_message_id(), 0, tx.now))
    sealed = tx.sessions.seal(first_device(contact.id), session, content, tx.entropy)
    tx.after(tx.net.send, contact.id, [Frame(frames.ENVELOPE, sealed.envelope)])
    return True


def queue_initial(tx: Transaction, contact_id: ContactId, blob: bytes, session_id: SessionId) -> None:
    """Keep the first message for an invite, one bucket, until its ack, for as long as the inviter may know the invite:
    it may be only the ack that was lost.
    """
    contact = tx.contact(contact_id)
    known_until = (contact.invite_until or 0) if contact is not None else 0
    _add_first(tx, contact_id, OutboxForm.INITIAL, blob, session_id, max(tx.latest, known_until) + RETRY_FOR_MS)


def queue_first(
    tx: Transaction, contact_id: ContactId, form: OutboxForm, blob: bytes, session_id: SessionId, until: int
) -> None:
    """Keep the first message or the request that begins a new session until it has arrived, or until `until`; it is
    sent as the same bytes every time.
    """
    row, pk = _add_first(tx, contact_id, form, blob, session_id, until)
    _leave(tx, row, pk, blob)


def _add_first(
    tx: Transaction, contact_id: ContactId, form: OutboxForm, blob: bytes, session_id: SessionId, until: int
) -> tuple[OutboxRow, int]:
    row = OutboxRow(
        recipient=first_device(contact_id),
        kind=None,
        form=form,
        msg_id=None,
        content=None,
        envelope_id=envelope_id(blob),
        envelope=blob,
        session_id=session_id,
        created_at=tx.now,
        next_try=AT_ONCE,
        expires_at=until,
    )
    return row, store_outbox.add(tx.db, row)


def queue_box(tx: Transaction, invite_id: InviteId, blob: bytes, until: int) -> None:
    """Keep the sealed bundle of one of our invites, one bucket, for its boxes until `until` (ms)."""
    row = OutboxRow(
        recipient=invite_id,
        kind=None,
        form=OutboxForm.BOX,
        msg_id=None,
        content=None,
        envelope_id=envelope_id(blob),
        envelope=blob,
        created_at=tx.now,
        next_try=AT_ONCE,
        expires_at=until,
    )
    _leave(tx, row, store_outbox.add(tx.db, row), blob)


def seal_waiting(tx: Transaction, contact: Contact) -> None:
    """Seal, in order, the contents that waited until the contact accepted."""
    _begin_sealing(tx, contact.id, old_to(tx, contact.id))


def seal_again(tx: Transaction, contact_id: ContactId) -> None:
    """Seal every content without a receipt in the session that was renewed, under the id it had.

    The rows go behind the first message of that session, without which the other side could not open them.
    """
    _begin_sealing(tx, contact_id, store_outbox.newest(tx.db, first_device(contact_id)))


def seal_one_again(tx: Transaction, row: OutboxRow, session: Session) -> None:
    """Seal a row again in the current session, behind all other rows."""
    if _sealing(tx, row.contact) is None:  # else it is about to be
        _seal_row(tx, row, session, behind=True)


def _begin_sealing(tx: Transaction, contact_id: ContactId, old: int) -> None:
    tx.memory.sealing[contact_id] = old
    facts.put_int(tx.db, contact_id, Fact.SEALING, old)
    seal_more(tx, contact_id)


def _sealing(tx: Transaction, contact_id: ContactId) -> int | None:
    """While a contact's waiting contents are being sealed: the last row whose envelope, if it has one, belongs to an
    old session.
    """
    if contact_id not in tx.memory.sealing:
        kept = facts.get_int(tx.db, contact_id, Fact.SEALING, -1)
        tx.memory.sealing[contact_id] = None if kept < 0 else kept
    return tx.memory.sealing[contact_id]


def old_to(tx: Transaction, contact_id: ContactId) -> int:
    """Return the pk up to which a contact's contents have no envelope that may still be sent."""
    return _sealing(tx, contact_id) or 0


def seal_more(tx: Transaction, contact_id: ContactId) -> None:
    """Seal the next part of the contents waiting for that; the rest follows in the next transaction.

    The database says what has been sealed and that there is more, so this continues after a crash. Until it is finished
    every new content waits behind the rest, so that a sender's messages leave in order.
    """
    old = _sealing(tx, contact_id)
    if old is None:
        return
    contact = tx.contact(contact_id)
    rows = store_outbox.unsealed(tx.db, first_device(contact_id), old, max(0, tx.sealable) // BUCKETS[0] + 2)
    while rows and contact is not None and contact.state == ContactState.CONTACT:
        if tx.sealable <= 0:
            if contact_id not in [waiting for waiting, function, _ in tx.following if function is seal_more]:
                tx.later(contact_id, seal_more, contact_id)
            return
        session = tx.sessions.sending(first_device(contact_id))
        row = store_outbox.get(tx.db, rows.pop(0))
        if session is None or row is None:
            return
        _seal_row(tx, row, session, behind=old > 0)
    tx.memory.sealing[contact_id] = None
    facts.remove(tx.db, contact_id, Fact.SEALING)


def _seal_row(tx: Transaction, row: OutboxRow, session: Session, *, behind: bool) -> None:
    """Seal a row in its place, or `behind` all others."""
    assert row.content is not None
    sealed = tx.sessions.seal(row.device, session, row.content, tx.entropy)
    tx.sealable -= len(sealed.envelope)
    changed = {**_seal_of(sealed), "envelope": None, "acked_at": None, "next_try": AT_ONCE}
    pk = row.pk
    if behind:
        store_outbox.remove(tx.db, [pk])
        pk = store_outbox.add(tx.db, replace(row, **changed))
    else:
        store_outbox.update(tx.db, pk, **changed)
    _queued(tx, replace(row, **changed), pk, sealed)


def _seal_of(sealed: Sealed | None) -> dict[str, Any]:
    """Return the outbox fields that say what a row's content is sealed with."""
    if sealed is None:
        return {}
    return {
        "envelope_id": envelope_id(sealed.envelope),
        "session_id": sealed.session.session_id,
        "chain": sealed.session.ratchet.chain,
        "seal": dump_seal(sealed.message_seal),
    }


def _queued(tx: Transaction, row: OutboxRow, pk: int, sealed: Sealed) -> None:
    tx.sessions.queued(row.device, sealed, pk)
    _leave(tx, row, pk, sealed.envelope)


def _leave(tx: Transaction, row: OutboxRow, pk: int, envelope: bytes) -> None:
    """Send a row once this transaction is on disk, as the bytes that were just made."""
    tx.sealed.append(_outgoing(row, pk, envelope))


def ready(tx: Transaction, rows: Iterable[OutboxRow]) -> list[OutgoingEnvelope]:
    """Return these sealed rows ready to be sent, as the same bytes as before if they were sent before. A content whose
    session is gone, or would now give other bytes, is treated as unsealed and sealed in the current session.
    """
    envelopes, lost = [], []
    for row in rows:
        envelope = _sealed_again(tx, row) if row.envelope is None else row.envelope
        if envelope is not None:
            envelopes.append(_outgoing(row, row.pk, envelope))
        else:
            lost.append(row)
    store_outbox.unseal(tx.db, [row.pk for row in lost])
    for contact_id in dict.fromkeys(row.contact for row in lost):
        tx.later(contact_id, _seal_lost, contact_id)
    return envelopes


def _sealed_again(tx: Transaction, row: OutboxRow) -> bytes | None:
    """Return a content's envelope, byte for byte as it was first sealed; None if its chain is gone or damaged."""
    if row.session_id is None or row.chain is None or row.seal is None or row.content is None:
        return None
    with suppress(CannotOpen):
        chain = tx.sessions.sending_chain(row.device, row.session_id, row.chain)
        if chain is not None:
            envelope = same_envelope(row.session_id, chain, load_seal(row.seal), row.content)
            return envelope if envelope_id(envelope) == row.envelope_id else None
    return None


def _seal_lost(tx: Transaction, contact_id: ContactId) -> None:
    contact = tx.contact(contact_id)
    if contact is not None and contact.state == ContactState.CONTACT:
        seal_waiting(tx, contact)


def send_unquoted(tx: Transaction, contact_id: ContactId, replies: Iterable[MessageId]) -> None:
    """Remove the quotes from our waiting replies, and seal these again: an id that the other side knows is not shown
    twice.
    """
    device = first_device(contact_id)
    rows = [row for id in replies for row in store_outbox.for_message(tx.db, id) if row.device == device]
    for row in rows:
        assert row.content is not None
        content = decode_content(row.content)
        if isinstance(content.payload, Text):
            unquoted = replace(content, payload=replace(content.payload, quote=""))
            store_outbox.update(tx.db, row.pk, content=encode_content(unquoted))
    if rows:
        store_outbox.unseal(tx.db, [row.pk for row in rows])
        tx.dropped[contact_id] = None
        tx.later(contact_id, _seal_lost, contact_id)


def _outgoing(row: OutboxRow, pk: int, envelope: bytes) -> OutgoingEnvelope:
    assert row.envelope_id is not None
    keep_ms = 0 if row.keep_until is None else row.keep_until - row.created_at
    frame = Frame(_frame_type(row.form), envelope)
    return OutgoingEnvelope(row.contact, row.kind, pk, row.envelope_id, frame, row.form, row.keep_until, keep_ms)


def _frame_type(form: OutboxForm) -> int:
    return _FRAMES.get(form, frames.ENVELOPE)


_FRAMES = {OutboxForm.RENEWAL: frames.INITIAL, OutboxForm.REQUEST: frames.REQUEST}


def move(tx: Transaction, old: Contact, new: Contact) -> None:
    """Move to `new` what was written to `old` and not sent, since they are one person. Each content keeps its id and
    its place.
    """
    chat = new.chat
    for row in store_outbox.for_recipient(tx.db, first_device(old.id)):
        ours = [] if row.msg_id is None else store_messages.mine(tx.db, old.chat, [row.msg_id])
        for message in ours:
            payload = _moved(tx, message)
            if payload is None:
                continue
            seq = tx.next_seq(chat)
            store_messages.move(tx.db, message.pk, chat, seq)
            tx.memory.giving[chat] = True
            queue(
                tx,
                new,
                payload,
                message_id=message.id,
                seq=seq,
                expire_s=message.expire_s,
                keep_until=_keep_until(tx, message),
            )
            tx.event("message", **views.message(message._replace(chat=chat, seq=seq), new.name))
    store_outbox.clear(tx.db, first_device(old.id))


def _moved(tx: Transaction, message: MessageRow) -> Payload | None:
    """Return what a message of ours says in another chat; None for one that says something about its chat."""
    if message.kind == Text.KIND.number:
        return Text(message.text)
    file = store_files.get(tx.db, message.pk) if message.kind == File.KIND.number else None
    return None if file is None else file.payload(message.text)


def _keep_until(tx: Transaction, message: MessageRow) -> int | None:
    return None if message.expires_at is None else tx.now + message.expires_at - tx.counted


def finish(tx: Transaction) -> None:
    """At the end of a transaction, queue one receipt for every 64 contents received from a contact."""
    for contact_id, ids in tx.receipts.items():
        contact = tx.contact(contact_id)
        if contact is None or contact.state != ContactState.CONTACT:
            continue
        for start in range(0, len(ids), MAX_RECEIPTS):
            queue(tx, contact, Receipt(DELIVERED, tuple(ids[start : start + MAX_RECEIPTS])))


def tell_owed(tx: Transaction, contact_id: ContactId) -> None:
    """Queue the receipts that were held back to be sent together; what is too much for one transaction follows in the
    next.
    """
    owed = store_envelopes.owed(tx.db, contact_id, MAX_RECEIPTS_PER_TRANSACTION)
    store_envelopes.receipts_queued(tx.db, [id for id, _ in owed], tx.now)
    if owed:
        tx.receipts.setdefault(contact_id, []).extend(msg_id for _, msg_id in owed)
    if len(owed) == MAX_RECEIPTS_PER_TRANSACTION:
        tx.later(contact_id, tell_owed, contact_id)


def own_profile(tx: Transaction, contact: Contact) -> ContactProfile:
    """Return what we tell a contact about ourselves, with the queues from which we collect."""
    name = (meta.get(tx.db, "name") or b"").decode()
    queues.refresh(tx, contact)
    ways = tuple(tx.net.ways(hidden=contact.hidden))
    return ContactProfile(name, settings.read_receipts(tx.db), ways, queues.announced(tx, contact) or None)


def queue_profile(tx: Transaction, contact: Contact) -> None:
    """Tell a contact our name and where we are reached; on acceptance this is the session's first content."""
    queue(tx, contact, own_profile(tx, contact))
