"""Have pictures encoded again for sending and decoded for the screen, in processes that can do nothing else.

Nothing here reads a picture itself: the node hands bytes over and takes bytes back.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pchat.errors import NoPicture
from p2pchat.media.decoder import DecodingFailed, MediaDecoder
from p2pchat.media.fork_server import MAX_BODY_BYTES
from p2pchat.media.picture_format import (
    HEAD_BYTES,
    MAX_RENDERED_PIXELS,
    MAX_RENDERED_SIDE,
    OWN_WALL_SECONDS,
    Format,
    Operation,
    PictureAnswer,
    PictureOutcome,
    PictureRequest,
    format_of,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

MAX_PICTURE_BYTES = MAX_BODY_BYTES - 64
"""Bytes of a picture that is read at all."""
MAX_REMEMBERED = 256
FAILED_SECONDS = 600.0
"""Pictures that could not be rendered, and how long they are not tried again."""
HASHED_BYTES = 1 << 16
"""Bytes of one by which, with its size and owner, it is recognised."""
_MEDIA = {Format.JPEG: "image/jpeg", Format.PNG: "image/png"}


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A picture to send. data: the new file, without metadata, or None if the file is to be sent as it is; media: its
    media type ("" then). width, height: in pixels, as it is seen. preview: a JPEG of at most 6,144 bytes.
    """

    data: bytes | None
    media: str
    width: int
    height: int
    preview: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Rgb:
    """A picture for the screen. data: three bytes a pixel, row by row, width * height * 3 in all."""

    width: int
    height: int
    data: bytes


def is_picture(head: bytes) -> bool:
    """Return whether a file that begins so (HEAD_BYTES are enough) is a JPEG, a PNG, a GIF or a WebP."""
    return bool(format_of(head))


def read_picture(path: Path) -> bytes | None:
    """Return a file if it is a picture of a format that is decoded here, else None; takes a while. Raises NoPicture if
    it is too large, and OSError.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # a pipe must not hold us
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        head = file.read(HEAD_BYTES)
        if not is_picture(head):
            return None
        picture = head + file.read(MAX_PICTURE_BYTES + 1 - len(head))
    if len(picture) > MAX_PICTURE_BYTES:
        raise NoPicture("This picture file is too large to be decoded here")
    return picture


class PictureDecoder:
    """Both kinds of work have a process of their own, so that no stranger's picture delays one's own."""

    def __init__(self, preparing: MediaDecoder | None = None, rendering: MediaDecoder | None = None) -> None:
        own_seconds = OWN_WALL_SECONDS + 2.0
        own = MediaDecoder("p2pchat.media.child:main_of_own", "PIL", answer_seconds=own_seconds)
        self._preparing = preparing or own
        self._rendering = rendering or MediaDecoder("p2pchat.media.child:main", "PIL")
        self._failed: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. A process runs only while there is something to do, and 30 s longer."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._preparing.run)
            await nursery.start(self._rendering.run)
            task_status.started()

    async def prepare(self, picture: bytes, *, as_is: bool = False) -> Prepared:
        """Encode a picture of one's own again: upright, in sRGB, up to 2,560 pixels a side, without metadata, of an
        animation the first frame. as_is: leave the file alone, only return the size of the picture and a preview.

        Raises NoPicture if it cannot be decoded (it must not be sent as a file then unless the user says so: its
        metadata would go too), MediaMissing and Busy.
        """
        operation = Operation.DESCRIBE if as_is else Operation.PREPARE
        answer = await self._ask(self._preparing, PictureRequest(operation, 0, 0, picture), b"")
        data, media = (None, "") if as_is else (answer.data, _MEDIA[answer.format])
        return Prepared(data, media, answer.width, answer.height, answer.preview)

    async def render(self, data: bytes, columns: int, rows: int, owner: bytes = b"") -> Rgb:
        """Decode a picture, upright, scaled to fit into `columns` x `rows` pixels and never enlarged. owner: whose it
        is; those whose pictures wait have turns.

        Raises NoPicture, MediaMissing, Busy, and ValueError for a box without pixels or with more than 4,000,000.
        """
        if not (0 < columns <= MAX_RENDERED_SIDE and 0 < rows <= MAX_RENDERED_SIDE):
            raise ValueError("columns and rows are from 1 to 4,096")
        if columns * rows > MAX_RENDERED_PIXELS:
            raise ValueError("a box has at most 4,000,000 pixels")
        if not is_picture(data[:HEAD_BYTES]):
            raise NoPicture
        name = blake2b(b"%d " % len(data) + owner + data[:HASHED_BYTES], digest_size=16).digest()
        until, why = self._failed.get(name, (0.0, ""))
        if trio.current_time() < until:
            raise NoPicture(why)
        try:
            answer = await self._ask(self._rendering, PictureRequest(Operation.RENDER, columns, rows, data), owner)
        except NoPicture as error:
            self._failed[name] = trio.current_time() + FAILED_SECONDS, error.message
            if len(self._failed) > MAX_REMEMBERED:
                self._failed.popitem(last=False)
            raise
        return Rgb(answer.width, answer.height, answer.data)

    @staticmethod
    async def _ask(decoder: MediaDecoder, request: PictureRequest, owner: bytes) -> PictureAnswer:
        try:
            answer = PictureAnswer.decode(await decoder.ask(request.encode(), owner), request)
        except (DecodingFailed, ValueError):
            raise NoPicture from None
        if answer.outcome is PictureOutcome.TOO_LARGE:
            raise NoPicture("This picture has too many pixels to be decoded here")
        if answer.outcome is not PictureOutcome.OK:
            raise NoPicture
        return answer
