"""The connections of a swarm: which are alive, which is best, and how one ends."""

from __future__ import annotations

from contextlib import suppress

from libp2p.abc import INetConn
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from p2pchat.core.delivery import Route
from p2pchat.net.libp2p.secure_channel import shielded
from p2pchat.net.libp2p.yamux import GuardedYamux

_CLOSE_TIMEOUT = 1.0  # seconds


def live(swarm: Swarm, peer: ID, only: Route | None = None) -> list[SwarmConn]:
    """Return the usable connections with a peer, oldest first. only: those by this route; None: by any."""
    usable = [conn for conn in swarm.get_connections(peer) if isinstance(conn, SwarmConn) and _alive(conn)]
    return [conn for conn in usable if only in (None, route(conn))]


def best(swarm: Swarm, peer: ID, only: Route | None = None) -> SwarmConn | None:
    """Return which one of `live` to use: a direct one before a circuit, and of these the newest; None without any."""
    return max(live(swarm, peer, only)[::-1], key=lambda conn: route(conn) == Route.DIRECT, default=None)


def route(conn: SwarmConn) -> Route:
    """Return by which route a connection goes."""
    assert isinstance(conn.muxed_conn, GuardedYamux)
    return conn.muxed_conn.route


def _alive(conn: SwarmConn) -> bool:
    muxed = conn.muxed_conn
    assert isinstance(muxed, GuardedYamux)
    return conn.event_started.is_set() and not conn.is_closed and muxed.alive


def abandon(swarm: Swarm, conn: INetConn) -> None:
    """End a connection at once, without a close frame: its tasks see a closed socket."""
    assert isinstance(conn, SwarmConn)
    assert isinstance(conn.muxed_conn, GuardedYamux)
    conn.event_closed.set()
    conn.muxed_conn.abandon()
    swarm.remove_conn(conn)


async def drop(swarm: Swarm, conn: INetConn) -> None:
    """Send a close frame, then close the socket. Shielded from cancellation; takes two seconds at most."""
    assert isinstance(conn, SwarmConn)
    muxed = conn.muxed_conn
    assert isinstance(muxed, GuardedYamux)
    muxed.patience = _CLOSE_TIMEOUT
    try:
        with shielded(_CLOSE_TIMEOUT), suppress(Exception):
            await conn.close()
    finally:
        muxed.abandon()
        swarm.remove_conn(conn)
