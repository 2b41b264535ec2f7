"""Sends the outbox over links: how many envelopes are in flight to each contact, and which come next.

An envelope that a relay stores may already be on its way to a contact who is just coming back, so a new link waits a
moment before sending those.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.core.ids import ContactId, first_device
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
    """Writes committed rows to links, within `windows`. `refill(contact)` must soon run `windows.read` in a
    transaction.
    """

    def __init__(self, net: Net, refill: Callable[[ContactId], object]) -> None:
        self._net = net
        self.windows: SendWindows[ContactId] = SendWindows(
            WindowSizes(WINDOW, REFILL, BACKLOG), self._write, self._due, refill
        )
        self._held: set[ContactId] = set()

    def link_up(self, contact: ContactId, *, hold: bool = False) -> None:
        """Begin with the first row that is due; with `hold`, rows that a relay stores wait for `release_held`."""
        if hold:
            self._held.add(contact)
        self.windows.begin(contact)

    def link_down(self, contact: ContactId) -> None:
        """Stop writing to this contact until there is another link."""
        if self._net.route(contact) is None:
            self._held.discard(contact)
            self.windows.end(contact)
        else:
            self.windows.begin(contact)

    def release_held(self, contact: ContactId) -> None:
        """Write the rows that a relay stores as well."""
        if contact in self._held:
            self._held.remove(contact)
            self.windows.recheck(contact)

    def again(self) -> None:
        """Look through the outbox again, because retries have become due."""
        for contact in self.windows:
            self.windows.again(contact)

    def _write(self, contact: ContactId, sealed: list[OutgoingEnvelope]) -> bool:
        return self._net.send(contact, [envelope.frame for envelope in sealed])

    def _due(
        self, tx: Transaction, contact: ContactId, after_pk: int, most: int
    ) -> tuple[list[OutgoingEnvelope], bool]:
        elsewhere = contact not in self._held
        old_to = outbound.old_to(tx, contact)
        rows = store_outbox.due(tx.db, tx.now, first_device(contact), most, after_pk, old_to, elsewhere=elsewhere)
        return outbound.ready(tx, [row for row in rows if row.form != OutboxForm.INITIAL]), len(rows) < most
