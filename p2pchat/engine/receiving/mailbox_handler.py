"""Callbacks of mailboxes, and sending committed envelopes to mailboxes while there is no link.

The store alone determines which queues are watched and where to deposit. A transaction that changes relays sets
`mail_changed`, and everything is read again; one that changes a contact or an invite names it in `mail_of`, and only
that is read again.

A relay that the user did not choose serves one contact, or a few. `MAX_FOREIGN` of these are watched at a time; if
there are more they take turns, the first relay of each contact before the second of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Literal

from p2pchat.core.contents import kind_of
from p2pchat.core.envelope import envelope_id
from p2pchat.core.ids import (
    NO_DEVICE,
    ContactId,
    EnvelopeId,
    InviteId,
    MailOwner,
    PeerKey,
    QueueId,
    RelayName,
    contact_of,
    first_device,
)
from p2pchat.core.primitives import KEY_BYTES, Random, sign_public
from p2pchat.engine.contacts import invites, joining, relay_web
from p2pchat.engine.contacts.presence import Presence
from p2pchat.engine.delivery import outbound
from p2pchat.engine.delivery.link_sender import LinkSender
from p2pchat.engine.delivery.mailbox_queues import Inlet, MailboxQueues
from p2pchat.engine.delivery.mailbox_sender import MailboxSender
from p2pchat.engine.delivery.queues import QueueSource
from p2pchat.engine.receiving import confirmed, inbound
from p2pchat.engine.receiving.inbound import Taken
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import Effects, OutgoingEnvelope
from p2pchat.engine.runtime.inbox import Input
from p2pchat.engine.runtime.timers import Timers
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import ProfileError
from p2pchat.ports import Clock, Net, OwnQueue, Relay, TheirQueue
from p2pchat.store import envelopes as store_envelopes

ACK_TIMEOUT_SECONDS = 10.0
"""Seconds within which a link has to deliver an ack; otherwise envelopes are sent through relays as well."""
COLLECT_FIRST_SECONDS = 20.0
"""Seconds in which a contact who has reconnected can collect its mail, before the link delivers the same envelopes."""
MIN_RECEIPT_DELAY_SECONDS, MAX_RECEIPT_DELAY_SECONDS = 1.0, 60.0
"""Bounds of the random delay of receipts if no link shows that we are online: an immediate answer would tell a relay
which deposits belong together (Martiny et al., "Improving Signal's Sealed Sender", NDSS 2021)."""

MAX_FOREIGN = 64
"""Relays that the user did not choose and that are watched at a time."""
FOREIGN_ROTATION_SECONDS = 600.0
"""Seconds until it is the turn of others."""

TimerKey = (
    tuple[Literal["acks", "let by", "receipts"], ContactId] | tuple[Literal["pause"], int] | tuple[Literal["turn"]]
)
QueueKey = tuple[RelayName, QueueId]
"""(name of a mailbox, id of a queue)"""


@dataclass
class WatchedMailbox:
    """The queues that are collected from one mailbox. active: whether they are watched now; only relays that the user
    chose always are.
    """

    relay: Relay
    queues: dict[QueueId, OwnQueue] = field(default_factory=dict)
    sources: dict[QueueId, QueueSource] = field(default_factory=dict)
    active: bool = False


@dataclass
class QueueProgress:
    """How far a queue has been processed since it was last asked. number: which asking that was. upto: the last place
    that was handled. off: the places that are not on disk: they were postponed, or could not be saved.
    """

    number: int
    upto: int = 0
    off: set[int] = field(default_factory=set)

    @property
    def on_disk(self) -> int:
        """The place up to which everything is on disk, so that the relay can delete it."""
        return min(self.off) - 1 if self.off else self.upto


class MailboxHandler:
    """The engine's side of mailboxes: implements `ports.MailboxCallbacks`, and decides what to watch and deposit."""

    def __init__(
        self,
        committer: Committer,
        net: Net,
        clock: Clock,
        random: Random,
        presence: Presence,
        link_sender: LinkSender,
    ) -> None:
        self._committer = committer
        self._net = net
        self._random = random
        self._presence = presence
        self._link_sender = link_sender
        self._nobodys = OwnQueue(random(KEY_BYTES), sign_public(random(KEY_BYTES)))
        self._watched: dict[RelayName, WatchedMailbox] = {}
        self._inlets: dict[MailOwner, dict[QueueKey, Inlet]] = {}
        self._ours: Mapping[PeerKey, Relay] = {}
        self._taken: dict[QueueKey, QueueProgress] = {}
        self._numbers = count()
        self._turn = 0
        self._stalled: set[ContactId] = set()
        self._progress: dict[ContactId, int | None] = {}
        self._timers: Timers[TimerKey] = Timers(self._on_timer)
        self.sender = MailboxSender(self._deposit, clock, self._refill, self._pause)

    # --- what is wanted

    def use(self, known: MailboxQueues) -> None:
        """Update what is watched and deposited to what was read from the store."""
        inlets, outlets = dict(known.inlets), dict(known.outlets)
        self._ours = known.ours
        if known.whole:
            for owner in self._inlets.keys() - inlets.keys() - {NO_DEVICE}:
                inlets[owner] = ()
            for owner in self.sender.known() - outlets.keys():
                outlets[owner] = ()
        changes: dict[RelayName, _Change] = {}
        for owner, sources in inlets.items():
            self._change(owner, () if self._is_withheld(owner) else sources, changes)
        self._change(NO_DEVICE, self._for_nobody(known.ours), changes)
        owners = self.sender.owners
        for owner, ways in outlets.items():
            self.sender.use(owner, ways)
        self._tell(changes)
        self._show(owners ^ self.sender.owners)

    def _change(self, owner: MailOwner, inlets: Sequence[Inlet], changes: dict[RelayName, _Change]) -> None:
        """Set the queues that are collected from for `owner`, and add what the net has to be told to `changes`."""
        before = self._inlets.pop(owner, {})
        after = {(inlet.relay.mailbox, inlet.qid): inlet for inlet in inlets}
        if after:
            self._inlets[owner] = after
        for (name, qid), inlet in after.items():
            watched = self._watched.setdefault(name, WatchedMailbox(inlet.relay))
            if before.pop((name, qid), None) != inlet:
                watched.queues[qid], watched.sources[qid] = inlet.queue, inlet.source
                changes.setdefault(name, _Change()).add(qid, relay=inlet.relay)
        for name, qid in before:
            del self._watched[name].queues[qid], self._watched[name].sources[qid]
            if not self._is_withheld(owner):  # otherwise collecting continues from here
                self._taken.pop((name, qid), None)
            changes.setdefault(name, _Change()).drop.append(qid)

    def _is_withheld(self, owner: MailOwner) -> bool:
        return contact_of(owner) in self._committer.storage_limits.withheld

    def _withhold(self, contact: ContactId) -> None:
        """Leave a contact's mail at the relays, until their queues are read from the store again."""
        owner = first_device(contact)
        if owner in self._inlets:
            changes: dict[RelayName, _Change] = {}
            self._change(owner, (), changes)
            self._change(NO_DEVICE, self._for_nobody(self._ours), changes)
            self._tell(changes)

    def _for_nobody(self, ours: Mapping[PeerKey, Relay]) -> list[Inlet]:
        """Return an unused queue for each of our relays that has none, so that its health is known."""
        qid, nobody = self._nobodys.queue.id, QueueSource("nobody", NO_DEVICE)
        bare = [relay for relay in ours.values() if not self._has_other(relay.mailbox, qid)]
        return [Inlet(relay, qid, nobody, self._nobodys) for relay in bare]

    def _has_other(self, name: RelayName, qid: QueueId) -> bool:
        queues = self._watched[name].queues if name in self._watched else {}
        return len(queues) > (qid in queues)

    def _tell(self, changes: Mapping[RelayName, _Change]) -> None:
        """Tell the net what to watch."""
        boxes = self._net.mailboxes
        for name, change in changes.items():
            watched = self._watched[name]
            watched.relay = change.relay or watched.relay
            if watched.active:
                add = [self._with_place(name, qid) for qid in change.new if qid in watched.queues]
                boxes.change(watched.relay, add, [qid for qid in change.drop if qid not in watched.queues])
            if not watched.queues:
                del self._watched[name]
        wanted = self._wanted()
        for name, watched in self._watched.items():
            if watched.active != (name in wanted):
                watched.active = name in wanted
                queues = [self._with_place(name, qid) for qid in watched.queues] if watched.active else []
                boxes.watch(watched.relay, queues)

    def _wanted(self) -> set[RelayName]:
        """Return the mailboxes to watch now."""
        foreign = [name for name, watched in self._watched.items() if not watched.relay.chosen]
        if len(foreign) > MAX_FOREIGN:
            self._timers.set(("turn",), FOREIGN_ROTATION_SECONDS)
            ranks = self._ranks()
            foreign.sort(key=lambda name: (ranks[name], name))
            begin = self._turn % len(foreign)
            foreign = [*foreign[begin:], *foreign[:begin]][:MAX_FOREIGN]
        return {name for name, watched in self._watched.items() if watched.relay.chosen}.union(foreign)

    def _ranks(self) -> dict[bytes, int]:
        """Return the rank of each mailbox: whether it is the first, second … of the contact that uses it most."""
        ranks: dict[bytes, int] = {}
        for inlets in self._inlets.values():
            for rank, name in enumerate(dict.fromkeys(name for name, _ in inlets)):
                ranks[name] = min(rank, ranks.get(name, rank))
        return ranks

    @property
    def in_turn(self) -> int:
        """The number of relays that wait for their turn to be watched."""
        return sum(not watched.active for watched in self._watched.values())

    def _with_place(self, name: RelayName, qid: QueueId) -> OwnQueue:
        taking = self._taken.get((name, qid))
        queue = self._watched[name].queues[qid]
        return queue if taking is None else replace(queue, after=taking.on_disk)

    @property
    def busy(self) -> bool:
        """Whether something is about to be sent to relays, within a minute or so."""
        return self.sender.under_way or any(key[0] == "receipts" for key in self._timers)

    async def run(self) -> None:
        """Run the timers until cancelled."""
        for contact in await self._committer.read(store_envelopes.contacts_owed):
            self._schedule_receipts(contact)
        await self._timers.run()

    # --- from the network

    async def collected(self, relay: RelayName, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Handle blobs from a watched queue: (place, blob), in order."""
        watched = self._watched.get(relay)
        source = None if watched is None else watched.sources.get(qid)
        if source is None or source.kind == "nobody":
            return
        brief = source.kind == "contact"
        number = self._progress_of((relay, qid)).number
        for place, blob in blobs:
            await self._committer.room()
            ended = partial(self._ended, (relay, qid), number, place)
            args = (source, relay, qid, number, place, blob)
            self._committer.post(_take_blob, *args, sender=relay, brief=brief, then=ended)

    def _progress_of(self, key: QueueKey) -> QueueProgress:
        if key not in self._taken:
            self._taken[key] = QueueProgress(next(self._numbers))
        return self._taken[key]

    def _ended(self, key: QueueKey, number: int, place: int, item: Input) -> None:
        """Remember what could not be saved: later blobs may be, and must not have it deleted at the relay."""
        progress = self._taken.get(key)
        if progress is not None and progress.number == number and isinstance(item.error, ProfileError):
            progress.off.add(place)

    def deposited(self, relay: RelayName, done: Sequence[tuple[int, int]]) -> None:
        """Handle a relay's answers to deposits: (number, code). Accepted ones are saved lazily, like acks: losing that
        costs a repetition.
        """
        taken, paused = self.sender.results(done)
        by_owner: dict[MailOwner, list[tuple[int, EnvelopeId]]] = {}
        for queue, name in taken:
            if (outlet := self.sender.get(queue)) is not None:
                by_owner.setdefault(outlet.row.owner, []).append((queue, name))
        for owner, copies in by_owner.items():
            reached = self.sender.reached
            self._committer.post(confirmed.deposited, owner, relay, copies, reached, lazy=True, brief=True)
        self._settle(paused)

    def undeposited(self, relay: RelayName, numbers: Sequence[int]) -> None:
        """Continue without a relay that was not reached or did not answer. numbers: those of the deposits concerned."""
        self._settle(self.sender.lost(numbers))

    def relay_up(self, relay: RelayName) -> None:
        """Start depositing at a relay that has connected."""
        self._note(relay, True)
        self.sender.begin_anew(relay)

    def relay_down(self, relay: RelayName, *, tried: bool) -> None:
        """Note that there is no stream with a relay. Its unanswered deposits are returned separately."""
        self._note(relay, False if tried else None)

    def relays_told(self, relay: PeerKey, descriptors: Sequence[bytes]) -> None:
        """Take in what a relay has told of itself and of others."""
        self._committer.post(relay_web.told_by_relay, relay, descriptors)

    def _note(self, relay: RelayName, answers: bool | None) -> None:
        after = self.sender.answers.noted(relay, answers)
        if after != self.sender.answers:
            before = {owner for owner in self.sender.owners if self.sender.accepts(owner)}
            self.sender.answers = after
            self._show(before ^ {owner for owner in self.sender.owners if self.sender.accepts(owner)})

    def _show(self, owners: Iterable[MailOwner]) -> None:
        for owner in owners:
            self._presence.changed(contact_of(owner))

    def _settle(self, owners: Iterable[MailOwner]) -> None:
        for owner in owners:  # mail at other relays does not wait for this one any more
            self._committer.post(confirmed.settle, owner, self.sender.reached)

    # --- links

    def link_up(self, contact: ContactId) -> bool:
        """Send envelopes for this contact over a link from now on. Return whether relays may hold some for it."""
        self._stalled.discard(contact)
        self.sender.linked(first_device(contact))
        has_queues = first_device(contact) in self.sender.owners
        if has_queues:
            self._timers.set(("let by", contact), COLLECT_FIRST_SECONDS)
        return has_queues

    def link_down(self, contact: ContactId) -> None:
        """Send envelopes for this contact through relays, if no link is left."""
        if self._net.route(contact) is None:
            self._stalled.discard(contact)
            self.sender.unlinked(first_device(contact))

    def stalled(self, contact: ContactId) -> None:
        """Send what waits for this contact by relays too, until the link brings an ack again."""
        if contact not in self._stalled:
            self._stalled.add(contact)
            self.sender.unlinked(first_device(contact))

    def acked(self, contact: ContactId) -> None:
        """Stop sending to this contact through relays, because its link works."""
        if contact in self._stalled:
            self._stalled.discard(contact)
            self.sender.linked(first_device(contact))

    # --- after a transaction

    def release(self, effects: Effects, sealed: Mapping[ContactId, Sequence[OutgoingEnvelope]]) -> None:
        """Release what a committed transaction has for relays: permission to delete, and `sealed` envelopes for
        contacts without a link.
        """
        for contact, envelopes in sealed.items():
            self._release(contact, envelopes, receipts=contact in effects.told)
        for contact in effects.owing:
            self._schedule_receipts(contact)
        for (name, qid, number), places in effects.taken.items():
            taking = self._taken.get((name, qid))
            if taking is None or taking.number != number:  # it was asked again meanwhile, and comes again
                continue
            for place, on_disk in places.items():
                taking.upto = max(taking.upto, place)
                if on_disk:
                    taking.off.discard(place)
                else:
                    taking.off.add(place)
            self._net.mailboxes.taken(name, qid, taking.on_disk)
        for (name, owner), names in effects.mailed.items():
            for (other, qid), inlet in self._inlets.get(owner, {}).items():
                if other != name and not inlet.queue.retired:  # retired queues have no copies elsewhere
                    self._net.mailboxes.forget(other, qid, names)
        for contact in effects.withheld:
            if contact in self._committer.storage_limits.withheld:
                self._withhold(contact)

    def _release(self, contact: ContactId, sealed: Sequence[OutgoingEnvelope], *, receipts: bool) -> None:
        if self._net.route(contact) is not None:
            if first_device(contact) in self.sender.owners:
                self._watch_acks(contact)
            if contact not in self._stalled:
                return
        at_once = [envelope for envelope in sealed if receipts or kind_of(envelope.kind).receipted]
        if len(at_once) < len(sealed):
            self._schedule_receipts(contact)
        self.sender.release(first_device(contact), at_once)

    def _schedule_receipts(self, contact: ContactId) -> None:
        share = int.from_bytes(self._random(2), "big") / 0xFFFF
        self._timers.set(
            ("receipts", contact),
            MIN_RECEIPT_DELAY_SECONDS + share * (MAX_RECEIPT_DELAY_SECONDS - MIN_RECEIPT_DELAY_SECONDS),
        )

    def ask_again(self, relay: RelayName) -> None:
        """Fetch again what came from this relay and could not be saved, and read again what to deposit there."""
        if (watched := self._watched.get(relay)) is not None:
            self._net.mailboxes.watch(watched.relay, ())
            for qid in watched.queues:
                if (taking := self._taken.get((relay, qid))) is not None:  # retired ones have no copies
                    self._taken[relay, qid] = QueueProgress(next(self._numbers), taking.on_disk)
            watched.active = False
            self._tell({})
        self.sender.begin_anew(relay)

    def _deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        self._net.mailboxes.deposit(relay, queue, hours, blobs)

    # --- time

    def _watch_acks(self, contact: ContactId) -> None:
        if contact not in self._progress:
            self._progress[contact] = self._link_sender.windows.progress(contact)
            self._timers.set(("acks", contact), ACK_TIMEOUT_SECONDS)

    def _check_acks(self, contact: ContactId) -> None:
        """Treat a link as absent if it accepts everything and acks nothing."""
        before, now = self._progress.pop(contact, None), self._link_sender.windows.progress(contact)
        if self._net.route(contact) is None:
            return
        if now == before is not None:
            self.stalled(contact)
        if now is not None:
            self._watch_acks(contact)

    def _refill(self, queue: int) -> None:
        outlet = self.sender.get(queue)
        self._committer.post(self.sender.read, queue, sender=None if outlet is None else outlet.relay.mailbox)

    def _pause(self, queue: int, seconds: float) -> None:
        self._timers.set(("pause", queue), seconds)

    def _on_timer(self, key: TimerKey) -> None:
        if key[0] == "pause":
            self.sender.resume(key[1])
        elif key[0] == "let by":
            self._link_sender.release_held(key[1])
        elif key[0] == "acks":
            self._check_acks(key[1])
        elif key[0] == "turn":
            self._turn += MAX_FOREIGN
            self._tell({})
        else:
            self._committer.post(self._receipts, key[1])

    def _receipts(self, tx: Transaction, contact: ContactId) -> None:
        outbound.tell_owed(tx, contact)
        tx.told.add(contact)
        tx.after(self.sender.recheck, contact)  # and read receipts


@dataclass
class _Change:
    """The changes of one mailbox that the net has to be told."""

    relay: Relay | None = None
    new: list[QueueId] = field(default_factory=list)
    drop: list[QueueId] = field(default_factory=list)

    def add(self, qid: QueueId, relay: Relay) -> None:
        """Add a queue, or replace one."""
        self.new.append(qid)
        self.relay = relay


def _take_blob(
    tx: Transaction, source: QueueSource, name: RelayName, qid: QueueId, number: int, place: int, blob: bytes
) -> None:
    taken = Taken.YES
    if source.kind == "contact":
        envelope = envelope_id(blob)
        taken = inbound.mailed(tx, contact_of(source.owner), envelope, blob)
        if taken is Taken.YES:
            tx.mailed.setdefault((name, source.owner), []).append(envelope)
    elif source.kind == "invite":
        invites.mailed(tx, InviteId(source.owner), blob)
    else:
        joining.boxed(tx, contact_of(source.owner), PeerKey(name[:KEY_BYTES]), blob)
    tx.taken.setdefault((name, qid, number), {})[place] = taken in (Taken.YES, Taken.UNREADABLE)
    if taken is Taken.LATER:  # until then it is only in memory, and the relay keeps it
        tx.later(name, _take_blob, source, name, qid, number, place, blob)
