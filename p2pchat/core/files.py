"""Files as blobs: how a file is cut, sealed and named (docs/protocol/files.md).

Level 0 has the chunks of the file; each higher level has the names of the blobs below it; the last one is one blob,
the root. Both sides compute from the size alone what each level has (`Layout`). A blob is 65,536 bytes, and its name
commits to them, so it may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.ids import BlobName, FileId
from p2pchat.errors import CannotOpen

BLOB_BYTES = 65_536
CHUNK_BYTES = BLOB_BYTES - prim.TAG_BYTES - 1
"""Bytes of the file in one chunk: 65,519. One byte at least is padding."""
NAME_BYTES = 32
NAMES_IN_LIST = CHUNK_BYTES // NAME_BYTES
"""Names in one list: 2,047."""
MAX_FILE_BYTES = 1 << 36
FILE_ID_BYTES = 16
RELAY_NAME_BYTES = 16
"""A relay knows a blob by so many bytes of its name."""


class BlobPlace(NamedTuple):
    """Where a blob is in its file. level: 0 for a chunk. number: from 0, within its level."""

    level: int
    number: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file of `size` bytes is cut into.

    counts: the number of blobs of each level, chunks first; the last is 1.
    """

    size: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, size: int) -> Layout:
        """Return the layout of a file of `size` bytes, from 0 to `MAX_FILE_BYTES`. Raises ValueError for another."""
        if not 0 <= size <= MAX_FILE_BYTES:
            raise ValueError("a file of this size cannot be sent")
        counts = [max(1, -(-size // CHUNK_BYTES))]
        while counts[-1] > 1:
            counts.append(-(-counts[-1] // NAMES_IN_LIST))
        return cls(size, tuple(counts))

    @property
    def chunks(self) -> int:
        """How many chunks the file has."""
        return self.counts[0]

    @property
    def blobs(self) -> int:
        """How many blobs there are, on all levels."""
        return sum(self.counts)

    @property
    def root(self) -> BlobPlace:
        """Where the root is."""
        return BlobPlace(len(self.counts) - 1, 0)

    @property
    def slot_of_first_chunk(self) -> int:
        """How many lists there are: in `slot` they come first."""
        return sum(self.counts[1:])

    def slot(self, place: BlobPlace) -> int:
        """Return the number of a blob among all of the file: the root's is 0, lists come before what they name."""
        return sum(self.counts[place.level + 1 :]) + place.number

    def place(self, slot: int) -> BlobPlace:
        """Return the place of the blob with this number. Raises ValueError where there is none."""
        for level in range(len(self.counts) - 1, -1, -1):
            if 0 <= slot < self.counts[level]:
                return BlobPlace(level, slot)
            slot -= self.counts[level]
        raise ValueError("the file has no such blob")

    def has(self, place: BlobPlace) -> bool:
        """Return whether there is a blob at this place."""
        return 0 <= place.level < len(self.counts) and 0 <= place.number < self.counts[place.level]

    def data_bytes(self, place: BlobPlace) -> int:
        """Return how many bytes of data the blob at this place must have."""
        level, number = place
        if level == 0:
            return min(CHUNK_BYTES, self.size - number * CHUNK_BYTES)
        return NAME_BYTES * min(NAMES_IN_LIST, self.counts[level - 1] - number * NAMES_IN_LIST)

    def named_by(self, place: BlobPlace) -> tuple[BlobPlace, int]:
        """Return the list that has the name of this blob, and at which position. Not for the root."""
        return BlobPlace(place.level + 1, place.number // NAMES_IN_LIST), place.number % NAMES_IN_LIST

    def lists(self) -> Iterator[BlobPlace]:
        """Return the places of all lists, root first: each is named by one before it."""
        for level in range(len(self.counts) - 1, 0, -1):
            for index in range(self.counts[level]):
                yield BlobPlace(level, index)


class BlobCipher:
    """Seals and opens the blobs of one file. key: 32 bytes, of this file alone. size: bytes of the file.

    It may be used from several threads at once.
    """

    __slots__ = ("_ad", "_aead", "layout")

    def __init__(self, key: bytes, size: int) -> None:
        self.layout = Layout.of(size)
        self._aead = prim.ShortNonceCipher(prim.hkdf(key, "file blob", prim.KEY_BYTES))
        self._ad = size.to_bytes(8, "big")

    def seal(self, place: BlobPlace, data: bytes) -> bytes:
        """Return the blob at a place, 65,536 bytes, from its data. Raises ValueError if the data has not the length
        that it must have there. The caller compares its name before it releases a blob that was sealed before.
        """
        if not self.layout.has(place) or len(data) != self.layout.data_bytes(place):
            raise ValueError("this is not what belongs at this place of the file")
        return self._aead.encrypt(_nonce(place), prim.pad(data, CHUNK_BYTES + 1), self._ad)

    def open(self, place: BlobPlace, name: bytes, blob: bytes) -> bytes:
        """Return the data of a blob, which must have this name and the length of its place. Raises CannotOpen."""
        return self.open_padded(place, name, blob)[: self.layout.data_bytes(place)]

    def open_padded(self, place: BlobPlace, name: bytes, blob: bytes) -> bytes:
        """Return the same with its padding, `CHUNK_BYTES` + 1 bytes, as `primitives.pad` makes them. Raises
        CannotOpen.
        """
        if len(blob) != BLOB_BYTES or not self.layout.has(place) or not prim.equal(blob_name(blob), name):
            raise CannotOpen
        padded = self._aead.decrypt(_nonce(place), blob, self._ad)
        if not prim.is_padded(padded, self.layout.data_bytes(place)):
            raise CannotOpen
        return padded


def blob_name(blob: bytes) -> BlobName:
    """Return the 32-byte name of a blob; its first 16 bytes are the name that relays use."""
    return BlobName(prim.blake2b(blob, b"p2pchat1 env"))


def file_id(key: bytes, root: bytes) -> FileId:
    """Return the 16 bytes that name a file between its two ends, and commit to its key and all its bytes."""
    return FileId(prim.blake2b(key + root, b"p2pchat1 file")[:FILE_ID_BYTES])


def names_in(data: bytes) -> list[BlobName]:
    """Return the names in the data of a list."""
    marks = range(0, len(data) + 1, NAME_BYTES)
    return [BlobName(data[start:end]) for start, end in pairwise(marks)]


def list_data(names: Sequence[BlobName]) -> list[bytes]:
    """Return the data of the lists that name all blobs of a level, in order."""
    return [b"".join(names[start : start + NAMES_IN_LIST]) for start in range(0, len(names), NAMES_IN_LIST)]


def _nonce(place: BlobPlace) -> bytes:
    return bytes([place.level, 0, 0, 0]) + place.number.to_bytes(8, "big")
