"""Protects py-libp2p 0.8.1 from strangers: each piece works around one of its faults.

| fault as shipped                                                         | handled by                          |
|--------------------------------------------------------------------------|-------------------------------------|
| a stream handler raises: the whole node ends                              | StreamGuard                         |
| any number of inbound streams per peer                                    | StreamGuard                         |
| a cancelled write leaves half a frame: the connection and all its streams end | GuardedYamux._write_frame       |
| a write to a peer that takes nothing waits for ever                       | the same, after WRITE_TIMEOUT       |
| a peer that ignores its window fills our memory                           | GuardedYamux._frame                 |
| every frame costs six locks and ten formatted log lines; the last is kept | yamux, NoiseChannel: our own loops  |
| a read cancelled while it grants new window loses what it had read        | GuardedYamux.take                   |
| a peer that vanishes silently is pinged, but never given up               | GuardedYamux.watch                  |
| windows grow to 16 MiB a stream before anything was read, counted twice   | yamux: Substream                    |
| empty messages, frames for no stream, pings, resets, `ls`: any number     | budget: Account, charged everywhere |
| a stream closed by us keeps taking data until the peer closes it too      | GuardedYamux.forget                 |
| a stranger announces a message of any length: that much memory            | RawPipe.read, handshake             |
| a message that comes in over 100 pieces ends the connection               | RawPipe.read, RawPipe.message       |
| an identity key of half a million bits: seconds of CPU                    | only_ed25519                        |
| inbound connections take a slot until the node ends                       | host: its own accept loop, PlaceSums |
| the end of one circuit ends others; a relay serves anybody without limit  | circuit_relay: nothing of libp2p's  |

Each has a test in tests/net that fails without it, so that a newer libp2p can replace it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from libp2p.crypto import serialization
from libp2p.crypto.keys import KeyPair, KeyType
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2pchat.errors import CannotOpen, LinkLost
from p2pchat.net import multiaddrs
from p2pchat.net.admission.places import PlaceSums
from p2pchat.net.libp2p import handshake
from p2pchat.net.libp2p.handshake import Identity
from p2pchat.net.libp2p.secure_channel import WRITE_TIMEOUT, NoiseChannel, RawPipe, shielded
from p2pchat.net.libp2p.yamux import GuardedYamux, Substream

log = logging.getLogger("p2pchat.net")

# --- the handshake ------------------------------------------------------------------------------------------------


class Upgrader:
    """Noise, then GuardedYamux, and nothing else whatever the peer proposes, by our own `handshake`.

    (libp2p's own upgrader builds a plain Yamux whatever class it is given.)
    """

    def __init__(self, me: ID, pair: KeyPair, identity: Identity, max_unread: int) -> None:
        self._me = me
        self._pair = pair
        self._identity = identity
        self._max_unread = max_unread

    async def secure(self, wire: RawPipe, peer_id: ID) -> NoiseChannel:
        """Secure a connection on which we dialled `peer_id`. Raises CannotOpen if it is another peer."""
        wire.account.prove()  # we chose to dial it
        peer = multiaddrs.peer_from_multihash(peer_id.to_bytes())
        if peer is None:
            raise CannotOpen("not a peer we know how to prove")
        send, receive = await handshake.secure_outbound(wire, self._identity, peer)
        return NoiseChannel(wire, self._me, self._pair, peer, send, receive, dialled=True)

    async def multiplex(self, conn: NoiseChannel, peer_id: ID) -> GuardedYamux:
        """Agree on Yamux with a peer that we have dialled."""
        await handshake.propose(conn, handshake.YAMUX)
        return GuardedYamux(conn, peer_id, self._max_unread)

    async def take_in(self, wire: RawPipe, turn: Callable[[], Awaitable[None]]) -> GuardedYamux:
        """Secure a connection on which we were dialled. The peer has proven its key; nothing reads the connection yet.
        turn: see `handshake.secure_inbound`.
        """
        peer, send, receive = await handshake.secure_inbound(wire, self._identity, turn)
        conn = NoiseChannel(wire, self._me, self._pair, peer, send, receive, dialled=False)
        if said := await handshake.answer(conn, handshake.YAMUX):
            await conn.write(said)
        return GuardedYamux(conn, conn.remote_peer, self._max_unread)


# --- limits -------------------------------------------------------------------------------------------------------


class StreamGuard:
    """Every inbound stream passes through here: there is a limit per peer, and an exception of a handler ends only its
    stream.
    """

    def __init__(self, serve: Callable[[Substream], Awaitable[None]], slots: PlaceSums) -> None:
        self._serve = serve
        self._slots = slots

    async def __call__(self, stream: Substream) -> None:
        place = stream.muxed_conn.peer_id.to_bytes().hex()
        if stream.reset_received or not self._slots.take(place):
            await reset(stream)
            return
        try:
            await self._serve(stream)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may only end this stream
            log.info("a stream handler failed: %s", type(error).__name__)
            await reset(stream)
        except BaseExceptionGroup as group:
            # A failure that met a cancellation: keep the cancellation, drop the failure.
            _, rest = group.split(Exception)
            await reset(stream)
            if rest is not None:
                raise rest from None
        finally:
            self._slots.give(place)


async def reset(stream: Substream) -> None:
    """End a stream in both directions at once; never raises, never waits long."""
    with shielded(WRITE_TIMEOUT), suppress(Exception):
        await stream.reset()


def lost(error: BaseException) -> LinkLost:
    """Return the LinkLost that stands for an error of libp2p."""
    return LinkLost(f"the link ended ({type(error).__name__})")


def ended_cleanly(muxed: GuardedYamux, error: MuxedStreamError) -> bool:
    """Return whether "end of stream" was the peer's FIN. libp2p says EOF also where the whole connection broke."""
    return isinstance(error, EOFError) and muxed.alive


# --- settings that libp2p has only as a module's tables -----------------------------------------------------------


def only_ed25519() -> None:
    """Refuse every other kind of identity key in the Noise handshake, before it costs anything.

    A handshake has room for an RSA key of half a million bits; checking one signature with it takes seconds. Our peers
    are Ed25519 keys by definition.
    """
    for kind in (KeyType.RSA, KeyType.Secp256k1):
        serialization.key_type_to_public_key_deserializer.pop(kind.value, None)
