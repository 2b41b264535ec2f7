"""Flow: how many envelopes are under way on the link with each contact, and which come next.

What lies at a relay may already be on its way to a contact who is just coming back: a new link waits a moment with it.
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
"""Four of Yamux's windows: enough that the disks of both sides always have the next turn to work on."""
REFILL = WINDOW // 2
BACKLOG = 512


class LinkSender:
    """Writes what is committed on links, within the window. `refill(contact)` must run `rows_due` in a transaction
    soon.
    """

    def __init__(self, net: Net, refill: Callable[[ContactId], object]) -> None:
        self._net = net
        self._windows: SendWindows[ContactId] = SendWindows(
            WindowSizes(WINDOW, REFILL, BACKLOG), self._write, self._due, refill
        )
        self._held: set[ContactId] = set()

    def release(self, contact: ContactId, sealed: Iterable[OutgoingEnvelope]) -> None:
        """Write rows that were just committed, if the window has room and nothing older waits."""
        self._windows.release(contact, sealed)

    def acked(self, contact: ContactId, ids: Iterable[EnvelopeId]) -> None:
        """Make room for what the contact has, and fill it."""
        self._windows.done(contact, ids)

    def progress(self, contact: ContactId) -> int | None:
        """Return a number that is another one after each ack; None where nothing is under way."""
        return self._windows.progress(contact)

    def link_up(self, contact: ContactId, *, hold: bool = False) -> None:
        """Begin from the first row that is due; with `hold` what lies at a relay waits for `let_go`."""
        if hold:
            self._held.add(contact)
        self._windows.begin(contact)

    def link_down(self, contact: ContactId) -> None:
        """Write nothing more unless another link is there."""
        if self._net.route(contact) is None:
            self._held.discard(contact)
            self._windows.end(contact)
        else:
            self._windows.begin(contact)

    def let_go(self, contact: ContactId) -> None:
        """Write what lies at a relay too."""
        if contact in self._held:
            self._held.remove(contact)
            self._windows.look(contact)

    def again(self) -> None:
        """Look through the outbox again: retries have become due."""
        for contact in self._windows:
            self._windows.again(contact)

    def changed(self, contact: ContactId) -> None:
        """Read again what waits: something was taken out of the outbox that may be among it."""
        self._windows.changed(contact)

    def rows_due(self, tx: Transaction, contact: ContactId) -> None:
        """Read what comes next, as a function of a transaction."""
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
