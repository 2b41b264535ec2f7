"""Opening the sockets a node listens on.

We open them ourselves, because py-libp2p's listener cannot do what we promise:
* it sets SO_REUSEPORT, so a port that another node of the same user holds is silently *shared* instead of refused;
* it leaves `::` dual-stacked, which clashes with 0.0.0.0 on the same port;
* it lives in a system task of the event loop, so it keeps accepting after the host has been cancelled.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf

import trio

from p2pchat.errors import NodeError
from p2pchat.net.multiaddrs import IP, SocketAddress
from p2pchat.net.transport.pipes import tune

log = logging.getLogger("p2pchat.net")

_BACKLOG = 1024
"""Connections that may wait to be accepted; the kernel has its own limit (net.core.somaxconn)."""
_ACCEPTED_AT_ONCE = 16  # before the loop has been round: each costs the next turn a fifth of a millisecond
_NO_FILES_SECONDS = 0.1  # to wait where the process has no file left for a connection
_TRIES = 20
_IPFS_PORT = 4001
_WARN_SECONDS = 60.0
_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


@dataclass(frozen=True, slots=True)
class Listening:
    """Open listeners, their addresses, and the one port used for all endpoints that asked for any port (0
    if none did).
    """

    listeners: tuple[socket.socket, ...]
    endpoints: tuple[SocketAddress, ...]
    port: int


def open_listeners(wanted: Sequence[SocketAddress], kept_port: int = 0) -> Listening:
    """Listen on every endpoint of `wanted`; waits for nothing.

    Every endpoint with port 0 gets one and the same TCP port: `kept_port` where that is free, otherwise another free
    one. Where the machine has no IPv6, `::` is left out as long as something else remains. Nothing wanted is nothing
    opened. Raises NodeError where an endpoint cannot be had.
    """
    with ExitStack() as undo:
        sockets: dict[SocketAddress, socket.socket] = {}
        for endpoint in wanted:
            if endpoint.port:
                _add(sockets, undo, endpoint.ip, endpoint.port)
        port = _add_on_one_port(sockets, undo, [endpoint.ip for endpoint in wanted if not endpoint.port], kept_port)
        if wanted and not sockets:
            raise NodeError("there is no address to listen on", hint="Give one with --listen.")
        undo.pop_all()
        return Listening(tuple(sockets.values()), tuple(sockets), port)


async def accept(listener: socket.socket, came: Callable[[socket.socket], None]) -> None:
    """Pass every incoming connection to `came`, until cancelled.

    (trio takes one at each turn of the loop. When a crowd comes back, the kernel's queue overflows meanwhile, and
    whoever finds no room there tries again a second later.)
    """
    warned = -inf
    while True:
        await trio.lowlevel.wait_readable(listener.fileno())
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_FILES:
                    if trio.current_time() - warned >= _WARN_SECONDS:
                        warned = trio.current_time()
                        log.warning("connections are waiting, and no file is left for them (ulimit -n)")
                    await trio.sleep(_NO_FILES_SECONDS)
                break
            connection.setblocking(False)
            if sys.platform != "linux":
                tune(connection)
            came(connection)
        await trio.lowlevel.checkpoint()


def _add_on_one_port(
    sockets: dict[SocketAddress, socket.socket], undo: ExitStack, ips: list[IP], kept_port: int
) -> int:
    # 0.0.0.0 covers every other IPv4 address, and they cannot share a port; so it is with ::.
    everywhere = {ip.version for ip in ips if ip.is_unspecified}
    ips = [ip for ip in dict.fromkeys(ips) if ip.is_unspecified or ip.version not in everywhere]
    if not ips:
        return 0
    for attempt in range(_TRIES):
        port = kept_port if attempt == 0 else 0
        mine: dict[SocketAddress, socket.socket] = {}
        with ExitStack() as undo_mine:
            try:
                for ip in ips:
                    port = _add(mine, undo_mine, ip, port) or port
            except _Taken:
                continue
            undo.push(undo_mine.pop_all())
        sockets.update(mine)
        return port
    raise NodeError("no port is free to listen on")


class _Taken(NodeError):
    """Another program is listening there."""


def _advice(error: OSError, port: int) -> str:
    """Return what to do about an address that cannot be had."""
    match error.errno:
        case errno.EADDRINUSE:
            ipfs = " (IPFS uses 4001 too)" if port == _IPFS_PORT else ""
            return f"Another program listens there{ipfs}: stop it, or choose another port with --listen."
        case errno.EADDRNOTAVAIL:
            return "This machine has no such address: give one of its own with --listen, or 0.0.0.0 (IPv6: ::) for all."
        case errno.EACCES:
            return "A port below 1024 needs a privilege: choose a higher one with --listen."
    return "Choose another address with --listen."


def _add(sockets: dict[SocketAddress, socket.socket], undo: ExitStack, ip: IP, port: int) -> int:
    """Open one listener; return its port, or 0 if this machine has no IPv6 and others remain."""
    if SocketAddress(ip, port) in sockets:
        return port
    try:
        sock = _open(ip, port)
    except OSError as error:
        if error.errno in _NO_IPV6 and ip == ipaddress.IPv6Address("::"):
            return 0
        kind = _Taken if error.errno == errno.EADDRINUSE else NodeError
        reason = error.strerror or "it is refused"
        raise kind(f"cannot listen on {SocketAddress(ip, port).text()}: {reason}", hint=_advice(error, port)) from error
    undo.callback(sock.close)
    bound: int = sock.getsockname()[1]
    sockets[SocketAddress(ip, bound)] = sock
    return bound


def _open(ip: IP, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock)  # and so whatever it accepts, on Linux
        # A restarted node gets its port back although old connections linger; a second listener is still refused.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ip.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((str(ip), port))
        sock.listen(_BACKLOG)
        if hasattr(socket, "SO_REUSEPORT"):
            # Holes are punched from this very port (`holes`). Set this late, it lets no other listener in: that
            # would have to find it set when it binds.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        sock.close()
        raise
    return sock
