"""The client of relays' logs (`log_ports.GroupLogs`): a stream to each relay, beside that of its mail.

The stream is kept while a log is watched, on the way that the mail of this relay takes, and reopened with back-off;
each log goes on behind the place up to which it was passed on. `log_stream` has what is said on it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence

import trio

from p2pchat.core import mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import QueueId, RelayName
from p2pchat.core.logs import MAX_PAGE_BYTES, LogKeys, LogRole
from p2pchat.core.mailbox import Hello
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen, PeerError, Refused
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.wakeup import Wakeup
from p2pchat.log_ports import LogCallbacks
from p2pchat.net.links.reconnect import FIRST_WAIT
from p2pchat.net.mailbox.deposit import MAX_CROWDED_STAMP_BITS, StampWork, find_in_thread
from p2pchat.net.mailbox.log_stream import Appending, LogArrivals, LogStream, WatchedLog
from p2pchat.net.mailbox.stream import MailStream, StreamWays
from p2pchat.net.ports import Host

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""Seconds after the last append until the stream to a relay where nothing is watched is ended."""
LONGEST_WAIT = 300.0
"""The longest wait between two attempts, in seconds."""
RETRY_SECONDS = 1.0
"""Seconds after an attempt in which a call does not start another one."""
CONNECT_SECONDS = 30.0
"""Seconds in which a stream has to be open."""
CALL_SECONDS = 60.0
"""Seconds that an append may take, without the stamp that it may need."""
MAX_RELAYS = 256
"""Relays of which is remembered how much was worked for their stamps."""
MAX_APPENDED = 64
"""Blobs of one append."""
MAX_AHEAD_BYTES = 512 << 10
"""Bytes that wait to be passed on, above which nothing more is asked for."""
PAGE_SECONDS = 0.05
"""Seconds for which a page of a log waits for the next one."""
MAX_WAITING_BYTES = 2 << 20
"""Bytes that wait to be passed on, above which nothing is read from the stream."""
LARGE_BYTES = 16 << 10
"""The size of a blob that is most often a part of something longer,"""
GATHER_SECONDS = 0.02
"""and for how long the others are waited for then."""


class NoLogs:
    """`LogCallbacks` of one who watches none."""

    async def log_items(
        self, relay: RelayName, log: QueueId, items: Sequence[tuple[int, bytes]], upto: int, *, more: bool
    ) -> None:
        """Drop what has come."""
        await trio.lowlevel.checkpoint()

    def logs_up(self, relay: RelayName) -> None:
        """Do nothing."""

    def logs_down(self, relay: RelayName, problem: str) -> None:
        """Do nothing."""


class RelayLogs:
    """Implements `log_ports.GroupLogs` at all relays. What comes is passed to `callbacks`."""

    def __init__(
        self,
        callbacks: LogCallbacks,
        ways: StreamWays,
    ) -> None:
        self._callbacks = callbacks
        self._ways = ways
        self._clients: dict[RelayName, _LogClient] = {}
        self._stamp_work: dict[RelayName, StampWork] = {}

    def watch(self, relay: Relay, logs: Sequence[tuple[LogKeys, int]]) -> None:
        """Read exactly these logs at a relay, each from behind a place, and go on as they grow; none ends it."""
        if logs or relay.mailbox in self._clients:
            self._of(relay).watch(relay, logs)

    async def append(
        self, relay: Relay, keys: LogKeys, hours: int, blobs: Sequence[bytes], *, as_admin: bool = False
    ) -> Sequence[int | None] | None:
        """Append at most 64 blobs to a log, to be kept for so many hours, or for as long as the relay does. Return a
        code of `core.mailbox` for each; None for one whose outcome is not known.
        """
        await trio.lowlevel.checkpoint()
        if not self._ways.usable(relay) or len(blobs) > MAX_APPENDED:
            return None
        role = LogRole.APPEND_AS_ADMIN if as_admin else LogRole.APPEND
        log = keys.log.id
        hello, codes = await self._appended(relay, Appending(keys, role, hours, blobs, [0] * len(blobs)), log)
        left = [place for place, code in codes.items() if code == mailbox.STAMP_NEEDED]
        if left and hello is not None and self._may_work(relay.mailbox, hello.stamp_bits):
            # the first blob of a log at a relay that is short of space; once it is there, the others need none
            blob = blobs[left[0]]
            stamp = await find_in_thread(hello.relay, log, blob, hello.stamp_bits, self._ways.clock, self._ways.random)
            for places, stamps in ((left[:1], [stamp]), (left[1:], [0] * (len(left) - 1))):
                again = Appending(keys, role, hours, [blobs[place] for place in places], stamps)
                _, answers = await self._appended(relay, again, log)
                codes.update({places[place]: code for place, code in answers.items()})
        return [codes.get(place) for place in range(len(blobs))] if codes or not blobs else None

    async def _appended(self, relay: Relay, appending: Appending, log: QueueId) -> tuple[Hello | None, dict[int, int]]:
        """Have blobs appended; return what the relay says of itself and its codes, as far as they came in time."""
        if appending.blobs:
            await self._of(relay).append(relay, appending, log)
        return appending.hello, dict(appending.codes)

    def _may_work(self, relay: RelayName, bits: int) -> bool:
        """Return whether a stamp may be made for a relay, and if so, count it: one that always wants another could make
        us work all day.
        """
        if relay not in self._stamp_work:
            for name in list(self._stamp_work)[: max(0, len(self._stamp_work) - MAX_RELAYS + 1)]:
                del self._stamp_work[name]
            self._stamp_work[relay] = StampWork()
        return bits <= MAX_CROWDED_STAMP_BITS and self._stamp_work[relay].take(1 << bits)

    def network_changed(self, *, hidden: bool) -> None:
        """Have every relay that is used for `hidden` contacts, or for the others, show that it is still there."""
        for client in self._clients.values():
            if client.hidden == hidden:
                client.network_changed()

    def _of(self, relay: Relay) -> _LogClient:
        client = self._clients.get(relay.mailbox)
        if client is None:
            self._clients = {name: used for name, used in self._clients.items() if not used.idle}
            client = _LogClient(relay, self._callbacks, self._ways)
            self._clients[relay.mailbox] = client
        return client


class _LogClient:
    """The client of one relay's logs.

    | state   | event                                       | then                                                  |
    |---------|---------------------------------------------|-------------------------------------------------------|
    | idle    | something is watched, or to be appended     | connecting                                            |
    | open    | nothing is watched, no append for a while   | idle                                                  |
    | open    | the stream ends, or breaks the protocol     | waiting; what was not answered ends without an answer |
    | waiting | 1 s, doubling to 5 min, with jitter; or a   | connecting                                            |
    |         | call, a second after the last attempt       |                                                       |
    """

    def __init__(
        self,
        relay: Relay,
        callbacks: LogCallbacks,
        ways: StreamWays,
    ) -> None:
        self.hidden = relay.hidden
        self._relay = relay
        self._name = relay.mailbox
        self._callbacks = callbacks
        self._ways = ways
        self._backoff = Backoff(FIRST_WAIT, LONGEST_WAIT, ways.random)
        self._running = False
        self._attempted = -math.inf
        self._failed = False  # the last attempt
        self._watched: dict[QueueId, WatchedLog] = {}
        self._unread: deque[WatchedLog] = deque()  # those that are not followed, in turn
        self._dropped: list[WatchedLog] = []
        self._waiting: deque[tuple[Appending, QueueId]] = deque()
        self._arrived: deque[LogArrivals] = deque()
        self._arrived_bytes = 0
        self._called = Wakeup()
        self._passed_on = Wakeup()
        self._stream: MailStream | None = None

    @property
    def idle(self) -> bool:
        """Whether it does nothing, and nothing of it is worth keeping."""
        rested = trio.current_time() - self._attempted > RETRY_SECONDS
        return rested and not (self._running or self._watched or self._waiting)

    def watch(self, relay: Relay, logs: Sequence[tuple[LogKeys, int]]) -> None:
        """Read exactly these logs; one that is read already goes on where it is."""
        self._relay = relay
        wanted = {keys.log.id: (keys, after) for keys, after in logs}
        self._dropped += [watched for name, watched in self._watched.items() if name not in wanted]
        known = self._watched
        self._watched = {}
        for name, (keys, after) in wanted.items():
            watched = known.get(name) or WatchedLog(keys, name, after, after)
            self._watched[name] = watched
            if name not in known:
                self._unread.append(watched)
        self._call()

    async def append(self, relay: Relay, appending: Appending, name: QueueId) -> None:
        """Have blobs appended; return when all have their codes, or no more are to be had in time."""
        self._relay = relay
        self._waiting.append((appending, name))
        self._call()
        with trio.move_on_after(CALL_SECONDS):
            await appending.ended.wait()
        if (appending, name) in self._waiting:
            self._waiting.remove((appending, name))

    def network_changed(self) -> None:
        """Have the relay show that it is still there, or try it at once."""
        self._backoff.reset()
        if self._stream is not None:
            self._stream.doubt()
        self._called.set()

    def _call(self) -> None:
        just_failed = self._failed and trio.current_time() - self._attempted <= RETRY_SECONDS
        if just_failed:
            self._fail_appends()
        elif self._running:
            self._called.set()
        if not self._running and self._ways.usable(self._relay) and (self._watched or self._waiting):
            self._running = True
            self._ways.nursery.start_soon(self._run)

    async def _run(self) -> None:
        """Use one stream after the other, until nothing is watched or to be appended."""
        try:
            while self._watched or self._waiting:
                async with self._ways.with_host(self._relay) as host:
                    while self._watched or self._waiting:
                        self._failed = not await self._use_a_stream(host)
                        if self._failed:
                            await self._wait()
        finally:
            self._running = False

    async def _wait(self) -> None:
        self._fail_appends()
        self._called.clear()
        with trio.move_on_after(self._backoff.pause() if self._watched else 0):
            await self._called.wait()

    def _fail_appends(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for appending, _ in waiting:
            appending.ended.set()

    async def _use_a_stream(self, host: Host) -> bool:
        """Use one stream until it ends; return whether we ended it."""
        self._attempted, self._failed = trio.current_time(), False
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await self._ways.connect(host, self._relay)
        except (PeerError, Refused, trio.TooSlowError):
            self._callbacks.logs_down(self._name, "it does not answer")
            return False
        logs = LogStream(stream, self._ways.random, self._came)
        self._stream = stream
        try:
            problem = await self._run_stream(stream, logs)
        finally:
            self._stream = None
            self._arrived.clear()
            self._arrived_bytes = 0
            for appending in logs.pending:
                appending.ended.set()
            await stream.close()
            if stream.silent:  # otherwise the next stream would use the same dead connection
                await host.disconnect(self._relay.peer)
        self._callbacks.logs_down(self._name, problem)
        return not problem

    async def _run_stream(self, stream: MailStream, logs: LogStream) -> str:
        """Use a stream until it ends; return why it did, "" where we ended it."""
        if stream.short or not stream.hello.log_bytes:
            return "it is reached over short connections" if stream.short else "it has no logs"
        self._callbacks.logs_up(self._name)
        try:
            await self._carry(stream, logs)
        except CannotOpen:
            log.info("a relay does not keep to the protocol of logs")
            return "it does not keep to the protocol"
        except (PeerError, Refused):
            return "the connection was lost"
        return ""

    async def _carry(self, stream: MailStream, logs: LogStream) -> None:
        for watched in self._watched.values():
            watched.begin()
        self._dropped.clear()
        self._unread = deque(self._watched.values())
        logs.open(self._unread)

        async def send() -> None:
            while True:
                self._called.clear()
                self._say(stream, logs)
                idle = not (self._watched or self._waiting or logs.pending)
                with trio.move_on_after(IDLE_SECONDS if idle else math.inf) as waited:
                    await self._called.wait()
                if waited.cancelled_caught and not (self._watched or self._waiting):
                    stream.end()

        def take(frame: Frame) -> None:
            logs.take(frame)
            self._called.set()

        async def room() -> None:
            await trio.lowlevel.checkpoint()
            while self._arrived_bytes > MAX_WAITING_BYTES:
                self._passed_on.clear()
                await self._passed_on.wait()

        await stream.run(take, room, (send, self._pass_on))

    def _say(self, stream: MailStream, logs: LogStream) -> None:
        """Say what there is room for."""
        dropped, self._dropped = self._dropped, []
        for watched in dropped:
            logs.drop(watched)
        while self._waiting and logs.has_room(self._waiting[0][0]):
            if not logs.append(*self._waiting[0]):
                if not logs.pending:
                    stream.end()  # a new stream can open as many logs again
                break
            self._waiting.popleft()
        while self._unread and not logs.is_reading and self._arrived_bytes <= MAX_AHEAD_BYTES:
            watched = self._unread.popleft()
            if self._watched.get(watched.log) is not watched or logs.read(watched):
                continue
            if len(self._watched) > mailbox.MAX_HANDLES:
                log.info("a relay is asked for more logs than one stream has room for")
                continue
            self._unread.appendleft(watched)
            if not logs.pending:
                stream.end()  # a new stream has room for all that are read now
            break

    def _came(self, arrivals: LogArrivals) -> None:
        """Note what has come of a log; one that is not followed has its turn again."""
        watched = arrivals.watched
        if not (watched.following or watched.refused) and watched not in self._unread:
            self._unread.append(watched)
        self._arrived.append(arrivals)
        self._arrived_bytes += sum(len(blob) for _, blob in arrivals.items)
        self._passed_on.set()
        self._backoff.reset()

    async def _pass_on(self) -> None:
        """Pass on what comes, in order, and note how far a log has come. What has come of a log meanwhile is passed on
        together: each time costs a transaction, and the new keys of a large group come as many items. Where there is
        more, two pages go together if the second is not long in coming.
        """
        while True:
            while not self._arrived:
                self._passed_on.clear()
                await self._passed_on.wait()
            newest = self._arrived[-1]
            if newest.more:
                with trio.move_on_after(PAGE_SECONDS):
                    while self._arrived[-1].more and self._arrived_bytes <= MAX_PAGE_BYTES:
                        self._passed_on.clear()
                        await self._passed_on.wait()
            elif newest.items and len(newest.items[-1][1]) >= LARGE_BYTES:
                await trio.sleep(GATHER_SECONDS)
            arrivals = self._arrived.popleft()
            watched, items, more = arrivals.watched, list(arrivals.items), arrivals.more
            while self._arrived and self._arrived[0].watched is watched:
                further = self._arrived.popleft()
                items, more = items + further.items, further.more
            upto = items[-1][0] if items else watched.after
            if self._watched.get(watched.log) is watched and not watched.refused:
                await self._callbacks.log_items(self._name, watched.log, items, upto, more=more)
            watched.after = upto
            self._arrived_bytes -= sum(len(blob) for _, blob in items)
            self._passed_on.set()
            self._called.set()
