"""A file: a message that says what is sent and how its blobs are opened; these are fetched apart from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents import mention
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.file_boxes import SharedBoxes
from p2pchat.core.files import MAX_FILE_BYTES, NAME_BYTES
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.errors import CannotOpen

MAX_NAME_BYTES = 255
MAX_MEDIA_BYTES = 80
MAX_PREVIEW_BYTES = 6_144
MAX_CAPTION_BYTES = 4_096
PEAKS = 64
"""Bytes of the preview of a voice note."""


class FileForm(IntEnum):
    """What a file is for people."""

    FILE = 0
    PICTURE = 1
    VOICE = 2


_SHAPE = codec.array(
    codec.uint(codec.U8),
    codec.text(MAX_NAME_BYTES),
    codec.text(MAX_MEDIA_BYTES),
    codec.uint(codec.U64),
    codec.binary(KEY_BYTES),
    codec.binary(NAME_BYTES),
    codec.uint(codec.U16),
    codec.uint(codec.U16),
    codec.uint(codec.U32),
    codec.binary_upto(MAX_PREVIEW_BYTES),
    codec.text(MAX_CAPTION_BYTES),
    open_end=True,
)


@dataclass(frozen=True, slots=True, repr=False)
class File(Payload):
    """form: a `FileForm`; one that is unknown here counts as a file. name, media, caption: as the sender says, not
    cleaned. size: in bytes. key, root: 32 bytes each, see `core.files`. width, height: pixels, of a picture. duration:
    ms, of a voice note. preview: a small JPEG, or `PEAKS` bytes of a voice note, unchecked. boxes: in a group, where it
    lies at relays. mentions: in a group, whom the caption mentions.
    """

    KIND = Kind(4, "file", visible=True, in_group=True)
    form: int
    name: str
    media: str
    size: int
    key: bytes
    root: bytes
    width: int = 0
    height: int = 0
    duration: int = 0
    preview: bytes = b""
    caption: str = ""
    boxes: SharedBoxes | None = None
    mentions: tuple[MentionedMember, ...] = ()

    def encode(self) -> list[object]:
        """Return the fields, in their order on the wire."""
        boxes = None if self.boxes is None else self.boxes.value()
        in_group = [boxes, mention.written(self.mentions)] if self.mentions else [] if boxes is None else [boxes]
        return [
            self.form,
            self.name,
            self.media,
            self.size,
            self.key,
            self.root,
            self.width,
            self.height,
            self.duration,
            self.preview,
            self.caption,
            *in_group,
        ]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read the fields. Raises CannotOpen."""
        known = _SHAPE(value)
        boxes = SharedBoxes.read(value[11]) if len(value) > 11 and value[11] is not None else None
        mentions = mention.read(value[12]) if len(value) > 12 else ()
        fields = cls(*(*known, boxes, mentions))
        if not fields.name or fields.size > MAX_FILE_BYTES:
            raise CannotOpen
        return fields

    def text(self) -> str:
        """Return the caption."""
        return self.caption
