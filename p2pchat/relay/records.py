"""Presence records at a relay: the newest for each key that signs one (docs/protocol/presence.md).

A record proves by itself that it may be kept: it is signed by the key that it is named by. It lies in the store like
the content of a box, so that it shares the quota of all blobs, survives a restart and is erased when it ends.
"""

from __future__ import annotations

import trio

from p2pchat.core import ipns, mailbox, record_frames
from p2pchat.core.frames import Frame
from p2pchat.core.ids import QueueId
from p2pchat.core.primitives import blake2b
from p2pchat.core.record_frames import RecordAnswer
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS, HOUR_SECONDS
from p2pchat.relay.batches import Batch, Outcome
from p2pchat.relay.clients import ClientStream
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.counts import REASONS, Counts
from p2pchat.relay.limits import PlaceBudget
from p2pchat.relay.store import NewBlob

MAX_AHEAD_MS = 4 * DAY_MS
"""A record that ends later than so many ms from now is refused: ours last for three days where a clock is wrong."""
PUTS_A_STREAM = 64
"""Records that may be put on one stream."""
PLACE_BURST, PLACE_RATE = 1_000, 500 / HOUR_SECONDS
"""Records that may come from one place: at once, and then per second."""


class RecordRequests:
    """Takes the requests of clients that are about records."""

    def __init__(self, clock: RelayClock, counts: Counts) -> None:
        self._clock = clock
        self._counts = counts
        self._budget = PlaceBudget(PLACE_BURST, PLACE_RATE)

    def take(self, client: ClientStream, frame: Frame, batch: Batch) -> None:
        """Add a request to this batch, or refuse it at once. frame: of type 13 or 14. Raises CannotOpen."""
        if frame.type == mailbox.GET_RECORD:
            asked = record_frames.decode_get(frame.body)
            batch.look_up(client, asked.number, record_id(asked.public))
            self._counts.records_asked += 1
            return
        put = record_frames.decode_put(frame.body)
        made = self._checked(client, put.public, put.record)
        if isinstance(made, NewBlob):
            batch.put(client, put.number, made)
        else:
            self._counts.refused[REASONS[made]] += 1
            client.send(Frame(mailbox.RESULTS, mailbox.encode_results([(put.number, made)])))

    def _checked(self, client: ClientStream, public: bytes, raw: bytes) -> NewBlob | int:
        """Return what is to be stored, or the code of the refusal."""
        client.records += 1
        if client.records > PUTS_A_STREAM or not self._budget.take(client.origin, trio.current_time()):
            return mailbox.TOO_FAST
        now, wall = self._clock.now(), self._clock.wall()  # one of them may be wrong: either will do
        try:
            record = ipns.read(ipns.routing_key(public), raw, min(now, wall))
        except CannotOpen:
            return mailbox.MALFORMED
        if record.expires_at > max(now, wall) + MAX_AHEAD_MS:
            return mailbox.MALFORMED
        expires = min(-(-record.expires_at // HOUR_MS), (now + MAX_AHEAD_MS) // HOUR_MS)
        return NewBlob(record_id(public), raw, expires, box=True, source=client.origin.names, record=record)


def record_id(public: bytes) -> QueueId:
    """Return the name under which the store keeps the record of a key. It is no queue's."""
    return QueueId(blake2b(public, b"p2pchat1 record"))


def answer(batch: Batch, outcome: Outcome) -> None:
    """Answer those who asked for records, in frames of one size whether there is one or not."""
    for (client, number, _), record in zip(batch.lookups, outcome.records, strict=True):
        client.waiting -= 1
        client.send(Frame(mailbox.RECORD, record_frames.encode_answer(RecordAnswer(number, record))))
        client.changed.unpark_all()
