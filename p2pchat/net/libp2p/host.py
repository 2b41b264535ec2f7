"""The node on the network: libp2p behind our own `ports.Host`.

Noise and Yamux, and nothing else: an empty security option would make py-libp2p accept plaintext. We listen and dial
ourselves (`listen`, `inbound`, `dial`) and hand libp2p the open pipes, because its own ways of doing so:
* never give back the slot of an inbound connection, so that the 250th connection ever is the last one;
* keep accepting after the host was cancelled;
* wait 250 ms after every dial, remember a failure for a minute, try one address only, and prefer the peer's own word
  about where it lives to ours.

To a stranger it is any libp2p host (`standard_protocols`): our protocols have names that only those can say who are
expected, and whoever connects speaks first. What others say of themselves is forgotten, asked for or pushed; we never
push. `hardening` holds what contains the rest.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, Unreachable
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.admission.limits import HostLimits
from p2pchat.net.admission.places import PlaceSums
from p2pchat.net.admission.slots import Remembered
from p2pchat.net.allowance import CircuitTerms
from p2pchat.net.libp2p import connections, handshake, hardening, standard_protocols
from p2pchat.net.libp2p.dial import Dialler
from p2pchat.net.libp2p.hardening import StreamGuard
from p2pchat.net.libp2p.holes import HolePuncher
from p2pchat.net.libp2p.inbound import Inbound, InboundConnections
from p2pchat.net.libp2p.listen import Listening, open_listeners
from p2pchat.net.libp2p.log_filter import quiet
from p2pchat.net.libp2p.secure_channel import WRITE_TIMEOUT, shielded
from p2pchat.net.libp2p.streams import LibP2PStream, NegotiationChannel, key_of
from p2pchat.net.libp2p.swarm import PeerConnection, Swarm
from p2pchat.net.libp2p.yamux import GuardedYamux, Substream
from p2pchat.net.network_memory import QUIET_SECONDS, NetworkMemory
from p2pchat.net.ports import Caller, Handler, Recognizer, Stream
from p2pchat.net.transport import websocket
from p2pchat.net.transport.managed import Transports
from p2pchat.net.transport.proxy import REACH_SECONDS, Proxy

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the type stubs of trio that libp2p brings know it only from here

log = logging.getLogger("p2pchat.net")


class LibP2PHost(InboundConnections):
    """`ports.Host` with libp2p. `run` may be called again after it ended; handlers stay.

    seed: the 32 bytes of the transport key; the same seed is the same peer.
    listen: addresses such as /ip4/0.0.0.0/tcp/0; every one with port 0 gets `kept_port`, or any free port where that is
    0 or taken; `port` tells which. None: it is reached over circuits only. Raises BadAddress for an address we cannot
    listen on.
    web_path: the path of the WebSocket on every port we listen on, where HTTP is spoken too; "/": any path; "": none.
    proxies: IP addresses of reverse proxies for WebSocket, which are believed about whom they forward.
    tor: see `Inbound`.
    tls: how to verify the other end of a /wss address; the system's way if not given.
    proxy: by which everything is dialled; nothing leaves past it. memory: which ways work on this network.
    transports: see `Dialler`.
    listed: the protocols that everybody is told of, where there are any.
    """

    def __init__(
        self,
        seed: bytes,
        listen: Sequence[str] = multiaddrs.DEFAULT_LISTEN,
        *,
        kept_port: int = 0,
        limits: HostLimits | None = None,
        web_path: str = "",
        proxies: Collection[str] = (),
        tor: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        proxy: Proxy | None = None,
        memory: NetworkMemory | None = None,
        transports: Transports | None = None,
        listed: standard_protocols.Listed | None = None,
    ) -> None:
        self._proxy = proxy
        self._memory = memory
        self._transports = transports
        self._listed = listed
        self._pair = create_new_key_pair(seed)
        self._peer = PeerKey(self._pair.public_key.to_bytes())
        self._id = ID(multiaddrs.multihash(self._peer))
        self._listen = [multiaddrs.parse(text) for text in listen]
        self._kept_port = kept_port
        self._limits = limits or HostLimits()
        self._streams: PlaceSums | None = None
        self.web_path = web_path
        self._proxies = frozenset(proxies)
        self._tor = tor
        self._tls = tls or cache(websocket.system_tls)
        self._relays: dict[str, int] = {}
        self.mapped: Callable[[str, int], str] = lambda here, port: ""
        """Returns the public address at which a router has opened a port that leads to this IP address and port."""
        self._proven = Remembered()
        self._handlers: dict[str, Handler] = {}
        self._speakers: set[Handler] = set()
        self._recognizers: list[Recognizer] = []
        self._on_disconnect: list[Callable[[PeerKey], None]] = []
        self._running: _Running | None = None
        self._dialling: dict[_Dial, trio.Event] = {}
        self.holes: HolePuncher | None = None

    @property
    def peer(self) -> PeerKey:
        """Our own transport public key, 32 bytes."""
        return self._peer

    @property
    def port(self) -> int:
        """The TCP port used for the addresses with port 0, to be kept; 0 before the first run or without any."""
        return self._kept_port

    @property
    def listening(self) -> bool:
        """True while `run` accepts connections."""
        return self._running is not None

    def addresses(self) -> tuple[str, ...]:
        """Return where we can be dialled now, best first; nothing while not running."""
        return interfaces.expand(self._running.endpoints) if self._running else ()

    def bound(self) -> tuple[multiaddrs.SocketAddress, ...]:
        """Return where we listen, 0.0.0.0 and :: as they are; nothing while not running."""
        return self._running.endpoints if self._running else ()

    def connected(self) -> tuple[bytes, ...]:
        """Return the 32-byte keys of the peers with which there is a live connection."""
        swarm = self._running.swarm if self._running else None
        peers = [key_of(peer_id) for peer_id in swarm.peers if connections.live(swarm, peer_id)] if swarm else []
        return tuple(peers)

    def _is_connected(self, peer: PeerKey) -> bool:
        """Return whether there is a live connection with the peer."""
        return self._running is not None and bool(connections.live(self._running.swarm, ID(multiaddrs.multihash(peer))))

    def _found_behind_router(self, here: str, port: int) -> str:
        return self.mapped(here, port)  # it may be set while this host runs

    def on_disconnected(self, told: Callable[[PeerKey], None]) -> None:
        """Call `told` with every peer whose last inbound connection has ended."""
        self._on_disconnect.append(told)

    def found_at(self, peer: PeerKey) -> str:
        """Return our public address at which this peer has reached us from outside, by a connection that lives, or
        "".
        """
        return self._running.inbound.found.get(peer, "") if self._running else ""

    def handle(self, protocol: str, handler: Handler | None, *, speaks_first: bool = False) -> None:
        """Serve everybody who asks for this protocol, which is not listed. None: stop serving it; open streams
        continue. speaks_first: the handler writes at once, and the answer to the protocol name is sent together with
        that.
        """
        if handler is None:
            del self._handlers[protocol]
            return
        self._handlers[protocol] = handler
        if speaks_first:
            self._speakers.add(handler)

    def recognize(self, recognizer: Recognizer) -> None:
        """Add a recognizer, which is asked what a protocol name means; the first one that knows the name counts."""
        self._recognizers.append(recognizer)

    # --- running ---------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; then every socket is closed. Raises NodeError if it cannot listen, and whatever fails
        inside libp2p.
        """
        if self.web_path:
            websocket.prepare()
        listening = open_listeners(self._listen, self._kept_port)
        self._kept_port = listening.port or self._kept_port
        try:
            per_peer = self._limits.streams_per_peer
            streams = self._streams = PlaceSums(self._limits.inbound * per_peer, per_peer, self._relays)
            bound = [endpoint.text() for endpoint in listening.endpoints]
            standard = standard_protocols.StandardProtocols(self._id, self._pair, bound, self._listed)
            serve = StreamGuard(partial(self._negotiate, standard), streams)
            await self._accept_until_cancelled(serve, listening, standard, task_status)
        finally:
            for listener in listening.listeners:
                listener.close()
            self._running = None

    async def _accept_until_cancelled(
        self,
        serve: StreamGuard,
        listening: Listening,
        standard: standard_protocols.StandardProtocols,
        task_status: TaskStatus[None],
    ) -> None:
        swarm = None
        try:
            async with trio.open_nursery() as nursery:
                swarm = Swarm(self._id, self._pair, self._limits, serve, nursery)

                def connected(muxed: GuardedYamux) -> None:
                    ask = partial(self._speak_with, running, muxed.peer_id, standard_protocols.NAMES[0])
                    standard.connected(muxed, ask)

                inbound = Inbound(
                    swarm,
                    self._limits,
                    self._proven,
                    self._tell_disconnected,
                    connected,
                    web_path=lambda: self.web_path,
                    proxies=self._proxies,
                    tor=self._tor,
                    mapped=self._found_behind_router,
                )
                running = _Running(swarm, listening, inbound)
                open_relay = partial(self._open_relay, running)
                running.dialler = Dialler(
                    swarm,
                    nursery,
                    open_relay,
                    self._tls,
                    self._limits.open,
                    self.addresses,
                    self._proxy,
                    self._memory,
                    self._transports,
                )
                if listening.endpoints and self._proxy is None:
                    self.holes = HolePuncher(swarm, nursery, inbound, listening.endpoints)
                nursery.start_soon(inbound.run, listening.listeners)
                nursery.start_soon(standard.run)
                if self._memory is not None:
                    nursery.start_soon(_ask_the_quiet, swarm, self._memory)
                self._running, self._inbound = running, inbound
                task_status.started()
        finally:
            self._running = self._inbound = self.holes = None
            # All at once and without a word: thousands of goodbyes would take longer than who stops us waits.
            for conn in swarm.all_connections() if swarm else ():
                connections.abandon(conn)

    # --- inbound ---------------------------------------------------------------------------------------------------

    def _tell_disconnected(self, peer: PeerKey) -> None:
        if not self._is_connected(peer):
            for told in self._on_disconnect:
                told(peer)

    def expect_circuits(self, relay: PeerKey, most: int) -> None:
        """Allow the relay `most` more streams than others: each carries somebody to us. 0 ends that."""
        self._relays[multiaddrs.multihash(relay).hex()] = most

    async def adopt(self, stream: Stream, accepted: Callable[[], Awaitable[None]], terms: CircuitTerms) -> bool:
        """Treat `stream`, from a relay, as an inbound connection, and carry it until it ends. `accepted` is called when
        there is room for it. Return False if there is none; the stream is then unchanged.
        """
        assert isinstance(stream, LibP2PStream)
        return self._running is not None and await self._running.inbound.adopt(stream, accepted, terms)

    async def _negotiate(self, standard: standard_protocols.StandardProtocols, stream: Substream) -> None:
        """Serve one stream that a peer opened, from its first byte to its last. (libp2p's own way of agreeing on a
        protocol reads a name of any length, byte by byte through five layers.)"""
        assert isinstance(stream.muxed_conn, GuardedYamux)
        talk = NegotiationChannel(stream)
        word = handshake.proposed(talk)
        speaker = self._handlers.get(word.decode("utf-8", "replace")) if word else None
        if speaker is not None and speaker in self._speakers:  # nothing is waited for, so there is no deadline
            standard.expected.add(stream.muxed_conn)
            await self._serve(stream, speaker, handshake.accepted(talk, word))
            return
        caller = Caller(key_of(stream.muxed_conn.peer_id), stream.muxed_conn.route)
        look_up = partial(self._look_up, standard, caller, stream.muxed_conn)
        try:
            with trio.fail_after(self._limits.negotiation):
                handler, said = await handshake.choose(talk, look_up, standard.names, greet=True)
                if handler not in self._speakers:
                    await talk.write(said)
                    said = b""
        except (trio.TooSlowError, CannotOpen):
            await hardening.reset(stream)
            return
        await self._serve(stream, handler, said)

    @staticmethod
    async def _serve(stream: Substream, handler: Handler, said: bytes) -> None:
        """Pass a stream to its handler. said: bytes to be sent before everything else."""
        ours = LibP2PStream(stream, key_of(stream.muxed_conn.peer_id), inbound=True, head=said)
        try:
            await handler(ours)
        finally:
            await ours.close()

    async def _look_up(
        self, standard: standard_protocols.StandardProtocols, caller: Caller, muxed: GuardedYamux, word: bytes
    ) -> Handler | None:
        name = word.decode("utf-8", "replace")
        if (courtesy := standard.handlers.get(name)) is not None:
            return courtesy
        handler = self._handlers.get(name)
        for recognizer in self._recognizers:
            handler = handler or await recognizer(name, caller)
        if handler is not None and name not in standard.names:
            standard.expected.add(muxed)
        return handler

    # --- outbound --------------------------------------------------------------------------------------------------

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
        """Open a stream speaking `protocol`, as `ports.Host.open` says. Whatever libp2p raises becomes Unreachable."""
        running = self._running
        if running is None:
            raise Unreachable("this node is not running")
        if peer == self._peer:
            raise Unreachable("that is this node itself")
        far = self._proxy is not None or self._transports is not None
        reach_seconds = REACH_SECONDS if far else self._limits.open
        with trio.move_on_after(reach_seconds + self._limits.queue):
            try:
                dial = _Dial(ID(multiaddrs.multihash(peer)), tuple(addresses), only, chosen, relay, afresh, lasting)
                return await self._open(running, dial, protocol)
            except Unreachable:
                raise
            except Exception as error:
                raise Unreachable(f"no stream could be opened ({type(error).__name__})") from error
        raise Unreachable("no answer in time")

    async def _open_relay(
        self,
        running: _Running,
        relay: PeerKey,
        addresses: Sequence[str],
        protocol: str,
        chosen: bool,
        afresh: bool,
        lasting: bool,
    ) -> Stream:
        peer = ID(multiaddrs.multihash(relay))
        dial = _Dial(peer, tuple(addresses), None, chosen, relay=True, afresh=afresh, lasting=lasting)
        return await self._open(running, dial, protocol)

    async def _open(self, running: _Running, dial: _Dial, protocol: str) -> Stream:
        swarm, peer, only = running.swarm, dial.peer, dial.only
        old = connections.live(swarm, peer, only)
        tried = None if dial.afresh else connections.best(swarm, peer, only)
        if tried is not None:
            with trio.move_on_after(0.4 * self._limits.open):
                try:
                    return await self._speak(tried, protocol)
                except Exception as error:
                    if connections.best(swarm, peer, only) == tried:
                        raise  # it lives, and says no
                    log.debug("a connection turned out dead: %s", type(error).__name__)
        # There is none, or it is silent: its other end may have gone without a word.
        conn = await self._dial_once(running, dial, instead_of=old)
        for silent in old:
            if tried is not None and connections.route(silent) == connections.route(tried):
                await connections.drop(silent)
        return await self._speak(conn, protocol)

    async def _speak_with(self, running: _Running, peer: ID, protocol: str) -> Stream:
        return await self._speak(connections.live(running.swarm, peer)[-1], protocol)

    async def _speak(self, conn: PeerConnection, protocol: str) -> Stream:
        muxed = conn.muxed_conn
        if not muxed.stream_backlog_semaphore.value:
            raise Unreachable("too many streams with this peer")
        with shielded(WRITE_TIMEOUT):
            stream = await conn.new_stream()
        try:
            with trio.fail_after(self._limits.open):
                await handshake.propose(NegotiationChannel(stream), protocol.encode())
        except BaseException:
            await hardening.reset(stream)
            if muxed.short is not None:
                connections.abandon(conn)
            raise
        if conn.passage is not None:
            conn.passage.answered()
        return LibP2PStream(stream, key_of(muxed.peer_id), inbound=False)

    async def _dial_once(self, running: _Running, dial: _Dial, *, instead_of: list[PeerConnection]) -> PeerConnection:
        """Dial, unless another task already dials the same: then wait for its result, and dial only if that failed.

        A caller who knows other addresses of the peer does not wait: what one person says must not delay another.
        """
        while dial in self._dialling:
            await self._dialling[dial].wait()
            fresh = [conn for conn in connections.live(running.swarm, dial.peer, dial.only) if conn not in instead_of]
            if fresh:
                return fresh[-1]
        self._dialling[dial] = trio.Event()
        try:
            return await running.dialler.dial(
                dial.peer,
                dial.addresses,
                dial.only,
                chosen=dial.chosen,
                relay=dial.relay,
                afresh=dial.afresh,
                lasting=dial.lasting,
            )
        finally:
            self._dialling.pop(dial).set()

    def network_changed(self) -> None:
        """End the connections from addresses that this machine no longer has; the others have to answer a ping."""
        running = self._running
        if running is None:
            return
        here = {str(interface.ip) for interface in interfaces.current()}
        for conn in running.swarm.all_connections():
            if (local := connections.local(conn)) and local not in here:
                connections.abandon(conn)
            else:
                running.swarm.ask([conn])

    async def wait_disconnected(self, peer: PeerKey) -> None:
        """Wait until there is no direct connection with `peer`; a connection that broke silently is detected."""
        while running := self._running:
            conn = connections.best(running.swarm, ID(multiaddrs.multihash(peer)), Route.DIRECT)
            if conn is None:
                return
            await connections.watch(conn)

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        """Close every connection with `peer`, or those of the route `only`."""
        running = self._running
        if running is None:
            return
        async with trio.open_nursery() as nursery:
            for conn in list(running.swarm.connections(ID(multiaddrs.multihash(peer)))):
                if conn.alive and only in (None, connections.route(conn)):
                    nursery.start_soon(connections.drop, conn)


async def _ask_the_quiet(swarm: Swarm, memory: NetworkMemory) -> None:
    """Have quiet connections show that they work, on a network where others froze: one on which nothing is due would
    not be missed. Until cancelled.
    """
    while True:
        await trio.sleep(QUIET_SECONDS)
        if memory.is_doubtful:
            quiet_since = trio.current_time() - QUIET_SECONDS
            swarm.ask([conn for conn in swarm.all_connections() if conn.may_freeze and conn.moved <= quiet_since])


@dataclass(frozen=True, slots=True)
class _Dial:
    """A request to dial: see `Host.open`."""

    peer: ID
    addresses: tuple[str, ...]
    only: Route | None
    chosen: bool
    relay: bool
    afresh: bool = False
    lasting: bool = False


class _Running:
    """What exists only while a host runs."""

    dialler: Dialler

    def __init__(self, swarm: Swarm, listening: Listening, inbound: Inbound) -> None:
        self.swarm = swarm
        self.inbound = inbound
        self.endpoints = listening.endpoints


quiet()
hardening.only_ed25519()


def set_limits(host: LibP2PHost, limits: HostLimits) -> None:
    """Apply these limits to new connections; existing ones stay."""
    host._limits = limits
    if host._streams is not None:
        host._streams.resize(limits.inbound * limits.streams_per_peer, limits.streams_per_peer)
    if host._running is not None:
        host._running.inbound.limit(limits)


def disguised(host: LibP2PHost) -> dict[PeerKey, str]:
    """Return the peers with whom the newest connection is by a pluggable transport, each with its name."""
    swarm = host._running.swarm if host._running else None
    newest = {peer: connections.live(swarm, peer)[-1:] for peer in swarm.peers} if swarm else {}
    return {key_of(peer): conn.pluggable for peer, conns in newest.items() for conn in conns if conn.pluggable}
