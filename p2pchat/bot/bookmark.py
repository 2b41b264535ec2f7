"""The bookmark: how far a bot has read, stored in the profile's folder; and the lock that allows only one of it to run.

One file, `<name>.bot`: a position of the API's `messages`, then the pid of the process that holds the lock. It is
written in place, in one write of one sector, so that a crash leaves the old record or the new one; and never removed,
because a second file of that name would be a second lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from p2pchat import errors
from p2pchat.locations import Profile

_NO_POSITION = "-" * 20
_RECORD = re.compile(rb"([0-9]{20}|-{20}) ([0-9]{10})\n")
_LOOK_AGAIN = 0.05
_LOOKED_AT = 1.0  # seconds for which somebody may hold the lock only to see whether it is held


def path_of(profile: Profile, name: str) -> Path:
    """Return the bookmark's path. Raises UsageError if `name` cannot be part of a file name."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
        raise errors.UsageError("The name of a bot has 1 to 32 letters, digits, - or _")
    return profile.folder / f"{name}.bot"


def runner(path: Path) -> int | None:
    """Return the pid of the bot that is running with this bookmark."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        record = _RECORD.match(os.pread(descriptor, 64, 0))
        return int(record[2]) if record else None
    finally:
        os.close(descriptor)
    return None


class Bookmark:
    """Holds the lock until it is closed. Raises ProfileInUse if another bot of that name is running, else
    ProfileError.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise errors.ProfileError(f"Cannot write {path}: {exc.strerror}") from exc
        try:
            self._lock(path)
            record = _RECORD.match(os.pread(self._descriptor, 64, 0))
            self.position = None if record is None or record[1].startswith(b"-") else int(record[1])
            self._write()
        except BaseException:
            os.close(self._descriptor)
            raise

    def move(self, position: int) -> None:
        """Set the position up to which everything is handled; it is on disk when this returns."""
        self.position = position
        self._write()

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _lock(self, path: Path) -> None:
        deadline = time.monotonic() + _LOOKED_AT
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    pid = runner(path)
                    message = f"Another bot runs on this profile by the name {path.stem} (pid {pid or 'unknown'})"
                    raise errors.ProfileInUse(message, hint="Stop it, or give this one another name.") from exc
                time.sleep(_LOOK_AGAIN)
            else:
                return

    def _write(self) -> None:
        where = _NO_POSITION if self.position is None else f"{self.position:020d}"
        try:
            os.pwrite(self._descriptor, f"{where} {os.getpid():010d}\n".encode("ascii"), 0)
            os.fdatasync(self._descriptor)
        except OSError as exc:
            raise errors.DiskFull(f"Cannot save how far the bot has read: {exc.strerror}") from exc
