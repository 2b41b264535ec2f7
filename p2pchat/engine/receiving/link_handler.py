"""Callbacks of links with contacts (`ports.LinkCallbacks`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from p2pchat.core.delivery import Route
from p2pchat.core.frames import ACKS, ENVELOPE, REFUSED, Frame, acked_ids
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, EnvelopeId, SessionId, first_device
from p2pchat.core.session import STANDING, Pair, pair, standing_root
from p2pchat.engine.contacts import contact_relays, contacts, renewal
from p2pchat.engine.contacts.address_updates import AddressUpdates
from p2pchat.engine.contacts.presence import Presence
from p2pchat.engine.contacts.presence_records import PresenceRecords
from p2pchat.engine.delivery.link_sender import LinkSender
from p2pchat.engine.files.files import Files
from p2pchat.engine.receiving import inbound
from p2pchat.engine.receiving.mailbox_handler import MailboxHandler
from p2pchat.engine.runtime.committer import Committer
from p2pchat.ports import Clock, Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store import sessions as store_sessions
from p2pchat.store.contacts import ACCEPTED, ContactState
from p2pchat.store.database import Database


class LinkHandler:
    """Provides the pairs for checking hellos, from memory, and passes frames to the engine; the engine may make it
    wait.
    """

    def __init__(
        self,
        committer: Committer,
        net: Net,
        clock: Clock,
        presence: Presence,
        address_updates: AddressUpdates,
        link_sender: LinkSender,
        mailboxes: MailboxHandler,
        records: PresenceRecords,
        files: Files,
    ) -> None:
        self._committer = committer
        self._net = net
        self._clock = clock
        self._presence = presence
        self._address_updates = address_updates
        self._sender = link_sender
        self._mailboxes = mailboxes
        self._records = records
        self._files = files
        self._pairs: dict[ContactId, list[Pair]] = {}
        self._hidden: frozenset[ContactId] = frozenset()
        self._followers: list[Callable[[Iterable[ContactId]], None]] = []

    @staticmethod
    def read(db: Database, me: Device, of: Collection[ContactId]) -> dict[ContactId, list[Pair]]:
        """Return the pairs of these contacts who may connect: those of their usable sessions, newest first, and last
        the one by which a contact is still recognised who runs an old copy of their profile.
        """
        pairs: dict[ContactId, list[Pair]] = {}
        for contact in [store_contacts.get(db, id) for id in of]:
            if contact is None or contact.identity is None or contact.state not in ACCEPTED:
                continue
            rows = [row for row in store_sessions.for_device(db, first_device(contact.id)) if not row.pending]
            pairs[contact.id] = [
                pair(contact.id, row.session_id, row.pair_root, me.identity, contact.identity) for row in reversed(rows)
            ]
            if contact.state == ContactState.CONTACT and contact.device is not None:
                root = standing_root(me, contact.identity, contact.device)
                pairs[contact.id].append(pair(contact.id, STANDING, root, me.identity, contact.identity))
        return pairs

    def hide(self, hidden: frozenset[ContactId]) -> None:
        """Set the hidden contacts. It is called for all contacts before `use` is called for any."""
        self._hidden = hidden

    def use(self, pairs: dict[ContactId, list[Pair]], hidden: frozenset[ContactId], of: Collection[ContactId]) -> None:
        """Replace the pairs of the contacts `of`, and note which of them are hidden."""
        old = self._pairs
        changed = {contact for contact in of if old.get(contact) != pairs.get(contact)} | self._hidden ^ hidden
        for contact in of:
            if contact in pairs:
                old[contact] = pairs[contact]
            else:
                old.pop(contact, None)
        self._hidden = hidden
        for told in self._followers:
            told(changed)

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        """Call `changed` with all contacts now, and later with those whose pairs or hiding have changed."""
        self._followers.append(changed)
        changed(self._pairs)

    def now(self) -> int:
        """Return the wall clock, in ms."""
        return self._clock()

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        """Return the pairs of one contact, newest first."""
        return self._pairs.get(contact, ())

    def hidden(self, contact: ContactId) -> bool:
        """Return whether the contact must not learn our network address."""
        return contact in self._hidden

    def moved(self) -> None:
        """Send contacts our addresses soon, because they have changed."""
        self._address_updates.changed()
        self._records.moved()

    def unreached(self, contact: ContactId) -> None:
        """Look for the contact's presence record: what is known of them has led to nobody."""
        self._records.unreached(contact)

    def found(self, address: bytes) -> None:
        """Note that a contact has reached us from outside at this public address (packed)."""
        self._committer.post(contact_relays.found, address)

    async def received(self, contact: ContactId, session_id: SessionId, route: Route, frames: list[Frame]) -> None:
        """Handle frames from a contact. Acks free the send window at once, and are saved lazily."""
        for frame in frames:
            await self._committer.room()  # before each frame: one read may contain thousands of small ones
            if frame.type == ACKS:
                ids = acked_ids(frame)
                self._sender.windows.done(contact, ids)
                self._mailboxes.acked(contact)
                self._committer.post(
                    inbound.frame, contact, session_id, route, frame, lazy=True, sender=contact, brief=True
                )
            elif frame.type == REFUSED:  # it stays in the outbox, but frees its place in the window
                self._sender.windows.done(contact, [EnvelopeId(frame.body)])
                self._committer.post(inbound.frame, contact, session_id, route, frame, sender=contact)
            else:
                brief = frame.type == ENVELOPE  # other frames may cause waiting rows to be sealed again
                self._committer.post(inbound.frame, contact, session_id, route, frame, sender=contact, brief=brief)

    def link_up(self, contact: ContactId, session_id: SessionId) -> None:
        """Start sending over a new link."""
        self._committer.post(contacts.heard, contact, session_id)
        self._committer.post(renewal.ask_again, contact)
        self._records.linked(contact)
        may_lie_elsewhere = self._mailboxes.link_up(contact)
        self._sender.link_up(contact, hold=may_lie_elsewhere)
        self._files.link_up(contact)
        self._presence.changed(contact)

    def link_down(self, contact: ContactId) -> None:
        """Handle the end of a link: update presence and queues, and dial again."""
        self._sender.link_down(contact)
        self._mailboxes.link_down(contact)
        self._files.link_down(contact)
        self._net.lost(contact)
        self._presence.changed(contact)

    def stalled(self, contact: ContactId) -> None:
        """Send what waits by relays as well."""
        self._mailboxes.stalled(contact)
