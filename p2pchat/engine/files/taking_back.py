"""Takes back from relays what was left there of a file whose message was deleted, and whose row is gone with it.

The names of its first blobs are noted in the transaction that deletes it, and stay until relays have been told to
forget them, or have forgotten them by themselves. They say nothing of the file, and its key is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from p2pchat.core import codec
from p2pchat.core.files import NAME_BYTES, names_in
from p2pchat.core.ids import BlobName, ContactId, direct_contact
from p2pchat.engine.files import shared
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import meta
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BlobMaker, BytesSource
from p2pchat.store.file_space import FileSpace
from p2pchat.store.files import FileRow

MAX_NAMES, MAX_FILES = 1024, 64
"""Names of one file, 64 MiB of it, and files; beyond that relays forget by themselves within a week."""
AT_RELAYS_MS = 7 * DAY_MS
"""For how long a file is left at relays after it was sent, and for how long they keep each blob; for as long after its
message was deleted they are told to forget it.
"""
_KEY = "files to take back"
_MAX_BYTES = MAX_FILES * (MAX_NAMES * NAME_BYTES + 64 + shared.MAX_TAKEN_BYTES)
_OF_CONTACT = (codec.binary(8), codec.uint(codec.U64), codec.binary_upto(MAX_NAMES * NAME_BYTES))
_OF_GROUP = (*_OF_CONTACT, codec.binary_upto(shared.MAX_TAKEN_BYTES, 1))


@dataclass(frozen=True, slots=True, repr=False)
class TakenBack:
    """A file that its contact's relays are to forget until a time (ms), by the names of its blobs. boxes: of one in a
    group, in place of the contact's, as `shared.encode_boxes` makes them.
    """

    contact: ContactId
    until: int
    names: bytes
    boxes: bytes = b""

    def all_names(self) -> list[BlobName]:
        """Return the names one by one."""
        return names_in(self.names)


class NoSource(BytesSource):
    """The source of a file of which only names are asked. size: its bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(b"")
        self.size = size


def note(tx: Transaction, rows: Iterable[FileRow]) -> None:
    """Note that relays are to forget those files of ours, whose rows are about to be deleted."""
    lying = [row for row in rows if row.mine and row.ended_at is None][-MAX_FILES:]
    space = FileSpace(tx.db.path.parent / "files")
    taken = [
        TakenBack(
            direct_contact(row.chat),
            tx.now + AT_RELAYS_MS,
            names,
            shared.encode_boxes(tx.db, row) if row.shared else b"",
        )
        for row in lying
        if (names := _names(space, row))
    ]
    if taken:
        _put(tx, [*waiting(tx.db), *taken][-MAX_FILES:])
    for row in lying:
        tx.files_changed[row.message] = None


def _names(space: FileSpace, row: FileRow) -> bytes:
    """Return the names of a file's first blobs; nothing where they cannot be read: it ends at relays by itself."""
    try:
        sealed = None if row.space is None or row.space_key is None else space.open(row.space, row.space_key)
        with closing(BlobMaker(NoSource(row.size), sealed, row.key, row.root)) as maker:
            slots = range(min(row.layout.blobs, MAX_NAMES))
            return b"".join(name for slot in slots for name in maker.names(row.layout.place(slot), 1))
    except P2PChatError:
        return b""


def waiting(db: Database) -> list[TakenBack]:
    """Return what relays are still to forget, oldest first."""
    kept = meta.get(db, _KEY)
    if kept is None:
        return []
    return list(_SHAPE(codec.decode(kept, _MAX_BYTES)))


def _read(value: Any) -> TakenBack:
    shape = _OF_GROUP if isinstance(value, list) and len(value) == len(_OF_GROUP) else _OF_CONTACT
    contact, until, names, *boxes = codec.array(*shape)(value)
    return TakenBack(ContactId(contact), until, names, *boxes)


_SHAPE = codec.listing(_read, MAX_FILES)


def done(tx: Transaction, taken: TakenBack) -> None:
    """Note that all relays have been told, or need not be."""
    _put(tx, [one for one in waiting(tx.db) if one != taken])


def _value(one: TakenBack) -> list[Any]:
    return [one.contact, one.until, one.names, *([one.boxes] if one.boxes else [])]


def _put(tx: Transaction, taken: list[TakenBack]) -> None:
    if taken:
        meta.put(tx.db, _KEY, codec.encode([_value(one) for one in taken]))
    else:
        meta.remove(tx.db, _KEY)
