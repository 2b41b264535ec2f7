"""The relay's folder: its key, its lock, and the socket on which it reports its status to the operator.

It needs only the standard library, so that `relay status` answers at once.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2pchat.errors import NodeError, ProfileError, ProfileInUse
from p2pchat.lib import atomic_file
from p2pchat.locations import Profile, ProfileLock, private_folder, socket_address

KEY_BYTES = 32
_TIMEOUT = 5.0
_STATUS_SOCKET = "status.sock"
_MAX_STATUS = 1 << 16


class NoRelay(NodeError):
    """No relay is running here."""

    hint = "Start one with `p2pchat relay`, or name its folder with --data."


@dataclass(frozen=True)
class Folder:
    """The folder of a relay."""

    path: Path

    @property
    def store(self) -> Path:
        """The database of the mailbox."""
        return self.path / "blobs.db"

    @property
    def files(self) -> Path:
        """The database of the file boxes; their blobs are in a file beside it."""
        return self.path / "files.db"

    @property
    def logs(self) -> Path:
        """The database of the logs."""
        return self.path / "logs.db"

    @property
    def feeds(self) -> Path:
        """The database of channels."""
        return self.path / "channels.db"

    @property
    def refused_channels(self) -> Path:
        """The list of channels that are not mirrored."""
        return self.path / "refused-channels"

    @property
    def descriptor(self) -> Path:
        """The file with the last descriptor of the relay."""
        return self.path / "descriptor"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder if necessary, and hold its lock. Raises ProfileInUse or ProfileError."""
        private_folder(self.path)
        lock = ProfileLock(Profile(self.path))
        try:
            lock.acquire()
        except ProfileInUse:
            what = f"Another relay is running on {self.path} (pid {lock.owner() or 'unknown'})"
            raise ProfileInUse(what, hint="Give this one a folder of its own with --data.") from None
        with lock:
            yield

    def seed(self, fresh: bytes) -> bytes:
        """Return the 32-byte seed of the relay's transport key; if there is none, save `fresh` as the seed. Raises
        ProfileError.
        """
        path = self.path / "key"
        try:
            with suppress(FileNotFoundError):
                seed = path.read_bytes()
                if len(seed) != KEY_BYTES:
                    raise ProfileError(f"{path} is not a key", hint="Restore it, or delete it to become a new relay.")
                return seed
            # Written atomically: if it came back with another key, nobody who knows this relay would find it.
            atomic_file.replace(path, fresh)
        except OSError as error:
            raise ProfileError(f"{path} cannot be used: {error.strerror}") from error
        return fresh

    def listen(self) -> socket.socket:
        """Open the status socket, accessible to its owner only. The lock must be held."""
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_address(self.path / _STATUS_SOCKET) as path:
            with suppress(FileNotFoundError):
                os.unlink(path)
            asking.bind(path)
            os.chmod(path, 0o600)
        asking.listen(8)
        return asking

    def ask(self) -> dict[str, Any]:
        """Return the status of the relay that runs here. Raises NoRelay."""
        data = b""
        try:
            with (
                socket_address(self.path / _STATUS_SOCKET) as path,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked,
            ):
                asked.settimeout(_TIMEOUT)
                asked.connect(path)
                while len(data) < _MAX_STATUS and (chunk := asked.recv(65_536)):
                    data += chunk
            status: dict[str, Any] = json.loads(data)
        except (OSError, ValueError):
            raise NoRelay(f"No relay is running on {self.path}") from None
        return status
