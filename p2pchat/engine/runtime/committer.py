"""The committer: every input goes through one queue, and each batch of inputs is one transaction.

While one transaction commits, the next one's inputs gather, so that transactions grow with the load and with the
slowness of the disk, without a timer. The committer takes what is waiting (at most `inbox.MAX_BATCH`), computes and
writes all of it in one transaction, COMMITs, and only then releases the effects: acks and envelopes to the network,
events to faces, answers to callers.

A function that raises one of our errors has written nothing, and fails alone. Any other exception, and any of what is
done at the end of a transaction, rolls back the transaction; its inputs are then run one by one, so that only the
guilty one is lost. If the disk fails, all of them are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.identity import Device
from p2pchat.core.ids import ContactId, InputSource
from p2pchat.core.primitives import Entropy
from p2pchat.engine.runtime.clock_hints import ClockHints
from p2pchat.engine.runtime.clock_watch import ClockWatch
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.events import EventHub
from p2pchat.engine.runtime.inbox import Inbox, Input
from p2pchat.engine.runtime.message_ids import MessageIds
from p2pchat.engine.runtime.session_cache import SessionCache
from p2pchat.engine.runtime.skip_budget import MAX_PER_BRIEF_TRANSACTION, SkipBudget
from p2pchat.engine.runtime.storage_limits import ContactLimits, StorageLimits
from p2pchat.engine.runtime.transaction import Memory, Transaction
from p2pchat.engine.runtime.worker import BRIEF_BATCH, Worker
from p2pchat.errors import Busy, NodeError, P2PChatError, ProfileError, UsageError
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Clock, Net
from p2pchat.store import meta
from p2pchat.store.database import Database

T = TypeVar("T")
RunSync = Callable[..., Awaitable[Any]]
Hook = Callable[[Transaction], object]

HIGH_WATER_MARK = 512
"""Inputs from the network that may wait; above it, links are not read."""
MAX_BESIDE = 16
"""Functions that run beside transactions at a time. Fewer than trio has threads (40), so that one is always left for a
transaction, even where a network file system hangs.
"""
MAX_CALLS = 10_000
"""Calls of faces that may wait for a transaction; above it, faces are told that the node is busy."""
KEYS_AHEAD = 4
"""Ratchet key pairs that are made before a transaction needs them."""
KEYS_AHEAD_DELAY_SECONDS = 0.001
"""Seconds after a transaction until they are made, so that its effects are sent first."""
SAVE_RETRY_SECONDS = 30.0
"""Seconds until an input that could not be saved is requested again, unless something shows earlier that it can be
saved.
"""

log = logging.getLogger(__name__)


class Committer:
    """Runs functions in transactions and releases their effects. `run` runs it; `submit`, `ask` and `post` add
    functions that write, `read` and `beside` functions that only read.

    before_writing: run at the end of each transaction, in order, before sessions are written. before_commit: run after
    that. release: called with each transaction once it is on disk. route: how a message to a contact would travel now.
    limits: how much one contact may make us store.
    """

    def __init__(
        self,
        db: Database,
        me: Device,
        clock: Clock,
        entropy: Entropy,
        net: Net,
        events: EventHub,
        clock_watch: ClockWatch,
        release: Callable[[Effects], object],
        route: Callable[[ContactId], Route | None],
        limits: ContactLimits,
        run_sync: RunSync | None = None,
    ) -> None:
        self.before_writing: list[Hook] = []
        self.before_commit: list[Hook] = []
        self.messages_at = -math.inf
        """When something of a message came from outside or was committed last, in seconds of trio's clock."""
        self.sessions = SessionCache(db)
        self.memory = Memory()
        self.skip_budget = SkipBudget()
        self.message_ids = MessageIds(entropy.random, meta.get(db, "greatest_message_id"))
        self.clock_hints = ClockHints()
        self.storage_limits = StorageLimits(limits)
        self._db = db
        self._me = me
        self._clock = clock
        self._entropy = entropy
        self._net = net
        self._events = events
        self._clock_watch = clock_watch
        self._release = release
        self._route = route
        self._run_sync = run_sync or Worker()
        self._one_at_a_time = trio.Lock()
        self._beside = trio.CapacityLimiter(MAX_BESIDE)
        self._inbox = Inbox()
        self._contacts_changed = trio.Event()
        self._unsaved: set[InputSource] = set()
        self._taken = Wakeup()
        self._failed = Wakeup()
        self._saved = Wakeup()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def submit(self, function: Callable[..., T], *args: object, brief: bool = False) -> T:
        """Run `function(tx, *args)` in the next transaction; return once that is on disk and released."""
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
        """Run a function as `submit` does, without waiting: `then` is called with the input and its result or error,
        and must not raise. Raises Busy if too many calls are waiting.
        """
        if len(self._inbox.waiting) >= MAX_CALLS:
            raise Busy
        item = Input(function, args, None, brief, then)
        self._inbox.put(item)
        return item

    def post(
        self,
        function: Callable[..., object],
        *args: object,
        lazy: bool = False,
        sender: InputSource | None = None,
        brief: bool = False,
        then: Callable[[Input], object] | None = None,
    ) -> None:
        """Run a function without waiting for it. If it cannot be saved, `sender` begins again, and sends this again.

        then: called after its transaction, whether that was saved or not, and after the effects of that.
        """
        self._inbox.put(Input(function, args, sender, brief, then), lazy=lazy)

    @property
    def waiting(self) -> int:
        """The number of inputs waiting for a transaction."""
        return len(self._inbox.waiting) + len(self._inbox.lazy)

    async def room(self) -> None:
        """Wait while too many inputs are waiting; whoever feeds inputs from the network stops reading meanwhile."""
        while self.waiting >= HIGH_WATER_MARK:
            if self._inbox.room.is_set():  # others may wait on it already
                self._inbox.room.clear()
            await self._inbox.room.wait()

    async def read(self, function: Callable[..., T], *args: object) -> T:
        """Run `function(db, *args)`, which must not write, between transactions."""
        async with self._one_at_a_time:
            result: T = await self._run_sync(function, self._db, *args)
            return result

    async def beside(self, function: Callable[[], T]) -> T:
        """Run `function`, which may take seconds and has its own database connection, while transactions go on.
        At most `MAX_BESIDE` run at a time; the others wait.
        """
        async with self._beside:
            result: T = await self._run_sync(function)
        return result

    async def close(self) -> None:
        """Close the database, after the transaction or the reading in progress. `run` must have ended."""
        async with self._one_at_a_time:
            await self._run_sync(self._db.close)

    async def watch(self, check: Callable[[], Awaitable[T | None]]) -> T:
        """Wait until `check` returns something; it is called again after each transaction that changed a contact."""
        while True:
            changed = self._contacts_changed
            if (result := await check()) is not None:
                return result
            await changed.wait()

    async def unsaved(self) -> set[InputSource]:
        """Wait until an input from outside could not be saved, and then until saving may work again. Return where the
        lost inputs came from: contacts and mailboxes.
        """
        self._failed.clear()
        if not self._unsaved:
            await self._failed.wait()
        self._saved.clear()
        with trio.move_on_after(SAVE_RETRY_SECONDS):
            await self._saved.wait()
        senders, self._unsaved = self._unsaved, set()
        return senders

    # --- committing -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until cancelled. The transaction in progress is then finished, and nothing more is taken."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._make_keys)
            while True:
                await self._commit(await self._inbox.take())

    async def _commit(self, batch: Sequence[Input]) -> None:
        if any(item.sender is not None for item in batch):
            self.messages_at = trio.current_time()
        async with self._one_at_a_time:
            with trio.CancelScope(shield=True):
                self._clock_watch.check()
                brief = len(batch) <= BRIEF_BATCH and all(item.brief for item in batch)
                transactions = await self._run_sync(self.apply, batch, brief, brief=brief)
        for tx in transactions:
            self._release_effects(tx)
        if len(self._entropy.ahead) < KEYS_AHEAD:
            self._taken.set()
        if any(tx.sealed or tx.hop_acks or tx.taken for tx in transactions):  # these were written, there is room
            self._saved.set()
            self.messages_at = trio.current_time()
        for item in batch:
            if item.sender is not None and isinstance(item.error, ProfileError):
                self._unsaved.add(item.sender)
                self._failed.set()
            if item.then is not None:
                item.then(item)

    async def _make_keys(self) -> None:
        """Make ratchet keys in advance, a moment after a transaction used some, when its effects have been sent."""
        while True:
            await trio.sleep(KEYS_AHEAD_DELAY_SECONDS)
            while len(self._entropy.ahead) < KEYS_AHEAD and not self._inbox.ready():
                self._entropy.prepare()
                await trio.lowlevel.checkpoint()
            self._taken.clear()
            await self._taken.wait()

    def apply(self, batch: Sequence[Input], brief: bool = False) -> list[Transaction]:
        """Run one transaction for the whole batch. If it fails for any other reason than our disk, run one for each
        input.
        """
        try:
            return [self._transaction(batch, brief)]
        except ProfileError as error:  # the disk: everybody is told, nothing was changed
            log.error("a transaction could not be saved: %s", type(error).__name__)
            for item in batch:
                item.result, item.error = None, error
            return []
        except Exception as error:  # noqa: BLE001 - one input must not cost the others, nor end the process
            log.error("a transaction failed: %s in %s", type(error).__name__, _where(error))
            if len(batch) == 1:
                told = error if isinstance(error, UsageError) else NodeError("Something went wrong inside the node")
                batch[0].result, batch[0].error = None, told
                return []
            return [tx for item in batch for tx in self.apply([item], brief)]

    def _transaction(self, batch: Sequence[Input], brief: bool) -> Transaction:
        tx = self._begin()
        if brief:
            tx.skippable = min(tx.skippable, MAX_PER_BRIEF_TRANSACTION)
        self.memory.begin()
        try:
            with self._db.transaction():
                for item in batch:
                    item.result = item.error = None
                    try:
                        item.result = item.run(tx, *item.args)
                    except ProfileError:  # the disk, not the input
                        raise
                    except P2PChatError as error:
                        item.error = error
                for hook in self.before_writing:
                    hook(tx)
                self._clock_watch.save(self._db)
                self.message_ids.save(self._db)
                self.sessions.write()
                for hook in self.before_commit:
                    hook(tx)
        except BaseException:
            self.sessions.forget()
            self.memory.forget()
            self.storage_limits.forget()
            self._clock_watch.unsaved()
            self.message_ids.unsaved()
            raise
        self.storage_limits.settle()
        return tx

    def _begin(self) -> Transaction:
        return Transaction(
            db=self._db,
            me=self._me,
            entropy=self._entropy,
            net=self._net,
            message_ids=self.message_ids,
            sessions=self.sessions,
            memory=self.memory,
            skip_budget=self.skip_budget,
            clock_hints=self.clock_hints,
            storage_limits=self.storage_limits,
            route=self._route,
            listened=self._events.listened,
            now=self._clock(),
            passed=self._clock_watch.passed,
            latest=self._clock_watch.latest,
            agreed=self._clock_watch.agreed,
            counted=self._clock_watch.counted,
        )

    def _release_effects(self, effects: Effects) -> None:
        """Release the effects of a transaction that is on disk."""
        self._release(effects)
        for source, function, args in effects.following:
            self.post(function, *args, sender=source)
        for event in effects.events:
            self._events.publish(event)
        if effects.people_changed:
            self._contacts_changed.set()
            self._contacts_changed = trio.Event()


def _where(error: BaseException) -> str:
    """Return file and line, without the text of the error, which may hold what a peer sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
