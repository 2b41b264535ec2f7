"""The client of one relay's mailbox: it keeps a stream to the relay, reconnecting with back-off, while it is needed.

Queues for which one stream has no room are watched on further streams, or read in turn (`shares`). Further streams
exist only while the first does, and each is reopened independently.

| state       | event                                             | then                                            |
|-------------|---------------------------------------------------|-------------------------------------------------|
| connecting  | hello, and the token if it wants one              | connected; `relay_up`                           |
| connecting  | it fails                                          | waiting; deposits are returned; `relay_down`    |
| connecting  | no answer for 10 s                                | the same, while the attempt goes on             |
| connected   | the stream ends, or the relay breaks the protocol | waiting; the same, and `relay_down`             |
| connected   | we ended it ourselves                             | connecting; deposits are kept                   |
| waiting     | 1 s, doubling to 5 min, with jitter; the first    | connecting                                      |
|             | time a random part of the seconds over which the  |                                                 |
|             | relay asked its clients to spread out             |                                                 |
| waiting     | a call, more than a second after the last attempt | connecting at once                              |
| any         | its token or its addresses change                 | connecting at once                              |
| any         | nothing is watched, or deposited for two minutes  | ended; `relay_down`, from the pool              |
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from functools import partial

import trio

from p2pchat.core import mailbox
from p2pchat.core.frames import Frame
from p2pchat.core.ids import EnvelopeId, QueueId
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, RelayState, TheirQueue
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError, PeerError, Refused, Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT
from p2pchat.net.mailbox.deposit import DepositBacklog, Depositing, DepositRequest
from p2pchat.net.mailbox.fetch import Collecting, WatchedQueue
from p2pchat.net.mailbox.shares import Share, Shares
from p2pchat.net.mailbox.stream import CHECK_SECONDS, MailRoute, MailStream, SaidHour, addresses_to_dial, open_as_mail
from p2pchat.net.mailbox.turns import BacklogTurns
from p2pchat.net.ports import Host
from p2pchat.ports import MailboxCallbacks

log = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""Seconds after the last deposit until a relay at which nothing is watched is disconnected."""
RETRY_SECONDS = 1.0
"""Seconds after an attempt during which a call does not start another one."""
SLOW_RELAY_SECONDS = 10.0
"""Seconds after which a relay that has not answered is treated as unreachable, so that others are tried meanwhile."""
LONGEST_FOREIGN_WAIT = HOUR_SECONDS
"""The longest wait between attempts, in seconds, at relays that nobody here chose."""
UNWATCHED_AFTER_SECONDS = 60.0
"""Seconds after connecting until queues that are still not watched are reported."""
ALONE_SECONDS = HOUR_SECONDS
"""Seconds for which no further streams are opened after the relay has refused some."""
ALONE_TURN = 300.0
"""Seconds between two turns of the queues that are not watched, if the relay allows only one stream."""
SHORT_QUEUES = mailbox.QUEUES_A_FETCH
"""Queues that are watched at once over a short connection."""
SHORT_TURN = 20.0
"""Seconds for which they are, where there are more."""
_MAX_REFUSED = 3  # streams refused in a row before that
_LINGER_SECONDS = 5.0  # seconds in which the last deletes are sent, once nothing is watched
_GOOD = 30.0  # seconds after which a stream that ended counts as one that worked
_PROBLEMS: dict[type[P2PChatError], str] = {
    CannotOpen: "it does not keep to the protocol",
    LinkLost: "the connection was lost",
}


class MailboxClient:
    """Watches queues and deposits blobs at one relay; `keep` runs it. clock: ms since the epoch.

    known: how the relay is used, which never changes. with_host: the host to connect from, for as long as the mailbox
    is needed. circuits: addresses at which our own relays may lead there by circuits. answered: called after
    connecting. turns: shared with other relays that have the same blobs. entries: circuits that may lead there through
    relays that the user did not choose. hops: 2 if only a circuit may lead there.
    """

    def __init__(
        self,
        known: Relay,
        with_host: Callable[[], AbstractAsyncContextManager[Host]],
        circuits: Callable[[], Sequence[str]],
        mail: MailboxCallbacks,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        answered: Callable[[], None] = lambda: None,
        turns: BacklogTurns | None = None,
        entries: Callable[[], Sequence[str]] = tuple,
        hops: int = 1,
    ) -> None:
        self._entries = entries
        self._hops = hops
        self._backlogs = turns
        self._health = RelayHealth("connecting", clock())
        self._longest: int | None = None
        self._hour = SaidHour()
        self._peer = known.peer
        self._name = known.mailbox
        self.hidden = known.hidden
        self.chosen = known.chosen
        self._with_host = with_host
        self._circuits = circuits
        self._host: Host | None = None
        self._mail = mail
        self._collected = partial(mail.collected, known.mailbox)
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._answered = answered
        self._ours: Relay | None = None  # as the user of the watched queues names it
        self._theirs: Relay | None = None  # as the depositor names it
        self._shares = Shares(random, self._grown)
        self._turning = False
        self._refused = 0
        self._alone_until = -math.inf
        self._more: trio.Nursery | None = None
        self._deposits = DepositBacklog()
        self._wanted_until = -math.inf
        self._attempted = -math.inf
        self._waiting = False
        self._backoff = Backoff(FIRST_WAIT, LONGEST_WAIT if known.chosen else LONGEST_FOREIGN_WAIT, random)
        self._stream: MailStream | None = None
        self._careful = self._followed = False
        self._up = Wakeup()
        self._spread = 0  # what the last relay's hello said about coming back
        self._depositing: Depositing | None = None
        self._turn: Collecting | None = None
        self._called = Wakeup()
        self._anew = False

    @property
    def health(self) -> RelayHealth:
        """The state of the relay, for people."""
        health = replace(self._health, hours_ahead=self._hour.ahead(self._clock()))
        if (stream := self._stream) is not None:
            health = replace(health, answer_ms=stream.answer_ms, family=stream.family, short=stream.short)
        if health.state != "connected" or health.since + 1000 * UNWATCHED_AFTER_SECONDS > self._clock():
            return health
        return replace(health, unwatched=self._shares.unwatched())

    # --- what the engine wants

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from exactly these queues."""
        self.change(relay, *self._shares.replaced(queues))

    def change(self, relay: Relay, add: Iterable[OwnQueue], drop: Iterable[QueueId]) -> None:
        """Start collecting from `add` (or update what is known of them), and stop collecting from `drop`."""
        if self._ours is not None and _is_reached_otherwise(self._ours, relay):
            self._begin_anew()
        self._ours = relay
        watched = bool(self._shares)
        self._shares.change(add, drop)
        if watched and not self._shares:
            self._want(_LINGER_SECONDS)
        self._begin_more()
        self._call()

    def taken(self, qid: QueueId, upto: int) -> None:
        """Note that everything up to the place `upto` is on our disk; the queue need not be watched any more."""
        watched, collecting = self._shares.find(qid) or (None, None)
        if watched is not None and upto > watched.taken:
            watched.taken = upto
            for fetching in (collecting, self._turn):
                if fetching is not None:
                    fetching.taken(watched)

    def forget(self, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        """Have the relay delete blobs that were received from elsewhere, if they have not been fetched yet."""
        watched, collecting = self._shares.find(qid) or (None, None)
        if watched is not None and collecting is not None:
            collecting.elsewhere(watched, names)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Deposit blobs, each with a number that identifies its result, in a queue for so many hours.

        Blobs for which there is no room, and all blobs while the relay is not connected, are returned
        (`MailboxCallbacks.undeposited`).
        """
        self._theirs = relay
        self._want(IDLE_SECONDS)
        left = [
            number
            for number, blob in blobs
            if self._waiting or not self._deposits.add(DepositRequest(number, queue, hours, blob))
        ]
        if left:
            self._nursery.start_soon(self._give_back, left)
        if self._depositing is not None:
            self._depositing.wake()
        self._call()

    def network_changed(self) -> None:
        """Have the relay show that it is still there, or try it at once."""
        self._backoff.reset()
        self._called.set()
        if self._stream is not None:
            self._stream.doubt()

    def _want(self, seconds: float) -> None:
        self._wanted_until = max(self._wanted_until, trio.current_time() + seconds)

    async def _give_back(self, numbers: Sequence[int]) -> None:
        """Return blobs, in a task of its own because the call that brought them is still in progress."""
        await trio.lowlevel.checkpoint()
        self._mail.undeposited(self._name, numbers)

    def _begin_anew(self) -> None:
        """Reconnect, because only a new connection shows whether the relay accepts another token or another address."""
        self._anew = True
        self._now("connecting")
        self._called.set()

    def _call(self) -> None:
        if not self._waiting or trio.current_time() - self._attempted > RETRY_SECONDS:
            self._called.set()

    @property
    def _wanted(self) -> bool:
        return bool(self._shares or self._deposits) or trio.current_time() < self._wanted_until

    # --- a stream after the other

    async def keep(self) -> None:
        """Keep the necessary streams open, with back-off, until none is necessary."""
        while self._wanted:  # more may be wanted while the host is being closed
            async with self._with_host() as self._host:
                await self._keep_all()

    async def _keep_all(self) -> None:
        async with trio.open_nursery() as nursery:
            self._more = nursery
            try:
                self._begin_more()
                for share in self._shares.further:
                    nursery.start_soon(self._keep_share, share)
                await self._keep_first()
            finally:
                self._more, self._turning = None, False
            nursery.cancel_scope.cancel()

    async def _keep_first(self) -> None:
        assert self._host is not None
        backoff = self._backoff
        while self._wanted:
            self._attempted = trio.current_time()
            self._spread = 0
            if self._anew:
                self._anew = False
                await self._host.disconnect(self._peer)  # otherwise the old connection would be used again
            if self._alone:
                await self._take_a_turn()
            if await self._attempt() or self._anew:
                self._waiting = False
                continue
            spread = 0.0
            if trio.current_time() - self._attempted >= _GOOD:
                backoff.reset()
                spread = self._spread * int.from_bytes(self._random(2), "big") / 65_536
            with trio.move_on_after(backoff.pause() + spread):
                await self._called.wait()
            self._waiting = False

    async def _connect(self) -> MailStream:
        assert self._host is not None
        addresses, token = self._way()
        way = MailRoute(addresses, token, self._circuits(), self._entries(), self.chosen, self.hidden, self._hops)
        return await open_as_mail(self._host, self._peer, way)

    async def _attempt(self) -> bool:
        """Open one stream and run it until it ends; return whether we ended it ourselves."""
        late = trio.CancelScope()
        self._nursery.start_soon(self._give_up_waiting, late)
        try:
            stream = await self._connect()
        except (PeerError, Refused) as error:
            self._failed(error)
            return False
        finally:
            late.cancel()
        self._waiting = False
        self._stream = stream
        stream.careful = self._careful
        try:
            await self._carry(stream)
        except (PeerError, Refused) as error:
            self._failed(error)  # first, since closing the stream may take long
            return False
        finally:
            collecting = self._shares.first.collecting
            self._followed = stream.short and collecting is not None and collecting.follows
            self._shares.first.collecting = self._depositing = self._stream = None
            await stream.close()
            self._spread = 0 if stream.silent else stream.hello.spread
            self._careful = stream.stalled or stream.silent
            if stream.stalled:  # the next may bring as much as this one did, before it stalls too
                self._backoff.reset()
            if stream.silent and self._host is not None:  # otherwise the next stream would use the same dead connection
                await self._host.disconnect(self._peer)
        self._deposits.again()
        return True

    async def _give_up_waiting(self, until: trio.CancelScope) -> None:
        """Return what is to be deposited if the relay does not answer in time: it may have too many clients."""
        with until:
            await trio.sleep(SLOW_RELAY_SECONDS)
            self._failed(Unreachable("no answer yet"))

    def _failed(self, failure: P2PChatError) -> None:
        self._waiting = True
        self._called.clear()
        if isinstance(failure, CannotOpen):
            log.info("a relay does not keep to the protocol")
        state: RelayState = "refused" if isinstance(failure, CannotOpen | Refused) else "unreachable"
        if not self._anew:  # else an outdated address or token failed
            self._now(state, _PROBLEMS.get(type(failure), failure.message))
        if self._up.is_set():
            self._up.clear()
        self._mail.relay_down(self._name, tried=True)
        numbers = self._deposits.give_up()
        if numbers:
            self._mail.undeposited(self._name, numbers)

    def _now(self, state: RelayState, problem: str = "") -> None:
        since = self._health.since if self._health.state == state else self._clock()
        self._health = RelayHealth(state, since, problem, self._longest)

    def _way(self) -> tuple[list[str], bytes]:
        """Return the addresses to dial, and the token."""
        relay = self._ours if self._shares else self._theirs or self._ours
        if relay is None:
            return [], b""
        return addresses_to_dial(relay.addresses, chosen=self.chosen), relay.token

    async def _carry(self, stream: MailStream) -> None:
        """One stream, until it ends."""
        first = self._shares.first
        at_once = stream.short and self._followed and len(first.queues) <= SHORT_QUEUES
        turns = None if at_once else self._backlogs
        collecting = Collecting(stream, first.made_up, self._collected, turns=turns, follows_at_once=at_once)
        depositing = Depositing(stream, self._deposits, self._report, self._clock, self._random)
        first.collecting, self._depositing = collecting, depositing
        collecting.watch(self._portion(stream, first.queues.values()))
        self._longest, self._hour = stream.hello.longest, SaidHour(stream.hello.hour)
        self._now("connected")
        if not self._up.is_set():
            self._up.set()
            self._mail.relay_up(self._name)
            self._answered()

        take = partial(self._take, stream, collecting, depositing)
        ends = partial(self._until_idle, stream), partial(self._until_turn, stream, len(first.queues))
        tasks = (collecting.fetch, collecting.deliver, collecting.delete, depositing.send, depositing.stamp, *ends)
        await stream.run(take, collecting.room, tasks)

    def _take(self, stream: MailStream, collecting: Collecting, depositing: Depositing, frame: Frame) -> None:
        """Pass on a frame of the relay. Raises CannotOpen for one that it must not send, and Refused."""
        if frame.type == mailbox.OPENED:
            handle, code = mailbox.decode_opened(frame.body)
            stream.opened(handle)
            if not collecting.opened(handle, code):
                depositing.opened(handle, code)
        elif frame.type == mailbox.RESULTS:
            for number, code in depositing.results(mailbox.decode_results(frame.body)):
                if not collecting.result(number, code):
                    raise CannotOpen
        else:
            collecting.take(frame)

    def _report(self, done: Sequence[tuple[int, int]]) -> None:
        self._want(IDLE_SECONDS)
        self._mail.deposited(self._name, done)

    async def _until_idle(self, stream: MailStream) -> None:
        """End the stream once nothing is watched or deposited on it."""
        while self._wanted and not self._anew:
            self._called.clear()
            later = math.inf if self._shares else max(self._wanted_until, trio.current_time() + CHECK_SECONDS)
            with trio.move_on_at(later):
                await self._called.wait()
        stream.end()

    # --- further streams

    def _grown(self, share: Share) -> None:
        if self._more is not None:
            self._more.start_soon(self._keep_share, share)

    def _begin_more(self) -> None:
        if self._shares.turns.queues and not self._turning and self._more is not None:
            self._turning = True
            self._more.start_soon(self._take_turns)

    async def _keep_share(self, share: Share) -> None:
        """Watch the queues of one share, on one stream after another, until it has none."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random)
        while share.queues:
            share.left.clear()
            await self._up.wait()
            began = trio.current_time()
            with suppress(PeerError, Refused):
                await self._carry_share(share)
                backoff.reset()
                continue
            if not share.queues:
                break
            if trio.current_time() - began >= _GOOD:
                backoff.reset()
            await trio.sleep(backoff.pause())
        self._shares.remove(share)

    async def _carry_share(self, share: Share) -> None:
        """Run a stream of a share until we end it ourselves."""
        stream = await self._connect_more()
        collecting = Collecting(stream, share.made_up, self._collected)

        async def until_left() -> None:
            await share.left.wait()
            stream.end()

        share.collecting = collecting
        try:
            collecting.watch(self._portion(stream, share.queues.values()))
            await stream.run(collecting.take, collecting.room, (collecting.deliver, collecting.delete, until_left))
        finally:
            share.collecting = None
            await stream.close()

    async def _take_turns(self) -> None:
        """Read the queues that are not watched, in turn, as many at a time as a stream has room for."""
        backoff, turns = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random), self._shares.turns
        while True:
            await self._up.wait()
            if self._alone:
                await trio.sleep_until(self._alone_until)
                self._shares.unfold()
                continue
            turns.changed.clear()
            if not turns.due():
                with trio.move_on_at(turns.next()):
                    await turns.changed.wait()
                await trio.sleep(RETRY_SECONDS)  # others may follow
            elif await self._take_a_turn():
                backoff.reset()
            else:
                await trio.sleep(backoff.pause())

    async def _take_a_turn(self) -> bool:
        """Read the queues whose turn it is; return whether that succeeded."""
        due = self._shares.turns.due()
        if due:
            try:
                self._shares.turns.had(*await self._read(due))
            except (PeerError, Refused):
                return False
        return True

    @property
    def _alone(self) -> bool:
        """Return whether the relay allows only one stream for everything."""
        return trio.current_time() < self._alone_until

    async def _connect_more(self) -> MailStream:
        """Open a further stream. If several are refused while the first works, the relay allows no more."""
        try:
            stream = await self._connect()
        except (PeerError, Refused):
            self._refused += 1
            if self._refused >= _MAX_REFUSED and self._up.is_set() and not self._alone:
                log.warning("a relay gives us one stream only")
                self._alone_until = trio.current_time() + ALONE_SECONDS
                self._shares.fold()
                self._begin_more()
            raise
        self._refused = 0
        return stream

    def _portion(self, stream: MailStream, queues: Iterable[WatchedQueue]) -> list[WatchedQueue]:
        """Return the queues to open on a stream: as many as a short connection has room for, others each time."""
        chosen = list(queues)
        if stream.short and len(chosen) > SHORT_QUEUES:
            start = int.from_bytes(self._random(2), "big") % len(chosen)
            chosen = (chosen[start:] + chosen[:start])[:SHORT_QUEUES]
        return chosen

    async def _until_turn(self, stream: MailStream, queues: int) -> None:
        """End the only stream when it is the turn of the queues that are not watched."""
        if stream.short and queues > SHORT_QUEUES:
            await trio.sleep(SHORT_TURN)
            stream.wind_up()
        while True:
            await trio.sleep(ALONE_TURN)
            if self._alone and self._shares.turns.due():
                stream.end()

    async def _read(self, due: Sequence[WatchedQueue]) -> tuple[Sequence[WatchedQueue], Sequence[WatchedQueue]]:
        """Read these queues once, or as many as a short connection has room for; return those that were read, and of
        these the ones that were not empty.
        """
        stream = await (self._connect() if self._alone else self._connect_more())
        due = self._portion(stream, due)
        collecting = Collecting(stream, self._shares.turns.made_up, self._collected, follow=False)
        queues: list[WatchedQueue] = []

        async def until_read() -> None:
            queues.extend(await collecting.read())
            stream.end()

        self._turn = collecting
        try:
            collecting.watch(due)
            await stream.run(collecting.take, collecting.room, (collecting.deliver, collecting.delete, until_read))
        finally:
            self._turn = None
            await stream.close()
        return due, queues


def _is_reached_otherwise(before: Relay, now: Relay) -> bool:
    return before.token != now.token or set(before.addresses) != set(now.addresses)
