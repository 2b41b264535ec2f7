"""The engine: one open profile at work. This module makes its parts, starts them, and connects them.

Every change goes through the committer. Input from the network goes to the handlers, which pass it to the committer; a
transaction's effects go to the senders once it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2pchat.core import frames
from p2pchat.core.delivery import Route
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, MailOwner, RelayName, first_device
from p2pchat.core.primitives import KEY_BYTES, Entropy
from p2pchat.engine.channels.sync import ChannelSync
from p2pchat.engine.contacts import contact_relays, contacts, housekeeping, own_relays, walk
from p2pchat.engine.contacts.contact_relays import RelayOffer
from p2pchat.engine.contacts.copies import Copies
from p2pchat.engine.contacts.presence import Presence
from p2pchat.engine.contacts.presence_records import PresenceRecords
from p2pchat.engine.contacts.requests import RequestTeller
from p2pchat.engine.contacts.upkeep import Upkeep
from p2pchat.engine.contents import ending
from p2pchat.engine.contents.ending import Endings
from p2pchat.engine.delivery import mailbox_queues, outbound, read_receipts
from p2pchat.engine.delivery.link_sender import LinkSender
from p2pchat.engine.files import transfers
from p2pchat.engine.files.files import Files
from p2pchat.engine.groups import links, log_carrier, settle
from p2pchat.engine.groups.log_carrier import LogCarrier
from p2pchat.engine.groups.upkeep import GroupUpkeep
from p2pchat.engine.receiving.invite_handler import InviteHandler
from p2pchat.engine.receiving.link_handler import LinkHandler
from p2pchat.engine.receiving.mailbox_handler import MailboxHandler
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.clock_watch import ClockWatch, Jump, Monotonic
from p2pchat.engine.runtime.committer import Committer, RunSync
from p2pchat.engine.runtime.effects import Effects, OutgoingEnvelope
from p2pchat.engine.runtime.events import EventHub
from p2pchat.engine.runtime.storage_limits import DEFAULT_LIMITS, ContactLimits
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import DatabaseDamaged
from p2pchat.media.pictures import PictureDecoder
from p2pchat.ports import AskDht, AskProxy, Clock, LanMode, Net, NetHandler, NetView
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store import meta
from p2pchat.store.database import Database
from p2pchat.store.invites import InviteState

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it


class Engine:
    """One open profile at work: its parts, which `run` runs. Whoever changes something asks the `committer`.

    net: the network, which `run` runs. view: what is known of it, for people. relays: addresses used in this run
    besides those of the profile. monotonic: see `ClockWatch`. storage_limits: how much one contact may make us store.
    ask_proxy: asks the proxy that everything is dialled through; None without one. ask_dht: asks the distributed
    hash table. use_lan: changes when contacts are looked for on the local network; None where they never are.
    use_port_mapping: changes whether the router is asked for a port; None where it never is.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        entropy: Entropy,
        net: Net,
        view: NetView,
        run_sync: RunSync | None = None,
        relays: Sequence[str] = (),
        monotonic: Monotonic | None = None,
        storage_limits: ContactLimits = DEFAULT_LIMITS,
        ask_proxy: AskProxy | None = None,
        ask_dht: AskDht | None = None,
        use_lan: Callable[[LanMode], None] | None = None,
        use_port_mapping: Callable[[bool], None] | None = None,
    ) -> None:
        self.use_lan = use_lan
        self.use_port_mapping = use_port_mapping
        self.ask_proxy = ask_proxy
        self.ask_dht = ask_dht
        self.view = view
        self.db = db
        self.clock = clock
        self.entropy = entropy
        self.net = net
        self.me = Device.from_seeds(_seed(db, "identity"), _seed(db, "device"))
        self.events = EventHub()
        self.clock_watch = ClockWatch(db, clock, monotonic, self._clock_jumped)
        self.committer = Committer(
            db,
            self.me,
            clock,
            entropy,
            net,
            self.events,
            self.clock_watch,
            self._release,
            self.route,
            storage_limits,
            run_sync,
        )
        self.committer.before_writing += (
            _settle_relays,
            settle.settle,
            transfers.settle,
            outbound.finish,
            read_receipts.finish,
        )
        self.committer.before_commit.append(self._reload_changed)
        self.copies = Copies()
        self.keep_receiving = settings.keep_receiving(db)
        self.relay_offer = RelayOffer(bool(settings.relay_for_contacts(db)))
        self.presence = Presence(self._show, self.route)
        self.upkeep = Upkeep(self.committer, self.copies, self.relay_offer, (links.tidy,))
        self.link_sender = LinkSender(net, self._refill)
        self.mailbox_handler = MailboxHandler(
            self.committer, net, clock, entropy.random, self.presence, self.link_sender
        )
        self.presence_records = PresenceRecords(self.committer, self.me, net, clock, entropy.random)
        self.files = Files(self.committer, self.events, net, db, clock, lambda: self.clock_watch.counted)
        self.log_carrier = LogCarrier(self.committer, net, entropy.random)
        self.channels = ChannelSync(self.committer, net, clock, entropy.random)
        self.pictures = PictureDecoder()
        self.link_handler = LinkHandler(
            self.committer,
            net,
            clock,
            self.presence,
            self.upkeep.address_updates,
            self.link_sender,
            self.mailbox_handler,
            self.presence_records,
            self.files,
        )
        self.invite_handler = InviteHandler(self.committer, clock, self.clock_watch)
        self.endings = Endings(self.committer.submit, self.committer.read, self.clock_watch)
        self.group_upkeep = GroupUpkeep(self.committer)
        self._relays = relays
        self._requests = RequestTeller(self.committer, self.events)
        self._open_until = 0

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. The transaction in progress is finished, then nothing more is taken."""
        async with trio.open_nursery() as nursery:
            net = trio.CancelScope()
            await nursery.start(self._run_net, net)
            net.shield = True  # what comes of the last transaction is let out through it
            try:
                await self._run_on_net(task_status)
            finally:
                net.cancel()

    async def _run_net(self, scope: trio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        with scope:
            handler = NetHandler(
                self.link_handler, self.invite_handler, self.mailbox_handler, self.files.giver, self.log_carrier
            )
            await self.net.run(handler, task_status=task_status)

    async def _run_on_net(self, task_status: TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            self.clock_watch.check()
            first, *others = await self._load()
            nursery.start_soon(self.committer.run)
            nursery.start_soon(self._ask_again)
            nursery.start_soon(self.presence.run)
            nursery.start_soon(self.mailbox_handler.run)
            nursery.start_soon(self.presence_records.run)
            nursery.start_soon(self.log_carrier.run)
            nursery.start_soon(self._requests.run)
            await self._begin(first)
            if self.net.relayed() is not None:
                self.upkeep.address_updates.changed()  # when relays had a moment to answer
            elif others:
                nursery.start_soon(self.upkeep.tell_addresses)
            else:
                await self.upkeep.tell_addresses()
            nursery.start_soon(self.upkeep.address_updates.run)
            nursery.start_soon(self.upkeep.run, self._retry)
            nursery.start_soon(self.endings.run)
            nursery.start_soon(self.group_upkeep.run)
            await nursery.start(self.files.run)
            nursery.start_soon(self.channels.run)
            nursery.start_soon(self.pictures.run)
            nursery.start_soon(self.clock_watch.run, self.upkeep.run_due)
            nursery.start_soon(walk.in_slices, others, self.committer.submit, walk.begin)
            task_status.started()
            await trio.sleep_forever()

    async def _load(self) -> list[Sequence[ContactId]]:
        """Load what handlers keep in memory, except for contacts. Return the contacts, in slices: see `walk`."""
        read, beside = self.committer.read, self.committer.beside
        hidden, slices = await read(store_contacts.hidden), await read(walk.order)
        self.link_handler.hide(hidden)
        if hidden:
            self.net.hide()
        (await beside(self._load_invites))()
        (await read(lambda db: self._load_logs()))()
        (await beside(partial(self._load_mail, await read(store_invites.ids))))()
        return slices

    async def _begin(self, contact_ids: Sequence[ContactId]) -> None:
        """Resume the work where the last node left it, with these contacts first."""
        submit = self.committer.submit
        await submit(own_relays.begin, [self.net.mailboxes.relay_at(written) for written in self._relays])
        await submit(self.copies.check)
        await self.upkeep.mark_copy()
        await submit(ending.end)
        await submit(housekeeping.tick)
        await submit(walk.begin, contact_ids)

    def route(self, contact: ContactId) -> Route | None:
        """Return how a message to this contact would travel now; None where it would wait here."""
        mailed = self.mailbox_handler.sender.accepts(first_device(contact))
        return self.net.route(contact) or (Route.MAILBOX if mailed else None)

    def keeps_running(self) -> bool:
        """Return whether this node has a reason to stay without a face: an invite made here that can still be used,
        being a relay for contacts, or something that is about to leave for relays.
        """
        return (
            self.relay_offer.wanted
            or self._open_until > self.clock()
            or self.mailbox_handler.busy
            or self.log_carrier.busy
            or self.files.to_relays.busy
            or self.channels.busy
        )

    # --- after a transaction ----------------------------------------------------------------------------------------

    def _release(self, effects: Effects) -> None:
        """Release the effects of a transaction that is on disk: acks, envelopes, then outputs."""
        for contact, ids in effects.hop_acks.items():
            self.net.send(contact, frames.acks(ids))
        by_contact: dict[ContactId, list[OutgoingEnvelope]] = {}
        for sealed in effects.sealed:
            by_contact.setdefault(sealed.contact, []).append(sealed)
        for contact, envelopes in by_contact.items():
            self.link_sender.windows.release(contact, envelopes)
        self.mailbox_handler.release(effects, by_contact)
        for contact in effects.dropped:
            self.link_sender.windows.changed(contact)
        self.endings.committed(effects)
        self.files.committed(effects)
        self.group_upkeep.committed(effects)
        self.log_carrier.saw(effects.group_items_seen)
        self.channels.committed(effects)
        for output in effects.outputs:
            output()
        for request in effects.requests:
            self._requests.tell(request)

    async def _ask_again(self) -> None:
        """Ask for inputs again that could not be saved. They were not acked, so their senders repeat them on a new
        link, and relays still have them.
        """
        while True:
            for sender in await self.committer.unsaved():
                if len(sender) >= KEY_BYTES:  # a relay's mailbox; the ids of contacts are shorter
                    self.mailbox_handler.ask_again(RelayName(sender))
                else:
                    self.net.relink(ContactId(sender))

    # --- what is kept in memory of the store ------------------------------------------------------------------------

    def _reload_changed(self, tx: Transaction) -> None:
        """Load again, in the transaction that changed it, what handlers keep in memory; it is used once that is on
        disk.
        """
        if tx.pairs_of:
            tx.outputs.insert(0, self._load_pairs(tx.pairs_of))  # before whoever is to be reached is
        if tx.offers_changed:
            tx.outputs.insert(0, self._load_invites())
        if tx.group_logs_changed or tx.mail_changed or tx.pairs_of:
            tx.outputs.append(self._load_logs())
        if tx.group_logs_waiting:
            tx.after(self.log_carrier.put_soon, list(tx.group_logs_waiting))
        if tx.mail_changed or tx.mail_of:
            tx.outputs.append(self._load_mail(None if tx.mail_changed else tx.mail_of))

    def _load_pairs(self, of: Collection[ContactId]) -> Callable[[], None]:
        """Load what the hellos of these contacts are checked against; the result is applied once it is on disk."""
        pairs, hidden = self.link_handler.read(self.db, self.me, of), store_contacts.hidden(self.db)

        def use() -> None:
            self.link_handler.use(pairs, hidden, of)
            if hidden:
                self.net.hide()

        return use

    def _load_invites(self) -> Callable[[], None]:
        """Read our invites; the result puts them in place, once they are on disk."""
        invites = store_invites.all(self.db)
        usable = [row for row in invites if row.state == InviteState.OPEN]

        def use() -> None:
            self.invite_handler.use(invites)
            if any(row.hidden for row in usable):
                self.net.hide()
            self._open_until = max((row.expires_at for row in usable), default=0)

        return use

    def _load_logs(self) -> Callable[[], None]:
        return partial(self.log_carrier.use, log_carrier.read(self.db, self.log_carrier.places, self.clock()))

    def _load_mail(self, owners: Collection[MailOwner] | None = None) -> Callable[[], None]:
        return partial(self.mailbox_handler.use, mailbox_queues.read(self.db, owners))

    # --- what its parts ask for -------------------------------------------------------------------------------------

    def _show(self, contact: ContactId) -> None:
        if self.events.listened:  # else nobody is told, and a face that comes asks how everybody is reached
            self.committer.post(contacts.show, contact)

    def _clock_jumped(self, jump: Jump) -> None:
        self.committer.post(housekeeping.jumped, jump)

    def _refill(self, contact: ContactId) -> None:
        self.committer.post(self.link_sender.windows.read, contact, sender=contact)

    def _retry(self) -> None:
        self.link_sender.again()
        self.mailbox_handler.sender.again()


def _settle_relays(tx: Transaction) -> None:
    if tx.pairs_of:
        contact_relays.settle(tx, tx.pairs_of)


def _seed(db: Database, key: str) -> bytes:
    seed = meta.get(db, key)
    if seed is None:
        raise DatabaseDamaged
    return seed
