"""Sends a file: it is read once, cut and named, and then its message is saved with all that is needed to give it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from p2pchat.core.contents import File
from p2pchat.core.contents.file import MAX_CAPTION_BYTES, MAX_MEDIA_BYTES, MAX_NAME_BYTES, FileForm
from p2pchat.core.file_boxes import SharedBoxes
from p2pchat.core.ids import MessageId
from p2pchat.core.primitives import KEY_BYTES, sign_public
from p2pchat.engine.delivery import outbound
from p2pchat.engine.files import shared
from p2pchat.engine.runtime import naming
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.worker import check_cancelled
from p2pchat.errors import UsageError
from p2pchat.store import messages as store_messages
from p2pchat.store.database import Value
from p2pchat.store.file_blobs import PathSource, Source, cut
from p2pchat.store.file_space import FileSpace, SealedFile
from p2pchat.store.messages import MessageRow


@dataclass(frozen=True, slots=True, repr=False)
class OutgoingFile:
    """What is known of a file before it is cut. source: what is read; it is kept in the profile too unless that is a
    path, at which it is read again. name, media, form, width, height, duration, preview: see `core.contents.File`.
    """

    source: Source
    name: str
    media: str = ""
    form: FileForm = FileForm.FILE
    width: int = 0
    height: int = 0
    duration: int = 0
    preview: bytes = b""
    path: Path | None = None


@dataclass(frozen=True, slots=True, repr=False)
class CutFile:
    """A file that was cut: its payload, and the fields of its row that say where its bytes are. sealed: what was made
    beside the database, to be deleted if the message is not saved.
    """

    payload: File
    row: dict[str, Value]
    sealed: SealedFile | None


def prepare(space: FileSpace, outgoing: OutgoingFile, caption: str, key: bytes) -> CutFile:
    """Read a file and cut it under a new 32-byte key, in a worker thread. Raises SourceUnreadable or ProfileError, and
    ends soon, with nothing kept, when its task is cancelled.
    """
    source = outgoing.source
    made = cut(space, source, key, keep=outgoing.path is None, step=lambda chunks: check_cancelled())
    payload = File(
        outgoing.form,
        _within(outgoing.name, MAX_NAME_BYTES) or "file",
        _within(outgoing.media, MAX_MEDIA_BYTES),
        source.size,
        key,
        made.root,
        outgoing.width,
        outgoing.height,
        outgoing.duration,
        outgoing.preview,
        caption,
    )
    row: dict[str, Value] = {}
    if made.sealed is not None:
        row |= {"space": made.sealed.name, "space_key": made.sealed.key}
    if outgoing.path is not None and isinstance(source, PathSource):
        size, mtime, inode = source.stamp
        path = os.fsencode(outgoing.path)
        row |= {"source": path, "source_size": size, "source_mtime": mtime, "source_inode": inode}
    return CutFile(payload, row, made.sealed)


def save(tx: Transaction, chat: str, made: CutFile, reply_to: str | None, message_id: MessageId) -> MessageRow:
    """Save the message of a file that was cut, and queue it. Raises NotNow or NoSuchMessage."""
    contact, payload, row = tx.partner(chat), made.payload, made.row
    if contact.group is not None:
        seed = tx.random(KEY_BYTES)
        boxes = SharedBoxes(sign_public(seed), shared.relays_for(tx, contact.group))
        payload = replace(payload, boxes=boxes, mentions=naming.named_in(tx.db, contact, payload.caption))
        row = {**row, "put_seed": seed}
    answered = None if reply_to is None else store_messages.find_in(tx.db, contact.chat, reply_to)
    return outbound.send(tx, contact, payload, message_id, answered, file=row)


def check_caption(caption: str) -> None:
    """Raise UsageError for a caption that cannot be sent."""
    try:
        size = len(caption.encode())
    except UnicodeEncodeError:
        raise UsageError("This caption is not valid Unicode") from None
    if size > MAX_CAPTION_BYTES:
        raise UsageError(f"A caption can have {MAX_CAPTION_BYTES:,} bytes at most")


def _within(text: str, size: int) -> str:
    """Return a text that has at most so many bytes in UTF-8, cut at its beginning, so that the end of a name stays.
    What is not Unicode, in a name from another time, becomes a question mark.
    """
    return text.encode(errors="replace")[-size:].decode(errors="ignore")
