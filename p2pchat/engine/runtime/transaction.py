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
from p2pchat.core.primitives import Entropy
from p2pchat.core.session import DAY, Session, for_sending, open_envelope, seal
from p2pchat.core.session import Received as Opened
from p2pchat.engine.runtime.clock_hints import ClockHints
from p2pchat.engine.runtime.message_ids import MessageIds
from p2pchat.engine.runtime.skip_budget import MAX_PER_TRANSACTION, SkipBudget
from p2pchat.engine.runtime.storage_limits import StorageLimits
from p2pchat.errors import CannotOpen, NoSuchContact
from p2pchat.ports import Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import messages as store_messages
from p2pchat.store import meta
from p2pchat.store import sessions as store_sessions
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import Contact
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


@dataclass
class _ContactSessions:
    """The sessions with one contact, in memory between transactions."""

    sessions: dict[bytes, Session]
    skipped: dict[bytes, Skipped]
    created: dict[bytes, int]
    pending: set[bytes]


class SessionCache:
    """Sessions by contact, loaded when first needed. After a failed transaction all are forgotten and loaded again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[bytes, _ContactSessions] = {}
        self._touched: dict[tuple[bytes, bytes], None] = {}

    def all(self, contact: bytes) -> list[Session]:
        """Every session with the contact that it may use, oldest last."""
        known = self._load(contact)
        return [one for th, one in known.sessions.items() if th not in known.pending]

    def pending(self, contact: bytes) -> Session | None:
        """The session of a request that was not answered yet."""
        known = self._load(contact)
        return next((known.sessions[th] for th in known.pending), None)

    def sending(self, contact: bytes) -> Session | None:
        """The session to send in."""
        return for_sending(self.all(contact))

    def session(self, contact: bytes, th: bytes) -> Session:
        """One session as it is now in this transaction; KeyError if it is not there."""
        return self._load(contact).sessions[th]

    def put(self, contact: bytes, session: Session) -> None:
        """Keep a changed session; written once, at the end of the transaction."""
        self._load(contact).sessions[session.th] = session
        self._touched[contact, session.th] = None

    def begin(self, contact: bytes, session: Session, now: int, *, pending: bool = False) -> None:
        """Keep a new session; `pending` if it must not be used before a person says yes."""
        known = self._load(contact)
        known.sessions = {session.th: session, **known.sessions}
        known.created[session.th] = now
        if pending:
            known.pending.add(session.th)
        self.put(contact, session)

    def admit(self, contact: bytes, session: Session) -> None:
        """A person said yes."""
        self._load(contact).pending.discard(session.th)
        self.put(contact, session)

    def drop(self, contact: bytes, th: bytes) -> None:
        """Forget a session for good."""
        known = self._load(contact)
        for by_th in (known.sessions, known.skipped, known.created):
            by_th.pop(th, None)
        known.pending.discard(th)
        store_sessions.remove(self._db, th)

    def seal(self, contact: bytes, session: Session, content: bytes, entropy: Entropy) -> bytes:
        """An envelope in this session."""
        after, envelope = seal(session, content, entropy.random)
        self.put(contact, after)
        return envelope

    def open(
        self, contact: bytes, envelope: bytes, entropy: Entropy, may_skip: ratchet.MaySkip
    ) -> tuple[Session, Opened] | None:
        """The opened envelope and its session; nothing is kept until `keep`. None if no session opens it."""
        known = self._load(contact)
        for session in self.all(contact):
            skipped = known.skipped[session.th]
            try:
                return session, open_envelope(session, envelope, _finder(skipped), entropy, may_skip)
            except CannotOpen:
                continue
        return None

    def keep(self, contact: bytes, opened: Opened, now: int) -> None:
        """Keep what opening an envelope changed."""
        th, ratchet_after = opened.session.th, opened.session.ratchet
        known = self._load(contact)
        skipped = known.skipped[th]
        if skipped and known.sessions[th].ratchet.chain != ratchet_after.chain:
            # without its chain's header key a skipped key opens nothing here: it would only serve a thief
            oldest = min(chain for chain, _ in (*ratchet_after.old_headers, (ratchet_after.chain, b"")))
            store_sessions.drop_chain(self._db, th, oldest)
            for place in [place for place in skipped if place[0] < oldest]:
                del skipped[place]
        if opened.skipped:
            store_sessions.add_skipped(self._db, th, list(opened.skipped), now)
            skipped.update({(chain, number): key for chain, number, key in opened.skipped})
            self._bound_skipped(known, th)
            if len(skipped) > ratchet.MAX_SKIPPED:
                for place in store_sessions.trim_skipped(self._db, th, ratchet.MAX_SKIPPED):
                    skipped.pop(place, None)
        if opened.used is not None:
            store_sessions.drop_skipped(self._db, th, [opened.used])
            del skipped[opened.used]
        self.put(contact, opened.session)

    def _bound_skipped(self, known: _ContactSessions, th: bytes) -> None:
        """A contact's sessions have as many skipped keys together as one may have; those of other sessions go first."""
        total = sum(len(known.skipped[session]) for session in known.sessions)
        for session in known.sessions:
            if session != th and total > ratchet.MAX_SKIPPED:
                surplus = total - ratchet.MAX_SKIPPED
                keep = max(0, len(known.skipped[session]) - surplus)
                for place in store_sessions.trim_skipped(self._db, session, keep):
                    known.skipped[session].pop(place, None)
                    total -= 1

    def write(self) -> None:
        """Write what the transaction touched."""
        for contact, th in self._touched:
            known = self._known[contact]
            session = known.sessions.get(th)
            if session is not None:
                row = _row(contact, session, known.created[th], pending=th in known.pending)
                store_sessions.save(self._db, row)

    def settle(self) -> None:
        """The transaction is committed."""
        self._touched.clear()

    def forget(self, contact: bytes | None = None) -> None:
        """Load again when next needed: what is of one contact, or everything."""
        if contact is not None:
            self._known.pop(contact, None)
            for key in [key for key in self._touched if key[0] == contact]:
                del self._touched[key]
            return
        self._known.clear()
        self._touched.clear()

    def _load(self, contact: bytes) -> _ContactSessions:
        known = self._known.get(contact)
        if known is None:
            rows = store_sessions.for_contact(self._db, contact)
            known = _ContactSessions(
                {row.th: _session(row) for row in reversed(rows)},
                _AutoSkipped(self._db),
                {row.th: row.created_at for row in rows},
                {row.th for row in rows if row.pending},
            )
            self._known[contact] = known
        return known


class _AutoSkipped(dict[bytes, Skipped]):
    """Skipped keys by session, read when a session is first used."""

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    def __missing__(self, th: bytes) -> Skipped:
        loaded = {(chain, number): key for chain, number, key in store_sessions.skipped(self._db, th)}
        self[th] = loaded
        return loaded


def _finder(skipped: Skipped) -> ratchet.FindSkipped:
    return lambda chain, number: skipped.get((chain, number))


def _row(contact: bytes, session: Session, created_at: int, *, pending: bool) -> SessionRow:
    return SessionRow(
        th=session.th,
        contact=contact,
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
        row.th, row.initiator, row.pair_root, row.sas, ratchet.load(row.state), row.confirmed, row.receive_until
    )


@dataclass(frozen=True, slots=True)
class OutgoingEnvelope:
    """A row of the outbox that is ready to leave: its frame and the id that its ack will name."""

    contact: bytes
    kind: int | None
    pk: int
    envelope_id: bytes
    frame: Frame
    form: OutboxForm = OutboxForm.CONTENT
    keep_until: int | None = None


@dataclass
class Skipping:
    """Whether one envelope of a contact may make us put message keys aside. `later`: not in this transaction any
    more.
    """

    tx: Transaction
    contact: bytes
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


@dataclass
class Memory:
    """What transactions have read of people, kept from one to the next. After a failed transaction it is empty and
    read again.

    `sealing`: see `outbound`. `seconds`: the timers of chats. `waiting`: chats in which something waits for its
    message. `typing`: whom we told when (ms) that somebody writes.
    """

    people: dict[bytes, Contact | None] = field(default_factory=dict)
    named: dict[str, bytes] = field(default_factory=dict)
    numbers: dict[bytes, int] = field(default_factory=dict)
    sealing: dict[bytes, int | None] = field(default_factory=dict)
    seconds: dict[bytes, int] = field(default_factory=dict)
    waiting: dict[bytes, bool] = field(default_factory=dict)
    typing: dict[bytes, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Read again when next needed."""
        for kept in (self.people, self.named, self.numbers, self.sealing, self.seconds, self.waiting):
            kept.clear()


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, in which session, since when; `sas` is what the words of the handshake are made of."""

    contact: Contact
    th: bytes
    sas: bytes
    since: int


@dataclass
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
    route: Callable[[bytes], Route | None]
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
    following: list[tuple[bytes, Callable[..., object], tuple[object, ...]]] = field(default_factory=list)
    outputs: list[Callable[[], object]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sealed: list[OutgoingEnvelope] = field(default_factory=list)
    hop_acks: dict[bytes, list[bytes]] = field(default_factory=dict)
    receipts: dict[bytes, list[bytes]] = field(default_factory=dict)
    owing: dict[bytes, None] = field(default_factory=dict)
    told: set[bytes] = field(default_factory=set)
    read: dict[bytes, list[bytes]] = field(default_factory=dict)
    unread: dict[bytes, None] = field(default_factory=dict)
    people_changed: bool = False
    pairs_of: set[bytes] = field(default_factory=set)
    offers_changed: bool = False
    mail_changed: bool = False
    mail_of: dict[bytes, None] = field(default_factory=dict)
    taken: dict[tuple[bytes, bytes], dict[int, bool]] = field(default_factory=dict)
    withheld: dict[bytes, None] = field(default_factory=dict)
    ends_at: int | None = None
    dropped: dict[bytes, None] = field(default_factory=dict)
    erased: bool = False

    def after(self, output: Callable[..., object], *args: object) -> None:
        """Run `output(*args)` once this transaction is on disk."""
        self.outputs.append(lambda: output(*args))

    def later(self, contact: bytes, function: Callable[..., object], *args: object) -> None:
        """Run `function(transaction, *args)` in a transaction after this one, if this one is saved; for the sake of
        this contact, or mailbox.
        """
        self.following.append((contact, function, args))

    def event(self, name: str, /, **fields: object) -> None:
        """Tell the faces, once this transaction is on disk."""
        self.events.append({"event": name, **fields})

    def contact(self, contact_id: bytes) -> Contact | None:
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

    def next_seq(self, chat: bytes) -> int:
        """The number of our next message in a chat, as `store.messages.next_seq`, in this copy's epoch at least."""
        number = self.memory.numbers.get(chat)
        if number is None:
            first = meta.get_int(self.db, EPOCH_KEY) * EPOCH + 1
            number = max(store_messages.next_seq(self.db, chat), first)
        self.memory.numbers[chat] = number + 1
        return number

    def timer(self, chat: bytes) -> int:
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

    def change(self, contact_id: bytes, **fields: Value) -> Contact:
        """Change fields of a contact; who waits for that looks again after the transaction."""
        store_contacts.update(self.db, contact_id, **fields)
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        self.people_changed = True
        changed = self.contact(contact_id)
        if changed is None:
            raise NoSuchContact
        return changed

    def forget_contact(self, contact_id: bytes) -> None:
        """A contact was removed or added: do not use what was read before."""
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        for kept in (self.memory.numbers, self.memory.seconds, self.memory.waiting):
            kept.pop(contact_id, None)
        self.people_changed = True

    def recent(self, at: int, within: int) -> bool:
        """Whether `at` was less than `within` ms ago. A time to come is not: a clock that was wrong wrote it."""
        return at <= self.now < at + within

    def random(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return self.entropy.random(size)

    def new_message_id(self) -> bytes:
        """An id greater than all before it."""
        return self.message_ids.new(self.now)

    def new_id_above(self, other: bytes | None) -> bytes:
        """An id that is greater than that of another sender too, whose clock may be ahead by a day at most: what a
        person decides after they saw that one is newer.
        """
        after = -1 if other is None else int.from_bytes(other[:_TIME_BYTES], "big")
        return self.message_ids.new(max(self.now, min(after, self.now + DAY) + 1))

    def __post_init__(self) -> None:
        self.passed = self.now if self.passed < 0 else self.passed
        self.latest = self.now if self.latest < 0 else self.latest
        self.counted = self.now if self.counted < 0 else self.counted
