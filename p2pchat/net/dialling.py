"""Making connections, finding live ones, and ending them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

import trio
from libp2p.abc import INetConn
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from p2pchat.errors import BadAddress, Unreachable
from p2pchat.net import addresses as addr
from p2pchat.net import guard
from p2pchat.net.guard import GuardedYamux, Wire

log = logging.getLogger("p2pchat.net")

STAGGER = 0.25  # seconds before the next address is tried beside the one that has not answered yet
_MAX_TARGETS = 8
_CLOSE_PATIENCE = 1.0


async def dial(swarm: Swarm, peer: ID, addresses: Sequence[str]) -> SwarmConn:
    """A connection with `peer`, proven to be it. Tries the addresses in order, the next one when the last has failed
    or been silent for a moment. Raises Unreachable."""
    made: list[SwarmConn] = []
    async with trio.open_nursery() as nursery:

        async def attempt(target: addr.Endpoint, failed: trio.Event) -> None:
            try:
                conn = await _connect(swarm, peer, target)
            except Exception as error:  # noqa: BLE001 - one address of several
                log.debug("an address did not answer: %s", type(error).__name__)
                failed.set()
            else:
                made.append(conn)
                nursery.cancel_scope.cancel()

        for target in targets(addresses):
            failed = trio.Event()
            nursery.start_soon(attempt, target, failed)
            with trio.move_on_after(STAGGER):
                await failed.wait()
    for extra in made[1:]:
        await drop(swarm, extra)
    if not made:
        raise Unreachable("no address answered")
    return made[0]


async def _connect(swarm: Swarm, peer: ID, target: addr.Endpoint) -> SwarmConn:
    stream = await trio.open_tcp_stream(str(target.ip), target.port)
    wire = Wire(stream, (str(target.ip), target.port))
    try:
        return await swarm.upgrade_outbound_raw_conn(RawConnection(wire, True), peer)
    except BaseException:
        wire.abandon()
        raise


def targets(addresses: Sequence[str]) -> list[addr.Endpoint]:
    """What of it we dial: no nonsense, nothing twice, not too many."""
    found: dict[addr.Endpoint, None] = {}
    for text in addresses:
        with suppress(BadAddress):
            endpoint = addr.parse(text)
            if addr.dialable(endpoint):
                found[endpoint] = None
    return list(found)[:_MAX_TARGETS]


def live(swarm: Swarm, peer: ID) -> list[SwarmConn]:
    """The connections with a peer that can be used, oldest first."""
    return [conn for conn in swarm.get_connections(peer) if isinstance(conn, SwarmConn) and _alive(conn)]


def _alive(conn: SwarmConn) -> bool:
    muxed = conn.muxed_conn
    assert isinstance(muxed, GuardedYamux)
    return conn.event_started.is_set() and not conn.is_closed and muxed.alive


async def drop(swarm: Swarm, conn: INetConn) -> None:
    """Close one connection: politely for a moment, then for certain. Shielded; takes a second or two at most."""
    assert isinstance(conn, SwarmConn)
    muxed = conn.muxed_conn
    assert isinstance(muxed, GuardedYamux)
    muxed.patience = _CLOSE_PATIENCE
    try:
        with guard.shielded(_CLOSE_PATIENCE), suppress(Exception):
            await conn.close()
    finally:
        muxed.abandon()
        swarm.remove_conn(conn)
