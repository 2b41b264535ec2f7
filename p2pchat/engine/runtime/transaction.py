"""One transaction of the engine: a batch of inputs, one commit, and then everything that may only happen after it.

Functions of the engine get a `Transaction`. They read and write the store through `db` and sessions through `sessions`.
Everything that leaves the engine (frames, events, requests to the network) they put into `after`, which runs once the
transaction is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from p2pchat.core.content import EPOCH
from p2pchat.core.delivery import Route
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.state import Member
from p2pchat.core.identity import Device
from p2pchat.core.ids import (
    ChatId,
    ContactId,
    EnvelopeId,
    GroupId,
    MemberId,
    MessageId,
    direct_chat,
)
from p2pchat.core.primitives import Entropy
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.clock_hints import ClockHints
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.group_limits import GroupLimits
from p2pchat.engine.runtime.message_ids import MessageIds
from p2pchat.engine.runtime.session_cache import SessionCache
from p2pchat.engine.runtime.skip_budget import MAX_PER_TRANSACTION, SkipBudget
from p2pchat.engine.runtime.storage_limits import StorageLimits
from p2pchat.errors import NoSuchContact
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.ports import Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import meta, partners, search_backlog
from p2pchat.store import timers as store_timers
from p2pchat.store.contacts import GROUPS, Contact, ContactState
from p2pchat.store.database import Database, Value
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members

MAX_SEALED_BYTES = 1 << 20
"""Bytes of waiting envelopes that one transaction seals, for all contacts together; the rest is left to later ones."""
EPOCH_KEY = "epoch"
"""The key in `store.meta` of the epoch of this copy of the profile; see `copies`."""
_TIME_BYTES = 6  # of a message id
MAX_MAILED = 16_384
"""Envelopes received by mail that are remembered, so that their copies are recognised."""
MAX_NAMES = 1000
"""Names of contacts whose meaning is remembered."""
NOTED = (
    "typing",
    "keys_due",
    "logs_due",
    "lost_asked",
    "lost_answered",
    "lost_members",
    "join_refused",
    "offers",
    "log_effort",
    "gaps",
    "receipts_due",
    "gap_bytes",
    "disputes",
    "keys_defended",
    "copy_told",
    "late",
)
"""What `Memory` has of what was done and is to be done, of values that do not change. They are few."""


@dataclass(eq=False, repr=False)
class Skipping:
    """Decides whether an envelope of a contact may make us skip message keys. later: the limit of this transaction is
    reached, but another may.
    """

    tx: Transaction
    contact: ContactId
    later: bool = False

    def __call__(self, count: int) -> bool:
        tx = self.tx
        if count > tx.skip_budget.left(self.contact, tx.now):
            return False
        if count > tx.skippable:
            self.later = True
            return False
        tx.skippable -= count
        tx.skip_budget.spend(self.contact, count, tx.now)
        return True


@dataclass(eq=False, repr=False)
class Memory:
    """What transactions have read and keep for the next ones. A failed transaction clears it; what is not read from the
    store (`NOTED`) it leaves as it was before it.

    sealing: see `outbound`. seconds: the timers of chats. waiting: chats with remarks that wait for their message.
    typing: when (ms) each contact was last told that the user is typing. unindexed: messages saved since the search
    index caught up. mailed: the senders of envelopes received by mail within the hour `mailed_hour`, because each
    envelope is at two relays. refused: why the invites of contacts were given up, a number of `core.frames`, until the
    caller who added them asks. version_bytes: about what the earlier texts of a contact's messages take up. logs: the
    membership logs of groups; settled, muted: the members whose rows are the newest, and until when (ms) some are
    muted. keys_due, logs_due: since when (ms) new keys, or other logs, are due in a group that we manage. grouped:
    whether there are groups. lost_asked: when (ms) we last asked for the keys of a group that we cannot read, and
    lost_answered: when members had us make new ones; lost_members: when (ms) those asked who are yet to be sent some.
    join_refused: when (ms) the user was last told that a contact does not let us join a group. offers: in how many
    groups of a contact we would become a member on one day; log_effort: how much work reading the logs of welcomes of a
    contact was then. gaps: groups in which messages may be missing; gap_bytes: the hour in which a member was last sent
    such, and how many bytes; receipts_due: groups in which members are to be told what we read; disputes: by the pk of
    an epoch and a member, those of whom this one has other messages than we, as the user was told;
    keys_defended: when (ms) our keys of a group took the place of others of ours, and copy_told: when the user was told
    that another copy of the profile makes those; late: groups in which contents of ours may be sealed under an epoch
    whose logs nobody reads any more; group_limits: what members may have us do for nothing.
    """

    people: dict[ContactId, Contact | None] = field(default_factory=dict)
    named: dict[str, ContactId] = field(default_factory=dict)
    numbers: dict[ChatId, int] = field(default_factory=dict)
    sealing: dict[ContactId, int | None] = field(default_factory=dict)
    seconds: dict[ChatId, int] = field(default_factory=dict)
    unindexed: int = 0
    waiting: dict[ChatId, bool] = field(default_factory=dict)
    typing: dict[ContactId, int] = field(default_factory=dict)
    mailed: dict[EnvelopeId, ContactId] = field(default_factory=dict)
    mailed_hour: int = 0
    refused: dict[ContactId, int] = field(default_factory=dict)
    version_bytes: dict[tuple[ChatId, ContactId], int] = field(default_factory=dict)
    giving: dict[ChatId, bool] = field(default_factory=dict)
    logs: dict[ChatId, MembershipLog] = field(default_factory=dict)
    settled: dict[ChatId, Mapping[MemberId, Member]] = field(default_factory=dict)
    muted: dict[ChatId, Mapping[MemberId, int]] = field(default_factory=dict)
    keys_due: dict[ChatId, int] = field(default_factory=dict)
    logs_due: dict[ChatId, int] = field(default_factory=dict)
    grouped: bool | None = None
    lost_asked: dict[ChatId, int] = field(default_factory=dict)
    lost_answered: dict[ChatId, int] = field(default_factory=dict)
    lost_members: dict[tuple[ChatId, MemberId], int] = field(default_factory=dict)
    join_refused: dict[tuple[ContactId, GroupId], int] = field(default_factory=dict)
    offers: dict[ContactId, tuple[int, int]] = field(default_factory=dict)
    log_effort: dict[ContactId, tuple[int, int]] = field(default_factory=dict)
    gaps: dict[ChatId, None] = field(default_factory=dict)
    receipts_due: dict[ChatId, None] = field(default_factory=dict)
    gap_bytes: dict[tuple[ChatId, MemberId], tuple[int, int]] = field(default_factory=dict)
    disputes: dict[tuple[int, MemberId], frozenset[MemberId]] = field(default_factory=dict)
    keys_defended: dict[ChatId, int] = field(default_factory=dict)
    copy_told: dict[ChatId, int] = field(default_factory=dict)
    late: dict[ChatId, None] = field(default_factory=dict)
    group_limits: GroupLimits = field(default_factory=GroupLimits)
    _before: dict[str, dict[Any, Any]] = field(default_factory=dict)

    def begin(self) -> None:
        """Remember what a transaction that fails has to leave as it is now."""
        self._before = {name: getattr(self, name).copy() for name in NOTED}

    def forget(self) -> None:
        """After a failed transaction, clear what is read again when next needed, and take back what was noted."""
        for kept in (self.people, self.named, self.numbers, self.sealing, self.seconds, self.waiting, self.giving):
            kept.clear()
        for read in (self.mailed, self.refused, self.version_bytes, self.logs, self.settled, self.muted):
            read.clear()
        self.grouped = None
        for name, before in self._before.items():
            noted = getattr(self, name)
            noted.clear()
            noted.update(before)

    def note_mailed(self, name: EnvelopeId, contact: ContactId, now: int) -> None:
        """Note that an envelope of a contact was received by mail at `now` (ms) and is saved."""
        if now // HOUR_MS != self.mailed_hour:
            self.mailed.clear()
            self.mailed_hour = now // HOUR_MS
        if len(self.mailed) >= MAX_MAILED:
            del self.mailed[next(iter(self.mailed))]
        self.mailed[name] = contact

    def was_mailed(self, name: EnvelopeId, contact: ContactId, now: int) -> bool:
        """Return whether the envelope was received by mail within this hour, so that it is already answered, or soon
        will be.
        """
        return now // HOUR_MS == self.mailed_hour and self.mailed.get(name) == contact


@dataclass(eq=False, repr=False, kw_only=True)
class Transaction(Effects):
    """The context of the engine's functions, and their effects.

    A function raises only before its first write: then only it has failed, and the rest of the batch continues.
    """

    db: Database
    me: Device
    entropy: Entropy
    net: Net
    message_ids: MessageIds
    sessions: SessionCache
    memory: Memory
    skip_budget: SkipBudget
    clock_hints: ClockHints
    storage_limits: StorageLimits
    route: Callable[[ContactId], Route | None]
    """Returns the route by which a message to a contact would travel now, or None."""
    listened: bool
    """Whether a face has subscribed to events."""
    now: int
    """The time of the wall clock in ms, the same for the whole transaction."""
    passed: int
    """The time in ms by which deadlines end, never `now`. For this and the following see `clock_watch`."""
    latest: int
    """The greatest time in ms that the wall clock has ever shown, `now` included."""
    agreed: bool
    """Whether the wall clock is trusted."""
    counted: int
    """The time in ms by which timed messages end."""
    sealable: int = field(default_factory=lambda: MAX_SEALED_BYTES)
    """Bytes of waiting envelopes that this transaction may still seal."""
    skippable: int = field(default_factory=lambda: MAX_PER_TRANSACTION)
    """Message keys that this transaction may still skip."""
    member_names: dict[tuple[ChatId, MemberId], str] = field(default_factory=dict)
    """By which names members of groups are shown, of those whose messages came in this transaction."""

    def contact(self, contact_id: ContactId) -> Contact | None:
        """Return a contact as it is now, or None."""
        if contact_id not in self.memory.people:
            self.memory.people[contact_id] = store_contacts.get(self.db, contact_id)
        return self.memory.people[contact_id]

    def find(self, named: str) -> Contact:
        """Return the contact that a user names, as `store.contacts.find`."""
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
        """Return the partner of the chat that a user names, as `store.partners.find`."""
        if named not in self.memory.named:
            partner = partners.find(self.db, named)
            if partner.state in (ContactState.FORGOTTEN, ContactState.SELF, ContactState.CHANNEL, *GROUPS):
                return partner
        return self.find(named)

    def show_contact(self, contact: Contact, route: Route | None, **more: object) -> None:
        """Tell the faces how a contact is now, and reached by `route`; not if they are only known for a group."""
        if not contact.for_group:
            self.event("contact", **views.contact(contact, route), **more)

    def next_seq(self, chat: ChatId) -> int:
        """Return the number of our next message in a chat, as `store.messages.next_seq`, in this copy's epoch."""
        number = self.memory.numbers.get(chat)
        if number is None:
            first = meta.get_int(self.db, EPOCH_KEY) * EPOCH + 1
            number = max(store_messages.next_seq(self.db, chat), first)
        self.memory.numbers[chat] = number + 1
        return number

    def timer(self, chat: ChatId) -> int:
        """Return the timer of a chat in seconds; 0 if messages do not disappear."""
        seconds = self.memory.seconds.get(chat)
        if seconds is None:
            timer = store_timers.get(self.db, chat)
            seconds = self.memory.seconds[chat] = 0 if timer is None else timer.seconds
        return seconds

    def has_groups(self) -> bool:
        """Return whether this profile has groups."""
        if self.memory.grouped is None:
            self.memory.grouped = bool(store_groups.chats(self.db))
        return self.memory.grouped

    def gives_files(self, chat: ChatId) -> bool:
        """Return whether we may have sent a file to a chat that is not whole there."""
        known = self.memory.giving.get(chat)
        if known is None:
            known = self.memory.giving[chat] = store_files.gives(self.db, chat)
        return known

    def change(self, contact_id: ContactId, **fields: Value) -> Contact:
        """Change fields of a contact; tasks that wait for a change check again after the commit. Raises
        NoSuchContact.
        """
        store_contacts.update(self.db, contact_id, **fields)
        if "name" in fields:
            store_members.renamed(self.db, contact_id)
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        self.people_changed = True
        changed = self.contact(contact_id)
        if changed is None:
            raise NoSuchContact
        return changed

    def forget_contact(self, contact_id: ContactId) -> None:
        """Drop what is remembered of a contact who was removed or added."""
        self.memory.people.pop(contact_id, None)
        self.memory.named.clear()
        kept: dict[ChatId, Any]
        for kept in (self.memory.numbers, self.memory.seconds, self.memory.waiting, self.memory.giving):
            kept.pop(direct_chat(contact_id), None)
        self.people_changed = True

    def recent(self, at: int, within: int) -> bool:
        """Return whether `at` was less than `within` ms ago. False for a time in the future, which a wrong clock has
        written.
        """
        return at <= self.now < at + within

    def message_saved(self) -> None:
        """Count a saved message; now and then, have the search index catch up in a transaction of its own, so that its
        failure does not affect the message.
        """
        self.memory.unindexed += 1
        if self.memory.unindexed >= search_backlog.EVERY:
            self.memory.unindexed = 0
            self.later(None, index_messages)

    def random(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return self.entropy.random(size)

    def new_message_id(self) -> MessageId:
        """Return an id that is greater than all earlier ones."""
        return self.message_ids.new(self.now)

    def new_id_above(self, other: MessageId | None) -> MessageId:
        """Return an id that is also greater than another sender's `other`, whose clock may be up to a day ahead: a
        decision that was made after seeing that message is newer than it.
        """
        after = -1 if other is None else int.from_bytes(other[:_TIME_BYTES], "big")
        return self.message_ids.new(max(self.now, min(after, self.now + DAY_MS) + 1))


def index_messages(tx: Transaction) -> None:
    """Let the search index catch up; what is too much for one transaction is continued in the next."""
    if not search_backlog.catch_up(tx.db):
        tx.later(None, index_messages)
