"""The client of relays' file boxes (`ports.FileBoxes`): a stream to each relay, beside that of its mail.

The stream is opened when something is asked, on the way that the mail of this relay takes (`stream.open_as_mail`), and
ended when nothing was asked for a while. `box_stream` has what is said on it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence

import trio

from p2pchat.core import mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import BlobName, RelayName
from p2pchat.core.mailbox import Hello
from p2pchat.core.relays import OwnQueue, Relay, TheirQueue
from p2pchat.errors import CannotOpen, PeerError, Refused
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.links.reconnect import FIRST_WAIT
from p2pchat.net.mailbox.box_stream import BoxCall, BoxStream, file_box
from p2pchat.net.mailbox.deposit import MAX_CROWDED_STAMP_BITS, UNSTAMPED_AFTER_SECONDS, StampWork, find_in_thread
from p2pchat.net.mailbox.stream import MailStream, StreamWays
from p2pchat.net.ports import Host

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""Seconds after the last call until the stream is ended."""
LONGEST_WAIT = 300.0
"""The longest time, in seconds, for which a relay that was not reached is not tried again."""
AGAIN_SECONDS = 30.0
"""Seconds within which a relay that ends streams is tried once more at once, and then as one that is not reached."""
CONNECT_SECONDS = 30.0
"""Seconds in which a stream has to be open."""
CALL_SECONDS = 120.0
"""Seconds that a call may take, without the stamps that it needs."""
MAX_PUT_BLOBS = 16
"""Blobs of one `put`."""
MAX_CALLS = 8
"""Calls that are made at the same time at one relay; more wait."""
MAX_CLIENTS = 256
"""Relays about which is remembered, while nothing is asked there, that they were not reached."""


class RelayFileBoxes:
    """Implements `ports.FileBoxes` at all relays."""

    def __init__(
        self,
        ways: StreamWays,
    ) -> None:
        self._ways = ways
        self._clients: dict[RelayName, _BoxClient] = {}

    async def room(self, relay: Relay) -> int | None:
        """Return how many bytes of blobs the relay keeps in one box; 0: none."""
        hello = await self._hello(relay)
        return None if hello is None else hello.file_bytes

    async def have(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> Sequence[bool] | None:
        """Return which of at most 256 blobs a relay has."""
        call = await self._made(relay, BoxCall(mailbox.HAVE, box, names[: mailbox.NAMES_A_FORGET]))
        return call.held if len(call.held) == len(names) else None

    async def put(
        self, relay: Relay, box: TheirQueue, hours: int, blobs: Sequence[bytes]
    ) -> Sequence[int | None] | None:
        """Have a relay keep at most 16 blobs for so many hours, or for as long as it does. Return a code of
        `core.mailbox` for each; None for one whose outcome is not known.
        """
        hello = await self._hello(relay)
        if hello is None or not hello.file_bytes or len(blobs) > MAX_PUT_BLOBS:
            return None
        client, codes = self._of(relay), dict[int, int]()
        places = list(range(len(blobs)))
        if not client.crowded:
            call = await self._made(relay, BoxCall(mailbox.PUT, box, (), blobs, [0] * len(blobs), hours))
            codes.update(call.codes)
            places = [place for place, code in codes.items() if code == mailbox.STAMP_NEEDED]
            if places:
                client.note_crowded()
        if places:
            codes.update(await self._put_stamped(relay, box, hours, {place: blobs[place] for place in places}, hello))
        return [codes.get(place) for place in range(len(blobs))] if codes or not blobs else None

    async def get(self, relay: Relay, box: OwnQueue, names: Sequence[BlobName]) -> Sequence[bytes | None] | None:
        """Fetch at most 16 blobs, each with the right name; None for one that the relay does not have, or has not sent
        when the connection ended.
        """
        call = await self._made(relay, BoxCall(mailbox.GET, box, names[: mailbox.NAMES_A_GET]))
        answered = call.codes.get(0) == mailbox.DONE or call.blobs_got
        return [call.blobs_got.get(place) for place in range(len(names))] if answered else None

    async def forget(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> bool:
        """Have a relay delete at most 256 blobs; return whether it has."""
        call = await self._made(relay, BoxCall(mailbox.FORGET, box, names[: mailbox.NAMES_A_FORGET]))
        return call.codes.get(0) == mailbox.DONE

    def network_changed(self, *, hidden: bool) -> None:
        """Have every relay that is used for `hidden` contacts, or for the others, show that it is still there."""
        for client in self._clients.values():
            if client.hidden == hidden:
                client.network_changed()

    async def _hello(self, relay: Relay) -> Hello | None:
        return (await self._made(relay, BoxCall(mailbox.HELLO))).hello

    async def _made(self, relay: Relay, call: BoxCall) -> BoxCall:
        """Make a call; return it with its answer."""
        await self._of(relay).make(relay, call)
        return call

    async def _put_stamped(
        self, relay: Relay, box: TheirQueue, hours: int, blobs: dict[int, bytes], hello: Hello
    ) -> dict[int, int]:
        """Put blobs with stamps, which takes some seconds at most; return the codes, by their keys."""
        work, client = len(blobs) << hello.stamp_bits, self._of(relay)
        if hello.stamp_bits > MAX_CROWDED_STAMP_BITS or not client.stamp_work.take(work):
            return dict.fromkeys(blobs, mailbox.BAD_STAMP)
        stamps = [await self._stamp(hello, box, blob) for blob in blobs.values()]
        call = await self._made(relay, BoxCall(mailbox.PUT, box, (), list(blobs.values()), stamps, hours))
        places = list(blobs)
        return {places[place]: code for place, code in call.codes.items()}

    async def _stamp(self, hello: Hello, box: TheirQueue, blob: bytes) -> int:
        qid = file_box(box).id
        return await find_in_thread(hello.relay, qid, blob, hello.stamp_bits, self._ways.clock, self._ways.random)

    def _of(self, relay: Relay) -> _BoxClient:
        client = self._clients.get(relay.mailbox)
        if client is None:
            idle = [name for name, known in self._clients.items() if not known.running]
            for name in idle[: max(0, len(idle) - MAX_CLIENTS + 1)]:
                del self._clients[name]
            client = _BoxClient(relay, self._ways)
            self._clients[relay.mailbox] = client
        return client


class _BoxClient:
    """The client of one relay's file boxes: its stream, and the calls that wait for it.

    | state   | event                                   | then                                                     |
    |---------|-----------------------------------------|----------------------------------------------------------|
    | idle    | a call                                  | connecting; not for a while after it was not reached     |
    | open    | no call for `IDLE_SECONDS`              | idle                                                     |
    | open    | the stream ends, after it had answered, | connecting; each call that waits is made once more       |
    |         | for the first time in `AGAIN_SECONDS`   |                                                          |
    | any     | not reached; it breaks the protocol     | idle; the calls end without an answer                    |
    """

    def __init__(
        self,
        relay: Relay,
        ways: StreamWays,
    ) -> None:
        self.running = False
        self.hidden = relay.hidden
        self._relay = relay
        self._ways = ways
        self._backoff = Backoff(FIRST_WAIT, LONGEST_WAIT, ways.random)
        self._not_before = self._again_at = -math.inf
        self._crowded_at = -math.inf
        self.stamp_work = StampWork()
        self._at_once = trio.CapacityLimiter(MAX_CALLS)
        self._waiting: deque[BoxCall] = deque()
        self._called = Wakeup()
        self._stream: MailStream | None = None

    @property
    def crowded(self) -> bool:
        """Whether the relay is known to want a stamp for every blob."""
        return trio.current_time() - self._crowded_at < UNSTAMPED_AFTER_SECONDS

    def note_crowded(self) -> None:
        """Note that the relay wants stamps."""
        self._crowded_at = trio.current_time()

    def network_changed(self) -> None:
        """Have the relay show that it is still there, and try it at the next call, whatever was before."""
        self._not_before = -math.inf
        self._backoff.reset()
        if self._stream is not None:
            self._stream.doubt()

    async def make(self, relay: Relay, call: BoxCall) -> None:
        """Make a call; return when it has its answer, or none is to be had in time."""
        await trio.lowlevel.checkpoint()
        async with self._at_once:
            self._relay = relay
            if not self._ways.usable(relay) or (not self.running and trio.current_time() < self._not_before):
                return
            self._waiting.append(call)
            self._called.set()
            if not self.running:
                self.running = True
                self._ways.nursery.start_soon(self._run)
            try:
                with trio.move_on_after(CALL_SECONDS):
                    await call.ended.wait()
            finally:
                if call in self._waiting:
                    self._waiting.remove(call)

    async def _run(self) -> None:
        """Make what waits, on one stream after the other, until there is nothing."""
        try:
            while self._waiting:
                async with self._ways.with_host(self._relay) as host:
                    while self._waiting:
                        if not await self._use_a_stream(host):
                            self._fail()
        finally:
            self.running = False

    async def _use_a_stream(self, host: Host) -> bool:
        """Make calls on one stream; return whether another one may be tried at once."""
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await self._ways.connect(host, self._relay)
        except (PeerError, Refused, trio.TooSlowError):
            return False
        boxes = BoxStream(stream, self._ways.random)
        self._stream = stream
        try:
            if stream.short:  # blobs would fill it, and mail waits for the next one
                return False
            await self._carry(stream, boxes)
            self._backoff.reset()
            return True
        except CannotOpen:
            log.info("a relay does not keep to the protocol of file boxes")
            self._end(boxes.pending)
            return False
        except (PeerError, Refused):
            once_more = boxes.answered and trio.current_time() >= self._again_at
            if once_more:
                self._again_at = trio.current_time() + AGAIN_SECONDS
            again = [call for call in boxes.pending if once_more and call.tries == 1]
            self._end([call for call in boxes.pending if call not in again])
            self._waiting.extendleft(reversed(again))
            return once_more
        finally:
            self._stream = None
            await stream.close()
            if stream.silent:  # otherwise the next stream would use the same dead connection
                await host.disconnect(self._relay.peer)

    async def _carry(self, stream: MailStream, boxes: BoxStream) -> None:
        async def send() -> None:
            while True:
                self._called.clear()
                while self._waiting and boxes.has_room(self._waiting[0]):
                    if not boxes.send(self._waiting[0]):
                        if not boxes.pending:
                            stream.end()  # a new stream can open as many boxes again
                        break
                    self._waiting.popleft()
                idle = not boxes.pending and not self._waiting
                with trio.move_on_after(IDLE_SECONDS if idle else math.inf) as waited:
                    await self._called.wait()
                if waited.cancelled_caught and not self._waiting:
                    stream.end()

        def take(frame: Frame) -> None:
            boxes.take(frame)
            self._called.set()

        async def room() -> None:
            await trio.lowlevel.checkpoint()

        await stream.run(take, room, (send,))

    def _fail(self) -> None:
        """End the calls that wait: the relay cannot be used now."""
        self._not_before = trio.current_time() + self._backoff.pause()
        waiting, self._waiting = self._waiting, deque()
        self._end(waiting)

    def _end(self, calls: Sequence[BoxCall] | deque[BoxCall]) -> None:
        for call in calls:
            call.ended.set()
