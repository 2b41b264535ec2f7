"""The sealed files of a profile: what is kept of files that were sent or received, in a folder beside the database.

A sealed file is a row of slots, one for each blob of a file (`core.files.Layout.slot`). A slot holds the data of a
blob, sealed on its own under a key of this sealed file alone; the key is in the database and nowhere else, so a sealed
file whose row was deleted is waste. Slots may be written in any order, and those that were not written take no room.

A slot on disk is a random nonce of 12 bytes and then ChaCha20-Poly1305 (RFC 8439) of the padded data, with the number
of the slot as associated data: 65,548 bytes. A key seals about a million slots at most, each seldom more than once, so
two equal nonces under one key have a probability of less than 2^-55.

Everything here waits for the disk, so it belongs in a worker thread. The order is: `write`, `sync`, and only then
the commit that says that the slots are there.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from p2pchat.core import primitives as prim
from p2pchat.core.files import CHUNK_BYTES
from p2pchat.errors import CannotOpen, FileDamaged
from p2pchat.lib.atomic_file import sync_folder
from p2pchat.locations import private_folder
from p2pchat.store.database import translated

MAX_DATA_BYTES = CHUNK_BYTES
"""Bytes of data that a slot can hold: 65,519."""
_NONCE_BYTES = 12
_PADDED_BYTES = MAX_DATA_BYTES + 1
SLOT_BYTES = _NONCE_BYTES + _PADDED_BYTES + prim.TAG_BYTES
"""Bytes of a slot on disk: 65,548."""
_NAME = re.compile("[0-9a-f]{32}")
_UNWRITTEN = bytes(_NONCE_BYTES)


class FileSpace:
    """The folder of the sealed files of a profile. It is made with the first one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> SealedFile:
        """Make an empty sealed file, with a random name and a random key. Until both are in the database, a crash
        leaves a file for `sweep`. Raises DiskFull or ProfileError.
        """
        private_folder(self.folder)
        name, key = secrets.token_hex(16), secrets.token_bytes(prim.KEY_BYTES)
        with translated():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return SealedFile(self.folder / name, key, os.open(self.folder / name, flags, 0o600), is_new=True)

    def open(self, name: str, key: bytes) -> SealedFile:
        """Open a sealed file by what the database has of it. Raises FileDamaged if it is not there, else
        ProfileError.
        """
        path = self._path(name)
        with translated():
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise FileDamaged from error
            return SealedFile(path, key, descriptor)

    def delete(self, names: Iterable[str]) -> None:
        """Delete sealed files, those that are there. Raises ProfileError."""
        with translated():
            for name in names:
                self._path(name).unlink(missing_ok=True)

    def sweep(self, needed: Collection[str]) -> int:
        """Delete every sealed file that is not needed: a crash has left it over. Return how many there were. Only at
        the start, while nobody creates one. Raises ProfileError.
        """
        left: list[str] = []
        with translated(), suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            left += [entry.name for entry in entries if _NAME.fullmatch(entry.name) and entry.name not in needed]
        self.delete(left)
        return len(left)

    def _path(self, name: str) -> Path:
        if _NAME.fullmatch(name) is None:  # the database is authentic, so only a mistake could lead out of the folder
            raise ValueError("this is not the name of a sealed file")
        return self.folder / name


class OpenFile:
    """A descriptor of a file that several threads use. A closed one would soon be another file's, so closing waits for
    the last use.
    """

    __slots__ = ("_closed", "_descriptor", "_lock", "_users")

    def __init__(self, descriptor: int) -> None:
        """Take over an open descriptor."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._users, self._closed = 0, False

    @contextmanager
    def in_use(self) -> Iterator[int]:
        """Yield the descriptor, which stays open for the block. Raises FileDamaged after `close`."""
        with self._lock:
            if self._closed:
                raise FileDamaged("The file was closed")
            self._users += 1
        try:
            yield self._descriptor
        finally:
            with self._lock:
                self._users -= 1
                last = self._closed and not self._users
            if last:
                os.close(self._descriptor)

    def close(self) -> None:
        """Close it now, or after the last use; closing twice is harmless."""
        with self._lock:
            unused = not self._closed and not self._users
            self._closed = True
        if unused:
            os.close(self._descriptor)


class SealedFile:
    """One sealed file, open. It may be used from several threads at once, also `close` and `delete`: another call that
    is under way ends first, and a later one raises FileDamaged.
    """

    __slots__ = ("_cipher", "_file", "_is_new", "_path", "key")

    def __init__(self, path: Path, key: bytes, descriptor: int, *, is_new: bool = False) -> None:
        self.key = key
        self._path, self._file, self._is_new = path, OpenFile(descriptor), is_new
        self._cipher = prim.ShortNonceCipher(key)

    @property
    def name(self) -> str:
        """The name in the folder."""
        return self._path.name

    @property
    def slots(self) -> int:
        """How many slots the file has by its size, whether anything is in them or not. Raises ProfileError."""
        with self._file.in_use() as descriptor, translated():
            return os.fstat(descriptor).st_size // SLOT_BYTES

    def read(self, slot: int) -> bytes:
        """Return what was written into a slot. Raises FileDamaged if that was nothing, or cannot be read any more: the
        slot then counts as missing, and may be written again.
        """
        with self._file.in_use() as descriptor:
            try:
                sealed = os.pread(descriptor, SLOT_BYTES, slot * SLOT_BYTES)
            except OSError as error:  # a sector that cannot be read; its neighbours can
                raise FileDamaged from error
        if len(sealed) != SLOT_BYTES or sealed.startswith(_UNWRITTEN):
            raise FileDamaged
        try:
            return prim.unpad(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _ad(slot)))
        except CannotOpen as error:
            raise FileDamaged from error

    def write(self, slot: int, data: bytes) -> None:
        """Write at most `MAX_DATA_BYTES` into a slot. It is on the disk after the next `sync`. Raises DiskFull where
        the disk is full or failing, else ProfileError; the slot may be damaged then.
        """
        if len(data) > MAX_DATA_BYTES:
            raise ValueError("this is too long for a slot")
        self.write_padded(slot, prim.pad(data, _PADDED_BYTES))

    def write_padded(self, slot: int, padded: bytes) -> None:
        """The same for data that is padded as a slot has it, and a blob (`BlobCipher.open_padded`)."""
        if len(padded) != _PADDED_BYTES:
            raise ValueError("this is not as long as what a slot has")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = memoryview(nonce + self._cipher.encrypt(nonce, padded, _ad(slot)))
        with self._file.in_use() as descriptor, translated():
            written = 0
            while written < SLOT_BYTES:
                written += os.pwrite(descriptor, sealed[written:], slot * SLOT_BYTES + written)

    def sync(self) -> None:
        """Wait until everything that was written is on the disk. Raises DiskFull where the disk is full or failing;
        then nothing that was written since the last `sync` may be taken for being there.
        """
        with self._file.in_use() as descriptor, translated():
            os.fsync(descriptor)
            if self._is_new:
                for folder in self._path.parents[:2]:  # that of the profile too: the folder of files may be new
                    sync_folder(folder)
                self._is_new = False

    def sound(self, slots: Iterable[int]) -> list[int]:
        """Return those of these slots that can be read. After a crash, there are some of which the database does not
        know; looking at one that was never written takes a microsecond.
        """
        return [slot for slot in slots if self._is_written(slot) and self._is_sound(slot)]

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self._file.close()

    def delete(self) -> None:
        """Close and delete it. Raises ProfileError."""
        self.close()
        with translated():
            self._path.unlink(missing_ok=True)

    def _is_written(self, slot: int) -> bool:
        with self._file.in_use() as descriptor, suppress(OSError):
            return os.pread(descriptor, _NONCE_BYTES, slot * SLOT_BYTES) not in (b"", _UNWRITTEN)
        return False

    def _is_sound(self, slot: int) -> bool:
        with suppress(FileDamaged):
            self.read(slot)
            return True
        return False


def _ad(slot: int) -> bytes:
    return slot.to_bytes(8, "big")
