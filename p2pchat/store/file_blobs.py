"""The blobs of our own files: a file is cut once, and its blobs are made again whenever somebody asks for them.

`cut` reads a source once, in constant memory, and keeps the lists of names in a sealed file: of 4 GB these are 2 MB.
The chunks are kept only where the source will not stay, as for a voice note. `BlobMaker` reads the source again. A blob
that is not the one that was noted is never given out: the file has changed, and under one nonce there would be two
plaintexts (docs/protocol/files.md). Its tag shows that as well as its name does, without a hash of it all, so `cut`
also keeps the tags of the chunks, in the slots that chunks would have.

Everything here waits for the disk, so it belongs in a worker thread.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from p2pchat.core import primitives as prim
from p2pchat.core.files import (
    CHUNK_BYTES,
    MAX_FILE_BYTES,
    NAME_BYTES,
    NAMES_IN_LIST,
    BlobCipher,
    BlobPlace,
    Layout,
    blob_name,
)
from p2pchat.core.ids import BlobName
from p2pchat.errors import FileDamaged, ProfileError, SourceChanged, SourceUnreadable
from p2pchat.store.file_space import FileSpace, OpenFile, SealedFile

STEP_CHUNKS = 64
"""After so many chunks, 4 MiB, `cut` says how far it is."""


class Source(Protocol):
    """What a file is read from, in chunks. It may be used from several threads."""

    size: int
    """Bytes of the file."""

    def chunk(self, number: int) -> bytes:
        """Return a chunk, counted from 0. Raises SourceChanged if the file has become shorter, else SourceUnreadable or
        FileDamaged.
        """
        ...

    def check(self) -> None:
        """Raise SourceChanged if the file was changed since it was opened, as far as one can tell without reading."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Stamp(NamedTuple):
    """What tells without reading that a file is another one now: its size in bytes, its mtime in ns, its inode."""

    size: int
    mtime: int
    inode: int


class PathSource:
    """A file of the user's, read where it is."""

    def __init__(self, path: str | bytes | os.PathLike[str], size: int | None = None) -> None:
        """Open it. size: how many bytes of it were sent; None for a new one, all that it has. Raises SourceUnreadable
        if it cannot be read, is no file, or is larger than a file may be.
        """
        try:
            # opening a pipe that nobody writes to would wait for ever; it is refused below
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise SourceUnreadable("Only files can be sent, and this is none")
        if size is None and status.st_size > MAX_FILE_BYTES:
            os.close(descriptor)
            raise SourceUnreadable("A file can have at most 64 GiB", hint="Send it in parts.")
        self._file = OpenFile(descriptor)
        self.stamp = _stamp(status)
        self.size = status.st_size if size is None else size

    def chunk(self, number: int) -> bytes:
        """Return a chunk. Raises SourceChanged or SourceUnreadable."""
        begin = number * CHUNK_BYTES
        size = min(CHUNK_BYTES, self.size - begin)
        with self._file.in_use() as descriptor:
            try:
                data = os.pread(descriptor, size, begin)
                while len(data) < size and (more := os.pread(descriptor, size - len(data), begin + len(data))):
                    data += more
            except OSError as error:
                raise _unreadable(error) from error
        if len(data) != size:
            raise SourceChanged
        return data

    def check(self) -> None:
        """Raise SourceChanged if it was written to since it was opened."""
        with self._file.in_use() as descriptor:
            now = _stamp(os.fstat(descriptor))
        if now != self.stamp:
            raise SourceChanged("The file is being changed", hint="Send it when that has ended.")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BytesSource:
    """A file that is in memory, such as a small picture."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def chunk(self, number: int) -> bytes:
        """Return a chunk."""
        return self._data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]

    def check(self) -> None:
        """Do nothing: it cannot change."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class SealedSource:
    """A whole file in a sealed file: one that was kept when it was cut, or received, and may be sent to others."""

    def __init__(self, sealed: SealedFile, size: int) -> None:
        """Take over an open sealed file, with a file of `size` bytes."""
        self._sealed, self.size = sealed, size
        self._layout = Layout.of(size)

    def chunk(self, number: int) -> bytes:
        """Return a chunk. Raises FileDamaged."""
        data = self._sealed.read(self._layout.slot(BlobPlace(0, number)))
        if len(data) != self._layout.data_bytes(BlobPlace(0, number)):
            raise FileDamaged
        return data

    def check(self) -> None:
        """Do nothing: what is sealed cannot change unnoticed."""

    def close(self) -> None:
        """Close the sealed file."""
        self._sealed.close()


@dataclass(frozen=True, slots=True)
class Cut:
    """What `cut` has made of a file. root: the name of its root. sealed: what is kept of it, synced; None where that is
    nothing, because the file has one chunk and is read where it is.
    """

    root: BlobName
    sealed: SealedFile | None


def cut(
    space: FileSpace, source: Source, key: bytes, *, keep: bool, step: Callable[[int], None] = lambda chunks: None
) -> Cut:
    """Cut a file into blobs under a new 32-byte key, reading it once.

    keep: whether its chunks are kept too, because the source will not stay. step: is called after every `STEP_CHUNKS`
    with the number of chunks that are done, and may raise to end this. Raises what `Source.chunk` raises, SourceChanged
    if the file was written to meanwhile, DiskFull and ProfileError; nothing is kept then.
    """
    layout = Layout.of(source.size)
    sealed = space.create() if keep or len(layout.counts) > 1 else None
    try:
        root = _cut(source, BlobCipher(key, source.size), sealed, keep, step)
        source.check()
        if sealed is not None:
            sealed.sync()
    except BaseException:
        if sealed is not None:
            with suppress(ProfileError):
                sealed.delete()
        raise
    return Cut(root, sealed)


def _cut(
    source: Source, cipher: BlobCipher, sealed: SealedFile | None, keep: bool, step: Callable[[int], None]
) -> BlobName:
    layout = cipher.layout
    name, tags = BlobName(b""), bytearray()
    for level, count in enumerate(layout.counts):
        names = bytearray()
        for number in range(count):
            place = BlobPlace(level, number)
            data = source.chunk(number) if level == 0 else _kept(sealed, layout.slot(place))
            blob = cipher.seal(place, data)
            name = blob_name(blob)
            names += name
            if sealed is not None and keep and level == 0:
                sealed.write(layout.slot(place), data)
            elif sealed is not None and level == 0:
                tags += blob[-prim.TAG_BYTES :]
                if len(tags) == _tags_in_slot() * prim.TAG_BYTES or number == count - 1:
                    sealed.write(layout.slot_of_first_chunk + number // _tags_in_slot(), bytes(tags))
                    tags.clear()
            is_full = len(names) == NAMES_IN_LIST * NAME_BYTES or number == count - 1
            if sealed is not None and is_full and place != layout.root:
                sealed.write(layout.slot(layout.named_by(place)[0]), bytes(names))
                names.clear()
            if level == 0 and (number + 1) % STEP_CHUNKS == 0:
                step(number + 1)
    return name


class BlobMaker:
    """Makes blobs of one of our files again, as they were when it was cut. It may be used from several threads."""

    def __init__(self, source: Source, sealed: SealedFile | None, key: bytes, root: bytes) -> None:
        """Take over the open source and what `cut` has kept."""
        self._source, self._sealed, self._root = source, sealed, root
        self._cipher = BlobCipher(key, source.size)
        self._list: tuple[int, bytes] | None = None  # the last list that was read, by its slot
        self._tags: tuple[int, bytes | None] | None = None  # the same of tags; None where none were kept

    def blobs(self, first: BlobPlace, count: int) -> list[bytes]:
        """Return at most `count` blobs from a place on, in order, as many as its level has. Raises SourceChanged if one
        would not be what it was, SourceUnreadable, FileDamaged, or ProfileError.
        """
        layout = self._cipher.layout
        places = (BlobPlace(first.level, first.number + offset) for offset in range(count))
        return [self._blob(place) for place in places if layout.has(place)]

    def names(self, first: BlobPlace, count: int) -> list[BlobName]:
        """Return the names of the blobs that `blobs` would return, without reading the file. Raises FileDamaged."""
        layout = self._cipher.layout
        places = (BlobPlace(first.level, first.number + offset) for offset in range(count))
        return [self._name(place) for place in places if layout.has(place)]

    def close(self) -> None:
        """Close the source and what was kept."""
        self._source.close()
        if self._sealed is not None:
            self._sealed.close()

    def _blob(self, place: BlobPlace) -> bytes:
        slot = self._cipher.layout.slot(place)
        data = self._source.chunk(place.number) if place.level == 0 else _kept(self._sealed, slot)
        try:
            blob = self._cipher.seal(place, data)
        except ValueError:
            raise FileDamaged from None
        tag = self._tag(place)
        same = prim.equal(blob_name(blob), self._name(place)) if tag is None else prim.equal(blob[-len(tag) :], tag)
        if not same:
            raise SourceChanged
        return blob

    def _tag(self, place: BlobPlace) -> bytes | None:
        """Return the tag that a chunk of a file at a path had; None where none was kept: it was cut before they were.

        Two plaintexts have one tag only by chance, or by somebody who knows the file's key.
        """
        if place.level or self._sealed is None or not isinstance(self._source, PathSource):
            return None
        layout, in_slot = self._cipher.layout, _tags_in_slot()
        index, position = divmod(place.number, in_slot)
        known = self._tags
        if known is None or known[0] != index:
            tags: bytes | None = None
            with suppress(FileDamaged):
                tags = self._sealed.read(layout.slot_of_first_chunk + index)
            if tags is not None and len(tags) != prim.TAG_BYTES * min(in_slot, layout.chunks - index * in_slot):
                tags = None
            known = self._tags = index, tags
        return None if known[1] is None else known[1][position * prim.TAG_BYTES : (position + 1) * prim.TAG_BYTES]

    def _name(self, place: BlobPlace) -> BlobName:
        layout = self._cipher.layout
        if place == layout.root:
            return BlobName(self._root)
        list_place, position = layout.named_by(place)
        slot, known = layout.slot(list_place), self._list
        if known is None or known[0] != slot:
            known = self._list = slot, _kept(self._sealed, slot)
        return BlobName(known[1][position * NAME_BYTES : (position + 1) * NAME_BYTES])


def _tags_in_slot() -> int:
    return CHUNK_BYTES // prim.TAG_BYTES


def _kept(sealed: SealedFile | None, slot: int) -> bytes:
    if sealed is None:
        raise FileDamaged
    return sealed.read(slot)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def _unreadable(error: OSError | ValueError) -> SourceUnreadable:
    """Return our error for one of the file system. The path is not in it: whoever shows it knows it."""
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENOTDIR:
            return SourceUnreadable("The file is not there", hint="It may have been moved, renamed or deleted.")
        case errno.EACCES | errno.EPERM:
            return SourceUnreadable("The file cannot be read: you may not", hint="Look at its permissions.")
        case errno.EIO:
            return SourceUnreadable("The file cannot be read: its disk is failing")
        case _:
            return SourceUnreadable()
