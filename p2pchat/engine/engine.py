"""The engine: every input goes through one queue, one committer and one transaction a turn.

While one turn commits, the next one's inputs gather, so that turns grow with the load and with the disk's slowness,
without a timer. A turn is: take what waits (at most `MAX_BATCH`), compute and write all of it in one transaction,
COMMIT, and only then release what came of it: acks and envelopes to the network, events to faces, answers to callers.

A function that raises one of our errors has written nothing, and fails alone. Anything else that is raised undoes the
turn; its inputs are then run one by one, so that only the guilty one is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from p2pchat.core import wire
from p2pchat.core.identity import Device, sas_words
from p2pchat.core.primitives import KEY, Entropy
from p2pchat.engine import (
    housekeeping,
    offering,
    outbound,
    people,
    reading,
    relays,
    settings,
    views,
    walk,
    watching,
    whereabouts,
)
from p2pchat.engine.allowance import A_BRIEF_TURN, Allowance
from p2pchat.engine.clock_hints import ClockHints
from p2pchat.engine.clock_watch import ClockWatch, Monotonic
from p2pchat.engine.copies import Copies
from p2pchat.engine.door import Door
from p2pchat.engine.events import Hub
from p2pchat.engine.flow import Flow
from p2pchat.engine.gate import Gate
from p2pchat.engine.ids import MessageIds
from p2pchat.engine.inbox import Inbox, Input
from p2pchat.engine.mail import Mail
from p2pchat.engine.offering import Offering
from p2pchat.engine.ports import Clock, Net
from p2pchat.engine.presence import Presence
from p2pchat.engine.storage_limits import DEFAULT_LIMITS, Limits, StorageLimits
from p2pchat.engine.turn import Memory, Request, Sealed, SessionCache, Turn
from p2pchat.engine.whereabouts import Whereabouts
from p2pchat.engine.worker import SMALL, Worker
from p2pchat.errors import Busy, DatabaseDamaged, NodeError, P2PChatError, ProfileError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store import meta
from p2pchat.store import sessions as store_sessions
from p2pchat.store.database import Database

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

T = TypeVar("T")
RunSync = Callable[..., Awaitable[Any]]
Connect = Callable[[Gate, Door, Mail, trio.Nursery], Net]

HIGH_MARK = 512
"""Inputs from the network that may wait; above it links are not read."""
MOST_CALLS = 10_000
KEYS_AHEAD = 4
A_MOMENT = 0.001
TICK = 3600.0
SAVE_AGAIN = 30.0
"""Seconds until what could not be saved is asked for again, where nothing shows earlier that it can be saved now."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Following:
    """How far one message has come, for a caller that waits: its newest state event."""

    newest: dict[str, Any] | None = None
    moved: trio.Event = field(default_factory=trio.Event)


class Engine:
    """One open profile at work. `run` runs it; `call`, `submit` and `read` are how anything is asked of it.

    relays: addresses used in this run besides those of the profile. monotonic: see `ClockWatch`.
    storage_limits: what one contact may have us store.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        entropy: Entropy,
        connect: Connect,
        run_sync: RunSync | None = None,
        relays: Sequence[str] = (),
        monotonic: Monotonic | None = None,
        storage_limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.db = db
        self.clock = clock
        self.entropy = entropy
        self.message_ids = MessageIds(entropy.random, meta.get(db, "greatest_message_id"))
        self.clock_watch = ClockWatch(db, clock, monotonic, partial(self.post, housekeeping.jumped))
        self.me = Device.from_seeds(_seed(db, "identity"), _seed(db, "device"))
        self.events = Hub()
        self.sessions = SessionCache(db)
        self.memory = Memory()
        self.allowance = Allowance()
        self.copies = Copies()
        self.clock_hints = ClockHints()
        self.storage_limits = StorageLimits(storage_limits)
        self.refusals: dict[bytes, int] = {}
        self.keep_receiving = settings.keep_receiving(db)
        self.offering = Offering(bool(settings.relay_for_contacts(db)))
        self.presence = Presence(self._show, self.route)
        self.whereabouts = Whereabouts(self._tell_addresses)
        self._run_sync = run_sync or Worker()
        self._one_at_a_time = trio.Lock()
        self._telling = trio.Lock()
        self._requests_in, self._requests = trio.open_memory_channel[Request](inf)
        self._inbox = Inbox()
        self._people_changed = trio.Event()
        self._following: dict[str, Following] = {}
        self._connect = connect
        self._relays = relays
        self.gate = Gate(self)
        self.door = Door(self)
        self.mail = Mail(self)
        self._net: Net | None = None
        self._flow: Flow | None = None
        self._open_until = 0
        self._unsaved: set[bytes] = set()
        self._taken = trio.Event()
        self._failed = trio.Event()
        self._saved = trio.Event()

    @property
    def net(self) -> Net:
        """The network; there once `run` has begun."""
        if self._net is None:
            raise NodeError("The network is not up yet")
        return self._net

    @property
    def flow(self) -> Flow:
        """What is under way to whom."""
        if self._flow is None:
            raise NodeError("The network is not up yet")
        return self._flow

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. The turn in progress is finished, then nothing more is taken."""
        async with trio.open_nursery() as nursery:
            self._net = self._connect(self.gate, self.door, self.mail, nursery)
            self._flow = Flow(self._net, self._refill)
            self.clock_watch.look()
            hidden, (first, *others) = await self.read(store_contacts.hidden), await self.read(walk.order)
            self.gate.hide(hidden)
            if hidden:
                self.net.hide()
            (await self._run_sync(self._look_at_invites))()
            (await self._run_sync(self._look_at_mail, await self.read(store_invites.ids)))()
            nursery.start_soon(self._commit)
            nursery.start_soon(self._make_keys)
            nursery.start_soon(self._hear_again)
            nursery.start_soon(self.presence.run)
            nursery.start_soon(self.mail.run)
            nursery.start_soon(self._tell_requests)
            await self.submit(relays.begin, [self.net.mailboxes.relay_at(written) for written in self._relays])
            await self.submit(self.copies.look)
            await self._mark_copy()
            await self.submit(housekeeping.tick)
            await self.submit(walk.begin, first)
            if self.net.relayed() is not None:
                self.whereabouts.changed()  # when relays had a moment to answer
            elif others:
                nursery.start_soon(self._tell_addresses)
            else:
                await self._tell_addresses()
            nursery.start_soon(self.whereabouts.run)
            nursery.start_soon(self._tick)
            nursery.start_soon(self.clock_watch.run, self._look_after)
            nursery.start_soon(walk.through, others, self.submit, walk.begin)
            task_status.started()
            await trio.sleep_forever()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def submit(self, function: Callable[..., T], *args: object, brief: bool = False) -> T:
        """Run `function(turn, *args)` in the next turn; returns once that is on disk and released."""
        done = trio.Event()
        item = self.ask(function, *args, then=lambda _: done.set(), brief=brief)
        await done.wait()
        if item.error is not None:
            raise item.error
        result: T = item.result
        return result

    def ask(
        self, function: Callable[..., object], *args: object, then: Callable[[Input], object], brief: bool = False
    ) -> Input:
        """The same without waiting: `then` is given the input with its result or error, and must not raise."""
        if len(self._inbox.waiting) >= MOST_CALLS:
            raise Busy
        item = Input(function, args, None, brief, then)
        self._inbox.put(item)
        return item

    def post(
        self,
        function: Callable[..., object],
        *args: object,
        lazy: bool = False,
        sender: bytes | None = None,
        brief: bool = False,
    ) -> None:
        """The same without waiting for it. If it cannot be saved, what `sender` says begins anew, and so does this."""
        self._inbox.put(Input(function, args, sender, brief), lazy=lazy)

    @property
    def waiting(self) -> int:
        """How many inputs wait for a turn."""
        return len(self._inbox.waiting) + len(self._inbox.lazy)

    async def room(self) -> None:
        """Wait while too many inputs wait: whoever feeds from the network stops reading meanwhile."""
        while self.waiting >= HIGH_MARK:
            if self._inbox.room.is_set():  # others may wait on it already
                self._inbox.room = trio.Event()
            await self._inbox.room.wait()

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """Run `function(db, *args)`, which writes nothing, between turns."""
        async with self._one_at_a_time:
            result: T = await self._run_sync(function, self.db, *args)
            return result

    async def beside(self, function: Callable[[], T]) -> T:
        """Run `function`, which may take seconds and has a database connection of its own, while turns go on."""
        result: T = await self._run_sync(function)
        return result

    async def close(self) -> None:
        """Close the database, after the turn or the reading in progress. `run` must have ended."""
        async with self._one_at_a_time:
            await self._run_sync(self.db.close)

    async def watch(self, check: Callable[[], Awaitable[T | None]]) -> T:
        """Wait until `check` finds something; it is asked again after each turn that changed a contact."""
        while True:
            changed = self._people_changed
            if (found := await check()) is not None:
                return found
            await changed.wait()

    @contextmanager
    def follow(self, message_id: bytes) -> Iterator[Following]:
        """Follow a message from before it is saved, without asking the store after every turn."""
        following = self._following[message_id.hex()] = Following()
        try:
            yield following
        finally:
            del self._following[message_id.hex()]

    def route(self, contact: bytes) -> str | None:
        """How a message to this contact would travel now; None where it would wait here."""
        return self.net.route(contact) or ("mailbox" if contact in self.mail.deposits.owners else None)

    def keeps_running(self) -> bool:
        """Whether this node has a reason to stay without a face: an invite made here that can still be used, being a
        relay for contacts, or something that is about to leave for relays.
        """
        return self.offering.wanted or self._open_until > self.clock() or self.mail.busy

    # --- turning ----------------------------------------------------------------------------------------------------

    async def _commit(self) -> None:
        while True:
            batch = await self._inbox.take()
            async with self._one_at_a_time:
                with trio.CancelScope(shield=True):
                    self.clock_watch.look()
                    brief = len(batch) <= SMALL and all(item.brief for item in batch)
                    turns = await self._run_sync(self._apply, batch, brief, brief=brief)
            for turn in turns:
                self._release(turn)
            if len(self.entropy.ahead) < KEYS_AHEAD:
                self._taken.set()
            if any(turn.sealed or turn.hop_acks or turn.taken for turn in turns):  # these were written, there is room
                self._saved.set()
            for item in batch:
                if item.sender is not None and isinstance(item.error, ProfileError):
                    self._unsaved.add(item.sender)
                    self._failed.set()
                if item.then is not None:
                    item.then(item)

    async def _tell_requests(self) -> None:
        """Tell faces who asks, with the words of the handshake: these cost 45 ms each, in which turns go on."""
        async for request in self._requests:
            words = await self.beside(partial(sas_words, request.sas))
            if await self.read(store_sessions.is_pending, request.th):  # it may have been answered meanwhile
                event = views.request(request.contact, words, request.since)
                self.events.publish({"event": "request", **event})

    async def _make_keys(self) -> None:
        """Keep ratchet keys ahead: made a moment after a turn that took some, when what came of it has left."""
        while True:
            await trio.sleep(A_MOMENT)
            while len(self.entropy.ahead) < KEYS_AHEAD and not self._inbox.ready():
                self.entropy.prepare()
                await trio.lowlevel.checkpoint()
            self._taken = trio.Event()
            await self._taken.wait()

    def _apply(self, batch: Sequence[Input], brief: bool = False) -> list[Turn]:
        """One transaction for the whole batch; if that fails for no reason of ours, one for each input."""
        try:
            return [self._transaction(batch, brief)]
        except P2PChatError as error:  # the disk: everybody is told, nothing was changed
            log.error("a turn could not be saved: %s", type(error).__name__)
            for item in batch:
                item.result, item.error = None, error
            return []
        except Exception as error:  # noqa: BLE001 - one input must not cost the others, nor end the process
            log.error("a turn failed: %s in %s", type(error).__name__, _where(error))
            if len(batch) == 1:
                batch[0].error = NodeError("Something went wrong inside the node")
                return []
            return [turn for item in batch for turn in self._apply([item], brief)]

    def _transaction(self, batch: Sequence[Input], brief: bool = False) -> Turn:
        turn = Turn(
            self.db,
            self.me,
            self.clock(),
            self.entropy,
            self.message_ids,
            self.net,
            self.sessions,
            self.route,
            self.allowance,
            self.memory,
            self.events.listened,
            self.clock_watch.passed,
            self.clock_watch.latest,
            self.clock_watch.agreed,
            self.clock_hints,
            self.storage_limits,
        )
        if brief:
            turn.skippable = min(turn.skippable, A_BRIEF_TURN)
        try:
            with self.db.transaction():
                for item in batch:
                    item.result = item.error = None
                    try:
                        item.result = item.run(turn, *item.args)
                    except ProfileError:  # the disk, not the input
                        raise
                    except P2PChatError as error:
                        item.error = error
                if turn.pairs_of:
                    offering.settle(turn, turn.pairs_of)
                outbound.finish(turn)
                reading.finish(turn)
                self.clock_watch.save(self.db)
                self.message_ids.save(self.db)
                self.sessions.write()
                if turn.pairs_of:
                    turn.outputs.insert(0, self._look(turn.pairs_of))  # before whoever is to be reached is
                if turn.offers_changed:
                    turn.outputs.insert(0, self._look_at_invites())
                if turn.mail_changed or turn.mail_of:
                    turn.outputs.append(self._look_at_mail(None if turn.mail_changed else turn.mail_of))
        except BaseException:
            self.sessions.forget()
            self.memory.forget()
            self.clock_watch.unsaved()
            self.message_ids.unsaved()
            raise
        self.sessions.settle()
        return turn

    def _release(self, turn: Turn) -> None:
        """The turn is on disk: let out what came of it."""
        for contact, ids in turn.hop_acks.items():
            self.net.send(contact, wire.acks(ids))
        by_contact: dict[bytes, list[Sealed]] = {}
        for sealed in turn.sealed:
            by_contact.setdefault(sealed.contact, []).append(sealed)
        for contact, some in by_contact.items():
            self.flow.release(contact, some)
        self.mail.release(turn, by_contact)
        for output in turn.outputs:
            output()
        for contact, function, args in turn.following:
            self.post(function, *args, sender=contact)
        for request in turn.requests:
            if self.events.listened:  # else a face that comes asks who there is
                self._requests_in.send_nowait(request)
        for event in turn.events:
            self.events.publish(event)
            if event["event"] == "state" and (following := self._following.get(event["id"])) is not None:
                following.newest = event
                following.moved.set()
        if turn.people_changed:
            self._people_changed.set()
            self._people_changed = trio.Event()

    async def _hear_again(self) -> None:
        """What a full disk kept from being saved was not acked: its senders say it again on a new link, and relays have
        it still.
        """
        while True:
            self._failed = trio.Event()
            await self._failed.wait()
            self._saved = trio.Event()
            with trio.move_on_after(SAVE_AGAIN):
                await self._saved.wait()
            senders, self._unsaved = self._unsaved, set()
            for sender in senders:
                if len(sender) >= KEY:  # a relay's mailbox; the ids of contacts are shorter
                    self.mail.hear_again(sender)
                else:
                    self.net.relink(sender)

    def _look(self, of: Collection[bytes]) -> Callable[[], None]:
        """Read what hellos of these contacts are checked against; the result puts it in place, once it is on disk."""
        pairs, hidden = self.gate.read(self.db, self.me, of), store_contacts.hidden(self.db)

        def use() -> None:
            self.gate.use(pairs, hidden, of)
            if hidden:
                self.net.hide()

        return use

    def _look_at_invites(self) -> Callable[[], None]:
        """The same for invites."""
        invites = store_invites.all(self.db)
        usable = [row for row in invites if row.state == store_invites.OPEN]

        def use() -> None:
            self.door.use(invites)
            if any(row.hidden for row in usable):
                self.net.hide()
            self._open_until = max((row.expires_at for row in usable), default=0)

        return use

    def _look_at_mail(self, owners: Collection[bytes] | None = None) -> Callable[[], None]:
        return partial(self.mail.use, watching.read(self.db, owners))

    def _show(self, contact: bytes) -> None:
        if self.events.listened:  # else nobody is told, and a face that comes asks how everybody is reached
            self.post(people.show, contact)

    async def _tell_addresses(self) -> None:
        """Tell all contacts where they reach us; what was not told to the end is told anew."""
        try:
            async with self._telling:
                untold = await self.submit(whereabouts.untold_addresses)
                if untold or self.offering.wanted:
                    tell = partial(offering.tell_addresses, addresses=untold)
                    await walk.through(await self.read(walk.order), self.submit, tell)
                    await self.submit(whereabouts.addresses_told, untold)
        except P2PChatError as error:  # it is asked for again every hour
            log.warning("new addresses could not be saved: %s", type(error).__name__)

    def _refill(self, contact: bytes) -> None:
        self.post(self.flow.rows_due, contact, sender=contact)

    async def _mark_copy(self) -> None:
        await self.submit(self.copies.prepare)
        await self.submit(self.copies.write)

    async def _look_after(self) -> None:
        try:
            await self._mark_copy()
            await self.submit(housekeeping.tick)
            await walk.through(await self.read(walk.order), self.submit, housekeeping.look_at)
            self.whereabouts.changed()
            await self.read(Database.checkpoint)
        except P2PChatError as error:  # a full disk now may have room in an hour
            log.warning("the hourly look could not be saved: %s", type(error).__name__)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK)
            await self._look_after()
            self.flow.again()
            self.mail.deposits.again()


def _seed(db: Database, key: str) -> bytes:
    seed = meta.get(db, key)
    if seed is None:
        raise DatabaseDamaged
    return seed


def _where(error: BaseException) -> str:
    """File and line, without the text of the error, which may hold what a peer sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
