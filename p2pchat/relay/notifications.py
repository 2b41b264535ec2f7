"""The watchers of each queue, and pushing new blobs to them.

A watcher is in one of three states. It *follows*, and each new blob is pushed to it at once; it is *reading*, and the
blobs behind its last push are being read from the disk; or it is *behind*, and reading begins once it has taken what
waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

from p2pchat.core import mailbox
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame
from p2pchat.core.mailbox import Blob
from p2pchat.relay.batches import Refill
from p2pchat.relay.clients import ClientStream, OpenQueue


class Pushes:
    """Pushes blobs to watchers. wake: called when there is something to read. holds: returns whether a queue has blobs.
    `pushed` counts blobs.
    """

    def __init__(self, wake: Callable[[], None], holds: Callable[[bytes], bool]) -> None:
        self.pushed = 0
        self._wake = wake
        self._holds = holds
        self._watchers: dict[bytes, dict[OpenQueue, None]] = {}
        self._wanted: dict[OpenQueue, None] = {}

    @property
    def waiting(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._wanted)

    @property
    def watched(self) -> int:
        """The number of watched queues."""
        return len(self._watchers)

    def watch(self, opened: OpenQueue, after: int) -> None:
        """Push everything behind the place `after` of a queue, now and as it arrives."""
        if not opened.watched:
            opened.watched = True
            opened.upto = after
            self._watchers.setdefault(opened.qid, {})[opened] = None
            if self._holds(opened.qid):  # blobs that are being committed are pushed afterwards
                self._read(opened)

    def forget(self, client: ClientStream) -> None:
        """Forget a client that has disconnected."""
        for opened in client.opened.values():
            self._wanted.pop(opened, None)
            if opened.watched:
                watchers = self._watchers[opened.qid]
                del watchers[opened]
                if not watchers:
                    del self._watchers[opened.qid]

    def stored(self, qid: bytes, place: int, blob: bytes) -> None:
        """Push a new blob, which is on the disk at `place`, to the watchers of its queue."""
        for opened in self._watchers.get(qid, ()):
            if not opened.reading and opened not in opened.client.behind:
                self._push(opened, place, blob)

    def catch_up(self, client: ClientStream) -> None:
        """Resume pushing to a client that has taken some of what waited for it."""
        if client.behind and client.may_push:
            behind, client.behind = client.behind, {}
            for opened in behind:
                self._read(opened)

    def next_refill(self) -> Refill | None:
        """Return the next refill, or None if its client cannot take anything now."""
        opened = next(iter(self._wanted))
        del self._wanted[opened]
        if opened.client.may_push:
            return Refill(opened, opened.upto, opened.client.most_pushed - opened.client.pushed)
        opened.reading = False
        opened.client.behind[opened] = None
        return None

    def refilled(self, opened: OpenQueue, rows: list[tuple[int, bytes]], more: bool) -> None:
        """Push the result of a refill, (place, blob) in order; `more`: whether the disk has further blobs."""
        opened.reading = False
        if more:
            opened.client.behind[opened] = None
        for place, blob in rows:
            if not self._push(opened, place, blob):
                break

    def _read(self, opened: OpenQueue) -> None:
        if not opened.reading:
            opened.reading = True
            self._wanted[opened] = None
            self._wake()

    def _push(self, opened: OpenQueue, place: int, blob: bytes) -> bool:
        client = opened.client
        if client.ended or not client.may_push or (client.small and len(blob) > BUCKETS[0]):
            client.behind[opened] = None
            return False
        opened.upto = place
        if opened.sent is None:
            opened.sent = []
        opened.sent.append(place)
        client.pushed += 1
        self.pushed += 1
        client.send(Frame(mailbox.BLOB, mailbox.encode_blob(Blob(opened.handle, place, blob))))
        return True
