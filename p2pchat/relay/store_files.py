"""The files of the relay's stores: which belong to one, and deleting them.

It needs only the standard library, so that a node which is no relay can delete what it stored for others.
"""

from __future__ import annotations

from pathlib import Path

_ENDS = ("", "-wal", "-shm", "-journal", "-in-use")
"""The database, what SQLite has beside it, and the mark of a store that was not closed."""


def boxes_beside(store: Path) -> Path:
    """Return the path of the file boxes of a relay whose messages are at `store`, where it has no folder of its own."""
    return store.with_suffix(".files")


def logs_beside(store: Path) -> Path:
    """Return the path of its logs."""
    return store.with_suffix(".logs")


def slots(boxes: Path) -> Path:
    """Return the path of the file in which the blobs of these file boxes lie."""
    return boxes.with_suffix(".blobs")


def remove(database: Path) -> None:
    """Delete a store, which is closed, and all that lies beside its database. Raises OSError."""
    for end in _ENDS:
        database.with_name(database.name + end).unlink(missing_ok=True)


def remove_boxes(database: Path) -> None:
    """Delete a store of file boxes, which is closed. Raises OSError."""
    remove(database)
    slots(database).unlink(missing_ok=True)


def remove_all(store: Path) -> None:
    """Delete everything that a relay without a folder of its own has stored. Raises OSError."""
    remove(store)
    remove_boxes(boxes_beside(store))
    remove(logs_beside(store))
