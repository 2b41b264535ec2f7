"""The node's socket: bound at the first possible path, noted in the profile, and made again if it disappears.

It can disappear without the node's doing: the runtime folder of a login session is deleted with the session, and
temporary folders are cleaned. Clients find the node by the note (`finding`).
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pchat import errors
from p2pchat.api.server import listen
from p2pchat.locations import forget_socket, note_socket, noted_socket, socket_places

if TYPE_CHECKING:
    from p2pchat.api.server import Server
    from p2pchat.locations import Profile

log = logging.getLogger(__name__)

_PERMANENT_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Errors that also affect the database: its own error reports them, and the node ends."""


class NodeSocket:
    """The socket of one profile's node. Only the holder of the profile's lock may use it."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._path: Path | None = None
        self._inode = 0
        self._is_unnoted = False
        self._closed = False
        self._accepting = trio.CancelScope()

    def open(self, server: Server, nursery: trio.Nursery) -> None:
        """Listen, note the path, and serve in `nursery`. Raises NodeError if there is no path at which a socket can be
        bound.
        """
        listener = self._bind()
        before, self._accepting = self._accepting, trio.CancelScope()
        nursery.start_soon(server.serve, listener, self._accepting)
        before.cancel()  # clients of the old one stay connected

    def repair(self, server: Server, nursery: trio.Nursery) -> None:
        """Listen again if the socket's path is missing or another's, and note the path again if the note is missing."""
        if self._closed:
            return
        if not self._is_ours():
            log.warning("the node's socket was gone; it is made anew")
            self.open(server, nursery)
        elif noted_socket(self._profile, os.getpid()) != self._path:
            self._note()

    def close(self) -> None:
        """Remove the path and stop accepting clients; connected ones are still served."""
        self._closed = True
        if self._path is not None and self._is_ours():
            self._path.unlink(missing_ok=True)
        forget_socket(self._profile)
        self._accepting.cancel()

    def _bind(self) -> trio.SocketListener:
        trouble: Exception | None = None
        for path in socket_places(self._profile):
            try:
                listener = listen(path)
            except (OSError, errors.NodeError) as exc:
                trouble = trouble or exc
                continue
            self._path, self._inode = path, os.lstat(path).st_ino
            self._note()
            return listener
        if isinstance(trouble, errors.NodeError):
            raise trouble
        reason = trouble.strerror if isinstance(trouble, OSError) else ""
        raise errors.NodeError(f"The node's socket cannot be made: {reason}") from trouble

    def _note(self) -> None:
        assert self._path is not None
        try:
            note_socket(self._profile, self._path)
        except OSError as exc:  # a full disk: faces with the same environment find it all the same
            if not self._is_unnoted and exc.errno not in _PERMANENT_ERRORS:
                log.warning("where the node listens cannot be noted: %s", exc.strerror)
            self._is_unnoted = True
        else:
            self._is_unnoted = False

    def _is_ours(self) -> bool:
        assert self._path is not None
        try:
            return os.lstat(self._path).st_ino == self._inode
        except OSError:
            return False
