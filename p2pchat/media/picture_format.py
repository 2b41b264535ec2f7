"""What the node and the decoding process say to each other about pictures, and the limits that both hold to.

```
request   [operation u8, columns u16, rows u16] || picture
answer    [result u8, format u8, width u16, height u16, preview u16] || preview || data
```

Render: data is RGB, three bytes a pixel, row by row. Prepare: data is the new file, or nothing if the file is to be
sent as it is. The result is 0, or says why there is no picture; then the rest is 0 and empty.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_PIXELS = 24_000_000
"""Pixels that are decoded; a JPEG of one's own may have more if it can be read at a half, a quarter or an eighth."""
MAX_OWN_JPEG_PIXELS = 250_000_000
MAX_SIDE = 2_560
"""Pixels of the longer side of a picture that is sent."""
MAX_PREVIEW_BYTES = 6_144
MAX_RENDERED_SIDE = 4_096
MAX_RENDERED_PIXELS = 4_000_000
OWN_CPU_SECONDS, OWN_WALL_SECONDS = 20, 24
"""What encoding a picture of one's own again may take: 24 million pixels take 3 s here, and more on a small machine."""
HEAD_BYTES = 12
"""Bytes of a file that tell its format."""

_REQUEST = struct.Struct(">BHH")
_ANSWER = struct.Struct(">BBHHH")


class Operation(IntEnum):
    """What is asked for."""

    RENDER = 1
    PREPARE = 2
    DESCRIBE = 3
    """As prepare, but the file is sent as it is."""


class PictureOutcome(IntEnum):
    """What came of it."""

    OK = 0
    UNREADABLE = 1
    TOO_LARGE = 2


class Format(IntEnum):
    """The formats that are encoded."""

    NONE = 0
    JPEG = 1
    PNG = 2


def format_of(head: bytes) -> str:
    """Return Pillow's name for the format of a file that begins so, "" for any but the four that are read."""
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    return "WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """One request. columns, rows: the box that a rendered picture has to fit into, in pixels."""

    operation: Operation
    columns: int
    rows: int
    picture: bytes | memoryview

    def encode(self) -> bytes:
        """Return the request's bytes."""
        return b"".join((_REQUEST.pack(self.operation, self.columns, self.rows), self.picture))

    @classmethod
    def decode(cls, body: memoryview) -> PictureRequest:
        """Read a request of the node's. Raises struct.error and ValueError."""
        operation, columns, rows = _REQUEST.unpack_from(body)
        return cls(Operation(operation), columns, rows, body[_REQUEST.size :])


@dataclass(frozen=True, slots=True)
class PictureAnswer:
    """One answer."""

    outcome: PictureOutcome
    format: Format = Format.NONE
    width: int = 0
    height: int = 0
    preview: bytes = b""
    data: bytes = b""

    def encode(self) -> tuple[bytes, bytes, bytes]:
        """Return the pieces of the answer."""
        head = _ANSWER.pack(self.outcome, self.format, self.width, self.height, len(self.preview))
        return head, self.preview, self.data

    @classmethod
    def decode(cls, body: bytes, request: PictureRequest) -> PictureAnswer:
        """Read an answer to a request, from a process that may have been taken over. Raises ValueError."""
        if len(body) < _ANSWER.size:
            raise ValueError("too short")
        outcome, kind, width, height, preview_bytes = _ANSWER.unpack_from(body)
        data = body[_ANSWER.size + preview_bytes :]
        preview = body[_ANSWER.size : _ANSWER.size + preview_bytes]
        answer = cls(PictureOutcome(outcome), Format(kind), width, height, preview, data)
        if answer.outcome is not PictureOutcome.OK:
            return cls(answer.outcome)
        if width == 0 or height == 0:
            raise ValueError("no pixels")
        if request.operation is Operation.RENDER:
            good = width <= request.columns and height <= request.rows and len(data) == width * height * 3
            good = good and not preview and answer.format is Format.NONE
        else:
            good = len(preview) == preview_bytes <= MAX_PREVIEW_BYTES and format_of(preview) == "JPEG"
            if request.operation is Operation.PREPARE:
                good = good and max(width, height) <= MAX_SIDE and format_of(data) == answer.format.name
            else:
                good = good and not data and answer.format is Format.NONE
        if not good:
            raise ValueError("not what was asked for")
        return answer
