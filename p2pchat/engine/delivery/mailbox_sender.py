"""Sends the outbox to queues at relays: how many envelopes are in flight to each, and which come next.

A queue has a lane while its owner has no link and its relay accepts deposits. If the relay refuses or is not reached,
the lane pauses until the relay is back or the pause is over; each further pause is twice as long. If a relay was not
reached, only one lane tries it again for all queues there, since each of them would otherwise read and seal its rows in
vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from p2pchat.core import mailbox
from p2pchat.core.ids import EnvelopeId, MailOwner, RelayName, contact_of
from p2pchat.engine.delivery import outbound
from p2pchat.engine.delivery.mailbox_queues import Outlet
from p2pchat.engine.delivery.relay_answers import RelayAnswers
from p2pchat.engine.delivery.send_window import SendWindows, WindowSizes
from p2pchat.engine.runtime.effects import OutgoingEnvelope
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import HOUR_MS, HOUR_SECONDS
from p2pchat.ports import Clock, Relay, TheirQueue
from p2pchat.store import deposits as store_deposits
from p2pchat.store.queues import TheirQueueRow

WINDOW = 128
"""Envelopes in flight to each queue: half a megabyte of the smallest ones. There are twice as many queues as contacts.
"""
SIZES = WindowSizes(WINDOW, WINDOW // 2, 0)
KEEP_HOURS = 30 * 24
LONGEST_PAUSE = HOUR_SECONDS
_PAUSES: dict[int, float] = {mailbox.TOO_FAST: 10.0}
"""The first pause after each answer, in seconds. After most answers nothing changes soon."""
UNREACHED_PAUSE = 60.0
"""The first pause if a relay is not reached, in seconds."""
_TRIED_MS = 50_000
"""For how many ms only one queue tries a relay that was not reached: less than a pause, so that the queue whose pause
ends first tries again.
"""


PutBlobs = Callable[[Relay, TheirQueue, int, Sequence[tuple[int, bytes]]], object]
"""`Mailboxes.deposit`"""


class MailboxSender:
    """Hands committed rows to `put`. `owners` are the contacts to whom something can be deposited; `answers` is what
    the handler knows of relays.

    `refill(queue)` must soon run `read` in a transaction; `pause(queue, seconds)` must call `resume` after that time.
    """

    def __init__(
        self, put: PutBlobs, clock: Clock, refill: Callable[[int], object], pause: Callable[[int, float], object]
    ) -> None:
        self.owners: frozenset[MailOwner] = frozenset()
        self.answers = RelayAnswers()
        self._put = put
        self._clock = clock
        self._pause = pause
        self._windows: SendWindows[int] = SendWindows(SIZES, self._write, self._due, refill)
        self._queues: dict[int, Outlet] = {}
        self._of: dict[MailOwner, list[Outlet]] = {}
        self._at: dict[RelayName, set[int]] = {}
        self._linked: set[MailOwner] = set()
        self._pauses: dict[int, float] = {}  # of lanes that pause, or did before they last took something
        self._pausing: set[int] = set()
        self._tried: dict[RelayName, int] = {}  # relays that were not reached, and when, in ms, one was tried last
        self._unanswered: dict[int, tuple[int, EnvelopeId]] = {}
        self._number = 0

    # --- queues and their owners

    def use(self, owner: MailOwner, outlets: Sequence[Outlet]) -> None:
        """Deposit in these queues of a contact, or boxes of an invite, from now on."""
        before = {outlet.row.id: outlet for outlet in self._of.pop(owner, ())}
        after = {outlet.row.id: outlet for outlet in outlets}
        for id, outlet in before.items():
            self._at[outlet.relay.mailbox].discard(id)
            if not self._at[outlet.relay.mailbox]:
                del self._at[outlet.relay.mailbox]
                self._tried.pop(outlet.relay.mailbox, None)
                self.answers = self.answers.forgotten(outlet.relay.mailbox)
            if id not in after:
                del self._queues[id]
                self._windows.end(id)
                self._pauses.pop(id, None)
                self._pausing.discard(id)
        if after:
            self._of[owner] = list(outlets)
        if any(outlet.row.flags == 0 and outlet.sure for outlet in outlets) != (owner in self.owners):
            self.owners ^= {owner}
        for id, outlet in after.items():
            self._queues[id] = outlet
            self._at.setdefault(outlet.relay.mailbox, set()).add(id)
            if id not in before:
                self._open(id)

    def known(self) -> set[MailOwner]:
        """Return the contacts and invites that have queues."""
        return set(self._of)

    def linked(self, owner: MailOwner) -> None:
        """Stop depositing for this contact, who has a link."""
        self._linked.add(owner)
        for outlet in self._of.get(owner, ()):
            self._windows.end(outlet.row.id)

    def unlinked(self, owner: MailOwner) -> None:
        """Deposit for this contact, who has no link or none that works."""
        self._linked.discard(owner)
        for outlet in self._of.get(owner, ()):
            self._open(outlet.row.id)

    def reached(self, owner: MailOwner) -> list[int]:
        """Return the queues of a contact whose relays accept deposits, as far as we know. Safe in any thread."""
        rows = [outlet.row for outlet in self._of.get(owner, ())]
        return [row.id for row in rows if row.flags == 0 and row.id not in self._pausing]

    def accepts(self, owner: MailOwner) -> bool:
        """Return whether something can be left for a contact now, as far as is known. Safe in any thread."""
        theirs = {outlet.relay.mailbox: outlet.sure for outlet in self._of.get(owner, ()) if outlet.row.flags == 0}
        return owner in self.owners and self.answers.accept(theirs)

    def get(self, id: int) -> Outlet | None:
        """Return the queue with this database id, or None if it is not in use."""
        return self._queues.get(id)

    # --- out

    def release(self, owner: MailOwner, sealed: Sequence[OutgoingEnvelope]) -> None:
        """Deposit rows that were just committed."""
        for outlet in self._of.get(owner, ()):
            row = outlet.row
            fitting = [
                envelope
                for envelope in sealed
                if store_deposits.takes(row, envelope.form) and self._hours(envelope, row)
            ]
            self._windows.release(row.id, fitting)

    def recheck(self, owner: MailOwner) -> None:
        """Look through the outbox again, because something has become due."""
        for outlet in self._of.get(owner, ()):
            self._windows.recheck(outlet.row.id)

    def read(self, tx: Transaction, id: int) -> None:
        """Read the next rows for the queue with this id; to be run in a transaction."""
        self._windows.read(tx, id)

    def again(self) -> None:
        """Look through the outbox again, because retries have become due."""
        for id in self._windows:
            self._windows.recheck(id)

    def resume(self, id: int) -> None:
        """End the pause of the queue with this id, unless another queue has just tried an unreached relay."""
        self._pausing.discard(id)
        if id not in self._queues:
            return
        relay, now = self._queues[id].relay.mailbox, self._clock()
        tried = self._tried.get(relay)
        if tried is not None and 0 <= now - tried < _TRIED_MS:
            self._rest(id, UNREACHED_PAUSE)
            return
        if tried is not None:
            self._tried[relay] = now
        self._open(id)

    # --- what became of it

    def results(self, done: Iterable[tuple[int, int]]) -> tuple[list[tuple[int, EnvelopeId]], set[MailOwner]]:
        """Process answers of (number, code). Return what the relay has on disk, as (queue, envelope id), and the owners
        of queues that now pause.
        """
        taken: list[tuple[int, EnvelopeId]] = []
        refused: dict[int, int] = {}
        for number, code in done:
            queue, envelope_id = self._unanswered.pop(number, (0, None))
            if code == mailbox.DONE and queue in self._queues and envelope_id is not None:
                taken.append((queue, envelope_id))
                self._pauses.pop(queue, None)
                self._tried.pop(self._queues[queue].relay.mailbox, None)
            elif queue in self._queues:
                refused[queue] = code
        for queue, envelope_id in taken:
            self._windows.done(queue, [envelope_id])
        owners = [self._stop(queue, _PAUSES.get(code, LONGEST_PAUSE)) for queue, code in refused.items()]
        return taken, set(owners)

    def lost(self, numbers: Iterable[int]) -> set[MailOwner]:
        """Treat deposits, by number, as unanswered. Return the owners of queues that now pause."""
        queues = {self._unanswered.pop(number, (0, b""))[0] for number in numbers}
        queues &= self._queues.keys()
        for queue in queues:
            self._tried.setdefault(self._queues[queue].relay.mailbox, self._clock())
        return {self._stop(queue, UNREACHED_PAUSE) for queue in queues}

    @property
    def under_way(self) -> bool:
        """Whether any deposit is waiting for an answer."""
        return bool(self._unanswered)

    def begin_anew(self, relay: RelayName) -> None:
        """Begin again with the first rows that are due, because the relay is back or a result could not be saved.
        relay: the name of its mailbox.
        """
        self._tried.pop(relay, None)
        for id in sorted(self._at.get(relay, ())):
            self._windows.end(id)
            self.resume(id)

    def _stop(self, id: int, seconds: float) -> MailOwner:
        self._windows.end(id)
        self._rest(id, seconds)
        return self._queues[id].row.owner

    def _rest(self, id: int, seconds: float) -> None:
        if id not in self._pausing:
            self._pausing.add(id)
            self._pauses[id] = min(max(seconds, 2 * self._pauses.get(id, 0.0)), LONGEST_PAUSE)
            self._pause(id, self._pauses[id])

    def _open(self, id: int) -> None:
        if self._queues[id].row.owner not in self._linked and id not in self._pausing and id not in self._windows:
            self._windows.begin(id)

    def _write(self, id: int, sealed: list[OutgoingEnvelope]) -> bool:
        outlet = self._queues[id]
        row = outlet.row
        blobs: dict[int, list[tuple[int, bytes]]] = {}
        for envelope in sealed:
            self._number += 1
            self._unanswered[self._number] = id, envelope.envelope_id
            blobs.setdefault(max(1, self._hours(envelope, row)), []).append((self._number, envelope.frame.body))
        for hours, pairs in blobs.items():
            self._put(outlet.relay, TheirQueue(row.fetch, row.put_seed, row.flags), hours, pairs)
        return True

    def _hours(self, envelope: OutgoingEnvelope, row: TheirQueueRow) -> int:
        """Return for how many hours a relay may store an envelope; 0 if it must not be deposited because it ends within
        the hour.
        """
        if row.flags == mailbox.BOX:
            return max(1, min(KEEP_HOURS, -(-(row.until - self._clock()) // HOUR_MS)))
        if envelope.keep_until is None:
            return KEEP_HOURS
        # where the clock was set back, what it was at first
        left = min(envelope.keep_until - self._clock(), envelope.keep_ms)
        return max(0, min(KEEP_HOURS, left // HOUR_MS))

    def _due(self, tx: Transaction, id: int, after_pk: int, most: int) -> tuple[list[OutgoingEnvelope], bool]:
        outlet = self._queues.get(id)
        if outlet is None:
            return [], True
        row = outlet.row
        rows = store_deposits.due(tx.db, tx.now, row, most, after_pk, outbound.old_to(tx, contact_of(row.owner)))
        return outbound.ready(tx, rows), len(rows) < most
