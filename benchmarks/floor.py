"""The least that a message costs, in one process without loop or socket: `python -m benchmarks.floor`.

A message and its receipt are three transactions: its sender saves it with its envelope; its reader opens that, saves
the message, what is remembered of the envelope, and a receipt; its sender opens the receipt and forgets the envelope.
Here these three run one after another, with the store's own statements and FULL commits, and nothing between them. Both
profiles lie in one folder, as they do in the other measurements.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from p2pchat.core import delivery, handshake, ratchet
from p2pchat.core.content import Content, decode_content, encode_content, new_message_id
from p2pchat.core.contents import Payload, Receipt, Text
from p2pchat.core.contents.receipt import DELIVERED, MAX_RECEIPTS
from p2pchat.core.delivery import DeliveryEvent, DeliveryState, Route
from p2pchat.core.envelope import envelope_id
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, MessageId, SessionId, direct_chat, first_device
from p2pchat.core.prekeys import make_set, open_bundle
from p2pchat.core.primitives import Entropy, system_entropy
from p2pchat.core.session import Session, open_envelope, seal
from p2pchat.store import contacts, envelopes, messages, outbox, sessions
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.sessions import SessionRow

NOW = 1_800_000_000_000
ROUND_TRIPS = 200
BATCHES = 30
_PEER = ContactId(b"contact.")


@dataclass
class Floor:
    """What was measured. A flood is in batches of as many as one receipt names, on a core for each side."""

    round_trip_ms: float
    messages_per_s: float


@dataclass
class Side:
    """One person's store and session."""

    db: Database
    session: Session
    entropy: Entropy
    said: int = 0

    def prepare(self, contact: Contact) -> None:
        """Save what is there before the first message."""
        with self.db.transaction():
            contacts.add(self.db, contact)
            self.save()

    def save(self) -> None:
        """Save the session."""
        one = self.session
        state = ratchet.dump(one.ratchet)
        row = SessionRow(
            one.session_id,
            first_device(_PEER),
            one.initiator,
            one.pair_root,
            one.sas,
            state,
            NOW,
            one.confirmed,
            one.ends_at,
            False,
        )
        sessions.save(self.db, row)

    def queue(self, payload: Payload, message_id: MessageId, seq: int) -> bytes:
        """Seal a content and put it into the outbox; its envelope."""
        content = encode_content(Content(payload, message_id, seq, NOW))
        chain = self.session.ratchet.chain
        sealed = seal(self.session, content, self.entropy.random)
        self.session = sealed.session
        row = OutboxRow(
            first_device(_PEER),
            payload.number,
            message_id if payload.KIND.receipted else None,
            content,
            NOW,
            0,
            NOW,
            envelope_id=envelope_id(sealed.envelope),
            session_id=SessionId(_PEER),
            chain=chain,
            seal=ratchet.dump_seal(sealed.message_seal),
        )
        outbox.add(self.db, row)
        return sealed.envelope

    def open(self, envelope: bytes) -> Content:
        """Open an envelope and remember it."""
        opened = open_envelope(self.session, envelope, lambda chain, number: None, self.entropy)
        self.session = opened.session
        content = decode_content(opened.content)
        envelopes.remember(self.db, [SeenRow(envelope_id(envelope), _PEER, content.message_id, NOW, NOW)])
        return content

    def send(self, count: int) -> list[bytes]:
        """The first transaction: so many messages; their envelopes."""
        with self.db.transaction():
            sealed = []
            for _ in range(count):
                self.said += 1
                text, message_id = Text(f"message {self.said}"), new_message_id(NOW + self.said, self.entropy.random)
                row = MessageRow(
                    message_id, direct_chat(_PEER), ME, 0, self.said, text.written, NOW, DeliveryState.SAVED
                )
                messages.insert(self.db, row)
                sealed.append(self.queue(text, message_id, self.said))
            self.save()
        return sealed

    def receive(self, sealed: Sequence[bytes]) -> bytes:
        """The second: open them and queue a receipt, which is returned."""
        with self.db.transaction():
            ids = []
            for envelope in sealed:
                content = self.open(envelope)
                text = content.payload.text()
                row = MessageRow(
                    content.message_id,
                    direct_chat(_PEER),
                    _PEER,
                    0,
                    content.seq,
                    text,
                    NOW,
                    DeliveryState.RECEIVED,
                    NOW,
                    Route.DIRECT,
                )
                messages.insert(self.db, row)
                ids.append(content.message_id)
            receipt = self.queue(Receipt(DELIVERED, tuple(ids)), new_message_id(NOW, self.entropy.random), 0)
            self.save()
        return receipt

    def finish(self, receipt: bytes) -> None:
        """The third: what the receipt names has arrived."""
        with self.db.transaction():
            payload = self.open(receipt).payload
            assert isinstance(payload, Receipt)
            outbox.forget_messages(self.db, first_device(_PEER), payload.ids)
            sources = delivery.sources(DeliveryEvent.DELIVERED)
            moved = messages.set_state(
                self.db,
                direct_chat(_PEER),
                payload.ids,
                delivery.target(DeliveryEvent.DELIVERED),
                NOW,
                came_from=sources,
                route=Route.DIRECT,
            )
            assert len(moved) == len(payload.ids)
            self.save()


def measure(round_trips: int = ROUND_TRIPS, batches: int = BATCHES) -> Floor:
    """Run both."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-floor-") as place:
        one, other = _two(Path(place))
        try:
            for _ in range(10):
                _round_trip(one, other)
            took = [_round_trip(one, other) for _ in range(round_trips)]
            rates = [_batch(one, other) for _ in range(batches)]
        finally:
            one.db.close()
            other.db.close()
    return Floor(statistics.median(took), statistics.median(rates))


def _round_trip(one: Side, other: Side) -> float:
    """Milliseconds for one message and its receipt."""
    began = time.perf_counter()
    one.finish(other.receive(one.send(1)))
    return (time.perf_counter() - began) * 1000


def _batch(one: Side, other: Side) -> float:
    """Messages a second, where each side has a core: the slower one's rate."""
    began = time.perf_counter()
    sealed = one.send(MAX_RECEIPTS)
    sent = time.perf_counter()
    receipt = other.receive(sealed)
    received = time.perf_counter()
    one.finish(receipt)
    finished = time.perf_counter()
    return MAX_RECEIPTS / max(sent - began + finished - received, received - sent)


def _two(place: Path) -> tuple[Side, Side]:
    entropy = system_entropy()
    me, you = Device.fresh(entropy.random), Device.fresh(entropy.random)
    prekeys = make_set(you, NOW // 1000 + 86_400, one_time=True, random=entropy.random)
    first, initial = handshake.initiate(me, open_bundle(prekeys.bundle), b"hello", NOW, entropy)
    second, _ = handshake.respond(you, prekeys, handshake.parse(initial), entropy)
    sides = []
    for name, session in (("one", first), ("other", second)):
        db = Database.create(place / f"{name}.db", os.urandom(32))
        side = Side(db, session, entropy)
        side.prepare(Contact(_PEER, name, True, ContactState.CONTACT, b"identity", b"device", b"bundle", True, NOW))
        sides.append(side)
    # both sides can send only once each has heard of the other in this session
    sides[0].open(sides[1].queue(Text("hello"), MessageId(bytes(16)), 1))
    return sides[0], sides[1]


if __name__ == "__main__":
    floor = measure()
    print(f"round trip {floor.round_trip_ms:.2f} ms, a flood {floor.messages_per_s:.0f} messages/s")
