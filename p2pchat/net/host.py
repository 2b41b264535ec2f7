"""The node on the network: libp2p behind our own `ports.Host`.

TCP, Noise, Yamux, and nothing else: an empty security option would make py-libp2p accept plaintext. We listen and dial
ourselves (`listening`, `_accept`, `dialling`) and hand libp2p the open sockets, because its own ways of doing so:
* never give back the slot of an inbound connection, so that the 250th connection ever is the last one;
* keep accepting after the host was cancelled;
* wait 250 ms after every dial, remember a failure for a minute, try one address only, and prefer the peer's own word
  about where it lives to ours.

Identify tells nothing: no address, no library, no version, none of our protocols; we never ask others, never push, and
take no push. `guard` holds what contains the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio
from libp2p.abc import INetConn, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_uvarint
from multiaddr import Multiaddr

from p2pchat.errors import Unreachable
from p2pchat.net import addresses as addr
from p2pchat.net import dialling, guard
from p2pchat.net.guard import GuardedYamux, Slots, StreamGuard, Wire
from p2pchat.net.listening import Listening, open_listeners
from p2pchat.net.ports import Handler, Stream
from p2pchat.net.quiet import quiet
from p2pchat.net.streams import STREAM_PATIENCE, LibP2PStream, key_of

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the type stubs of trio that libp2p brings know it only from here

log = logging.getLogger("p2pchat.net")

AGENT = "libp2p"  # says what everyone on the port knows anyway
_CLOSE_PATIENCE = 3.0
_SOMEWHERE = Multiaddr("/ip4/0.0.0.0/tcp/0")  # libp2p wants the listener's address, for its logs only


@dataclass(frozen=True, slots=True)
class Limits:
    """How much strangers may have of us. Times in seconds, sizes in bytes."""

    inbound: int = 250  # connections we have not dialled, handshakes included
    inbound_per_place: int = 64  # of these, from one IPv4 address or one IPv6 /64
    connections_per_peer: int = 4  # with the same peer; the oldest goes when a further one comes
    streams_per_peer: int = 16  # inbound, open at the same time
    unread: int = 24 * guard.WINDOW  # received on one connection and not read yet: more than its windows allow
    handshake: float = 10.0
    negotiation: float = 10.0
    open: float = 10.0  # everything `open` may take


class _Swarm(Swarm):
    """Without the auto-connector, which dials whoever it has heard of and remembers everyone who ever left."""

    def _schedule_auto_connect(self) -> None:
        pass

    async def notify_disconnected(self, conn: INetConn) -> None:
        await self._notify("disconnected", conn)


class _Basic(BasicHost):
    """Without asking every peer to identify itself: that spawns system tasks, and believes what it is told."""

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        pass

    async def _push_identify_to_all_peers(self) -> None:
        pass


class LibP2PHost:
    """`ports.Host` with libp2p. `run` may be called again after it ended; handlers stay.

    seed: the 32 bytes of the transport key; the same seed is the same peer.
    listen: addresses such as /ip4/0.0.0.0/tcp/0; every one with port 0 gets `kept_port`, or any free port where that is
    0 or taken; `port` tells which. Raises BadAddress for an address we cannot listen on.
    """

    def __init__(
        self,
        seed: bytes,
        listen: Sequence[str] = addr.DEFAULT_LISTEN,
        *,
        kept_port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self._pair = create_new_key_pair(seed)
        self._peer = self._pair.public_key.to_bytes()
        self._id = ID(addr.multihash(self._peer))
        self._listen = [addr.parse(text) for text in listen]
        self._kept_port = kept_port
        self._limits = limits or Limits()
        self._handlers: dict[str, Handler] = {}
        self._client = MultiselectClient()
        self._running: _Running | None = None
        self._dialling: dict[bytes, trio.Event] = {}

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

    def handle(self, protocol: str, handler: Handler) -> None:
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
            swarm, basic = self._build()
            async with background_trio_service(swarm):
                await self._accept_until_cancelled(_Running(swarm, basic, listening, self._limits), task_status)
        finally:
            for listener in listening.listeners:
                listener.socket.close()
            self._running = None

    async def _accept_until_cancelled(self, running: _Running, task_status: TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                accept = partial(self._accept, running)
                await nursery.start(partial(trio.serve_listeners, accept, running.listeners))
                self._running = running
                task_status.started()
        finally:
            self._running = None
            with guard.shielded(_CLOSE_PATIENCE):
                async with trio.open_nursery() as closing:
                    for conn in running.swarm.get_connections():
                        closing.start_soon(dialling.drop, running.swarm, conn)
                await running.basic.close()

    def _build(self) -> tuple[Swarm, BasicHost]:
        # Nobody may make us forget our own key by showing us a thousand others.
        store = PeerStore(max_peers=10**6)
        store.add_key_pair(self._id, self._pair)
        noise = Noise(self._pair, noise_privkey=create_noise_key_pair().private_key)
        most = 2 * self._limits.inbound + 1000  # ours are the limits that count; libp2p's are never reached
        swarm = _Swarm(
            self._id,
            store,
            guard.Upgrader({TProtocol(NOISE): noise}, self._limits.unread),
            transports=[],
            connection_config=ConnectionConfig(
                max_connections=most,
                high_watermark=most,
                low_watermark=0,
                min_connections=0,
                max_connections_per_peer=2 * self._limits.connections_per_peer + 2,
                auto_connect_interval=86400.0,
                inbound_upgrade_timeout=self._limits.handshake,
                outbound_upgrade_timeout=self._limits.handshake,
            ),
        )
        basic = _Basic(swarm, disable_identify_address_discovery=True)
        for protocol in (PING, IDENTIFY_PUSH):
            basic.remove_stream_handler(protocol)
        basic.set_stream_handler(IDENTIFY, self._identify)
        for name, handler in self._handlers.items():
            self._serve(basic, name, handler)
        streams = Slots(self._limits.inbound * self._limits.streams_per_peer, self._limits.streams_per_peer)
        swarm.set_stream_handler(StreamGuard(partial(self._inbound, basic), streams))
        return swarm, basic

    # --- inbound ---------------------------------------------------------------------------------------------------

    async def _accept(self, running: _Running, stream: trio.SocketStream) -> None:
        """One inbound connection, from its first byte to its last: its slot is free again when this returns."""
        with suppress(OSError):
            remote = stream.socket.getpeername()
            place = addr.neighbourhood(remote[0])
            if running.slots.take(place):
                wire = Wire(stream, (remote[0], remote[1]))
                try:
                    await self._shake_hands(running.swarm, wire)
                except Exception as error:  # noqa: BLE001 - a stranger's bytes must not end the node
                    log.debug("an inbound connection failed: %s", type(error).__name__)
                finally:
                    running.slots.give(place)
        stream.socket.close()

    async def _shake_hands(self, swarm: Swarm, wire: Wire) -> None:
        try:
            muxed = await swarm.upgrade_inbound_raw_conn(RawConnection(wire, False), _SOMEWHERE)
            assert isinstance(muxed, GuardedYamux)
            # A peer whose old connections died unnoticed must get in again, so the oldest goes, not the new one.
            for conn in dialling.live(swarm, muxed.peer_id)[: -self._limits.connections_per_peer]:
                await dialling.drop(swarm, conn)
            await muxed.event_closed.wait()
        finally:
            wire.abandon()

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

    async def open(self, peer: bytes, addresses: Sequence[str], protocol: str) -> Stream:
        running = self._running
        if running is None:
            raise Unreachable("this node is not running")
        if peer == self._peer:
            raise Unreachable("that is this node itself")
        with trio.move_on_after(self._limits.open):
            try:
                return await self._open(running.swarm, ID(addr.multihash(peer)), addresses, protocol)
            except ProtocolNotSupportedError:
                raise Unreachable("the peer does not speak this protocol") from None
            except Unreachable:
                raise
            except Exception as error:
                raise Unreachable(f"no stream could be opened ({type(error).__name__})") from error
        raise Unreachable("no answer in time")

    async def _open(self, swarm: Swarm, peer: ID, addresses: Sequence[str], protocol: str) -> Stream:
        old = dialling.live(swarm, peer)
        if old:
            with trio.move_on_after(0.4 * self._limits.open):
                try:
                    return await self._speak(old[-1], protocol)
                except Exception as error:
                    if dialling.live(swarm, peer)[-1:] == old[-1:]:
                        raise  # it lives, and says no
                    log.debug("a connection turned out dead: %s", type(error).__name__)
        # There is none, or it is silent: its other end may have gone without a word.
        conn = await self._dial_once(swarm, peer, addresses, instead_of=old)
        for silent in old:
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

    async def _dial_once(
        self, swarm: Swarm, peer: ID, addresses: Sequence[str], *, instead_of: list[SwarmConn]
    ) -> SwarmConn:
        """Dial, unless someone else already does: then wait for the result, and dial only if that was none."""
        key = peer.to_bytes()
        while key in self._dialling:
            await self._dialling[key].wait()
            fresh = [conn for conn in dialling.live(swarm, peer) if conn not in instead_of]
            if fresh:
                return fresh[-1]
        self._dialling[key] = trio.Event()
        try:
            return await dialling.dial(swarm, peer, addresses)
        finally:
            self._dialling.pop(key).set()

    async def disconnect(self, peer: bytes) -> None:
        running = self._running
        if running is None:
            return
        async with trio.open_nursery() as nursery:
            for conn in dialling.live(running.swarm, ID(addr.multihash(peer))):
                nursery.start_soon(dialling.drop, running.swarm, conn)


class _Running:
    """What exists only while a host runs."""

    def __init__(self, swarm: Swarm, basic: BasicHost, listening: Listening, limits: Limits) -> None:
        self.swarm = swarm
        self.basic = basic
        self.listeners = listening.listeners
        self.endpoints = listening.endpoints
        self.slots = Slots(limits.inbound, limits.inbound_per_place)


quiet()
guard.only_ed25519()
guard.limit_windows()
