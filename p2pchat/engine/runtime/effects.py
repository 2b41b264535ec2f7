"""The effects of a transaction: what happens once it is on disk and not before. This is the other half of the journal
rule.

The engine's functions note effects on their `Transaction`, which is an `Effects`. The code that releases them gets no
more than an `Effects`, so it can neither read the store nor write to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2pchat.core.contents import Payload
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import (
    ChatId,
    ContactId,
    EnvelopeId,
    InputSource,
    ItemId,
    MailOwner,
    MessageId,
    QueueId,
    RelayName,
    SessionId,
)
from p2pchat.store.contacts import Contact
from p2pchat.store.outbox import OutboxForm


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


@dataclass(frozen=True, slots=True, repr=False)
class GroupContent:
    """A content of ours that is to be sent to a group. message: its id."""

    chat: ChatId
    message: MessageId
    content: bytes


@dataclass(frozen=True, slots=True, repr=False)
class GroupArrival:
    """What a contact sent about a group, and how it came."""

    contact: ContactId
    payload: Payload
    route: Route


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """A contact request: who sent it, in which session, and when; the words of the handshake are made from `sas`."""

    contact: Contact
    session_id: SessionId
    sas: bytes
    since: int


@dataclass(eq=False, repr=False, kw_only=True)
class Effects:
    """The effects of a transaction; see `Transaction`, which adds what functions work with."""

    # --- let out

    hop_acks: dict[ContactId, list[EnvelopeId]] = field(default_factory=dict)
    """Ids of received envelopes that are on disk with this transaction, to be acked."""
    sealed: list[OutgoingEnvelope] = field(default_factory=list)
    """Rows that were put into the outbox, or sealed again."""
    dropped: dict[ContactId, None] = field(default_factory=dict)
    """Contacts for whom something in flight was removed from the outbox."""
    outputs: list[Callable[[], object]] = field(default_factory=list)
    """Calls to the network and the like, in order: see `after`."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Events for faces: see `event`."""
    requests: list[ContactRequest] = field(default_factory=list)
    """Requests that faces are told about once their words are computed."""
    following: list[tuple[InputSource | None, Callable[..., object], tuple[object, ...]]] = field(default_factory=list)
    """Functions to run in a transaction after this one: see `later`."""

    # --- queued at the end of the transaction

    receipts: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    """Received contents for which a receipt is due."""
    read: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    """Messages for which a read receipt is due."""
    owing: dict[ContactId, None] = field(default_factory=dict)
    """Contacts whose receipts are held back because they go through a relay,"""
    told: set[ContactId] = field(default_factory=set)
    """and those whose time has come."""
    unread: dict[ChatId, None] = field(default_factory=dict)
    """Chats whose unread messages changed."""

    # --- groups, at the end of the transaction

    group_contents: list[GroupContent] = field(default_factory=list)
    """Contents of ours for groups, in the order in which they were written."""
    group_arrivals: list[GroupArrival] = field(default_factory=list)
    """What contacts sent about groups, in the order in which it came."""
    groups_changed: dict[ChatId, None] = field(default_factory=dict)
    """Groups of which members, settings or keys changed."""
    group_work: bool = False
    """Whether there is something to be done in a group within a minute or two."""
    group_logs_changed: bool = False
    """Whether logs at relays are to be read or appended to that were not before, or not any more,"""
    group_logs_waiting: dict[int, None] = field(default_factory=dict)
    """and into which, by pk, something new is to be put."""
    group_items_seen: list[ItemId] = field(default_factory=list)
    """Items that are known from now on, and say nothing when they come again."""

    # --- channels

    channels_changed: bool = False
    """Whether a channel was founded, followed or forgotten, or has other writers or relays."""
    channels_written: dict[ChatId, None] = field(default_factory=dict)
    """Channels in which we have written,"""
    channels_to_hand_on: dict[ChatId, None] = field(default_factory=dict)
    """and those in which others have, that we hand on."""

    # --- files

    files_changed: dict[int, None] = field(default_factory=dict)
    """Messages, by pk, whose file came, or of whose file the other side said something new."""

    # --- mail

    taken: dict[tuple[RelayName, QueueId, int], dict[int, bool]] = field(default_factory=dict)
    """What was collected from a queue, by the number of its asking and then by place: whether it is on disk with this
    transaction, or was put off.
    """
    mailed: dict[tuple[RelayName, MailOwner], list[EnvelopeId]] = field(default_factory=dict)
    """Envelopes that came from a relay for this owner, are on disk, and may lie at others too."""
    withheld: dict[ContactId, None] = field(default_factory=dict)
    """Contacts whose mail has to wait because they have used up their storage."""

    # --- what handlers keep in memory of the store, and has changed

    people_changed: bool = False
    """Whether a contact changed: whoever waits for that checks again."""
    pairs_of: set[ContactId] = field(default_factory=set)
    """Contacts whose sessions, state or hiding changed."""
    offers_changed: bool = False
    """Our invites."""
    mail_of: dict[MailOwner, None] = field(default_factory=dict)
    """Contacts and invites whose queues changed,"""
    mail_changed: bool = False
    """and whether those of all did."""
    ends_at: int | None = None
    """The earliest time, by `counted`, at which a message ends that was not known before: see `ends`."""
    erased: bool = False
    """Whether text was deleted that has to be erased from the database's log too."""

    def after(self, output: Callable[..., object], *args: object) -> None:
        """Run `output(*args)` once this transaction is on disk."""
        self.outputs.append(lambda: output(*args))

    def later(self, source: InputSource | None, function: Callable[..., object], *args: object) -> None:
        """Run `function(transaction, *args)` in a transaction after this one, if this one is saved; for the sake of
        what came from this source, if it came from any.
        """
        self.following.append((source, function, args))

    def event(self, name: str, /, **fields: object) -> None:
        """Send an event to the faces once this transaction is on disk."""
        self.events.append({"event": name, **fields})

    def ends(self, at: int | None) -> None:
        """Check for messages that end at the time `at` (ms, by `counted`); None changes nothing."""
        if at is not None:
            self.ends_at = at if self.ends_at is None else min(self.ends_at, at)
