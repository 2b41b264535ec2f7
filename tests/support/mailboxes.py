"""Relays in memory for the fake world: each keeps blobs in queues, and lies where a test tells it to.

    first, second = world.mailbox("first"), world.mailbox("second")
    await alice.call("relays", add=first.address)
    first.stop() / first.start()                  it does not answer any more / it does again
    first.cut(alice) / first.mend(alice)          the same for one node
    copy = first.copy(); first.put_back(copy)     its disk restored from an old copy
    first.lies.drops = True                       and so on, see `Lies`
    first.answers = mailbox.QUEUE_FULL            what it says to every deposit

They stand at the engine's port, so nothing here is signed; but queues are named by their keys, so who has the wrong
ones uses another queue. The protocol itself is tested with the real relay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import trio

from p2pchat.core import ipns, mailbox
from p2pchat.core.envelope import envelope_id
from p2pchat.core.files import BLOB_BYTES, blob_name
from p2pchat.core.ids import BlobName, EnvelopeId, PeerKey, QueueId, RelayName
from p2pchat.core.logs import LOG_SIZES, LogKeys
from p2pchat.core.primitives import sign_public
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, RelayState, TheirQueue
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import HOUR_MS
from p2pchat.log_ports import LogCallbacks
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox.box_stream import file_box
from p2pchat.net.mailbox.boxes import MAX_PUT_BLOBS
from p2pchat.net.mailbox.logs import MAX_APPENDED, NoLogs
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.ports import MailboxCallbacks

if TYPE_CHECKING:
    from tests.support.world import World, WorldNode

GATHER = 2.0
"""Seconds for which a relay that reorders gathers what it then shuffles."""


@dataclass
class Lies:
    """What a relay does wrong with what it is given. drops: it says that it has it, and has not; withholds: it gives
    nothing out; repeats: everything comes twice, and once more what was deleted; reorders: what comes together is given
    out in any order; invents: so many blobs of its own with each real one; delays: seconds until it gives it out;
    stale: of presence records it gives out the oldest; forks: to these people it shows every second item of a log.
    """

    drops: bool = False
    withholds: bool = False
    repeats: bool = False
    reorders: bool = False
    invents: int = 0
    delays: float = 0.0
    stale: bool = False
    forks: frozenset[str] = frozenset()


@dataclass
class Disk:
    """What a relay has kept: by queue the blobs by place, and those that were deleted."""

    queues: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    deleted: dict[bytes, dict[bytes, None]] = field(default_factory=dict)


class MailRelay:
    """One relay."""

    def __init__(self, world: World, name: str, token: str = "") -> None:
        self.name = name
        self.peer = PeerKey(sign_public(world.entropy.random(32)))
        self.token = token.encode()
        self.up = True
        self.disk = Disk()
        self.lies = Lies()
        self.answers: int = mailbox.DONE
        self.longest = 30 * 24
        self.hours_wrong = 0
        self.kept_for: list[int] = []
        """For how many hours it was to keep each deposit."""
        self.given: list[tuple[str, bytes, bytes]] = []
        """(node, queue, blob) of every deposit, whatever became of it."""
        self._world = world
        self._where = f"/ip4/10.9.0.{len(world.mailboxes) + 1}/tcp/4001"
        self._random = Random(len(world.mailboxes))
        self._cut: set[str] = set()
        self._place = 0
        self._held: list[tuple[QueueId, bytes]] = []
        self.records: dict[bytes, list[bytes]] = {}
        """Every presence record that was accepted, by the key that signs it."""
        self.requests: list[RecordRequest] = []
        """All that a relay could write down about these."""
        self.boxes: dict[QueueId, dict[BlobName, bytes]] = {}
        self.put_by: list[tuple[str, BlobName]] = []
        self.got_by: list[tuple[str, BlobName]] = []
        """Which node put and got which blob of a file."""
        self.logs: dict[QueueId, list[bytes]] = {}
        """What lies in each log; the place of a blob is its position, from 1."""
        self.log_room = 4096
        """Blobs that one log takes, of which nine tenths from those who are no admins; 0: it has none."""
        self.box_room = 64 << 20
        """Bytes of blobs in one file box; 0: it has none."""
        self._changed = trio.Event()

    @property
    def hour(self) -> int:
        """What its clock says, in hours."""
        return self._world.now() // HOUR_MS + self.hours_wrong

    @property
    def address(self) -> str:
        """What a person gives to `relays add`."""
        return multiaddrs.full(self.peer, self._where) + (f"#{self.token.decode()}" if self.token else "")

    def blobs(self) -> list[bytes]:
        """Everything that lies here."""
        return [blob for queue in self.disk.queues.values() for blob in queue.values()]

    def deposited_by(self, name: str) -> list[bytes]:
        """Every blob that a node has put here."""
        return [blob for who, _, blob in self.given if who == name]

    def stop(self) -> None:
        """It does not answer any more."""
        self.up = False
        self.change()

    def start(self) -> None:
        """It does again."""
        self.up = True
        self.change()

    def cut(self, *nodes: WorldNode) -> None:
        """These nodes do not reach it any more."""
        self._cut.update(node.name for node in nodes)
        self.change()

    def mend(self, *nodes: WorldNode) -> None:
        """They do again."""
        self._cut.difference_update(node.name for node in nodes)
        self.change()

    def box(self, box: TheirQueue | OwnQueue) -> dict[BlobName, bytes]:
        """What lies in the file box with the keys of a queue, by name."""
        return self.boxes.setdefault(file_box(box).id, {})

    def log(self, keys: LogKeys) -> list[bytes]:
        """What lies in a log."""
        return self.logs.setdefault(keys.log.id, [])

    def copy(self) -> Disk:
        """A copy of its disk."""
        return deepcopy(self.disk)

    def put_back(self, copy: Disk) -> None:
        """Its disk is lost, and restored from a copy. Places grow nevertheless."""
        self.disk = Disk()
        for qid, queue in copy.queues.items():
            for blob in queue.values():
                self._keep(QueueId(qid), blob)
        self.change()

    def change(self) -> None:
        """Whoever uses it looks again."""
        self._changed.set()
        self._changed = trio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def state(self, node: str, token: bytes) -> RelayState:
        """How it stands with a node."""
        if not self.up or node in self._cut:
            return "unreachable"
        return "connected" if token == self.token else "refused"

    def put(self, node: str, qid: QueueId, blob: bytes, box: bool = False) -> int:
        """Keep a blob, in a box instead of what is there; the code of the protocol."""
        self.given.append((node, qid, blob))
        if self.answers == mailbox.DONE and not self.lies.drops:
            if box and blob not in self.disk.queues.get(qid, {}).values():
                self.disk.queues.pop(qid, None)
            if self.lies.delays or self.lies.reorders:
                self._held.append((qid, blob))
                if len(self._held) == 1:
                    self._world.soon(self._give_out_later)
            else:
                self._give_out(qid, blob)
        return self.answers

    async def _give_out_later(self) -> None:
        await trio.sleep(self.lies.delays or GATHER)
        held, self._held = self._held, []
        if self.lies.reorders:
            self._random.shuffle(held)
        for qid, blob in held:
            self._give_out(QueueId(qid), blob)

    def _give_out(self, qid: QueueId, blob: bytes) -> None:
        if blob not in self.disk.queues.get(qid, {}).values():
            for _ in range(self.lies.invents):
                self._keep(qid, self._random.randbytes(len(blob)))
            for again in [blob, blob, *self.disk.deleted.get(qid, ())] if self.lies.repeats else [blob]:
                self._keep(qid, again)
            self.change()

    def _keep(self, qid: QueueId, blob: bytes) -> None:
        self._place += 1
        self.disk.queues.setdefault(qid, {})[self._place] = blob

    def fetch(self, qid: QueueId, after: int) -> list[tuple[int, bytes]]:
        """What comes next in a queue."""
        if self.lies.withholds:
            return []
        return [one for one in self.disk.queues.get(qid, {}).items() if one[0] > after]

    def delete(self, qid: QueueId, upto: int) -> None:
        """Its recipient has it."""
        queue = self.disk.queues.get(qid, {})
        for place in [place for place in queue if place <= upto]:
            self.disk.deleted.setdefault(qid, {})[queue.pop(place)] = None

    def forget(self, qid: QueueId, after: int, names: Sequence[EnvelopeId]) -> None:
        """Its recipient has these from elsewhere; those up to the place `after` were fetched already."""
        queue = self.disk.queues.get(qid, {})
        for place in [place for place, blob in queue.items() if place > after and envelope_id(blob) in names]:
            self.disk.deleted.setdefault(qid, {})[queue.pop(place)] = None


@dataclass(frozen=True)
class RecordRequest:
    """What a relay sees of a request about a presence record: when, from which transport key, and for which key.
    record: what was put, None where it was asked for.
    """

    at: int
    peer: PeerKey
    public: bytes
    record: bytes | None


class FakeRecords:
    """A node's presence records at these relays."""

    def __init__(self, node: WorldNode) -> None:
        self._node = node

    async def put(self, relay: Relay, public: bytes, record: bytes) -> int | None:
        there = await self._ask(relay, public, record)
        if there is None or there.lies.drops:
            return None if there is None else mailbox.DONE
        try:
            new = ipns.read(ipns.routing_key(public), record, self._node.world.now())
        except CannotOpen:  # made by a clock that is days off
            return mailbox.MALFORMED
        known = [ipns.read(ipns.routing_key(public), raw, 0) for raw in there.records.get(public, [])]
        if ipns.best([new, *known]) is not new:
            return mailbox.NOT_ALLOWED
        there.records.setdefault(public, []).append(record)
        return mailbox.DONE

    async def get(self, relay: Relay, public: bytes) -> bytes:
        there = await self._ask(relay, public, None)
        kept = [] if there is None or there.lies.withholds else there.records.get(public, [])
        if there is not None and there.lies.invents:
            return self._node.world.entropy.random(1200)
        return kept[0 if there is not None and there.lies.stale else -1] if kept else b""

    async def _ask(self, relay: Relay, public: bytes, record: bytes | None) -> MailRelay | None:
        there = self._node.world.mailboxes.get(relay.peer)
        async with self._node.new_host() as host:
            await trio.sleep(0.05)
            if there is None or there.state(self._node.name, relay.token) != "connected":
                return None
            there.requests.append(RecordRequest(self._node.world.now(), host.peer, public, record))
        return there


class FakeFileBoxes:
    """A node's end of the file boxes at these relays. `MailRelay.boxes` is what lies there, by box and name;
    `MailRelay.box_room` how many bytes one box takes. `lies` say what such a relay does wrong.
    """

    def __init__(self, node: WorldNode) -> None:
        self._node = node

    async def room(self, relay: Relay) -> int | None:
        there = await self._reached(relay)
        return None if there is None else there.box_room

    async def have(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> Sequence[bool] | None:
        assert len(names) <= mailbox.NAMES_A_FORGET
        there = await self._reached(relay)
        return None if there is None else [name in there.box(box) for name in names]

    async def put(
        self, relay: Relay, box: TheirQueue, hours: int, blobs: Sequence[bytes]
    ) -> Sequence[int | None] | None:
        assert len(blobs) <= MAX_PUT_BLOBS
        assert all(len(blob) == BLOB_BYTES for blob in blobs)
        there = await self._reached(relay)
        if there is None or not there.box_room:
            return None
        codes: list[int | None] = []
        for blob in blobs:
            held, code = there.box(box), there.answers
            if code == mailbox.DONE and (len(held) + 1) * BLOB_BYTES > there.box_room:
                code = mailbox.QUEUE_FULL
            there.put_by.append((self._node.name, blob_name(blob)))
            if code == mailbox.DONE and not there.lies.drops:
                held[blob_name(blob)] = blob
            codes.append(code)
        return codes

    async def get(self, relay: Relay, box: OwnQueue, names: Sequence[BlobName]) -> Sequence[bytes | None] | None:
        assert len(names) <= mailbox.NAMES_A_GET
        there = await self._reached(relay)
        if there is None or not there.box_room:
            return None
        held = {} if there.lies.withholds else there.box(box)
        there.got_by += [(self._node.name, name) for name in names if name in held]
        return [held.get(name) for name in names]

    async def forget(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> bool:
        there = await self._reached(relay)
        if there is None or (box.flags & mailbox.SHARED and isinstance(box, OwnQueue)):
            return False
        for name in names:
            there.box(box).pop(name, None)
        return True

    async def _reached(self, relay: Relay) -> MailRelay | None:
        there = self._node.world.mailboxes.get(relay.peer)
        await trio.sleep(0.05)
        if there is None or (relay.hidden and not relay.chosen):  # no circuit leads there
            return None
        return there if there.state(self._node.name, relay.token) == "connected" else None


class FakeLogs:
    """A node's end of the logs at these relays. `MailRelay.logs` is what lies there. Of the relay's `lies`, `drops`,
    `withholds`, `repeats`, `reorders` and `invents` have their meaning here too.
    """

    def __init__(self, node: WorldNode, callbacks: LogCallbacks, nursery: trio.Nursery) -> None:
        self._node = node
        self._callbacks = callbacks
        self._nursery = nursery
        self._watched: dict[RelayName, tuple[Relay, dict[QueueId, int]]] = {}
        self._wake: dict[RelayName, trio.Event] = {}

    def watch(self, relay: Relay, logs: Sequence[tuple[LogKeys, int]]) -> None:
        name = relay.mailbox
        known = self._watched.get(name, (relay, {}))[1]
        wanted = {keys.log.id: after for keys, after in logs}
        self._watched[name] = relay, {qid: known.get(qid, after) for qid, after in wanted.items()}
        if name in self._wake:
            self._wake[name].set()
        else:
            self._wake[name] = trio.Event()
            self._nursery.start_soon(self._serve, name)

    async def append(
        self, relay: Relay, keys: LogKeys, hours: int, blobs: Sequence[bytes], *, as_admin: bool = False
    ) -> Sequence[int | None] | None:
        assert len(blobs) <= MAX_APPENDED
        assert all(len(blob) in LOG_SIZES for blob in blobs)
        await trio.sleep(0.05)
        there = self._reached(relay)
        if there is None or not there.log_room:
            return None
        codes: list[int | None] = []
        for blob in blobs:
            there.given.append((self._node.name, keys.log.id, blob))
            held, code = there.log(keys), there.answers
            if code == mailbox.DONE and blob not in held:
                most = there.log_room if as_admin and keys.admin_seed else there.log_room * 9 // 10
                code = mailbox.QUEUE_FULL if len(held) >= most else mailbox.DONE
                if code == mailbox.DONE and not there.lies.drops:
                    held.append(blob)
            codes.append(code)
        there.change()
        return codes

    def _reached(self, relay: Relay) -> MailRelay | None:
        there = self._node.world.mailboxes.get(relay.peer)
        if there is None or (relay.hidden and not relay.chosen):  # no circuit leads there
            return None
        return there if there.state(self._node.name, relay.token) == "connected" else None

    async def _serve(self, name: RelayName) -> None:
        up, ended = False, set[QueueId]()
        while True:
            self._wake[name] = trio.Event()
            await trio.lowlevel.checkpoint()  # nothing is answered within a call
            relay, watched = self._watched[name]
            reached = self._reached(relay)
            answers = reached is not None and bool(reached.log_room and watched)
            if answers != up:
                up = answers
                ended.clear()
                if up:
                    self._callbacks.logs_up(name)
                else:
                    self._callbacks.logs_down(name, "it does not answer")
            if reached is not None and answers:
                for qid in list(watched):
                    await self._give(name, reached, qid, watched, ended)
            there = self._node.world.mailboxes.get(relay.peer)
            async with trio.open_nursery() as nursery:
                for wait in (self._wake[name].wait, trio.sleep_forever if there is None else there.changed):
                    nursery.start_soon(_then_cancel, wait, nursery.cancel_scope)

    async def _give(
        self, name: RelayName, there: MailRelay, qid: QueueId, watched: dict[QueueId, int], ended: set[QueueId]
    ) -> None:
        """Pass on what is new in a log; that there is nothing, once."""
        held = [] if there.lies.withholds else there.logs.get(qid, [])
        held = held[::2] if self._node.name in there.lies.forks else held
        after = watched[qid]
        blobs = held[after:]
        if not blobs and qid in ended:
            return
        ended.add(qid)
        upto = max(after, len(held))
        if there.lies.repeats:
            blobs = [*held[:after], *blobs, *blobs]
        if there.lies.reorders:
            Random(len(blobs)).shuffle(blobs)
        size = len(blobs[0]) if blobs else LOG_SIZES[0]
        blobs += [self._node.world.entropy.random(size) for _ in range(there.lies.invents if blobs else 0)]
        items = [(after + place, blob) for place, blob in enumerate(blobs, start=1)]
        await self._callbacks.log_items(name, qid, items, upto, more=False)
        if qid in watched:
            watched[qid] = upto


@dataclass
class _Use:
    """How one node uses one relay."""

    relay: Relay
    watched: dict[bytes, OwnQueue] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)
    deposits: list[tuple[int, TheirQueue, bytes]] = field(default_factory=list)
    health: RelayHealth = field(default_factory=lambda: RelayHealth("connecting", 0))
    wake: trio.Event = field(default_factory=trio.Event)


class FakeMailboxes(MailboxPool):
    """A node's end of these relays."""

    def __init__(
        self, node: WorldNode, mail: MailboxCallbacks, log_callbacks: LogCallbacks | None, nursery: trio.Nursery
    ) -> None:
        super().__init__(node.host, mail, nursery, node.clock, node.world.entropy.random)
        self.logs = FakeLogs(node, log_callbacks or NoLogs(), nursery)
        self.records = FakeRecords(node)
        self.boxes = FakeFileBoxes(node)
        self._world = node.world
        self._name = node.name
        self._told = mail
        self._tasks = nursery
        self._uses: dict[RelayName, _Use] = {}

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        use = self._use(relay)
        use.relay = relay
        use.watched = {own.queue.id: own for own in queues}
        use.seen = {qid: max(use.seen.get(qid, 0), own.after) for qid, own in use.watched.items()}
        use.wake.set()

    def change(self, relay: Relay, add: Sequence[OwnQueue], drop: Sequence[bytes]) -> None:
        known = self._use(relay).watched
        self.watch(relay, [*(own for qid, own in known.items() if qid not in drop), *add])

    def taken(self, relay: RelayName, qid: QueueId, upto: int) -> None:
        use = self._uses[relay]
        own = use.watched.get(qid)
        if use.health.state == "connected" and own is not None and not own.flags & mailbox.BOX:
            self._world.mailboxes[use.relay.peer].delete(qid, upto)

    def forget(self, relay: RelayName, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        use = self._uses[relay]
        if use.health.state == "connected":
            self._world.mailboxes[use.relay.peer].forget(qid, use.seen.get(qid, 0), names)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        assert 1 <= hours <= 30 * 24
        if (there := self._world.mailboxes.get(relay.peer)) is not None:
            there.kept_for += [hours] * len(blobs)
        use = self._use(relay)
        use.deposits += [(number, queue, blob) for number, blob in blobs]
        use.wake.set()

    def relay_health(self) -> dict[RelayName, RelayHealth]:
        return {peer: use.health for peer, use in self._uses.items()}

    def _use(self, relay: Relay) -> _Use:
        name = relay.mailbox
        if name not in self._uses:
            self._uses[name] = _Use(relay, health=RelayHealth("connecting", self._clock()))
            self._tasks.start_soon(self._serve, name, self._uses[name])
        return self._uses[name]

    async def _serve(self, peer: PeerKey, use: _Use) -> None:
        there = self._world.mailboxes.get(use.relay.peer)
        if use.relay.hidden and not use.relay.chosen:
            there = None  # no circuit leads there
        while True:
            use.wake = trio.Event()
            await trio.lowlevel.checkpoint()  # nothing is answered within a call
            state: RelayState = "unreachable" if there is None else there.state(self._name, use.relay.token)
            if state != use.health.state:
                came = state == "connected"
                longest = None if there is None else there.longest
                problem = "" if came else "it does not answer"
                ahead = None if there is None else there.hour - self._clock() // HOUR_MS
                family = "IPv4" if came else ""
                use.health = RelayHealth(state, self._clock(), problem, longest, hours_ahead=ahead, family=family)
                if came:
                    self._told.relay_up(RelayName(peer))
                else:
                    self._told.relay_down(RelayName(peer), tried=True)
            if there is not None and state == "connected":
                await self._exchange(peer, use, there)
            elif use.deposits:
                given_back, use.deposits = use.deposits, []
                self._told.undeposited(RelayName(peer), [number for number, _, _ in given_back])
            async with trio.open_nursery() as nursery:
                for wait in (use.wake.wait, trio.sleep_forever if there is None else there.changed):
                    nursery.start_soon(_then_cancel, wait, nursery.cancel_scope)

    async def _exchange(self, peer: PeerKey, use: _Use, there: MailRelay) -> None:
        deposits, use.deposits = use.deposits, []
        if deposits:
            done = [
                (number, there.put(self._name, queue.queue.id, blob, queue.flags == mailbox.BOX))
                for number, queue, blob in deposits
            ]
            self._told.deposited(RelayName(peer), done)
        for qid in list(use.watched):
            found = there.fetch(QueueId(qid), use.seen.get(qid, 0))
            if found:
                use.seen[qid] = found[-1][0]
                await self._told.collected(RelayName(peer), QueueId(qid), found)
                use.wake.set()


async def _then_cancel(wait: Callable[[], Any], scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
