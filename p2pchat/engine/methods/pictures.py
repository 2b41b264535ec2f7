"""Pictures that are sent as such, and pictures for the screen. Both are decoded in another process, see `media`."""

from __future__ import annotations

import base64
import math
import mimetypes
from functools import partial
from pathlib import Path

from p2pchat.core.contents.file import FileForm
from p2pchat.core.ids import direct_contact
from p2pchat.engine.engine import Engine
from p2pchat.engine.files import shared
from p2pchat.engine.files.sending import OutgoingFile
from p2pchat.engine.runtime import settings
from p2pchat.engine.runtime.settings import Pictures
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import MediaMissing, NoPicture, PicturesOff, UsageError
from p2pchat.media.picture_format import MAX_RENDERED_SIDE
from p2pchat.media.pictures import read_picture
from p2pchat.store import contacts as store_contacts
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BytesSource, PathSource
from p2pchat.store.files import FileRow

MAX_SHOWN_PIXELS = 2_000_000
"""Pixels of one answer: as a line of JSON they have 8 MB."""
_AS_IS = "With --as-is it is sent as it is, with everything that it says about place, time and camera."
_SUFFIXES = {"image/jpeg": (".jpg", ".jpeg"), "image/png": (".png",)}


async def outgoing(engine: Engine, path: Path, *, as_is: bool) -> OutgoingFile | None:
    """Return what is sent of a picture: one that was encoded again or, if it is sent as it is, the file itself with a
    preview. None if it is to be sent like any other file: it is no picture, or one that is sent as it is and cannot be
    decoded. Raises NoPicture or MediaMissing where only its metadata could not be taken out.
    """
    try:
        picture = await engine.committer.beside(partial(read_picture, path))
        if picture is None:
            return None
        prepared = await engine.pictures.prepare(picture, as_is=as_is)
    except OSError:
        return None  # whoever reads it as a file says why that fails
    except (NoPicture, MediaMissing) as error:
        if as_is:
            return None
        raise type(error)(error.message, hint=f"{error.advice} {_AS_IS}".strip()) from error
    size = prepared.width, prepared.height
    if prepared.data is None:
        source = await engine.committer.beside(partial(PathSource, path))
        media = mimetypes.guess_type(path.name)[0] or ""
        return OutgoingFile(source, path.name, media, FileForm.PICTURE, *size, preview=prepared.preview, path=path)
    suffixes = _SUFFIXES[prepared.media]
    name = path.name if path.suffix.lower() in suffixes else f"{path.stem}{suffixes[0]}"
    return OutgoingFile(
        BytesSource(prepared.data), name, prepared.media, FileForm.PICTURE, *size, preview=prepared.preview
    )


def check_shown(db: Database, row: FileRow) -> None:
    """Raise PicturesOff where this picture is not to be decoded."""
    whose = settings.pictures(db)
    if whose == Pictures.OFF:
        raise PicturesOff("Pictures are not shown", hint="Change it with `p2pchat settings pictures verified`.")
    if row.mine:
        return
    contact = shared.contact_of(db, row) if row.shared else store_contacts.get(db, direct_contact(row.chat))
    if whose == Pictures.VERIFIED and (contact is None or not contact.verified):
        raise PicturesOff
    if contact is None and row.shared:
        raise PicturesOff(
            "Pictures of members who are no contacts are not shown", hint="Save it, and open it yourself."
        )


async def render(engine: Engine, row: FileRow, data: bytes, columns: int, rows: int) -> Json:
    """Return a picture's pixels, scaled to fit, in a greater box as many as one answer has. Raises NoPicture,
    MediaMissing, Busy or UsageError.
    """
    if columns < 1 or rows < 1:
        raise UsageError("A picture is shown with at least one pixel in each direction")
    columns, rows = min(columns, MAX_RENDERED_SIDE), min(rows, MAX_RENDERED_SIDE)
    scale = min(1.0, math.sqrt(MAX_SHOWN_PIXELS / (columns * rows)))
    columns, rows = max(1, int(columns * scale)), max(1, int(rows * scale))
    shown = await engine.pictures.render(data, columns, rows, b"" if row.mine else row.chat)
    return {"width": shown.width, "height": shown.height, "rgb": base64.b64encode(shown.data).decode()}
