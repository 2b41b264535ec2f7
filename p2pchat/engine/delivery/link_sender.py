"""Sends the outbox over links: how many envelopes are in flight to each contact, and which come next.

An envelope that a relay stores may already be on its way to a contact who is just coming back, so a new link waits a
moment before sending those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from p2pchat.core.ids import ContactId, EnvelopeId, first_device
from p2pchat.engine.delivery import outbound
from p2pchat.engine.delivery.send_window import SendWindows, WindowSizes
from p2pchat.engine.runtime.effects import OutgoingEnvelope
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.ports import Net
from p2pchat.store import outbox as store_outbox
from p2pchat.store.outbox import OutboxForm

WINDOW = 256
"""Envelopes in flight on a link: four Yamux windows, enough that the disks of both sides always have the next batch to
work on.
"""
REFILL = WINDOW // 2
BACKLOG = 512


class LinkSender:
    """Writes committed rows to links, within the window. `refill(contact)` must soon run `rows_due` in a
    transaction.
    """

    def __init__(self, net: Net, refill: Callable[[ContactId], object]) -> None:
        self._net = net
        self._windows: SendWindows[ContactId] = SendWindows(
            WindowSizes(WINDOW, REFILL, BACKLOG), self._write, self._due, refill
        )
        self._held: set[ContactId] = set()

    def release(self, contact: ContactId, sealed: Iterable[OutgoingEnvelope]) -> None:
        """Write rows that were just committed, if the window has room and nothing older is waiting."""
        self._windows.release(contact, sealed)

    def acked(self, contact: ContactId, ids: Iterable[EnvelopeId]) -> None:
        """Free the places of envelopes that the contact has, and refill the window."""
        self._windows.done(contact, ids)

    def progress(self, contact: ContactId) -> int | None:
        """Return a number that changes with each ack; None if nothing is in flight."""
        return self._windows.progress(contact)

    def link_up(self, contact: ContactId, *, hold: bool = False) -> None:
        """Begin with the first row that is due; with `hold`, rows that a relay stores wait for `let_go`."""
        if hold:
            self._held.add(contact)
        self._windows.begin(contact)

    def link_down(self, contact: ContactId) -> None:
        """Stop writing to this contact until there is another link."""
        if self._net.route(contact) is None:
            self._held.discard(contact)
            self._windows.end(contact)
        else:
            self._windows.begin(contact)

    def let_go(self, contact: ContactId) -> None:
        """Write the rows that a relay stores as well."""
        if contact in self._held:
            self._held.remove(contact)
            self._windows.look(contact)

    def again(self) -> None:
        """Look through the outbox again, because retries have become due."""
        for contact in self._windows:
            self._windows.again(contact)

    def changed(self, contact: ContactId) -> None:
        """Read the waiting rows again: one of them may have been removed from the outbox."""
        self._windows.changed(contact)

    def rows_due(self, tx: Transaction, contact: ContactId) -> None:
        """Read the next rows; to be run in a transaction."""
        self._windows.read(tx, contact)

    def _write(self, contact: ContactId, sealed: list[OutgoingEnvelope]) -> bool:
        return self._net.send(contact, [envelope.frame for envelope in sealed])

    def _due(
        self, tx: Transaction, contact: ContactId, after_pk: int, most: int
    ) -> tuple[list[OutgoingEnvelope], bool]:
        elsewhere = contact not in self._held
        old_to = outbound.old_to(tx, contact)
        rows = store_outbox.due(tx.db, tx.now, first_device(contact), most, after_pk, old_to, elsewhere=elsewhere)
        return outbound.ready(tx, [row for row in rows if row.form != OutboxForm.INITIAL]), len(rows) < most
