"""The node on the network: libp2p behind our own `ports.Host`.

Noise and Yamux, and nothing else: an empty security option would make py-libp2p accept plaintext. We listen and dial
ourselves (`listening`, `_accept`, `dialling`) and hand libp2p the open pipes, because its own ways of doing so:
* never give back the slot of an inbound connection, so that the 250th connection ever is the last one;
* keep accepting after the host was cancelled;
* wait 250 ms after every dial, remember a failure for a minute, try one address only, and prefer the peer's own word
  about where it lives to ours.

Identify tells nothing: no address, no library, no version, none of our protocols; we never ask others, never push, and
take no push. `guard` holds what contains the rest.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr

from p2pchat.errors import Unreachable
from p2pchat.net import addresses as addr
from p2pchat.net import dialling, guard, stack, websocket
from p2pchat.net.dialling import Dialler
from p2pchat.net.guard import GuardedYamux, Slots, StreamGuard, Wire
from p2pchat.net.limits import Limits as Limits
from p2pchat.net.listening import Listening, open_listeners
from p2pchat.net.pipes import TcpPipe, keep_alive
from p2pchat.net.ports import Handler, Stream
from p2pchat.net.quiet import quiet
from p2pchat.net.streams import STREAM_PATIENCE, CircuitPipe, LibP2PStream, key_of

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the type stubs of trio that libp2p brings know it only from here

log = logging.getLogger("p2pchat.net")

AGENT = "libp2p"  # says what everyone on the port knows anyway
_CLOSE_PATIENCE = 3.0
_SOMEWHERE = Multiaddr("/ip4/0.0.0.0/tcp/0")  # libp2p wants the listener's address, for its logs only


class LibP2PHost:
    """`ports.Host` with libp2p. `run` may be called again after it ended; handlers stay.

    seed: the 32 bytes of the transport key; the same seed is the same peer.
    listen: addresses such as /ip4/0.0.0.0/tcp/0; every one with port 0 gets `kept_port`, or any free port where that is
    0 or taken; `port` tells which. None: it is reached over circuits only. Raises BadAddress for an address we cannot
    listen on.
    web: speak WebSocket too on every port we listen on, with whoever begins so.
    proxies: IP addresses of reverse proxies for WebSocket, which are believed about whom they forward.
    tls: how to verify the other end of a /wss address; the system's way if not given.
    """

    def __init__(
        self,
        seed: bytes,
        listen: Sequence[str] = addr.DEFAULT_LISTEN,
        *,
        kept_port: int = 0,
        limits: Limits | None = None,
        web: bool = False,
        proxies: Collection[str] = (),
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._pair = create_new_key_pair(seed)
        self._peer = self._pair.public_key.to_bytes()
        self._id = ID(addr.multihash(self._peer))
        self._listen = [addr.parse(text) for text in listen]
        self._kept_port = kept_port
        self._limits = limits or Limits()
        self._web = web
        self._proxies = frozenset(proxies)
        self._tls = tls or cache(websocket.system_tls)
        self._relays: dict[str, int] = {}
        self._handlers: dict[str, Handler] = {}
        self._farewells: list[Callable[[bytes], None]] = []
        self._client = MultiselectClient()
        self._running: _Running | None = None
        self._dialling: dict[_Dial, trio.Event] = {}

    @property
    def peer(self) -> bytes:
        return self._peer

    @property
    def port(self) -> int:
        """The port that the addresses with port 0 really have, to be kept; 0 before the first run or without any."""
        return self._kept_port

    @property
    def listening(self) -> bool:
        """True while `run` accepts connections."""
        return self._running is not None

    def addresses(self) -> tuple[str, ...]:
        return addr.expand(self._running.endpoints) if self._running else ()

    def connected(self) -> tuple[bytes, ...]:
        """The peers there is a live connection with."""
        swarm = self._running.swarm if self._running else None
        peers = [key_of(peer_id) for peer_id in swarm.connections if dialling.live(swarm, peer_id)] if swarm else []
        return tuple(peers)

    def is_connected(self, peer: bytes) -> bool:
        """Whether there is a live connection with it."""
        return self._running is not None and bool(dialling.live(self._running.swarm, ID(addr.multihash(peer))))

    def when_gone(self, told: Callable[[bytes], None]) -> None:
        """Have `told` called with every peer whose last connection, one that it made, has ended."""
        self._farewells.append(told)

    def found_at(self, peer: bytes) -> str:
        return self._running.found.get(peer, "") if self._running else ""

    def handle(self, protocol: str, handler: Handler | None) -> None:
        """None: serve it no more; streams that are open go on."""
        if handler is None:
            del self._handlers[protocol]
            if self._running:
                self._running.basic.remove_stream_handler(TProtocol(protocol))
            return
        self._handlers[protocol] = handler
        if self._running:
            self._serve(self._running.basic, protocol, handler)

    # --- running ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; then every socket is closed. Raises NodeError where it cannot listen, and whatever
        goes wrong inside libp2p."""
        listening = open_listeners(self._listen, self._kept_port)
        self._kept_port = listening.port or self._kept_port
        try:
            swarm, basic = stack.build(self._id, self._pair, self._limits)
            basic.set_stream_handler(IDENTIFY, self._identify)
            for name, handler in self._handlers.items():
                self._serve(basic, name, handler)
            each = self._limits.streams_per_peer
            streams = Slots(self._limits.inbound * each, each, self._relays)
            swarm.set_stream_handler(StreamGuard(partial(self._inbound, basic), streams))
            async with background_trio_service(swarm):
                await self._accept_until_cancelled(swarm, basic, listening, task_status)
        finally:
            for listener in listening.listeners:
                listener.socket.close()
            self._running = None

    async def _accept_until_cancelled(
        self, swarm: Swarm, basic: BasicHost, listening: Listening, task_status: TaskStatus[None]
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                stack.run_tasks_in(swarm, nursery)
                running = _Running(swarm, basic, listening, self._limits, self._proxies)
                open_relay = partial(self._open_relay, running)
                running.dialler = Dialler(swarm, nursery, open_relay, self._tls, self.addresses)
                accept = partial(self._accept, running)
                if listening.listeners:
                    await nursery.start(partial(trio.serve_listeners, accept, listening.listeners))
                nursery.start_soon(trio.sleep_forever)  # there may be no listener to wait for
                self._running = running
                task_status.started()
        finally:
            self._running = None
            with guard.shielded(_CLOSE_PATIENCE):
                async with trio.open_nursery() as closing:
                    for conn in swarm.get_connections():
                        closing.start_soon(dialling.drop, swarm, conn)
                await basic.close()

    # --- inbound ---------------------------------------------------------------------------------------------------

    async def _accept(self, running: _Running, stream: trio.SocketStream) -> None:
        """One inbound connection, from its first byte to its last: its slot is free again when this returns."""
        with suppress(OSError):
            remote, (here, port, *_) = stream.socket.getpeername()[0], stream.socket.getsockname()
            keep_alive(stream)
            found = addr.Endpoint(ipaddress.ip_address(here), port).text() if addr.from_outside(here, remote) else ""
            await self._take(running, addr.neighbourhood(remote), partial(self._meet, remote, stream), found)
        stream.socket.close()

    async def _take(self, running: _Running, place: str, meet: Callable[[], Awaitable[Wire]], found: str = "") -> bool:
        """Carry one inbound connection until it ends; False where there was no room for it. `found`: at which public
        address of ours it came in from outside."""
        if not running.slots.take(place):
            return False
        try:
            wire = await meet()
            if running.clients.take(wire.place):
                try:
                    await self._shake_hands(running, wire, found)
                finally:
                    running.clients.give(wire.place)
        except Exception as error:  # noqa: BLE001 - a stranger's bytes must not end the node
            log.debug("an inbound connection failed: %s", type(error).__name__)
        finally:
            running.slots.give(place)
        return True

    async def _meet(self, remote: str, stream: trio.SocketStream) -> Wire:
        """Find out what a stranger speaks: raw libp2p, or WebSocket, which begins with an HTTP request."""
        place = addr.neighbourhood(remote)
        if not self._web:
            return Wire(TcpPipe(stream), place)
        with trio.fail_after(self._limits.handshake):
            head = b""
            while len(head) < len(websocket.PREFIX) and websocket.PREFIX.startswith(head):
                some = await stream.receive_some(websocket.MAX_HEAD)
                if not some:
                    raise trio.BrokenResourceError
                head += some
            if not head.startswith(websocket.PREFIX):
                return Wire(TcpPipe(stream, head), place)
            pipe, forwarded = await websocket.accept(stream, head)
        if remote in self._proxies and forwarded:
            place = addr.neighbourhood(forwarded[-1])
        return Wire(pipe, place)

    async def _shake_hands(self, running: _Running, wire: Wire, found: str) -> None:
        swarm = running.swarm
        try:
            muxed = await swarm.upgrade_inbound_raw_conn(RawConnection(wire, False), _SOMEWHERE)
            assert isinstance(muxed, GuardedYamux)
            # A peer whose old connections died unnoticed must get in again, so the oldest goes, not the new one.
            for conn in dialling.live(swarm, muxed.peer_id)[: -self._limits.connections_per_peer]:
                await dialling.drop(swarm, conn)
            try:
                with running.finding(key_of(muxed.peer_id), found):
                    await muxed.event_closed.wait()
            finally:
                self._say_farewell(key_of(muxed.peer_id))
        finally:
            wire.abandon()

    def _say_farewell(self, peer: bytes) -> None:
        if not self.is_connected(peer):
            for told in self._farewells:
                told(peer)

    def expect_circuits(self, relay: bytes, most: int) -> None:
        """Let the relay open that many streams more than others may: each carries somebody to us. 0: it is over."""
        self._relays[addr.peer_id(relay)] = most

    async def adopt(self, stream: Stream, accepted: Callable[[], Awaitable[None]]) -> bool:
        """Take what comes on `stream`, from a relay, as an inbound connection, and carry it until it ends. `accepted`
        is called when there is room for it. False where there is none, and then the stream is as it was."""
        running = self._running
        assert isinstance(stream, LibP2PStream)
        if running is None:
            return False

        async def meet() -> Wire:
            await accepted()
            return Wire(CircuitPipe(stream), place)

        place = f"relay {addr.peer_id(stream.peer)}"
        with stream.carrying():
            taken = await self._take(running, place, meet)
        if taken:
            await stream.kill()
        return taken

    async def _inbound(self, basic: BasicHost, stream: INetStream) -> None:
        """libp2p's own way of doing this reads a protocol name of any length."""
        _, handler = await basic.multiselect.negotiate(
            MultiselectCommunicator(guard.Brief(stream)), int(self._limits.negotiation)
        )
        if handler is None:
            await guard.reset(stream)
        else:
            await handler(stream)

    def _serve(self, basic: BasicHost, protocol: str, handler: Handler) -> None:
        async def serve(stream: INetStream) -> None:
            assert isinstance(stream, NetStream)
            ours = LibP2PStream(stream, key_of(stream.muxed_conn.peer_id), inbound=True)
            try:
                await handler(ours)
            finally:
                await ours.close()

        basic.set_stream_handler(TProtocol(protocol), serve)

    async def _identify(self, stream: INetStream) -> None:
        """Answer what every libp2p node is asked, with what the asker knows already: our key. (identify 1.0.0)"""
        answer = Identify(
            protocol_version="ipfs/0.1.0",
            agent_version=AGENT,
            public_key=self._pair.public_key.serialize(),
            protocols=[IDENTIFY],
        ).SerializeToString()
        with guard.shielded(STREAM_PATIENCE):
            await stream.write(encode_uvarint(len(answer)) + answer)
            await stream.close()

    # --- outbound --------------------------------------------------------------------------------------------------

    async def open(
        self,
        peer: bytes,
        addresses: Sequence[str],
        protocol: str,
        *,
        only: str | None = None,
        chosen: bool = False,
        relay: bool = False,
    ) -> Stream:
        running = self._running
        if running is None:
            raise Unreachable("this node is not running")
        if peer == self._peer:
            raise Unreachable("that is this node itself")
        with trio.move_on_after(self._limits.open):
            try:
                dial = _Dial(ID(addr.multihash(peer)), tuple(addresses), only, chosen, relay)
                return await self._open(running, dial, protocol)
            except ProtocolNotSupportedError:
                raise Unreachable("the peer does not speak this protocol") from None
            except Unreachable:
                raise
            except Exception as error:
                raise Unreachable(f"no stream could be opened ({type(error).__name__})") from error
        raise Unreachable("no answer in time")

    async def _open_relay(
        self, running: _Running, relay: bytes, addresses: Sequence[str], protocol: str, chosen: bool
    ) -> Stream:
        dial = _Dial(ID(addr.multihash(relay)), tuple(addresses), None, chosen, relay=True)
        return await self._open(running, dial, protocol)

    async def _open(self, running: _Running, dial: _Dial, protocol: str) -> Stream:
        swarm, peer, only = running.swarm, dial.peer, dial.only
        old = dialling.live(swarm, peer, only)
        tried = dialling.best(swarm, peer, only)
        if tried is not None:
            with trio.move_on_after(0.4 * self._limits.open):
                try:
                    return await self._speak(tried, protocol)
                except Exception as error:
                    if dialling.best(swarm, peer, only) == tried:
                        raise  # it lives, and says no
                    log.debug("a connection turned out dead: %s", type(error).__name__)
        # There is none, or it is silent: its other end may have gone without a word.
        conn = await self._dial_once(running, dial, instead_of=old)
        for silent in old:
            if tried is not None and dialling.route(silent) == dialling.route(tried):
                await dialling.drop(swarm, silent)
        return await self._speak(conn, protocol)

    async def _speak(self, conn: SwarmConn, protocol: str) -> Stream:
        muxed = conn.muxed_conn
        assert isinstance(muxed, GuardedYamux)
        if not muxed.stream_backlog_semaphore.value:
            raise Unreachable("too many streams with this peer")
        with guard.shielded(guard.WRITE_PATIENCE):
            stream = await conn.new_stream()
        try:
            communicator = MultiselectCommunicator(guard.Brief(stream))
            await self._client.handshake(communicator)
            await self._client.try_select(communicator, TProtocol(protocol))
        except BaseException:
            await guard.reset(stream)
            raise
        return LibP2PStream(stream, key_of(muxed.peer_id), inbound=False)

    async def _dial_once(self, running: _Running, dial: _Dial, *, instead_of: list[SwarmConn]) -> SwarmConn:
        """Dial, unless someone else already does the same: then wait for the result, and dial only if that was none.

        Who knows other addresses of the peer waits for nobody: what one person says must not hold up another.
        """
        while dial in self._dialling:
            await self._dialling[dial].wait()
            fresh = [conn for conn in dialling.live(running.swarm, dial.peer, dial.only) if conn not in instead_of]
            if fresh:
                return fresh[-1]
        self._dialling[dial] = trio.Event()
        try:
            return await running.dialler.dial(
                dial.peer, dial.addresses, dial.only, chosen=dial.chosen, relay=dial.relay
            )
        finally:
            self._dialling.pop(dial).set()

    async def gone(self, peer: bytes) -> None:
        """Wait until there is no direct connection with `peer`; one that has gone without a word is noticed."""
        while running := self._running:
            conn = dialling.best(running.swarm, ID(addr.multihash(peer)), "direct")
            if conn is None:
                return
            assert isinstance(conn.muxed_conn, GuardedYamux)
            await conn.muxed_conn.watch()

    async def disconnect(self, peer: bytes, *, only: str | None = None) -> None:
        running = self._running
        if running is None:
            return
        async with trio.open_nursery() as nursery:
            for conn in dialling.live(running.swarm, ID(addr.multihash(peer)), only):
                nursery.start_soon(dialling.drop, running.swarm, conn)


@dataclass(frozen=True, slots=True)
class _Dial:
    """What is dialled: see `Host.open`."""

    peer: ID
    addresses: tuple[str, ...]
    only: str | None
    chosen: bool
    relay: bool


class _Running:
    """What exists only while a host runs."""

    dialler: Dialler

    def __init__(
        self, swarm: Swarm, basic: BasicHost, listening: Listening, limits: Limits, proxies: Collection[str]
    ) -> None:
        self.swarm = swarm
        self.basic = basic
        self.endpoints = listening.endpoints
        # Sockets by where they come from, then those who speak on them: a reverse proxy brings many.
        many = {addr.neighbourhood(proxy): limits.inbound for proxy in proxies}
        self.slots = Slots(limits.inbound, limits.inbound_per_place, many)
        self.clients = Slots(limits.inbound, limits.inbound_per_place)
        self.found: dict[bytes, str] = {}

    @contextmanager
    def finding(self, peer: bytes, address: str) -> Iterator[None]:
        """While a connection lives by which a peer has found us at a public address; nothing if that is ""."""
        if address:
            self.found[peer] = address
        try:
            yield
        finally:
            if address:
                self.found.pop(peer, None)


quiet()
guard.only_ed25519()
guard.limit_windows()
