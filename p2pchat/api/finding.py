"""Find the node of a profile, and reach or end it, whatever this process's environment is.

The lock is the truth: who holds it runs, who does not hold it does not. Where it listens it has noted in the profile,
because the runtime folder of a login session, of cron and of `su` are three. A socket that is gone is made anew by the
node within `SOCKET_BACK_SECONDS`; until then, and where it cannot be reached at all, its pid is known.
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
"""Within this a running node has made its socket anew."""

_LOOK_AGAIN = 0.05


@dataclass(frozen=True)
class RunningNode:
    """The process that holds a profile's lock.

    pid: None where nobody can tell. is_certain: the kernel says that it is this pid. socket: where it noted that it
    listens; None before that, while it starts.
    """

    pid: int | None
    is_certain: bool
    socket: Path | None

    @property
    def name(self) -> str:
        """The node in the words of an error."""
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
    """Connect to the node's socket; None where nobody listens there, or somebody else.

    Raises NodeError where a process of another user listens: it would be given the passphrase.
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
    if node.is_certain and pid != node.pid:  # a socket of that name, and not this node's
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
    """Return the error for a node that runs and does not answer."""
    return errors.NodeSilent(f"{node.name} holds this profile but does not answer")


def terminate(profile: Profile, node: RunningNode, seconds: float) -> None:
    """End the node by its pid, and wait up to so many seconds until it has let the profile go. Raises NodeError, which
    says what is so.

    Only the process that the kernel names as the lock's holder gets a signal: a pid in a file may be anybody's by now.
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
        # Looked at once more now that the descriptor means this process and no later one of its number.
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
    """Wait until no process holds the profile, or another than `pid` does. Raises NodeError when the time is over."""
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
    """Return the pid of the process that listens. Raises NodeError where it is another user's."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    if uid != os.geteuid():
        raise errors.NodeError(
            "Another user's process listens on the node's socket", hint="Stop here, and find out who runs it."
        )
    return int(pid)
