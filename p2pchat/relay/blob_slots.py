"""A file of slots of one size, for blobs that all have this size: written once, at random places, overwritten when they
are deleted (docs/decisions/0080-blobs-in-slots.md).

It knows nothing of whose blobs they are. Which slots hold one, and which may still have bytes of one that was deleted,
is in the database of `box_store`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

from p2pchat.core.files import BLOB_BYTES
from p2pchat.lib.atomic_file import sync_folder
from p2pchat.relay.disk import translated

GROWTH_SLOTS = 256
"""Slots by which the file grows: as many places, at least, may a blob have been put at."""
_ZEROS = bytes(BLOB_BYTES)
_SYSTEM = random.SystemRandom()


class BlobSlots:
    """The open file. Each method may raise DiskFull or ProfileError; what it was to change is then undefined, and what
    else is in the file unchanged.

    `empty` are slots that are known to hold zeros.
    """

    def __init__(self, path: Path) -> None:
        with translated():
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            self.slots = os.fstat(self._file).st_size // BLOB_BYTES
            if not self.slots:  # it may be new, and what is committed to it is found by its name
                sync_folder(path.parent)
        self._empty: list[int] = []

    def begin(self, used: Iterable[int]) -> None:
        """Note which slots hold something; the others hold zeros. A slot beyond the end reads as nothing."""
        self._empty = sorted(set(range(self.slots)).difference(used))

    @property
    def empty(self) -> int:
        """How many slots hold zeros."""
        return len(self._empty)

    def grow(self) -> None:
        """Add empty slots, for which the disk has space then."""
        with translated():
            os.posix_fallocate(self._file, self.slots * BLOB_BYTES, GROWTH_SLOTS * BLOB_BYTES)
        self._empty += range(self.slots, self.slots + GROWTH_SLOTS)
        self.slots += GROWTH_SLOTS

    def take(self, count: int) -> list[int]:
        """Return at most so many empty slots, anywhere in the file: its order says nothing about when they are used."""
        taken = []
        for _ in range(min(count, len(self._empty))):
            at = _SYSTEM.randrange(len(self._empty))
            self._empty[at], self._empty[-1] = self._empty[-1], self._empty[at]
            taken.append(self._empty.pop())
        return taken

    def write(self, slot: int, blob: bytes) -> None:
        """Write a blob of 65,536 bytes; it is on the disk after `sync`."""
        with translated():
            _write(self._file, blob, slot * BLOB_BYTES)

    def sync(self) -> None:
        """Have what was written on the disk."""
        with translated():
            os.fdatasync(self._file)

    def read(self, slot: int) -> bytes:
        """Return what a slot holds; less than 65,536 bytes where the file ends before."""
        with translated():
            return os.pread(self._file, BLOB_BYTES, slot * BLOB_BYTES)

    def overwrite(self, slots: Iterable[int]) -> None:
        """Write zeros over these slots, and have them on the disk."""
        with translated():
            for slot in slots:
                if slot < self.slots:
                    _write(self._file, _ZEROS, slot * BLOB_BYTES)
            os.fdatasync(self._file)

    def overwritten(self, slots: Iterable[int]) -> None:
        """Note that these are empty again, and that nothing else says so any more."""
        self._empty += (slot for slot in slots if slot < self.slots)

    def clear(self) -> None:
        """Give the space back to the disk; no slot may hold anything."""
        with translated():
            os.ftruncate(self._file, 0)
        self.slots = 0
        self._empty.clear()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _write(file: int, data: bytes, offset: int) -> None:
    written = os.pwrite(file, data, offset)
    while written < len(data):
        written += os.pwrite(file, data[written:], offset + written)
