"""Decoding processes in tests: run one, and make pictures for it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import trio
from PIL import Image

from p2pchat.media.decoder import MediaDecoder
from p2pchat.media.pictures import PictureDecoder
from tests.support.virtual_time import patience

T = TypeVar("T")


def with_decoder(entry: str, main: Callable[[MediaDecoder], Awaitable[T]], **options: Any) -> T:
    """Run `main` with a decoder whose process begins at this function of `tests.support.probe`; then it has ended."""

    async def bounded() -> T:
        decoder = MediaDecoder(f"tests.support.probe:{entry}", "PIL", **options)
        with patience():
            async with trio.open_nursery() as nursery:
                await nursery.start(decoder.run)
                result = await main(decoder)
                nursery.cancel_scope.cancel()
        assert decoder.pid is None
        return result

    return trio.run(bounded)


def with_pictures(main: Callable[[PictureDecoder], Awaitable[T]], entry: str = "") -> T:
    """Run `main` with pictures, of which those that are rendered go through a process of the tests, if one is named."""

    async def bounded() -> T:
        rendering = MediaDecoder(f"tests.support.probe:{entry}", "PIL") if entry else None
        pictures = PictureDecoder(rendering=rendering)
        with patience(120):
            async with trio.open_nursery() as nursery:
                await nursery.start(pictures.run)
                result = await main(pictures)
                nursery.cancel_scope.cancel()
        return result

    return trio.run(bounded)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return a picture as a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def written(folder: Path, data: bytes) -> Path:
    """Write a file, and return where it is."""
    path = folder / "picture"
    path.write_bytes(data)
    return path


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """A picture with many colours, that is the same each time: red grows to the right, green downwards."""
    gradient = Image.linear_gradient("L")
    red, green = gradient.rotate(90).resize((width, height)), gradient.resize((width, height))
    blue = Image.radial_gradient("L").resize((width, height))
    return Image.merge("RGB", (red, green, blue))


def png(width: int, height: int, rows: bytes, *, bits: int = 8, colour: int = 0, before: bytes = b"") -> bytes:
    """Return a PNG by hand, which nothing has checked. rows: what is compressed; before: further chunks."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
