"""A world in memory: any number of real engines with real databases, on a network that the test commands.

Only the host is made up: streams are pairs of in-memory pipes. Everything above it (links, joining, reach, engine,
store) is the program's own. Time is a `MockClock`'s, so nothing sleeps. Chance comes from a seed, but for ML-KEM's,
which the library keeps to itself; so does the order in which trio runs tasks.

    with World(tmp_path) as world: ...          (see `run_world`)
    alice = await world.start("alice")          a profile and its node
    await befriend(alice, bob)
    world.cut(alice, bob)                       silence, as of a pulled cable; `world.mend` undoes it
    world.freezes_after = 15_000                of each direct stream, more bytes each way vanish, as some censors do
    world.meddle = rule                         every frame passes `rule`, which drops, changes, repeats or keeps it
    mallory = world.outsider("mallory")         a host without a node, to speak to nodes byte by byte
    relay = world.relay("hill")                 a relay; alice.use(relay): by it she is reached; relay.stop() kills it
    alice.host.walled = True                    nobody can dial her, as behind a NAT
    first = world.mailbox("first")              a relay that keeps envelopes, see `tests.support.mailboxes`
    copy = alice.copy(); world.put_back(copy)   a profile restored from an old copy of its folder
    await alice.stop() / alice.crash()          a clean end / the power goes; `await world.start("alice")` again
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.primitives import Entropy, kem_encapsulate, sign_public
from p2pchat.engine.contacts import profile, transport_keys
from p2pchat.engine.engine import Engine
from p2pchat.engine.methods.service import METHODS
from p2pchat.engine.runtime import clock_watch
from p2pchat.errors import CannotOpen, LinkLost, NotServed, Unreachable
from p2pchat.net import multiaddrs
from p2pchat.net.allowance import Allowance, CircuitTerms
from p2pchat.net.kademlia.network import KademliaNetwork
from p2pchat.net.lan.discovery import Medium
from p2pchat.net.libp2p import circuit_messages
from p2pchat.net.libp2p.circuit_messages import HopMessage
from p2pchat.net.links import judging
from p2pchat.net.links.judging import LOST_AFTER_SECONDS
from p2pchat.net.mailbox import stream as mail_stream
from p2pchat.net.mapping.mapper import PortMapper
from p2pchat.net.network import Network
from p2pchat.net.ports import Caller, Handler, Recognizer, Stream
from p2pchat.ports import LanMode, Machine, MailboxCallbacks, Mailboxes, NetHandler, Relay
from p2pchat.relay import mailbox as relay_mailbox
from p2pchat.store import contacts as store_contacts
from p2pchat.store import instance
from p2pchat.store.database import Database
from tests.support.databases import KEY, new_database
from tests.support.mailboxes import FakeMailboxes, MailRelay
from tests.support.waiting import within

BEGAN = 1_790_000_000_000  # 2026-09-21, in ms
MAX_AT_ONCE = 50_000
"""Turns of trio's loop at one moment of virtual time; all that the tests do in a moment is less than a tenth of it."""
MAX_STORY_SECONDS = 30 * 86_400
"""Virtual seconds after which a story fails: it waits for what never comes. The longest takes a few days."""
UNWATCHED_SECONDS = 600.0
"""How long a link, or a stream to a relay, may be silent before it asks: hours pass in these tests, and most of the
work in them would be pings. `World.cut` sees to it that the two ends notice in time; with `watched=True` they have to
do so themselves.
"""
SWEPT_SECONDS = 150.0
"""How often a relay looks for what is past its time, for the same reason."""
CLOCKS_COMPARED_SECONDS = 60.0
"""How often a node compares its clocks, for the same reason."""
Json = dict[str, Any]


class Named(Protocol):
    """Somebody in this world, there or not."""

    name: str


class PowerCut(BaseException):
    """The process is gone. Not an Exception: nothing of the program may catch it and go on."""


class FakeStream:
    """One end of a pipe between two hosts, `by` a relay or directly."""

    def __init__(
        self, world: World, here: FakeHost, there: FakeHost, pipe: Any, inbound: bool, by: FakeRelay | None = None
    ):
        self._world, self.here, self.there, self.by = world, here, there, by
        self._pipe = pipe
        self._inbound = inbound
        self._closed = False
        self._written = 0
        self._delivering = trio.Lock()
        self.terms: CircuitTerms | None = None

    @property
    def peer(self) -> PeerKey:
        return self.there.peer

    @property
    def route(self) -> Route:
        return Route.DIRECT if self.by is None else Route.CIRCUIT

    @property
    def relay(self) -> PeerKey | None:
        return None if self.by is None else self.by.peer

    @property
    def place(self) -> str:
        return "192.0.2.1" if self.by is None else "a relay"

    @property
    def punched(self) -> bool:
        return False

    @property
    def inbound(self) -> bool:
        return self._inbound

    @property
    def short(self) -> Allowance | None:
        return None

    async def read(self, at_most: int) -> bytes:
        try:
            data = bytes(await self._pipe.receive_some(at_most))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LinkLost from None
        await self._world.unless_cut(self)
        return data

    async def write(self, data: bytes) -> None:
        with trio.CancelScope(shield=True):
            if self._closed:
                raise LinkLost
            self._world.traffic.append((self.here.name, self.there.name, data))
            if self._world.is_cut(self.here, self.there, self.by):
                return  # into the void: nobody tells the writer
            if self._world.freezes_after is not None and self.by is None:
                room = max(0, self._world.freezes_after - self._written)
                self._written += len(data)
                data = data[:room]
            await self.deliver(self._meddled(data) if data else b"")

    async def deliver(self, data: bytes) -> None:
        """Let bytes come out at the other end, whatever was written here."""
        try:
            async with self._delivering:
                await self._pipe.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LinkLost from None

    def _meddled(self, data: bytes) -> bytes:
        meddle = self._world.meddle
        if meddle is None or isinstance(self.here, FakeRelay) or isinstance(self.there, FakeRelay):
            return data
        try:
            frames = FrameParser().feed(data)
        except CannotOpen:
            return data
        return b"".join(pack(out) for frame in frames for out in meddle(self, frame))

    async def close(self) -> None:
        self.end()

    async def beside(self, protocol: str, window: int) -> Stream:
        await trio.lowlevel.checkpoint()
        if self._closed or self.there.nursery is None or self._world.is_cut(self.here, self.there, self.by):
            raise Unreachable
        return await self.here._connect(self.there, self.by, protocol)

    async def prove(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    def sever(self) -> None:
        self.here.disconnected.append(self.peer)
        self.end()

    def end(self) -> None:
        self._closed = True
        self.here.streams.discard(self)
        for half in (self._pipe.send_stream, self._pipe.receive_stream):
            half.close()


Meddle = Callable[[FakeStream, Frame], Iterable[Frame]]
"""What becomes of one frame on its way: the frames that arrive in its place."""


class FakeHost:
    """`ports.Host` without sockets."""

    def __init__(self, world: World, name: str, seed: bytes, *, listens: bool = True) -> None:
        self._world = world
        self._listens = listens
        self.walled = False
        self.name = name
        self._peer = PeerKey(sign_public(seed))
        self._handlers: dict[str, Handler] = {}
        self._recognizers: list[Recognizer] = []
        self.streams: set[FakeStream] = set()
        self.nursery: trio.Nursery | None = None
        self.dials = 0
        self.disconnected: list[bytes] = []

    @property
    def peer(self) -> PeerKey:
        return self._peer

    def addresses(self) -> tuple[str, ...]:
        return (self._world.address(self.name),) if self._listens else ()

    def handle(self, protocol: str, handler: Handler) -> None:
        self._handlers[protocol] = handler

    def recognize(self, recognizer: Recognizer) -> None:
        self._recognizers.append(recognizer)

    def answer_to_anything(self, handler: Handler) -> None:
        """For who plays another's host: take every name for its own from now on."""

        async def recognize(name: str, caller: Caller) -> Handler:
            return handler

        self._recognizers = [recognize]

    async def _serving(self, protocol: str, caller: Caller) -> Handler:
        for recognizer in self._recognizers:
            if (found := await recognizer(protocol, caller)) is not None:
                return found
        if protocol not in self._handlers:
            raise NotServed
        return self._handlers[protocol]

    async def open(
        self,
        peer: PeerKey,
        addresses: Sequence[str],
        protocol: str,
        *,
        only: Route | None = None,
        chosen: bool = False,
        relay: bool = False,
        afresh: bool = False,
        lasting: bool = False,
    ) -> Stream:
        self.dials += 1
        self._world.dialled.append((self.peer, peer, tuple(addresses)))
        there = self._world.listening.get(peer)
        await trio.lowlevel.checkpoint()
        if there is None or self.nursery is None:
            raise Unreachable
        by = None
        if only == "circuit" or not self._dials(there, addresses):
            by = self._relay_to(there, addresses)
            if by is None or only == "direct":
                raise Unreachable
        return await self._connect(there, by, protocol)

    async def _connect(self, there: FakeHost, by: FakeRelay | None, protocol: str) -> Stream:
        route = Route.DIRECT if by is None else Route.CIRCUIT
        handler = await there._serving(protocol, Caller(self.peer, route))
        if there.nursery is None or self.nursery is None:  # gone meanwhile
            raise Unreachable
        self._world.opened.append((self.peer, there.peer, route))
        near, far = memory_stream_pair()
        ours = FakeStream(self._world, self, there, near, inbound=False, by=by)
        theirs = FakeStream(self._world, there, self, far, inbound=True, by=by)
        self.streams.add(ours)
        there.streams.add(theirs)
        there.nursery.start_soon(there._serve, handler, theirs)
        return ours

    def _dials(self, there: FakeHost, known: Sequence[str]) -> bool:
        return not (there.walled or self._world.is_cut(self, there)) and bool(set(there.addresses()) & set(known))

    def _relay_to(self, there: FakeHost, known: Sequence[str]) -> FakeRelay | None:
        """The first relay of these addresses that leads there now."""
        for key in [multiaddrs.parse_target(address).relay for address in known]:
            relay = self._world.listening.get(key or b"")
            if not isinstance(relay, FakeRelay) or self._world.is_cut(self, there, relay):
                continue
            if there.peer in relay.guests:
                return relay
        return None

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        self.disconnected.append(peer)
        for stream in [one for one in self.streams if one.peer == peer and only in (None, one.route)]:
            stream.end()
        await trio.lowlevel.checkpoint()

    def mark_proven(self, peer: PeerKey) -> None:
        pass

    def found_at(self, peer: PeerKey) -> str:
        return self._world.found.get(self.name, "")

    @property
    def holes(self) -> None:
        return None

    def expect_circuits(self, relay: bytes, most: int) -> None:
        pass

    async def adopt(self, stream: Stream, accepted: Callable[[], Awaitable[None]], terms: CircuitTerms) -> bool:
        raise NotImplementedError  # circuits of this world are made by `open`

    def network_changed(self) -> None:
        pass

    async def wait_disconnected(self, peer: PeerKey) -> None:
        relay = self._world.listening.get(peer)
        if isinstance(relay, FakeRelay):
            await relay.stopped.wait()

    async def _serve(self, handler: Handler, stream: FakeStream) -> None:
        try:
            await handler(stream)
        finally:
            stream.end()


class FakeRelay(FakeHost):
    """A relay: whoever asks can be reached by it until it is stopped."""

    def __init__(self, world: World, name: str) -> None:
        self.seed = world.entropy.random(32)
        super().__init__(world, name, self.seed)
        self.guests: set[bytes] = set()
        self.stopped = trio.Event()
        self.handle(circuit_messages.HOP, self._reserve)

    @property
    def known_as(self) -> Relay:
        """As those who use it know it."""
        return Relay(self.peer, tuple(multiaddrs.pack(address) for address in self.addresses()))

    async def _reserve(self, stream: Stream) -> None:
        await circuit_messages.read_message(stream, HopMessage)
        self.guests.add(stream.peer)
        reservation = circuit_messages.Reservation(expire=2**40)
        ok = HopMessage(type=HopMessage.STATUS, status=circuit_messages.OK, reservation=reservation)
        with suppress(LinkLost):
            await circuit_messages.write_message(stream, ok)

    def start(self) -> None:
        """It is there, with nobody reserved."""
        self.guests.clear()
        self.stopped = trio.Event()
        self._world.listening[self.peer] = self

    def stop(self) -> None:
        """It is gone, with all that it carries."""
        self._world.listening.pop(self.peer)
        self.stopped.set()
        everybody = [host for node in self._world.nodes.values() for host in node.hosts]
        for stream in [one for host in everybody for one in host.streams if self in (one.by, one.there)]:
            stream.end()


class WorldNetwork(Network):
    """The real network over fake hosts, with fake mailboxes where the world has such."""

    def __init__(self, node: WorldNode) -> None:
        random, medium = node.world.entropy.random, node.world.media.get(node.name)
        dht = None if node.world.dht is None else node.world.dht()
        hops = node.world.hops.get(node.name, 1)
        self.machine = Machine(("IPv4",), (), True)
        super().__init__(
            node.host,
            node.hidden,
            random,
            node.new_host,
            medium,
            LanMode.AUTO,
            hops=hops,
            machine=lambda: self.machine,
            records=dht,
            mapper=node.mapper,
        )
        self._node = node

    async def run(self, handler: NetHandler, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            for host in (self._node.host, self._node.hidden):
                host.nursery = nursery
                self._node.world.listening[host.peer] = host
            try:
                await super().run(handler, task_status=task_status)
            finally:  # before the nursery takes nothing more
                for host in (self._node.host, self._node.hidden):
                    host.nursery = None
                    self._node.world.listening.pop(host.peer, None)

    def _pool(self, callbacks: MailboxCallbacks, nursery: trio.Nursery) -> Mailboxes:
        if self._node.world.mailboxes:
            return FakeMailboxes(self._node, callbacks, self._handler.logs, nursery)
        return super()._pool(callbacks, nursery)


class WorldNode:
    """One profile and its running node."""

    def __init__(self, world: World, name: str, folder: Path) -> None:
        self.world, self.name, self.folder = world, name, folder
        self.db = Database.open(folder / "p2pchat.db", KEY)
        entropy = world.entropy
        transport_keys.replace_due(self.db, world.now())
        self.host = FakeHost(world, name, transport_keys.transport_seed(self.db))
        hidden = transport_keys.hidden_transport_seed(self.db, entropy)
        self.hidden = FakeHost(world, name, hidden, listens=False)

        self.others: list[FakeHost] = []  # for the mail of hidden contacts

        self.mapper = world.mappers.get(name)
        self.net = net = WorldNetwork(self)
        use_port_mapping = None if self.mapper is None else self.mapper.use
        self.engine = Engine(
            self.db,
            self.clock,
            entropy,
            net,
            net.view,
            world.run_sync(self),
            use_lan=net.use_lan,
            use_port_mapping=use_port_mapping,
        )
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self.crashed = False
        self.skew = 0  # ms by which its clock is wrong
        self._events = self.engine.events.subscribe(100_000)
        self._heard: list[Json] = []

    @asynccontextmanager
    async def new_host(self) -> AsyncIterator[FakeHost]:
        host = FakeHost(self.world, self.name, self.world.entropy.random(32), listens=False)
        host.nursery = self.host.nursery
        self.others.append(host)
        try:
            yield host
        finally:
            self._end(host)

    @property
    def hosts(self) -> list[FakeHost]:
        """Every host that this node has had since it was started, the open one first."""
        return [self.host, self.hidden, *self.others]

    def clock(self) -> int:
        return self.world.now() + self.skew

    @property
    def heard(self) -> list[Json]:
        """Every event since this node was started."""
        with suppress(trio.WouldBlock):
            while True:
                self._heard.append(self._events.receive_nowait())
        return self._heard

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        try:
            with self._scope:
                await self.engine.run(task_status=task_status)
        except* PowerCut:
            pass
        finally:
            if self.crashed:
                self.db.close()
                self._thaw()
            self._gone()
            self._ended.set()

    def left(self) -> Path:
        """Where its disk is kept from a power cut until it has ended."""
        return self.folder.with_name(self.folder.name + ".left")

    def _thaw(self) -> None:
        """Put back what was on disk. The file that says which copy this is stays what it is: nothing was copied."""
        for folder, gone in ((self.folder, _remove), (self.left(), self._put)):
            for file in folder.iterdir():
                if file.name != instance.NAME:
                    gone(file)
        shutil.rmtree(self.left())

    def _put(self, file: Path) -> None:
        file.rename(self.folder / file.name)

    def cut_power(self) -> None:
        """From inside a step of the program: freeze the disk, let nothing out any more, and end."""
        shutil.copytree(self.folder, self.left())
        self.crashed = True
        self._gone()
        raise PowerCut

    async def ended(self) -> None:
        """Wait until this node has ended, however."""
        await self._ended.wait()

    def _gone(self) -> None:
        for host in self.hosts:
            self.world.listening.pop(host.peer, None)
            self._end(host)

    def _end(self, host: FakeHost) -> None:
        host.nursery = None
        for stream in list(host.streams):
            stream.end()

    async def stop(self) -> None:
        """End cleanly."""
        self._scope.cancel()
        await self._ended.wait()
        self.db.close()

    async def crash(self) -> None:
        """The power goes: what is on disk now is all that is left."""
        shutil.copytree(self.folder, self.left())
        self._scope.cancel()
        await self._ended.wait()
        self.db.close()
        self._thaw()

    def copy(self) -> Path:
        """A copy of the profile's folder as it is now, while the node runs."""
        kept = self.folder.with_name(self.folder.name + ".copy")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.folder, kept)
        return kept

    def use(self, *relays: FakeRelay) -> None:
        """Be reached by these relays from now on."""
        self.engine.net.use_relays([relay.known_as for relay in relays])

    async def id_of(self, name: str) -> ContactId:
        """The id of a contact or of one who asks."""
        return await self.engine.committer.read(lambda db: store_contacts.find(db, name).id)

    async def call(self, method: str, **params: object) -> Any:
        try:
            return await METHODS[method](self.engine, **params)
        except PowerCut:  # in a thread that worked for this face: the node is gone, and answers nobody
            self._scope.cancel()
            await trio.sleep_forever()

    async def texts(self, chat: str, *, mine: bool = False) -> list[str]:
        log = await self.call("log", chat=chat, limit=1000)
        return [one["text"] for one in log if (one["from"] == "me") == mine]


def _remove(path: Path) -> None:
    """Delete a file, or a folder with what is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


class World:
    """The network, and the folders of all profiles."""

    def __init__(self, folder: Path, nursery: trio.Nursery, seed: int, *, watched: bool = True) -> None:
        self._watched = watched
        self.entropy = Entropy(Random(seed).randbytes, kem_encapsulate)
        self._folder = folder
        self._nursery = nursery
        self.listening: dict[bytes, FakeHost] = {}
        self.traffic: list[tuple[str, str, bytes]] = []
        self.opened: list[tuple[bytes, bytes, str]] = []  # from, to, route
        self.dialled: list[tuple[bytes, bytes, tuple[str, ...]]] = []  # from, to, by which addresses; reached or not
        self.meddle: Meddle | None = None
        self.freezes_after: int | None = None
        self.nodes: dict[str, WorldNode] = {}
        self.mailboxes: dict[bytes, MailRelay] = {}
        self.media: dict[str, Medium] = {}  # by name, the local networks of a node that is started later
        self.mappers: dict[str, PortMapper] = {}  # by name, of a node that is started later and has a router
        self.elsewhere: dict[str, str] = {}  # by name, addresses in other networks than those of the nodes
        self.hops: dict[str, int] = {}  # by name, of a node that is started later
        self.found: dict[str, str] = {}  # by name, public addresses at which somebody comes in
        self.dht: Callable[[], KademliaNetwork] | None = None  # by which later nodes publish and look up
        self.slept = 0
        self._cut: set[frozenset[str]] = set()
        self._mended = trio.Event()
        self._numbers: dict[str, int] = {}

    def run_sync(self, node: WorldNode) -> Callable[..., Awaitable[Any]]:
        """Transactions run inline: a thread would race the mock clock."""

        async def inline(function: Callable[..., Any], *args: object, brief: bool = False) -> Any:
            await trio.lowlevel.checkpoint()
            if node.crashed and "Committer.run" in trio.lowlevel.current_task().name:
                raise PowerCut  # its transactions are shielded, and would wait for ever
            if node.crashed:
                await trio.sleep_forever()  # a dead process answers nobody
            return function(*args)

        return inline

    def address(self, name: str) -> str:
        if name in self.elsewhere:
            return self.elsewhere[name]
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        return f"/ip4/10.0.{number // 256}.{number % 256}/tcp/4001"

    def move(self, name: str) -> None:
        """Have a node at another address from now on; it is not told."""
        self._numbers[name] = 100 + self._numbers[name]

    def now(self) -> int:
        """The true time, ms."""
        return BEGAN + round(trio.current_time() * 1000) + self.slept

    async def start(self, name: str, prepare: Callable[[WorldNode], None] | None = None) -> WorldNode:
        """Start the node of a profile, made if it is new; `prepare` sees it before it runs."""
        folder = self._folder / name
        if not folder.exists():
            folder.mkdir()
            db = new_database(folder / "p2pchat.db")
            profile.write_identity(db, name, self.entropy)
            db.close()
        node = self.nodes[name] = WorldNode(self, name, folder)
        if prepare is not None:
            prepare(node)
        await self._nursery.start(node.run)
        return node

    def outsider(self, name: str, seed: bytes | None = None) -> FakeHost:
        """A host without a node behind it: whatever it says, the test says. With the name and the transport `seed` of a
        node that is stopped it stands in that one's place.
        """
        host = FakeHost(self, name, seed or self.entropy.random(32))
        host.nursery = self._nursery
        self.listening[host.peer] = host
        return host

    def relay(self, name: str) -> FakeRelay:
        """Start a relay."""
        relay = FakeRelay(self, name)
        relay.nursery = self._nursery
        relay.start()
        return relay

    def mailbox(self, name: str, token: str = "") -> MailRelay:
        """A relay's mailbox; to be made before the nodes."""
        relay = MailRelay(self, name, token)
        self.mailboxes[relay.peer] = relay
        return relay

    def put_back(self, copy: Path) -> None:
        """Put a profile's folder back from a copy; its node must not be running."""
        folder = copy.with_name(copy.name.removesuffix(".copy"))
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)

    async def sleep_days(self, days: int) -> None:
        """All machines sleep for days, and then run for more than an hour: what is due by then happens."""
        self.slept += days * 86_400_000
        await trio.sleep(3700)

    def soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run something beside the test."""
        self._nursery.start_soon(function, *args)

    async def run_beside(self, function: Callable[..., Awaitable[object]]) -> None:
        """The same, and wait until it has started."""
        await self._nursery.start(function)

    def cut(self, one: Named, other: Named) -> None:
        """Bytes between the two vanish from now on, and a link between them is given up as silent."""
        pair = frozenset((one.name, other.name))
        self._cut.add(pair)
        if not self._watched:
            self.soon(self._give_up, pair)

    async def _give_up(self, pair: frozenset[str]) -> None:
        await trio.sleep(LOST_AFTER_SECONDS)
        if pair in self._cut:
            for stream in [one for node in self.nodes.values() for host in node.hosts for one in host.streams]:
                if stream.by is None and {stream.here.name, stream.there.name} == pair:
                    stream.end()

    def mend(self, one: WorldNode, other: WorldNode) -> None:
        """New bytes pass again; those that vanished do not come back, so open streams end."""
        self._cut.discard(frozenset((one.name, other.name)))
        for stream in [*one.host.streams, *other.host.streams]:
            if {stream.here.name, stream.there.name} == {one.name, other.name}:
                stream.end()
        self._mended.set()
        self._mended = trio.Event()

    def is_cut(self, one: FakeHost, other: FakeHost, by: FakeHost | None = None) -> bool:
        hops = [(one, other)] if by is None else [(one, by), (by, other)]
        return any(frozenset((here.name, there.name)) in self._cut for here, there in hops)

    async def unless_cut(self, stream: FakeStream) -> None:
        while self.is_cut(stream.here, stream.there, stream.by):
            await self._mended.wait()


def run_world(folder: Path, main: Callable[[World], Awaitable[None]], seed: int = 1, *, watched: bool = False) -> None:
    """Run a test in a world of its own; virtual time passes whenever everybody waits."""
    trio_run: Any = import_module("trio._core._run")
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio_run._r.seed(seed)

    watch = _Watch()

    async def inside() -> None:
        with watch.scope, within(MAX_STORY_SECONDS) as watch.waits:
            async with trio.open_nursery() as nursery:
                await main(World(folder, nursery, seed, watched=watched))
                nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        if not watched:
            patch.setattr(judging, "PING_AFTER_SECONDS", UNWATCHED_SECONDS)
            patch.setattr(judging, "LOST_AFTER_SECONDS", UNWATCHED_SECONDS + LOST_AFTER_SECONDS)
            patch.setattr(mail_stream, "PING_AFTER_SECONDS", UNWATCHED_SECONDS)
            patch.setattr(relay_mailbox, "SILENCE_SECONDS", 3 * UNWATCHED_SECONDS)
            patch.setattr(relay_mailbox, "SWEEP_SECONDS", SWEPT_SECONDS)
            patch.setattr(clock_watch, "CHECK_EVERY_SECONDS", CLOCKS_COMPARED_SECONDS)
        trio.run(inside, clock=MockClock(autojump_threshold=0), instruments=[watch])
    assert not watch.scope.cancelled_caught, "\n".join(["it went round and round, and no time passed", *watch.waits])


class _Watch(trio.abc.Instrument):
    """Cancels what goes round for ever without letting time pass: no deadline would ever come."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.waits = list[str]()
        self._now = 0.0
        self._turns = 0

    def before_io_wait(self, timeout: float) -> None:
        now = trio.current_time()
        self._turns = self._turns + 1 if now == self._now else 0
        self._now = now
        if self._turns > MAX_AT_ONCE:
            self.scope.cancel()


async def befriend(inviter: WorldNode, joiner: WorldNode) -> None:
    """Make the two contacts, under the names of their profiles."""
    invite = await inviter.call("invite")
    await joiner.call("add", invite=invite["invite"], wait="accepted", timeout=3600)


async def until(check: Callable[[], Awaitable[bool]], patience: float = 3600.0) -> None:
    """Let virtual time pass until `check` holds; fails after `patience` virtual seconds."""
    with within(patience):
        wait = 0.1
        while not await check():
            await trio.sleep(wait)
            wait = min(1.2 * wait, 60)
