"""The connections of a swarm: which are alive, which is best, and how one ends."""

from __future__ import annotations

from contextlib import suppress

import trio
from libp2p.peer.id import ID

from p2pchat.core.delivery import Route
from p2pchat.net.libp2p.secure_channel import NoiseChannel, shielded
from p2pchat.net.libp2p.swarm import PeerConnection, Swarm

PING_AFTER_SECONDS = 10.0
"""Seconds between two pings on a connection that is watched."""
PONG_TIMEOUT = 15.0
"""Seconds that the answer may take."""
_CLOSE_TIMEOUT = 1.0  # seconds


def live(swarm: Swarm, peer: ID, only: Route | None = None) -> list[PeerConnection]:
    """Return the usable connections with a peer, oldest first. only: those by this route; None: by any. A short one
    belongs to the stream on it.
    """
    return [
        conn
        for conn in swarm.connections(peer)
        if conn.alive and only in (None, route(conn)) and conn.muxed_conn.short is None
    ]


def best(swarm: Swarm, peer: ID, only: Route | None = None) -> PeerConnection | None:
    """Return which one of `live` to use: a direct one before a circuit, and of these the newest; None without any."""
    return max(live(swarm, peer, only)[::-1], key=lambda conn: route(conn) == Route.DIRECT, default=None)


def route(conn: PeerConnection) -> Route:
    """Return by which route a connection goes."""
    return conn.muxed_conn.route


def abandon(conn: PeerConnection) -> None:
    """End a connection at once, without a close frame: its tasks see a closed socket."""
    conn.forget()
    conn.muxed_conn.abandon()


async def watch(conn: PeerConnection) -> None:
    """Wait for the end of a connection. For one task at a time.

    A connection whose other end answers nothing for `PING_AFTER_SECONDS` + `PONG_TIMEOUT` seconds is ended.
    """
    muxed = conn.muxed_conn
    with suppress(Exception):  # of a write: it is over
        while muxed.alive:
            await muxed.prove(PONG_TIMEOUT)
            if not muxed.alive:
                break
            with trio.move_on_after(PING_AFTER_SECONDS):
                await muxed.event_closed.wait()
    await muxed.event_closed.wait()


def local(conn: PeerConnection) -> str:
    """Return our own IP address on a connection that we dialled; "" over a circuit, and of one that came in."""
    sealed = conn.muxed_conn.secured_conn
    return sealed.wire.local if isinstance(sealed, NoiseChannel) else ""


async def drop(conn: PeerConnection) -> None:
    """Send a close frame, then close the socket. Shielded from cancellation; takes two seconds at most."""
    muxed = conn.muxed_conn
    muxed.patience = _CLOSE_TIMEOUT
    try:
        with shielded(_CLOSE_TIMEOUT), suppress(Exception):
            await conn.close()
    finally:
        muxed.abandon()
        conn.forget()
