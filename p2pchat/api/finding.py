"""Finding the node of a profile, connecting to it and ending it, whatever this process's environment is.

A node runs if and only if its lock is held. It notes its socket's path in the profile, because login sessions, cron and
`su` have different runtime folders. If the socket disappears, the node makes it again within `SOCKET_BACK_SECONDS`;
until then, and if it cannot be reached at all, its pid is known.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.locations import lock_holder, noted_socket, socket_address, socket_path

if TYPE_CHECKING:
    from p2pchat.locations import Profile

SOCKET_BACK_SECONDS = 5.0
"""Seconds within which a running node has made a lost socket again."""

_LOOK_AGAIN = 0.05


@dataclass(frozen=True)
class RunningNode:
    """The process that holds a profile's lock.

    pid: None if it is unknown. is_certain: whether the kernel confirms the pid. socket: where the node listens, by its
    note; None while it starts.
    """

    pid: int | None
    is_certain: bool
    socket: Path | None

    @property
    def name(self) -> str:
        """The node, as error messages name it."""
        return _named(self.pid)


def _named(pid: int | None) -> str:
    return "The node" if pid is None else f"The node, process {pid},"


def find(profile: Profile) -> RunningNode | None:
    """Return the node that runs on this profile, or None. Raises ProfileError."""
    holder = lock_holder(profile.lock)
    if holder is None:
        return None
    return RunningNode(holder.pid, holder.is_certain, noted_socket(profile, holder.written, holder.pid))


def dial(profile: Profile, node: RunningNode) -> socket.socket | None:
    """Connect to the node's socket; return None if nobody listens there, or another process.

    Raises NodeError if a process of another user listens, since it would be given the passphrase.
    """
    try:
        path = node.socket or socket_path(profile.folder)
    except errors.ProfileError:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            connection.connect(address)
        pid = _check_owner(connection)
    except OSError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    if node.is_certain and pid != node.pid:  # another process's socket at that path
        connection.close()
        return None
    return connection


def listens(profile: Profile) -> bool:
    """Return whether a node runs on this profile and can be reached now."""
    node = find(profile)
    made = None if node is None else dial(profile, node)
    if made is not None:
        made.close()
    return made is not None


def silent(node: RunningNode) -> errors.NodeSilent:
    """Return the error for a running node that does not answer."""
    return errors.NodeSilent(f"{node.name} holds this profile but does not answer")


def terminate(profile: Profile, node: RunningNode, seconds: float) -> None:
    """End the node by its pid, and wait up to so many seconds until it has released the profile. Raises NodeError,
    which says what went wrong.

    Only the process that the kernel names as the lock's holder gets a signal: a pid in a file may by now belong to
    another process.
    """
    pid = node.pid
    if pid is None or not node.is_certain:
        raise errors.NodeError(
            f"{node.name} holds this profile, and neither answers nor can be ended from here",
            hint="It may run in another container or on another machine: end it there.",
        )
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return wait_until_free(profile, pid, seconds)
    except OSError as exc:
        raise errors.NodeError(f"{node.name} cannot be ended: {exc.strerror}") from exc
    try:
        # Checked again, now that the descriptor is bound to this process and not to a later one with the same pid.
        holder = lock_holder(profile.lock)
        if holder is None or holder.pid != pid:
            return None
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGTERM)
        select.select([process], [], [], seconds)
    except PermissionError as exc:
        hint = "It runs as another user: end it as that user."
        raise errors.NodeError(f"{node.name} cannot be ended from here", hint=hint) from exc
    finally:
        os.close(process)
    return wait_until_free(profile, pid, _LOOK_AGAIN)


def wait_until_free(profile: Profile, pid: int | None, seconds: float) -> None:
    """Wait until no process holds the profile, or another one than `pid` does. Raises NodeError after so many
    seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        holder = lock_holder(profile.lock)
        if holder is None or (pid is not None and holder.pid != pid):
            return
        if time.monotonic() > deadline:
            hint = f"If it hangs: `kill -9 {holder.pid}`." if holder.is_certain else ""
            raise errors.NodeError(f"{_named(holder.pid)} does not end", hint=hint)
        time.sleep(_LOOK_AGAIN)


def _check_owner(sock: socket.socket) -> int:
    """Return the pid of the listening process. Raises NodeError if it belongs to another user."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    if uid != os.geteuid():
        raise errors.NodeError(
            "Another user's process listens on the node's socket", hint="Stop here, and find out who runs it."
        )
    return int(pid)
