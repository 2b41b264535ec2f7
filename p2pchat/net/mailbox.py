"""The mailbox of one relay: a stream to it as long as it is wanted, whatever becomes of the ones before.

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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import trio

from p2pchat.core import mailbox as words
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, RelayState, TheirQueue
from p2pchat.core.wire import Frame
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError, PeerError, Refused, Unreachable
from p2pchat.net import addresses as addr
from p2pchat.net import mailstream
from p2pchat.net.collecting import Collecting, MadeUp, Watched
from p2pchat.net.depositing import Deposit, Depositing, Deposits
from p2pchat.net.mailstream import MailStream
from p2pchat.net.ports import Host
from p2pchat.net.reach import FIRST_WAIT, LONGEST_WAIT, jittered

log = logging.getLogger(__name__)

MOST_WATCHED = 896
"""Queues that are collected from at one relay: a stream has room for 1,024, and some are for deposits."""
IDLE = 120.0
"""Seconds after the last deposit at a relay that is not watched."""
SOON = 1.0
"""Seconds after an attempt before the next call may make one."""
LATE = 10.0
"""Seconds after which a relay that has not answered is treated as one that will not: others are tried meanwhile."""
_LINGER = 5.0  # seconds in which the last deletes go out where nothing is watched any more
_MOST_ADDRESSES = 4
_GOOD = 30.0  # seconds after which a stream that ended counts as one that worked
_PROBLEMS: dict[type[P2PChatError], str] = {
    CannotOpen: "it does not keep to the protocol",
    LinkLost: "the connection was lost",
}


class Mail(Protocol):
    """Who is told what comes of the mailboxes: the engine. Nothing here raises."""

    async def collected(self, relay: bytes, qid: bytes, blobs: Sequence[tuple[int, bytes]]) -> None:
        """(place, blob) in order of place, from one of the queues we watch; waits while too much waits."""
        ...

    def deposited(self, relay: bytes, done: Sequence[tuple[int, int]]) -> None:
        """(number, code of `core.mailbox`): 0 is on the relay's disk."""
        ...

    def undeposited(self, relay: bytes, numbers: Sequence[int]) -> None:
        """The relay was not reached, or the stream ended before its answer: perhaps it is there, perhaps not."""
        ...

    def relay_up(self, relay: bytes) -> None:
        """The relay answers: what waits for it can be deposited now."""
        ...

    def relay_down(self, relay: bytes) -> None:
        """The relay does not answer any more."""
        ...


class Mailbox:
    """What is watched and deposited at one relay; `keep` does it. clock: ms since the epoch."""

    def __init__(
        self,
        peer: bytes,
        host: Host,
        mail: Mail,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self.health = RelayHealth("connecting", clock())
        self._longest: int | None = None
        self._peer = peer
        self._host = host
        self._mail = mail
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._ours: Relay | None = None  # as the one who watches names it
        self._theirs: Relay | None = None  # as the one who deposits does
        self._watched: dict[bytes, Watched] = {}
        self._made_up = MadeUp(random)
        self._deposits = Deposits()
        self._wanted_until = -math.inf
        self._attempted = -math.inf
        self._waiting = False
        self._up = False
        self._spread = 0  # what the last relay's hello said about coming back
        self._collecting: Collecting | None = None
        self._depositing: Depositing | None = None
        self._called = trio.Event()
        self._anew = False

    # --- what the engine wants

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these, and no others; the first `MOST_WATCHED` count."""
        if len(queues) > MOST_WATCHED:
            log.warning("more queues at one relay than can be watched")
        if self._ours is not None and _is_reached_otherwise(self._ours, relay):
            self._begin_anew()
        self._ours = relay
        known = {(one.own.fetch_seed, one.own.put, one.own.flags): one for one in self._watched.values()}
        before, self._watched = self._watched, {}
        new: list[Watched] = []
        for own in queues[:MOST_WATCHED]:
            key = (own.fetch_seed, own.put, own.flags)
            watched = known.get(key)
            if watched is None:
                watched = known[key] = Watched(own)
                new.append(watched)
            watched.taken = max(watched.taken, own.after)
            self._watched[watched.qid] = watched
        for qid in before.keys() - self._watched.keys():
            before[qid].dropped = True
        if new and self._collecting is not None:
            self._collecting.watch(new)
        if before and not self._watched:
            self._want(_LINGER)
        self._call()

    def taken(self, qid: bytes, upto: int) -> None:
        """What came up to this place is on our disk, also of a queue that is not watched any more."""
        watched = self._watched.get(qid)
        if watched is None and self._collecting is not None:
            watched = self._collecting.find(qid)
        if watched is not None and upto > watched.taken:
            watched.taken = upto
            if self._collecting is not None:
                self._collecting.taken(watched)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put blobs into a queue; those for which there is no room, and all while we wait, are given back."""
        self._theirs = relay
        self._want(IDLE)
        left = [
            number
            for number, blob in blobs
            if self._waiting or not self._deposits.add(Deposit(number, queue, hours, blob))
        ]
        if left:
            self._nursery.start_soon(self._give_back, left)
        if self._depositing is not None:
            self._depositing.look()
        self._call()

    def _want(self, seconds: float) -> None:
        self._wanted_until = max(self._wanted_until, trio.current_time() + seconds)

    async def _give_back(self, numbers: Sequence[int]) -> None:
        """In a task of its own: the call is not over yet."""
        await trio.lowlevel.checkpoint()
        self._mail.undeposited(self._peer, numbers)

    def _begin_anew(self) -> None:
        """Whether the relay takes another token, and answers at another address, only a new connection tells."""
        self._anew = True
        self._now("connecting")
        self._called.set()

    def _call(self) -> None:
        if not self._waiting or trio.current_time() - self._attempted > SOON:
            self._called.set()

    @property
    def _wanted(self) -> bool:
        return bool(self._watched or self._deposits) or trio.current_time() < self._wanted_until

    # --- a stream after the other

    async def keep(self) -> None:
        """Until it is not wanted any more."""
        wait = FIRST_WAIT
        while self._wanted:
            self._attempted = trio.current_time()
            self._spread = 0
            if self._anew:
                self._anew = False
                await self._host.disconnect(self._peer)  # or the way before would be used once more
            if await self._attempt() or self._anew:
                self._waiting = False
                continue
            pause = jittered(wait, self._random)
            if trio.current_time() - self._attempted >= _GOOD:
                wait = FIRST_WAIT
                pause = jittered(wait, self._random) + self._spread * int.from_bytes(self._random(2), "big") / 65_536
            with trio.move_on_after(pause):
                await self._called.wait()
            self._waiting = False
            wait = min(2 * wait, LONGEST_WAIT)

    async def _attempt(self) -> bool:
        """One stream, until it ends; whether that was our own wish."""
        late = trio.CancelScope()
        self._nursery.start_soon(self._give_up_waiting, late)
        try:
            stream = await mailstream.connect(self._host, self._peer, *self._way())
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
            self._collecting = self._depositing = None
            await stream.close()
            self._spread = 0 if stream.silent else stream.hello.spread
            if stream.silent:  # or the next one would be opened on the same dead connection
                await self._host.disconnect(self._peer)
        self._deposits.again()
        return True

    async def _give_up_waiting(self, until: trio.CancelScope) -> None:
        """Give back what is to be deposited where a relay lets us wait: a crowd may have come to it."""
        with until:
            await trio.sleep(LATE)
            self._failed(Unreachable("no answer yet"))

    def _failed(self, failure: P2PChatError) -> None:
        self._waiting, self._called = True, trio.Event()
        if isinstance(failure, CannotOpen):
            log.info("a relay does not keep to the protocol")
        state: RelayState = "refused" if isinstance(failure, CannotOpen | Refused) else "unreachable"
        if not self._anew:  # what failed is the way before
            self._now(state, _PROBLEMS.get(type(failure), failure.message))
        if self._up:
            self._up = False
            self._mail.relay_down(self._peer)
        numbers = self._deposits.give_up()
        if numbers:
            self._mail.undeposited(self._peer, numbers)

    def _now(self, state: RelayState, problem: str = "") -> None:
        since = self.health.since if self.health.state == state else self._clock()
        self.health = RelayHealth(state, since, problem, self._longest)

    def _way(self) -> tuple[list[str], bytes]:
        """Where to dial, and the token."""
        relay = self._ours if self._watched else self._theirs or self._ours
        found: list[str] = []
        for packed in relay.addresses if relay is not None else ():
            try:
                address = addr.unpack(packed)
            except CannotOpen:
                log.info("an address of a kind not known here was left out")
                continue
            if addr.parse_target(address).relay is None:
                found.append(address)
        return addr.with_twins(found[:_MOST_ADDRESSES]), b"" if relay is None else relay.token

    async def _carry(self, stream: MailStream) -> None:
        """One stream, until it ends."""
        collecting = Collecting(stream, self._made_up, partial(self._mail.collected, self._peer))
        depositing = Depositing(stream, self._deposits, self._report, self._clock, self._random)
        self._collecting, self._depositing = collecting, depositing
        collecting.watch(self._watched.values())
        self._longest = stream.hello.longest
        self._now("connected")
        if not self._up:
            self._up = True
            self._mail.relay_up(self._peer)

        take = partial(self._take, stream, collecting, depositing)
        idle = partial(self._until_idle, stream)
        tasks = (collecting.deliver, collecting.delete, depositing.send, depositing.stamp, idle)
        await stream.run(take, collecting.room, tasks)

    def _take(self, stream: MailStream, collecting: Collecting, depositing: Depositing, frame: Frame) -> None:
        """What the relay says. Raises CannotOpen for what it may not say, and Refused."""
        match frame.type:
            case words.BLOB:
                collecting.blob(words.decode_blob(frame.body))
            case words.END:
                collecting.end(words.decode_end(frame.body))
            case words.OPENED:
                handle, code = words.decode_opened(frame.body)
                stream.opened(handle)
                if not collecting.opened(handle, code):
                    depositing.opened(handle, code)
            case words.RESULTS:
                for number, code in depositing.results(words.decode_results(frame.body)):
                    if not collecting.result(number, code):
                        raise CannotOpen
            case _:
                raise CannotOpen

    def _report(self, done: Sequence[tuple[int, int]]) -> None:
        self._want(IDLE)
        self._mail.deposited(self._peer, done)

    async def _until_idle(self, stream: MailStream) -> None:
        """End a stream that nobody needs any more."""
        while self._wanted and not self._anew:
            self._called = trio.Event()
            later = math.inf if self._watched else max(self._wanted_until, trio.current_time() + mailstream.LOOK)
            with trio.move_on_at(later):
                await self._called.wait()
        stream.end()


def _is_reached_otherwise(before: Relay, now: Relay) -> bool:
    return before.token != now.token or set(before.addresses) != set(now.addresses)
