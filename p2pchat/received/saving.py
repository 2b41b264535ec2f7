"""Write a file that somebody sent into a folder of the user's.

The folder is opened once and everything happens in that one, so a symlink that is swapped into its path leads nowhere
else. The file is written without a name, so that nothing of it is left if the machine stops, or under a hidden one
where the file system has no such files. It gets its own name only when it is whole, by a link, which never replaces
anything. It can be read only by its owner and is never executable.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from types import TracebackType
from typing import Self

from p2pchat import errors
from p2pchat.received import content
from p2pchat.received.names import MAX_NAME_BYTES, numbered, safe_name

MAX_NUMBER = 999
"""The last number that is tried for a name that is taken."""
_OPEN_FILES = "/proc/self/fd"
"""Where a file without a name can be reached, to be given one (open(2), O_TMPFILE)."""
_SHORTER_BYTES = 140
"""A length that file systems take which encrypt their names."""

_HINTS = {
    errno.ENOSPC: "Free some space and try again.",
    errno.EDQUOT: "Free some space and try again.",
    errno.ENOENT: "Name a folder that exists.",
    errno.ENOTDIR: "Name a folder, not a file.",
    errno.EACCES: "Name a folder in which you may write.",
    errno.EPERM: "Name a folder in which you may write.",
    errno.EROFS: "Name a folder in which you may write.",
    errno.EFBIG: "Name a folder on a file system that takes files of this size.",
}


class CannotSave(errors.P2PChatError):
    """The file cannot be saved there."""


class NewFile:
    """A file that is being saved: a context manager. When its block ends without an error the file is whole on the
    disk, `path` is where, and `warning` is what to say before it is opened; otherwise nothing of it is left.

    All of it may wait for a disk, so a node calls it in a worker thread.
    """

    def __init__(self, folder: str, name: str) -> None:
        """folder: an absolute path. name: what its sender calls it."""
        self.path = ""
        self.warning = ""
        self._folder = folder
        self._name = safe_name(name)
        self._draft = ""
        """The hidden name; empty while there is none."""
        self._folder_fd = -1
        self._fd = -1

    def __enter__(self) -> Self:
        """Begin the file. Raises CannotSave."""
        if not os.path.isabs(self._folder) or "\0" in self._folder:
            raise errors.UsageError("The path of a folder to save in must be absolute")
        try:
            self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._fd = self._unnamed()
            if self._fd < 0:
                draft = f".p2pchat-{secrets.token_hex(8)}.part"
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(draft, flags, 0o600, dir_fd=self._folder_fd)
                self._draft = draft
        except OSError as error:
            self._close()
            raise self._failure(error) from error
        return self

    def write(self, data: bytes) -> None:
        """Add bytes to the end. Raises CannotSave."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise self._failure(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or remove what there is of it. Raises CannotSave."""
        try:
            if kind is None:
                self._finish()
        except OSError as failed:
            raise self._failure(failed) from failed
        finally:
            if self._draft:
                with suppress(OSError):
                    os.unlink(self._draft, dir_fd=self._folder_fd)
            self._close()

    def _unnamed(self) -> int:
        """Return a new file without a name in the folder, or -1 if there can be none."""
        if hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES):
            with suppress(OSError):
                return os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=self._folder_fd)
        return -1

    def _finish(self) -> None:
        os.fsync(self._fd)
        size = os.fstat(self._fd).st_size
        head, tail = content.ends(self._fd, size)
        name = self._named()
        self.path = os.path.join(self._folder, name)
        self.warning = content.warning(content.kind_of(head, tail, name), name)
        with suppress(OSError):  # the file is there; that its name outlives a power cut, not every file system can do
            os.fsync(self._folder_fd)

    def _named(self) -> str:
        """Give the file the first name that is free, and return it."""
        max_bytes = MAX_NAME_BYTES
        number = 0
        while number <= MAX_NUMBER:
            name = numbered(self._name, number, max_bytes)
            try:
                self._link(name)
            except FileExistsError:
                number += 1
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG or max_bytes == _SHORTER_BYTES:
                    raise
                max_bytes = _SHORTER_BYTES
            else:
                return name
        raise FileExistsError(errno.EEXIST, "too many files have this name")

    def _link(self, name: str) -> None:
        folder = self._folder_fd
        if not self._draft:
            os.link(f"{_OPEN_FILES}/{self._fd}", name, dst_dir_fd=folder, follow_symlinks=True)
            return
        try:
            os.link(self._draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
        else:
            return
        # FAT has no links: there an empty file takes the name, and is replaced by ours in one step.
        taken = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        os.close(taken)
        try:
            os.rename(self._draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise

    def _close(self) -> None:
        for descriptor in (self._fd, self._folder_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._fd = self._folder_fd = -1

    def _failure(self, error: OSError) -> CannotSave:
        said = f"{self._name} cannot be saved in {self._folder}: {error.strerror}"
        return CannotSave(said, hint=_HINTS.get(error.errno or 0, "Nothing was left behind; try another folder."))
