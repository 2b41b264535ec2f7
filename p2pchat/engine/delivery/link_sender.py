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
        self._lanes: SendWindows[ContactId] = SendWindows(
            WindowSizes(WINDOW, REFILL, BACKLOG), self._write, self._due, refill
        )
        self._held: set[ContactId] = set()

    def release(self, contact: ContactId, sealed: Iterable[OutgoingEnvelope]) -> None:
        """These rows were just committed: write them if the window has room and nothing older waits."""
        self._lanes.release(contact, sealed)

    def acked(self, contact: ContactId, ids: Iterable[EnvelopeId]) -> None:
        """The contact has these; make room and fill it."""
        self._lanes.done(contact, ids)

    def progress(self, contact: ContactId) -> int | None:
        """A number that is another one after each ack; None where nothing is under way."""
        return self._lanes.progress(contact)

    def link_up(self, contact: ContactId, *, hold: bool = False) -> None:
        """Begin from the first row that is due; with `hold` what lies at a relay waits for `let_go`."""
        if hold:
            self._held.add(contact)
        self._lanes.begin(contact)

    def link_down(self, contact: ContactId) -> None:
        """Nothing more can be written unless another link is there."""
        if self._net.route(contact) is None:
            self._held.discard(contact)
            self._lanes.end(contact)
        else:
            self._lanes.begin(contact)

    def let_go(self, contact: ContactId) -> None:
        """What lies at a relay is written too."""
        if contact in self._held:
            self._held.remove(contact)
            self._lanes.look(contact)

    def again(self) -> None:
        """Look through the outbox again: retries have become due."""
        for contact in self._lanes:
            self._lanes.again(contact)

    def changed(self, contact: ContactId) -> None:
        """Something was taken out of the outbox: what waits here may be among it, so read it again."""
        self._lanes.changed(contact)

    def rows_due(self, tx: Transaction, contact: ContactId) -> None:
        """Read what comes next, as a function of a transaction."""
        self._lanes.read(tx, contact)

    def _write(self, contact: ContactId, sealed: list[OutgoingEnvelope]) -> bool:
        return self._net.send(contact, [one.frame for one in sealed])

    def _due(
        self, tx: Transaction, contact: ContactId, after_pk: int, most: int
    ) -> tuple[list[OutgoingEnvelope], bool]:
        elsewhere = contact not in self._held
        old_to = outbound.old_to(tx, contact)
        rows = store_outbox.due(tx.db, tx.now, first_device(contact), most, after_pk, old_to, elsewhere=elsewhere)
        return outbound.ready(tx, [row for row in rows if row.form != OutboxForm.INITIAL]), len(rows) < most
