"""Mail: what comes from mailboxes goes into turns, and what is committed goes to mailboxes where no link takes it.

Which queues are watched and deposited in follows from the store alone: whoever changes relays, queues or invites says
so in its turn (`mail_changed`), and all of it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from p2pchat.core import content as contents
from p2pchat.core import mailbox
from p2pchat.core.invite import ROLE_RELAY, decode_invite
from p2pchat.core.primitives import KEY, sign_public
from p2pchat.engine import inbound, invites, outbound
from p2pchat.engine.alarm import Alarms
from p2pchat.engine.deposits import Deposits
from p2pchat.engine.ports import OwnQueue, Relay, TheirQueue
from p2pchat.engine.queues import Source
from p2pchat.engine.turn import Sealed, Turn
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import queues as store_queues
from p2pchat.store import relays as store_relays
from p2pchat.store.database import Database
from p2pchat.store.queues import TheirQueueRow

if TYPE_CHECKING:
    from p2pchat.engine.engine import Engine

UNACKED = 10.0
"""Seconds in which a link has to bring an ack of what is under way on it; else it counts as none."""
LET_BY = 20.0
"""Seconds that a contact who is back has to collect what lies at relays, before a link brings it too."""
RECEIPTS_AFTER, RECEIPTS_BEFORE = 1.0, 60.0
"""Seconds that receipts wait where no link shows anyway that we are here: an answer at once would tell a relay which
deposits belong together (Martiny et al., "Improving Signal's Sealed Sender", NDSS 2021).
"""

Alarm = tuple[Literal["acks", "let by", "receipts"], bytes] | tuple[Literal["pause"], int]


@dataclass
class Watched:
    """What is collected at one relay."""

    relay: Relay
    queues: dict[bytes, OwnQueue] = field(default_factory=dict)
    sources: dict[bytes, Source] = field(default_factory=dict)

    def add(self, qid: bytes, source: Source, queue: OwnQueue) -> None:
        """One queue more."""
        self.queues[qid], self.sources[qid] = queue, source


@dataclass(frozen=True, slots=True)
class Known:
    """What the store says about mailboxes: what to watch, by relay, and what to deposit in."""

    watched: Mapping[bytes, Watched]
    theirs: Sequence[TheirQueueRow]


class Mail:
    """The engine's end of the mailboxes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._nobodys = OwnQueue(engine.entropy.random(KEY), sign_public(engine.entropy.random(KEY)))
        self._watched: Mapping[bytes, Watched] = {}
        self._taken: dict[tuple[bytes, bytes], int] = {}
        self._stalled: set[bytes] = set()
        self._progress: dict[bytes, int | None] = {}
        self._alarms: Alarms[Alarm] = Alarms(self._ring)
        self.deposits = Deposits(self._deposit, engine.clock, self._refill, self._pause)

    # --- what is wanted

    def read(self, db: Database) -> Known:
        """What the store says. A relay of ours without a queue gets one that nobody knows: so we hear how it does."""
        watched: dict[bytes, Watched] = {}
        ours = {row.peer: Relay(row.peer, row.addresses, row.token) for row in store_relays.all(db)}

        def at(peer: bytes, addresses: tuple[bytes, ...], token: bytes) -> Watched:
            return watched.setdefault(peer, Watched(ours.get(peer, Relay(peer, addresses, token))))

        for qid, row in store_queues.own(db):
            source = Source("invite", row.invite or b"") if row.contact is None else Source("contact", row.contact)
            at(row.relay, row.addresses, row.token).add(qid, source, OwnQueue(row.fetch_seed, row.put, row.flags))
        theirs = store_queues.theirs(db)
        opened = {(row.contact, row.relay) for row in theirs if row.flags == mailbox.STAMPED}
        for contact in store_contacts.all(db):
            if contact.invite is None or contact.state not in ("waiting", "contact"):
                continue
            invite = decode_invite(contact.invite)
            if invite.writer is None:  # no relay, or made before boxes had a writer
                continue
            box = OwnQueue(mailbox.invite_box(invite.secret), invite.writer, mailbox.BOX)
            for way in invite.ways:
                if way.role == ROLE_RELAY and (contact.id, way.peer) not in opened:
                    at(way.peer, (way.address,), way.token).add(box.queue.id, Source("box", contact.id), box)
        for peer in ours.keys() - watched.keys():
            at(peer, (), b"").add(self._nobodys.queue.id, Source("nobody", b""), self._nobodys)
        return Known(watched, theirs)

    def use(self, known: Known) -> None:
        """Watch and deposit there from now on."""
        before, self._watched = self._watched, known.watched
        for relay, watched in known.watched.items():
            old = before.get(relay)
            if old is None or (old.relay, old.queues) != (watched.relay, watched.queues):
                self._watch(watched)
        for relay in before.keys() - known.watched.keys():
            self._engine.net.mailboxes.watch(before[relay].relay, ())
        places = {(relay, qid) for relay, watched in known.watched.items() for qid in watched.queues}
        self._taken = {place: upto for place, upto in self._taken.items() if place in places}
        owners = self.deposits.owners
        self.deposits.use(known.theirs)
        for contact in owners ^ self.deposits.owners:
            self._engine.presence.changed(contact)

    def _watch(self, watched: Watched) -> None:
        relay = watched.relay
        queues = [replace(one, after=self._taken.get((relay.peer, qid), 0)) for qid, one in watched.queues.items()]
        self._engine.net.mailboxes.watch(relay, queues)

    @property
    def busy(self) -> bool:
        """Whether something is about to leave for relays, within a minute or so."""
        return self.deposits.under_way or any(alarm[0] == "receipts" for alarm in self._alarms)

    async def run(self) -> None:
        """Keep time, until cancelled."""
        for contact in await self._engine.read(store_envelopes.creditors):
            self._owe(contact)
        await self._alarms.run()

    # --- from the network

    async def collected(self, relay: bytes, qid: bytes, blobs: Sequence[tuple[int, bytes]]) -> None:
        """What came from a queue we watch."""
        engine, watched = self._engine, self._watched.get(relay)
        source = None if watched is None else watched.sources.get(qid)
        if source is None or source.kind == "nobody":
            return
        brief = source.kind == "contact"
        for place, blob in blobs:
            await engine.room()
            engine.post(_take, source, relay, qid, place, blob, sender=relay, brief=brief)

    def deposited(self, relay: bytes, done: Sequence[tuple[int, int]]) -> None:
        """A relay answered deposits. What it took is noted as acks are: to lose one costs a repetition."""
        taken, paused = self.deposits.results(done)
        by_owner: dict[bytes, list[tuple[int, bytes]]] = {}
        for queue, envelope_id in taken:
            if (row := self.deposits.get(queue)) is not None:
                by_owner.setdefault(row.owner, []).append((queue, envelope_id))
        for owner, some in by_owner.items():
            reached = self.deposits.reached
            self._engine.post(inbound.deposited, owner, relay, some, reached, lazy=True, brief=True)
        self._settle(paused)

    def undeposited(self, relay: bytes, numbers: Sequence[int]) -> None:
        """A relay was not reached, or did not answer."""
        self._settle(self.deposits.lost(numbers))

    def relay_up(self, relay: bytes) -> None:
        """A relay answers: give it what waits."""
        self.deposits.begin_anew(relay)

    def relay_down(self, relay: bytes) -> None:
        """A relay does not answer any more. What was under way there is given back by itself."""

    def _settle(self, owners: Iterable[bytes]) -> None:
        for owner in owners:  # what lies elsewhere does not wait for this relay any more
            self._engine.post(inbound.settle, owner, self.deposits.reached)

    # --- links

    def link_up(self, contact: bytes) -> bool:
        """What is for this contact goes by a link now; whether something may lie at relays for it."""
        self._stalled.discard(contact)
        self.deposits.linked(contact)
        has_queues = contact in self.deposits.owners
        if has_queues:
            self._alarms.set(("let by", contact), LET_BY)
        return has_queues

    def link_down(self, contact: bytes) -> None:
        """Perhaps no link is left."""
        if self._engine.net.route(contact) is None:
            self._stalled.discard(contact)
            self.deposits.unlinked(contact)

    def acked(self, contact: bytes) -> None:
        """The link with this contact works."""
        if contact in self._stalled:
            self._stalled.discard(contact)
            self.deposits.linked(contact)

    # --- after a turn

    def release(self, turn: Turn, sealed: Mapping[bytes, Sequence[Sealed]]) -> None:
        """A turn is on disk: these are for contacts, and written where there is a link."""
        for contact, some in sealed.items():
            self._release(contact, some, receipts=contact in turn.told)
        for contact in turn.owing:
            self._owe(contact)
        for (relay, qid), upto in turn.taken.items():
            self._taken[relay, qid] = max(upto, self._taken.get((relay, qid), 0))
            self._engine.net.mailboxes.taken(relay, qid, upto)

    def _release(self, contact: bytes, sealed: Sequence[Sealed], *, receipts: bool) -> None:
        if self._engine.net.route(contact) is not None:
            if contact in self.deposits.owners:
                self._watch_acks(contact)
            if contact not in self._stalled:
                return
        at_once = [one for one in sealed if receipts or one.kind != contents.RECEIPT]
        if len(at_once) < len(sealed):
            self._owe(contact)
        self.deposits.release(contact, at_once)

    def _owe(self, contact: bytes) -> None:
        share = int.from_bytes(self._engine.entropy.random(2), "big") / 0xFFFF
        self._alarms.set(("receipts", contact), RECEIPTS_AFTER + share * (RECEIPTS_BEFORE - RECEIPTS_AFTER))

    def hear_again(self, relay: bytes) -> None:
        """What concerned this relay could not be saved: let it come again, and read again what it is to be given."""
        if (watched := self._watched.get(relay)) is not None:
            self._engine.net.mailboxes.watch(watched.relay, ())
            self._watch(watched)
        self.deposits.begin_anew(relay)

    def _deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        self._engine.net.mailboxes.deposit(relay, queue, hours, blobs)

    # --- time

    def _watch_acks(self, contact: bytes) -> None:
        if contact not in self._progress:
            self._progress[contact] = self._engine.flow.progress(contact)
            self._alarms.set(("acks", contact), UNACKED)

    def _look_at_acks(self, contact: bytes) -> None:
        """A link that takes everything and acks nothing is none."""
        before, now = self._progress.pop(contact, None), self._engine.flow.progress(contact)
        if self._engine.net.route(contact) is None:
            return
        if now == before is not None and contact not in self._stalled:
            self._stalled.add(contact)
            self.deposits.unlinked(contact)
        if now is not None:
            self._watch_acks(contact)

    def _refill(self, queue: int) -> None:
        row = self.deposits.get(queue)
        self._engine.post(self.deposits.read, queue, sender=None if row is None else row.relay)

    def _pause(self, queue: int, seconds: float) -> None:
        self._alarms.set(("pause", queue), seconds)

    def _ring(self, alarm: Alarm) -> None:
        if alarm[0] == "pause":
            self.deposits.resume(alarm[1])
        elif alarm[0] == "let by":
            self._engine.flow.let_go(alarm[1])
        elif alarm[0] == "acks":
            self._look_at_acks(alarm[1])
        else:
            self._engine.post(self._receipts, alarm[1])

    def _receipts(self, turn: Turn, contact: bytes) -> None:
        outbound.tell_owed(turn, contact)
        turn.told.add(contact)
        turn.after(self.deposits.look, contact)  # and those that people caused by reading


def _take(turn: Turn, source: Source, relay: bytes, qid: bytes, place: int, blob: bytes) -> None:
    if source.kind == "contact":
        inbound.mailed(turn, source.owner, blob)
    elif source.kind == "invite":
        invites.mailed(turn, source.owner, blob)
    else:
        invites.boxed(turn, source.owner, relay, blob)
    turn.taken[relay, qid] = place
