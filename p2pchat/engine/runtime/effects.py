"""What is to happen once a transaction is on disk, and not before: the other half of the journal rule.

Functions of the engine note it on their `Transaction`, which is an `Effects`. What lets it out is given no more than
that: it can neither read the store nor write to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2pchat.core.frames import Frame
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


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """Who asks, in which session, since when; `sas` is what the words of the handshake are made of."""

    contact: Contact
    session_id: SessionId
    sas: bytes
    since: int


@dataclass(eq=False, repr=False, kw_only=True)
class Effects:
    """What came of a transaction; see `Transaction`, which adds what functions work with."""

    # --- let out

    hop_acks: dict[ContactId, list[EnvelopeId]] = field(default_factory=dict)
    """Envelopes of contacts that are on disk with this transaction."""
    sealed: list[OutgoingEnvelope] = field(default_factory=list)
    """What was put into the outbox, or sealed anew."""
    dropped: dict[ContactId, None] = field(default_factory=dict)
    """Contacts to whom something is not sent any more that was under way."""
    outputs: list[Callable[[], object]] = field(default_factory=list)
    """Wishes to the network and the like, in order: see `after`."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What faces are told: see `event`."""
    requests: list[ContactRequest] = field(default_factory=list)
    """Requests that faces are told of when their words are made."""
    following: list[tuple[InputSource | None, Callable[..., object], tuple[object, ...]]] = field(default_factory=list)
    """What is to run in a transaction after this one: see `later`."""

    # --- queued at the end of the transaction

    receipts: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    """Contents whose senders are told that they were received."""
    read: dict[ContactId, list[MessageId]] = field(default_factory=dict)
    """Messages whose senders are told that they were read."""
    owing: dict[ContactId, None] = field(default_factory=dict)
    """Contacts who are told later what was received, since it goes by a relay,"""
    told: set[ContactId] = field(default_factory=set)
    """and those whose time has come."""
    unread: dict[ChatId, None] = field(default_factory=dict)
    """Chats of which something else is unread now."""

    # --- mail

    taken: dict[tuple[RelayName, QueueId], dict[int, bool]] = field(default_factory=dict)
    """What came from a queue, by place: whether it is on disk with this transaction, or was put off."""
    mailed: dict[tuple[RelayName, MailOwner], list[EnvelopeId]] = field(default_factory=dict)
    """Envelopes that came from a relay for this owner, are on disk, and may lie at others too."""
    withheld: dict[ContactId, None] = field(default_factory=dict)
    """Contacts whose mail has to wait for room."""

    # --- what handlers keep in memory of the store, and has changed

    people_changed: bool = False
    """Something of a contact: whoever waits for that looks again."""
    pairs_of: set[ContactId] = field(default_factory=set)
    """Contacts whose sessions, state or hiding changed."""
    offers_changed: bool = False
    """Our invites."""
    mail_of: dict[MailOwner, None] = field(default_factory=dict)
    """Contacts and invites whose queues changed,"""
    mail_changed: bool = False
    """and whether those of all did."""
    ends_at: int | None = None
    """When something ends, by `counted`, that did not before: see `ends`."""
    erased: bool = False
    """Whether words were deleted that are to leave the database's log too."""

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

    def ends(self, at: int | None) -> None:
        """Look again at the time `at` (ms, by `counted`), when something ends; None: nothing does."""
        if at is not None:
            self.ends_at = at if self.ends_at is None else min(self.ends_at, at)
