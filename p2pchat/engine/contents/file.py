"""Applies the content file: a message with a file, which is fetched apart from it."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.content import Content
from p2pchat.core.contents import File
from p2pchat.core.delivery import Route
from p2pchat.core.file_boxes import NOWHERE
from p2pchat.engine.contents import visible
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import files as store_files
from p2pchat.store.contacts import Contact
from p2pchat.store.files import FileRow, FileState


def apply(tx: Transaction, contact: Contact, content: Content, payload: File, route: Route) -> None:
    """Save the message with its file, as offered, and tell the faces. Whether it is fetched is decided after this."""
    row = visible.save(tx, contact, content, route)
    if row is None:
        return
    boxes = None if contact.group is None else payload.boxes or NOWHERE
    file = FileRow.of_message(row, replace(payload, boxes=boxes), FileState.OFFERED)
    store_files.add(tx.db, file)
    tx.files_changed[row.pk] = None
    visible.show(tx, contact, row, file)
