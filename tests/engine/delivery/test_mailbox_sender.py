"""Deposits at relays that are away; what is deposited and what becomes of it is in `world/test_mailbox`."""

from __future__ import annotations

from p2pchat.core.frames import ENVELOPE, Frame
from p2pchat.core.ids import ContactId, DeviceId, EnvelopeId, PeerKey
from p2pchat.core.relays import Relay
from p2pchat.engine.delivery.mailbox_queues import Outlet
from p2pchat.engine.delivery.mailbox_sender import UNREACHED_PAUSE, MailboxSender
from p2pchat.engine.runtime.effects import OutgoingEnvelope
from p2pchat.store.queues import TheirQueueRow

RELAY = Relay(PeerKey(b"r" * 32), (b"address",))
QUEUES = range(1, 301)


def outlet(id: int, relay: Relay = RELAY, *, sure: bool = True) -> Outlet:
    device = DeviceId(id.to_bytes(8, "big"))
    row = TheirQueueRow(device, None, relay.peer, b"address", b"", b"f" * 32, b"p" * 32, 0, 1 << 40, id)
    return Outlet(row, relay, sure)


def test_something_can_be_left_while_a_relay_of_theirs_answers_or_may_answer() -> None:
    sender = MailboxSender(lambda *put: None, lambda: 0, lambda id: None, lambda id, seconds: None)
    lake = Relay(PeerKey(b"l" * 32), (b"there",))
    first, second = DeviceId(b"first   "), DeviceId(b"second  ")
    sender.use(first, [outlet(1), outlet(2, lake)])
    sender.use(second, [outlet(3, lake), outlet(4, sure=False)])
    assert sender.accepts(first)
    sender.answers = sender.answers.noted(lake.mailbox, False).noted(RELAY.mailbox, True)
    assert sender.accepts(first)
    assert sender.accepts(second), "a circuit may lead to one that answers"
    sender.use(first, [outlet(2, lake)])
    assert not sender.accepts(first)
    assert not sender.accepts(DeviceId(b"nobody  "))
    sender.use(first, ())
    sender.use(second, ())
    assert not sender.answers.silent, "nobody needs it"


def test_one_queue_tries_a_relay_that_is_away_for_all_that_lead_there() -> None:
    numbers: list[int] = []
    reads: list[int] = []
    pauses: dict[int, float] = {}
    now = 0
    sender = MailboxSender(
        lambda relay, queue, hours, blobs: numbers.extend(number for number, _ in blobs),
        lambda: now,
        reads.append,
        pauses.__setitem__,
    )
    for id in QUEUES:
        device = DeviceId(id.to_bytes(8, "big"))
        row = TheirQueueRow(device, None, RELAY.peer, b"address", b"", b"f" * 32, b"p" * 32, 0, 1 << 40, id)
        sender.use(device, [Outlet(row, RELAY)])
        envelope = OutgoingEnvelope(ContactId(device), 0, id, EnvelopeId(bytes(16)), Frame(ENVELOPE, bytes(4096)))
        sender._write(id, [envelope])
    sender.lost(numbers)
    assert len(pauses) == len(QUEUES)
    reads.clear()
    for _ in range(3):  # pauses that end together
        now += round(1000 * UNREACHED_PAUSE)
        ended = sorted(pauses)
        pauses.clear()
        for id in ended:
            sender.resume(id)
        assert len(reads) == 1
        assert len(pauses) == len(QUEUES) - 1
        numbers.clear()
        sender._write(reads.pop(), [envelope])
        sender.lost(numbers)
    sender.begin_anew(RELAY.mailbox)
    assert sorted(reads) == [*QUEUES]
