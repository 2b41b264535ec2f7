"""Made-up files for the tests of streams: every blob is known by its file and place."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import trio

from p2pchat.core.files import BLOB_BYTES, BlobPlace
from p2pchat.core.ids import ContactId, FileId
from p2pchat.ports import BlobRange, Blobs, NoBlob

FILE = FileId(b"a file of theirs")


def blob(number: int, file: bytes = FILE, level: int = 0) -> bytes:
    """The blob at a place: the same for the same place."""
    return hashlib.shake_128(file + bytes([level]) + number.to_bytes(8, "big")).digest(BLOB_BYTES)


def blobs(first: int, count: int, file: FileId = FILE, level: int = 0) -> BlobRange:
    """A request for blobs."""
    return BlobRange(file, BlobPlace(level, first), count)


class Shelf:
    """`ports.FileCallbacks` with one file of so many chunks. before: awaited before every answer."""

    def __init__(self, chunks: int, missing: NoBlob = NoBlob.NOT_NOW) -> None:
        self.chunks = chunks
        self.missing = missing
        self.asked: list[tuple[ContactId, BlobRange]] = []
        self.before: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint

    async def blobs(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        self.asked.append((contact, wanted))
        await self.before()
        if wanted.file != FILE:
            return Blobs((), NoBlob.UNKNOWN)
        first = wanted.first.number
        there = range(first, min(self.chunks, first + wanted.count))
        given = [blob(number, level=wanted.first.level) for number in there]
        return Blobs(given, self.missing if len(given) < wanted.count else None)
