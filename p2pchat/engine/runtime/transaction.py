"""One transaction of the engine: a batch of inputs, one commit, then everything that may only happen after it.

Functions of the engine get a `Transaction`. They read and write the store through `db`, sessions through `sessions`,
and put whatever leaves the engine (frames, events, wishes to the network) into `after`, to be run once the transaction
is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2pchat.core import ratchet
from p2pchat.core.content import EPOCH
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.identity import Device
from p2pchat.core.ids import (
    ChatId,
    ContactId,
    EnvelopeId,
    InputSource,
    MailOwner,
    MessageId,
    QueueId,
    RelayName,
    SessionId,
    direct_chat,
    first_device,
)
from p2pchat.core.primitives import Entropy
from p2pchat.core.session import Received, Session, for_sending, open_envelope, seal
from p2pchat.engine.runtime.clock_hints import ClockHints
from p2pchat.engine.runtime.message_ids import MessageIds
from p2pchat.engine.runtime.skip_budget import MAX_PER_TRANSACTION, SkipBudget
from p2pchat.engine.runtime.storage_limits import StorageLimits
from p2pchat.errors import CannotOpen, NoSuchContact
from p2pchat.lib.times import DAY_MS
from p2pchat.ports import Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import messages as store_messages
from p2pchat.store import meta, partners, search_backlog
from p2pchat.store import sessions as store_sessions
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database, Value
from p2pchat.store.outbox import OutboxForm
from p2pchat.store.sessions import SessionRow

Skipped = dict[tuple[int, int], bytes]
MAX_SEALED_BYTES = 1 << 20
"""Bytes of envelopes that one transaction makes of what waited, for all contacts together; the rest goes into later
transactions.
"""
EPOCH_KEY = "epoch"
"""Where `store.meta` has the epoch of this copy of the profile; see `copies`."""
_TIME_BYTES = 6  # of a message id
MAX_NAMES = 1000
"""Ways of naming contacts that are remembered."""


@dataclass(eq=False, repr=False)
class _ContactSessions:
    """The sessions with one contact, in memory between transactions."""

    sessions: dict[SessionId, Session]
    skipped: dict[SessionId, Skipped]
    created: dict[SessionId, int]
    pending: set[SessionId]


class SessionCache:
    """Sessions by contact, loaded when first needed. After a failed transaction all are forgotten and loaded again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[ContactId, _ContactSessions] = {}
        self._touched: dict[tuple[ContactId, SessionId], None] = {}

    def all(self, contact: ContactId) -> list[Session]:
        """Every session with the contact that it may use, oldest last."""
        known = self._load(contact)
        return [one for session_id, one in known.sessions.items() if session_id not in known.pending]

    def pending(self, contact: ContactId) -> Session | None:
        """The session of a request that was not answered yet."""
        known = self._load(contact)
        return next((known.sessions[session_id] for session_id in known.pending), None)

    def sending(self, contact: ContactId) -> Session | None:
        """The session to send in."""
        return for_sending(self.all(contact))

    def session(self, contact: ContactId, session_id: SessionId) -> Session:
        """One session as it is now in this transaction; KeyError if it is not there."""
        return self._load(contact).sessions[session_id]

    def put(self, contact: ContactId, session: Session) -> None:
        """Keep a changed session; written once, at the end of the transaction."""
        self._load(contact).sessions[session.session_id] = session
        self._touched[contact, session.session_id] = None

    def begin(self, contact: ContactId, session: Session, now: int, *, pending: bool = False) -> None:
        """Keep a new session; `pending` if it must not be used before a person says yes."""
        known = self._load(contact)
        known.sessions = {session.session_id: session, **known.sessions}
        known.created[session.session_id] = now
        if pending:
            known.pending.add(session.session_id)
        self.put(contact, session)

    def admit(self, contact: ContactId, session: Session) -> None:
        """A person said yes."""
        self._load(contact).pending.discard(session.session_id)
        self.put(contact, session)

    def drop(self, contact: ContactId, session_id: SessionId) -> None:
        """Forget a session for good."""
        known = self._load(contact)
        for by_session in (known.sessions, known.skipped, known.created):
            by_session.pop(session_id, None)
        known.pending.discard(session_id)
        store_sessions.remove(self._db, session_id)

    def seal(self, contact: ContactId, session: Session, content: bytes, entropy: Entropy) -> bytes:
        """An envelope in this session."""
        after, envelope = seal(session, content, entropy.random)
        self.put(contact, after)
        return envelope

    def open(
        self, contact: ContactId, envelope: bytes, entropy: Entropy, may_skip: ratchet.MaySkip
    ) -> tuple[Session, Received] | None:
        """The opened envelope and its session; nothing is kept until `keep`. None if no session opens it."""
        known = self._load(contact)
        for session in self.all(contact):
            skipped = known.skipped[session.session_id]
            try:
                return session, open_envelope(session, envelope, _finder(skipped), entropy, may_skip)
            except CannotOpen:
                continue
        return None

    def keep(self, contact: ContactId, opened: Received, now: int) -> None:
        """Keep what opening an envelope changed."""
        session_id, ratchet_after = opened.session.session_id, opened.session.ratchet
        known = self._load(contact)
        skipped = known.skipped[session_id]
        if skipped and known.sessions[session_id].ratchet.chain != ratchet_after.chain:
            # without its chain's header key a skipped key opens nothing here: it would only serve a thief
            oldest = min(chain for chain, _ in (*ratchet_after.old_headers, (ratchet_after.chain, b"")))
            store_sessions.drop_chain(self._db, session_id, oldest)
            for place in [place for place in skipped if place[0] < oldest]:
                del skipped[place]
        if opened.skipped:
            store_sessions.add_skipped(self._db, session_id, list(opened.skipped), now)
            skipped.update({(chain, number): key for chain, number, key in opened.skipped})
            self._bound_skipped(known, session_id)
            if len(skipped) > ratchet.MAX_SKIPPED:
                for place in store_sessions.trim_skipped(self._db, session_id, ratchet.MAX_SKIPPED):
                    skipped.pop(place, None)
        if opened.used is not None:
            store_sessions.drop_skipped(self._db, session_id, [opened.used])
            del skipped[opened.used]
        self.put(contact, opened.session)

    def _bound_skipped(self, known: _ContactSessions, session_id: SessionId) -> None:
        """A contact's sessions have as many skipped keys together as one may have; those of other sessions go first."""
        total = sum(len(known.skipped[session]) for session in known.sessions)
        for session in known.sessions:
            if session != session_id and total > ratchet.MAX_SKIPPED:
                surplus = total - ratchet.MAX_SKIPPED
                keep = max(0, len(known.skipped[session]) - surplus)
                for place in store_sessions.trim_skipped(self._db, session, keep):
                    known.skipped[session].pop(place, None)
                    total -= 1

    def write(self) -> None:
        """Write what the transaction touched."""
        for contact, session_id in self._touched:
            known = self._known[contact]
            session = known.sessions.get(session_id)
            if session is not None:
                row = _row(contact, session, known.created[session_id], pending=session_id in known.pending)
                store_sessions.save(self._db, row)

    def settle(self) -> None:
        """The transaction is committed."""
        self._touched.clear()

    def forget(self, contact: ContactId | None = None) -> None:
        """Load again when next needed: what is of one contact, or everything."""
        if contact is not None:
            self._known.pop(contact, None)
            for key in [key for key in self._touched if key[0] == contact]:
                del self._touched[key]
            return
        self._known.clear()
        self._touched.clear()

    def _load(self, contact: ContactId) -> _ContactSessions:
        known = self._known.get(contact)
        if known is None:
            rows = store_sessions.for_device(self._db, first_device(contact))
            known = _ContactSessions(
                {row.session_id: _session(row) for row in reversed(rows)},
                _AutoSkipped(self._db),
                {row.session_id: row.created_at for row in rows},
                {row.session_id for row in rows if row.pending},
            )
            self._known[contact] = known
        return known


class _AutoSkipped(dict[SessionId, Skipped]):
    """Skipped keys by session, read when a session is first used."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    def __missing__(self, session_id: SessionId) -> Skipped:
        loaded = {(chain, number): key for chain, number, key in store_sessions.skipped(self._db, session_id)}
        self[session_id] = loaded
        return loaded


def _finder(skipped: Skipped) -> ratchet.FindSkipped:
    return lambda chain, number: skipped.get((chain, number))


def _row(contact: ContactId, session: Session, created_at: int, *, pending: bool) -> SessionRow:
    return SessionRow(
        session_id=session.session_id,
        device=first_device(contact),
        initiator=session.initiator,
        pair_root=session.pair_root,
        sas=session.sas,
        state=ratchet.dump(session.ratchet),
        created_at=created_at,
        confirmed=session.confirmed,
        receive_until=session.ends_at,
        pending=pending,
    )


def _session(row: SessionRow) -> Session:
    return Session(
        row.session_id, row.initiator, row.pair_root, row.sas, ratchet.load(row.state), row.confirmed, row.receive_until
    )


@dataclass(frozen=True, slots=True)
class OutgoingEnvelope:
    """A row of the outbox that is ready to leave: its frame and the id that its ack will name. `keep_until`: until when
    (ms) a relay may keep it, None for as long as it likes; `keep_ms`: for how long that was when it was made.
    """

    contact: ContactId
    kind: int | None
    pk: int
    envelope_id: EnvelopeId
    frame: Frame
    form: OutboxForm = OutboxForm.CONTENT
    keep_until: int | None = None
    keep_ms: int = 0


@dataclass(eq=False, repr=False)
class Skipping:
    """Whether one envelope of a contact may make us put message keys aside. `later`: not in this transaction any
    more.
    """

    tx: Transaction
    contact: ContactId
    later: bool = False

    def __call__(self, count: int) -> bool:
        tx = self.tx
        if count > tx.allowance.left(self.contact, tx.now):
            return False
        if count > tx.skippable:
            self.later = True
            return False
        tx.skippable -= count
        tx.allowance.spend(self.contact, count, tx.now)
        return True


@dataclass(eq=False, repr=False)
class Memory:
    """What transactions have read of people, kept from one to the next. After a failed transaction it is empty and
    read again.

    `sealing`: see `outbound`. `seconds`: the timers of chats. `waiting`: chats in which something waits for its
    message. `typing`: whom we told when (ms) that somebody writes. `unindexed`: messages saved since
    the search index caught up.
    """

    people: dict[ContactId, Contact | None] = field(default_factory=dict)
    named: dict[str, ContactId] = field(default_factory=dict)
    numbers: dict[ChatId, int] = field(default_factory=dict)
    sealing: dict[ContactId, int | None] = field(default_factory=dict)
    seconds: dict[ChatId, int] = field(default_factory=dict)
    unindexed: int = 0
    waiting: dict[ChatId, bool] = field(default_factory=dict)
    typing: dict[ContactId, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Read again when next needed."""
        for kept in (self.people, self.named, self.numbers, self.sealing, self.seconds, self.waiting):
            kept.clear()


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, in which session, since when; `sas` is what the words of the handshake are made of."""

    contact: Contact
    session_id: SessionId
    sas: bytes
    since: int


@dataclass(eq=False, repr=False)
class Transaction:
    """What a function of the engine works with. `now` is the same for the whole transaction. `listened`: a face wants
    events.

    `receipts` and `read` are ids of contents that contacts are told of at the transaction's end: received, read.
    `owing` are contacts who are told later, since it goes by a relay, `told` those whose time has come. `unread` are
    chats of which something else is unread now. `taken`: of what came from a (mailbox, queue), by place, whether it is
    on disk with this transaction, or was put off. `withheld`: contacts whose mail has to wait for room. `pairs_of`:
    contacts whose sessions, state or hiding changed; `mail_of`: contacts and invites whose queues changed;
    `mail_changed`: those of all did. `route`: how a message to a contact would travel. `passed`, `latest`, `agreed`:
    see `clock_watch`; what ends at a deadline ends by `passed`, never by `now`. Messages that end do so by `counted`;
    `ends_at`: something ends then that did not before. `dropped`: contacts to whom something is not sent any more that
    was under way; `erased`: words were deleted that are to leave the database's log too.

    A function raises only before its first write: then it has failed alone, and the rest of the batch goes on.
    """

    db: Database
    me: Device
    now: int
    entropy: Entropy
    message_ids: MessageIds
    net: Net
    sessions: SessionCache
    route: Callable[[ContactId], Route | None]
    allowance: SkipBudget = field(default_factory=SkipBudget)
    memory: Memory = field(default_factory=Memory)
    listened: bool = True
    passed: int = -1
    latest: int = -1
    agreed: bool = True
    clock_hints: ClockHints = field(default_factory=ClockHints)
    storage_limits: StorageLimits = field(default_factory=StorageLimits)
    counted: int = -1
    sealable: int = field(default_factory=lambda: MAX_SEALED_BYTES)
    skippable: int = field(default_factory=lambda: MAX_PER_TRANSACTION)
    following: list[tuple[InputSource | None, Callable[..., object], tuple[object, ...]]] = field(default_factory=list)
    outputs: list[Callable[[], object]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sealed: list[OutgoingEnvelope] = field(default_factory=list)
    hop_acks: dict[ContactId, list[EnvelopeId]] = field(default_factory=dict)
    receipts: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    owing: dict[ContactId, None] = field(default_factory=dict)
    told: set[ContactId] = field(default_factory=set)
    read: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    unread: dict[ChatId, None] = field(default_factory=dict)
    people_changed: bool = False
    pairs_of: set[ContactId] = field(default_factory=set)
    offers_changed: bool = False
    mail_changed: bool = False
    mail_of: dict[MailOwner, None] = field(default_factory=dict)
    taken: dict[tuple[RelayName, QueueId], dict[int, bool]] = field(default_factory=dict)
    withheld: dict[ContactId, None] = field(default_factory=dict)
    ends_at: int | None = None
    dropped: dict[ContactId, None] = field(default_factory=dict)
    erased: bool = False

    def after(self, output: Callable[..., object], *args: object) -> None:
        """Run `output(*args)` once this transaction is on disk."""
        self.outputs.append(lambda: output(*args))

    def later(self, source: InputSource | None, function: Callable[..., object], *args: object) -> None:
        """Run `function(transaction, *args)` in a transaction after this one, if this one is saved; for the sake of
        what came from this source, if it came from any.
        """
        self.following.append((source, function, args))

    def event(self, name: str, /, **fields: object) -> None:
        """Tell the faces, once this transaction is on disk."""
        self.events.append({"event": name, **fields})

    def contact(self, contact_id: ContactId) -> Contact | None:
        """A contact as it is now."""
        if contact_id not in self.memory.people:
            self.memory.people[contact_id] = store_contacts.get(self.db, contact_id)
        return self.memory.people[contact_id]

    def find(self, named: str) -> Contact:
        """Whom a user means, as `store.contacts.find`."""
        names = self.memory.named
        known = self.contact(names[named]) if named in names else None
        if known is None:
            known = store_contacts.find(self.db, named)
            self.memory.people[known.id] = known
            if len(names) >= MAX_NAMES:
                names.clear()
            names[named] = known.id
        return known

    def partner(self, named: str) -> Contact:
        """In whose chat a user wants to do something, as `store.partners.find`."""
        if named not in self.memory.named:
            partner = partners.find(self.db, named)
            if partner.state in (ContactState.FORGOTTEN, ContactState.SELF):
                return partner
        return self.find(named)

    def next_seq(self, chat: ChatId) -> int:
        """The number of our next message in a chat, as `store.messages.next_seq`, in this copy's epoch at least."""
        number = self.memory.numbers.get(chat)
        if number is None:
            first = meta.get_int(self.db, EPOCH_KEY) * EPOCH + 1
            number = max(store_messages.next_seq(self.db, chat), first)
        self.memory.numbers[chat] = number + 1
        return number

    def timer(self, chat: ChatId) -> int:
        """For how many seconds what is said in a chat now stays; 0 for ever."""
        seconds = self.memory.seconds.get(chat)
        if seconds is None:
            timer = store_timers.get(self.db, chat)
            seconds = self.memory.seconds[chat] = 0 if timer is None else timer.seconds
        return seconds

    def ends(self, at: int | None) -> None:
        """Something ends at that time by `counted`, if it does: look again then."""
        if at is not None:
            self.ends_at = at if self.ends_at is None else min(self.ends_at, at)

    def change(self, contact_id: ContactId, **fields: Value) -> Contact:
        """Change fields of a contact; who waits for that looks again after the transaction."""
        store_contacts.update(self.db, contact_id, **fields)
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        self.people_changed = True
        changed = self.contact(contact_id)
        if changed is None:
            raise NoSuchContact
        return changed

    def forget_contact(self, contact_id: ContactId) -> None:
        """A contact was removed or added: do not use what was read before."""
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        kept: dict[ChatId, Any]
        for kept in (self.memory.numbers, self.memory.seconds, self.memory.waiting):
            kept.pop(direct_chat(contact_id), None)
        self.people_changed = True

    def recent(self, at: int, within: int) -> bool:
        """Whether `at` was less than `within` ms ago. A time to come is not: a clock that was wrong wrote it."""
        return at <= self.now < at + within

    def message_saved(self) -> None:
        """A message was saved: let the search index catch up now and then, in a transaction of its own. If that fails,
        it is not the message's fault.
        """
        self.memory.unindexed += 1
        if self.memory.unindexed >= search_backlog.EVERY:
            self.memory.unindexed = 0
            self.later(None, index_messages)

    def random(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return self.entropy.random(size)

    def new_message_id(self) -> MessageId:
        """An id greater than all before it."""
        return self.message_ids.new(self.now)

    def new_id_above(self, other: MessageId | None) -> MessageId:
        """An id that is greater than that of another sender too, whose clock may be ahead by a day at most: what a
        person decides after they saw that one is newer.
        """
        after = -1 if other is None else int.from_bytes(other[:_TIME_BYTES], "big")
        return self.message_ids.new(max(self.now, min(after, self.now + DAY_MS) + 1))

    def __post_init__(self) -> None:
        self.passed = self.now if self.passed < 0 else self.passed
        self.latest = self.now if self.latest < 0 else self.latest
        self.counted = self.now if self.counted < 0 else self.counted


def index_messages(tx: Transaction) -> None:
    """Let the search index catch up; what is too much for one transaction goes on in the next."""
    if not search_backlog.catch_up(tx.db):
        tx.later(None, index_messages)
