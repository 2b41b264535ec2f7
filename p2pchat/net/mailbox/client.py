"""The mailbox of one relay: a stream to it as long as it is wanted, whatever becomes of the ones before.

More queues than one stream has room for are watched on further streams, or read in turn (`shares`): these are there
while the first is, and each is made again by itself.

| state       | event                                             | then                                            |
|-------------|---------------------------------------------------|-------------------------------------------------|
| connecting  | hello, and the token where it wants one           | connected; `relay_up`                           |
| connecting  | none                                              | waiting; deposits are given back                |
| connecting  | no answer for 10 s                                | the same, while the attempt goes on             |
| connected   | the stream ends, or the relay does not keep to it | waiting; the same, and `relay_down`             |
| connected   | it ended by our own wish                          | connecting, with all that was to be deposited   |
| waiting     | 1 s, doubling to 5 min, with jitter; the first    | connecting                                      |
|             | time any of the seconds that the relay had asked  |                                                 |
|             | for, where many are to come back                  |                                                 |
| waiting     | a call, more than a second after the last attempt | connecting at once                              |
| any         | its token or its addresses become others          | connecting at once                              |
| any         | nothing is watched, nor deposited for two minutes | over                                            |
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
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import EnvelopeId, QueueId
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, RelayState, TheirQueue
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError, PeerError, Refused, Unreachable
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.links.reconnect import FIRST_WAIT, LONGEST_WAIT
from p2pchat.net.mailbox.deposit import DepositBacklog, Depositing, DepositRequest
from p2pchat.net.mailbox.fetch import Collecting, WatchedQueue
from p2pchat.net.mailbox.shares import Share, Shares
from p2pchat.net.mailbox.stream import CHECK_SECONDS, MailStream, SaidHour, open_mail_stream
from p2pchat.net.mailbox.turns import BacklogTurns
from p2pchat.net.ports import Host
from p2pchat.ports import MailboxCallbacks

log = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""Seconds after the last deposit at a relay that is not watched."""
RETRY_SECONDS = 1.0
"""Seconds after an attempt before the next call may make one."""
SLOW_RELAY_SECONDS = 10.0
"""Seconds after which a relay that has not answered is treated as one that will not: others are tried meanwhile."""
LONGEST_FOREIGN_WAIT = HOUR_SECONDS
"""Seconds to which the waits between attempts grow, where no person here chose the relay."""
UNWATCHED_AFTER_SECONDS = 60.0
"""Seconds for which a relay may have answered before it is said that some queues there are not watched."""
ALONE_SECONDS = HOUR_SECONDS
"""For how long no further streams are asked for, once a relay has refused some."""
ALONE_TURN = 300.0
"""Seconds between two turns of what is not watched, where there is one stream for everything."""
_MAX_REFUSED = 3  # further streams, one after the other, before that
_LINGER_SECONDS = 5.0  # seconds in which the last deletes go out where nothing is watched any more
_MAX_ADDRESSES = 4
_GOOD = 30.0  # seconds after which a stream that ended counts as one that worked
_PROBLEMS: dict[type[P2PChatError], str] = {
    CannotOpen: "it does not keep to the protocol",
    LinkLost: "the connection was lost",
}


class MailboxClient:
    """What is watched and deposited at one relay; `keep` does it. clock: ms since the epoch.

    known: how the relay is used, which does not change. with_host: the host to go from, for as long as the mailbox is
    wanted. circuits: the addresses that may lead there by relays of our own. answered: called when it has connected.
    turns: of relays where the same lies.
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
    ) -> None:
        self._backlogs = turns
        self._health = RelayHealth("connecting", clock())
        self._longest: int | None = None
        self._hour = SaidHour()
        self._peer = known.peer
        self._name = known.mailbox
        self._apart = known.hidden and not known.chosen
        self._chosen = known.chosen
        self._with_host = with_host
        self._circuits = circuits
        self._host: Host | None = None
        self._mail = mail
        self._collected = partial(mail.collected, known.mailbox)
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._answered = answered
        self._ours: Relay | None = None  # as the one who watches names it
        self._theirs: Relay | None = None  # as the one who deposits does
        self._shares = Shares(random, self._grown)
        self._turning = False
        self._refused = 0
        self._alone_until = -math.inf
        self._more: trio.Nursery | None = None
        self._deposits = DepositBacklog()
        self._wanted_until = -math.inf
        self._attempted = -math.inf
        self._waiting = False
        self._up = Wakeup()
        self._spread = 0  # what the last relay's hello said about coming back
        self._depositing: Depositing | None = None
        self._turn: Collecting | None = None
        self._called = Wakeup()
        self._anew = False

    @property
    def health(self) -> RelayHealth:
        """How it stands with the relay now."""
        health = replace(self._health, hours_ahead=self._hour.ahead(self._clock()))
        if health.state != "connected" or health.since + 1000 * UNWATCHED_AFTER_SECONDS > self._clock():
            return health
        return replace(health, unwatched=self._shares.unwatched())

    # --- what the engine wants

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these queues, and no others."""
        self.change(relay, *self._shares.replaced(queues))

    def change(self, relay: Relay, add: Iterable[OwnQueue], drop: Iterable[QueueId]) -> None:
        """Collect from these besides, or with what is known of them now, and from those (their names) no more."""
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
        """Note that what came up to the place `upto` is on our disk, also of a queue that is not watched any more."""
        watched, collecting = self._shares.find(qid) or (None, None)
        if watched is not None and upto > watched.taken:
            watched.taken = upto
            for fetching in (collecting, self._turn):
                if fetching is not None:
                    fetching.taken(watched)

    def forget(self, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        """Have the relay forget blobs that came from elsewhere, if they are still to be fetched."""
        watched, collecting = self._shares.find(qid) or (None, None)
        if watched is not None and collecting is not None:
            collecting.elsewhere(watched, names)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put blobs, each with the number its result is to carry, into a queue for so many hours.

        Those for which there is no room, and all while we wait for the relay, are given back
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

    def _want(self, seconds: float) -> None:
        self._wanted_until = max(self._wanted_until, trio.current_time() + seconds)

    async def _give_back(self, numbers: Sequence[int]) -> None:
        """Give blobs back in a task of its own: the call that brought them is not over yet."""
        await trio.lowlevel.checkpoint()
        self._mail.undeposited(self._name, numbers)

    def _begin_anew(self) -> None:
        """Connect anew: only a new connection tells whether the relay takes another token, and answers at another
        address.
        """
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
        """Keep the streams that are wanted, with back-off, until none is."""
        while self._wanted:  # asked again after the end, since more may be wanted while a host is closed
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
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT if self._chosen else LONGEST_FOREIGN_WAIT, self._random)
        while self._wanted:
            self._attempted = trio.current_time()
            self._spread = 0
            if self._anew:
                self._anew = False
                await self._host.disconnect(self._peer)  # or the way before would be used once more
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
        if self._apart:
            ways, token = list(self._circuits()), self._way()[1]
            return await open_mail_stream(self._host, self._peer, ways, token, only=Route.CIRCUIT)
        return await open_mail_stream(self._host, self._peer, *self._way(), chosen=self._chosen)

    async def _attempt(self) -> bool:
        """One stream, until it ends; whether that was our own wish."""
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
        try:
            await self._carry(stream)
        except (PeerError, Refused) as error:
            self._failed(error)  # before the stream is closed, which may take long
            return False
        finally:
            self._shares.first.collecting = self._depositing = None
            await stream.close()
            self._spread = 0 if stream.silent else stream.hello.spread
            if stream.silent and self._host is not None:  # or the next one would be opened on the same dead connection
                await self._host.disconnect(self._peer)
        self._deposits.again()
        return True

    async def _give_up_waiting(self, until: trio.CancelScope) -> None:
        """Give back what is to be deposited where a relay lets us wait: a crowd may have come to it."""
        with until:
            await trio.sleep(SLOW_RELAY_SECONDS)
            self._failed(Unreachable("no answer yet"))

    def _failed(self, failure: P2PChatError) -> None:
        self._waiting = True
        self._called.clear()
        if isinstance(failure, CannotOpen):
            log.info("a relay does not keep to the protocol")
        state: RelayState = "refused" if isinstance(failure, CannotOpen | Refused) else "unreachable"
        if not self._anew:  # what failed is the way before
            self._now(state, _PROBLEMS.get(type(failure), failure.message))
        if self._up.is_set():
            self._up.clear()
            self._mail.relay_down(self._name)
        numbers = self._deposits.give_up()
        if numbers:
            self._mail.undeposited(self._name, numbers)

    def _now(self, state: RelayState, problem: str = "") -> None:
        since = self._health.since if self._health.state == state else self._clock()
        self._health = RelayHealth(state, since, problem, self._longest)

    def _way(self) -> tuple[list[str], bytes]:
        """Where to dial, and the token."""
        relay = self._ours if self._shares else self._theirs or self._ours
        addresses: list[str] = []
        for packed in relay.addresses if relay is not None else ():
            try:
                address = multiaddrs.unpack(packed)
            except CannotOpen:
                log.info("an address of a kind not known here was left out")
                continue
            if multiaddrs.parse_target(address).relay is None:
                addresses.append(address)
        token = b"" if relay is None else relay.token
        return multiaddrs.with_websockets(addresses[:_MAX_ADDRESSES], chosen=self._chosen), token

    async def _carry(self, stream: MailStream) -> None:
        """One stream, until it ends."""
        first = self._shares.first
        collecting = Collecting(stream, first.made_up, self._collected, turns=self._backlogs)
        depositing = Depositing(stream, self._deposits, self._report, self._clock, self._random)
        first.collecting, self._depositing = collecting, depositing
        collecting.watch(first.queues.values())
        self._longest, self._hour = stream.hello.longest, SaidHour(stream.hello.hour)
        self._now("connected")
        if not self._up.is_set():
            self._up.set()
            self._mail.relay_up(self._name)
            self._answered()

        take = partial(self._take, stream, collecting, depositing)
        ends = partial(self._until_idle, stream), partial(self._until_turn, stream)
        tasks = (collecting.fetch, collecting.deliver, collecting.delete, depositing.send, depositing.stamp, *ends)
        await stream.run(take, collecting.room, tasks)

    def _take(self, stream: MailStream, collecting: Collecting, depositing: Depositing, frame: Frame) -> None:
        """Hand on what the relay says. Raises CannotOpen for what it may not say, and Refused."""
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
        """End a stream that nobody needs any more."""
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
        """Watch what belongs to one share, on a stream after the other, until nothing does."""
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
        """One stream, until it ends by our own wish."""
        stream = await self._connect_more()
        collecting = Collecting(stream, share.made_up, self._collected)

        async def until_left() -> None:
            await share.left.wait()
            stream.end()

        share.collecting = collecting
        try:
            collecting.watch(share.queues.values())
            await stream.run(collecting.take, collecting.room, (collecting.deliver, collecting.delete, until_left))
        finally:
            share.collecting = None
            await stream.close()

    async def _take_turns(self) -> None:
        """Read what is not watched: as many at a time as a stream has room for, whose turn it is."""
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
        """Read those whose turn it is; whether that worked."""
        due = self._shares.turns.due()
        if due:
            try:
                self._shares.turns.had(due, await self._read(due))
            except (PeerError, Refused):
                return False
        return True

    @property
    def _alone(self) -> bool:
        """Whether there is one stream for everything."""
        return trio.current_time() < self._alone_until

    async def _connect_more(self) -> MailStream:
        """Open a further stream. Where several are refused while the first works, the relay has no more for us."""
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

    async def _until_turn(self, stream: MailStream) -> None:
        """End a stream that is the only one when others are to have their turn."""
        while True:
            await trio.sleep(ALONE_TURN)
            if self._alone and self._shares.turns.due():
                stream.end()

    async def _read(self, due: Sequence[WatchedQueue]) -> Sequence[WatchedQueue]:
        """Read these once; in which of them there was something."""
        stream = await (self._connect() if self._alone else self._connect_more())
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
        return queues


def _is_reached_otherwise(before: Relay, now: Relay) -> bool:
    return before.token != now.token or set(before.addresses) != set(now.addresses)
